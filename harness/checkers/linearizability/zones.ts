/**
 * The exact rule over blocks (see blocks.ts): a key without deletes is linearizable iff no two forward zones overlap
 * and no backward zone lies inside a forward zone. In ranks both are the same contradiction: of two blocks X and Y, each
 * has an operation that ended before one of the other's was sent, so X must precede Y and Y must precede X. That pair is
 * the counterexample: at most four operations and two writes.
 *
 * Why it is enough: order the blocks by *place* (witnessOfZones). Forward zones do not overlap, so placing each at its f
 * satisfies every "must precede" among them; a backward zone is placed at the first point of its interval that no forward
 * zone covers, which exists exactly when none contains the interval.
 *
 * Linear: ranks are dense, so forward zones go into a bucket each and one sweep over the ranks finds, for every rank, the
 * zone begun before it that reaches furthest. Memory: 4 bytes a rank, two ranks an operation.
 */
import { indeterminate } from "../../history/columns.ts";
import { conflictsKept, initialWriter, type KeyBlocks } from "./blocks.ts";
import type { RowConflict } from "./conflict.ts";

/** Blocks, named by their heads, that must precede each other; `count` goes on counting beyond those that are listed. */
export function conflictingZones(key: KeyBlocks): {
  readonly conflicts: RowConflict[];
  readonly count: number;
} {
  const conflicts: RowConflict[] = [];
  let count = 0;
  const conflict = (x: number, y: number) => {
    count++;
    if (conflicts.length < conflictsKept) conflicts.push(orderConflict(key, x, y));
  };
  const { f, s } = key;
  const furthest = furthestReaching(key, conflict);
  for (let value = 0; value < f.length; value++) {
    if (f[value]! < s[value]! || s[value]! < 0 || !key.isHead(value)) continue;
    const enclosing = furthest[s[value]!]! - 1;
    if (enclosing >= 0 && s[enclosing]! > f[value]!) conflict(enclosing, value);
  }
  return { conflicts, count };
}

/**
 * For each rank r: the forward zone that reaches furthest of those that begin at rank r - 1 or before, as its head's
 * number plus one; 0 for none.
 */
function furthestReaching(key: KeyBlocks, overlap: (x: number, y: number) => void): Int32Array {
  const { f, s } = key;
  const at = new Int32Array(key.columns.ranks + 2);
  for (let value = 0; value < f.length; value++) {
    if (f[value]! >= s[value]! || !key.isHead(value)) continue;
    // What begins at one rank (the restart that bounds several lost writes) overlaps.
    const other = at[f[value]! + 1]! - 1;
    if (other >= 0) overlap(other, value);
    if (other < 0 || s[value]! > s[other]!) at[f[value]! + 1] = value + 1;
  }
  let widest = -1;
  for (let rank = 0; rank < at.length; rank++) {
    const begins = at[rank]! - 1;
    if (begins >= 0) {
      if (widest >= 0 && f[begins]! < s[widest]!) overlap(widest, begins);
      if (widest < 0 || s[begins]! > s[widest]!) widest = begins;
    }
    at[rank] = widest + 1;
  }
  return at;
}

/**
 * An order of the rows that explains a key whose zones do not conflict: forward zones where they are, each backward zone at
 * the first point of it that no forward zone covers.
 */
export function witnessOfZones(key: KeyBlocks): Int32Array {
  const { f, s } = key;
  const furthest = furthestReaching(key, () => {});
  const placeOf = (value: number): number => {
    if (f[value]! < s[value]! || s[value]! < 0) return f[value]!;
    const covering = furthest[s[value]!]! - 1;
    return covering >= 0 && s[covering]! > s[value]! ? s[covering]! : s[value]!;
  };
  const firstAt = new Int32Array(key.columns.ranks + 2).fill(-1);
  const nextAt = new Int32Array(f.length).fill(-1);
  for (let value = f.length - 1; value >= 0; value--) {
    if (!key.isHead(value)) continue;
    const place = placeOf(value) + 1;
    nextAt[value] = firstAt[place]!;
    firstAt[place] = value;
  }
  const witness = new Int32Array(key.columns.count);
  let length = 0;
  for (const first of firstAt) {
    for (let head = first; head !== -1; head = nextAt[head]!) {
      for (const row of key.membersOf(head)) witness[length++] = row;
    }
  }
  return witness.subarray(0, length);
}

/** Tells the story of two blocks that must precede each other from the operation that was sent last. */
function orderConflict(key: KeyBlocks, x: number, y: number): RowConflict {
  const { s } = key;
  const isInitial = (head: number) => key.writer[head] === initialWriter;
  const [older, newer] = isInitial(y) || (!isInitial(x) && s[y]! > s[x]!) ? [y, x] : [x, y];
  const later = sentLast(key, older)!;
  const between = sentLast(key, newer);
  const knew = bestEvidence(key, newer, later);
  return {
    type: "order",
    knew,
    later,
    newerWriter: key.writerOf(key.valueShownBy(knew)),
    olderWriter: key.writerOf(key.valueObservedBy(later)),
    ...(endedFirst(key, older) !== undefined && between !== undefined
      ? { before: bestEvidence(key, older, between) }
      : {}),
    ...(between === undefined ? {} : { between }),
    observers: () => [...key.membersOf(newer)],
  };
}

/** The member whose return is the block's least; undefined when that is the initial value's own rank. */
function endedFirst(key: KeyBlocks, head: number): number | undefined {
  return key.memberOf(head, (row) => key.columns.bound[row] === key.f[head]);
}

/** The member whose invocation is the block's greatest; undefined for an initial value that nobody saw. */
function sentLast(key: KeyBlocks, head: number): number | undefined {
  return key.memberOf(head, (row) => key.columns.call[row] === key.s[head]);
}

/** An acknowledgement says more than the bound of an operation that nobody heard of again. */
function bestEvidence(key: KeyBlocks, head: number, later: number): number {
  const { role: roles, call, bound } = key.columns;
  const first = endedFirst(key, head)!;
  const isKnown = (row: number) => !(roles[row]! & indeterminate);
  if (isKnown(first)) return first;
  return key.memberOf(head, (row) => isKnown(row) && bound[row]! < call[later]!) ?? first;
}
