/**
 * The RESP server: connections on a loopback port or a Unix socket, in front of one engine.
 *
 * When the log fails, every connection is dropped at once without another reply: what was in flight is unknown to its
 * client, as it should be. A graceful stop begins no further command, waits for the commit in flight, lets every reply
 * out, and only then closes the engine.
 */
import { createServer, type Server, type Socket } from "node:net";
import { packageVersion } from "../../../harness/package-root.ts";
import { errorCode } from "../disk.ts";
import type { Engine } from "../engine.ts";
import { StartRefused, type StoreFailed } from "../errors.ts";
import { type Commands, type MakeCommands, makeCommands } from "./commands.ts";
import { Connection, type ConnectionHost } from "./connection.ts";

export interface ServerOptions {
  readonly engine: Engine;
  /** TCP port on 127.0.0.1; 0 lets the system choose. */
  readonly port: number;
  /** A Unix socket instead of the port. */
  readonly socket?: string;
  /** The seam for bugs in commands. */
  readonly commands?: MakeCommands;
  /** The log has failed; every connection has been dropped. */
  onFailed(failure: StoreFailed): void;
  /** A client sent SHUTDOWN. */
  onShutdown(): void;
}

export interface RunningServer {
  /** The TCP port; 0 for a Unix socket. */
  readonly port: number;
  /** Graceful stop; rejects with `StoreFailed` when the last sync fails. */
  stop(): Promise<void>;
}

/** Clients that do not take their last replies are dropped after this long, in ms. */
const lingerMs = 1000;

/** @throws StartRefused when the port or socket cannot be had. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const server = new RespServer(options);
  await server.listen();
  return server;
}

class RespServer implements RunningServer, ConnectionHost {
  readonly engine: Engine;
  readonly commands: Commands;
  draining = false;
  port = 0;
  private readonly options: ServerOptions;
  private readonly server: Server;
  private readonly connections = new Set<Connection>();
  private held = new Set<Connection>();
  private nextId = 1;

  constructor(options: ServerOptions) {
    this.options = options;
    this.engine = options.engine;
    this.commands = (options.commands ?? makeCommands)(options.engine, {
      version: packageVersion,
      startedAtMs: Date.now(),
      connections: () => this.connections.size,
      port: () => this.port,
      shutDown: () => options.onShutdown(),
    });
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.accept(socket));
    this.engine.onReleased = () => this.releaseHeld();
    this.engine.onFailed = (failure) => {
      for (const connection of this.connections) connection.destroy();
      this.server.close();
      options.onFailed(failure);
    };
  }

  listen(): Promise<void> {
    const { port, socket } = this.options;
    const where = socket === undefined ? `port ${port}` : `socket ${socket}`;
    return new Promise((resolve, reject) => {
      this.server.once("error", (error) => {
        const why =
          errorCode(error) === "EADDRINUSE" ? "is in use; choose another" : `failed: ${error.message}`;
        reject(new StartRefused(`${where} ${why}`, { cause: error }));
      });
      const target = socket === undefined ? { port, host: "127.0.0.1" } : { path: socket };
      this.server.listen({ ...target, backlog: 511 }, () => {
        const address = this.server.address();
        if (typeof address === "object" && address) this.port = address.port;
        resolve();
      });
    });
  }

  async stop(): Promise<void> {
    this.draining = true;
    this.server.close();
    await this.engine.flush();
    // One more turn: the replies of the commit just synced have been written.
    await new Promise((resolve) => setImmediate(resolve));
    for (const connection of this.connections) connection.finish();
    await this.allGone();
    await this.engine.close();
  }

  waiting(connection: Connection): void {
    this.held.add(connection);
  }

  ended(connection: Connection): void {
    this.connections.delete(connection);
    this.held.delete(connection);
  }

  private accept(socket: Socket): void {
    if (this.draining) {
      socket.destroy();
      return;
    }
    this.connections.add(new Connection(socket, this.nextId, this));
    this.nextId += 1;
  }

  private releaseHeld(): void {
    const { released } = this.engine;
    for (const connection of this.held) if (connection.release(released)) this.held.delete(connection);
  }

  private async allGone(): Promise<void> {
    const giveUpAt = performance.now() + lingerMs;
    while (this.connections.size > 0 && performance.now() < giveUpAt) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const connection of this.connections) connection.destroy();
  }
}
