/**
 * One client's connection: bytes in, commands run in order, replies out in order. A reply that must wait for the log
 * holds up those behind it. All that may go out goes out in one write per event.
 */
import type { Socket } from "node:net";
import type { Engine } from "../engine.ts";
import { StoreFailed } from "../errors.ts";
import type { Commands, Session } from "./commands.ts";
import { error, ProtocolError, RequestParser } from "./resp.ts";

/** A client that does not read its replies is not read from either, beyond this many bytes. */
const unsentBytesMax = 16 << 20;

/** What a connection needs of its server. */
export interface ConnectionHost {
  readonly engine: Engine;
  readonly commands: Commands;
  /** No command is begun any more. */
  readonly draining: boolean;
  /** This connection has replies that wait for the log. */
  waiting(connection: Connection): void;
  ended(connection: Connection): void;
}

export class Connection implements Session {
  readonly id: number;
  name = "";
  seen = 0;
  wrote = 0;
  queued: string[][] | undefined;
  queueBroken = false;
  watched: Set<string> | undefined;
  watchBroken = false;
  quit = false;

  private readonly socket: Socket;
  private readonly host: ConnectionHost;
  private readonly parser = new RequestParser();
  /** Replies in order that are still held, and the log index each waits for. */
  private texts: string[] = [];
  private holds: number[] = [];
  /** Replies that may go out. */
  private ready = "";
  /** A command that takes its time is running; the next one waits. */
  private suspended = false;
  /** No more commands are read: the connection closes when its replies have gone. */
  private ending = false;

  constructor(socket: Socket, id: number, host: ConnectionHost) {
    this.socket = socket;
    this.id = id;
    this.host = host;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.receive(chunk));
    socket.on("drain", () => socket.resume());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.ending = true;
      host.commands.forget(this);
      host.ended(this);
    });
    socket.on("end", () => this.finish());
  }

  /** Lets go what the log has released; true when nothing is held any more. */
  release(released: number): boolean {
    let count = 0;
    while (count < this.holds.length && this.holds[count]! <= released) {
      this.ready += this.texts[count]!;
      count += 1;
    }
    if (count === this.holds.length) {
      this.texts = [];
      this.holds = [];
    } else if (count > 0) {
      this.texts.splice(0, count);
      this.holds.splice(0, count);
    }
    this.send();
    return this.holds.length === 0;
  }

  /** No further command is run; closes once every reply has gone out. */
  finish(): void {
    this.ending = true;
    this.send();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private receive(chunk: Buffer): void {
    if (this.ending) return;
    this.parser.feed(chunk);
    this.runAll();
    this.send();
  }

  private runAll(): void {
    try {
      while (!this.suspended && !this.ending && !this.host.draining) {
        const args = this.parser.next();
        if (args === undefined) return;
        this.run(args);
      }
    } catch (thrown) {
      if (thrown instanceof StoreFailed) {
        this.destroy();
        return;
      }
      if (!(thrown instanceof ProtocolError)) throw thrown;
      this.reply(error(`ERR Protocol error: ${thrown.message}`), 0);
      this.ending = true;
    }
  }

  private run(args: string[]): void {
    this.seen = 0;
    this.wrote = 0;
    const reply = this.host.commands.run(this, args);
    if (typeof reply === "string") this.answer(reply);
    else this.suspendFor(reply);
  }

  private answer(reply: string): void {
    this.reply(reply, this.host.engine.visibility.holdUntil(this.seen, this.wrote));
    if (this.quit) this.ending = true;
  }

  private suspendFor(reply: Promise<string>): void {
    this.suspended = true;
    reply.then(
      (text) => {
        this.suspended = false;
        this.answer(text);
        this.runAll();
        this.send();
      },
      () => this.destroy(),
    );
  }

  private reply(text: string, hold: number): void {
    if (this.holds.length === 0) {
      if (hold <= this.host.engine.released) {
        this.ready += text;
        return;
      }
      this.host.waiting(this);
    }
    this.texts.push(text);
    this.holds.push(hold);
  }

  private send(): void {
    const { socket } = this;
    if (this.ready !== "") {
      const text = this.ready;
      this.ready = "";
      if (!socket.destroyed) {
        socket.write(text, "latin1");
        if (socket.writableLength > unsentBytesMax) socket.pause();
      }
    }
    if (this.ending && !this.suspended && this.holds.length === 0) socket.end();
  }
}
