/**
 * Our own JSON lines (`history.jsonl`), read by `history-file.ts`; the published schema is `docs/history.schema.json`,
 * made from `lines-schema.ts`. What this file adds: remarks on members that are not known, and complaints by line about
 * completions that fit no invocation.
 */
import { HistoryError } from "../history.ts";
import { readHistoryFile } from "../history-file.ts";
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, HistoryFormat, ReadOptions, Written } from "./contract.ts";
import { chunksOf } from "./forms.ts";
import { objectOf, originOf, RepeatedArguments } from "./lines-or-jepsen.ts";
import { Pairing } from "./pairing.ts";
import { shown, Warnings } from "./warnings.ts";

export const lines: HistoryFormat = {
  name: "acked",
  summary: "acked's own JSON lines, one event per line (docs/history.schema.json)",
  detects: (head) => originOf(head).startsWith("acked"),
  read,
  write,
};

function* read(path: string, options: ReadOptions = {}): Generator<HistoryEvent, FormatEnd, undefined> {
  const warnings = new Warnings();
  const pairing = new Pairing();
  const repeated = options.guessed ? new RepeatedArguments() : undefined;
  const reading = readHistoryFile(path, {
    ...(options.workload === undefined ? {} : { workload: options.workload }),
    onUnknownField: (name, line) => warnings.note(`unknown field ${shown(name)} ignored`, `line ${line}`),
  });
  for (;;) {
    const next = reading.next();
    if (next.done) {
      pairing.finish(warnings);
      return { ...next.value, warnings: warnings.sentences() };
    }
    const event = next.value;
    try {
      pairing.accept(event, `event ${event.index}`);
    } catch (error) {
      throw error instanceof HistoryError ? withLines(error, path) : error;
    }
    if (repeated?.has(event)) warnings.note(answerTakenAsOne, `event ${event.index}`);
    yield event;
  }
}

/** An invocation without any member that is ours alone could be Jepsen's; the first incarnation says nothing new. */
function recognizable(event: HistoryEvent): HistoryEvent {
  const { workload, key, node, incarnation } = event;
  return (workload ?? key ?? node ?? incarnation) === undefined ? { ...event, incarnation: 0 } : event;
}

const answerTakenAsOne =
  "an answer that equals its argument is taken for what the store returned, as in acked's own lines; if this is Jepsen's JSON, where it says nothing, name the format jepsen-json";

/** Events are followed by their index; only when there is something to complain about are their lines looked for. */
function withLines(error: HistoryError, path: string): HistoryError {
  const wanted = new Set([...error.message.matchAll(/\bevent (\d+)/g)].map(([, index]) => Number(index)));
  const lineOf = new Map<number, number>();
  let number = 0;
  for (const line of textLines(path)) {
    number++;
    const index = objectOf(line)?.index;
    if (typeof index === "number" && wanted.has(index)) lineOf.set(index, number);
    if (lineOf.size === wanted.size) break;
  }
  const message = error.message.replace(/\bevent (\d+)/g, (event, index: string) => {
    const line = lineOf.get(Number(index));
    return line === undefined ? event : `line ${line}`;
  });
  return new HistoryError(message, { cause: error });
}

/** Lines of a file that has been read once already, so their length is known to be bounded. */
function* textLines(path: string): Generator<string, void, undefined> {
  let pending = "";
  for (const chunk of chunksOf(path)) {
    const parts = (pending + chunk.toString("latin1")).split("\n");
    pending = parts.pop() ?? "";
    yield* parts;
  }
  yield pending;
}

function write(events: Iterable<HistoryEvent>, out: (text: string) => void): Written {
  let isMarked = false;
  for (const event of events) {
    const marks = !isMarked && event.process !== "nemesis";
    if (marks) isMarked = true;
    out(`${JSON.stringify(marks ? recognizable(event) : event)}\n`);
  }
  return { leftOut: [] };
}
