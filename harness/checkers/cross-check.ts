/**
 * The second opinion on a workload's linearizability (`acked check --cross-check`): its own checker against the same history
 * by model, where each key is decided by two algorithms once more (linearizability/partitions.ts).
 *
 * Verified: that both do not say the opposite about one history. What the second leaves open is said to be not checked
 * twice. Not compared: what only the first looks at, which is how keys survived restarts relative to each other.
 */
import type { Operation } from "../history/operation.ts";
import type { CheckResult, Finding, Verdict } from "./contract.ts";
import { CheckerDisagreement } from "./disagreement.ts";

/** Findings across keys, of which a check of each key alone knows nothing. */
const acrossKeys: readonly Finding["kind"][] = ["reordered-recovery"];

/**
 * The first result, and in it whether the second confirms it.
 *
 * @param operations what both judged.
 * @throws CheckerDisagreement when one says true and the other false.
 */
export function confirmedBy(
  first: CheckResult,
  second: CheckResult,
  operations: readonly Operation[],
): CheckResult {
  const verdict = ofKeys(first);
  if (verdict === "unknown" || second.verdict === "unknown") {
    const why = second.reasons[0] === undefined ? "" : ` (${second.reasons[0]})`;
    return { ...first, notChecked: [...first.notChecked, `a second time, by another algorithm${why}`] };
  }
  if (verdict !== second.verdict) {
    const what = `${first.checker} says ${verdict}, and ${second.checker} says ${second.verdict}`;
    throw new CheckerDisagreement(second.findings[0]?.key ?? "", what, operations);
  }
  return { ...first, checked: { ...first.checked, operationsCheckedTwice: operations.length } };
}

function ofKeys({ verdict, findings, reasons }: CheckResult): Verdict {
  if (verdict !== false) return verdict;
  if (findings.some(({ kind }) => !acrossKeys.includes(kind))) return false;
  return reasons.length > 0 ? "unknown" : true;
}
