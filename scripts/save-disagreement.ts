/** Keeps the history on which two of our own algorithms disagree, so that which of them is wrong can be found out. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CheckerDisagreement } from "../harness/checkers/disagreement.ts";
import { eventsOf } from "../harness/history/events.ts";
import { exportHistory } from "../harness/history/formats/index.ts";

/** Returns one sentence that says where it is, or why it is not. Never throws. */
export function saveDisagreement({ operations }: CheckerDisagreement, folder = "runs"): string {
  const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const file = join(folder, `checkers-disagree-${stamp}-${process.pid}.jsonl`);
  try {
    mkdirSync(folder, { recursive: true });
    const inOrder = [...operations].sort((a, b) => a.call - b.call);
    exportHistory(eventsOf({ operations: inOrder, readiness: [] }), "acked", file);
    return `two of its own checkers disagree, so neither is believed; the history is saved in ${file}`;
  } catch (error) {
    return `two of its own checkers disagree, and the history could not be saved: ${(error as Error).message}`;
  }
}
