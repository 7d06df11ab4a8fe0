/** Recovery forgets every second delete. */
import { alteredRecovery } from "./altered-recovery.ts";
import type { Bug } from "./bug.ts";

const recovery = alteredRecovery(() => {
  let deletes = 0;
  return {
    entry: (changes) => [
      changes.filter((change) => {
        if (change.kind !== "delete") return true;
        deletes += 1;
        return deletes % 2 === 0;
      }),
    ],
  };
});

export const resurrectsDeleted: Bug = {
  name: "resurrects-deleted",
  bug: "forgets every second delete at recovery, so that deleted keys come back",
  finding: ["resurrected-write", "not-linearizable"],
  workloads: ["kv"],
  faults: ["kill", "stop"],
  seams: { engine: { recovery } },
};
