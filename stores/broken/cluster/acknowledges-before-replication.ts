/**
 * A pair that is set up to be synchronous and promises to be, but for one setting: with `synchronous_commit = local` a
 * commit waits for the primary's own disk and no longer. Whatever the standby lacks when the primary is lost was
 * acknowledged all the same, and a primary that comes back after another was promoted goes on acknowledging. Killing the
 * primary alone seldom shows it: what it had sent arrives after its death.
 */
import type { Store } from "../../contract.ts";
import { replicatedPair, synchronousPromise } from "../../postgres/replica.ts";

const bug = "acknowledges a write before its synchronous standby has it";
const pair = replicatedPair({
  name: "broken/acknowledges-before-replication",
  summary: `a pair of PostgreSQL with a planted bug: ${bug}`,
  synchronous: true,
  synchronousCommit: "local",
  promise: synchronousPromise,
});

export const acknowledgesBeforeReplication: Store = {
  ...pair,
  clustered: {
    ...pair.clustered,
    plantedBug: {
      bug,
      finding: ["lost-acknowledged-write", "split-brain"],
      workloads: ["append"],
      faults: ["resurrect-leader"],
    },
  },
};
