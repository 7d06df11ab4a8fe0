/**
 * In which order the elements of each list were appended: the longest read says so, and every other read must be a
 * prefix of it (Elle, section 4.2). Nothing is copied: reads are compared in place, index by index.
 *
 * A read that follows appends of its own transaction to the same list must end with exactly those; only what is
 * before them (the *visible* part) speaks of other transactions. Verified here: that (`internal`), two reads of one
 * transaction against each other (`internal`), prefixes (`incompatible-order`), elements that nobody appended
 * (`phantom-value`), elements that are there twice (`duplicate-elements`).
 */
import type { Budget } from "./budget.ts";
import { none, sameValue, seenBy, type TransactionLog, writtenBy } from "./transaction.ts";

/** One read, as (transaction, micro-operation). */
export interface ReadAt {
  readonly transaction: number;
  readonly micro: number;
}

export interface Internal extends ReadAt {
  /** A read does not end with its transaction's own appends; otherwise it differs from an earlier read. */
  readonly ownMissed: boolean;
  /** What it should have shown. */
  readonly expected: readonly unknown[];
}

export interface Incompatible extends ReadAt {
  readonly key: number;
  /** The first position at which it differs from the longest read. */
  readonly position: number;
}

export interface Misplaced extends ReadAt {
  readonly key: number;
  readonly value: unknown;
}

/** An element in a read that is no prefix of the longest, so that the order does not have it there. */
export interface StrayVersion extends ReadAt {
  readonly version: number;
}

export interface ListOrders {
  /** Elements of key k, as versions, are those from `start[k]` up to `start[k + 1]`; `none` for one nobody appended. */
  readonly start: Int32Array;
  readonly order: Int32Array;
  /** By version: its position in its list; `none` when no read shows it. */
  readonly position: Int32Array;
  /** By key: the read that the order comes from, as its micro-operation; `none` when the key was never read. */
  readonly longest: Int32Array;
  readonly longestReader: Int32Array;
  /** By micro-operation: length of the visible part of a read that is a prefix; -1 for everything else. */
  readonly visible: Int32Array;
  /** By micro-operation: 1 for a read that follows an append of its own transaction to the same list. */
  readonly afterOwn: Uint8Array;
  /** Keys with elements twice: nothing is inferred from their order. */
  readonly broken: ReadonlySet<number>;
  readonly internal: readonly Internal[];
  readonly incompatible: readonly Incompatible[];
  readonly phantoms: readonly Misplaced[];
  readonly duplicates: readonly Misplaced[];
  readonly strays: readonly StrayVersion[];
}

/** Of each kind of misfit, as many as are kept; the rest would only repeat it. */
const misfitsKept = 10_000;

/** Infers the order of every list. Marks indeterminate transactions of which a read shows an element as committed. */
export function orderLists(log: TransactionLog, budget: Budget): ListOrders {
  return new Ordering(log, budget).finish();
}

/** A read of a list; a list that does not exist is an empty one. `undefined` when it is no list. */
export function listSeen(
  log: TransactionLog,
  transaction: number,
  micro: number,
): readonly unknown[] | undefined {
  const seen = seenBy(log, transaction, micro);
  if (seen === null) return [];
  return Array.isArray(seen) ? seen : undefined;
}

class Ordering {
  readonly #log: TransactionLog;
  readonly #budget: Budget;
  readonly #visible: Int32Array;
  readonly #afterOwn: Uint8Array;
  readonly #longest: Int32Array;
  readonly #longestReader: Int32Array;
  readonly #longestLength: Int32Array;
  readonly #position: Int32Array;
  readonly #start: Int32Array;
  readonly #broken = new Set<number>();
  readonly #internal: Internal[] = [];
  readonly #incompatible: Incompatible[] = [];
  readonly #phantoms: Misplaced[] = [];
  readonly #duplicates: Misplaced[] = [];
  readonly #strays: StrayVersion[] = [];

  constructor(log: TransactionLog, budget: Budget) {
    this.#log = log;
    this.#budget = budget;
    const [keys, micros] = [log.keys.length, log.microKey.length];
    this.#visible = new Int32Array(micros).fill(-1);
    this.#afterOwn = new Uint8Array(micros);
    this.#longest = new Int32Array(keys).fill(none);
    this.#longestReader = new Int32Array(keys).fill(none);
    this.#longestLength = new Int32Array(keys);
    this.#position = new Int32Array(log.versions.count).fill(none);
    this.#start = new Int32Array(keys + 1);
  }

  finish(): ListOrders {
    this.#measure();
    const order = this.#orders();
    this.#compare();
    return {
      start: this.#start,
      order,
      position: this.#position,
      longest: this.#longest,
      longestReader: this.#longestReader,
      visible: this.#visible,
      afterOwn: this.#afterOwn,
      broken: this.#broken,
      internal: this.#internal,
      incompatible: this.#incompatible,
      phantoms: this.#phantoms,
      duplicates: this.#duplicates,
      strays: this.#strays,
    };
  }

  /** The visible length of every read, and the longest of each key. */
  #measure(): void {
    const { microStart, microKey, microVersion, readable, operations } = this.#log;
    const own = new OwnAccess(this.#log);
    for (let t = 0; t < operations.length; t++) {
      this.#budget.spend("measuring the reads", t, operations.length);
      if (!readable[t]) continue;
      for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
        if (microVersion[micro] !== none) own.wrote(t, micro);
        else this.#measureRead(t, micro, microKey[micro]!, own);
      }
    }
  }

  #measureRead(t: number, micro: number, key: number, own: OwnAccess): void {
    const seen = listSeen(this.#log, t, micro);
    const appended = own.versions(t, key);
    this.#afterOwn[micro] = appended.length > 0 ? 1 : 0;
    const visible = seen ? seen.length - appended.length : -1;
    const earlier = own.read(t, key);
    const before = earlier === none ? undefined : listSeen(this.#log, t, earlier);
    if (!seen || visible < 0 || !this.#endsWith(seen, appended)) {
      this.#noteInternal(t, micro, true, [...(before ?? []), ...this.#values(appended)]);
      return;
    }
    if (before) {
      const length = before.length - own.writesBeforeRead(t, key);
      if (length !== visible || !sameUntil(before, seen, visible)) {
        this.#noteInternal(t, micro, false, [...before.slice(0, length), ...this.#values(appended)]);
      }
    }
    own.noteRead(t, key, micro);
    this.#visible[micro] = visible;
    if (this.#longest[key] !== none && visible <= this.#longestLength[key]!) return;
    this.#longest[key] = micro;
    this.#longestReader[key] = t;
    this.#longestLength[key] = visible;
  }

  #endsWith(seen: readonly unknown[], appended: readonly number[]): boolean {
    const from = seen.length - appended.length;
    return appended.every((version, i) => sameValue(seen[from + i], writtenBy(this.#log, version)));
  }

  #values(versions: readonly number[]): unknown[] {
    return versions.map((version) => writtenBy(this.#log, version));
  }

  #noteInternal(transaction: number, micro: number, ownMissed: boolean, expected: readonly unknown[]): void {
    if (this.#internal.length < misfitsKept) this.#internal.push({ transaction, micro, ownMissed, expected });
  }

  /** Turns the longest read of each key into versions. */
  #orders(): Int32Array {
    const { keys, versions, ambiguous } = this.#log;
    for (let key = 0; key < keys.length; key++) {
      this.#start[key + 1] = this.#start[key]! + this.#longestLength[key]!;
    }
    const order = new Int32Array(this.#start[keys.length]!);
    for (let key = 0; key < keys.length; key++) {
      const [transaction, micro] = [this.#longestReader[key]!, this.#longest[key]!];
      if (micro === none) continue;
      if (ambiguous.has(key)) this.#broken.add(key);
      const seen = listSeen(this.#log, transaction, micro)!;
      for (let i = 0; i < this.#longestLength[key]!; i++) {
        const version = versions.numberOf(key, seen[i]);
        order[this.#start[key]! + i] = version;
        this.#placeElement({ transaction, micro, key, value: seen[i] }, version, i);
      }
    }
    return order;
  }

  #placeElement(at: Misplaced, version: number, position: number): void {
    if (version === none) {
      if (this.#phantoms.length < misfitsKept) this.#phantoms.push(at);
    } else if (this.#position[version] !== none) {
      this.#broken.add(at.key);
      const isSure = !this.#log.ambiguous.has(at.key) && this.#duplicates.length < misfitsKept;
      if (isSure) this.#duplicates.push(at);
    } else {
      this.#position[version] = position;
      this.#observe(version);
    }
  }

  #observe(version: number): void {
    const writer = this.#log.versions.writer[version]!;
    if (this.#log.operations[writer]!.outcome === "info") this.#log.committed[writer] = 1;
  }

  /** Every read against the longest of its key. */
  #compare(): void {
    const { microStart, microKey, operations } = this.#log;
    for (let t = 0; t < operations.length; t++) {
      this.#budget.spend("comparing the reads of each list", t, operations.length);
      for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
        const visible = this.#visible[micro]!;
        const key = microKey[micro]!;
        if (visible <= 0 || this.#longest[key] === micro) continue;
        const seen = listSeen(this.#log, t, micro)!;
        const longest = listSeen(this.#log, this.#longestReader[key]!, this.#longest[key]!)!;
        const position = firstDifference(seen, longest, visible);
        if (position === visible) continue;
        this.#visible[micro] = -1;
        if (!this.#log.ambiguous.has(key))
          this.#noteIncompatible({ transaction: t, micro, key, position }, seen, visible);
      }
    }
  }

  #noteIncompatible(at: Incompatible, seen: readonly unknown[], visible: number): void {
    if (this.#incompatible.length < misfitsKept) this.#incompatible.push(at);
    const { transaction, micro, key } = at;
    const here = new Set<number>();
    for (let i = 0; i < visible; i++) {
      const value = seen[i];
      const version = this.#log.versions.numberOf(key, value);
      if (version === none) {
        if (this.#phantoms.length < misfitsKept) this.#phantoms.push({ transaction, micro, key, value });
        continue;
      }
      if (here.has(version) && this.#duplicates.length < misfitsKept) {
        this.#duplicates.push({ transaction, micro, key, value });
      }
      here.add(version);
      this.#observe(version);
      if (i >= at.position && this.#strays.length < misfitsKept)
        this.#strays.push({ transaction, micro, version });
    }
  }
}

function sameUntil(a: readonly unknown[], b: readonly unknown[], length: number): boolean {
  return firstDifference(a, b, length) === length;
}

/** The first position below `length` at which two lists differ; `length` when there is none. */
function firstDifference(a: readonly unknown[], b: readonly unknown[], length: number): number {
  for (let i = 0; i < length; i++) {
    if (a[i] !== b[i] && !sameValue(a[i], b[i])) return i;
  }
  return length;
}

/** What the transaction being walked through has done to each key so far. */
class OwnAccess {
  readonly #log: TransactionLog;
  /** By key: the transaction that the other columns speak of. */
  readonly #transaction: Int32Array;
  readonly #lastRead: Int32Array;
  readonly #writesBeforeRead: Int32Array;
  #writes = new Map<number, number[]>();
  #writesOf = none;

  constructor(log: TransactionLog) {
    this.#log = log;
    this.#transaction = new Int32Array(log.keys.length).fill(none);
    this.#lastRead = new Int32Array(log.keys.length);
    this.#writesBeforeRead = new Int32Array(log.keys.length);
  }

  wrote(t: number, micro: number): void {
    if (this.#writesOf !== t) {
      if (this.#writes.size > 0) this.#writes = new Map();
      this.#writesOf = t;
    }
    const key = this.#log.microKey[micro]!;
    const versions = this.#writes.get(key);
    if (versions) versions.push(this.#log.microVersion[micro]!);
    else this.#writes.set(key, [this.#log.microVersion[micro]!]);
  }

  versions(t: number, key: number): readonly number[] {
    return (this.#writesOf === t ? this.#writes.get(key) : undefined) ?? [];
  }

  noteRead(t: number, key: number, micro: number): void {
    this.#transaction[key] = t;
    this.#lastRead[key] = micro;
    this.#writesBeforeRead[key] = this.versions(t, key).length;
  }

  read(t: number, key: number): number {
    return this.#transaction[key] === t ? this.#lastRead[key]! : none;
  }

  writesBeforeRead(t: number, key: number): number {
    return this.#transaction[key] === t ? this.#writesBeforeRead[key]! : 0;
  }
}
