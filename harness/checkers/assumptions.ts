/**
 * What the other checkers take for granted, checked first. A history that shows too little to be judged is `unknown`:
 * no operations, nothing acknowledged before a restart, nothing read after one.
 *
 * Verified: each workload wrote and read with success, and there was a restart with an acknowledged change before it and
 * one with a successful read after it; how many of each is counted. Counted: values written more than once to a key, since such keys are searched instead of
 * judged in linear time. That each process is sequential is verified when the history is built.
 */
import type { History } from "../history/history.ts";
import type { Operation, Readiness } from "../history/operation.ts";
import { incrementedTo, isRefusedCompare, registerValue, removedBy } from "../models/register.ts";
import type { CheckContext, CheckResult } from "./contract.ts";
import { Gathering } from "./findings.ts";

/** Adds up what happened; with `judge` false (one epoch of a run) the adding up is all, see `tooLittle`. */
export function checkAssumptions(history: History, context: CheckContext, judge = true): CheckResult {
  const gathering = new Gathering("assumptions", context);
  const { operations } = history;
  gathering.count("operations", operations.length);
  for (const workload of new Set(operations.map((operation) => operation.workload))) {
    const mine = operations.filter((operation) => operation.workload === workload);
    gathering.count(`changesOf ${workload}`, mine.filter(isAcknowledgedChange).length);
    gathering.count(`readsOf ${workload}`, mine.filter(isObservation).length);
  }
  countRestarts(history, gathering);
  countRepeatedValues(operations, gathering);
  if (judge) gathering.reasons.push(...tooLittle(gathering.checked));
  const { restarts = 0, restartsReadAfter = 0 } = gathering.checked;
  if (restartsReadAfter < restarts) {
    gathering.notChecked.push(
      `what survived ${restarts - restartsReadAfter} restarts after which nothing was read`,
    );
  }
  return gathering.result(undefined);
}

/**
 * Why what was counted is too little to be judged; empty when it is enough. Asked once for a whole run, since a short
 * last epoch is no fault of the run.
 */
export function tooLittle(counted: Readonly<Record<string, number>>): string[] {
  if (!counted.operations) return ["the history has no operations"];
  const reasons: string[] = [];
  for (const [unit, count] of Object.entries(counted)) {
    if (count > 0) continue;
    const [what, workload] = [unit.split(" ")[0], unit.split(" ")[1] || "the workload"];
    if (what === "changesOf") reasons.push(`${workload}: no change was acknowledged`);
    if (what === "readsOf") reasons.push(`${workload}: nothing was read with success`);
  }
  if (counted.restarts && !counted.restartsWithChangesBefore) {
    reasons.push("no change had been acknowledged before any restart");
  }
  if (counted.restarts && !counted.restartsReadAfter) reasons.push("nothing was read after any restart");
  return reasons;
}

function countRestarts({ operations, readiness }: History, gathering: Gathering): void {
  const firstChange = operations.find(isAcknowledgedChange)?.return ?? Number.POSITIVE_INFINITY;
  const lastRead = operations.reduce((last, op) => (isObservation(op) ? Math.max(last, op.call) : last), -1);
  for (const restart of restartsOf(readiness)) {
    gathering.count("restarts", 1);
    gathering.count("restartsWithChangesBefore", firstChange < restart.rank ? 1 : 0);
    gathering.count("restartsReadAfter", lastRead > restart.rank ? 1 : 0);
  }
}

/** Every start of a node but its first. */
function restartsOf(readiness: readonly Readiness[]): Readiness[] {
  const started = new Set<string>();
  return readiness.filter(({ node }) => {
    const again = started.has(node);
    started.add(node);
    return again;
  });
}

function countRepeatedValues(operations: readonly Operation[], gathering: Gathering): void {
  const written = new Set<string>();
  let repeated = 0;
  for (const operation of operations) {
    const value = operation.outcome === "fail" ? undefined : valueWritten(operation);
    if (value === undefined) continue;
    const name = JSON.stringify([operation.workload, operation.key, value]);
    if (written.has(name)) repeated++;
    written.add(name);
  }
  gathering.count("valuesWritten", written.size);
  if (repeated > 0) gathering.count("valuesWrittenAgain", repeated);
}

function valueWritten({ f, input }: Operation): string | null | undefined {
  if (f === "write" || f === "append" || f === "add") return registerValue(input);
  return f === "cas" && Array.isArray(input) ? registerValue(input[1]) : undefined;
}

function isAcknowledgedChange(operation: Operation): boolean {
  if (operation.outcome !== "ok") return false;
  if (operation.f === "cas") return !isRefusedCompare(operation);
  if (operation.f === "delete") return removedBy(operation) !== 0;
  return ["write", "append", "add", "transfer", "increment"].includes(operation.f);
}

function isObservation(operation: Operation): boolean {
  if (operation.outcome !== "ok") return false;
  if (operation.f === "increment") return incrementedTo(operation) !== undefined;
  return operation.f === "read" || operation.f === "audit" || isRefusedCompare(operation);
}
