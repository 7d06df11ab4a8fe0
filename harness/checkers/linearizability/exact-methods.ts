/**
 * Which models have an exact method of their own, and what it says, in the words of partitions.ts. Everything else, and what
 * these methods do not cover, is searched.
 *
 * A model has the method when its `step` is the built-in one: a model made from it with another beginning keeps it.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { type ListState, listModel } from "../../models/list.ts";
import { type RegisterState, registerModel } from "../../models/register.ts";
import type { Conflict } from "./conflict.ts";
import { findingOf } from "./explain.ts";
import { analyseList } from "./list-key.ts";
import { analyseKey, explainViolation } from "./register-key.ts";
import type { SearchProgress } from "./search.ts";

/** What contradicts itself, and why. */
export interface Contradiction {
  /** In order of invocation. */
  readonly operations: readonly Operation[];
  /** They do not name the key. */
  readonly sentences: readonly string[];
}

export type ExactAnalysis =
  | { readonly verdict: true; readonly witness: () => readonly Operation[] }
  | { readonly verdict: false; readonly contradiction: (untilMs: number) => Contradiction }
  /** Covered, but not decided at once. */
  | {
      readonly verdict: "open";
      readonly advance: (untilMs: number) => SearchProgress;
      readonly witness: () => readonly Operation[];
      readonly contradiction: (untilMs: number) => Contradiction;
    }
  | { readonly verdict: "uncovered" }
  | { readonly verdict: "refused"; readonly reason: string };

export type ExactMethod = (operations: readonly Operation[]) => ExactAnalysis;

export function exactMethodOf<State>(model: Model<State>): ExactMethod | undefined {
  const step: unknown = model.step;
  if (step === registerModel.step) {
    const initial = model.init() as RegisterState;
    return (operations) => ofRegister(operations, initial);
  }
  if (step === listModel.step) {
    const initial = elements(model.init() as ListState);
    return (operations) => ofList(operations, initial);
  }
  return undefined;
}

function ofRegister(operations: readonly Operation[], initial: RegisterState): ExactAnalysis {
  const analysis = analyseKey(operations, initial);
  const failed = operations.filter((operation) => operation.outcome === "fail");
  // Without the key, which whoever shows the sentence puts before it.
  const told = (conflict: Conflict): Contradiction => {
    const { operations: shown, sentence } = findingOf("", conflict, failed);
    return { operations: shown, sentences: [sentence] };
  };
  switch (analysis.verdict) {
    case true:
      return analysis;
    case false: {
      const { conflicts } = analysis;
      return { verdict: false, contradiction: () => told(conflicts[0]!) };
    }
    case "open": {
      const { search, uncovered } = analysis;
      if (uncovered !== undefined) return { verdict: "uncovered" };
      return {
        verdict: "open",
        advance: (untilMs) => search.advance(untilMs),
        witness: () => search.witness(),
        contradiction: (untilMs) => told(explainViolation(operations, initial, untilMs)),
      };
    }
    default:
      return analysis;
  }
}

function ofList(operations: readonly Operation[], initial: readonly string[]): ExactAnalysis {
  const analysis = analyseList(operations, initial);
  switch (analysis.verdict) {
    case true:
      return { verdict: true, witness: () => analysis.witness };
    case false: {
      const { what, operations: shown } = analysis.conflicts[0]!;
      const inOrder = [...shown].sort((a, b) => a.call - b.call);
      return {
        verdict: false,
        contradiction: () => ({
          operations: inOrder,
          sentences: [what],
        }),
      };
    }
    case "uncovered":
      return { verdict: "uncovered" };
    default:
      return analysis;
  }
}

function elements(state: ListState): string[] {
  const reversed: string[] = [];
  for (let at = state; at.rest !== null; at = at.rest) reversed.push(at.last);
  return reversed.reverse();
}
