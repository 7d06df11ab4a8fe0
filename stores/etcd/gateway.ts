/**
 * etcd's HTTP/JSON gateway over one TCP connection: a request, its answer, and exact knowledge of how the connection
 * failed when there is none.
 *
 * One connection, kept alive, one request in flight; no retry and no reconnect, so that no request can be sent twice
 * unnoticed: once the connection is gone, everything later is `not-sent`. An answer that comes late cannot be taken for
 * the next one, because the deadline destroys the connection.
 *
 * Gateway: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ (64-bit numbers are strings, bytes are base64).
 */
import { Agent, type IncomingMessage, request } from "node:http";
import { connect as connectSocket, type Socket } from "node:net";
import type { Endpoint } from "../contract.ts";
import type { ConnectionFailure } from "./outcomes.ts";

/** The connection failed; `reason` says whether the request may have reached the server. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly reason: ConnectionFailure;

  constructor(reason: ConnectionFailure, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** etcd answered with an error. */
export class EtcdError extends Error {
  override readonly name = "EtcdError";
}

export type Json = Readonly<Record<string, unknown>>;

/** Bytes of one answer. */
const answerBytesMax = 64 * 1024 * 1024;

/** Gives its one socket to every request, and never makes another. */
class OneSocket extends Agent {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#socket = socket;
  }

  override createConnection(): Socket {
    return this.#socket;
  }
}

export class Gateway {
  readonly #socket: Socket;
  readonly #agent: OneSocket;
  readonly #where: string;
  readonly #localPort: number;
  #failure: GatewayError | undefined;
  #inFlight: ((error: GatewayError) => void) | undefined;
  #bytes = 0;

  private constructor(socket: Socket, where: string) {
    this.#socket = socket;
    this.#agent = new OneSocket(socket);
    this.#where = where;
    // Kept here because a socket forgets its address when it is destroyed.
    this.#localPort = socket.localPort ?? 0;
    socket.on("error", (error) => this.#fail("closed", `the connection to ${where} broke: ${error.message}`));
    socket.on("end", () => this.#fail("closed", `${where} closed the connection`));
    socket.on("close", () => this.#fail("closed", `the connection to ${where} was closed`));
  }

  /**
   * @param deadlineMs ms to wait for the connection.
   * @throws GatewayError (`not-sent`) when there is none by then.
   */
  static connect(endpoint: Endpoint, deadlineMs: number): Promise<Gateway> {
    const where = `${endpoint.host}:${endpoint.port}`;
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ host: endpoint.host, port: endpoint.port, noDelay: true });
      const give = (message: string) => {
        clearTimeout(timer);
        socket.destroy();
        reject(new GatewayError("not-sent", message));
      };
      const late = () => give(`no connection to ${where} within ${Math.round(deadlineMs)} ms`);
      const timer = setTimeout(late, deadlineMs);
      const failed = (error: Error) => give(`cannot connect to ${where}: ${error.message}`);
      socket.once("error", failed);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.removeListener("error", failed);
        resolve(new Gateway(socket, where));
      });
    });
  }

  /** True once this connection can carry nothing more. */
  get closed(): boolean {
    return this.#failure !== undefined;
  }

  /** The local TCP port, and the bytes received when the last answer was complete. */
  get received(): { readonly localPort: number; readonly bytes: number } {
    return { localPort: this.#localPort, bytes: this.#bytes };
  }

  /**
   * Sends one request and waits for its answer. One at a time.
   *
   * @param deadlineMs ms to wait; beyond it the connection is closed.
   * @throws EtcdError when etcd answers with an error.
   * @throws GatewayError when there is no answer.
   */
  async post(path: string, body: Json, deadlineMs: number): Promise<Json> {
    const { status, text } = await this.#exchange("POST", path, JSON.stringify(body), deadlineMs);
    return this.#read(path, status, text);
  }

  /** Sends one GET request; resolves with the answer's text, whatever it is. */
  async get(path: string, deadlineMs: number): Promise<string> {
    return (await this.#exchange("GET", path, "", deadlineMs)).text;
  }

  /** Drops the connection at once; whatever is in flight rejects. Idempotent, never throws. */
  close(): void {
    this.#fail("closed", `the connection to ${this.#where} was closed by acked`);
  }

  #exchange(
    method: "GET" | "POST",
    path: string,
    body: string,
    deadlineMs: number,
  ): Promise<{ status: number; text: string }> {
    if (this.#failure) {
      return Promise.reject(new GatewayError("not-sent", `not sent: ${this.#failure.message}`));
    }
    if (this.#inFlight) throw new Error("a request is in flight on this connection");
    return new Promise((resolve, reject) => {
      const late = () =>
        this.#fail("deadline", `no answer from ${this.#where} within ${Math.round(deadlineMs)} ms`);
      const timer = setTimeout(late, deadlineMs);
      const settle = () => {
        clearTimeout(timer);
        this.#inFlight = undefined;
      };
      this.#inFlight = (error) => {
        settle();
        reject(error);
      };
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const sent = request({ agent: this.#agent, method, path, headers }, (answer) =>
        this.#collect(answer, (text) => {
          settle();
          resolve({ status: answer.statusCode ?? 0, text });
        }),
      );
      sent.on("error", (error) => this.#fail(reasonOf(error), `${this.#where}: ${error.message}`));
      sent.end(body);
    });
  }

  #collect(answer: IncomingMessage, done: (text: string) => void): void {
    const chunks: Buffer[] = [];
    let length = 0;
    answer.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > answerBytesMax) this.#fail("malformed", `${this.#where} sent an answer over 64 MB`);
    });
    answer.on("error", (error) => this.#fail("closed", `${this.#where}: ${error.message}`));
    answer.on("end", () => {
      if (!answer.complete || this.#failure) return;
      this.#bytes = this.#socket.bytesRead;
      done(Buffer.concat(chunks).toString("utf8"));
    });
  }

  #read(path: string, status: number, text: string): Json {
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      answer = undefined;
    }
    const isObject = typeof answer === "object" && answer !== null && !Array.isArray(answer);
    if (status === 200 && isObject) return answer as Json;
    const { message, error } = (isObject ? answer : {}) as { message?: unknown; error?: unknown };
    const said = typeof message === "string" ? message : error;
    if (status !== 200 && typeof said === "string") throw new EtcdError(said);
    const failure = `${this.#where} answered ${path} with status ${status} and ${JSON.stringify(text.slice(0, 80))}`;
    this.#fail("malformed", failure);
    throw this.#failure!;
  }

  #fail(reason: ConnectionFailure, message: string): void {
    if (this.#failure) return;
    this.#failure = new GatewayError(reason, message);
    this.#socket.destroy();
    this.#agent.destroy();
    this.#inFlight?.(this.#failure);
  }
}

/** Node's HTTP parser names its errors HPE_…; everything else is the connection's end. */
function reasonOf(error: NodeJS.ErrnoException): ConnectionFailure {
  return error.code?.startsWith("HPE_") ? "malformed" : "closed";
}
