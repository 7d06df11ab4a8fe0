/**
 * Durability by counters, with no model and no crash: an acknowledgement that no sync can have covered, and one that came
 * after the log had failed.
 *
 * Verified: (a) between the invocation of each acknowledged change and its reply, a sync of the log began and completed
 * with success; (b) nothing invoked after a failed write or sync of the log was acknowledged by that incarnation.
 * Not verified: that the sync covered the operation's own bytes, and a sync that ends within the client's own lag hides
 * an acknowledgement that came too early: the counters are read when the reply has arrived. So (a) is weak evidence when
 * it holds, and proof when it does not.
 * What survived restarts is judged in recovery.ts and by the workloads' own checkers.
 */
import type { History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import { quote } from "../models/register.ts";
import type { CheckContext, CheckResult } from "./contract.ts";
import { Gathering, seconds } from "./findings.ts";

/** Whether an operation changed the store, so that a sync is owed; asked for `ok` operations only. */
export type Changes = (operation: Operation) => boolean;

/** A write or sync of the log that failed. */
export interface LogFailure {
  readonly incarnation: number;
  /** Index of the first event that came after the failure: operations from it on were invoked after it. */
  readonly failedAtRank: number;
}

/** Was each acknowledged change preceded by a sync that began after it was invoked? */
export function checkCoveringSync(history: History, changes: Changes, context: CheckContext): CheckResult {
  const gathering = new Gathering("covering sync", context);
  if (!context.promise.syncsBeforeAcknowledging) {
    gathering.notChecked.push("covering sync: the store does not promise to sync before it acknowledges");
    return gathering.result(undefined);
  }
  const owed = acknowledgedChanges(history, changes);
  const counted = owed.filter((op) => op.syncsBegun !== undefined && op.syncCompleted !== undefined);
  gathering.count("acknowledgements", counted.length);
  if (counted.length < owed.length) {
    const without = owed.length - counted.length;
    gathering.notChecked.push(
      `covering sync: ${without} of ${owed.length} acknowledgements carry no counts of syncs`,
    );
  }
  const uncovered = counted.filter((op) => op.syncCompleted! <= op.syncsBegun!);
  const first = uncovered[0];
  if (first) {
    gathering.findings.push({
      kind: "acknowledged-without-sync",
      ...placeOf(first),
      operations: [first],
      sentence: `the ${named(first)} was acknowledged at ${seconds(first.returnedAt)}, but no sync of the log began after it was sent at ${seconds(first.calledAt)} and completed by then (${first.syncsBegun} syncs had begun when it was sent; the last one completed by its reply was number ${first.syncCompleted})`,
      count: uncovered.length,
    });
  }
  return gathering.result(undefined);
}

/** Was anything acknowledged that was invoked after the log had failed? */
export function checkFailStop(
  history: History,
  failures: readonly LogFailure[],
  changes: Changes,
  context: CheckContext,
): CheckResult {
  const gathering = new Gathering("fail-stop", context);
  if (!context.promise.failStop) {
    gathering.notChecked.push("fail-stop: the store does not promise to stop at a failed write or sync");
    return gathering.result(undefined);
  }
  gathering.count("failedWritesOrSyncs", failures.length);
  const owed = acknowledgedChanges(history, changes);
  for (const { incarnation, failedAtRank } of failures) {
    const after = owed.filter((op) => op.incarnation === incarnation && op.call >= failedAtRank);
    const first = after[0];
    if (!first) continue;
    gathering.findings.push({
      kind: "acknowledged-after-failed-sync",
      ...placeOf(first),
      operations: [first],
      sentence: `the ${named(first)} was sent at ${seconds(first.calledAt)}, after a write or sync of the log had failed in incarnation ${incarnation}, and was acknowledged at ${seconds(first.returnedAt)} by the same process`,
      count: after.length,
    });
  }
  return gathering.result(undefined);
}

function acknowledgedChanges(history: History, changes: Changes): Operation[] {
  return history.operations.filter((operation) => operation.outcome === "ok" && changes(operation));
}

function placeOf({ workload, key }: Operation): { workload?: string; key?: string } {
  return { ...(workload ? { workload } : {}), ...(key ? { key } : {}) };
}

function named({ f, input, key, process }: Operation): string {
  const argument = input === undefined || input === null ? "" : ` of ${quote(input)}`;
  return `${f}${argument} on key ${key} (client ${process})`;
}
