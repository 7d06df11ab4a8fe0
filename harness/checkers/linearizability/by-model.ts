/**
 * Linearizability by any model as a `CheckResult`, for `acked check`: partitions in worker threads, in turns, within the
 * context's budget of time and a budget of memory. Each violation becomes a finding with its locally minimal
 * operations and how far its partition can be explained; what is not decided says how far it got.
 */
import { ScenarioError } from "../../../stores/contract.ts";
import type { History } from "../../history/history.ts";
import type { Model } from "../../models/contract.ts";
import type { CheckContext, CheckResult, Finding } from "../contract.ts";
import { worstFindings } from "../findings.ts";
import { partitionsOf, type UndecidedPartition, type Violation } from "./partitions.ts";
import { checkInWorkers, loadModel, type ModelReference } from "./workers.ts";

/** Bytes that all searches of one check may remember. */
const memoryBytes = 1024 * 2 ** 20;
/** ms that one turn of a partition may take before its thread is ended. */
const turnMsMax = 5000;

export interface ByModelOptions {
  readonly context: CheckContext;
  readonly crossCheck?: boolean;
  readonly onViolation?: (sentence: string) => void;
}

/** @throws CheckerDisagreement when two algorithms differ; ScenarioError when a module holds no model. */
export async function checkByModel(
  history: History,
  reference: ModelReference,
  { context, crossCheck = false, onViolation }: ByModelOptions,
): Promise<CheckResult> {
  const startedAt = performance.now();
  const model = await usable(reference);
  const operations = history.operations.filter(({ outcome }) => outcome !== "fail");
  const refused = operations.map((operation) => model.refuses(operation)).find((reason) => reason);
  const outcomes = refused
    ? []
    : await checkInWorkers(reference, operations, {
        ...{ memoryBytes, crossCheck, turnMsMax, budgetMs: context.budgetMs },
        threadsMax: Number.POSITIVE_INFINITY,
        onOutcome: (outcome) => outcome.verdict === false && onViolation?.(sentenceOf(outcome)),
      });
  const partitions = partitionsOf(model, operations);
  const violations = outcomes.filter((outcome): outcome is Violation => outcome.verdict === false);
  const undecided = outcomes.filter(
    (outcome): outcome is UndecidedPartition => outcome.verdict === "unknown",
  );
  const reasons = [...(refused ? [refused] : []), ...undecided.map(({ reason }) => reason)];
  const inWitness = outcomes.reduce((sum, one) => sum + (one.verdict === true ? one.witness.length : 0), 0);
  return {
    checker: `linearizability (${model.name})`,
    ...(operations[0]?.workload ? { workload: operations[0].workload } : {}),
    verdict: violations.length > 0 ? false : reasons.length > 0 ? "unknown" : true,
    reasons,
    findings: worstFindings(violations.map((violation) => findingOf(violation, partitions))),
    checked: { operations: operations.length, partitions: partitions.size, operationsInWitness: inWitness },
    notChecked: violations.some(({ minimal }) => !minimal)
      ? ["whether fewer operations would show it: the time was over"]
      : [],
    elapsedMs: performance.now() - startedAt,
  };
}

/** A module of a user's own may be anything. */
async function usable(reference: ModelReference): Promise<Model<unknown>> {
  try {
    return await loadModel(reference);
  } catch (error) {
    if (typeof reference === "string") throw error;
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new ScenarioError(`the model in ${String(reference.module)} cannot be used: ${why}`);
  }
}

function sentenceOf({ partition, sentences }: Violation): string {
  return `${partition === "" ? "" : `key ${partition}: `}${sentences.join("; ")}`;
}

function findingOf(
  violation: Violation,
  partitions: ReadonlyMap<string, readonly { outcome: string; return: number }[]>,
): Finding {
  const { partition, counterexample, longest } = violation;
  const ends = (partitions.get(partition) ?? [])
    .filter(({ outcome }) => outcome === "ok")
    .map((operation) => operation.return)
    .filter((end) => end < longest.culprit.return);
  const completed = (partitions.get(partition) ?? []).filter(({ outcome }) => outcome === "ok").length;
  return {
    kind: "not-linearizable",
    ...(longest.culprit.workload ? { workload: longest.culprit.workload } : {}),
    ...(partition === "" ? {} : { key: partition }),
    operations: counterexample,
    sentence: sentenceOf(violation),
    longest: {
      upTo: ends.reduce((last, end) => Math.max(last, end), -1),
      placed: ends.length,
      of: completed,
    },
  };
}
