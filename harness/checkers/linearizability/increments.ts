/**
 * Unit increments that return the new number, as compare-and-sets from n - 1 to n, which blocks.ts knows how to judge.
 *
 * An acknowledged increment names both of its numbers. On a *counter*, a key with nothing but increments and reads, one
 * without an answer does not, and this finds a place for it. Let the counter begin at `base` (nil counts as 0), and `top`
 * be the greatest number anyone saw. Every number in between was made by exactly one increment; those that no answer
 * names are *gaps*, and each needs an increment without an answer of its own. Of the others none needs to have happened.
 *
 * Which one for which gap: with F(p) the greatest invocation among everything known to precede the making of p (whoever
 * saw or made less), and D(p) the least return among everything known to follow (whoever saw p or more, or made more), an
 * increment fits gap p only if it was sent by D(p) and its bound is not before F(p): else it contradicts something known.
 * F and D do not fall as p grows. So each increment fits an interval of gaps, and gaps are filled in order, each with the
 * increment of earliest bound among those that fit (Glover 1967): it fills every gap whenever that is possible at all. And
 * the order found is never refuted by two fillers: were b, put after a, bounded before a was sent, then b would have
 * fitted a's gap, and with the earlier bound it would have been taken there. After single crashes bounds rise with
 * invocations, so this is "the earliest invoked first". What F ≤ D leaves open, the known operations among each other,
 * the walk in blocks.ts decides; a gap without a filler is a contradiction by itself.
 *
 * Left to search: other amounts than one; an increment that did not return its number; increments without an answer on a
 * key with other changes (writes, compare-and-sets, deletes), since the number they found is not known; an increment that
 * may have begun from nothing as well as from zero, or from a number as well as from its text. A chain that begins from nil
 * twice, after a delete, makes 1 twice, and is left to search as a value written twice.
 */
import { unbounded } from "../../history/columns.ts";
import {
  amountOf,
  incrementedTo,
  numberIn,
  type RegisterState,
  registerValue,
} from "../../models/register.ts";
import type { RegisterRows } from "./register-columns.ts";

/** Gives the key's increments their roles; adds to `conflicts`, or sets `uncovered`. */
export function nameIncrements(rows: RegisterRows): void {
  const known = rows.increments.filter((row) => rows.operations[row]!.outcome === "ok");
  const open = rows.increments.filter((row) => rows.operations[row]!.outcome === "info");
  if (rows.increments.some((row) => amountOf(rows.operations[row]!) !== 1)) {
    rows.uncovered = "an increment by another amount than one";
  } else if (known.some((row) => incrementedTo(rows.operations[row]!) === undefined)) {
    rows.uncovered = "an increment did not return its number";
  } else if (!rows.hasOtherChanges) new Counter(rows, known, open).fill();
  else if (open.length > 0) rows.uncovered = "an increment without an answer on a key with other changes";
  else nameAmongOtherChanges(rows, known);
}

/** Without open increments, each number has the writer that names it. */
function nameAmongOtherChanges(rows: RegisterRows, known: readonly number[]): void {
  const made = new Set(known.map((row) => registerValue(incrementedTo(rows.operations[row]!)!)!));
  const occurs = (value: RegisterState) => value !== null && (rows.isNumbered(value) || made.has(value));
  for (const row of known) {
    const to = incrementedTo(rows.operations[row]!)!;
    const number = registerValue(to - 1);
    const sources: RegisterState[] = [number, String(to - 1)].filter(occurs);
    if (to === 1) sources.push(null);
    if (sources.length > 1) {
      rows.uncovered =
        "an increment may have begun from nothing or from zero, from a number or from its text";
      return;
    }
    rows.asCompareAndSet(row, sources[0] === undefined ? number : sources[0], registerValue(to), true);
  }
}

/** A key with nothing but increments and reads. */
class Counter {
  readonly #rows: RegisterRows;
  readonly #known: readonly number[];
  readonly #open: readonly number[];
  readonly #initial: RegisterState;
  /** The number at the beginning; undefined for what cannot be incremented. */
  readonly #base: number | undefined;

  constructor(rows: RegisterRows, known: readonly number[], open: readonly number[]) {
    this.#rows = rows;
    this.#known = known;
    this.#open = open;
    this.#initial = rows.texts[rows.initial]!;
    this.#base = numberIn(this.#initial);
  }

  fill(): void {
    const { operations } = this.#rows;
    if (this.#base === undefined) {
      for (const row of this.#known) this.#name(row, incrementedTo(operations[row]!)!, true);
      return;
    }
    const top = this.#top() ?? { number: this.#base, row: -1 };
    const sent = this.#known.length + this.#open.length;
    if (top.number - this.#base > sent) {
      this.#overcounted(top.row, top.number, this.#base + sent + 1);
      return;
    }
    const makers = this.#makers(top.number - this.#base);
    if (this.#rows.conflicts.length === 0 && makers.includes(-1)) this.#fillGaps(makers, top);
  }

  /** The greatest number anyone saw above the base, and who saw it first. */
  #top(): { readonly number: number; readonly row: number } | undefined {
    let top: { number: number; row: number } | undefined;
    this.#rows.operations.forEach((operation, row) => {
      const number = operation.outcome === "ok" ? seenNumber(operation.output) : undefined;
      if (number === undefined || number <= (top?.number ?? this.#base ?? 0)) return;
      top = { number, row };
    });
    return top;
  }

  /** Names the known increments; by distance from the base, less one: the row that made that number, or -1. */
  #makers(distance: number): Int32Array {
    const makers = new Int32Array(distance).fill(-1);
    for (const row of this.#known) {
      const to = incrementedTo(this.#rows.operations[row]!)!;
      const at = to - this.#base! - 1;
      if (at < 0) {
        const value = this.#rows.numberOf(registerValue(to - 1));
        this.#rows.conflicts.push({ type: "phantom", operation: row, value });
        continue;
      }
      const first = makers[at]!;
      if (first === -1) {
        makers[at] = row;
        this.#name(row, to, true);
      } else {
        const value = this.#rows.numberOf(this.#stateAt(to - 1));
        this.#rows.conflicts.push({ type: "consumed-twice", value, writer: undefined, first, second: row });
      }
    }
    return makers;
  }

  /** The state with this number: at the base, the initial one as it is. */
  #stateAt(number: number): RegisterState {
    return number === this.#base ? this.#initial : registerValue(number);
  }

  #name(row: number, to: number, certain: boolean): void {
    this.#rows.asCompareAndSet(row, this.#stateAt(to - 1), this.#stateAt(to), certain);
  }

  #fillGaps(makers: Int32Array, top: { readonly number: number; readonly row: number }): void {
    const { call, bound } = this.#rows.columns;
    const { latestBefore, leastFrom } = this.#limits(makers);
    const waiting = new ByBound(bound);
    let sent = 0;
    for (let at = 0; at < makers.length; at++) {
      if (makers[at] !== -1) continue;
      while (sent < this.#open.length && call[this.#open[sent]!]! <= leastFrom[at]!) {
        waiting.add(this.#open[sent++]!);
      }
      let filler = waiting.take();
      while (filler !== undefined && bound[filler]! < latestBefore[at]!) filler = waiting.take();
      if (filler === undefined) {
        this.#overcounted(top.row, top.number, this.#base! + at + 1);
        return;
      }
      this.#name(filler, this.#base! + at + 1, false);
    }
  }

  /** F and D of the file's head, by distance from the base, less one. */
  #limits(makers: Int32Array): { readonly latestBefore: Int32Array; readonly leastFrom: Int32Array } {
    const { call, bound } = this.#rows.columns;
    const sentLast = new Int32Array(makers.length + 1).fill(-1);
    const endedFirst = new Int32Array(makers.length + 1).fill(unbounded);
    const see = (row: number, distance: number) => {
      if (distance < 0 || distance > makers.length) return;
      if (call[row]! > sentLast[distance]!) sentLast[distance] = call[row]!;
      if (bound[row]! < endedFirst[distance]!) endedFirst[distance] = bound[row]!;
    };
    makers.forEach((row, at) => {
      if (row !== -1) see(row, at + 1);
    });
    this.#rows.operations.forEach(({ f, outcome, output }, row) => {
      if (f !== "read" || outcome !== "ok") return;
      const state = registerValue(output);
      const number = state === this.#initial ? this.#base : seenNumber(output);
      if (number !== undefined) see(row, number - this.#base!);
    });
    const latestBefore = sentLast.slice(0, makers.length);
    for (let at = 1; at < makers.length; at++) {
      latestBefore[at] = Math.max(latestBefore[at]!, latestBefore[at - 1]!);
    }
    const leastFrom = endedFirst.slice(1);
    for (let at = makers.length - 2; at >= 0; at--) {
      leastFrom[at] = Math.min(leastFrom[at]!, leastFrom[at + 1]!);
    }
    return { latestBefore, leastFrom };
  }

  #overcounted(operation: number, reached: number, missing: number): void {
    const sent = this.#known.length + this.#open.length;
    this.#rows.conflicts.push({
      type: "overcounted",
      ...{ operation, reached, missing, sent, base: this.#base! },
    });
  }
}

/** The whole number in an output, when it is one. */
function seenNumber(output: unknown): number | undefined {
  return Number.isSafeInteger(output) ? (output as number) : undefined;
}

/** Rows, the one with the least bound first: a binary heap. */
class ByBound {
  readonly #bound: Int32Array;
  readonly #heap: number[] = [];

  constructor(bound: Int32Array) {
    this.#bound = bound;
  }

  add(row: number): void {
    const heap = this.#heap;
    let at = heap.push(row) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && this.#isBefore(row, heap[parent]!); parent = (at - 1) >> 1) {
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = row;
  }

  take(): number | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  /** Of equal bounds, the one sent first. */
  #isBefore(a: number, b: number): boolean {
    return this.#bound[a]! - this.#bound[b]! < 0 || (this.#bound[a] === this.#bound[b] && a < b);
  }
}
