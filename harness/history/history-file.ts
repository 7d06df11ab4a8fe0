/**
 * The history on disk: one JSON object a line, in order of `index`, no header line.
 *
 * What is guaranteed: when `append` returns, the line has been written (it left this process, and survives SIGKILL of
 * it). Nothing is synced: power loss of the machine that runs acked is not modelled. A harness that dies in the
 * middle of a line leaves a last line that is cut; reading says so and keeps everything before it.
 *
 * What reading does not trust: lengths (a line is at most 16 MB, whatever the file's size), types, the order of
 * `index`, UTF-8. Members it does not know are left out. Whether invocations and completions fit together is
 * `buildHistory`'s business.
 */
import { isUtf8 } from "node:buffer";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { buildHistory, type History, HistoryError } from "./history.ts";
import type { HistoryEvent } from "./operation.ts";

/** Appends events to a history file, each with one write(2) of its own (about 5 µs: nothing to gain by batching). */
export class HistoryWriter {
  readonly path: string;
  readonly #fd: number;
  #failure: HistoryError | undefined;
  #closed = false;

  /** Creates the file, or continues one. @throws HistoryError when it cannot be opened. */
  constructor(path: string) {
    this.path = path;
    try {
      this.#fd = openSync(path, "a", 0o644);
    } catch (error) {
      throw new HistoryError(`the history cannot be created: ${(error as Error).message}`, { cause: error });
    }
  }

  /**
   * Writes one event; it has left this process when this returns, so a request may be sent after its invocation.
   *
   * @throws HistoryError when it cannot be written. From then on every call throws: a history with a gap is none.
   */
  append(event: HistoryEvent): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed) throw new HistoryError(`event ${event.index} came after the history was closed`);
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    try {
      for (let written = 0; written < line.length; ) {
        written += writeSync(this.#fd, line, written);
      }
    } catch (error) {
      this.#failure = new HistoryError(
        `event ${event.index} could not be written to the history: ${(error as Error).message}`,
        { cause: error },
      );
      throw this.#failure;
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }
}

/** How reading a history file ended. */
export interface HistoryFileEnd {
  /** Events read. */
  readonly events: number;
  /** True when the last line was cut by a crash of whoever wrote it; it is left out. */
  readonly truncated: boolean;
}

export interface HistoryFileOptions {
  /** The workload of lines that do not name one (`acked check --model`). */
  readonly workload?: string;
}

/** Bytes a line may have. */
export const maxLineBytes = 16 * 1024 * 1024;

const chunkBytes = 256 * 1024;

/**
 * Reads a history file line by line, in bounded memory, and returns how it ended.
 *
 * @throws HistoryError naming the line number and what is wrong with it, or why the file cannot be read.
 */
export function* readHistoryFile(
  path: string,
  options: HistoryFileOptions = {},
): Generator<HistoryEvent, HistoryFileEnd, undefined> {
  const fd = openForReading(path);
  let events = 0;
  let previous = -1;
  try {
    for (const { bytes, number, complete } of linesOf(fd)) {
      if (isBlank(bytes)) continue;
      if (!complete && !isJson(bytes)) return { events, truncated: true };
      const event = parseLine(bytes, number, options);
      if (event.index <= previous) {
        throw badLine(
          number,
          `"index" is ${event.index} after ${previous}; each line's index must be greater than the one before`,
        );
      }
      previous = event.index;
      events++;
      yield event;
    }
  } finally {
    closeSync(fd);
  }
  return { events, truncated: false };
}

/**
 * Reads a whole history file and pairs its operations.
 *
 * @throws HistoryError as `readHistoryFile` and `buildHistory` do.
 */
export function loadHistory(
  path: string,
  options: HistoryFileOptions = {},
): HistoryFileEnd & { readonly history: History } {
  let end: HistoryFileEnd = { events: 0, truncated: false };
  function* events(): Generator<HistoryEvent, void, undefined> {
    end = yield* readHistoryFile(path, options);
  }
  const history = buildHistory(events());
  return { history, ...end };
}

interface Line {
  readonly bytes: Buffer;
  /** From 1. */
  readonly number: number;
  /** False for a last line without its line feed. */
  readonly complete: boolean;
}

function openForReading(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new HistoryError(`the history cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function* linesOf(fd: number): Generator<Line, void, undefined> {
  let pieces: Buffer[] = [];
  let pending = 0;
  let number = 1;
  for (;;) {
    const chunk = readChunk(fd);
    if (chunk.length === 0) break;
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      checkLength(pending + end - from, number);
      const tail = chunk.subarray(from, end);
      yield { bytes: pending === 0 ? tail : Buffer.concat([...pieces, tail]), number, complete: true };
      number++;
      pieces = [];
      pending = 0;
      from = end + 1;
    }
    if (from < chunk.length) {
      pieces.push(chunk.subarray(from));
      pending += chunk.length - from;
      checkLength(pending, number);
    }
  }
  if (pending > 0) yield { bytes: Buffer.concat(pieces), number, complete: false };
}

function readChunk(fd: number): Buffer {
  const chunk = Buffer.allocUnsafe(chunkBytes);
  try {
    return chunk.subarray(0, readSync(fd, chunk));
  } catch (error) {
    throw new HistoryError(`the history cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function checkLength(bytes: number, number: number): void {
  if (bytes > maxLineBytes)
    throw badLine(number, `it is longer than ${maxLineBytes / (1024 * 1024)} MB; is this a history?`);
}

function isBlank(bytes: Buffer): boolean {
  return bytes.length === 0 || (bytes.length === 1 && bytes[0] === 13);
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString("utf8"));
    return true;
  } catch {
    return false;
  }
}

function badLine(number: number, what: string): HistoryError {
  return new HistoryError(`line ${number} of the history: ${what}`);
}

function parseLine(bytes: Buffer, number: number, options: HistoryFileOptions): HistoryEvent {
  if (!isUtf8(bytes)) throw badLine(number, "it is not UTF-8 text");
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw badLine(number, `it is not JSON (${(error as Error).message.slice(0, 120)})`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw badLine(number, `it is ${kindOf(parsed)}, not an object like {"index":0,"time":0,"process":0,…}`);
  }
  return eventOf(parsed as Record<string, unknown>, number, options);
}

/** Copies the members we know into a new object, so that a hostile name such as `__proto__` stays inert. */
function eventOf(raw: Record<string, unknown>, number: number, options: HistoryFileOptions): HistoryEvent {
  const has = (name: string) => Object.hasOwn(raw, name);
  const need = (name: string, valid: (value: unknown) => boolean, wanted: string): unknown => {
    if (!has(name)) throw badLine(number, `"${name}" is missing; it must be ${wanted}`);
    if (!valid(raw[name])) throw badLine(number, `"${name}" is ${show(raw[name])}; it must be ${wanted}`);
    return raw[name];
  };
  const optional = (name: string, valid: (value: unknown) => boolean, wanted: string): object =>
    has(name) && raw[name] !== undefined ? { [name]: need(name, valid, wanted) } : {};
  const process = need(
    "process",
    (value) => value === "nemesis" || isCount(value),
    'a whole number from 0, or "nemesis"',
  );
  const workload =
    process === "nemesis" || options.workload === undefined ? {} : { workload: options.workload };
  return {
    index: need("index", isCount, "a whole number from 0") as number,
    time: need("time", isTime, "a number of ns from 0") as number,
    process: process as number | "nemesis",
    type: need("type", isType, '"invoke", "ok", "fail" or "info"') as HistoryEvent["type"],
    f: need("f", isString, "a string") as string,
    ...workload,
    ...optional("workload", isString, "a string"),
    ...optional("key", isString, "a string"),
    ...(has("value") ? { value: raw.value } : {}),
    ...optional("matched", isBoolean, "true or false"),
    ...optional("error", isString, "a string"),
    ...optional("node", isString, "a string"),
    ...optional("incarnation", isCount, "a whole number from 0"),
    ...optional("readBack", isBoolean, "true or false"),
    ...optional("syncsBegun", isCount, "a whole number from 0"),
    ...optional("syncCompleted", isCount, "a whole number from 0"),
    ...optional("replyPort", isCount, "a whole number from 0"),
    ...optional("replyBytes", isCount, "a whole number from 0"),
  };
}

const isString = (value: unknown) => typeof value === "string";
const isBoolean = (value: unknown) => typeof value === "boolean";
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isTime = (value: unknown) => typeof value === "number" && Number.isFinite(value) && value >= 0;
const isType = (value: unknown) =>
  value === "invoke" || value === "ok" || value === "fail" || value === "info";

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
