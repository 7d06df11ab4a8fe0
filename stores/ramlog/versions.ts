/**
 * The last durable version of everything, for reads outside transactions. State in RAM runs ahead of the log by the
 * commits in flight; for each key they touch, this keeps what was there before, per entry, and forgets it when the
 * entry has been released.
 */
import type { Engine } from "./engine.ts";
import type { Change, Value } from "./state.ts";

interface Overwritten {
  /** The entry that replaced it. */
  readonly index: number;
  /** `undefined`: there was nothing. */
  readonly before: Value | undefined;
}

export class DurableView {
  private readonly engine: Engine;
  /** By table, then key; oldest first. */
  private readonly pending = new Map<string, Map<string, Overwritten[]>>();

  constructor(engine: Engine) {
    this.engine = engine;
    engine.onChange = (change, before, index) => this.note(change, before?.value, index);
  }

  get(table: string, key: string): Value | undefined {
    const overwritten = this.pending
      .get(table)
      ?.get(key)
      ?.find((one) => one.index > this.engine.released);
    return overwritten ? overwritten.before : this.engine.table(table).get(key)?.value;
  }

  size(table: string): number {
    const slots = this.engine.table(table);
    let { size } = slots;
    for (const key of this.pending.get(table)?.keys() ?? []) {
      size += Number(this.get(table, key) !== undefined) - Number(slots.get(key) !== undefined);
    }
    return size;
  }

  *entries(table: string): IterableIterator<[string, Value]> {
    const slots = this.engine.table(table);
    for (const [key] of slots.entries()) {
      const value = this.get(table, key);
      if (value !== undefined) yield [key, value];
    }
    for (const key of this.pending.get(table)?.keys() ?? []) {
      if (slots.get(key)) continue;
      const value = this.get(table, key);
      if (value !== undefined) yield [key, value];
    }
  }

  /** What entries up to `released` replaced is gone for good. */
  forget(released: number): void {
    for (const keys of this.pending.values()) {
      for (const [key, overwritten] of keys) {
        if (overwritten.at(-1)!.index <= released) keys.delete(key);
      }
    }
  }

  private note(change: Change, before: Value | undefined, index: number): void {
    if (change.kind === "clear") return;
    const keys = this.pending.get(change.table) ?? new Map<string, Overwritten[]>();
    const overwritten = keys.get(change.key) ?? [];
    overwritten.push({ index, before });
    keys.set(change.key, overwritten);
    this.pending.set(change.table, keys);
  }
}
