/** The members of one EDN operation, with what is wrong named by line. */
import { HistoryError } from "../history.ts";
import { EdnError, readEdnMembers } from "./edn.ts";
import { type Form, placeOf } from "./forms.ts";
import type { Members } from "./jepsen-reading.ts";

/** `undefined` for a form that was discarded. @throws HistoryError */
export function ednMembers(form: Form): Members | undefined {
  try {
    return readEdnMembers(form.bytes.toString("utf8"));
  } catch (error) {
    if (!(error instanceof EdnError)) throw error;
    throw new HistoryError(`${placeOf(form)} of the history: ${error.message}`, { cause: error });
  }
}
