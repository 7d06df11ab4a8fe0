/**
 * Key-value histories over strings, as the Raft courses record them and Porcupine's samples hold them (`test_data/kv`):
 * lines `{:process 0, :type :invoke, :f :get, :key "0", :value nil}` with f get, put or append. A key that is absent is
 * the empty string. The JSON variant has the same members.
 *
 * Not in the format: times, indices, `info` (an operation without a completion stands for it) and the nemesis. What that
 * means for an export stands in `kv-strings-writing.ts`.
 */
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, HistoryFormat, ReadOptions } from "./contract.ts";
import { ednMembers } from "./edn-members.ts";
import { ednNotation, printMembers, textOf } from "./jepsen-edn.ts";
import { type FormSource, readJepsenForms } from "./jepsen-forms.ts";
import { jsonMembers, jsonNotation, printJson } from "./jepsen-json.ts";
import type { Complain } from "./jepsen-reading.ts";
import { writeKv } from "./kv-strings-writing.ts";
import { shown } from "./warnings.ts";

const ednSource: FormSource = { syntax: "edn", notation: ednNotation, parse: ednMembers };
const jsonSource: FormSource = { syntax: "json", notation: jsonNotation, parse: jsonMembers };

export const kvStrings: HistoryFormat = {
  name: "kv-edn",
  summary: "get, put and append over strings, as Porcupine's samples: one EDN map per operation",
  detects: (head) =>
    firstMatch(head, /:f\s+:(get|put|append)\b[^}]*:key\s+"|:key\s+"[^}]*:f\s+:(get|put|append)\b/),
  read: (path, options = {}) => readKv(path, ednSource, options),
  write: (events, out) => writeKv(events, ednNotation.named, (all) => out(`${printMembers(all)}\n`)),
};

export const kvStringsJson: HistoryFormat = {
  name: "kv-json",
  summary: "get, put and append over strings: one JSON object per operation",
  detects: (head) =>
    firstMatch(
      head,
      /"f"\s*:\s*":?(get|put|append)"[^}]*"key"\s*:|"key"\s*:[^}]*"f"\s*:\s*":?(get|put|append)"/,
    ),
  read: (path, options = {}) => readKv(path, jsonSource, options),
  write: (events, out) => writeKv(events, jsonNotation.named, (all) => out(`${printJson(all)}\n`)),
};

/** Whether the first map of a file matches. */
function firstMatch(head: Buffer, pattern: RegExp): boolean {
  const text = textOf(head.subarray(0, 4096));
  const end = text.indexOf("}");
  return pattern.test(text.slice(0, end === -1 ? undefined : end + 1));
}

function readKv(
  path: string,
  source: FormSource,
  options: ReadOptions,
): Generator<HistoryEvent, FormatEnd, undefined> {
  return readJepsenForms(path, source, options, { keyMember: true, adapt: checked });
}

/** The event of a client, with "nothing" read as the empty string. */
function checked(event: HistoryEvent, complain: Complain): HistoryEvent {
  const { f, type, value } = event;
  if (f !== "get" && f !== "put" && f !== "append") {
    return complain(`"f" is ${shown(f)}; it must be get, put or append`);
  }
  const asks = type === "invoke" && f !== "get";
  const answers = type === "ok" && f === "get";
  if (!asks && !answers) return event;
  if (answers && (value === null || value === undefined)) return { ...event, value: "" };
  return typeof value === "string"
    ? event
    : complain(`the value of ${f} is ${shown(value)}; it must be a string`);
}
