/**
 * Lines of a history in the form in which recordings are written: no spaces, members in the order of `recorded`, whole
 * numbers, a client's event, ASCII. `JSON.parse` of such a line mostly finds out which members it has; here they are expected,
 * and only the value, and texts that did not come up lately, go to `JSON.parse`.
 *
 * It cannot accept what is no event. `recorded` is a subset of JSON's grammar, every piece is checked while it is passed, and
 * whatever is not literally expected is left to the caller, who parses the line as a whole and alone decides what is
 * wrong with it: faults, restarts, other orders, unknown or repeated members, fractions, values that need care.
 *
 *     recorded = {"index":count,"time":count,"process":count,"type":"invoke|ok|fail|info","f":text [,"workload":text]
 *       [,"key":text] [,"value":JSON] [,"matched":boolean] [,"error":text] [,"node":text] [,"incarnation":count]
 *       [,"readBack":true] [,"syncsBegun":count] [,"syncCompleted":count] [,"replyPort":count] [,"replyBytes":count]} LF
 *
 * Where a value or text ends is a guess that cannot mislead: what lies before the guess has to be JSON by itself, and
 * what follows has to be the rest of `recorded`; a line that is read in one such way has no other reading.
 */
import { careOf, maxDepth, sorted } from "./json-values.ts";
import type { HistoryEvent } from "./operation.ts";

const comma = 0x2c;
const quote = 0x22;
const backslash = 0x5c;
const feed = 0x0a;
const zero = 0x30;

/** What stands between values, as bytes. */
const expected = {
  index: Buffer.from('{"index":'),
  time: Buffer.from(',"time":'),
  process: Buffer.from(',"process":'),
  type: Buffer.from(',"type":'),
  f: Buffer.from(',"f":'),
  workload: Buffer.from(',"workload":'),
  key: Buffer.from(',"key":'),
  value: Buffer.from(',"value":'),
  matched: Buffer.from(',"matched":'),
  isTrue: Buffer.from("true"),
  isFalse: Buffer.from("false"),
  error: Buffer.from(',"error":'),
  node: Buffer.from(',"node":'),
  incarnation: Buffer.from(',"incarnation":'),
  readBack: Buffer.from(',"readBack":true'),
  syncsBegun: Buffer.from(',"syncsBegun":'),
  syncCompleted: Buffer.from(',"syncCompleted":'),
  replyPort: Buffer.from(',"replyPort":'),
  replyBytes: Buffer.from(',"replyBytes":'),
  closing: Buffer.from("}"),
  invoke: Buffer.from('"invoke"'),
  ok: Buffer.from('"ok"'),
  fail: Buffer.from('"fail"'),
  info: Buffer.from('"info"'),
  isNull: Buffer.from("null"),
} as const;

/** What no count is. */
const noCount = -1;
/** Every count of so many digits is a safe integer. */
const maxDigits = 15;

/** Texts remembered, and bytes of the longest. */
const slots = 256;
const maxRemembered = 64;

interface Remembered {
  readonly bytes: Uint8Array;
  readonly text: string;
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Reads lines of one text after the other; remembers the last texts, which repeat, and where it is. */
export class RecordedLines {
  /** Behind the line feed of the line that was read last. */
  end = 0;
  #at = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #chars = "";
  readonly #remembered: Remembered[] = Array.from({ length: slots }, () => ({
    bytes: new Uint8Array(0),
    text: "",
  }));

  /** @param text ASCII, and these bytes: places in one are places in the other. They must not change while it is read. */
  use(bytes: Uint8Array, text: string): void {
    this.#bytes = bytes;
    this.#chars = text;
  }

  /** The event in the line that begins here, or `undefined` when this is not exactly such a line. Never throws. */
  read(from: number): HistoryEvent | undefined {
    this.#at = from;
    if (!this.#passes(expected.index)) return undefined;
    const index = this.#count();
    if (index === noCount || !this.#passes(expected.time)) return undefined;
    const time = this.#count();
    if (time === noCount || !this.#passes(expected.process)) return undefined;
    const process = this.#count();
    if (process === noCount || !this.#passes(expected.type)) return undefined;
    const type = this.#type();
    if (type === undefined || !this.#passes(expected.f)) return undefined;
    const f = this.#text();
    if (f === undefined) return undefined;
    const event: Mutable<HistoryEvent> = { index, time, process, type, f };
    return this.#whatAndResult(event) && this.#circumstances(event) && this.#ends() ? event : undefined;
  }

  /** False when a member that is there is not as expected. */
  #whatAndResult(event: Mutable<HistoryEvent>): boolean {
    if (this.#passes(expected.workload)) {
      const workload = this.#text();
      if (workload === undefined) return false;
      event.workload = workload;
    }
    if (this.#passes(expected.key)) {
      const key = this.#text();
      if (key === undefined) return false;
      event.key = key;
    }
    if (this.#passes(expected.value)) {
      const value = this.#value();
      if (value === undefined) return false;
      event.value = value;
    }
    if (this.#passes(expected.matched)) {
      if (this.#passes(expected.isTrue)) event.matched = true;
      else if (this.#passes(expected.isFalse)) event.matched = false;
      else return false;
    }
    if (this.#passes(expected.error)) {
      const error = this.#text();
      if (error === undefined) return false;
      event.error = error;
    }
    return true;
  }

  /** False when a member that is there is not as expected. */
  #circumstances(event: Mutable<HistoryEvent>): boolean {
    if (this.#bytes[this.#at] !== comma) return true;
    if (this.#passes(expected.node)) {
      const node = this.#text();
      if (node === undefined) return false;
      event.node = node;
    }
    if (this.#passes(expected.incarnation)) {
      const count = this.#count();
      if (count === noCount) return false;
      event.incarnation = count;
    }
    if (this.#bytes[this.#at] !== comma) return true;
    if (this.#passes(expected.readBack)) event.readBack = true;
    if (this.#passes(expected.syncsBegun)) {
      const count = this.#count();
      if (count === noCount) return false;
      event.syncsBegun = count;
    }
    if (this.#passes(expected.syncCompleted)) {
      const count = this.#count();
      if (count === noCount) return false;
      event.syncCompleted = count;
    }
    if (this.#passes(expected.replyPort)) {
      const count = this.#count();
      if (count === noCount) return false;
      event.replyPort = count;
    }
    if (this.#passes(expected.replyBytes)) {
      const count = this.#count();
      if (count === noCount) return false;
      event.replyBytes = count;
    }
    return true;
  }

  #ends(): boolean {
    if (!this.#passes(expected.closing) || this.#bytes[this.#at] !== feed) return false;
    this.end = this.#at + 1;
    return true;
  }

  /** Whether these bytes come next; they are passed then. */
  #passes(wanted: Uint8Array): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    const { length } = wanted;
    // From the back, since most members differ there and all of them begin alike; beyond the text nothing is equal.
    for (let i = length - 1; i >= 0; i--) if (bytes[at + i] !== wanted[i]) return false;
    this.#at = at + length;
    return true;
  }

  /** A whole number without sign or leading zeros. What follows its digits is the business of what is expected next. */
  #count(): number {
    const bytes = this.#bytes;
    const from = this.#at;
    let at = from;
    let count = 0;
    for (let digit = bytes[at]! - zero; digit >= 0 && digit <= 9; digit = bytes[++at]! - zero)
      count = count * 10 + digit;
    this.#at = at;
    const digits = at - from;
    if (digits === 0 || digits > maxDigits || (digits > 1 && bytes[from] === zero)) return noCount;
    return count;
  }

  #type(): HistoryEvent["type"] | undefined {
    if (this.#passes(expected.invoke)) return "invoke";
    if (this.#passes(expected.ok)) return "ok";
    if (this.#passes(expected.fail)) return "fail";
    return this.#passes(expected.info) ? "info" : undefined;
  }

  /** A text that may have come up lately; those remembered are copies, so that none keeps a chunk of the file alive. */
  #text(): string | undefined {
    const from = this.#at + 1;
    const end = this.#closing();
    if (end === -1) return undefined;
    const length = end - from;
    const slot = (length * 31 + this.#bytes[end - 1]! * 7 + this.#bytes[end - 2]!) & (slots - 1);
    const remembered = this.#remembered[slot]!;
    if (remembered.bytes.length === length && this.#stands(remembered.bytes, from)) {
      this.#at = end + 1;
      return remembered.text;
    }
    const fresh = this.#parsed(end + 1);
    if (typeof fresh !== "string") return undefined;
    if (length <= maxRemembered)
      this.#remembered[slot] = { text: fresh, bytes: Uint8Array.from(this.#bytes.subarray(from, end)) };
    return fresh;
  }

  #stands(wanted: Uint8Array, from: number): boolean {
    const bytes = this.#bytes;
    for (let i = 0; i < wanted.length; i++) if (bytes[from + i] !== wanted[i]) return false;
    return true;
  }

  /** Any value that is neither a lone boolean nor to be taken care of, `undefined` otherwise. */
  #value(): unknown {
    switch (this.#bytes[this.#at]) {
      case 0x6e: // n
        return this.#passes(expected.isNull) ? null : undefined;
      case quote: {
        const end = this.#closing();
        return end === -1 ? undefined : this.#parsed(end + 1);
      }
      case 0x5b: // [
        return this.#composed("]", 1);
      case 0x7b: // {
        return this.#composed("}", 2);
      default: {
        const count = this.#count();
        return count === noCount ? undefined : count;
      }
    }
  }

  /** Ends, as far as one can guess, with the line's last bracket of its kind, but for the line's own. */
  #composed(bracket: string, fromEnd: number): unknown {
    const text = this.#chars;
    const value = this.#parsed(text.lastIndexOf(bracket, text.indexOf("\n", this.#at) - fromEnd) + 1);
    if (value === undefined) return undefined;
    const { tooDeep, inexact, unsorted } = careOf(value, maxDepth - 1);
    if (tooDeep || inexact) return undefined;
    return unsorted ? sorted(value) : value;
  }

  /** Where the quote is that may close the text which begins here, or -1. */
  #closing(): number {
    if (this.#bytes[this.#at] !== quote) return -1;
    const bytes = this.#bytes;
    let end = this.#at + 1;
    const near = Math.min(end + 32, bytes.length);
    while (end < near && bytes[end] !== quote) end++;
    if (end === near) end = this.#chars.indexOf('"', near);
    return end === -1 || bytes[end - 1] === backslash ? -1 : end;
  }

  /** What stands here as far as `end`, which is passed then, or `undefined` when it is not JSON. */
  #parsed(end: number): unknown {
    if (end <= this.#at) return undefined;
    try {
      const value: unknown = JSON.parse(this.#chars.slice(this.#at, end));
      this.#at = end;
      return value;
    } catch {
      return undefined;
    }
  }
}
