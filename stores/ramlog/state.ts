/**
 * Everything ramlog knows, in RAM: tables of slots, changed only by `apply`, which recovery and live transactions
 * share. Every slot carries the log index that wrote it.
 *
 * A change is a *result* (key and new value, or elements pushed at a stated length), never the command that produced
 * it, so that replaying it later means the same. A push that does not continue the list it names is refused: a change
 * applied twice or left out cannot pass unnoticed.
 *
 * Point in time: `freeze` starts an epoch. From then on the first change of a key leaves its old value behind for the
 * snapshot, which walks the tables in slices while changes go on (copy on write).
 *
 * Keys and byte values are *byte strings*: JavaScript strings whose every character is one byte (0-255).
 */

/** A list that only grows, at both ends; a copy of its two lengths is a copy of the list. */
export class List {
  private readonly head: string[];
  private readonly tail: string[];
  private headLength: number;
  private tailLength: number;

  constructor(head: string[] = [], tail: string[] = [], headLength = head.length, tailLength = tail.length) {
    this.head = head;
    this.tail = tail;
    this.headLength = headLength;
    this.tailLength = tailLength;
  }

  get length(): number {
    return this.headLength + this.tailLength;
  }

  pushRight(elements: readonly string[]): void {
    for (const element of elements) this.tail.push(element);
    this.tailLength = this.tail.length;
  }

  /** Like LPUSH: the last of `elements` becomes the first of the list. */
  pushLeft(elements: readonly string[]): void {
    for (const element of elements) this.head.push(element);
    this.headLength = this.head.length;
  }

  /** Elements `[from, to)`. */
  slice(from: number, to: number): string[] {
    if (this.headLength === 0)
      return this.tail.slice(Math.max(0, from), Math.max(0, Math.min(to, this.length)));
    const out: string[] = [];
    for (let at = Math.max(0, from); at < Math.min(to, this.length); at += 1) {
      out.push(
        at < this.headLength ? this.head[this.headLength - 1 - at]! : this.tail[at - this.headLength]!,
      );
    }
    return out;
  }

  /** This list as it is now; costs nothing, and must not be pushed to. */
  frozen(): List {
    return new List(this.head, this.tail, this.headLength, this.tailLength);
  }
}

/** A JSON object of the library face; never changed in place. */
export class Document {
  readonly json: unknown;
  constructor(json: unknown) {
    this.json = json;
  }
}

export type Value = string | List | Document;

/** One resulting change, as the log holds it. */
export type Change =
  | { readonly kind: "put"; readonly table: string; readonly key: string; readonly value: Value }
  | { readonly kind: "delete"; readonly table: string; readonly key: string }
  | {
      readonly kind: "push-right" | "push-left";
      readonly table: string;
      readonly key: string;
      /** The list's length before this push. */
      readonly at: number;
      readonly elements: readonly string[];
    }
  /** The whole table. */
  | { readonly kind: "clear"; readonly table: string };

/** A value and the log index that wrote it. */
export class Slot {
  value: Value;
  index: number;
  /** Place in the order of creation; what a SCAN cursor counts by. */
  readonly ordinal: number;

  constructor(value: Value, index: number, ordinal: number) {
    this.value = value;
    this.index = index;
    this.ordinal = ordinal;
  }
}

/** A change that does not fit the state it is applied to: the log is not the one that made this state. */
export class ChangeError extends Error {
  override readonly name = "ChangeError";
}

/** One JavaScript Map fails at 2^24 entries and stalls while it grows: beyond this many, the next Map takes over. */
const mapEntriesMax = 1 << 22;

/** What a key was when the epoch began. */
type Before = { readonly value: Value; readonly index: number } | undefined;

/** The slots of one table. */
export class Slots {
  private readonly maps: Map<string, Slot>[] = [new Map()];
  private nextOrdinal = 1;
  private preserved: Map<string, Before> | undefined;

  get size(): number {
    let size = 0;
    for (const map of this.maps) size += map.size;
    return size;
  }

  get(key: string): Slot | undefined {
    if (this.maps.length === 1) return this.maps[0]!.get(key);
    for (const map of this.maps) {
      const slot = map.get(key);
      if (slot) return slot;
    }
    return undefined;
  }

  put(key: string, value: Value, index: number): void {
    const slot = this.get(key);
    if (this.preserved) this.preserve(key, slot);
    if (slot) {
      slot.value = value;
      slot.index = index;
      return;
    }
    let last = this.maps[this.maps.length - 1]!;
    if (last.size >= mapEntriesMax) {
      last = new Map();
      this.maps.push(last);
    }
    last.set(key, new Slot(value, index, this.nextOrdinal));
    this.nextOrdinal += 1;
  }

  delete(key: string): boolean {
    if (this.preserved) this.preserve(key, this.get(key));
    return this.maps.some((map) => map.delete(key));
  }

  /** Keys and slots in order of creation; safe against changes made between two steps. */
  *entries(): IterableIterator<[string, Slot]> {
    for (const map of this.maps) yield* map;
  }

  /** Keeps what `key` holds now for the epoch's snapshot, unless that was done already. */
  preserve(key: string, slot: Slot | undefined): void {
    if (!this.preserved || this.preserved.has(key)) return;
    const value = slot?.value;
    this.preserved.set(
      key,
      slot && { value: value instanceof List ? value.frozen() : slot.value, index: slot.index },
    );
  }

  beginEpoch(): void {
    this.preserved = new Map();
  }

  endEpoch(): void {
    this.preserved = undefined;
  }

  /**
   * The table as it was at `beginEpoch`. A key may be yielded twice, then with the same value: a key that was changed
   * after it had been passed is among the preserved ones.
   */
  *asOfEpoch(): IterableIterator<[string, Value, number]> {
    const preserved = this.preserved ?? new Map<string, Before>();
    for (const [key, slot] of this.entries()) {
      if (preserved.has(key)) continue;
      yield [key, slot.value, slot.index];
    }
    for (const [key, before] of preserved) if (before) yield [key, before.value, before.index];
  }
}

/** A point in time of the whole state; `release` ends the epoch. */
export interface Frozen {
  /** The last log index in it. */
  readonly index: number;
  records(): IterableIterator<{ table: string; key: string; value: Value; index: number }>;
  release(): void;
}

/** Where recovery puts what it reads, in order. */
export interface ReplaySink {
  /** Forgets everything: recovery starts, or starts over from an older snapshot. */
  begin(): void;
  /** One record of a snapshot. */
  restore(table: string, key: string, value: Value, index: number): void;
  /** The snapshot is complete up to and including this log index. */
  restored(index: number): void;
  /** One log entry; throws `ChangeError` when it does not continue the state. */
  replay(index: number, changes: readonly Change[]): void;
}

export class State implements ReplaySink {
  /** The last log index applied. */
  index = 0;
  private readonly tables = new Map<string, Slots>();
  private frozen = false;

  begin(): void {
    this.tables.clear();
    this.index = 0;
  }

  table(name: string): Slots {
    let slots = this.tables.get(name);
    if (!slots) {
      slots = new Slots();
      this.tables.set(name, slots);
    }
    return slots;
  }

  /** Applies one change as part of the entry `index`. */
  apply(change: Change, index: number): void {
    if (change.kind === "clear") {
      this.tables.set(change.table, new Slots());
      return;
    }
    const slots = this.table(change.table);
    if (change.kind === "put") slots.put(change.key, change.value, index);
    else if (change.kind === "delete") this.applyDelete(slots, change.key);
    else this.applyPush(slots, change, index);
  }

  restore(table: string, key: string, value: Value, index: number): void {
    this.table(table).put(key, value, index);
  }

  restored(index: number): void {
    this.index = index;
  }

  replay(index: number, changes: readonly Change[]): void {
    if (index !== this.index + 1) {
      throw new ChangeError(`entry ${index} follows entry ${this.index}`);
    }
    for (const change of changes) this.apply(change, index);
    this.index = index;
  }

  /** Begins a point in time. Only one at a time: release the last one first. */
  freeze(): Frozen {
    if (this.frozen) throw new Error("a point in time of this state is already being read");
    this.frozen = true;
    const tables = [...this.tables];
    for (const [, slots] of tables) slots.beginEpoch();
    return {
      index: this.index,
      *records() {
        for (const [table, slots] of tables) {
          for (const [key, value, index] of slots.asOfEpoch()) yield { table, key, value, index };
        }
      },
      release: () => {
        for (const [, slots] of tables) slots.endEpoch();
        this.frozen = false;
      },
    };
  }

  private applyDelete(slots: Slots, key: string): void {
    if (!slots.delete(key)) throw new ChangeError("it deletes a key that is not there");
  }

  private applyPush(slots: Slots, change: Extract<Change, { at: number }>, index: number): void {
    const slot = slots.get(change.key);
    const value = slot?.value;
    const list = value instanceof List ? value : undefined;
    if ((slot && !list) || (list?.length ?? 0) !== change.at) {
      throw new ChangeError(`it pushes to a list at length ${change.at} that has ${list?.length ?? "none"}`);
    }
    if (slot && list) {
      slots.preserve(change.key, slot);
      pushTo(list, change);
      slot.index = index;
      return;
    }
    const created = new List();
    pushTo(created, change);
    slots.put(change.key, created, index);
  }
}

function pushTo(list: List, change: Extract<Change, { at: number }>): void {
  if (change.kind === "push-left") list.pushLeft(change.elements);
  else list.pushRight(change.elements);
}
