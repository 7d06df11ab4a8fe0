/**
 * Jepsen's history as JSON: objects `{"process":0,"type":"invoke","f":"write","value":3,"time":123,"index":0}`, one after
 * the other or inside one array; keywords are strings, with or without their colon. What is normalized stands in
 * `jepsen-reading.ts`; besides, the members of objects are sorted (one value, one text), and a whole number beyond 2^53,
 * which JSON.parse would round, is read exactly as `{"#edn":"9007199254740993"}`.
 */
import { HistoryError } from "../history.ts";
import { sorted, withExactNumbers } from "../json-values.ts";
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, HistoryFormat, ReadOptions } from "./contract.ts";
import { type Form, placeOf } from "./forms.ts";
import { textOf } from "./jepsen-edn.ts";
import { readJepsenForms } from "./jepsen-forms.ts";
import { exportMember, type Members, type Notation } from "./jepsen-reading.ts";
import { writeJepsen } from "./jepsen-writing.ts";
import { jsonKeys } from "./key-text.ts";

export const jsonNotation: Notation = {
  keys: jsonKeys,
  nameOf: (value) => (typeof value === "string" ? value.replace(/^:/, "") : undefined),
  // What begins with a colon of its own gets another one, which reading takes off.
  named: (name) => (name.startsWith(":") ? `:${name}` : name),
  print: (value) => JSON.stringify(value),
};

export const jepsenJson: HistoryFormat = {
  name: "jepsen-json",
  summary: "Jepsen's operations as JSON: one object per operation, or one array of them",
  takes: ["independent", "failedCas"],
  detects: (head) => /^\s*\[?\s*\{\s*"/.test(textOf(head)),
  read: (path: string, options: ReadOptions = {}): Generator<HistoryEvent, FormatEnd, undefined> =>
    readJepsenForms(path, { syntax: "json", notation: jsonNotation, parse: jsonMembers }, options),
  write: (events, out, options) =>
    writeJepsen(
      events,
      jsonNotation,
      marked((members) => out(`${printJson(members)}\n`)),
      options,
    ),
};

/** Says on the first operation what this is, for those that have no other member of ours. */
function marked(print: (members: Members) => void): (members: Members) => void {
  let isFirst = true;
  return (members) => {
    print(isFirst ? new Map([...members, [exportMember, "jepsen-json"]]) : members);
    isFirst = false;
  };
}

/** One operation on one line. */
export function printJson(members: Members): string {
  return JSON.stringify(Object.fromEntries(members));
}

/** @throws HistoryError naming the line. */
export function jsonMembers(form: Form): Members {
  let parsed: unknown;
  try {
    parsed = JSON.parse(withExactNumbers(form.bytes.toString("utf8")));
  } catch (error) {
    throw new HistoryError(
      `${placeOf(form)} of the history: it is not JSON (${(error as Error).message.replace(/\p{C}/gu, "?").slice(0, 120)})`,
    );
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new HistoryError(
      `${placeOf(form)} of the history: it is no object like {"process":0,"type":"invoke",…}`,
    );
  }
  return new Map(Object.entries(parsed).map(([name, value]) => [name, sorted(value)]));
}
