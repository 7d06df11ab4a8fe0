/**
 * Linearizability by search, for any model: Wing & Gong (1993) with the memo of Lowe (2017). It judges what the exact
 * linear-time methods do not cover, and cross-checks them in their tests. Exponential in the worst case, so its memory is
 * bounded and it is advanced in slices of time: many partitions take turns, and whoever runs out of time says how far it got.
 *
 * An `info` operation is optional: it takes effect at some point up to its `bound`, or never. `fail` operations are left
 * out. What makes it fast, all of it exact. Each rule only leaves out a next move where another next move leads to an order
 * at least as short, so that by induction over the length of the order that remains, none is missed:
 *  - operations that are read-only in every state are placed as soon as they are legal, and never branched on: in any
 *    order that goes on from here, such a read may as well come first;
 *  - an optional operation is never placed where it would change nothing: the order without it is shorter;
 *  - of twins, the one with the earlier interval is placed first (timeline.ts);
 *  - a configuration (set of placed operations, state) is expanded once, and not at all where one was that had used up
 *    fewer optional operations (expanded.ts);
 *  - states that no remaining operation can tell apart are one (`Model.observes`).
 *
 * Time: the clock is read every few hundred moves and after each call of the model. One call of a slow model cannot be
 * interrupted here; that takes a thread of its own (workers.ts).
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { defaultMemoryBytes, Expanded } from "./expanded.ts";
import { impossible } from "./step-table.ts";
import { never, Timeline } from "./timeline.ts";

/** `"more"`: the slice of time is over. */
export type SearchProgress = true | false | "more";

/** How far a search has got. */
export interface SearchStatus {
  /** Acknowledged operations that have to be explained. */
  readonly operations: number;
  /** The most of them that were placed in one order. */
  readonly placed: number;
  /**
   * The operation whose completion no order has got past so far: everything that ended before it can be explained.
   * Undefined when everything could be.
   */
  readonly stuckAt: Operation | undefined;
  /** Pairs of (set of placed operations, state) that were expanded. */
  readonly configurations: number;
}

const placing = 0;
/** Nothing else was possible, so undoing it undoes the move before, too. */
const forced = 1;
/** The optional operation was given up, as its bound has come. */
const dropping = 2;

/** Moves between two looks at the clock; a call of the model counts as many. */
const movesPerLook = 256;

/** The state number of all states that no remaining operation can tell apart. */
const unobserved = -1;

const none = -1;

/** One search over the operations of one partition. */
export class Search<State> {
  readonly #timeline: Timeline<State>;
  readonly #count: number;
  readonly #expanded: Expanded;
  readonly #memoryBytes: number;
  /** Calls are nodes 0…count-1, returns count…2·count-1; then the heads of four linked lists, each in order of place. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #reads: number;
  readonly #changes: number;
  readonly #optionals: number;
  readonly #returns: number;

  #state: number;
  #left: number;
  /** In this configuration no read is legal that has not been placed. */
  #readsPlaced = false;
  /** The next call to try, and whether it is in the list of the optional ones (tried last). */
  #cursor = none;
  #tryingOptional = false;
  /** Where the optional calls begin that were not tried in this state before. */
  #optionalFrom = none;

  #depth = 0;
  readonly #moveOperation: Int32Array;
  readonly #moveKind: Uint8Array;
  readonly #moveState: Int32Array;
  readonly #moveOptionalFrom: Int32Array;

  /** By state: operations not yet placed that can tell it from others. */
  #observers: Int32Array = new Int32Array(0);

  /** The order that got furthest in the history. */
  readonly #best: Int32Array;
  #bestDepth = 0;
  /** How many moves of `best` are those of the current order. */
  #bestShared = 0;
  #furthest = -1;
  #stuckAt = none;
  #placedMost = 0;

  /**
   * @param operations of one partition, in any order; the model must not refuse any of them.
   * @param memoryBytes what is remembered is forgotten beyond it, which costs time.
   */
  constructor(model: Model<State>, operations: readonly Operation[], memoryBytes = defaultMemoryBytes) {
    this.#timeline = new Timeline(model, operations);
    const { operations: kept, mandatory, table } = this.#timeline;
    this.#count = kept.length;
    this.#memoryBytes = memoryBytes;
    this.#expanded = new Expanded(mandatory, kept.length - mandatory, memoryBytes / 2);
    this.#next = new Int32Array(2 * kept.length + 4).fill(none);
    this.#previous = new Int32Array(2 * kept.length + 4).fill(none);
    [this.#reads, this.#changes, this.#optionals, this.#returns] = [0, 1, 2, 3].map(
      (list) => 2 * kept.length + list,
    ) as [number, number, number, number];
    this.#moveOperation = new Int32Array(kept.length);
    this.#moveKind = new Uint8Array(kept.length);
    this.#moveState = new Int32Array(kept.length);
    this.#moveOptionalFrom = new Int32Array(kept.length);
    this.#best = new Int32Array(kept.length);
    this.#state = table.start;
    this.#left = mandatory;
    this.#link();
    this.#countObservers();
    this.#begin();
  }

  /** Goes on until there is a verdict, or `performance.now()` reaches `untilMs`. */
  advance(untilMs: number): SearchProgress {
    const { table } = this.#timeline;
    let untilLook = movesPerLook;
    while (this.#left > 0) {
      const calls = table.modelCalls;
      if (!this.#tryNext() && !this.#backtrack()) return false;
      untilLook -= table.modelCalls > calls ? movesPerLook : 1;
      if (untilLook > 0) continue;
      untilLook = movesPerLook;
      if (performance.now() >= untilMs) return "more";
      if (table.bytes > this.#memoryBytes / 2) this.#forget();
    }
    return true;
  }

  /** After `true`: an order of the operations that explains the history. */
  witness(): Operation[] {
    return this.#orderOf(this.#moveOperation, this.#moveKind, this.#depth);
  }

  /** Of the orders tried, the one that gets furthest in the history: it explains everything that ended before `stuckAt`. */
  furthest(): Operation[] {
    const order: Operation[] = [];
    for (let k = 0; k < this.#bestDepth; k++) {
      const move = this.#best[k]!;
      if (move >= 0) order.push(this.#timeline.operations[move]!);
    }
    return order;
  }

  status(): SearchStatus {
    const { operations, mandatory } = this.#timeline;
    const next = this.#nextToReturn();
    const isFurther = next !== none && this.#timeline.returnAt[next]! > this.#furthest;
    return {
      operations: mandatory,
      placed: Math.max(this.#placedMost, mandatory - this.#left),
      stuckAt: this.#left === 0 ? undefined : operations[isFurther ? next : this.#stuckAt],
      configurations: this.#expanded.count,
    };
  }

  /** Of the operations that have to be placed and are not, the one that returned first. */
  #nextToReturn(): number {
    let node = this.#next[this.#returns]!;
    while (node !== none && node - this.#count >= this.#timeline.mandatory) node = this.#next[node]!;
    return node === none ? none : node - this.#count;
  }

  #link(): void {
    const { entries, mandatory } = this.#timeline;
    const lasts = new Map<number, number>();
    for (const entry of entries) {
      const list = this.#listOf(entry, mandatory);
      const last = lasts.get(list) ?? list;
      this.#next[last] = entry;
      this.#previous[entry] = last;
      lasts.set(list, entry);
    }
  }

  #listOf(entry: number, mandatory: number): number {
    if (entry >= this.#count) return this.#returns;
    if (entry >= mandatory) return this.#optionals;
    return this.#timeline.isReadOnly(entry) ? this.#reads : this.#changes;
  }

  /** The place by which something has to be decided: of the first return in the history that is not yet placed. */
  #barrier(): number {
    const first = this.#next[this.#returns]!;
    return first === none ? never : this.#timeline.returnAt[first - this.#count]!;
  }

  /** In a new configuration: everything is to be tried. */
  #begin(): void {
    this.#readsPlaced = false;
    this.#cursor = this.#next[this.#changes]!;
    this.#tryingOptional = false;
    this.#optionalFrom = this.#next[this.#optionals]!;
  }

  /** Makes one move; false when this configuration has no further one. */
  #tryNext(): boolean {
    const barrier = this.#barrier();
    if (!this.#readsPlaced && this.#placeLegalRead(barrier)) return true;
    this.#readsPlaced = true;
    const { callAt } = this.#timeline;
    for (;;) {
      const call = this.#cursor;
      if (call !== none && callAt[call]! < barrier) {
        this.#cursor = this.#next[call]!;
        if (this.#tryCall(call)) return true;
      } else if (!this.#tryingOptional) {
        this.#tryingOptional = true;
        this.#cursor = this.#optionalFrom;
      } else {
        return this.#passBarrier();
      }
    }
  }

  #placeLegalRead(barrier: number): boolean {
    const { table, classOf, callAt } = this.#timeline;
    for (let call = this.#next[this.#reads]!; call !== none; call = this.#next[call]!) {
      if (callAt[call]! >= barrier) return false;
      if (table.step(this.#state, classOf[call]!) === impossible) continue;
      this.#mark(call);
      this.#push(call, forced, this.#state);
      return true;
    }
    return false;
  }

  #tryCall(call: number): boolean {
    const { table, classOf, twin } = this.#timeline;
    const before = twin[call]!;
    if (before !== none && !this.#expanded.isPlaced(before)) return false;
    const after = table.step(this.#state, classOf[call]!);
    if (after === impossible || (this.#tryingOptional && after === this.#state)) return false;
    this.#mark(call);
    if (this.#expanded.seen(this.#asObserved(after))) {
      this.#unmark(call);
      return false;
    }
    this.#push(call, placing, after);
    return true;
  }

  /** At the first return: an operation that had to be placed by now ends this attempt; an optional one is given up. */
  #passBarrier(): boolean {
    const first = this.#next[this.#returns]!;
    const operation = first - this.#count;
    const { mandatory, callAt, returnAt } = this.#timeline;
    if (first === none) return false;
    if (operation < mandatory) {
      if (returnAt[operation]! > this.#furthest) this.#rememberFurthest(operation);
      return false;
    }
    const [untried, bound] = [this.#cursor, returnAt[operation]!];
    let change = this.#next[this.#changes]!;
    while (change !== none && callAt[change]! < bound) change = this.#next[change]!;
    // Not looked up: this configuration comes after one other only, and is one that has used up more.
    this.#mark(operation);
    this.#push(operation, dropping, this.#state);
    this.#cursor = change;
    this.#optionalFrom = untried;
    return true;
  }

  #push(operation: number, kind: number, after: number): void {
    this.#moveOperation[this.#depth] = operation;
    this.#moveKind[this.#depth] = kind;
    this.#moveState[this.#depth] = this.#state;
    this.#moveOptionalFrom[this.#depth] = this.#optionalFrom;
    this.#depth++;
    this.#lift(operation);
    this.#state = after;
    if (operation < this.#timeline.mandatory) this.#left--;
    this.#begin();
  }

  /** Undoes the last choice and turns to the one after it; false when none is left. */
  #backtrack(): boolean {
    while (this.#depth > 0) {
      this.#depth--;
      if (this.#depth < this.#bestShared) this.#bestShared = this.#depth;
      const operation = this.#moveOperation[this.#depth]!;
      this.#unlift(operation);
      this.#unmark(operation);
      this.#state = this.#moveState[this.#depth]!;
      if (operation < this.#timeline.mandatory) this.#left++;
      if (this.#moveKind[this.#depth] !== placing) continue;
      this.#readsPlaced = true;
      this.#tryingOptional = operation >= this.#timeline.mandatory;
      this.#optionalFrom = this.#moveOptionalFrom[this.#depth]!;
      this.#cursor = this.#next[operation]!;
      return true;
    }
    return false;
  }

  #rememberFurthest(stuckAt: number): void {
    this.#furthest = this.#timeline.returnAt[stuckAt]!;
    this.#stuckAt = stuckAt;
    this.#placedMost = Math.max(this.#placedMost, this.#timeline.mandatory - this.#left);
    for (let k = this.#bestShared; k < this.#depth; k++) {
      this.#best[k] = this.#moveKind[k] === dropping ? none : this.#moveOperation[k]!;
    }
    this.#bestDepth = this.#depth;
    this.#bestShared = this.#depth;
  }

  #orderOf(moves: Int32Array, kinds: Uint8Array, depth: number): Operation[] {
    const order: Operation[] = [];
    for (let k = 0; k < depth; k++) {
      if (kinds[k] !== dropping) order.push(this.#timeline.operations[moves[k]!]!);
    }
    return order;
  }

  #asObserved(state: number): number {
    if (!this.#timeline.table.observed) return state;
    return state < this.#observers.length && this.#observers[state]! > 0 ? state : unobserved;
  }

  #countObservers(): void {
    const { table, classOf } = this.#timeline;
    if (!table.observed) return;
    const named = table.observed.flat();
    this.#observers = new Int32Array(named.reduce((most, state) => Math.max(most, state + 1), 0));
    for (const operationClass of classOf) {
      for (const state of table.observed[operationClass]!) this.#observers[state]!++;
    }
  }

  #mark(operation: number): void {
    this.#expanded.place(operation);
    const { table, classOf } = this.#timeline;
    if (!table.observed) return;
    for (const state of table.observed[classOf[operation]!]!) this.#observers[state]!--;
  }

  #unmark(operation: number): void {
    this.#expanded.takeBack(operation);
    const { table, classOf } = this.#timeline;
    if (!table.observed) return;
    for (const state of table.observed[classOf[operation]!]!) this.#observers[state]!++;
  }

  /** Too many states: keeps those of the current order only. */
  #forget(): void {
    const states = [...this.#moveState.subarray(0, this.#depth), this.#state];
    const renumbered = this.#timeline.table.forget(states);
    this.#moveState.set(renumbered.slice(0, -1));
    this.#state = renumbered.at(-1)!;
    this.#expanded.forgetAll();
  }

  #lift(operation: number): void {
    this.#unlink(operation);
    if (this.#timeline.returnAt[operation] !== never) this.#unlink(operation + this.#count);
  }

  #unlift(operation: number): void {
    if (this.#timeline.returnAt[operation] !== never) this.#relink(operation + this.#count);
    this.#relink(operation);
  }

  #unlink(node: number): void {
    const [before, after] = [this.#previous[node]!, this.#next[node]!];
    this.#next[before] = after;
    if (after !== none) this.#previous[after] = before;
  }

  #relink(node: number): void {
    const [before, after] = [this.#previous[node]!, this.#next[node]!];
    this.#next[before] = node;
    if (after !== none) this.#previous[after] = node;
  }
}
