/**
 * Cuts a file of EDN or JSON into its elements without parsing them: one map after the other, on lines of their own or
 * pretty-printed, or all of them inside one vector that spans the file.
 *
 * Verified: brackets match, an element is at most 16 MiB and 200 levels deep, its bytes are UTF-8, no zero bytes between
 * tokens. Not verified: anything about the tokens themselves; the parser sees whole elements only.
 * Memory: the element at hand and one chunk of 256 KiB, whatever the size of the file.
 *
 * A last element that the end of the file cuts is left out and reported as `truncated`, as a crash of the recorder
 * leaves it. Where an element swallowed lines that begin like itself, it was not cut but never closed: that is an error,
 * since leaving it out would silently leave out everything after it.
 */
import { isUtf8 } from "node:buffer";
import { closeSync, readSync } from "node:fs";
import { HistoryError } from "../history.ts";
import { maxDepth } from "../json-values.ts";
import { openRegularFile } from "../regular-file.ts";

export type Syntax = "edn" | "json";

export interface Form {
  readonly bytes: Buffer;
  /** Line on which it begins, from 1. */
  readonly line: number;
  /** Position among the elements of the file, from 1. */
  readonly number: number;
}

export const defaultMaxFormBytes = 16 * 1024 * 1024;

const chunkBytes = 256 * 1024;

/** Where a form stands, for sentences: its line, and its number where several share a line. */
export function placeOf({ line, number }: Form): string {
  return line === number ? `line ${line}` : `line ${line} (form ${number})`;
}

/**
 * The elements of a file, in order.
 *
 * @returns whether the last one was cut by the end of the file.
 * @throws HistoryError naming the line, or why the file cannot be read.
 */
export function* formsOf(
  path: string,
  syntax: Syntax,
  maxFormBytes: number = defaultMaxFormBytes,
): Generator<Form, { readonly truncated: boolean }, undefined> {
  const scanner = new FormScanner(syntax, maxFormBytes);
  for (const chunk of chunksOf(path)) yield* scanner.feed(chunk);
  return yield* scanner.end();
}

/** The bytes of a file, in pieces that stay valid. @throws HistoryError when it cannot be read. */
export function* chunksOf(path: string): Generator<Buffer, void, undefined> {
  const fd = openRegularFile(path);
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunkBytes);
      const length = readSync(fd, chunk);
      if (length === 0) return;
      yield chunk.subarray(0, length);
    }
  } catch (error) {
    if (error instanceof HistoryError) throw error;
    throw new HistoryError(`the history cannot be read: ${(error as Error).message}`, { cause: error });
  } finally {
    closeSync(fd);
  }
}

const newline = 10;
const quote = 34;
const hash = 35;
const semicolon = 59;
const backslash = 92;

/** What closes each opening bracket; 0 for every other byte. */
const closerOf = bytes([40, 41], [91, 93], [123, 125]);
const isCloser = bytes([41, 1], [93, 1], [125, 1]);
/** The comma is white space in EDN, and what separates elements in JSON. */
const isSpace = bytes([32, 1], [9, 1], [newline, 1], [13, 1], [12, 1], [44, 1]);
/** What changes the state inside brackets; all other bytes are skipped in a tight loop. */
const special = bytes(
  ...[0, newline, quote, semicolon, backslash, 40, 41, 91, 93, 123, 125].map((byte) => [byte, 1] as const),
);

function bytes(...set: (readonly [byte: number, value: number])[]): Uint8Array {
  const table = new Uint8Array(256);
  for (const [byte, value] of set) table[byte] = value;
  return table;
}

/** Between elements; in the one at hand, outside and inside strings; after a backslash in either; in a comment. */
type State = "between" | "element" | "string" | "escape" | "character" | "comment";

/** An atom outside brackets: a tag (or a discard) waits for the form after it, anything else is an element itself. */
type Atom = "none" | "tag" | "other";

class FormScanner {
  readonly #edn: boolean;
  readonly #maxFormBytes: number;
  #state: State = "between";
  #afterComment: State = "between";
  readonly #closers: number[] = [];
  readonly #openedOn: number[] = [];
  /** 1 inside a vector that spans the file; 0 when elements stand on their own. */
  #base = 0;
  #spanClosed = false;
  #atom: Atom = "none";
  #line = 1;
  #number = 0;
  /** Bytes in the chunks before this one, and where the current line begins. */
  #offset = 0;
  #lineStart = 0;
  #pieces: Buffer[] = [];
  #pending = 0;
  #startLine = 0;
  #startColumn = 0;

  constructor(syntax: Syntax, maxFormBytes: number) {
    this.#edn = syntax === "edn";
    this.#maxFormBytes = maxFormBytes;
  }

  *feed(chunk: Buffer): Generator<Form, void, undefined> {
    let at = this.#offset === 0 ? byteOrderMark(chunk) : 0;
    // Where the element at hand begins in this chunk; meaningless between elements.
    let start = 0;
    while (at < chunk.length) {
      if (this.#skips()) {
        while (at < chunk.length && !special[chunk[at]!]) at++;
        if (at === chunk.length) break;
      }
      const byte = chunk[at]!;
      if (this.#endsBefore(byte)) yield this.#take(chunk.subarray(start, at));
      const wasBetween = this.#state === "between";
      const ends = this.#step(byte, at);
      if (wasBetween && this.#state !== "between") start = at;
      if (byte === newline) {
        this.#line++;
        this.#lineStart = this.#offset + at + 1;
      }
      at++;
      if (ends) yield this.#take(chunk.subarray(start, at));
    }
    if (this.#inElement()) this.#keep(chunk.subarray(start));
    this.#offset += chunk.length;
  }
  /** What the end of the file means. */
  *end(): Generator<Form, { readonly truncated: boolean }, undefined> {
    if (!this.#inElement()) return { truncated: this.#base === 1 && !this.#spanClosed };
    const isWholeAtom = this.#state === "element" && this.#closers.length === 0 && this.#atom === "other";
    if (isWholeAtom) {
      yield this.#take(Buffer.alloc(0));
      return { truncated: false };
    }
    this.#refuseUnclosed(Buffer.concat(this.#pieces));
    return { truncated: true };
  }

  /** True where only special bytes matter. */
  #skips(): boolean {
    if (this.#state === "element") return this.#closers.length > this.#base;
    return this.#state === "string" || this.#state === "comment";
  }

  #inElement(): boolean {
    return this.#state !== "between" && !(this.#state === "comment" && this.#afterComment === "between");
  }

  /** True when this byte ends an atom that stands on its own, without belonging to it. */
  #endsBefore(byte: number): boolean {
    if (this.#state !== "element" || this.#atom !== "other" || this.#closers.length > this.#base)
      return false;
    return isSpace[byte] === 1 || isCloser[byte] === 1 || (this.#edn && byte === semicolon);
  }

  /** Moves on by one byte; true when it is the last one of an element. */
  #step(byte: number, at: number): boolean {
    switch (this.#state) {
      case "between":
        return this.#between(byte, at);
      case "element":
        return this.#element(byte);
      case "string":
        if (byte === backslash) this.#state = "escape";
        if (byte !== quote) return false;
        this.#state = "element";
        return this.#closers.length === this.#base;
      case "escape":
        this.#state = "string";
        return false;
      case "character":
        this.#state = "element";
        return false;
      case "comment":
        if (byte === newline) this.#state = this.#afterComment;
        return false;
    }
  }

  #between(byte: number, at: number): boolean {
    if (isSpace[byte]) return false;
    if (this.#edn && byte === semicolon) return this.#comment();
    if (this.#spanClosed) throw badForm(this.#line, "something follows the closing bracket of the history");
    const maySpan = this.#number === 0 && this.#base === 0;
    if (maySpan && (byte === 91 || (this.#edn && byte === 40))) {
      this.#base = 1;
      this.#open(byte);
      return false;
    }
    if (isCloser[byte]) {
      this.#close(byte);
      this.#spanClosed = true;
      return false;
    }
    this.#state = "element";
    this.#startLine = this.#line;
    this.#startColumn = this.#offset + at - this.#lineStart;
    return this.#element(byte);
  }

  #element(byte: number): boolean {
    if (byte === 0) throw badForm(this.#line, "it has a zero byte; is this a history?");
    if (this.#closers.length === this.#base) {
      if (isSpace[byte] || (this.#edn && byte === semicolon)) this.#atom = "none";
      else if (this.#atom === "none") this.#atom = this.#edn && byte === hash ? "tag" : "other";
    }
    if (byte === quote) this.#state = "string";
    else if (this.#edn && byte === semicolon) return this.#comment();
    else if (this.#edn && byte === backslash) this.#state = "character";
    else if (closerOf[byte]) this.#open(byte);
    else if (isCloser[byte]) {
      this.#close(byte);
      return this.#closers.length === this.#base;
    }
    return false;
  }

  #comment(): false {
    this.#afterComment = this.#state;
    this.#state = "comment";
    return false;
  }

  #open(byte: number): void {
    if (this.#closers.length - this.#base >= maxDepth) {
      throw badForm(this.#line, `it is nested deeper than ${maxDepth} levels; is this a history?`);
    }
    this.#closers.push(closerOf[byte]!);
    this.#openedOn.push(this.#line);
  }

  #close(byte: number): void {
    const expected = this.#closers.pop();
    const openedOn = this.#openedOn.pop();
    if (expected === byte && this.#closers.length >= (this.#inElement() ? this.#base : 0)) return;
    const found = String.fromCharCode(byte);
    throw badForm(
      this.#line,
      expected === undefined || expected === byte
        ? `"${found}" closes nothing`
        : `"${found}" stands where "${String.fromCharCode(expected)}" should close what line ${openedOn} opened`,
    );
  }

  /** The element at hand, complete. @param tail its part in the current chunk. */
  #take(tail: Buffer): Form {
    const whole = this.#pending === 0 ? tail : Buffer.concat([...this.#pieces, tail]);
    if (whole.length > this.#maxFormBytes) throw this.#tooLong();
    if (!isUtf8(whole)) throw badForm(this.#startLine, "it is not UTF-8 text");
    this.#pieces = [];
    this.#pending = 0;
    this.#state = "between";
    this.#atom = "none";
    return { bytes: whole, line: this.#startLine, number: ++this.#number };
  }

  #keep(tail: Buffer): void {
    this.#pieces.push(tail);
    this.#pending += tail.length;
    if (this.#pending > this.#maxFormBytes) throw this.#tooLong();
  }

  #tooLong(): HistoryError {
    const mb = this.#maxFormBytes / (1024 * 1024);
    return badForm(
      this.#startLine,
      `what begins here is longer than ${mb < 1 ? `${this.#maxFormBytes} bytes` : `${mb} MB`}; is a string or bracket never closed?`,
    );
  }

  /** An element that has swallowed a line beginning like itself was never closed. */
  #refuseUnclosed(rest: Buffer): void {
    const head = rest.subarray(0, 2);
    if (head.length < 2) return;
    for (let at = rest.indexOf(newline); at !== -1; at = rest.indexOf(newline, at + 1)) {
      const from = at + 1 + this.#startColumn;
      if (rest.subarray(from, from + 2).equals(head)) {
        throw badForm(this.#startLine, "a string or bracket that begins here is never closed");
      }
    }
  }
}

function byteOrderMark(chunk: Buffer): number {
  return chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? 3 : 0;
}

function badForm(line: number, what: string): HistoryError {
  return new HistoryError(`line ${line} of the history: ${what}`);
}
