/**
 * What every checker takes and gives. A checker never throws a finding and never prints; one that throws is a
 * verdict `unknown` with its error. Verdicts compose: false outranks unknown outranks true.
 */
import type { StorePromise } from "../../stores/contract.ts";
import type { History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";

export type Verdict = true | false | "unknown";

/** Every kind of finding acked can report. Tests of planted bugs assert the kind, never the exit code alone. */
export const findingKinds = [
  /** No order of the operations on one key explains what clients saw. */
  "not-linearizable",
  /** An acknowledged write is missing after a restart. */
  "lost-acknowledged-write",
  /** An overwritten or deleted value came back. */
  "resurrected-write",
  /** A value was read that nobody wrote. */
  "phantom-value",
  /** After a restart a later write is there, and an earlier acknowledged one is not. */
  "reordered-recovery",
  /** A read returned a value that had been overwritten before the read was sent. */
  "stale-read",
  /** A reader saw a value that a crash then took back. */
  "read-of-unsynced-write",
  /** In mode always: a success was reported although no sync began after its invocation and completed before. */
  "acknowledged-without-sync",
  /** A write was acknowledged although it was invoked after a failed sync or write of the log. */
  "acknowledged-after-failed-sync",
  /** Appended twice, or one transfer applied twice. */
  "applied-twice",
  /** Some, but not all, changes of one transaction are visible. */
  "partial-transaction",
  /** Bank: the sum over accounts is not what it was. */
  "total-not-conserved",
  "negative-balance",
  /** Two successful compare-and-sets consumed the same value. */
  "lost-update",
  /** Recovering the same files a second time shows something else. */
  "recovery-not-repeatable",
  /** The store did not come back after a crash that its promise covers. */
  "did-not-recover",
  /** After damage at rest the store served wrong or missing data without saying so. */
  "served-damaged-data",
  /** The store stopped, or answered errors, with no fault that excuses it. */
  "unexpected-stop",
] as const;

export type FindingKind = (typeof findingKinds)[number];

/** One thing that is wrong, in terms a person can verify by eye. */
export interface Finding {
  readonly kind: FindingKind;
  readonly workload?: string;
  readonly key?: string;
  /** The counterexample: the few operations that conflict, in order of invocation. */
  readonly operations: readonly Operation[];
  /** One sentence a person can check against `operations`. */
  readonly sentence: string;
  /** How many operations are wrong in this way (this finding shows the first). */
  readonly count?: number;
}

export interface CheckResult {
  /** The checker's name, for example `linearizability (linear-time)`. */
  readonly checker: string;
  readonly workload?: string;
  readonly verdict: Verdict;
  /** Why `unknown`; empty otherwise. */
  readonly reasons: readonly string[];
  readonly findings: readonly Finding[];
  /** What was looked at, with the unit in the name: `{ operations: 1200, keys: 10 }`. */
  readonly checked: Readonly<Record<string, number>>;
  /** What this checker had to leave out, in words; empty when nothing. */
  readonly notChecked: readonly string[];
  readonly elapsedMs: number;
}

export interface CheckContext {
  /** What the store promises in the mode it ran in. */
  readonly promise: StorePromise;
  /** Wall time this check may use, in ms; beyond it the verdict is `unknown`. */
  readonly budgetMs: number;
}

export interface Checker {
  readonly name: string;
  check(history: History, context: CheckContext): CheckResult;
}

/** false outranks unknown outranks true; nothing at all is unknown. */
export function combineVerdicts(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes(false)) return false;
  if (verdicts.length === 0 || verdicts.includes("unknown")) return "unknown";
  return true;
}
