/** Clusters with planted bugs, one a file: in how the members are set up, or in how their clients use them. */
import type { Store } from "../../contract.ts";
import { acknowledgesBeforeReplication } from "./acknowledges-before-replication.ts";
import { readsFromReplica } from "./reads-from-replica.ts";
import { retriesUnknown } from "./retries-unknown.ts";

/** `broken/<bug>`, each with `clustered.plantedBug`. They run as clusters only. */
export const brokenClusters: readonly Store[] = [
  acknowledgesBeforeReplication,
  readsFromReplica,
  retriesUnknown,
];
