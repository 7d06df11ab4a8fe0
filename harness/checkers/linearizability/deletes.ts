/**
 * Keys with deletes: nil comes back, so a read of nil names no write, and the rule over zones is necessary but no longer
 * enough. What is left after blocks.ts is small: *blocks*, *nil-reads* (reads of nil, deletes that removed nothing),
 * *deletes* that removed something, and optional operations; and the state is one bit, whether the key is there. This
 * searches for an order of them, exactly:
 *  - x must precede y iff f(x) < s(y), so an item is enabled when no unplaced item must precede it;
 *  - an enabled nil-read in state nil is placed at once (it changes nothing), unless optional items expire by it;
 *  - of enabled items of one type, the one with the least f goes first, unless optional items expire by it that another
 *    one leaves. If an order places b now and a later, with both enabled and f(a) ≤ f(b), then swapping them is an order,
 *    too: nothing between them was sent after f(a), as a was unplaced. So a choice is mostly one between types;
 *  - an unobserved indeterminate write serves only to give a delete something to remove, and is placed just before one; an
 *    indeterminate delete only to make room for a nil-read, and is placed just before one. Both are dropped when their bound
 *    has passed;
 *  - a configuration is expanded once (configurations.ts).
 * In practice it hardly ever backtracks; when it must, it has a budget like any search.
 */
import { indeterminate, nil, role } from "../../history/columns.ts";
import type { KeyBlocks } from "./blocks.ts";
import { Configurations } from "./configurations.ts";
import type { SearchProgress } from "./search.ts";

const kind = {
  block: 0,
  blockFromNil: 1,
  nilRead: 2,
  remove: 3,
  optionalWrite: 4,
  optionalRemove: 5,
} as const;

/** What has to be put in order, as columns, in order of s. */
interface Items {
  readonly count: number;
  /** A `kind`. */
  readonly kind: Uint8Array;
  readonly s: Int32Array;
  readonly f: Int32Array;
  /** The head of a block, or else a row. */
  readonly what: Int32Array;
}

/** An enabled item that may be placed next. */
interface Candidate {
  readonly item: number;
  readonly f: number;
  /** How many optional items could no longer be placed after it. */
  readonly expires: number;
}

/** By kind; f falls while `expires` grows. */
type Candidates = readonly Candidate[][];

/** One choice and the nil-reads that followed from it. */
interface Step {
  /** In this order: items that were placed, and (as ~item) optional ones that were dropped because of it. */
  readonly moved: number[];
  readonly isNilBefore: boolean;
  readonly latestBefore: number;
  readonly expiredBefore: number;
  readonly choices: number[];
  next: number;
}

/** A search for an order of one key's blocks, nil-reads and deletes. */
export class NilSchedule {
  readonly #key: KeyBlocks;
  readonly #items: Items;
  readonly #bySent: Links;
  readonly #byEnd: Links;
  readonly #optionalByBound: Int32Array;
  readonly #configurations: Configurations<boolean>;
  readonly #steps: Step[] = [];
  #isNil = true;
  /** Greatest s placed. */
  #latest = -1;
  /** How many of `#optionalByBound` have passed. */
  #expired = 0;
  #left: number;

  constructor(key: KeyBlocks) {
    this.#key = key;
    this.#items = itemsOf(key);
    const { count, kind: kinds, f } = this.#items;
    this.#bySent = new Links(Int32Array.from({ length: count }, (_, i) => i));
    const byEnd = inOrderOf(f, key.columns.ranks);
    const mandatory = byEnd.filter((i) => kinds[i]! < kind.optionalWrite);
    this.#byEnd = new Links(mandatory, count);
    this.#optionalByBound = byEnd.filter((i) => kinds[i]! >= kind.optionalWrite);
    this.#left = mandatory.length;
    this.#configurations = new Configurations<boolean>(
      count,
      (a, b) => a === b,
      (isNil) => (isNil ? 1 : 2),
    );
    this.#begin(undefined);
  }

  /** Goes on until there is a verdict, or `performance.now()` reaches `untilMs`. */
  advance(untilMs: number): SearchProgress {
    for (let turn = 1; this.#left > 0; turn++) {
      if (turn % 256 === 0 && performance.now() >= untilMs) return "more";
      const step = this.#steps.at(-1);
      if (!step) return false;
      const choice = step.choices[step.next++];
      if (choice === undefined) this.#undo();
      else this.#begin(choice);
    }
    return true;
  }

  /** After `true`: an order of the rows that explains the history. */
  witness(): Int32Array {
    const rows = new Int32Array(this.#key.columns.count);
    let length = 0;
    for (const { moved } of this.#steps) {
      for (const i of moved) {
        if (i < 0) continue;
        const what = this.#items.what[i]!;
        if (this.#items.kind[i]! > kind.blockFromNil) rows[length++] = what;
        else for (const row of this.#key.membersOf(what)) rows[length++] = row;
      }
    }
    return rows.subarray(0, length);
  }

  /** Places one item and whatever follows from it; takes it back when that was seen before. */
  #begin(choice: number | undefined): void {
    const step: Step = {
      moved: [],
      isNilBefore: this.#isNil,
      latestBefore: this.#latest,
      expiredBefore: this.#expired,
      choices: [],
      next: 0,
    };
    this.#steps.push(step);
    if (choice !== undefined) {
      this.#place(choice, step);
      const placed = this.#items.kind[choice]!;
      this.#isNil = placed === kind.nilRead || placed === kind.remove || placed === kind.optionalRemove;
    }
    const enabled = this.#placeNilReads(step);
    if (this.#left > 0 && this.#configurations.seen(this.#isNil)) this.#undo();
    else step.choices.push(...this.#choices(enabled));
  }

  #undo(): void {
    const step = this.#steps.pop()!;
    for (const i of step.moved.reverse()) {
      if (i >= 0) this.#takeBack(i);
      else this.#restore(~i);
    }
    this.#isNil = step.isNilBefore;
    this.#latest = step.latestBefore;
    this.#expired = step.expiredBefore;
  }

  /** Returns what is enabled afterwards, by kind. */
  #placeNilReads(step: Step): Candidates {
    for (;;) {
      const enabled = this.#enabled(step);
      const nilRead = enabled[kind.nilRead]![0];
      if (!this.#isNil || !nilRead || nilRead.expires > 0) return enabled;
      this.#place(nilRead.item, step);
    }
  }

  #choices(enabled: Candidates): number[] {
    const mandatory = this.#isNil ? [kind.nilRead, kind.block, kind.blockFromNil] : [kind.block, kind.remove];
    const choices = mandatory.flatMap((k) => enabled[k]!);
    choices.sort((a, b) => a.expires - b.expires || a.f - b.f);
    const serves = this.#isNil ? [kind.remove] : [kind.nilRead, kind.blockFromNil];
    if (serves.some((k) => enabled[k]!.length > 0)) {
      choices.push(...enabled[this.#isNil ? kind.optionalWrite : kind.optionalRemove]!);
    }
    return choices.map((candidate) => candidate.item);
  }

  /** What is enabled, of each kind without what another candidate is as good as. Drops optional items that expired. */
  #enabled(step: Step): Candidates {
    this.#dropExpired(step);
    const candidates: Candidates = [[], [], [], [], [], []];
    const first = this.#byEnd.first;
    if (first === -1) return candidates;
    const second = this.#byEnd.after(first);
    const firstEnd = this.#items.f[first]!;
    const secondEnd = second === -1 ? Number.POSITIVE_INFINITY : this.#items.f[second]!;
    for (let i = this.#bySent.first; i !== -1 && this.#items.s[i]! < firstEnd; i = this.#bySent.after(i)) {
      this.#propose(i, candidates);
    }
    // An item does not precede itself: a forward block that ends first was sent after its own end.
    const s = this.#items.s[first]!;
    if (s >= firstEnd && s < secondEnd) this.#propose(first, candidates);
    return candidates;
  }

  /** Called in order of s, so what an item expires, those after it expire, too. */
  #propose(item: number, candidates: Candidates): void {
    const s = this.#items.s[item]!;
    const f = this.#items.f[item]!;
    const alike = candidates[this.#items.kind[item]!]!;
    const last = alike.at(-1);
    if (last && last.f <= f) return;
    const expires = this.#expiredBy(s);
    if (last?.expires === expires) alike.pop();
    alike.push({ item, f, expires });
  }

  /** How many optional items could no longer be placed after something sent at this rank. */
  #expiredBy(s: number): number {
    let count = 0;
    for (let k = this.#expired; k < this.#optionalByBound.length; k++) {
      const optional = this.#optionalByBound[k]!;
      if (this.#items.f[optional]! >= s) break;
      if (!this.#bySent.isOut(optional)) count++;
    }
    return count;
  }

  #dropExpired(step: Step): void {
    for (; this.#expired < this.#optionalByBound.length; this.#expired++) {
      const i = this.#optionalByBound[this.#expired]!;
      if (this.#items.f[i]! >= this.#latest) return;
      if (this.#bySent.isOut(i)) continue;
      this.#bySent.takeOut(i);
      this.#configurations.place(i);
      step.moved.push(~i);
    }
  }

  #place(i: number, step: Step): void {
    step.moved.push(i);
    this.#configurations.place(i);
    this.#bySent.takeOut(i);
    if (this.#items.kind[i]! < kind.optionalWrite) {
      this.#byEnd.takeOut(i);
      this.#left--;
    }
    this.#latest = Math.max(this.#latest, this.#items.s[i]!);
  }

  #takeBack(i: number): void {
    if (this.#items.kind[i]! < kind.optionalWrite) {
      this.#byEnd.restore(i);
      this.#left++;
    }
    this.#restore(i);
  }

  #restore(i: number): void {
    this.#bySent.restore(i);
    this.#configurations.takeBack(i);
  }
}

/** A doubly linked list over indexes; what was taken out is restored in the opposite order. */
class Links {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #out: Uint8Array;
  readonly #head: number;

  /** @param order the indexes that are in the list at first. @param items all indexes are below this. */
  constructor(order: Int32Array, items = order.length) {
    this.#head = items;
    this.#next = new Int32Array(items + 1).fill(-1);
    this.#previous = new Int32Array(items + 1).fill(-1);
    this.#out = new Uint8Array(items);
    let last = this.#head;
    for (const i of order) {
      this.#next[last] = i;
      this.#previous[i] = last;
      last = i;
    }
  }

  /** -1 when empty. */
  get first(): number {
    return this.#next[this.#head]!;
  }

  after(i: number): number {
    return this.#next[i]!;
  }

  isOut(i: number): boolean {
    return this.#out[i] === 1;
  }

  takeOut(i: number): void {
    const [before, after] = [this.#previous[i]!, this.#next[i]!];
    this.#next[before] = after;
    if (after !== -1) this.#previous[after] = before;
    this.#out[i] = 1;
  }

  restore(i: number): void {
    const [before, after] = [this.#previous[i]!, this.#next[i]!];
    this.#next[before] = i;
    if (after !== -1) this.#previous[after] = i;
    this.#out[i] = 0;
  }
}

function itemsOf(key: KeyBlocks): Items {
  const { count: rows, role: roles, value, call, bound, ranks } = key.columns;
  const kinds: number[] = [];
  const [s, f, what]: [number[], number[], number[]] = [[], [], []];
  const add = (itemKind: number, sent: number, ended: number, headOrRow: number) => {
    kinds.push(itemKind);
    s.push(sent);
    f.push(ended);
    what.push(headOrRow);
  };
  for (let head = 0; head < key.f.length; head++) {
    if (!key.isHead(head)) continue;
    add(key.needsNil(head) ? kind.blockFromNil : kind.block, key.s[head]!, key.f[head]!, head);
  }
  for (let row = 0; row < rows; row++) {
    const itemKind = kindOfRow(key, row, roles[row]!, value[row]!);
    if (itemKind !== undefined) add(itemKind, call[row]!, bound[row]!, row);
  }
  const order = inOrderOf(Int32Array.from(s), ranks);
  return {
    count: order.length,
    kind: Uint8Array.from(order, (i) => kinds[i]!),
    s: order.map((i) => s[i]!),
    f: order.map((i) => f[i]!),
    what: order.map((i) => what[i]!),
  };
}

/** Undefined for a row that is inside a block, or was dropped. */
function kindOfRow(key: KeyBlocks, row: number, code: number, value: number): number | undefined {
  if (code === role.read) return value === nil ? kind.nilRead : undefined;
  if (code === role.remove) return kind.remove;
  if (code === (role.remove | indeterminate)) return kind.optionalRemove;
  return key.isOptionalWrite(row) ? kind.optionalWrite : undefined;
}

/** Indexes in order of their ranks, by buckets; ranks are from -1, and those beyond the last one are equal. */
function inOrderOf(rank: Int32Array, ranks: number): Int32Array {
  const ends = new Int32Array(ranks + 2);
  const bucketOf = (i: number) => Math.min(rank[i]!, ranks) + 1;
  for (let i = 0; i < rank.length; i++) ends[bucketOf(i)]!++;
  for (let bucket = 1; bucket < ends.length; bucket++) ends[bucket]! += ends[bucket - 1]!;
  const order = new Int32Array(rank.length);
  for (let i = rank.length - 1; i >= 0; i--) order[--ends[bucketOf(i)]!] = i;
  return order;
}
