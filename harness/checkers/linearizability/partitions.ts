/**
 * Checks the partitions of a history (its keys, for most models) in turns: each is advanced for a slice of time and then goes
 * to the end of the queue, so that a hard one does not keep an easy violation from being found. A violation is reported when
 * it is found; the others go on within the budget.
 *
 * Every `true` carries an order that was replayed (witness.ts), every `false` operations that contradict each other, and
 * whoever is not decided says how far it got. A witness that does not stand, or two algorithms that differ, end the check: that is
 * a fault of ours (`CheckerDisagreement`), and no verdict.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { CheckerDisagreement } from "../disagreement.ts";
import { conflictSentences, milliseconds } from "./conflict-sentences.ts";
import { type Contradiction, type ExactAnalysis, exactMethodOf } from "./exact-methods.ts";
import { Frontier } from "./frontier.ts";
import {
  type Judge,
  judgementOf,
  type LongestPrefix,
  longestExplainable,
  minimalHistory,
} from "./minimal-history.ts";
import { Search, type SearchProgress, type SearchStatus } from "./search.ts";
import { refuteWitness } from "./witness.ts";

export interface Explained {
  readonly verdict: true;
  readonly partition: string;
  /** An order that explains the partition. */
  readonly witness: readonly Operation[];
}

export interface Violation {
  readonly verdict: false;
  readonly partition: string;
  /**
   * The few operations that contradict each other, in order of invocation; and with them the one that would have explained it,
   * had it not been over by then, where there is one.
   */
  readonly counterexample: readonly Operation[];
  /** What they contradict each other in, one conflict each. */
  readonly sentences: readonly string[];
  /** False when time ran out before it was known that none of them can be spared. */
  readonly minimal: boolean;
  /** The most of the history that some order explains, and the operation that cannot be placed then. */
  readonly longest: LongestPrefix;
}

export interface UndecidedPartition {
  readonly verdict: "unknown";
  readonly partition: string;
  /** Why, and how far it got, in one sentence. */
  readonly reason: string;
  readonly progress: PartitionProgress;
}

export type PartitionOutcome = Explained | Violation | UndecidedPartition;

/** How far a partition has got. */
export interface PartitionProgress {
  readonly partition: string;
  /** Acknowledged operations in it. */
  readonly operations: number;
  /** The most of them that were placed in one order. */
  readonly placed: number;
  /** ns in the history: everything that ended before it can be explained; undefined when that is not known. */
  readonly explainedUntil: number | undefined;
  /** Configurations that were expanded. */
  readonly configurations: number;
}

export interface PartitionOptions {
  /** `performance.now()` at which the check ends. */
  readonly untilMs: number;
  /** Bytes that all searches together may remember; beyond it they forget, which costs time. */
  readonly memoryBytes: number;
  /** Whether everything that was decided is decided a second time by another algorithm, as far as time allows. */
  readonly crossCheck: boolean;
  /** Called as soon as a partition is decided. */
  readonly onOutcome?: (outcome: PartitionOutcome) => void;
  /** Called before each turn of a partition. */
  readonly onTurn?: (progress: PartitionProgress) => void;
}

/** ms that one partition is advanced before the others get their turn. */
const sliceMs = 25;
/** ms that putting one violation into words may take. */
const explainMs = 2000;
/** The least that one search remembers, whatever the number of partitions. */
const searchBytesMin = 2 * 1024 * 1024;

/** Operations by partition, in order of first appearance. */
export function partitionsOf<State>(
  model: Model<State>,
  operations: readonly Operation[],
): Map<string, Operation[]> {
  const partitions = new Map<string, Operation[]>();
  for (const operation of operations) {
    const name = model.partition(operation);
    const partition = partitions.get(name);
    if (partition) partition.push(operation);
    else partitions.set(name, [operation]);
  }
  return partitions;
}

/**
 * Checks all partitions, in turns; the outcomes are in the order in which they were decided, the undecided ones last.
 *
 * @throws CheckerDisagreement
 */
export function checkPartitions<State>(
  model: Model<State>,
  partitions: ReadonlyMap<string, readonly Operation[]>,
  options: PartitionOptions,
): PartitionOutcome[] {
  const outcomes: PartitionOutcome[] = [];
  const decided = (outcome: PartitionOutcome) => {
    outcomes.push(outcome);
    options.onOutcome?.(outcome);
  };
  const searchBytes = Math.max(searchBytesMin, options.memoryBytes / Math.max(1, partitions.size));
  let queue = [...partitions].map(
    ([name, operations]) => new PartitionCheck(model, name, operations, options, searchBytes),
  );
  while (queue.length > 0 && performance.now() < options.untilMs) {
    const waiting: PartitionCheck<State>[] = [];
    for (const check of queue) {
      if (performance.now() >= options.untilMs) {
        waiting.push(check);
        continue;
      }
      options.onTurn?.(check.progress());
      const outcome = check.advance(Math.min(options.untilMs, performance.now() + sliceMs));
      if (outcome) decided(outcome);
      else waiting.push(check);
    }
    queue = waiting;
  }
  for (const check of queue) decided(check.undecided("ran out of time"));
  return outcomes;
}

/** Not decided, and how far it got. @param why "ran out of time" */
export function undecidedOf(progress: PartitionProgress, why: string): UndecidedPartition {
  const { partition, operations, placed, explainedUntil, configurations } = progress;
  const who = partition === "" ? "the search" : `key ${partition}: the search`;
  const far =
    explainedUntil === undefined
      ? ""
      : `, everything that ended before ${milliseconds(explainedUntil)} explained`;
  const reason = `${who} ${why}: at most ${placed} of ${operations} operations placed${far}, ${configurations} configurations seen`;
  return { verdict: "unknown", partition, reason, progress };
}

/** Nothing is known yet. */
export function beginning(partition: string, operations: readonly Operation[]): PartitionProgress {
  const acknowledged = operations.filter((operation) => operation.outcome === "ok").length;
  return { partition, operations: acknowledged, placed: 0, explainedUntil: undefined, configurations: 0 };
}

/** One partition: the exact method of its model where there is one and it applies, else the search. */
class PartitionCheck<State> {
  readonly #model: Model<State>;
  readonly #name: string;
  readonly #operations: readonly Operation[];
  readonly #options: PartitionOptions;
  readonly #searchBytes: number;
  readonly #beginning: PartitionProgress;
  #exact: (ExactAnalysis & { verdict: "open" }) | undefined;
  #search: Search<State> | undefined;

  constructor(
    model: Model<State>,
    name: string,
    operations: readonly Operation[],
    options: PartitionOptions,
    searchBytes: number,
  ) {
    this.#model = model;
    this.#name = name;
    this.#operations = operations;
    this.#options = options;
    this.#searchBytes = searchBytes;
    this.#beginning = beginning(name, operations);
  }

  /** An outcome, or undefined when it needs another turn. */
  advance(untilMs: number): PartitionOutcome | undefined {
    if (this.#search) return this.#afterSearch(this.#search, this.#search.advance(untilMs));
    if (this.#exact) return this.#afterExact(this.#exact, this.#exact.advance(untilMs));
    return this.#begin(untilMs);
  }

  progress(): PartitionProgress {
    const status = this.#search?.status();
    return status ? { ...this.#beginning, ...progressOf(status) } : this.#beginning;
  }

  undecided(why: string): UndecidedPartition {
    return undecidedOf(this.progress(), why);
  }

  #begin(untilMs: number): PartitionOutcome | undefined {
    const reason = this.#operations.map((operation) => this.#model.refuses(operation)).find((one) => one);
    if (reason) return this.#refused(reason);
    const exact = exactMethodOf(this.#model)?.(this.#operations);
    switch (exact?.verdict) {
      case true:
        return this.#explained(exact.witness(), "the exact method");
      case false:
        return this.#contradicted(exact.contradiction);
      case "open":
        this.#exact = exact;
        return this.#afterExact(exact, exact.advance(untilMs));
      case "refused":
        return this.#refused(exact.reason);
      default:
        this.#search = new Search(this.#model, this.#operations, this.#searchBytes);
        return this.#afterSearch(this.#search, this.#search.advance(untilMs));
    }
  }

  #afterExact(
    exact: ExactAnalysis & { verdict: "open" },
    progress: SearchProgress,
  ): PartitionOutcome | undefined {
    if (progress === "more") return undefined;
    return progress
      ? this.#explained(exact.witness(), "the exact method")
      : this.#contradicted(exact.contradiction);
  }

  #afterSearch(search: Search<State>, progress: SearchProgress): PartitionOutcome | undefined {
    if (progress === "more") return undefined;
    if (progress) return this.#explained(search.witness(), "the search");
    this.#crossCheck(false, "the search");
    const { stuckAt } = search.status();
    const { core, remedy, minimal, longest, stuck } = minimalHistory(
      this.#model,
      this.#operations,
      this.#explainUntil(),
      stuckAt,
    );
    const sentences = conflictSentences(this.#model, core, longest.culprit, remedy, stuck);
    const counterexample = remedy ? [...core, remedy].sort((a, b) => a.call - b.call) : core;
    return { verdict: false, partition: this.#name, counterexample, sentences, minimal, longest };
  }

  #contradicted(contradiction: (untilMs: number) => Contradiction): Violation {
    this.#crossCheck(false, "the exact method");
    const method = exactMethodOf(this.#model)!;
    const judge: Judge = (operations, untilMs) => {
      const analysis = method(operations);
      if (analysis.verdict === true) return { verdict: true, order: analysis.witness };
      if (analysis.verdict === false) return { verdict: false };
      return judgementOf(
        analysis.verdict === "open" ? analysis : new Search(this.#model, operations),
        untilMs,
      );
    };
    const { operations: counterexample, sentences } = contradiction(this.#explainUntil());
    const notAfter = [...counterexample]
      .filter(({ outcome }) => outcome === "ok")
      .sort((a, b) => a.return - b.return)
      .at(-1);
    const longest = longestExplainable(this.#operations, judge, this.#explainUntil(), { notAfter });
    return { verdict: false, partition: this.#name, counterexample, sentences, minimal: true, longest };
  }

  #explained(witness: readonly Operation[], by: string): Explained {
    const wrong = refuteWitness(this.#model, this.#operations, witness);
    if (wrong) {
      const what = `the order by which ${by} explains the history does not stand: ${wrong}`;
      throw new CheckerDisagreement(this.#name, what, this.#operations);
    }
    this.#crossCheck(true, by);
    return { verdict: true, partition: this.#name, witness };
  }

  /**
   * Another algorithm on the same operations: the search for the exact method, the frontiers for the search. It is given
   * the model without its shortcuts, so that these are checked, too.
   */
  #crossCheck(verdict: boolean, by: string): void {
    if (!this.#options.crossCheck) return;
    const isExact = by === "the exact method";
    const model = withoutShortcuts(this.#model);
    const other = isExact
      ? new Search(model, this.#operations, this.#searchBytes)
      : new Frontier(model, this.#operations);
    const said = other.advance(Math.min(this.#options.untilMs, performance.now() + explainMs));
    if (said === "more" || said === verdict) return;
    const what = `${by} says ${verdict}, and ${isExact ? "the search" : "the search by frontiers"} says ${said}`;
    throw new CheckerDisagreement(this.#name, what, this.#operations);
  }

  #refused(reason: string): UndecidedPartition {
    const who = this.#name === "" ? "" : `key ${this.#name}: `;
    return {
      verdict: "unknown",
      partition: this.#name,
      reason: `${who}${reason}`,
      progress: this.#beginning,
    };
  }

  #explainUntil(): number {
    const now = performance.now();
    return Math.min(now + explainMs, Math.max(this.#options.untilMs, now + explainMs / 10));
  }
}

/**
 * The model without what it may declare to save time: a declaration that does not hold would mislead two algorithms that
 * both believe it. `readOnly` stays, without which few histories could be decided twice.
 */
function withoutShortcuts<State>(model: Model<State>): Model<State> {
  const absent = { value: undefined };
  return Object.create(model, { observes: absent, separable: absent, overwrites: absent }) as Model<State>;
}

function progressOf({ placed, stuckAt, configurations }: SearchStatus): Partial<PartitionProgress> {
  return { placed, explainedUntil: stuckAt?.returnedAt, configurations };
}
