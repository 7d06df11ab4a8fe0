/**
 * From a history that has no order to what a person can check by eye, for any model.
 *
 * **The longest explainable prefix.** Linearizability is prefix-closed, so there is one operation, the *culprit*, whose
 * completion made the history impossible: the first one such that the history as it stood when it had returned has no order.
 * What had not returned by then is still under way, with an unknown result. As the history stood just before, an order
 * explains it. That order is given.
 *
 * **The core.** A set C of operations such that the prefix has no order *even if every operation outside C may have happened or
 * not, with whatever result, at any time between its invocation and its return*. Two things follow. C alone, as a history, has
 * no order (the others need not happen), so it is a violation in itself. And the whole history has none: any order of it
 * would be one with less asked of it. The second is why operations are made optional and not taken away: a read of 7
 * alone is "a violation" once every write has been taken away, and says nothing about the store. Relaxing is monotone, so
 * trying each operation once leaves a core that is locally minimal: relax any one more, and there is an order.
 *
 * **The remedy.** A read of 7 after an acknowledged write of 9 contradicts it because the writes of 7 were over by then. To show
 * that, one more operation is named where there is one: the latest that would have explained it all, had it only happened
 * after its return. It is not needed for the proof.
 *
 * **Left out beforehand** are whole groups that a model declares separable (everything about one element of a queue), as long
 * as what remains has no order; by the model's word, no order of the whole is lost by that. "Every operation outside C" above
 * then means every one of the groups that remain: those of a group that was left out count as having ended as they
 * did. With another result they might explain C: "b" was put in, and the queue found empty; a dequeue that returned "a" would explain
 * that, had it returned "b".
 *
 * **Left out as well** is what was over before an overwriting operation R was sent (a blind write), where R is in the core and
 * all else in it was sent after R had ended. Of an order of what remains, optional or binding, the part from R on is an order,
 * too: nothing in it was over before R was sent, and R leads from any state to the same. So no order is lost, and R stays.
 *
 * All trials have a budget. One that is not decided counts as "an order exists", so a core is always one; it may only be
 * larger than it could be, and says so.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { CheckerDisagreement } from "../disagreement.ts";
import { Frontier } from "./frontier.ts";
import { Search, type SearchProgress } from "./search.ts";

/** Whether a history has an order, and which one. */
export interface Judgement {
  /** Undefined: not decided in time. */
  readonly verdict: boolean | undefined;
  /** With `true`. */
  readonly order?: () => readonly Operation[];
}

export type Judge = (operations: readonly Operation[], untilMs: number) => Judgement;

/** What is known of the culprit beforehand. */
export interface CulpritHints {
  /** It does not return before this operation, for example because a search got past everything before. */
  readonly notBefore?: Operation | undefined;
  /** It does not return after this one, as the operations up to it contradict each other. It is looked at first. */
  readonly notAfter?: Operation | undefined;
}

export interface LongestPrefix {
  /** The operation whose completion no order allows. */
  readonly culprit: Operation;
  /** An order of what happened before that completion; undefined when none was found in time. */
  readonly order: readonly Operation[] | undefined;
  /** False: the budget ran out, and an earlier operation may be the culprit. */
  readonly exact: boolean;
}

export interface MinimalHistory<State> {
  readonly longest: LongestPrefix;
  /** In order of invocation; the culprit is among them. */
  readonly core: readonly Operation[];
  /** The latest operation that would have explained it all, had it happened after its return. */
  readonly remedy: Operation | undefined;
  /** False: the budget ran out, and fewer operations may do. */
  readonly minimal: boolean;
  /**
   * The operation that could not be placed, and every state in which it was tried: those that all that had been answered by
   * then leaves possible, or only the core where that would take too long. Mostly the culprit; else one that ended before
   * it, and would need the culprit to end in another way. Undefined: not found in time.
   */
  readonly stuck: Stuck<State> | undefined;
}

export interface Stuck<State> {
  readonly operation: Operation;
  readonly states: readonly State[];
}

/** Configurations that one trial may take: beyond it, the operation tried is kept. */
const trialConfigurationsMax = 20_000;
const trialMs = 250;

/**
 * Cuts a violated history down.
 *
 * @param operations of one partition, which have no order under the model.
 * @param untilMs `performance.now()` at which the cutting stops.
 * @param notBefore an operation that the culprit does not return before: where a search got stuck.
 */
export function minimalHistory<State>(
  model: Model<State>,
  operations: readonly Operation[],
  untilMs: number,
  notBefore?: Operation,
): MinimalHistory<State> {
  const judge: Judge = (some, until) => searched(model, some, until);
  const longest = longestExplainable(operations, judge, untilMs, { notBefore });
  const prefix = upTo(operations, longest.culprit.return);
  const cutting = new Cutting(model, prefix, longest.culprit, untilMs);
  cutting.leaveOutGroups();
  if (!cutting.beginAtOverwriting()) cutting.relaxAllButLatest();
  cutting.relaxEach();
  cutting.spareStart();
  const core = cutting.core();
  const remedy = cutting.remedy();
  const alone = searched(model, core, Math.max(untilMs, performance.now() + trialMs));
  if (alone.verdict) {
    const what = "the search explains the operations that it had found to contradict each other";
    throw new CheckerDisagreement(model.partition(core[0]!), what, operations);
  }
  const met = stuckIn(model, prefix, untilMs) ?? cutting.stuck;
  const stuck = met && { operation: originals([met.operation], operations)[0]!, states: met.states };
  return {
    longest,
    core: originals(core, operations),
    remedy: remedy && originals([remedy], operations)[0],
    minimal: cutting.minimal,
    stuck,
  };
}

/**
 * The longest prefix of a violated history that some order explains, and the operation that cannot be placed then.
 *
 * @param judge decides prefixes: exactly, where there is an exact method.
 */
export function longestExplainable(
  operations: readonly Operation[],
  judge: Judge,
  untilMs: number,
  { notBefore, notAfter }: CulpritHints = {},
): LongestPrefix {
  const completed = operations
    .filter((operation) => operation.outcome === "ok")
    .sort((a, b) => a.return - b.return);
  let exact = true;
  const isViolated = (at: number) => {
    const isLate = performance.now() >= untilMs;
    const verdict = isLate ? undefined : judge(upTo(operations, completed[at]!.return), untilMs).verdict;
    if (verdict === undefined) exact = false;
    return verdict === false;
  };
  const indexOf = ({ return: end }: Operation) => completed.findIndex((other) => other.return >= end);
  let low = notBefore ? Math.max(0, indexOf(notBefore)) : 0;
  let high = completed.length - 1;
  const upper = notAfter ? indexOf(notAfter) : -1;
  if (upper !== -1 && isViolated(upper)) high = upper;
  // Where a search got stuck is nearly always where the history broke: look there first, then further and further on.
  for (let step = 1; notBefore && low < high; step *= 2) {
    const at = Math.min(low + step - 1, high);
    if (isViolated(at)) {
      high = at;
      break;
    }
    low = at + 1;
  }
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isViolated(middle)) high = middle;
    else low = middle + 1;
  }
  const culprit = completed[high]!;
  const order = orderBefore(operations, culprit, judge, Math.max(untilMs, performance.now() + trialMs));
  return { culprit, order, exact };
}

function orderBefore(
  operations: readonly Operation[],
  culprit: Operation,
  judge: Judge,
  untilMs: number,
): Operation[] | undefined {
  const before = upTo(operations, culprit.return).map((operation) =>
    operation.call === culprit.call ? stillOpen(operation) : operation,
  );
  const order = judge(before, untilMs).order?.();
  return order && originals(order, operations);
}

/** The history as it stood at a rank: what had not returned by then is still under way. */
export function upTo(operations: readonly Operation[], rank: number): Operation[] {
  return operations
    .filter((operation) => operation.call < rank)
    .map((operation) =>
      operation.outcome === "ok" && operation.return > rank ? stillOpen(operation) : operation,
    );
}

/** The operation without its result, and with no time by which it must have happened. */
function stillOpen(operation: Operation): Operation {
  const never = Number.POSITIVE_INFINITY;
  return { ...optional(operation), return: never, bound: never };
}

/** The operation without its result: between its invocation and its bound it happened or not. */
function optional(operation: Operation): Operation {
  const { matched: _, ...rest } = operation;
  return { ...rest, outcome: "info", output: undefined };
}

function originals(some: readonly Operation[], operations: readonly Operation[]): Operation[] {
  const byCall = new Map(operations.map((operation) => [operation.call, operation]));
  return some.map((operation) => byCall.get(operation.call)!);
}

function searched<State>(model: Model<State>, operations: readonly Operation[], untilMs: number): Judgement {
  return judgementOf(new Search(model, operations), untilMs);
}

/** Goes on with a search, or an exact check, until the time. */
export function judgementOf(
  search: { advance(untilMs: number): SearchProgress; witness(): readonly Operation[] },
  untilMs: number,
): Judgement {
  const progress = search.advance(untilMs);
  if (progress === true) return { verdict: true, order: () => search.witness() };
  return { verdict: progress === "more" ? undefined : false };
}

/** What could not be placed in these operations, all of them binding; undefined where that takes too long to say. */
function stuckIn<State>(
  model: Model<State>,
  operations: readonly Operation[],
  untilMs: number,
): Stuck<State> | undefined {
  const frontier = new Frontier(
    model,
    operations.filter(({ outcome }) => outcome !== "fail"),
    trialConfigurationsMax,
  );
  const verdict = frontier.advance(Math.min(untilMs, performance.now() + trialMs));
  return verdict === false ? { operation: frontier.stuckAt!, states: frontier.statesTried } : undefined;
}

/** What is cut down: some operations are binding, the others optional. */
class Cutting<State> {
  readonly #model: Model<State>;
  readonly #culprit: Operation;
  readonly #untilMs: number;
  minimal = true;
  stuck: Stuck<State> | undefined;
  /** The overwriting operation at which the history begins; it stays. */
  #start: Operation | undefined;
  /** What was over before it was sent. */
  #over: readonly Operation[] = [];
  #binding: readonly Operation[];
  #optional: readonly Operation[];

  constructor(model: Model<State>, prefix: readonly Operation[], culprit: Operation, untilMs: number) {
    this.#model = model;
    this.#untilMs = untilMs;
    this.#binding = prefix.filter((operation) => operation.outcome === "ok");
    this.#optional = prefix.filter((operation) => operation.outcome === "info");
    this.#culprit = this.#binding.find((operation) => operation.call === culprit.call)!;
  }

  /** In order of invocation. */
  core(): Operation[] {
    return [...this.#binding].sort((a, b) => a.call - b.call);
  }

  /** Takes groups away, half of them at a time and then fewer, as long as what remains has no order. */
  leaveOutGroups(): void {
    const groupOf = (operation: Operation) => this.#model.separable?.(operation);
    const groups = new Set([...this.#binding, ...this.#optional].map(groupOf));
    groups.delete(undefined);
    groups.delete(groupOf(this.#culprit));
    thinOut([...groups], (some) => {
      const gone = new Set(some);
      const remains = (operation: Operation) => {
        const group = groupOf(operation);
        return group === undefined || !gone.has(group);
      };
      return this.#replace(this.#binding.filter(remains), this.#optional.filter(remains));
    });
  }

  /**
   * Looks for an overwriting operation from which on the rest explains nothing, the latest one first and then ever earlier
   * ones; false when none was found.
   */
  beginAtOverwriting(): boolean {
    const starts = this.#binding
      .filter((operation) => this.#model.overwrites?.(operation) && operation.return < this.#culprit.call)
      .sort((a, b) => b.call - a.call);
    for (let at = 0; at < starts.length; at += 1 + (at >> 1)) {
      const start = starts[at]!;
      const isBinding = (operation: Operation) => operation === start || operation.call > start.return;
      const others = [...this.#optional, ...this.#binding.filter((one) => !isBinding(one)).map(optional)];
      const isOver = (operation: Operation) => operation.bound < start.call;
      const remaining = others.filter((operation) => !isOver(operation));
      if (!this.#replace(this.#binding.filter(isBinding), remaining)) continue;
      this.#start = start;
      this.#over = others.filter(isOver);
      this.minimal = true; // The trials before this one were for something better, and the rest is cut from here.
      return true;
    }
    return false;
  }

  /** A violation mostly lies in what happened last: looks how little of that is enough. */
  relaxAllButLatest(): void {
    const byReturn = [...this.#binding].sort((a, b) => a.return - b.return);
    for (let kept = 1; kept < byReturn.length; kept *= 2) {
      if (this.#relax(byReturn.slice(0, -kept))) return;
    }
  }

  /** Makes operations optional, half of them at a time and then fewer, as long as there is no order. */
  relaxEach(): void {
    const others = this.#binding.filter(
      (operation) => operation !== this.#culprit && operation !== this.#start,
    );
    thinOut(others, (some) => this.#relax(some));
    if (!this.stuck) this.#hasOrder(this.#binding, this.#optional);
  }

  /** Whether the overwriting operation at which the history was made to begin is needed at all. */
  spareStart(): void {
    if (!this.#start) return;
    const binding = this.#binding.filter((operation) => operation !== this.#start);
    const relaxed = [...this.#optional, ...this.#over, optional(this.#start)];
    const until = Math.min(this.#untilMs, performance.now() + trialMs);
    const { verdict } = searched(this.#model, [...binding, ...relaxed], until);
    if (verdict === undefined) this.minimal = false;
    if (verdict !== false) return;
    [this.#binding, this.#optional, this.#over, this.#start] = [binding, relaxed, [], undefined];
  }

  /** By bisection: the more operations at the end may happen late, the more can be explained. */
  remedy(): Operation | undefined {
    const byCall = [...this.#optional, ...this.#over].sort((a, b) => a.call - b.call);
    const over = new Set(this.#over);
    const isRemedied = (from: number) => {
      const inTime = byCall.slice(0, from).filter((operation) => !over.has(operation));
      const late = [...inTime, ...byCall.slice(from).map(stillOpen)];
      return this.#hasOrder(this.#binding, late, false);
    };
    if (!isRemedied(0)) return undefined;
    let [low, high] = [0, byCall.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (isRemedied(middle)) low = middle;
      else high = middle;
    }
    return byCall[low];
  }

  #relax(some: readonly Operation[]): boolean {
    const gone = new Set(some);
    const binding = this.#binding.filter((operation) => !gone.has(operation));
    return this.#replace(binding, [...this.#optional, ...some.map(optional)]);
  }

  /** Whether these, too, have no order; then they are what is cut down further. */
  #replace(binding: readonly Operation[], relaxed: readonly Operation[]): boolean {
    if (this.#hasOrder(binding, relaxed)) return false;
    [this.#binding, this.#optional] = [binding, relaxed];
    return true;
  }

  /** @param unless what is said when it was not decided in time: by default, that there is an order. */
  #hasOrder(binding: readonly Operation[], relaxed: readonly Operation[], unless = true): boolean {
    const operations = [...binding, ...relaxed];
    const until = Math.min(this.#untilMs, performance.now() + trialMs);
    const verdict = performance.now() < until ? this.#tried(operations, until) : "more";
    if (verdict !== "more") return verdict;
    if (unless) this.minimal = false;
    return unless;
  }

  #tried(operations: readonly Operation[], until: number): SearchProgress {
    const frontier = new Frontier(this.#model, operations, trialConfigurationsMax);
    const verdict = frontier.advance(until);
    if (verdict === false) this.stuck = { operation: frontier.stuckAt!, states: frontier.statesTried };
    return verdict === "more" ? new Search(this.#model, operations).advance(until) : verdict;
  }
}

/**
 * Takes items away, the first half, then the second, then quarters and so on, keeping those without which `takeAway` says no. As
 * long as what is refused once stays refused, it leaves a set of which no single item can go.
 */
function thinOut<Item>(items: readonly Item[], takeAway: (some: readonly Item[]) => boolean): void {
  let left = [...items];
  for (let size = Math.ceil(left.length / 2); left.length > 0; size = size >> 1) {
    for (let at = 0; at < left.length; ) {
      const some = left.slice(at, at + size);
      if (takeAway(some)) left = [...left.slice(0, at), ...left.slice(at + size)];
      else at += size;
    }
    if (size <= 1) return;
  }
}
