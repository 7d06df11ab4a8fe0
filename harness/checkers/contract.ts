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
  /** Session guarantees (Terry et al. 1994): a session did not find what it had itself written. */
  "read-your-writes",
  /** A session read a version, and later an older one. */
  "monotonic-reads",
  /** A write was seen without, or before, an earlier one of the same session. */
  "monotonic-writes",
  /** A write was seen without, or before, what its session had read before it. */
  "writes-follow-reads",
  /** No single order of all operations agrees with the order of each process. */
  "not-sequentially-consistent",
  /** A read was older than the promised bound. */
  "too-stale",
  /** Transactions (transactions/anomalies.ts says what each is and whose name it is): a cycle of writes. */
  "g0",
  /** A read of a write that was aborted. */
  "g1a",
  /** A read of a write that its own transaction overwrote. */
  "g1b",
  /** A cycle of writes and reads. */
  "g1c",
  /** A cycle with exactly one anti-dependency: read skew. */
  "g-single",
  /** A cycle with several anti-dependencies, no two of them adjacent. */
  "g-nonadjacent",
  /** A cycle with adjacent anti-dependencies: write skew. */
  "g2-item",
  /** A committed write on top of an aborted one. */
  "dirty-update",
  /** A transaction that contradicts itself: it does not see its own write, or reads a key twice and differently. */
  "internal",
  /** Two reads of one list that cannot come from one sequence of appends. */
  "incompatible-order",
  /** An element that was added once and is there twice. */
  "duplicate-elements",
  /** The order of a register's values, as transactions show it, has a cycle. */
  "cyclic-versions",
  /** A counter that shows less or more than the additions allow. */
  "counter-out-of-bounds",
  /** Two holders of one unique value at once. */
  "unique-violated",
  /** A value that must only grow went back. */
  "went-backwards",
  /** Two members of a cluster acknowledged writes as its leader at once. */
  "split-brain",
  /** A cluster did not serve again by the deadline after every fault had healed. */
  "did-not-heal",
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
  /** How many operations are wrong in this way (this finding shows the first); for cycles, see `cycle`. */
  readonly count?: number;
  /** How far the key's history can be explained: `upTo` is an event index, of whose `of` completions `placed` came by then. */
  readonly longest?: { readonly upTo: number; readonly placed: number; readonly of: number };
  /** Of `g0` to `g2-item`: the cycle needs the order of one client's transactions, or real time. Absent: data alone. */
  readonly order?: "process" | "realtime";
  /** The shortest cycle of this kind, to be drawn; `count` then counts the separate groups that have one. */
  readonly cycle?: DependencyCycle;
}

/** The last step's `to` is the first one's `from`. */
export interface DependencyCycle {
  readonly steps: readonly DependencyStep[];
}

/** One transaction must come before another. */
export interface DependencyStep {
  /** Position in the finding's `operations`; a person reads T1 for 0, T2 for 1. */
  readonly from: number;
  readonly to: number;
  readonly edge: "ww" | "wr" | "rw" | "process" | "realtime";
  /** The key, for ww, wr and rw. */
  readonly key?: string;
  /** Why, in terms of what clients sent and saw. */
  readonly sentence: string;
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
  /** Of transactions: which isolation levels the history rules out, and the strongest that it does not. */
  readonly levels?: IsolationLevels;
  /** Anomalies that the expected level permits; they do not make the verdict false. */
  readonly observations?: readonly Finding[];
}

/** Names as in transactions/levels.ts. */
export interface IsolationLevels {
  /** The level that the verdict is about. */
  readonly expected: string;
  readonly ruledOut: readonly string[];
  /** No other level that is still possible implies one of these; empty when every level is ruled out. */
  readonly strongest: readonly string[];
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
