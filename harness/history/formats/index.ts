/** The formats of histories, and the two doors to them: `openHistory` reads any, `exportHistory` writes one. */
import { closeSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { ScenarioError, unknownName } from "../../../stores/contract.ts";
import { buildHistory, type History, HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import { openRegularFile } from "../regular-file.ts";
import { columnar } from "./columnar.ts";
import {
  type FormatEnd,
  type HistoryFormat,
  headBytes,
  type ReadOptions,
  type WriteOptions,
  type Written,
} from "./contract.ts";
import { jepsenEdn, textOf } from "./jepsen-edn.ts";
import { jepsenJson } from "./jepsen-json.ts";
import { jepsenLog } from "./jepsen-log.ts";
import { kvStrings, kvStringsJson } from "./kv-strings.ts";
import { lines } from "./lines.ts";
import { originOf } from "./lines-or-jepsen.ts";
import { ofOneWorkload } from "./one-workload.ts";

/** The first one that takes a file for its own reads it: the most particular come first. */
export const historyFormats: readonly HistoryFormat[] = [
  columnar,
  lines,
  kvStrings,
  kvStringsJson,
  jepsenEdn,
  jepsenJson,
  jepsenLog,
];

export interface OpenOptions extends ReadOptions {
  /** A format's name, or "auto" (the default). */
  readonly format?: string;
}

export interface OpenedHistory {
  readonly history: History;
  /** Events read. */
  readonly events: number;
  /** The last form was cut, and left out. */
  readonly truncated: boolean;
  /** The name of the format it was read as. */
  readonly format: string;
  /** Sentences for a person. */
  readonly warnings: readonly string[];
}

/** @throws ScenarioError, one sentence with the nearest name. */
export function findFormat(name: string): HistoryFormat {
  const format = historyFormats.find((one) => one.name === name);
  if (!format) throw unknownFormat(name);
  return format;
}

function unknownFormat(name: string): ScenarioError {
  return unknownName(
    "history format",
    name,
    historyFormats.map((format) => format.name),
  );
}

/**
 * The format of a file, by its first 64 KiB.
 *
 * @throws HistoryError when it cannot be read, or is none of the known ones. An empty file is of our own format.
 */
export function detectFormat(path: string): HistoryFormat {
  const head = headOf(path);
  if (textOf(head).trim() === "") return lines;
  const format = historyFormats.find((one) => one.detects(head, path));
  if (format) return format;
  const known = historyFormats.map(({ name }) => name).join(", ");
  throw new HistoryError(
    `the history is of no known format (${known}); name one to see what is wrong with it`,
  );
}

/**
 * The events of a file in any format, one at a time and in bounded memory.
 *
 * @throws ScenarioError for an unknown format, and an option that does not apply to the format at hand; HistoryError naming
 * the line and what is wrong with it.
 */
export function readHistory(
  path: string,
  options: OpenOptions = {},
): { readonly format: string; readonly events: Generator<HistoryEvent, FormatEnd, undefined> } {
  const { format: name = "auto", ...rest } = options;
  const format = name === "auto" ? detectFormat(path) : findFormat(name);
  refuseWhatItDoesNotTake(format, rest);
  const isLines = format === lines || format === jepsenJson;
  const guessed = name === "auto" && isLines && originOf(headOf(path)).endsWith("by its values");
  return { format: format.name, events: format.read(path, guessed ? { ...rest, guessed } : rest) };
}

const flags = { independent: "--independent", failedCas: "--failed-cas" } as const;

/** What a person said must mean something; "auto", which nobody needs to say, means nothing. */
function refuseWhatItDoesNotTake({ name, takes = [] }: HistoryFormat, options: ReadOptions): void {
  for (const option of ["independent", "failedCas"] as const) {
    const value = options[option];
    if (value === undefined || value === "auto" || takes.includes(option)) continue;
    const taking = historyFormats.filter((one) => one.takes?.includes(option)).map((one) => one.name);
    throw new ScenarioError(
      `${flags[option]} says how to read ${taking.join(", ")}, and the history is read as ${name}`,
    );
  }
}

/** Reads a whole history and pairs its operations. @throws as `readHistory` does. */
export function openHistory(path: string, options: OpenOptions = {}): OpenedHistory {
  const { format, events } = readHistory(path, options);
  // Operations that are there need not be paired again; a name for those without one is given while they are read.
  const open = options.workload === undefined ? findFormat(format).open : undefined;
  if (open) return { ...open(path), format, truncated: false, warnings: [] };
  let end: FormatEnd = { events: 0, truncated: false, warnings: [] };
  function* all(): Generator<HistoryEvent, void, undefined> {
    end = yield* events;
  }
  const history = buildHistory(all());
  return { history, format, ...end };
}

export interface Exported extends Written {
  /** Events written. */
  readonly events: number;
  /** What was noticed while the source was read; empty when it was given as events. */
  readonly warnings: readonly string[];
}

export interface ExportOptions extends WriteOptions {
  /** Only the operations of this workload. Default: all. Nemesis events are always kept. */
  readonly workload?: string;
  /** How to read the source when it is a path. */
  readonly from?: OpenOptions;
}

/**
 * Writes a history in another format; the file appears under its name only when all of it is written.
 *
 * @param source events, or the path of a history in any format
 * @throws ScenarioError for an unknown format; HistoryError when the source cannot be read, the format cannot hold it, or
 * the file cannot be written, or no operation is of the workload asked for.
 */
export function exportHistory(
  source: string | Iterable<HistoryEvent>,
  formatName: string,
  outPath: string,
  options: ExportOptions = {},
): Exported {
  const format = findFormat(formatName);
  if (!format.write && !format.writeFile)
    throw new HistoryError(`the format ${format.name} can only be read`);
  const { from, workload, ...writing } = options;
  let warnings: readonly string[] = [];
  let events = 0;
  function* all(): Generator<HistoryEvent, void, undefined> {
    const read = typeof source === "string" ? readHistory(source, from).events : source;
    const iterator = read[Symbol.iterator]() as Iterator<HistoryEvent, FormatEnd | undefined>;
    for (let next = iterator.next(); ; next = iterator.next()) {
      if (next.done) {
        warnings = next.value?.warnings ?? [];
        return;
      }
      yield next.value;
    }
  }
  function* counted(): Generator<HistoryEvent, void, undefined> {
    for (const event of workload === undefined ? all() : ofOneWorkload(all(), workload)) {
      events++;
      yield event;
    }
  }
  const { write, writeFile } = format;
  const { leftOut } = write
    ? intoFile(outPath, (out) => write(counted(), out, writing))
    : intoPath(outPath, (partial) => writeFile!(counted(), partial));
  return { leftOut, events, warnings };
}

/** The same as `intoFile` for a writer that writes a file itself. */
function intoPath(path: string, run: (partial: string) => Written): Written {
  const partial = `${path}.partial`;
  try {
    const written = run(partial);
    attempt("written", () => renameSync(partial, path));
    return written;
  } finally {
    rmSync(partial, { force: true });
  }
}

/** Runs a writer against a file that gets its name last. */
function intoFile(path: string, run: (out: (text: string) => void) => Written): Written {
  const partial = `${path}.partial`;
  const fd = attempt("created", () => openSync(partial, "w", 0o644));
  let pending = "";
  const flush = () => {
    const bytes = Buffer.from(pending);
    pending = "";
    attempt("written", () => {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    });
  };
  let complete = false;
  try {
    const written = run((text) => {
      pending += text;
      if (pending.length > headBytes) flush();
    });
    flush();
    complete = true;
    return written;
  } finally {
    closeSync(fd);
    if (complete) attempt("written", () => renameSync(partial, path));
    else rmSync(partial, { force: true });
  }
}

function attempt<Result>(what: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    throw new HistoryError(`the export cannot be ${what}: ${(error as Error).message}`, { cause: error });
  }
}

function headOf(path: string): Buffer {
  const fd = openRegularFile(path);
  try {
    const head = Buffer.alloc(headBytes);
    return head.subarray(0, readSync(fd, head));
  } catch (error) {
    throw new HistoryError(`the history cannot be read: ${(error as Error).message}`, { cause: error });
  } finally {
    closeSync(fd);
  }
}
