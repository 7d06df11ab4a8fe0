/** Findings of one checker: the worst first, every kind present, and no more of them than a person reads. */

import type { Operation } from "../history/operation.ts";
import type { CheckContext, CheckResult, Finding, FindingKind } from "./contract.ts";

const findingsKept = 20;

/** Kinds that a checker of histories finds, the worst first. */
const worstFirst: readonly FindingKind[] = [
  "lost-acknowledged-write",
  "resurrected-write",
  "phantom-value",
  "duplicate-elements",
  "applied-twice",
  "partial-transaction",
  "total-not-conserved",
  "negative-balance",
  "cyclic-versions",
  "g0",
  "dirty-update",
  "g1a",
  "incompatible-order",
  "g1b",
  "g1c",
  "internal",
  "unique-violated",
  "lost-update",
  "g-single",
  "g-nonadjacent",
  "g2-item",
  "counter-out-of-bounds",
  "went-backwards",
  "reordered-recovery",
  "read-of-unsynced-write",
  "stale-read",
  "not-linearizable",
  "acknowledged-without-sync",
  "acknowledged-after-failed-sync",
  "read-your-writes",
  "monotonic-reads",
  "monotonic-writes",
  "writes-follow-reads",
  "not-sequentially-consistent",
  "too-stale",
];

/** Worst first; the first of each kind is always kept, then as many others as fit. */
export function worstFindings(findings: readonly Finding[]): Finding[] {
  const rank = (finding: Finding) => worstFirst.indexOf(finding.kind);
  const sorted = [...findings].sort((a, b) => rank(a) - rank(b));
  const firstOfKind = sorted.filter((finding, i) => i === 0 || sorted[i - 1]!.kind !== finding.kind);
  const others = sorted.filter((finding) => !firstOfKind.includes(finding));
  const kept = new Set([...firstOfKind, ...others.slice(0, Math.max(0, findingsKept - firstOfKind.length))]);
  return sorted.filter((finding) => kept.has(finding));
}

/** The operations of a counterexample: each once, in order of invocation. */
export function inOrder(operations: readonly (Operation | undefined)[]): Operation[] {
  const present = operations.filter((operation) => operation !== undefined);
  return [...new Set(present)].sort((a, b) => a.call - b.call);
}

/** A moment of the run for a sentence. @param ns since the run's start. */
export function seconds(ns: number): string {
  return `${(ns / 1e9).toFixed(3)} s`;
}

/** What one check gathers while it runs. */
export class Gathering {
  readonly findings: Finding[] = [];
  readonly reasons: string[] = [];
  readonly notChecked: string[] = [];
  readonly checked: Record<string, number> = {};
  /** `performance.now()` at which the budget is used up. */
  readonly endsAt: number;
  readonly #startedAt = performance.now();
  readonly #checker: string;

  constructor(checker: string, context: CheckContext) {
    this.#checker = checker;
    this.endsAt = this.#startedAt + context.budgetMs;
  }

  count(what: string, by: number): void {
    this.checked[what] = (this.checked[what] ?? 0) + by;
  }

  /** False when anything was found, unknown when there is a reason for it, else true. */
  result(workload: string | undefined): CheckResult {
    return {
      checker: this.#checker,
      ...(workload ? { workload } : {}),
      verdict: this.findings.length > 0 ? false : this.reasons.length > 0 ? "unknown" : true,
      reasons: [...new Set(this.reasons)],
      findings: worstFindings(this.findings),
      checked: this.checked,
      notChecked: [...new Set(this.notChecked)],
      elapsedMs: performance.now() - this.#startedAt,
    };
  }
}
