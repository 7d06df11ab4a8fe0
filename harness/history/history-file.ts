/**
 * The history on disk: one JSON object a line, in order of `index`, no header line.
 *
 * What is guaranteed: when `append` returns, the line has been written (it left this process, and survives SIGKILL of
 * it). Nothing is synced: power loss of the machine that runs acked is not modelled. A harness that dies in the
 * middle of a line leaves a last line that is cut; reading says so and keeps everything before it.
 *
 * What reading does not trust: lengths (a line is at most 16 MB, whatever the file's size), depth (200 levels), types, the
 * order of `index`, UTF-8. Members it does not know are left out. Of values it normalizes two things: members of objects are
 * sorted by name, and a whole number that a double would round is read exactly as `{"#edn":"9007199254740993"}`. Whether invocations and completions fit together is
 * `buildHistory`'s business.
 */
import { isAscii, isUtf8 } from "node:buffer";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { buildHistory, type History, HistoryError } from "./history.ts";
import { careOf, maxDepth, sorted, withExactNumbers } from "./json-values.ts";
import type { HistoryEvent } from "./operation.ts";
import { RecordedLines } from "./recorded-line.ts";
import { openRegularFile } from "./regular-file.ts";
import { shownText } from "./shown-text.ts";

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
  /** Called for every member that is left out because its name is not known. @param line from 1 */
  readonly onUnknownField?: (name: string, line: number) => void;
}

/** Bytes a line may have. */
export const maxLineBytes = 16 * 1024 * 1024;

const chunkBytes = 64 * 1024;

/**
 * Reads a history file line by line, in bounded memory, and returns how it ended. Bytes are decoded in chunks of whole
 * lines. Reading costs about 1.1 times `JSON.parse` where lines are as a recording has them (`recorded-line.ts`), and 1.4
 * times where not: any other event of the expected shape is handed on as it was parsed.
 *
 * @throws HistoryError naming the line number and what is wrong with it, or why the file cannot be read.
 */
export function* readHistoryFile(
  path: string,
  options: HistoryFileOptions = {},
): Generator<HistoryEvent, HistoryFileEnd, undefined> {
  const fd = openRegularFile(path);
  const place: Place = { line: 1 };
  const recorded = new RecordedLines();
  let events = 0;
  let previous = -1;
  try {
    for (const { text, complete, ascii } of textsOf(fd, place)) {
      if (ascii) recorded.use(ascii, text);
      for (let from = 0; from < text.length; place.line++) {
        let event = ascii && complete ? recorded.read(from) : undefined;
        if (event) {
          from = recorded.end;
          giveWorkload(event, options);
        } else {
          const feed = text.indexOf("\n", from);
          const end = feed === -1 ? text.length : feed;
          const line = text.slice(from, end);
          from = end + 1;
          if (line === "" || line === "\r") continue;
          if (!complete && !isJson(line)) return { events, truncated: true };
          event = eventIn(line, place.line, options);
        }
        if (event.index <= previous) throw outOfOrder(place.line, event.index, previous);
        previous = event.index;
        events++;
        yield event;
      }
    }
  } finally {
    closeSync(fd);
  }
  return { events, truncated: false };
}

function outOfOrder(number: number, index: number, previous: number): HistoryError {
  return badLine(
    number,
    `"index" is ${index} after ${previous}; each line's index must be greater than the one before`,
  );
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

/** How far reading has come. */
interface Place {
  /** Number of the next line, from 1; whoever takes the lines counts them. */
  line: number;
}

/** Whole lines, decoded. */
interface Text {
  readonly text: string;
  /** False for a last line without its line feed. */
  readonly complete: boolean;
  /** The same as bytes, where all of it is ASCII; valid until the next text is asked for. */
  readonly ascii?: Buffer;
}

/**
 * The file as runs of whole lines, at most a chunk of them at a time. A line that spans chunks is put together from copies
 * of its pieces, since one buffer serves all chunks.
 */
function* textsOf(fd: number, place: Place): Generator<Text, void, undefined> {
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  let pieces: Buffer[] = [];
  let pending = 0;
  for (let chunk = readChunk(fd, buffer); chunk.length > 0; chunk = readChunk(fd, buffer)) {
    const end = chunk.lastIndexOf(10) + 1;
    let from = 0;
    if (end > 0 && pending > 0) {
      from = chunk.indexOf(10) + 1;
      checkLength(pending + from - 1, place.line);
      yield* decoded(Buffer.concat([...pieces, chunk.subarray(0, from)]), place, true);
      pieces = [];
      pending = 0;
    }
    if (from < end) yield* decoded(chunk.subarray(from, end), place, true);
    if (end < chunk.length) {
      pieces.push(Buffer.from(chunk.subarray(end)));
      pending += chunk.length - end;
      checkLength(pending, place.line);
    }
  }
  if (pending > 0) yield* decoded(Buffer.concat(pieces), place, false);
}

/** Lines as one text; where they are not UTF-8, those before the first that is not, and then the complaint about it. */
function* decoded(bytes: Buffer, place: Place, complete: boolean): Generator<Text, void, undefined> {
  if (isAscii(bytes)) {
    yield { text: bytes.toString("latin1"), complete, ascii: bytes };
    return;
  }
  if (isUtf8(bytes)) {
    yield { text: bytes.toString("utf8"), complete };
    return;
  }
  for (let from = 0; from < bytes.length; ) {
    const feed = bytes.indexOf(10, from);
    const line = bytes.subarray(from, feed === -1 ? bytes.length : feed + 1);
    from += line.length;
    const text = line.toString("utf8");
    // A last line that was cut may have been cut inside a character: with a replacement in it, it still is no JSON.
    if (!isUtf8(line) && (complete || isJson(text))) throw badLine(place.line, "it is not UTF-8 text");
    yield { text, complete };
  }
}

function readChunk(fd: number, buffer: Buffer): Buffer {
  try {
    return buffer.subarray(0, readSync(fd, buffer));
  } catch (error) {
    throw new HistoryError(`the history cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function checkLength(bytes: number, number: number): void {
  if (bytes > maxLineBytes)
    throw badLine(number, `it is longer than ${maxLineBytes / (1024 * 1024)} MB; is this a history?`);
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

function badLine(number: number, what: string): HistoryError {
  return new HistoryError(`line ${number} of the history: ${what}`);
}

function eventIn(line: string, number: number, options: HistoryFileOptions): HistoryEvent {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    throw badLine(
      number,
      `it is not JSON (${(error as Error).message.replace(/\p{C}/gu, "?").slice(0, 120)})`,
    );
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw badLine(number, `it is ${kindOf(parsed)}, not an object like {"index":0,"time":0,"process":0,…}`);
  }
  const raw = parsed as Record<string, unknown>;
  takeCareOfValue(raw, line, number);
  if (!isPlainEvent(raw)) {
    // Members that are left out, or complained about, are looked at as well.
    if (Object.values(raw).some((member) => careOf(member, maxDepth - 1).tooDeep)) throw tooDeep(number);
    const event = eventOf(raw, number, options);
    if (options.onUnknownField) {
      for (const name of Object.keys(raw)) {
        if (!Object.hasOwn(event, name)) options.onUnknownField(name, number);
      }
    }
    return event;
  }
  const event = raw as unknown as HistoryEvent;
  giveWorkload(event, options);
  return event;
}

/** Adds the workload that the caller names to a client's event that names none. */
function giveWorkload(
  event: { workload?: string; process: unknown },
  { workload }: HistoryFileOptions,
): void {
  if (workload !== undefined && event.workload === undefined && event.process !== "nemesis")
    event.workload = workload;
}

/** Makes the value exact and one text per value. @throws HistoryError when it is nested too deep. */
function takeCareOfValue(raw: Record<string, unknown>, line: string, number: number): void {
  if (!Object.hasOwn(raw, "value")) return;
  const { tooDeep: isTooDeep, inexact, unsorted } = careOf(raw.value, maxDepth - 1);
  if (isTooDeep) throw tooDeep(number);
  if (inexact) raw.value = (JSON.parse(withExactNumbers(line)) as { value: unknown }).value;
  if (inexact || unsorted) raw.value = sorted(raw.value);
}

function tooDeep(number: number): HistoryError {
  return badLine(number, `it is nested deeper than ${maxDepth} levels; is this a history?`);
}

/**
 * True when an object fresh from `JSON.parse` is an event already: every member it has is one we know, with a valid
 * value, and none is missing. What it says no to, `eventOf` looks at again, to copy it or to complain.
 */
function isPlainEvent(raw: Record<string, unknown>): boolean {
  let needed = 0;
  for (const name in raw) {
    const value = raw[name];
    switch (name) {
      case "index":
        if (!isCount(value)) return false;
        needed++;
        break;
      case "time":
        if (!isTime(value)) return false;
        needed++;
        break;
      case "process":
        if (value !== "nemesis" && !isCount(value)) return false;
        needed++;
        break;
      case "type":
        if (!isType(value)) return false;
        needed++;
        break;
      case "f":
        if (typeof value !== "string") return false;
        needed++;
        break;
      case "value":
        break;
      case "workload":
      case "key":
      case "error":
      case "node":
        if (typeof value !== "string") return false;
        break;
      case "matched":
      case "readBack":
        if (typeof value !== "boolean") return false;
        break;
      case "incarnation":
      case "syncsBegun":
      case "syncCompleted":
      case "replyPort":
      case "replyBytes":
        if (!isCount(value)) return false;
        break;
      default:
        return false; // not ours, or a hostile name such as `__proto__`
    }
  }
  return needed === 5;
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
  return shownText(JSON.stringify(value) ?? "undefined", 60);
}
