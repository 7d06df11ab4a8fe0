/**
 * What a store owes after power loss, in a run whose syncs were timed: a promise of "at most the interval plus one sync"
 * has to set a fixed time aside for the sync, and that would hide a store that never syncs from any run shorter than it.
 *
 * In its place: the longest sync of the trace, plus `slackMs` for the store's timer, which rings late on a busy machine.
 */
import type { TraceEvent } from "../../../faults/contract.ts";
import type { Store, StorePromise } from "../../../stores/contract.ts";
import type { TracedRunFiles } from "./traced-run-files.ts";

/** ms. Chosen, not measured: a timer of a busy process is late by some tens of ms, and a collection of garbage takes as long. */
export const slackMs = 100;

/** The promise of the run's mode, its power loss bounded by the syncs of this trace. */
export function promiseInTrace(store: Store, { record, trace }: TracedRunFiles): StorePromise {
  const promise = store.promise(record.durability);
  const { powerLoss } = promise;
  if (powerLoss.survives !== "a prefix" || powerLoss.syncMs === undefined) return promise;
  const { lossMsMax, syncMs } = powerLoss;
  const seen = lossMsMax - syncMs + longestSyncMs(trace.events) + slackMs;
  return { ...promise, powerLoss: { ...powerLoss, lossMsMax: Math.round(seen) } };
}

/** From begin to end, ms; 0 without any. One that never ended took until the trace ended. */
export function longestSyncMs(events: readonly TraceEvent[]): number {
  const begun = new Map<number, number>();
  let longest = 0;
  for (const { kind, phase, call, atNs } of events) {
    if (kind !== "sync" && kind !== "datasync") continue;
    if (phase === "begin") begun.set(call, atNs);
    else if (phase === "end") {
      longest = Math.max(longest, atNs - (begun.get(call) ?? atNs));
      begun.delete(call);
    }
  }
  const end = events.at(-1)?.atNs ?? 0;
  for (const atNs of begun.values()) longest = Math.max(longest, end - atNs);
  return longest / 1e6;
}
