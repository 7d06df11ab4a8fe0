/**
 * The verdict on what was recovered for one key after power was lost at one event: judge-state.ts says how it is judged;
 * here it is done for a single key, and remembered.
 */
import type { Request, StorePromise } from "../../../stores/contract.ts";
import type { Workload } from "../../../workloads/contract.ts";
import { runChecker } from "../../checkers/compose.ts";
import type { CheckContext, Finding } from "../../checkers/contract.ts";
import { inOrder } from "../../checkers/findings.ts";
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import type { RecoveredValues } from "./judge-state-values.ts";
import { type Obligations, operationAt, type PlacedOperation } from "./obligations.ts";

export interface StateJudgeOptions {
  readonly workloads: readonly Workload[];
  readonly promise: StorePromise;
  /** Which part of the promise this judge holds the store to. */
  readonly crash: "powerLoss" | "processCrash";
  readonly obligations: Obligations;
  readonly values: RecoveredValues;
  /** Of the keys. */
  readonly epoch: number;
}

/** Runs restart a few times at most; later incarnations are judged as the last one of these. */
export const incarnationsMax = 64;

/** ms that one key at one crash point may take to be judged. */
const budgetMs = 2000;

export interface LostOperation {
  readonly operation: Operation;
  /** ns since the history's time 0. */
  readonly acknowledgedNs: number;
  readonly read: Operation;
}

export interface SurvivingOperation {
  readonly operation: Operation;
  readonly read: Operation;
}

/** What became of one key under a lossy promise. */
export interface KeyFates {
  readonly lost: number;
  /** The lost operation that ended first in real time, and the one acknowledged first. */
  readonly first: LostOperation | undefined;
  readonly oldest: LostOperation | undefined;
  readonly survivor: SurvivingOperation | undefined;
}

export interface KeyVerdict {
  readonly findings: readonly Finding[];
  readonly unknown: readonly string[];
  readonly notJudged: boolean;
  readonly fates?: KeyFates;
}

/** What is known of one value between two replies. */
interface StrictMemo {
  /** Number of the first cut known to allow it. */
  readonly allowedFrom: number;
  /** The last cut that was judged, and what was wrong there. */
  readonly cut: number;
  readonly verdict: KeyVerdict | undefined;
}

const fine: KeyVerdict = { findings: [], unknown: [], notJudged: false };
const opened: KeyVerdict = { findings: [], unknown: [], notJudged: true };

export function isNotice({ findings, unknown, notJudged }: KeyVerdict): boolean {
  return findings.length > 0 || unknown.length > 0 || notJudged;
}

/** Judges the values found in one slot. */
export class KeyJudge {
  /** Events at which the cut of this key changes, ascending: cut number n begins at `cuts[n - 1]`. */
  readonly cuts: readonly number[];
  judged = 0;
  readonly #options: StateJudgeOptions;
  readonly #workload: Workload;
  readonly #request: Request;
  readonly #slot: number;
  readonly #placed: readonly PlacedOperation[];
  readonly #placeOf: ReadonlyMap<Operation, PlacedOperation>;
  readonly #context: CheckContext;
  readonly #memo = new Map<number, KeyVerdict>();
  /** By value and number of replies. */
  readonly #strictMemo = new Map<number, StrictMemo>();
  readonly #strict: boolean;
  /** Events at which something was answered on this key, ascending. */
  readonly #replies: readonly number[];
  readonly #served = new Map<string, KeyVerdict>();
  /** Opening requests of this key: until they are acknowledged there is nothing to judge it by. */
  readonly #opening: readonly PlacedOperation[];
  readonly #hasOpening: boolean;

  constructor(
    options: StateJudgeOptions,
    workload: Workload,
    request: Request,
    slot: number,
    placed: readonly PlacedOperation[],
  ) {
    this.#options = options;
    this.#workload = workload;
    this.#request = request;
    this.#slot = slot;
    this.#placed = placed;
    this.#placeOf = new Map(placed.map((one) => [one.operation, one]));
    // Restarts inside the trace were process crashes, whatever this one is.
    this.#context = { promise: options.promise, budgetMs };
    const opening = workload.setUp(options.epoch).filter(({ key }) => key === request.key);
    this.#hasOpening = opening.length > 0;
    this.#opening = placed.filter(({ operation }) => opening.some(({ f }) => f === operation.f));
    this.#strict = options.promise[options.crash].survives !== "a prefix";
    const invoked = placed.map(({ invokedAt }) => invokedAt);
    const answered = placed.map(({ acknowledgedAt }) => acknowledgedAt);
    this.cuts = ascending([...invoked, ...answered]);
    this.#replies = ascending(answered);
  }

  /** @param incarnation the one whose state it may be, where a process crash may lose something; else 0. */
  verdict(value: number, event: number, incarnation: number): KeyVerdict {
    if (this.#strict) return this.#strictVerdict(value, event);
    const cut = after(this.cuts, event);
    const id = (value * (this.cuts.length + 1) + cut) * incarnationsMax + incarnation;
    const known = this.#memo.get(id);
    if (known) return known;
    const verdict = this.#judge(value, event, incarnation);
    this.#memo.set(id, verdict);
    return verdict;
  }

  /**
   * What has been sent since and not been answered may be ignored, so that a state that was allowed stays allowed until
   * the next reply; and one that was not, was not before, either.
   */
  #strictVerdict(value: number, event: number): KeyVerdict {
    const id = value * (this.#replies.length + 1) + after(this.#replies, event);
    const cut = after(this.cuts, event);
    const known = this.#strictMemo.get(id);
    if (known && cut >= known.allowedFrom) return fine;
    if (known?.verdict && cut === known.cut) return known.verdict;
    const verdict = this.#judge(value, event, 0);
    if (verdict === fine) this.#strictMemo.set(id, { allowedFrom: cut, cut, verdict: undefined });
    else {
      const allowedFrom = known?.allowedFrom ?? Number.POSITIVE_INFINITY;
      this.#strictMemo.set(id, { allowedFrom, cut, verdict });
    }
    return verdict;
  }

  /** What one read served after a restart, and what another found after the power loss that followed. */
  afterServing(served: number, value: number, event: number): KeyVerdict {
    const id = `${after(this.cuts, event)} ${served} ${value}`;
    const known = this.#served.get(id);
    if (known) return known;
    const operations = this.#cut(event);
    const reads = [this.#read(served, event, 1), this.#read(value, event, 2)];
    const verdict = this.#isOpened(event) ? this.#check([...operations, ...reads]) : opened;
    this.#served.set(id, verdict);
    return verdict;
  }

  #judge(value: number, event: number, incarnation: number): KeyVerdict {
    this.judged++;
    if (!this.#strict) return this.#judgePrefix(value, event, incarnation);
    if (!this.#isOpened(event)) return opened;
    return this.#check([...this.#cut(event), this.#read(value, event, 1)]);
  }

  /** Without reads, where what they showed need not have been durable. */
  #cut(event: number): Operation[] {
    const { promise, crash } = this.#options;
    const changesOnly = crash === "powerLoss" && promise.showsOnlyDurable === false && this.#strict;
    const operations: Operation[] = [];
    for (const placed of this.#placed) {
      const operation = operationAt(placed, event);
      if (operation && (!changesOnly || this.#mayChange(operation))) operations.push(operation);
    }
    return operations;
  }

  #isOpened(event: number): boolean {
    if (!this.#hasOpening) return true;
    return this.#opening.length > 0 && this.#opening.every(({ acknowledgedAt }) => acknowledgedAt <= event);
  }

  /** A read made after the n-th restart from here on. */
  #read(value: number, event: number, restart: number): Operation {
    const { obligations, values } = this.#options;
    const { workload, f, key, value: input } = this.#request;
    const rank = obligations.crashRank + 2 * restart;
    const time = obligations.timeOf(event);
    return {
      process: -restart,
      workload,
      f,
      key,
      input,
      outcome: "ok",
      output: values.valueOf(this.#slot, value),
      call: rank,
      return: rank + 1,
      bound: rank + 1,
      calledAt: time,
      returnedAt: time,
      node: "n1",
      incarnation: obligations.incarnations + restart,
      readBack: true,
    };
  }

  #check(operations: readonly Operation[]): KeyVerdict {
    const history: History = { operations, readiness: this.#options.obligations.history.readiness };
    const results = runChecker(this.#workload.name, this.#context, () =>
      this.#workload.check(history, this.#context),
    );
    const findings = results.flatMap((result) => [...result.findings]);
    const unknown = results.flatMap((result) => [...result.reasons]);
    return findings.length === 0 && unknown.length === 0 ? fine : { findings, unknown, notJudged: false };
  }

  #judgePrefix(value: number, event: number, incarnation: number): KeyVerdict {
    const read = this.#read(value, event, 1);
    const losesAtCrash = this.#options.promise.processCrash.survives === "a prefix";
    const all = this.#cut(event);
    const mine = losesAtCrash ? all.filter((operation) => operation.incarnation === incarnation) : all;
    const baseline =
      losesAtCrash && incarnation > 0
        ? mine.find(({ readBack, outcome }) => readBack && outcome === "ok")
        : undefined;
    if (losesAtCrash && incarnation > 0 && !baseline) return opened;
    const { lost, survived, impossible } = this.#workload.fates(baseline?.output, mine, read);
    const fates = this.#fatesOf(lost, survived, read);
    if (impossible) {
      const finding = {
        ...impossible,
        workload: read.workload,
        key: read.key,
        operations: inOrder([baseline, read]),
      };
      return { findings: [finding], unknown: [], notJudged: false, fates };
    }
    if (this.#hasOpening && (!this.#isOpened(event) || lost.some((one) => this.#isOpening(one)))) {
      return { findings: [], unknown: [], notJudged: true, fates };
    }
    const explained = this.#explained(all, mine, read, baseline, incarnation, losesAtCrash);
    return { ...explained, fates };
  }

  /** Was it the key's state at some time? Judged as a read sent before everything that could have changed it since. */
  #explained(
    all: readonly Operation[],
    mine: readonly Operation[],
    read: Operation,
    baseline: Operation | undefined,
    incarnation: number,
    losesAtCrash: boolean,
  ): KeyVerdict {
    const opening = mine
      .filter((operation) => this.#isOpening(operation))
      .map((operation) => operation.return);
    const call = Math.max(-0.5, ...opening, ...(baseline ? [baseline.return] : []));
    const early: Operation = {
      ...read,
      call,
      ...(losesAtCrash ? { incarnation, readBack: false } : {}),
    };
    const changes = all.filter(
      (operation) =>
        (!losesAtCrash || operation.incarnation <= incarnation) &&
        (this.#mayChange(operation) || (losesAtCrash && operation.readBack)),
    );
    const at = changes.findIndex((operation) => operation.call > call);
    const verdict = this.#check(changes.toSpliced(at === -1 ? changes.length : at, 0, early));
    const shown = (operation: Operation) => (operation === early ? read : operation);
    return {
      ...verdict,
      findings: verdict.findings.map((finding) => ({
        ...finding,
        operations: inOrder(finding.operations.map(shown)),
      })),
    };
  }

  #mayChange({ outcome, f, key, input, output, matched, workload }: Operation): boolean {
    if (outcome !== "ok") return outcome === "info";
    if (this.#opening.some(({ operation }) => operation.f === f)) return true;
    const reply = { type: "ok" as const, value: output, ...(matched === undefined ? {} : { matched }) };
    return this.#workload.changes({ workload, f, key, value: input }, reply);
  }

  #isOpening(operation: Operation): boolean {
    return this.#opening.some((placed) => placed.operation === operation);
  }

  #fatesOf(lost: readonly Operation[], survived: readonly Operation[], read: Operation): KeyFates {
    let first: LostOperation | undefined;
    let oldest: LostOperation | undefined;
    let survivor: SurvivingOperation | undefined;
    for (const operation of lost) {
      const acknowledgedNs = this.#placeOf.get(operation)?.acknowledgedNs ?? operation.returnedAt;
      const one = { operation, acknowledgedNs, read };
      if (!first || operation.return < first.operation.return) first = one;
      if (!oldest || one.acknowledgedNs < oldest.acknowledgedNs) oldest = one;
    }
    for (const operation of survived) {
      if (!survivor || operation.call > survivor.operation.call) survivor = { operation, read };
    }
    return { lost: lost.length, first, oldest, survivor };
  }
}

/** The finite ones, each once. */
function ascending(events: readonly number[]): number[] {
  return [...new Set(events.filter(Number.isFinite))].sort((a, b) => a - b);
}

export function nameOf({ workload, key }: { readonly workload: string; readonly key: string }): string {
  return `${workload} ${key}`;
}

/** How many of these ascending numbers are not greater than `limit`. */
export function after(ascending: readonly number[], limit: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
