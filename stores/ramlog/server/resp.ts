/**
 * RESP2 as a server needs it: requests in (arrays of bulk strings, or inline commands as typed into telnet), replies
 * out. Everything is a byte string, so that keys and values are binary-safe.
 *
 * A frame that breaks the protocol, or asks for more than the limits below, is a `ProtocolError`: the connection gets
 * one clear sentence and is closed; no other is affected.
 */

export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Limits, in bytes and arguments. */
export const bulkBytesMax = 64 << 20;
export const commandBytesMax = 256 << 20;
export const argumentsMax = 1 << 20;
export const inlineBytesMax = 64 << 10;

const cr = 13;
const lf = 10;

/** Cuts a stream of chunks into commands. */
export class RequestParser {
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  /** Chunks not joined to `bytes` yet, because the command is known not to be complete. */
  private later: Buffer[] = [];
  private laterBytes = 0;
  /** Total length that `bytes` needs before it is worth looking again. */
  private needed = 0;

  feed(chunk: Buffer): void {
    if (this.at === this.bytes.length && this.laterBytes === 0) {
      this.bytes = chunk;
      this.at = 0;
      this.needed = 0;
      return;
    }
    this.later.push(chunk);
    this.laterBytes += chunk.length;
    if (this.bytes.length - this.at + this.laterBytes < this.needed) return;
    this.bytes = Buffer.concat([this.bytes.subarray(this.at), ...this.later]);
    this.at = 0;
    this.later = [];
    this.laterBytes = 0;
  }

  /** The next complete command; `undefined` when more bytes are needed. Throws `ProtocolError`. */
  next(): string[] | undefined {
    while (this.at < this.bytes.length) {
      const args = this.bytes[this.at] === 42 ? this.array() : this.inline();
      if (args === undefined) return undefined;
      if (args.length > 0) return args;
    }
    return undefined;
  }

  /** `*n\r\n` then n times `$length\r\n…\r\n`. */
  private array(): string[] | undefined {
    const { bytes } = this;
    let at = this.at + 1;
    let lineEnd = this.lineEnd(at, "an array's length");
    if (lineEnd < 0) return undefined;
    const count = parseLength(bytes, at, lineEnd, argumentsMax, "invalid multibulk length");
    at = lineEnd + 2;
    const args: string[] = [];
    let total = 0;
    for (let i = 0; i < count; i += 1) {
      if (at >= bytes.length) return this.more(1);
      if (bytes[at] !== 36) {
        throw new ProtocolError(`expected '$', got '${printable(bytes[at]!)}'`);
      }
      lineEnd = this.lineEnd(at + 1, "a bulk string's length");
      if (lineEnd < 0) return undefined;
      const length = parseLength(bytes, at + 1, lineEnd, bulkBytesMax, "invalid bulk length");
      total += length;
      if (total > commandBytesMax)
        throw new ProtocolError(`a command is limited to ${commandBytesMax} bytes`);
      const start = lineEnd + 2;
      const end = start + length;
      if (end + 2 > bytes.length) return this.more(end + 2 - bytes.length);
      if (bytes[end] !== cr || bytes[end + 1] !== lf) {
        throw new ProtocolError("a bulk string does not end where its length says");
      }
      args.push(bytes.toString("latin1", start, end));
      at = end + 2;
    }
    this.at = at;
    return args;
  }

  private inline(): string[] | undefined {
    const end = this.bytes.indexOf(lf, this.at);
    const length = (end < 0 ? this.bytes.length : end) - this.at;
    if (length > inlineBytesMax) throw new ProtocolError("too big inline request");
    if (end < 0) return this.more(1);
    const line = this.bytes.toString("latin1", this.at, end).replace(/\r$/, "");
    this.at = end + 1;
    return splitInline(line);
  }

  /** Offset of the `\r\n` that ends the line at `at`; -1 when it has not arrived. */
  private lineEnd(at: number, what: string): number {
    const { bytes } = this;
    for (let i = at; i < bytes.length - 1; i += 1) {
      if (bytes[i] === cr && bytes[i + 1] === lf) return i;
      if (i - at > 32) throw new ProtocolError(`${what} is not a number`);
    }
    this.more(1);
    return -1;
  }

  private more(bytes: number): undefined {
    this.needed = this.bytes.length - this.at + bytes;
    return undefined;
  }
}

function parseLength(bytes: Buffer, from: number, to: number, max: number, wrong: string): number {
  let value = 0;
  if (to === from) throw new ProtocolError(`${wrong}: it is empty`);
  for (let at = from; at < to; at += 1) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) throw new ProtocolError(`${wrong}: "${bytes.toString("latin1", from, to)}"`);
    value = value * 10 + digit;
  }
  if (value > max) throw new ProtocolError(`${wrong}: ${value} is over the limit of ${max}`);
  return value;
}

function printable(byte: number): string {
  return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
}

/** Words of an inline command; double quotes keep spaces and know \n \r \t \\ \" \xHH, single quotes keep all. */
function splitInline(line: string): string[] {
  const words: string[] = [];
  const word = /\s*(?:"((?:\\.|[^"\\])*)"|'((?:\\'|[^'])*)'|([^\s"']+))(?=\s|$)/y;
  let at = 0;
  while (line.slice(at).trim() !== "") {
    word.lastIndex = at;
    const match = word.exec(line);
    if (!match) throw new ProtocolError("unbalanced quotes in request");
    words.push(
      match[1] !== undefined ? unquote(match[1]) : (match[2]?.replaceAll("\\'", "'") ?? match[3] ?? ""),
    );
    at = word.lastIndex;
  }
  return words;
}

function unquote(quoted: string): string {
  const letters: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };
  return quoted.replace(/\\(?:x([0-9a-fA-F]{2})|(.))/g, (_all, hex: string | undefined, letter: string) =>
    hex === undefined ? (letters[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

export const ok = "+OK\r\n";
export const nil = "$-1\r\n";
export const nilArray = "*-1\r\n";
export const emptyArray = "*0\r\n";

export function bulk(value: string): string {
  return `$${value.length}\r\n${value}\r\n`;
}

export function integer(value: number | bigint): string {
  return `:${value}\r\n`;
}

/** `items` are encoded replies already. */
export function array(items: readonly string[]): string {
  return `*${items.length}\r\n${items.join("")}`;
}

export function bulks(values: readonly string[]): string {
  return array(values.map(bulk));
}

/** `text` begins with an upper-case code such as ERR; line breaks in it would end the reply early. */
export function error(text: string): string {
  return `-${text.replace(/[\r\n]+/g, " ")}\r\n`;
}
