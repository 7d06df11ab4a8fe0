/**
 * `import { checkLinearizable, registerModel } from "acked/check"`: the checkers as a library, for any history and any model.
 *
 * ```ts
 * const seen = history([
 *   { process: 0, f: "write", input: 1, from: 0, to: 10 },
 *   { process: 1, f: "read", output: 2, from: 20, to: 30 },
 * ]);
 * const result = checkLinearizable(seen, registerModel);
 * if (result.verdict === false) console.log(result.sentences.join("\n"));
 * ```
 *
 * Verified: that some order of the operations agrees with real time and with the model. `true` carries that order, replayed by
 * a function that does not know how it was found; `false` carries the few operations that contradict each other; what
 * could not be decided within the budget is `"unknown"`, never `true`, and says how far it got. A history without operations
 * is `"unknown"` too. Not verified: anything about how the history was recorded. Docs: docs/check.md.
 */

import {
  checkPartitions,
  type PartitionOutcome,
  type PartitionProgress,
  partitionsOf,
  type UndecidedPartition,
  type Violation,
} from "./checkers/linearizability/partitions.ts";
import { checkInWorkers, type ModelReference } from "./checkers/linearizability/workers.ts";
import type { Operation } from "./history/operation.ts";
import type { Model } from "./models/contract.ts";

export { CheckerDisagreement } from "./checkers/disagreement.ts";
export type { LongestPrefix } from "./checkers/linearizability/minimal-history.ts";
export type {
  PartitionProgress,
  UndecidedPartition,
  Violation,
} from "./checkers/linearizability/partitions.ts";
export { refuteWitness } from "./checkers/linearizability/witness.ts";
export type { ModelReference } from "./checkers/linearizability/workers.ts";
export { type History, HistoryError } from "./history/history.ts";
export { loadHistory } from "./history/history-file.ts";
export type { Operation, Outcome } from "./history/operation.ts";
export { type HandWritten, history } from "./history/written-by-hand.ts";
export type { Model } from "./models/contract.ts";
export { hashString } from "./models/contract.ts";
export { counterModel } from "./models/counter.ts";
export { findModel, models } from "./models/index.ts";
export { stringKvModel } from "./models/kv.ts";
export { listModel } from "./models/list.ts";
export { multiRegisterModel } from "./models/multi-register.ts";
export { mutexModel } from "./models/mutex.ts";
export { queueModel } from "./models/queue.ts";
export { searchedRegister as registerModel } from "./models/searched-register.ts";
export { setModel } from "./models/set.ts";
export { stackModel } from "./models/stack.ts";

export interface CheckOptions {
  /** ms. Default: 10,000. One call of the model is not interrupted; see `checkLinearizableInWorkers`. */
  readonly budgetMs?: number;
  /** Bytes that searches may remember, all together; beyond it they forget, which costs time. Default: 512 MB. */
  readonly memoryBytes?: number;
  /** Decides everything a second time by another algorithm, as far as time allows. Default: false. */
  readonly crossCheck?: boolean;
  /** Called with each violation as soon as it is found; the other partitions go on. */
  readonly onViolation?: (violation: Violation) => void;
  /** Called before each turn of a partition that is searched. */
  readonly onProgress?: (progress: PartitionProgress) => void;
}

export interface WorkersOptions extends CheckOptions {
  /** ms that one partition's turn may take before its thread is ended. Default: half of the budget, at most 5000. */
  readonly turnMsMax?: number;
  /** Default: as many as there are processors. */
  readonly threads?: number;
}

interface Checked {
  /** What was looked at. */
  readonly checked: { readonly operations: number; readonly partitions: number };
}

export type LinearizabilityResult =
  | (Checked & {
      readonly verdict: true;
      /** By partition: an order that explains it. */
      readonly witness: ReadonlyMap<string, readonly Operation[]>;
    })
  | (Checked &
      Violation & {
        /** The first found, which is also spread over this result, and those of other partitions. */
        readonly violations: readonly Violation[];
        readonly undecided: readonly UndecidedPartition[];
      })
  | (Checked & {
      readonly verdict: "unknown";
      readonly reasons: readonly string[];
      readonly undecided: readonly UndecidedPartition[];
    });

/** A `History`, or anything that has its operations. */
export interface Judged {
  readonly operations: readonly Operation[];
}

/**
 * Is the history linearizable? Each partition of the model is judged apart, in turns; unique values of a register and
 * lists by the exact method in nearly linear time, everything else by search.
 *
 * Runs on the calling thread. The time budget is kept between calls of the model.
 *
 * @throws CheckerDisagreement when two algorithms differ, which is a fault of acked; and whatever the model throws.
 */
export function checkLinearizable<State>(
  { operations }: Judged,
  model: Model<State>,
  options: CheckOptions = {},
): LinearizabilityResult {
  const { budgetMs, onViolation, onProgress, ...rest } = resolved(options);
  const outcomes = checkPartitions(model, partitionsOf(model, operations), {
    ...rest,
    untilMs: performance.now() + budgetMs,
    ...(onProgress ? { onTurn: onProgress } : {}),
    ...(onViolation ? { onOutcome: (outcome) => outcome.verdict === false && onViolation(outcome) } : {}),
  });
  return resultOf(outcomes, operations);
}

/**
 * The same in worker threads, so that time and memory are kept to even inside one call of a model.
 *
 * @param model a built-in one by its name, or { module, name } of an export of your own.
 * @throws CheckerDisagreement; RangeError or TypeError when there is no such model; whatever the model throws.
 */
export async function checkLinearizableInWorkers(
  { operations }: Judged,
  model: ModelReference,
  options: WorkersOptions = {},
): Promise<LinearizabilityResult> {
  const { budgetMs, onViolation, onProgress, ...rest } = resolved(options);
  const outcomes = await checkInWorkers(model, operations, {
    ...rest,
    budgetMs,
    turnMsMax: options.turnMsMax ?? Math.min(5000, budgetMs / 2),
    threadsMax: options.threads ?? Number.POSITIVE_INFINITY,
    ...(onProgress ? { onTurn: onProgress } : {}),
    ...(onViolation ? { onOutcome: (outcome) => outcome.verdict === false && onViolation(outcome) } : {}),
  });
  return resultOf(outcomes, operations);
}

function resolved(options: CheckOptions) {
  const { budgetMs = 10_000, memoryBytes = 512 * 2 ** 20, crossCheck = false } = options;
  return { ...options, budgetMs, memoryBytes, crossCheck };
}

function resultOf(
  outcomes: readonly PartitionOutcome[],
  operations: readonly Operation[],
): LinearizabilityResult {
  const checked = { operations: operations.length, partitions: outcomes.length };
  const violations = outcomes.filter((outcome) => outcome.verdict === false);
  const undecided = outcomes.filter((outcome) => outcome.verdict === "unknown");
  const first = violations[0];
  if (first) return { ...first, violations, undecided, checked };
  if (undecided.length > 0 || outcomes.length === 0) {
    const reasons = undecided.map(({ reason }) => reason);
    const nothing = ["there is nothing to check: the history has no operations"];
    return { verdict: "unknown", reasons: outcomes.length === 0 ? nothing : reasons, undecided, checked };
  }
  const explained = outcomes.filter((outcome) => outcome.verdict === true);
  return { verdict: true, witness: new Map(explained.map((one) => [one.partition, one.witness])), checked };
}
