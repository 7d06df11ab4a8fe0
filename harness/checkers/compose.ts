/** Runs checkers so that one that fails neither hides the others nor passes for a verdict. */
import type { CheckContext, CheckResult } from "./contract.ts";
import { CheckerDisagreement } from "./disagreement.ts";

/**
 * Runs one checker. One that throws is a verdict `unknown` with its error; one that returns nothing has checked nothing,
 * which is `unknown`, too; one that overran its budget by far says so.
 *
 * @throws CheckerDisagreement as it comes: two of our algorithms differ, and no verdict of this run can be believed.
 */
export function runChecker(
  name: string,
  context: CheckContext,
  check: () => readonly CheckResult[],
): CheckResult[] {
  const startedAt = performance.now();
  const unknown = (reason: string): CheckResult => ({
    checker: name,
    verdict: "unknown",
    reasons: [reason],
    findings: [],
    checked: {},
    notChecked: [],
    elapsedMs: performance.now() - startedAt,
  });
  if (!(context.budgetMs > 0)) return [unknown(`${name}: there was no time left to check`)];
  try {
    const results = check();
    return results.length > 0
      ? results.map(consistent)
      : [unknown(`${name}: the checker returned no verdict`)];
  } catch (error) {
    if (error instanceof CheckerDisagreement) throw error;
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return [unknown(`${name}: the checker failed (${text.slice(0, 400)}), which is a fault of acked itself`)];
  }
}

/** A finding makes a verdict false, whatever the checker said; false without a finding cannot be believed. */
function consistent(result: CheckResult): CheckResult {
  if (result.findings.length > 0) return { ...result, verdict: false };
  if (result.verdict !== false) return result;
  const reasons = [...result.reasons, `${result.checker}: false, but without a finding that shows it`];
  return { ...result, verdict: "unknown", reasons };
}
