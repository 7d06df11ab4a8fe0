/**
 * A sequential specification, as a record of pure functions: what a store would do if it served one operation at a
 * time. States are immutable values.
 */
import type { Operation } from "../history/operation.ts";

export interface Model<State> {
  readonly name: string;
  /** Operations of different partitions never affect each other, and are checked apart. */
  partition(operation: Operation): string;
  init(): State;
  /**
   * The state after the operation, or `undefined` when it cannot have ended as it did in this state. An `info`
   * operation has no result: it takes effect as far as it can.
   */
  step(state: State, operation: Operation): State | undefined;
  /** True only for operations that change no state whatsoever ("unchanged just now" is not enough). */
  readOnly(operation: Operation): boolean;
  equal(a: State, b: State): boolean;
  /** A 32-bit integer; equal states have equal hashes. */
  hash(state: State): number;
  /** Why this model cannot judge the operation; `undefined` when it can. */
  refuses(operation: Operation): string | undefined;
  describe(operation: Operation): string;
}

/** FNV-1a over the code units of a string, as a 32-bit integer. */
export function hashString(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}
