/** Recovery applies the last entries of the log a second time, as after a restart from the wrong position. */
import type { Change } from "../ramlog/state.ts";
import { alteredRecovery } from "./altered-recovery.ts";
import type { Bug } from "./bug.ts";
import { ListLengths } from "./list-lengths.ts";

const repeated = 8;

const recovery = alteredRecovery(() => {
  const lengths = new ListLengths();
  let last: (readonly Change[])[] = [];
  return {
    restored: (table, key, value) => lengths.put(table, key, value),
    entry(changes) {
      last = [...last, changes].slice(-repeated);
      return [changes.map((change) => lengths.fit(change))];
    },
    end: () =>
      last
        .map((changes) => changes.filter((change) => change.kind.startsWith("push")))
        .filter((pushes) => pushes.length > 0)
        .map((pushes) => pushes.map((push) => lengths.fit(push))),
  };
});

export const appliesTwice: Bug = {
  name: "applies-twice",
  bug: "applies the last entries of the log twice at recovery",
  finding: ["applied-twice"],
  workloads: ["append", "bank"],
  faults: ["kill"],
  seams: { engine: { recovery } },
};
