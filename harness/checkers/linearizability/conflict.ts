/**
 * What contradicts linearizability on one key, found by an exact check, before it is put into words (explain.ts). The
 * checks over columns name rows and value numbers (`RowConflict`); `resolved` gives them back their operations.
 */
import type { Operation } from "../../history/operation.ts";

/** A contradiction between rows, `Row` being a row number or the operation in it; `Value` a value's number or its text. */
export type ConflictOf<Row, Value> =
  /** A value was observed that nobody wrote. */
  | { readonly type: "phantom"; readonly operation: Row; readonly value: Value }
  /** Two compare-and-sets (or increments) succeeded from the same value. */
  | {
      readonly type: "consumed-twice";
      readonly value: Value;
      readonly writer: Row | undefined;
      readonly first: Row;
      readonly second: Row;
    }
  /** A compare-and-set was refused although it saw the value it expected. */
  | { readonly type: "refused-match"; readonly operation: Row }
  /** `operation` ended before the write it depends on was sent. */
  | { readonly type: "from-the-future"; readonly operation: Row; readonly writer: Row }
  /** Compare-and-sets that consumed each other's values in a circle. */
  | { readonly type: "cycle"; readonly operations: readonly Row[] }
  /** `operation` saw a counter at a number that the increments sent cannot have made of it. */
  | {
      readonly type: "overcounted";
      readonly operation: Row;
      /** The number it saw. */
      readonly reached: number;
      /** The first number on the way that no increment can have made. */
      readonly missing: number;
      /** The number before the first increment. */
      readonly base: number;
      /** How many increments could have taken effect. */
      readonly sent: number;
    }
  | OrderConflictOf<Row>;

/** `knew` shows that a newer value was there, and ended before `later` was sent, which saw an older one (or nil). */
export interface OrderConflictOf<Row> {
  readonly type: "order";
  readonly knew: Row;
  readonly later: Row;
  /** Who wrote the newer value (or deleted the older one). */
  readonly newerWriter: Row | undefined;
  /** Who wrote the value that `later` saw; undefined for the initial value and for nil. */
  readonly olderWriter: Row | undefined;
  /** Why the older value is older: `before` ended before `between` was sent. */
  readonly before?: Row;
  readonly between?: Row;
  /** Everything that observed the newer value, its writer included. */
  readonly observers: () => readonly Row[];
}

export type RowConflict = ConflictOf<number, number>;

export type OrderConflict = OrderConflictOf<Operation>;

export type Conflict =
  | ConflictOf<Operation, string | null>
  /** No pair of values explains it: `operation` ended in a way that no order of what came before allows. */
  | { readonly type: "stuck"; readonly operation: Operation; readonly operations: readonly Operation[] };

/**
 * The conflict with operations and values in the place of their numbers.
 *
 * @param operations by row. @param texts by value number.
 */
export function resolved(
  conflict: RowConflict,
  operations: readonly Operation[],
  texts: readonly (string | null)[],
): Conflict {
  const at = (row: number): Operation => operations[row]!;
  const maybeAt = (row: number | undefined) => (row === undefined ? undefined : at(row));
  switch (conflict.type) {
    case "phantom":
      return { type: "phantom", operation: at(conflict.operation), value: texts[conflict.value] ?? null };
    case "consumed-twice":
      return {
        type: "consumed-twice",
        value: texts[conflict.value] ?? null,
        writer: maybeAt(conflict.writer),
        first: at(conflict.first),
        second: at(conflict.second),
      };
    case "refused-match":
      return { type: "refused-match", operation: at(conflict.operation) };
    case "from-the-future":
      return {
        type: "from-the-future",
        operation: at(conflict.operation),
        writer: at(conflict.writer),
      };
    case "cycle":
      return { type: "cycle", operations: conflict.operations.map(at) };
    case "overcounted":
      return { ...conflict, operation: at(conflict.operation) };
    case "order":
      return {
        type: "order",
        knew: at(conflict.knew),
        later: at(conflict.later),
        newerWriter: maybeAt(conflict.newerWriter),
        olderWriter: maybeAt(conflict.olderWriter),
        ...(conflict.before === undefined ? {} : { before: at(conflict.before) }),
        ...(conflict.between === undefined ? {} : { between: at(conflict.between) }),
        observers: () => conflict.observers().map(at),
      };
  }
}
