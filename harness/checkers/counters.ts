/**
 * Does a counter count? After Jepsen's `counter`: each read must lie between what must have been added by then and
 * what may have been.
 *
 * Operations, on one key per counter: `add` of a whole number of any sign · `decrement`, which adds its negative · `read` → the
 * number. A counter with other operations is not judged. For a read,
 * additions acknowledged before it was sent count in full; those sent before it returned, and not among the former,
 * may count or not. Verified:
 * - lower ≤ read ≤ upper, where the optional additions below zero go into the lower bound and those above zero into the upper one;
 * - where nothing is ever subtracted: in real time, no read shows less than one that had returned before it was sent.
 * For additions of 1 the bounds of one read are exact. Not verified: for other amounts, that the number in between
 * is a sum of optional ones; several reads against each other beyond going back; when an addition that was never
 * answered took effect.
 */
import { byKey, type History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import type { CheckContext, CheckResult, Finding } from "./contract.ts";
import { Gathering, inOrder, seconds } from "./findings.ts";
import { unknownOperation } from "./known-operations.ts";

export interface CounterOptions {
  /** What a counter shows before anything was added. Default 0. */
  readonly initial?: number;
}

/** Checks every counter of the history. */
export function checkCounter(
  history: History,
  context: CheckContext,
  options: CounterOptions = {},
): CheckResult {
  const gathering = new Gathering("counters", context);
  const keys = byKey(history.operations);
  for (const [key, operations] of keys) {
    if (performance.now() > gathering.endsAt) {
      gathering.reasons.push(
        `the time was up after ${gathering.checked.counters ?? 0} of ${keys.size} counters`,
      );
      break;
    }
    gathering.count("counters", 1);
    checkOne(key, operations, options.initial ?? 0, gathering);
  }
  gathering.count("operations", history.operations.length);
  if (!gathering.checked.reads) gathering.reasons.push("no read of a counter was answered");
  return gathering.result(history.operations[0]?.workload);
}

function checkOne(
  key: string,
  operations: readonly Operation[],
  initial: number,
  gathering: Gathering,
): void {
  const adds = operations.filter(({ f, outcome }) => f !== "read" && outcome !== "fail");
  const reads = operations.filter(({ f, outcome }) => f === "read" && outcome === "ok");
  const unknown = unknownOperation(operations, ["add", "decrement", "read"], "a counter here");
  const odd = adds.find(({ input }) => !Number.isSafeInteger(input)) ?? reads.find(isOddRead);
  if (unknown || odd) {
    gathering.reasons.push(`counter ${key}: ${unknown ?? notWhole(odd!)}`);
    return;
  }
  gathering.count("reads", reads.length);
  gathering.count("adds", adds.length);
  const bounds = new Bounds(adds, initial);
  const outside = reads.filter((read) => !bounds.admit(read));
  if (outside.length > 0) gathering.findings.push(outOfBounds(key, outside, bounds, adds));
  const isGrowing = adds.every((add) => amountOf(add) >= 0);
  const [before, after, count] = isGrowing ? firstDecrease(reads) : [];
  if (before && after) gathering.findings.push(wentBack(key, before, after, count));
}

function isOddRead({ output }: Operation): boolean {
  return !Number.isSafeInteger(output);
}

function notWhole({ f, input, output, process, calledAt }: Operation): string {
  const value = f === "read" ? output : input;
  const which = `the ${f} by client ${process} sent at ${seconds(calledAt)}`;
  return value === undefined || value === null
    ? `${which} has no value`
    : `${which} has ${JSON.stringify(value)}, which is no whole number`;
}

function amountOf({ f, input }: Operation): number {
  return f === "decrement" ? -(input as number) : (input as number);
}

/** Sums of additions, looked up by rank. */
class Bounds {
  readonly #initial: number;
  /** Acknowledged ones by return; all by call, those below and above zero apart. */
  readonly #acknowledged: Sums;
  readonly #acknowledgedBelow: Sums;
  readonly #sentBelow: Sums;
  readonly #acknowledgedAbove: Sums;
  readonly #sentAbove: Sums;

  constructor(adds: readonly Operation[], initial: number) {
    const ended = adds.filter(({ outcome }) => outcome === "ok");
    const [below, above] = [(n: number) => Math.min(n, 0), (n: number) => Math.max(n, 0)];
    const byReturn = (operation: Operation) => operation.return;
    const byCall = (operation: Operation) => operation.call;
    this.#initial = initial;
    this.#acknowledged = new Sums(ended, byReturn, (n) => n);
    this.#acknowledgedBelow = new Sums(ended, byReturn, below);
    this.#acknowledgedAbove = new Sums(ended, byReturn, above);
    this.#sentBelow = new Sums(adds, byCall, below);
    this.#sentAbove = new Sums(adds, byCall, above);
  }

  of({ call, return: end }: Operation): { readonly lower: number; readonly upper: number } {
    const certain = this.#initial + this.#acknowledged.before(call);
    return {
      lower: certain + this.#sentBelow.before(end) - this.#acknowledgedBelow.before(call),
      upper: certain + this.#sentAbove.before(end) - this.#acknowledgedAbove.before(call),
    };
  }

  admit(read: Operation): boolean {
    const { lower, upper } = this.of(read);
    return lower <= (read.output as number) && (read.output as number) <= upper;
  }
}

class Sums {
  readonly #ranks: Float64Array;
  /** `#sums[i]`: of the first i. */
  readonly #sums: Float64Array;

  constructor(
    adds: readonly Operation[],
    rankOf: (operation: Operation) => number,
    part: (amount: number) => number,
  ) {
    const sorted = [...adds].sort((a, b) => rankOf(a) - rankOf(b));
    this.#ranks = Float64Array.from(sorted, rankOf);
    this.#sums = new Float64Array(sorted.length + 1);
    for (const [i, add] of sorted.entries()) this.#sums[i + 1] = this.#sums[i]! + part(amountOf(add));
  }

  /** The sum of those with a smaller rank. */
  before(rank: number): number {
    let [low, high] = [0, this.#ranks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ranks[middle]! < rank) low = middle + 1;
      else high = middle;
    }
    return this.#sums[low]!;
  }
}

function outOfBounds(
  key: string,
  outside: readonly Operation[],
  bounds: Bounds,
  adds: readonly Operation[],
): Finding {
  const read = outside[0]!;
  const { lower, upper } = bounds.of(read);
  const relevant = adds.filter((add) => add.call < read.return).slice(-4);
  const what =
    (read.output as number) < lower ? "less than what had been acknowledged" : "more than what had been sent";
  return finding(
    "counter-out-of-bounds",
    key,
    [...relevant, read],
    outside.length,
    `${at(read)} shows ${read.output}, which is ${what}: it must be ${lower === upper ? lower : `from ${lower} to ${upper}`}`,
  );
}

/** The first read that shows less than one that had returned before it was sent, and how many such reads there are. */
function firstDecrease(reads: readonly Operation[]): [Operation?, Operation?, number?] {
  const byReturn = [...reads].sort((a, b) => a.return - b.return);
  let next = 0;
  let greatest: Operation | undefined;
  let first: [Operation, Operation] | undefined;
  let count = 0;
  for (const read of reads) {
    for (; next < byReturn.length && byReturn[next]!.return < read.call; next++) {
      const ended = byReturn[next]!;
      if (!greatest || (ended.output as number) > (greatest.output as number)) greatest = ended;
    }
    if (!greatest || (greatest.output as number) <= (read.output as number)) continue;
    first ??= [greatest, read];
    count++;
  }
  return first ? [...first, count] : [];
}

function wentBack(key: string, before: Operation, after: Operation, count = 1): Finding {
  return finding(
    "went-backwards",
    key,
    [before, after],
    count,
    `${at(before)} shows ${before.output}, ${at(after)}, after that was answered, only ${after.output}; nothing was ever subtracted`,
  );
}

function finding(
  kind: Finding["kind"],
  key: string,
  operations: readonly Operation[],
  count: number,
  what: string,
): Finding {
  const workload = operations[0]?.workload;
  return {
    kind,
    ...(workload ? { workload } : {}),
    key,
    operations: inOrder(operations),
    sentence: `counter ${key}: ${what}`,
    count,
  };
}

function at(operation: Operation): string {
  return `the read by client ${operation.process} sent at ${seconds(operation.calledAt)}`;
}
