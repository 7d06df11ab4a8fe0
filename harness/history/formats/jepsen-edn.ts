/**
 * Jepsen's `history.edn`: maps `{:process 0, :type :invoke, :f :write, :value 3, :time 123, :index 0}`, one after the
 * other or inside one vector, as Jepsen prints them or as records (`#jepsen.history.Op{…}`). What is normalized stands in
 * `jepsen-reading.ts`, how values become JSON in `edn.ts`.
 *
 * Not verified: that the workload is one of ours. Not read: `test.fressian`, `history.txt`.
 */
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, HistoryFormat, ReadOptions } from "./contract.ts";
import { EdnError, isKeywordName, keyword, keywordName, writeEdn } from "./edn.ts";
import { ednMembers } from "./edn-members.ts";
import { readJepsenForms } from "./jepsen-forms.ts";
import type { Members, Notation } from "./jepsen-reading.ts";
import { writeJepsen } from "./jepsen-writing.ts";
import { ednKeys } from "./key-text.ts";

export const ednNotation: Notation = {
  keys: ednKeys,
  nameOf: (value) => (typeof value === "string" ? value : keywordName(value)),
  named: (name) => (isKeywordName(name) ? keyword(name) : name),
  print: writeEdn,
};

export const jepsenEdn: HistoryFormat = {
  name: "jepsen-edn",
  summary: "Jepsen's history.edn: one map per operation, or one vector of them",
  takes: ["independent", "failedCas"],
  detects: (head) => /^[\s,]*(;[^\n]*\n[\s,]*)*[[(]?\s*(#[\w.]+)?\{[\s,]*:[a-z]/.test(textOf(head)),
  read: (path: string, options: ReadOptions = {}): Generator<HistoryEvent, FormatEnd, undefined> =>
    readJepsenForms(path, { syntax: "edn", notation: ednNotation, parse: ednMembers }, options),
  write: (events, out, options) =>
    writeJepsen(events, ednNotation, (members) => out(`${printMembers(members)}\n`), options),
};

/** One operation on one line. @throws HistoryError when a value is nested too deep for anybody to read it back. */
export function printMembers(members: Members): string {
  try {
    return `{${[...members].map(([name, value]) => `:${name} ${writeEdn(value)}`).join(", ")}}`;
  } catch (error) {
    if (!(error instanceof EdnError)) throw error;
    throw new HistoryError(`event ${String(members.get("index"))} cannot be written: ${error.message}`, {
      cause: error,
    });
  }
}

/** The beginning of a file as text, without a byte order mark. */
export function textOf(head: Buffer): string {
  return head.toString("utf8").replace(/^\ufeff/, "");
}
