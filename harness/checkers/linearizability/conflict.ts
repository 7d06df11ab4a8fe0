/** What contradicts linearizability on one key, found by an exact check, before it is put into words (explain.ts). */
import type { Operation } from "../../history/operation.ts";

export type Conflict =
  /** A value was observed that nobody wrote. */
  | { readonly type: "phantom"; readonly operation: Operation; readonly value: string | null }
  /** Two compare-and-sets succeeded from the same value. */
  | {
      readonly type: "consumed-twice";
      readonly value: string | null;
      readonly writer: Operation | undefined;
      readonly first: Operation;
      readonly second: Operation;
    }
  /** A compare-and-set was refused although it saw the value it expected. */
  | { readonly type: "refused-match"; readonly operation: Operation }
  /** `operation` ended before the write it depends on was sent. */
  | { readonly type: "from-the-future"; readonly operation: Operation; readonly writer: Operation }
  /** Compare-and-sets that consumed each other's values in a circle. */
  | { readonly type: "cycle"; readonly operations: readonly Operation[] }
  | OrderConflict
  /** No pair of values explains it: `operation` ended in a way that no order of what came before allows. */
  | { readonly type: "stuck"; readonly operation: Operation; readonly operations: readonly Operation[] };

/** `knew` shows that a newer value was there, and ended before `later` was sent, which saw an older one (or nil). */
export interface OrderConflict {
  readonly type: "order";
  readonly knew: Operation;
  readonly later: Operation;
  /** Who wrote the newer value (or deleted the older one). */
  readonly newerWriter: Operation | undefined;
  /** Who wrote the value that `later` saw; undefined for the initial value and for nil. */
  readonly olderWriter: Operation | undefined;
  /** Why the older value is older: `before` ended before `between` was sent. */
  readonly before?: Operation;
  readonly between?: Operation;
  /** Everything that observed the newer value, its writer included. */
  readonly observers: () => readonly Operation[];
}
