/**
 * The exact rule over blocks (see blocks.ts): a key without deletes is linearizable iff no two forward zones overlap
 * and no backward zone lies inside a forward zone. In ranks both are the same contradiction: of two blocks X and Y, each
 * has an operation that ended before one of the other's was sent, so X must precede Y and Y must precede X. That pair is
 * the counterexample: at most four operations and two writes.
 *
 * Nearly linear: the blocks are sorted once by rank, swept once.
 */
import type { Operation } from "../../history/operation.ts";
import { type Block, initialWriter, type KeyBlocks } from "./blocks.ts";
import type { Conflict, OrderConflict } from "./conflict.ts";

/** Conflicts beyond this many are not put into words. */
const conflictsKept = 100;

/** Pairs of blocks that must precede each other; `count` goes on counting beyond those that are listed. */
export function conflictingZones(key: KeyBlocks): { readonly conflicts: Conflict[]; readonly count: number } {
  const conflicts: Conflict[] = [];
  let count = 0;
  const conflict = (x: Block, y: Block) => {
    count++;
    if (conflicts.length < conflictsKept) conflicts.push(orderConflict(key, x, y));
  };
  const forward = inOrderOf(
    key.blocks.filter((block) => block.f < block.s),
    (block) => block.f,
  );
  for (let i = 1, widest = 0; i < forward.length; i++) {
    if (forward[i]!.f < forward[widest]!.s) conflict(forward[widest]!, forward[i]!);
    if (forward[i]!.s > forward[widest]!.s) widest = i;
  }
  const reach = prefixOfGreatestEnd(forward);
  for (const backward of key.blocks) {
    if (backward.f < backward.s) continue;
    const enclosing = forward[reach[lastBefore(forward, backward.s)] ?? -1];
    if (enclosing && enclosing.s > backward.f) conflict(enclosing, backward);
  }
  return { conflicts, count };
}

/**
 * An order that explains a key whose zones do not conflict: forward zones where they are, each backward zone at the first
 * point of it that no forward zone covers.
 */
export function witnessOfZones(key: KeyBlocks): Operation[] {
  const forward = inOrderOf(
    key.blocks.filter((block) => block.f < block.s),
    (block) => block.f,
  );
  const placeOf = (block: Block): number => {
    if (block.f < block.s) return block.f;
    const covering = forward[lastBefore(forward, block.s)];
    return covering && covering.s > block.s ? covering.s : block.s;
  };
  const order = inOrderOf(key.blocks, placeOf);
  return order.flatMap((block) => [...key.membersOf(block)]);
}

/** Sorts by a rank, stably, without a comparison function: rank and position share one double. */
function inOrderOf<Item>(items: readonly Item[], rankOf: (item: Item) => number): Item[] {
  const count = Math.max(1, items.length);
  // Ranks are event indexes from -1: below 2^31, and so are positions, so the products stay exact below 2^53 for
  // histories that fit into memory.
  const keys = Float64Array.from(items, (item, i) => (rankOf(item) + 1) * count + i).sort();
  return Array.from(keys, (key) => items[key % count]!);
}

/** Index of the last forward zone that begins before the rank; -1 when none does. */
function lastBefore(forward: readonly Block[], rank: number): number {
  let [low, high] = [0, forward.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (forward[middle]!.f < rank) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** For each forward zone: which one, up to it, ends last. */
function prefixOfGreatestEnd(forward: readonly Block[]): Int32Array {
  const reach = new Int32Array(forward.length);
  for (let i = 1; i < forward.length; i++) {
    const best = reach[i - 1]!;
    reach[i] = forward[i]!.s > forward[best]!.s ? i : best;
  }
  return reach;
}

/** Tells the story of two blocks that must precede each other from the operation that was sent last. */
function orderConflict(key: KeyBlocks, x: Block, y: Block): OrderConflict {
  const isInitial = (block: Block) => key.writer[block.first] === initialWriter && !block.fOperation;
  const [older, newer] = isInitial(y) || (!isInitial(x) && y.s > x.s) ? [y, x] : [x, y];
  const later = older.sOperation!;
  const knew = bestEvidence(key, newer, later);
  const newerWriter = key.writerOf(key.valueShownBy(knew));
  return {
    type: "order",
    knew,
    later,
    newerWriter,
    olderWriter: key.writerOf(key.valueObservedBy(later)),
    ...(older.fOperation && newer.sOperation ? { before: bestEvidence(key, older, newer.sOperation) } : {}),
    ...(newer.sOperation ? { between: newer.sOperation } : {}),
    observers: () => [...key.membersOf(newer)],
  };
}

/** An acknowledgement says more than the bound of an operation that nobody heard of again. */
function bestEvidence(key: KeyBlocks, block: Block, later: Operation): Operation {
  if (block.fOperation!.outcome === "ok") return block.fOperation!;
  for (const member of key.membersOf(block)) {
    if (member.outcome === "ok" && member.return < later.call) return member;
  }
  return block.fOperation!;
}
