/**
 * RESP2 over one TCP connection: an encoder, an incremental parser and a connection that sends and waits.
 *
 * It models the protocol exactly and nothing else: no retry, no reconnect, no queue across connections, no RESP3, no
 * push messages. Replies are binary safe (bulk strings are Buffers). A server's error reply is a value (`RespError`); a
 * connection that can no longer be trusted (closed, past a deadline, malformed or unexpected bytes) rejects
 * everything in flight with `RespConnectionError` and is closed, because a reply that comes late would be taken for
 * the answer to the next request.
 *
 * Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
import { connect as connectSocket, type Socket } from "node:net";
import type { Endpoint } from "../contract.ts";

/** An error reply (`-ERR …`), without its dash. A value, not an exception: the request was answered. */
export class RespError {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** Simple strings are strings, bulk strings Buffers, null bulk strings and arrays null; integers beyond 2^53 bigint. */
export type RespReply = string | number | bigint | Buffer | null | RespError | readonly RespReply[];

/** One argument of a command; strings are sent as UTF-8, numbers in decimal. */
export type RespArgument = string | number | Buffer;

/** Why a connection cannot be used any more. */
export type RespConnectionFailure =
  /** Nothing could be sent: refused, unreachable, not connected in time, or closed before this request. */
  | "not-sent"
  /** Closed or reset after the request had been handed over. */
  | "closed"
  /** No reply by the deadline. */
  | "deadline"
  /** The bytes that came are not RESP2, or answer nothing that was asked. */
  | "malformed";

/** The connection failed; `reason` says whether the request may have reached the server. */
export class RespConnectionError extends Error {
  override readonly name = "RespConnectionError";
  readonly reason: RespConnectionFailure;

  constructor(reason: RespConnectionFailure, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Bytes that are not RESP2. */
export class RespProtocolError extends Error {
  override readonly name = "RespProtocolError";
}

/** Bytes of one reply, nested ones included. */
export const replyBytesMax = 64 * 1024 * 1024;
const lineBytesMax = 64 * 1024;
const depthMax = 32;

const carriageReturn = 13;
const lineFeed = 10;

/** Encodes one command as an array of bulk strings. */
export function encodeCommand(args: readonly RespArgument[]): Buffer {
  return Buffer.concat(encodedParts(args));
}

function encodedParts(args: readonly RespArgument[]): Buffer[] {
  const parts: Buffer[] = [];
  let text = `*${args.length}\r\n`;
  for (const arg of args) {
    if (Buffer.isBuffer(arg)) {
      parts.push(Buffer.from(`${text}$${arg.length}\r\n`), arg);
      text = "\r\n";
    } else {
      const word = String(arg);
      text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
    }
  }
  parts.push(Buffer.from(text));
  return parts;
}

interface OpenArray {
  readonly items: RespReply[];
  readonly length: number;
}

/**
 * Takes bytes as they come and gives complete replies, however the bytes were split. Unfinished input is looked at
 * again only when enough has come to go on, so a long reply in many pieces costs linear time.
 */
export class RespParser {
  #chunks: Buffer[] = [];
  #buffered = 0;
  /** Bytes that must be there before parsing can go on. */
  #needed = 1;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  readonly #open: OpenArray[] = [];
  #replyBytes = 0;

  /**
   * @returns the replies that are complete now.
   * @throws RespProtocolError when the bytes are not RESP2 or a reply is over 64 MB; the parser is then unusable.
   */
  push(chunk: Buffer): RespReply[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    if (this.#buffered < this.#needed) return [];
    this.#buffer = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#buffered);
    this.#at = 0;
    const replies: RespReply[] = [];
    for (;;) {
      const value = this.#next();
      if (value === undefined) break;
      const reply = this.#place(value);
      if (reply === undefined) continue;
      replies.push(reply);
      this.#replyBytes = 0;
    }
    this.#keepRest();
    return replies;
  }

  /** True when a reply has begun and is not complete. */
  get unfinished(): boolean {
    return this.#buffered > 0 || this.#open.length > 0;
  }

  #keepRest(): void {
    const rest = this.#buffer.subarray(this.#at);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#buffered = rest.length;
    this.#buffer = rest;
    this.#at = 0;
  }

  /** The next scalar, `OpenArray` for a non-empty array's header, or `undefined` when bytes are missing. */
  #next(): RespReply | { readonly opens: number } | undefined {
    const lineEnd = this.#lineEnd();
    if (lineEnd === undefined) return undefined;
    const type = this.#buffer[this.#at]!;
    const line = this.#buffer.toString("latin1", this.#at + 1, lineEnd);
    const afterLine = lineEnd + 2;
    switch (type) {
      case 0x2b: // +
        return this.#consume(afterLine, line);
      case 0x2d: // -
        return this.#consume(afterLine, new RespError(line));
      case 0x3a: // :
        return this.#consume(afterLine, integerOf(line));
      case 0x24: // $
        return this.#bulk(lengthOf(line, "bulk string"), afterLine);
      case 0x2a: // *
        return this.#arrayHeader(lengthOf(line, "array"), afterLine);
      default:
        throw new RespProtocolError(
          `a reply of RESP2 begins with + - : $ or *, but this one begins with ${describeByte(type)}`,
        );
    }
  }

  #lineEnd(): number | undefined {
    const found = this.#buffer.indexOf(lineFeed, this.#at);
    const seen = (found < 0 ? this.#buffer.length : found) - this.#at;
    if (seen > lineBytesMax) throw new RespProtocolError(`a line of a reply is over ${lineBytesMax} bytes`);
    if (found < 0) {
      this.#rejectForeignType();
      this.#needed = seen + 1;
      return undefined;
    }
    if (found === this.#at || this.#buffer[found - 1] !== carriageReturn || found - 1 === this.#at) {
      throw new RespProtocolError("a line of a reply does not end with CR LF");
    }
    return found - 1;
  }

  /** Says so at the first wrong byte, and does not wait for a line feed that may never come. */
  #rejectForeignType(): void {
    const type = this.#buffer[this.#at];
    if (type !== undefined && !"+-:$*".includes(String.fromCharCode(type))) {
      throw new RespProtocolError(
        `a reply of RESP2 begins with + - : $ or *, but this one begins with ${describeByte(type)}`,
      );
    }
  }

  #bulk(length: number, start: number): RespReply | undefined {
    if (length < 0) return this.#consume(start, null);
    this.#refuseOver(start - this.#at + length);
    const end = start + length;
    if (this.#buffer.length < end + 2) {
      this.#needed = end + 2 - this.#at;
      return undefined;
    }
    if (this.#buffer[end] !== carriageReturn || this.#buffer[end + 1] !== lineFeed) {
      throw new RespProtocolError(`a bulk string of ${length} bytes is not followed by CR LF`);
    }
    return this.#consume(end + 2, Buffer.from(this.#buffer.subarray(start, end)));
  }

  #arrayHeader(length: number, start: number): RespReply | { readonly opens: number } {
    if (length < 0) return this.#consume(start, null);
    if (length === 0) return this.#consume(start, []);
    // The shortest element, an empty simple string, has three bytes.
    this.#refuseOver(start - this.#at + length * 3);
    if (this.#open.length >= depthMax) throw new RespProtocolError(`arrays nested over ${depthMax} deep`);
    return this.#consume(start, { opens: length });
  }

  #refuseOver(bytes: number): void {
    if (this.#replyBytes + bytes > replyBytesMax) {
      throw new RespProtocolError(`a reply is over ${replyBytesMax / 1024 / 1024} MB`);
    }
  }

  #consume<T>(end: number, value: T): T {
    this.#refuseOver(end - this.#at);
    this.#replyBytes += end - this.#at;
    this.#at = end;
    this.#needed = 1;
    return value;
  }

  /** Puts a value into the innermost open array; gives the whole reply once nothing is open any more. */
  #place(value: RespReply | { readonly opens: number }): RespReply | undefined {
    if (isHeader(value)) {
      this.#open.push({ items: [], length: value.opens });
      return undefined;
    }
    let complete: RespReply = value;
    for (let inner = this.#open.at(-1); inner; inner = this.#open.at(-1)) {
      inner.items.push(complete);
      if (inner.items.length < inner.length) return undefined;
      complete = inner.items;
      this.#open.pop();
    }
    return complete;
  }
}

function isHeader(value: RespReply | { readonly opens: number }): value is { readonly opens: number } {
  return typeof value === "object" && value !== null && "opens" in value;
}

function describeByte(byte: number): string {
  return byte > 32 && byte < 127 ? `"${String.fromCharCode(byte)}"` : `byte ${byte}`;
}

function integerOf(line: string): number | bigint {
  if (!/^[+-]?\d{1,19}$/.test(line)) throw new RespProtocolError(`":${line.slice(0, 40)}" is not an integer`);
  const value = Number(line);
  return Number.isSafeInteger(value) ? value : BigInt(line);
}

function lengthOf(line: string, what: string): number {
  if (line === "-1") return -1;
  if (!/^\d{1,10}$/.test(line))
    throw new RespProtocolError(`"${line.slice(0, 40)}" is not the length of a ${what}`);
  return Number(line);
}

interface Waiting {
  readonly expected: number;
  readonly replies: RespReply[];
  /** ms on the clock of `performance.now()`. */
  readonly endsAt: number;
  readonly deadlineMs: number;
  readonly resolve: (replies: RespReply[]) => void;
  readonly reject: (error: RespConnectionError) => void;
}

/** One connection. Requests may be pipelined; replies come in order. */
export class RespConnection {
  readonly #socket: Socket;
  readonly #where: string;
  readonly #parser = new RespParser();
  /** Requests without all their replies; taken from the front by position, so that a deep pipeline stays linear. */
  #waiting: Waiting[] = [];
  #first = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #failure: RespConnectionError | undefined;
  readonly #localPort: number;
  #receivedBytes = 0;

  private constructor(socket: Socket, where: string) {
    this.#socket = socket;
    this.#where = where;
    // Kept here because a socket forgets its address when it is destroyed.
    this.#localPort = socket.localPort ?? 0;
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("end", () => this.#fail("closed", `${where} closed the connection`));
    socket.on("error", (error) => this.#fail("closed", `the connection to ${where} broke: ${error.message}`));
    socket.on("close", () => this.#fail("closed", `the connection to ${where} was closed`));
  }

  /**
   * @param deadlineMs ms to wait for the connection.
   * @throws RespConnectionError (`not-sent`) when there is none by then.
   */
  static connect(endpoint: Endpoint, deadlineMs: number): Promise<RespConnection> {
    const where = `${endpoint.host}:${endpoint.port}`;
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ host: endpoint.host, port: endpoint.port, noDelay: true });
      const give = (message: string) => {
        clearTimeout(timer);
        socket.destroy();
        reject(new RespConnectionError("not-sent", message));
      };
      const timer = setTimeout(() => give(`no connection to ${where} within ${deadlineMs} ms`), deadlineMs);
      const failed = (error: Error) => give(`cannot connect to ${where}: ${error.message}`);
      socket.once("error", failed);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.removeListener("error", failed);
        resolve(new RespConnection(socket, where));
      });
    });
  }

  /** True once this connection can carry nothing more. */
  get closed(): boolean {
    return this.#failure !== undefined;
  }

  /**
   * The local TCP port, and how many bytes have come in on this connection: with one request in flight and its reply
   * complete, the place of that reply's last byte in the stream.
   */
  get received(): { readonly localPort: number; readonly bytes: number } {
    return { localPort: this.#localPort, bytes: this.#receivedBytes };
  }

  /**
   * Sends one command and waits for its reply.
   *
   * @param deadlineMs ms to wait; beyond it the connection is closed.
   * @throws RespConnectionError
   */
  async send(args: readonly RespArgument[], deadlineMs = 10_000): Promise<RespReply> {
    const replies = await this.#exchange(encodedParts(args), 1, deadlineMs);
    return replies[0]!;
  }

  /**
   * Sends several commands in one write, and waits for all their replies, in order.
   *
   * @param deadlineMs ms to wait for the last of them; beyond it the connection is closed.
   * @throws RespConnectionError
   */
  sendAll(commands: readonly (readonly RespArgument[])[], deadlineMs = 10_000): Promise<RespReply[]> {
    if (commands.length === 0) return Promise.resolve([]);
    return this.#exchange(commands.flatMap(encodedParts), commands.length, deadlineMs);
  }

  /** Whatever `send` sends before it returns goes out together, as one write. */
  inOneWrite<Result>(send: () => Result): Result {
    this.#socket.cork();
    try {
      return send();
    } finally {
      this.#socket.uncork();
    }
  }

  /** Drops the connection at once; whatever is in flight rejects. Idempotent, never throws. */
  close(): void {
    this.#fail("closed", `the connection to ${this.#where} was closed by acked`);
  }

  #exchange(parts: readonly Buffer[], expected: number, deadlineMs: number): Promise<RespReply[]> {
    if (this.#failure) {
      return Promise.reject(new RespConnectionError("not-sent", `not sent: ${this.#failure.message}`));
    }
    return new Promise((resolve, reject) => {
      const endsAt = performance.now() + deadlineMs;
      this.#waiting.push({ expected, replies: [], endsAt, deadlineMs, resolve, reject });
      this.#wakeBy(endsAt);
      this.#socket.write(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
    });
  }

  #received(chunk: Buffer): void {
    if (this.#failure) return;
    this.#receivedBytes += chunk.length;
    let replies: RespReply[];
    try {
      replies = this.#parser.push(chunk);
    } catch (error) {
      this.#fail("malformed", `${this.#where} sent a malformed reply: ${(error as Error).message}`);
      return;
    }
    for (const reply of replies) {
      const waiting = this.#waiting[this.#first];
      if (!waiting) {
        this.#fail("malformed", `${this.#where} sent a reply that nothing had asked for`);
        return;
      }
      waiting.replies.push(reply);
      if (waiting.replies.length === waiting.expected) {
        this.#shift();
        waiting.resolve(waiting.replies);
      }
    }
  }

  #shift(): void {
    this.#first++;
    if (this.#first < this.#waiting.length && this.#first < 1024) return;
    this.#waiting = this.#waiting.slice(this.#first);
    this.#first = 0;
  }

  /** One timer a connection: it is set again when it rings too early, not at each request. */
  #wakeBy(endsAt: number): void {
    if (endsAt >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = endsAt;
    this.#timer = setTimeout(() => this.#ring(), Math.max(0, endsAt - performance.now()));
  }

  #ring(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let earliest = Number.POSITIVE_INFINITY;
    for (const waiting of this.#waiting.slice(this.#first)) {
      if (waiting.endsAt <= now) {
        this.#fail("deadline", `no reply from ${this.#where} within ${waiting.deadlineMs} ms`);
        return;
      }
      earliest = Math.min(earliest, waiting.endsAt);
    }
    if (earliest < Number.POSITIVE_INFINITY) this.#wakeBy(earliest);
  }

  #fail(reason: RespConnectionFailure, message: string): void {
    if (this.#failure) return;
    this.#failure = new RespConnectionError(reason, message);
    clearTimeout(this.#timer);
    this.#socket.destroy();
    const waiting = this.#waiting.slice(this.#first);
    this.#waiting = [];
    this.#first = 0;
    for (const one of waiting) one.reject(this.#failure);
  }
}
