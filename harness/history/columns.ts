/**
 * One key's history as columns: typed arrays with a row for each operation, in order of invocation, for checks that are
 * linear in time and small in memory (17 bytes a row).
 *
 * *Ranks* replace times. The events of the key (invocations, completions, the restarts that bound what had no answer) are
 * numbered 0, 1, 2 … in the order in which they were recorded, without gaps, so that a check can sort by putting things
 * into buckets. Intervals are closed: an operation that ends at rank r and one sent at r overlap, so where several events
 * fall on one moment of a foreign clock, invocations must be ranked before completions. *Values* are numbered from 1 in the
 * order in which they first occur; 0 is nil.
 *
 * What a row saw and what it changed is already decided (`role`): columns know nothing of `f`, JSON or words. They are
 * built from operations by checkers/linearizability/register-columns.ts, and come back to words by row number.
 */

/** What an operation saw and changed. */
export const role = {
  /** Nothing that counts: refused, or a read without an answer. */
  none: 0,
  /** Saw the value `value`: a read, a refused compare, a delete that removed nothing. */
  read: 1,
  write: 2,
  /** Saw `from`, wrote `value`: a compare-and-set that succeeded, a unit increment. */
  compareAndSet: 3,
  /** Removed a value, whichever it was. */
  remove: 4,
} as const;

/** Added to the role of an operation that may have taken effect by its bound, or not at all. */
export const indeterminate = 8;

/** Bound of an operation that may take effect at any later time. */
export const unbounded = 0x7fffffff;

/** Number of nil among the values. */
export const nil = 0;

export interface KeyColumns {
  /** Rows. */
  readonly count: number;
  /** A `role`, plus `indeterminate`. */
  readonly role: Uint8Array;
  /** Number of the value read or written. */
  readonly value: Int32Array;
  /** Number of the value that a compare-and-set consumed. */
  readonly from: Int32Array;
  /** Rank of the invocation; ascending. */
  readonly call: Int32Array;
  /** Rank of the completion, or by which an indeterminate operation takes effect if ever; `unbounded` for none. */
  readonly bound: Int32Array;
  /** How many numbers the values have, nil included. */
  readonly values: number;
  /** Every rank is below this. */
  readonly ranks: number;
}

/** Bytes of the columns themselves. */
export function columnBytes({ role, value, from, call, bound }: KeyColumns): number {
  return [role, value, from, call, bound].reduce((sum, column) => sum + column.byteLength, 0);
}

/** Empty columns of that many rows, to be filled in. */
export function emptyColumns(
  count: number,
): Pick<KeyColumns, "count" | "role" | "value" | "from" | "call" | "bound"> {
  return {
    count,
    role: new Uint8Array(count),
    value: new Int32Array(count),
    from: new Int32Array(count),
    call: new Int32Array(count),
    bound: new Int32Array(count),
  };
}

/** When an operation began and ended, on any increasing scale (event indexes of the whole history). */
export interface Interval {
  readonly call: number;
  /** Infinity for none. */
  readonly bound: number;
}

/**
 * Writes the ranks of intervals, which must be in order of their calls, into `call` and `bound`, and returns how many ranks
 * there are. Equal moments get equal ranks. Linear when the moments are whole numbers that lie close together, as event
 * indexes of a busy key do; else the ends are sorted.
 */
export function rankIntervals(
  intervals: readonly Interval[],
  { call, bound }: { readonly call: Int32Array; readonly bound: Int32Array },
): number {
  const span = spanOf(intervals);
  const isClose = span && span.last - span.first < 16 * intervals.length + 1024;
  return isClose ? rankByBucket(intervals, span, call, bound) : rankBySorting(intervals, call, bound);
}

interface Span {
  readonly first: number;
  readonly last: number;
}

/** Where the moments lie; undefined when they are not whole numbers. */
function spanOf(intervals: readonly Interval[]): Span | undefined {
  let first = Number.POSITIVE_INFINITY;
  let last = -1;
  for (const { call, bound } of intervals) {
    if (!Number.isSafeInteger(call)) return undefined;
    if (call < first) first = call;
    if (call > last) last = call;
    if (bound === Number.POSITIVE_INFINITY) continue;
    if (!Number.isSafeInteger(bound)) return undefined;
    if (bound < first) first = bound;
    if (bound > last) last = bound;
  }
  return last === -1 ? undefined : { first, last };
}

function rankByBucket(
  intervals: readonly Interval[],
  { first, last }: Span,
  call: Int32Array,
  bound: Int32Array,
): number {
  const rankAt = new Int32Array(last - first + 1);
  for (const interval of intervals) {
    rankAt[interval.call - first] = 1;
    if (interval.bound !== Number.POSITIVE_INFINITY) rankAt[interval.bound - first] = 1;
  }
  let ranks = 0;
  for (let at = 0; at < rankAt.length; at++) if (rankAt[at]) rankAt[at] = ranks++;
  intervals.forEach((interval, i) => {
    call[i] = rankAt[interval.call - first]!;
    bound[i] = interval.bound === Number.POSITIVE_INFINITY ? unbounded : rankAt[interval.bound - first]!;
  });
  return ranks;
}

function rankBySorting(intervals: readonly Interval[], call: Int32Array, bound: Int32Array): number {
  const moments = new Float64Array(2 * intervals.length);
  intervals.forEach((interval, i) => {
    moments[2 * i] = interval.call;
    moments[2 * i + 1] = interval.bound;
  });
  moments.sort();
  let ranks = 0;
  for (const moment of moments) {
    if (moment === Number.POSITIVE_INFINITY) break;
    if (ranks === 0 || moment !== moments[ranks - 1]) moments[ranks++] = moment;
  }
  const rankOf = (moment: number): number => {
    let [low, high] = [0, ranks];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (moments[middle]! < moment) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  intervals.forEach((interval, i) => {
    call[i] = rankOf(interval.call);
    bound[i] = interval.bound === Number.POSITIVE_INFINITY ? unbounded : rankOf(interval.bound);
  });
  return ranks;
}
