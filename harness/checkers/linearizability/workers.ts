/**
 * Checks partitions in worker threads: both cores, and budgets that hold even inside one call of a model. A thread that
 * stays in one partition's turn for too long, or takes too much memory, is ended; that partition is unknown, with how far it
 * had got, and its thread's other partitions begin anew in another thread.
 *
 * Functions cannot be sent to a thread, so the model is named: a built-in one by its name, one's own by the module that exports it.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { findModel } from "../../models/index.ts";
import { childProgram } from "../../package-root.ts";
import { CheckerDisagreement } from "../disagreement.ts";
import {
  beginning,
  type PartitionOptions,
  type PartitionOutcome,
  type PartitionProgress,
  partitionsOf,
  undecidedOf,
} from "./partitions.ts";

/** A built-in model by its name, or the `name` of an export of a module (default: `default`). */
export type ModelReference = string | { readonly module: string | URL; readonly name?: string };

export interface WorkerOptions
  extends Pick<PartitionOptions, "memoryBytes" | "crossCheck" | "onOutcome" | "onTurn"> {
  /** ms from now. */
  readonly budgetMs: number;
  /** ms that one turn of a partition may take before its thread is ended. */
  readonly turnMsMax: number;
  readonly threadsMax: number;
}

export interface SearchWorkerData {
  readonly model: ModelReference;
  readonly partitions: readonly (readonly [string, readonly Operation[]])[];
  readonly budgetMs: number;
  readonly memoryBytes: number;
  readonly crossCheck: boolean;
}

export type SearchWorkerMessage =
  | { readonly type: "turn"; readonly progress: PartitionProgress }
  | { readonly type: "outcome"; readonly outcome: PartitionOutcome }
  | { readonly type: "disagreement"; readonly partition: string; readonly what: string };

/** ms that a thread may go on after the budget, to put a violation into words. */
const graceMs = 300;

/** @throws RangeError or TypeError naming what is wrong with the reference. */
export async function loadModel(reference: ModelReference): Promise<Model<unknown>> {
  if (typeof reference === "string") return findModel(reference);
  const { module, name = "default" } = reference;
  const exported: unknown = (await import(String(module)))[name];
  if (typeof exported === "object" && exported !== null && "step" in exported && "partition" in exported) {
    return exported as Model<unknown>;
  }
  throw new TypeError(`${String(module)} exports no model as "${name}"`);
}

/** @throws CheckerDisagreement; and whatever the model throws. */
export async function checkInWorkers(
  reference: ModelReference,
  operations: readonly Operation[],
  options: WorkerOptions,
): Promise<PartitionOutcome[]> {
  const model = await loadModel(reference);
  const partitions = [...partitionsOf(model, operations)];
  const threads = Math.min(partitions.length, options.threadsMax, availableParallelism());
  const endsAt = performance.now() + options.budgetMs;
  const shares = Array.from({ length: threads }, (_, thread) =>
    partitions.filter((_, i) => i % threads === thread),
  );
  const byCall = new Map(operations.map((operation) => [operation.call, operation]));
  const outcomes: PartitionOutcome[] = [];
  const decided = (outcome: PartitionOutcome) => {
    outcomes.push(outcome);
    options.onOutcome?.(outcome);
  };
  const memoryBytes = options.memoryBytes / Math.max(1, threads);
  const running = new Set<Thread>();
  const all = shares.map(async (share) => {
    let left: Share = share;
    while (left.length > 0) {
      const budgetMs = endsAt - performance.now();
      if (budgetMs <= 0) break;
      const thread = new Thread(reference, left, { ...options, budgetMs, memoryBytes }, byCall, decided);
      running.add(thread);
      left = await thread.ended;
      running.delete(thread);
    }
    for (const [name, some] of left) decided(undecidedOf(beginning(name, some), "ran out of time"));
  });
  try {
    await Promise.all(all);
  } finally {
    for (const thread of running) thread.stop();
  }
  return outcomes;
}

type Share = readonly (readonly [string, readonly Operation[]])[];

/** One thread with a share of the partitions, from its start to its end. */
class Thread {
  /** What has not been decided, and is no reason to stop. */
  readonly ended: Promise<Share>;
  readonly #worker: Worker;
  readonly #options: WorkerOptions;
  readonly #byCall: ReadonlyMap<number, Operation>;
  readonly #decided: (outcome: PartitionOutcome) => void;
  readonly #progress = new Map<string, PartitionProgress>();
  #left: Share;
  #inTurn: PartitionProgress | undefined;
  #turnTimer: NodeJS.Timeout | undefined;
  #why: string | undefined;

  constructor(
    model: ModelReference,
    share: Share,
    options: WorkerOptions,
    byCall: ReadonlyMap<number, Operation>,
    decided: (outcome: PartitionOutcome) => void,
  ) {
    this.#options = options;
    this.#byCall = byCall;
    this.#decided = decided;
    this.#left = share;
    const { budgetMs, memoryBytes, crossCheck } = options;
    const reference = typeof model === "string" ? model : { ...model, module: String(model.module) };
    // Half for what a search remembers, which is outside the heap of the thread; the heap gets as much as all.
    const workerData: SearchWorkerData = {
      model: reference,
      partitions: share,
      budgetMs,
      memoryBytes: memoryBytes / 2,
      crossCheck,
    };
    this.#worker = new Worker(childProgram("harness/checkers/linearizability/search-worker.js"), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: Math.max(16, Math.floor(memoryBytes / 2 ** 20)) },
    });
    this.ended = this.#watch();
  }

  stop(): void {
    void this.#worker.terminate();
  }

  #watch(): Promise<Share> {
    return new Promise((resolve, reject) => {
      const whole = setTimeout(() => this.#end("ran out of time"), this.#options.budgetMs + graceMs);
      this.#worker.on("message", (message: SearchWorkerMessage) => {
        if (message.type === "turn") this.#turn(message.progress);
        else if (message.type === "outcome") this.#outcome(message.outcome);
        else reject(this.#disagreement(message.partition, message.what));
      });
      this.#worker.on("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "ERR_WORKER_OUT_OF_MEMORY") this.#why = "ran out of memory";
        else reject(error);
      });
      this.#worker.on("exit", () => {
        clearTimeout(whole);
        clearTimeout(this.#turnTimer);
        this.#giveUpTurn();
        resolve(this.#left);
      });
    });
  }

  #turn(progress: PartitionProgress): void {
    this.#inTurn = progress;
    this.#progress.set(progress.partition, progress);
    this.#options.onTurn?.(progress);
    clearTimeout(this.#turnTimer);
    this.#turnTimer = setTimeout(() => this.#end("stayed in one step for too long"), this.#options.turnMsMax);
  }

  #outcome(outcome: PartitionOutcome): void {
    this.#inTurn = undefined;
    clearTimeout(this.#turnTimer);
    this.#left = this.#left.filter(([name]) => name !== outcome.partition);
    this.#decided(this.#ofThisThread(outcome));
  }

  #end(why: string): void {
    this.#why = why;
    void this.#worker.terminate();
  }

  /** The partition that was in its turn when the thread was ended is not tried again. */
  #giveUpTurn(): void {
    if (this.#why === undefined) return;
    const name = this.#inTurn?.partition ?? this.#left[0]?.[0];
    const given = this.#left.find(([other]) => other === name);
    if (!given) return;
    this.#left = this.#left.filter((other) => other !== given);
    this.#decided(undecidedOf(this.#progress.get(given[0]) ?? beginning(...given), this.#why));
  }

  #disagreement(partition: string, what: string): CheckerDisagreement {
    const operations = this.#left.find(([name]) => name === partition)?.[1] ?? [];
    return new CheckerDisagreement(partition, what, operations);
  }

  /** The same outcome with the caller's own operations in it, instead of copies. */
  #ofThisThread(outcome: PartitionOutcome): PartitionOutcome {
    const own = (operation: Operation) => this.#byCall.get(operation.call) ?? operation;
    if (outcome.verdict === "unknown") return outcome;
    if (outcome.verdict === true) return { ...outcome, witness: outcome.witness.map(own) };
    const { culprit, order, exact } = outcome.longest;
    const longest = { culprit: own(culprit), order: order?.map(own), exact };
    return { ...outcome, counterexample: outcome.counterexample.map(own), longest };
  }
}
