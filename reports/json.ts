/** The one document that `--json` prints: the part of `results.json` that scripts may rely on. */
import type { ClusterResults, RunResults } from "../harness/results.ts";

export type JsonDocument = Pick<
  RunResults,
  | "formatVersion"
  | "command"
  | "verdict"
  | "exitCode"
  | "reasons"
  | "findings"
  | "faults"
  | "counts"
  | "seed"
  | "runDir"
  | "replay"
  | "notCovered"
  | "explorations"
  | "sweep"
  | "worst"
  | "interrupted"
> & { readonly store: string; readonly cluster?: ClusterSummary };

/** Of a cluster: who its members were and what was measured. What lanes are drawn from stays in `results.json`. */
export type ClusterSummary = Pick<ClusterResults, "members" | "network" | "measured">;

/** `JSON.stringify` of it turns the infinite `return`, `bound` and `returnedAt` of an operation into null. */
export function jsonDocument(results: RunResults): JsonDocument {
  const {
    formatVersion,
    command,
    verdict,
    exitCode,
    reasons,
    findings,
    faults,
    counts,
    seed,
    runDir,
    replay,
  } = results;
  const { explorations, sweep, cluster } = results;
  const { notCovered, worst, interrupted, store } = results;
  return {
    formatVersion,
    command,
    verdict,
    exitCode,
    reasons,
    findings,
    faults,
    counts,
    seed,
    runDir,
    replay,
    notCovered,
    worst,
    interrupted,
    store: store.name,
    ...(explorations ? { explorations } : {}),
    ...(sweep ? { sweep } : {}),
    ...(cluster ? { cluster: summaryOf(cluster) } : {}),
  };
}

function summaryOf({ members, network, measured }: ClusterResults): ClusterSummary {
  return { members, network, measured };
}
