/**
 * One key's history as *blocks*, for the exact linear-time check (Gibbons & Korach 1997, extended).
 *
 * Every written value is unique, so each read names the write it saw. A *cluster* is a write and its readers. A
 * successful compare-and-set reads a and writes b, so b's cluster follows a's at once: such chains are one *block*, in
 * which the order is known. For a block, `f` is its least return and `s` its greatest invocation, as ranks:
 * f < s (*forward*): the key must hold the block's values over [f, s]. Otherwise (*backward*): the whole block fits into
 * one point of [s, f]. The initial value is a write at rank -1.
 *
 * Indeterminate operations: a read is dropped. A write or compare-and-set whose value nobody observed is dropped; an
 * observed one keeps its bound, and makes the value it consumed observed, too. That is sound because every observation
 * that is left names a value. The one that does not, a delete that says it removed something, is why keys with deletes
 * keep unobserved writes as *optional* (see deletes.ts).
 *
 * Not covered, sent to search with the reason: a value written twice, a refused compare without a witness, a delete
 * without a count, writes of nil.
 */
import type { Operation } from "../../history/operation.ts";
import {
  compareAndSetOf,
  isRefusedCompare,
  registerModel,
  registerValue,
  removedBy,
} from "../../models/register.ts";
import type { Conflict } from "./conflict.ts";

/** What an operation is to the check. */
export const role = {
  dropped: 0,
  /** Saw the value `value`. */
  read: 1,
  write: 2,
  /** Saw `from`, wrote `value`. */
  compareAndSet: 3,
  /** Removed a value, whichever it was. */
  remove: 4,
  /** An indeterminate delete. */
  optionalRemove: 5,
} as const;

/** Value number of nil. */
export const nil = 0;

/** Marks the initial value in `writer`. */
export const initialWriter = -2;

export interface Block {
  /** Value number of its first value. */
  readonly first: number;
  /** It begins with a compare-and-set that found the key absent, in a key with deletes. */
  readonly needsNil: boolean;
  /** Least return and greatest invocation, as ranks. */
  readonly f: number;
  readonly s: number;
  /** The operations they come from; undefined for the initial value. */
  readonly fOperation: Operation | undefined;
  readonly sOperation: Operation | undefined;
}

/** One key, analysed. */
export class KeyBlocks {
  readonly operations: readonly Operation[];
  /** The values by number; number 0 is nil. */
  readonly values: (string | null)[] = [null];
  /** By operation. */
  readonly roles: Uint8Array;
  readonly value: Int32Array;
  readonly from: Int32Array;
  /** By value number: the operation that wrote it, -1 for none, or `initialWriter`. */
  readonly writer: number[] = [-1];
  /** By value number: the compare-and-set that consumed it, or -1. */
  readonly consumer: number[] = [-1];
  /** By value number: its first reader; then by operation, the next reader of the same value. */
  readonly firstReader: number[] = [-1];
  readonly nextReader: Int32Array;
  readonly blocks: Block[] = [];
  /** Contradictions inside a block, and values without a writer. */
  readonly conflicts: Conflict[] = [];
  /** Number of the initial value. */
  readonly initial: number;
  /** Nil can come back: there are deletes, so reads of nil do not name a write. */
  hasDeletes = false;
  /** Why the exact method does not cover this key. */
  uncovered: string | undefined;

  readonly #numbers = new Map<string, number>();

  /**
   * @param operations of one key, in order of invocation.
   * @param initial the value at the beginning; null for none.
   */
  constructor(operations: readonly Operation[], initial: string | null) {
    this.operations = operations;
    this.roles = new Uint8Array(operations.length);
    this.value = new Int32Array(operations.length);
    this.from = new Int32Array(operations.length);
    this.nextReader = new Int32Array(operations.length).fill(-1);
    this.initial = this.#numberOf(initial);
    this.writer[this.initial] = initialWriter;
    for (let i = 0; i < operations.length && !this.uncovered; i++) this.#assignRole(i);
    if (this.uncovered) return;
    this.#dropUnobserved();
    this.#linkReaders();
    this.#linkConsumers();
    if (!this.uncovered) this.#buildBlocks();
  }

  /** Operations that read this value. */
  *readersOf(value: number): Generator<Operation> {
    for (let r = this.firstReader[value]!; r !== -1; r = this.nextReader[r]!) yield this.operations[r]!;
  }

  writerOf(value: number): Operation | undefined {
    return this.operations[this.writer[value]!];
  }

  /** All operations of a block, writers before their readers, in the order in which they took effect. */
  *membersOf(block: Block): Generator<Operation> {
    for (let value = block.first; ; ) {
      const writer = this.writerOf(value);
      if (writer) yield writer;
      yield* this.readersOf(value);
      const consumer = this.consumer[value]!;
      if (consumer === -1 || (value === nil && this.hasDeletes)) return;
      value = this.value[consumer]!;
    }
  }

  /** The value an operation leaves behind or shows: what it writes, or else what it read. */
  valueShownBy(operation: Operation): number {
    if (operation.f === "delete") return nil;
    const text =
      operation.f === "write"
        ? registerValue(operation.input)
        : operation.f === "cas" && !isRefusedCompare(operation)
          ? compareAndSetOf(operation)[1]
          : registerValue(operation.output);
    return text === null ? nil : (this.#numbers.get(text) ?? nil);
  }

  /** The value an operation observed: read, found by a refused compare, or consumed. */
  valueObservedBy(operation: Operation): number {
    if (operation.f !== "cas" || isRefusedCompare(operation)) return this.valueShownBy(operation);
    const [expected] = compareAndSetOf(operation);
    return expected === null ? nil : (this.#numbers.get(expected) ?? nil);
  }

  #numberOf(value: string | null): number {
    if (value === null) return nil;
    const known = this.#numbers.get(value);
    if (known !== undefined) return known;
    const number = this.values.length;
    this.#numbers.set(value, number);
    this.values.push(value);
    this.writer.push(-1);
    this.consumer.push(-1);
    this.firstReader.push(-1);
    return number;
  }

  #assignRole(i: number): void {
    const operation = this.operations[i]!;
    if (operation.outcome === "fail") return;
    this.uncovered ??= registerModel.refuses(operation);
    if (this.uncovered) return;
    switch (operation.f) {
      case "read":
        if (operation.outcome === "ok") this.#asRead(i, registerValue(operation.output));
        break;
      case "write":
        this.roles[i] = role.write;
        this.#asWriter(i, registerValue(operation.input));
        break;
      case "cas":
        this.#asCompareAndSet(i);
        break;
      default:
        this.#asDelete(i);
    }
  }

  #asRead(i: number, value: string | null): void {
    this.roles[i] = role.read;
    this.value[i] = this.#numberOf(value);
  }

  #asWriter(i: number, value: string | null): void {
    const number = this.#numberOf(value);
    this.value[i] = number;
    if (number === nil) this.uncovered = "nil was written";
    else if (this.writer[number] !== -1) this.uncovered = "a value was written twice";
    else this.writer[number] = i;
  }

  #asCompareAndSet(i: number): void {
    const operation = this.operations[i]!;
    const [expected, next] = compareAndSetOf(operation);
    if (isRefusedCompare(operation)) {
      if (operation.output === undefined) {
        this.uncovered = "a compare-and-set was refused without saying what it saw";
        return;
      }
      this.#asRead(i, registerValue(operation.output));
      if (registerValue(operation.output) === expected)
        this.conflicts.push({ type: "refused-match", operation });
      return;
    }
    this.roles[i] = role.compareAndSet;
    this.from[i] = this.#numberOf(expected);
    this.#asWriter(i, next);
  }

  #asDelete(i: number): void {
    const operation = this.operations[i]!;
    this.hasDeletes = true;
    if (operation.outcome === "info") {
      this.roles[i] = role.optionalRemove;
      return;
    }
    const removed = removedBy(operation);
    if (removed === undefined) this.uncovered = "a delete did not say whether it removed anything";
    else if (removed > 0) this.roles[i] = role.remove;
    else this.#asRead(i, null);
  }

  /** Keeps an indeterminate writer only when its value was observed, which makes what it consumed observed, too. */
  #dropUnobserved(): void {
    const observed = new Uint8Array(this.values.length);
    const pending: number[] = [];
    const observe = (value: number) => {
      if (observed[value]) return;
      observed[value] = 1;
      pending.push(value);
    };
    for (let i = 0; i < this.roles.length; i++) {
      if (this.roles[i] === role.read) observe(this.value[i]!);
      if (this.roles[i] === role.compareAndSet && this.#isOk(i)) observe(this.from[i]!);
    }
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      const writer = this.writer[value]!;
      if (writer >= 0 && this.roles[writer] === role.compareAndSet) observe(this.from[writer]!);
    }
    for (let i = 0; i < this.roles.length; i++) {
      const writes = this.roles[i] === role.write || this.roles[i] === role.compareAndSet;
      if (writes && !this.#isOk(i) && !observed[this.value[i]!]) this.roles[i] = role.dropped;
    }
    if (this.initial !== nil && observed[nil]) this.hasDeletes = true;
    this.#reportPhantoms(observed);
  }

  #reportPhantoms(observed: Uint8Array): void {
    for (let value = 0; value < observed.length; value++) {
      if (!observed[value] || this.writer[value] !== -1 || (value === nil && this.hasDeletes)) continue;
      const reader = this.operations.find(
        (_, i) =>
          (this.roles[i] === role.read && this.value[i] === value) ||
          (this.roles[i] === role.compareAndSet && this.from[i] === value),
      )!;
      this.conflicts.push({ type: "phantom", operation: reader, value: this.values[value]! });
    }
  }

  #isOk(i: number): boolean {
    return this.operations[i]!.outcome === "ok";
  }

  #linkReaders(): void {
    for (let i = this.roles.length - 1; i >= 0; i--) {
      if (this.roles[i] !== role.read) continue;
      const value = this.value[i]!;
      this.nextReader[i] = this.firstReader[value]!;
      this.firstReader[value] = i;
    }
  }

  #linkConsumers(): void {
    for (let i = 0; i < this.roles.length; i++) {
      if (this.roles[i] !== role.compareAndSet) continue;
      const from = this.from[i]!;
      if (from === nil && this.hasDeletes) continue;
      const first = this.consumer[from]!;
      if (first === -1) this.consumer[from] = i;
      else {
        this.conflicts.push({
          type: "consumed-twice",
          value: this.values[from]!,
          writer: this.writerOf(from),
          first: this.operations[first]!,
          second: this.operations[i]!,
        });
      }
    }
  }

  #buildBlocks(): void {
    const visited = new Uint8Array(this.roles.length);
    if (this.initial !== nil || !this.hasDeletes) this.blocks.push(this.#walk(this.initial, false, visited));
    for (let i = 0; i < this.roles.length; i++) {
      const fromNil = this.roles[i] === role.compareAndSet && this.from[i] === nil && this.hasDeletes;
      if (this.roles[i] === role.write || fromNil) {
        this.blocks.push(this.#walk(this.value[i]!, fromNil, visited));
      }
    }
    this.#reportCycles(visited);
  }

  /** Compare-and-sets that no chain reaches consume each other's values, or follow a phantom (already reported). */
  #reportCycles(visited: Uint8Array): void {
    if (this.conflicts.length > 0) return;
    const operations = this.operations.filter((_, i) => this.roles[i] === role.compareAndSet && !visited[i]);
    if (operations.length > 0) this.conflicts.push({ type: "cycle", operations });
  }

  /**
   * Walks one block in the only order it can have. Each operation must return after everything that precedes it was
   * invoked: `latest` is the greatest such invocation.
   */
  #walk(first: number, needsNil: boolean, visited: Uint8Array): Block {
    const { operations } = this;
    let f = first === this.initial ? -1 : Number.POSITIVE_INFINITY;
    let fOperation: Operation | undefined;
    let latest = -1;
    let latestOperation: Operation | undefined;
    for (let value = first; ; ) {
      const w = this.writer[value]!;
      const writer = w >= 0 ? operations[w]! : undefined;
      if (writer) {
        visited[w] = 1;
        if (writer.bound < latest) this.#misordered(writer, latestOperation!);
        if (writer.bound < f) [f, fOperation] = [writer.bound, writer];
        if (writer.call > latest) [latest, latestOperation] = [writer.call, writer];
      }
      let latestReader = latestOperation;
      let latestRead = latest;
      for (let r = this.firstReader[value]!; r !== -1; r = this.nextReader[r]!) {
        const reader = operations[r]!;
        if (reader.bound < latest) this.#misordered(reader, latestOperation!);
        if (reader.bound < f) [f, fOperation] = [reader.bound, reader];
        if (reader.call > latestRead) [latestRead, latestReader] = [reader.call, reader];
      }
      [latest, latestOperation] = [latestRead, latestReader];
      const consumer = this.consumer[value]!;
      if (consumer === -1) break;
      value = this.value[consumer]!;
    }
    return { first, needsNil, f, s: latest, fOperation, sOperation: latestOperation };
  }

  /** `knew` ended before `later` was invoked, though `later` precedes it in their block. */
  #misordered(knew: Operation, later: Operation): void {
    const observes = later.f === "read" || isRefusedCompare(later);
    if (!observes) {
      this.conflicts.push({ type: "from-the-future", operation: knew, writer: later });
      return;
    }
    const newer = this.valueShownBy(knew);
    const newerWriter = this.writerOf(newer);
    this.conflicts.push({
      type: "order",
      knew,
      later,
      newerWriter,
      olderWriter: this.writerOf(this.valueObservedBy(later)),
      observers: () => [...(newerWriter ? [newerWriter] : []), ...this.readersOf(newer)],
    });
  }
}
