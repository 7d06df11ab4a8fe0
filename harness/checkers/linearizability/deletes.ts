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
import type { Operation } from "../../history/operation.ts";
import { compareAndSetOf } from "../../models/register.ts";
import { type Block, type KeyBlocks, nil, role } from "./blocks.ts";
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
type Kind = (typeof kind)[keyof typeof kind];

interface Item {
  readonly kind: Kind;
  readonly s: number;
  readonly f: number;
  readonly operations: () => Iterable<Operation>;
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
  readonly #items: readonly Item[];
  readonly #bySent: Links;
  readonly #byEnd: Links;
  readonly #optionalByBound: readonly number[];
  readonly #configurations: Configurations<boolean>;
  readonly #steps: Step[] = [];
  #isNil = true;
  /** Greatest s placed. */
  #latest = -1;
  /** How many of `#optionalByBound` have passed. */
  #expired = 0;
  #left: number;

  constructor(key: KeyBlocks) {
    this.#items = itemsOf(key).sort((a, b) => a.s - b.s);
    const indexes = this.#items.map((_, i) => i);
    const isOptional = (i: number) => this.#items[i]!.kind >= kind.optionalWrite;
    this.#bySent = new Links(indexes, this.#items.length);
    const mandatory = indexes
      .filter((i) => !isOptional(i))
      .sort((a, b) => this.#items[a]!.f - this.#items[b]!.f);
    this.#byEnd = new Links(mandatory, this.#items.length);
    this.#optionalByBound = indexes.filter(isOptional).sort((a, b) => this.#items[a]!.f - this.#items[b]!.f);
    this.#left = mandatory.length;
    this.#configurations = new Configurations<boolean>(
      this.#items.length,
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

  /** After `true`: an order of the operations that explains the history. */
  witness(): Operation[] {
    return this.#steps.flatMap((step) =>
      step.moved.filter((i) => i >= 0).flatMap((i) => [...this.#items[i]!.operations()]),
    );
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
      const placed = this.#items[choice]!.kind;
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
    const firstEnd = this.#items[first]!.f;
    const secondEnd = second === -1 ? Number.POSITIVE_INFINITY : this.#items[second]!.f;
    for (let i = this.#bySent.first; i !== -1 && this.#items[i]!.s < firstEnd; i = this.#bySent.after(i)) {
      this.#propose(i, candidates);
    }
    // An item does not precede itself: a forward block that ends first was sent after its own end.
    const { s } = this.#items[first]!;
    if (s >= firstEnd && s < secondEnd) this.#propose(first, candidates);
    return candidates;
  }

  /** Called in order of s, so what an item expires, those after it expire, too. */
  #propose(item: number, candidates: Candidates): void {
    const { kind: itemKind, s, f } = this.#items[item]!;
    const alike = candidates[itemKind]!;
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
      if (this.#items[optional]!.f >= s) break;
      if (!this.#bySent.isOut(optional)) count++;
    }
    return count;
  }

  #dropExpired(step: Step): void {
    for (; this.#expired < this.#optionalByBound.length; this.#expired++) {
      const i = this.#optionalByBound[this.#expired]!;
      if (this.#items[i]!.f >= this.#latest) return;
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
    if (this.#items[i]!.kind < kind.optionalWrite) {
      this.#byEnd.takeOut(i);
      this.#left--;
    }
    this.#latest = Math.max(this.#latest, this.#items[i]!.s);
  }

  #takeBack(i: number): void {
    if (this.#items[i]!.kind < kind.optionalWrite) {
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

  constructor(order: readonly number[], items: number) {
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

function itemsOf(key: KeyBlocks): Item[] {
  const items: Item[] = key.blocks.map((block) => itemOfBlock(key, block));
  key.operations.forEach((operation, i) => {
    const { call: s, bound: f } = operation;
    const operations = () => [operation];
    if (key.roles[i] === role.read && key.value[i] === nil)
      items.push({ kind: kind.nilRead, s, f, operations });
    if (key.roles[i] === role.remove) items.push({ kind: kind.remove, s, f, operations });
    if (key.roles[i] === role.optionalRemove) items.push({ kind: kind.optionalRemove, s, f, operations });
    if (isOptionalWrite(key, i)) items.push({ kind: kind.optionalWrite, s, f, operations });
  });
  return items;
}

function itemOfBlock(key: KeyBlocks, block: Block): Item {
  const { s, f, needsNil } = block;
  return { kind: needsNil ? kind.blockFromNil : kind.block, s, f, operations: () => key.membersOf(block) };
}

/** An indeterminate write that nobody observed: it may have made the key present. A compare-and-set only from nil. */
function isOptionalWrite(key: KeyBlocks, i: number): boolean {
  const operation = key.operations[i]!;
  if (operation.outcome !== "info" || key.roles[i] !== role.dropped) return false;
  if (operation.f === "write") return true;
  return operation.f === "cas" && compareAndSetOf(operation)[0] === null;
}
