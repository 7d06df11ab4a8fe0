/**
 * Operations in Jepsen's log, as the older tests of etcd left them (Porcupine's `test_data/jepsen`): lines
 * `INFO  jepsen.util - 3<tab>:invoke<tab>:cas<tab>[1 2]`, among others that are no operations. Read only.
 *
 * A failed compare-and-set is by default an observation here ("the value was another one"), unlike in `history.edn`:
 * those tests reported `:fail` of a cas for nothing else, and Porcupine's model of the samples counts on it.
 */
import { isUtf8 } from "node:buffer";
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, HistoryFormat, ReadOptions } from "./contract.ts";
import { EdnError, readEdnForms } from "./edn.ts";
import { chunksOf, defaultMaxFormBytes } from "./forms.ts";
import { looksIndependent, type Seen, seenOf } from "./independent.ts";
import { ednNotation, textOf } from "./jepsen-edn.ts";
import { JepsenReading, type Members } from "./jepsen-reading.ts";

/** From the name of the logger on; the prefix is looked at apart, so that a hostile line takes linear time. */
const operation =
  /^jepsen\.(?:util|core)\s*(?:-|:)\s*(\d+|:[\w-]+)\s+(:(?:invoke|ok|fail|info))\s+(:\S+)(?:\s+(.*))?$/;

/** The parts of a line that logs an operation. */
function partsOf(text: string): readonly string[] | undefined {
  const start = text.search(/\bjepsen\.(?:util|core)\b/);
  if (start === -1 || !text.slice(0, start).includes("INFO")) return undefined;
  return operation.exec(text.slice(start))?.slice(1);
}

export const jepsenLog: HistoryFormat = {
  name: "jepsen-log",
  summary: "operations in Jepsen's log (INFO jepsen.util - 0 :invoke :write 3); read only",
  takes: ["independent", "failedCas"],
  detects: (head) =>
    textOf(head)
      .split(/\r?\n/)
      .some((line) => partsOf(line) !== undefined),
  read,
};

function* read(path: string, options: ReadOptions = {}): Generator<HistoryEvent, FormatEnd, undefined> {
  const maxBytes = options.maxFormBytes ?? defaultMaxFormBytes;
  const independent =
    typeof options.independent === "boolean"
      ? options.independent
      : looksIndependent(seenIn(path, maxBytes), ednNotation.nameOf);
  const reading = new JepsenReading(ednNotation, { failedCas: "observation", ...options, independent });
  let truncated = false;
  for (const line of linesOf(path, maxBytes)) {
    const members = membersOf(line);
    if (members === "cut") truncated = true;
    else if (members) yield reading.event(members, `line ${line.number}`);
    else if (line.text.trim() !== "")
      reading.warnings.note("a line that is no operation ignored", `line ${line.number}`);
  }
  return { events: reading.events, truncated, warnings: reading.finish() };
}

function* seenIn(path: string, maxBytes: number): Generator<Seen, void, undefined> {
  for (const line of linesOf(path, maxBytes)) {
    const members = membersOf(line);
    if (members && members !== "cut") yield seenOf(members, line.text.length, ednNotation.nameOf);
  }
}

/** `undefined` for a line that is no operation, `cut` for a last one without its end. @throws HistoryError */
function membersOf({ text, number, complete }: Line): Members | "cut" | undefined {
  const parts = partsOf(text);
  if (!parts) return complete || !text.includes("jepsen.") ? undefined : "cut";
  // Without its line feed a number may have lost digits.
  if (!complete) return "cut";
  try {
    const [process, type, f, ...rest] = readEdnForms(parts.join(" "));
    const [value, error] = rest;
    const members = new Map<string, unknown>([
      ["process", process],
      ["type", type],
      ["f", f],
    ]);
    if (value !== undefined) members.set("value", value);
    if (error !== undefined) members.set("error", error);
    return members;
  } catch (error) {
    if (!(error instanceof EdnError)) throw error;
    throw new HistoryError(`line ${number} of the history: ${error.message}`, { cause: error });
  }
}

interface Line {
  readonly text: string;
  /** From 1. */
  readonly number: number;
  /** False for a last line without its line feed. */
  readonly complete: boolean;
}

function* linesOf(path: string, maxBytes: number): Generator<Line, void, undefined> {
  let pending = Buffer.alloc(0);
  let number = 1;
  for (const chunk of chunksOf(path)) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      yield { text: textOfLine([pending, chunk.subarray(from, end)], number), number, complete: true };
      pending = Buffer.alloc(0);
      number++;
      from = end + 1;
    }
    pending = Buffer.concat([pending, chunk.subarray(from)]);
    if (pending.length > maxBytes) {
      throw new HistoryError(
        `line ${number} of the history: it is longer than ${maxBytes} bytes; is this a history?`,
      );
    }
  }
  if (pending.length > 0) yield { text: textOfLine([pending], number), number, complete: false };
}

function textOfLine(parts: readonly Buffer[], number: number): string {
  const bytes = Buffer.concat(parts);
  if (!isUtf8(bytes)) throw new HistoryError(`line ${number} of the history: it is not UTF-8 text`);
  return bytes.toString("utf8").replace(/\r$/, "");
}
