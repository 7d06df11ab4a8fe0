/** Recovery stops one entry too early. */
import type { Change } from "../ramlog/state.ts";
import { alteredRecovery } from "./altered-recovery.ts";
import type { Bug } from "./bug.ts";

const recovery = alteredRecovery(() => {
  let last: readonly Change[] | undefined;
  return {
    entry(changes) {
      const before = last;
      last = changes;
      return before ? [before] : [];
    },
  };
});

export const dropsLastRecord: Bug = {
  name: "drops-last-record",
  bug: "leaves out the last entry of the log at every recovery",
  finding: ["lost-acknowledged-write", "resurrected-write", "not-linearizable"],
  workloads: ["append", "register"],
  faults: ["kill", "stop"],
  seams: { engine: { recovery } },
};
