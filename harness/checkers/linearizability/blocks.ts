/**
 * One key's history as *blocks*, for the exact linear-time check (Gibbons & Korach 1997, extended).
 *
 * Every written value is unique, so each read names the write it saw. A *cluster* is a write and its readers. A
 * successful compare-and-set reads a and writes b, so b's cluster follows a's at once: such chains are one *block*, in
 * which the order is known. For a block, `f` is its least return and `s` its greatest invocation, as ranks:
 * f < s (*forward*): the key must hold the block's values over [f, s]. Otherwise (*backward*): the whole block fits into
 * one point of [s, f]. The initial value is a write at rank -1.
 *
 * Inside a block each operation must return after everything that precedes it was invoked. Clusters are enough to see
 * that: with M the greatest invocation of the clusters before, a cluster fits iff its least return is at least M and at
 * least its writer's invocation. Only when one does not fit are its members looked at one by one.
 *
 * Indeterminate operations: a read is dropped. A write or compare-and-set whose value nobody observed is dropped; an
 * observed one keeps its bound, and makes the value it consumed observed, too. That is sound because every observation
 * that is left names a value. The one that does not, a delete that says it removed something, is why keys with deletes
 * keep unobserved writes as *optional* (see deletes.ts).
 *
 * Not covered, sent to search with the reason: a value written twice, writes of nil. (What the columns cannot express is
 * named by register-columns.ts.)
 *
 * Time: two passes over the rows, one over the values. Memory: 18 bytes a value.
 */
import { indeterminate, type KeyColumns, nil, role } from "../../history/columns.ts";
import type { RowConflict } from "./conflict.ts";

/** Marks the initial value in `writer`. */
export const initialWriter = -2;

/** Whether a block begins with a value. */
const standing = {
  /** None begins with it. */
  inside: 0,
  /** A block begins with it. */
  head: 1,
  /** So it does, with a compare-and-set that found the key absent, in a key with deletes. */
  headFromNil: 2,
} as const;

/** Contradictions beyond this many are counted, and not listed. */
export const conflictsKept = 100;

/** One key, analysed. */
export class KeyBlocks {
  readonly columns: KeyColumns;
  /** Number of the initial value. */
  readonly initial: number;
  /** By value number: the row that wrote it, -1 for none, or `initialWriter`. */
  readonly writer: Int32Array;
  /** By value number: the value that a compare-and-set made of it, or -1. */
  readonly next: Int32Array;
  /** By value number, for the head of a block: the block's least return and greatest invocation. */
  readonly f: Int32Array;
  readonly s: Int32Array;
  /** By value number: a read or something consumed it. */
  readonly observed: Uint8Array;
  /** Nil can come back: there are deletes, so reads of nil do not name a write. */
  hasDeletes = false;
  /** Why the exact method does not cover this key. */
  uncovered: string | undefined;
  /** Contradictions inside a block, and values without a writer; the first of them. */
  readonly conflicts: RowConflict[] = [];
  /** How many contradictions there are. */
  conflictCount = 0;

  readonly #standing: Uint8Array;
  /** Rows with compare-and-sets, and of them those without an answer. */
  #compareAndSets = 0;
  #openCompareAndSets = 0;
  #readers: Readers | undefined;

  /** @param initial number of the value at the beginning; `nil` for none. */
  constructor(columns: KeyColumns, initial: number) {
    this.columns = columns;
    this.initial = initial;
    this.writer = new Int32Array(columns.values).fill(-1);
    this.next = new Int32Array(columns.values).fill(-1);
    this.f = new Int32Array(columns.values).fill(0x7fffffff);
    this.s = new Int32Array(columns.values).fill(-1);
    this.observed = new Uint8Array(columns.values);
    this.#standing = new Uint8Array(columns.values);
    this.writer[initial] = initialWriter;
    this.f[initial] = -1;
    this.#gather();
    if (this.uncovered) return;
    if (this.#openCompareAndSets > 0) this.#observeConsumed();
    if (initial !== nil && this.observed[nil]) this.hasDeletes = true;
    this.#reportPhantoms();
    if (this.#compareAndSets > 0) this.#linkConsumers();
    this.#join();
  }

  isHead(value: number): boolean {
    return this.#standing[value] !== standing.inside;
  }

  /** The block begins with a compare-and-set that found the key absent, in a key with deletes. */
  needsNil(head: number): boolean {
    return this.#standing[head] === standing.headFromNil;
  }

  /** The row that wrote a value; undefined for the initial value, and where there is none. */
  writerOf(value: number): number | undefined {
    const writer = this.writer[value]!;
    return writer < 0 ? undefined : writer;
  }

  /** Rows that read this value, in order of invocation. */
  *readersOf(value: number): Generator<number> {
    this.#readers ??= new Readers(this.columns);
    for (let row = this.#readers.first[value]!; row !== -1; row = this.#readers.next[row]!) yield row;
  }

  /** All rows of the block with this head, writers before their readers, in the order in which they took effect. */
  *membersOf(head: number): Generator<number> {
    for (let value = head; value !== -1; value = this.next[value]!) {
      const writer = this.writer[value]!;
      if (writer >= 0) yield writer;
      yield* this.readersOf(value);
    }
  }

  /** The first member of a block, in the order of `membersOf`, that is as asked; undefined for none. */
  memberOf(head: number, accepts: (row: number) => boolean): number | undefined {
    for (const row of this.membersOf(head)) if (accepts(row)) return row;
    return undefined;
  }

  /** An indeterminate write that nobody observed: it may have made the key present. A compare-and-set only from nil. */
  isOptionalWrite(row: number): boolean {
    const code = this.columns.role[row]!;
    if (!(code & indeterminate) || this.observed[this.columns.value[row]!]) return false;
    const what = code & ~indeterminate;
    return what === role.write || (what === role.compareAndSet && this.columns.from[row] === nil);
  }

  /** The value that a row observed: read, or consumed. */
  valueObservedBy(row: number): number {
    const what = this.columns.role[row]! & ~indeterminate;
    return what === role.compareAndSet ? this.columns.from[row]! : this.valueShownBy(row);
  }

  /** The value that a row leaves behind or shows: what it wrote, or else what it read. */
  valueShownBy(row: number): number {
    return (this.columns.role[row]! & ~indeterminate) === role.remove ? nil : this.columns.value[row]!;
  }

  #conflict(conflict: () => RowConflict): void {
    this.conflictCount++;
    if (this.conflicts.length < conflictsKept) this.conflicts.push(conflict());
  }

  /** Finds the writer, the least return and the greatest invocation of each cluster. */
  #gather(): void {
    const { count, role: roles, value, from, call, bound } = this.columns;
    const { writer, f, s, observed } = this;
    for (let row = 0; row < count; row++) {
      const code = roles[row]!;
      const v = value[row]!;
      if (code === role.none) continue;
      const what = code & ~indeterminate;
      if (what === role.remove) {
        this.hasDeletes = true;
        continue;
      }
      if (what === role.read) observed[v] = 1;
      else {
        if (what === role.compareAndSet) {
          this.#compareAndSets++;
          if (code === what) observed[from[row]!] = 1;
          else this.#openCompareAndSets++;
        }
        if (writer[v] !== -1 || v === nil) {
          this.uncovered = v === nil ? "nil was written" : "a value was written twice";
          return;
        }
        writer[v] = row;
      }
      // Rows are in order of invocation, so the last one is the greatest.
      s[v] = call[row]!;
      if (bound[row]! < f[v]!) f[v] = bound[row]!;
    }
  }

  /** What an observed indeterminate compare-and-set consumed was observed by it, and so on along the chain. */
  #observeConsumed(): void {
    const { role: roles, value, from, count } = this.columns;
    for (let row = 0; row < count; row++) {
      if (roles[row] !== (role.compareAndSet | indeterminate) || !this.observed[value[row]!]) continue;
      for (let at = row; at >= 0 && (roles[at]! & ~indeterminate) === role.compareAndSet; ) {
        const consumed = from[at]!;
        if (this.observed[consumed]) break;
        this.observed[consumed] = 1;
        at = this.writer[consumed]!;
      }
    }
  }

  #reportPhantoms(): void {
    const { observed, writer, hasDeletes } = this;
    for (let value = 0; value < observed.length; value++) {
      if (!observed[value] || writer[value] !== -1 || (value === nil && hasDeletes)) continue;
      this.#conflict(() => ({ type: "phantom", operation: this.#firstObserver(value), value }));
    }
  }

  #firstObserver(value: number): number {
    const { role: roles, value: values, from } = this.columns;
    return roles.findIndex(
      (code, row) =>
        (code === role.read && values[row] === value) ||
        ((code & ~indeterminate) === role.compareAndSet && this.#isKept(row) && from[row] === value),
    );
  }

  /** An indeterminate writer is kept only when its value was observed. */
  #isKept(row: number): boolean {
    return !(this.columns.role[row]! & indeterminate) || this.observed[this.columns.value[row]!] === 1;
  }

  #linkConsumers(): void {
    const { role: roles, value, from, count } = this.columns;
    for (let row = 0; row < count; row++) {
      if ((roles[row]! & ~indeterminate) !== role.compareAndSet || !this.#isKept(row)) continue;
      const consumed = from[row]!;
      if (consumed === nil && this.hasDeletes) continue;
      const other = this.next[consumed]!;
      if (other === -1) this.next[consumed] = value[row]!;
      else this.#consumedTwice(consumed, this.writer[other]!, row);
    }
  }

  #consumedTwice(value: number, first: number, second: number): void {
    this.#conflict(() => ({ type: "consumed-twice", value, writer: this.writerOf(value), first, second }));
  }

  /** Joins the clusters to blocks, from each value that can be the first of one. */
  #join(): void {
    const { writer, next, f } = this;
    const { role: roles, from, call, values } = this.columns;
    let followers = 0;
    let reached = 0;
    for (let value = 0; value < values; value++) {
      const w = writer[value]!;
      if (w === -1) continue;
      if (w === initialWriter) {
        if (value === nil && this.hasDeletes) continue;
        this.#standing[value] = standing.head;
      } else {
        if (!this.#isKept(w)) continue;
        const isWrite = (roles[w]! & ~indeterminate) === role.write;
        const fromNil = !isWrite && this.hasDeletes && from[w] === nil;
        if (!isWrite && !fromNil) {
          followers++;
          continue;
        }
        this.#standing[value] = isWrite ? standing.head : standing.headFromNil;
        if (f[value]! < call[w]!) this.#misorderedAt(value, -1, -1);
      }
      if (next[value] !== -1) reached += this.#walk(value);
    }
    if (reached < followers && this.conflictCount === 0) this.#reportCircle();
  }

  /** Walks one block in the only order it can have; its head takes the block's f and s. Returns its followers. */
  #walk(head: number): number {
    const { writer, next, f, s } = this;
    const { call } = this.columns;
    let followers = 0;
    let least = f[head]!;
    let latest = s[head]!;
    let latestOf = head;
    for (let value = next[head]!; value !== -1; value = next[value]!) {
      followers++;
      const ends = f[value]!;
      if (ends < latest || ends < call[writer[value]!]!) this.#misorderedAt(value, latest, latestOf);
      if (ends < least) least = ends;
      if (s[value]! > latest) [latest, latestOf] = [s[value]!, value];
    }
    f[head] = least;
    s[head] = latest;
    return followers;
  }

  /**
   * Names the members of a cluster that ended too early: before the greatest invocation of the clusters before it, or
   * before their own writer was sent.
   */
  #misorderedAt(value: number, latest: number, latestOf: number): void {
    const { call, bound } = this.columns;
    const before = latestOf === -1 ? -1 : this.#memberSentAt(latestOf, latest);
    const writer = this.writer[value]!;
    if (bound[writer]! < latest) this.#misordered(writer, before);
    const precedes = call[writer]! > latest ? writer : before;
    for (const reader of this.readersOf(value)) {
      if (bound[reader]! < call[precedes]!) this.#misordered(reader, precedes);
    }
  }

  /** The member of a cluster that was sent at a rank. */
  #memberSentAt(value: number, rank: number): number {
    const writer = this.writer[value]!;
    if (writer >= 0 && this.columns.call[writer] === rank) return writer;
    for (const reader of this.readersOf(value)) if (this.columns.call[reader] === rank) return reader;
    return writer;
  }

  /** `knew` ended before `later` was invoked, though `later` precedes it in their block. */
  #misordered(knew: number, later: number): void {
    this.#conflict(() => {
      if (this.columns.role[later] !== role.read) {
        return { type: "from-the-future", operation: knew, writer: later };
      }
      const newer = this.valueShownBy(knew);
      const newerWriter = this.writerOf(newer);
      return {
        type: "order",
        knew,
        later,
        newerWriter,
        olderWriter: this.writerOf(this.valueObservedBy(later)),
        observers: () => [...(newerWriter === undefined ? [] : [newerWriter]), ...this.readersOf(newer)],
      };
    });
  }

  /** Compare-and-sets that no chain reaches consume each other's values (or follow a phantom, already reported). */
  #reportCircle(): void {
    const reachedValues = new Uint8Array(this.columns.values);
    for (let head = 0; head < reachedValues.length; head++) {
      if (!this.isHead(head)) continue;
      for (let value = head; value !== -1; value = this.next[value]!) reachedValues[value] = 1;
    }
    const operations: number[] = [];
    this.columns.role.forEach((code, row) => {
      const isKept = (code & ~indeterminate) === role.compareAndSet && this.#isKept(row);
      if (isKept && !reachedValues[this.columns.value[row]!]) operations.push(row);
    });
    this.#conflict(() => ({ type: "cycle", operations }));
  }
}

/** The readers of each value, as linked lists; needed only for a witness or for what contradicts. */
class Readers {
  /** By value number: its first reader, or -1. */
  readonly first: Int32Array;
  /** By row: the next reader of the same value, or -1. */
  readonly next: Int32Array;

  constructor({ count, values, role: roles, value }: KeyColumns) {
    this.first = new Int32Array(values).fill(-1);
    this.next = new Int32Array(count).fill(-1);
    for (let row = count - 1; row >= 0; row--) {
      if (roles[row] !== role.read) continue;
      this.next[row] = this.first[value[row]!]!;
      this.first[value[row]!] = row;
    }
  }
}
