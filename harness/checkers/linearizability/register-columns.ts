/**
 * Operations of a register or of one key, as columns (history/columns.ts): values numbered, each row's role decided.
 *
 * The rule by which a key goes to search instead (`uncovered`): the exact method needs every observation to name one write.
 * So these leave it, each with its reason:
 *  - a value written twice, or nil written;
 *  - a refused compare-and-set that does not say what it saw (a negative observation: "another value"). SETNX and EXISTS are
 *    such ones, too, unless a workload records them as a compare-and-set from nil, or a read, with the value seen;
 *  - a delete that does not say whether it removed anything;
 *  - increments, where increments.ts cannot name the number each of them found.
 * A delete that counts what it removed does not leave it: "something was there" is one bit of state, for which deletes.ts
 * has an exact schedule.
 */
import {
  emptyColumns,
  indeterminate,
  type KeyColumns,
  nil,
  rankIntervals,
  role,
} from "../../history/columns.ts";
import type { Operation } from "../../history/operation.ts";
import {
  compareAndSetOf,
  isRefusedCompare,
  type RegisterState,
  registerValue,
  removedBy,
} from "../../models/register.ts";
import type { RowConflict } from "./conflict.ts";
import { nameIncrements } from "./increments.ts";

/** A key's columns, and what leads back from numbers to texts. */
export interface RegisterColumns {
  readonly columns: KeyColumns;
  /** Number of the value at the beginning. */
  readonly initial: number;
  /** By value number; number 0 is nil. */
  readonly texts: readonly RegisterState[];
  /** What a single row, or the increments, already contradict. */
  readonly conflicts: readonly RowConflict[];
  /** Why the exact method does not cover this key. */
  readonly uncovered: string | undefined;
}

/**
 * @param operations of one key, in order of invocation; the model must not refuse any of them.
 * @param initial the value at the beginning; null for none.
 */
export function registerColumns(operations: readonly Operation[], initial: RegisterState): RegisterColumns {
  return new RegisterRows(operations, initial).finished();
}

/** Rows while they are being filled in. */
export class RegisterRows {
  readonly operations: readonly Operation[];
  readonly columns: ReturnType<typeof emptyColumns>;
  readonly texts: RegisterState[] = [null];
  readonly conflicts: RowConflict[] = [];
  readonly initial: number;
  /** Rows with increments whose role is open, in order of invocation. */
  readonly increments: number[] = [];
  /** There are writes, compare-and-sets or deletes. */
  hasOtherChanges = false;
  uncovered: string | undefined;
  readonly #numbers = new Map<string, number>();
  readonly #ranks: number;

  constructor(operations: readonly Operation[], initial: RegisterState) {
    this.operations = operations;
    this.columns = emptyColumns(operations.length);
    this.initial = this.numberOf(initial);
    this.#ranks = rankIntervals(operations, this.columns);
    for (let row = 0; row < operations.length && !this.uncovered; row++) this.#fill(row, operations[row]!);
    if (this.increments.length > 0 && !this.uncovered) nameIncrements(this);
  }

  finished(): RegisterColumns {
    const { columns, initial, texts, conflicts, uncovered } = this;
    return {
      columns: { ...columns, values: texts.length, ranks: this.#ranks },
      initial,
      texts,
      conflicts,
      uncovered,
    };
  }

  numberOf(value: RegisterState): number {
    if (value === null) return nil;
    const known = this.#numbers.get(value);
    if (known !== undefined) return known;
    const number = this.texts.length;
    this.#numbers.set(value, number);
    this.texts.push(value);
    return number;
  }

  /** Whether a value occurs in the rows so far, or is the initial one. */
  isNumbered(value: string): boolean {
    return this.#numbers.has(value);
  }

  asCompareAndSet(row: number, from: RegisterState, to: RegisterState, certain: boolean): void {
    this.columns.from[row] = this.numberOf(from);
    this.columns.value[row] = this.numberOf(to);
    this.columns.role[row] = role.compareAndSet | (certain ? 0 : indeterminate);
  }

  #fill(row: number, operation: Operation): void {
    if (operation.outcome === "fail") return;
    const certain = operation.outcome === "ok";
    switch (operation.f) {
      case "read":
        if (certain) this.#asRead(row, registerValue(operation.output));
        break;
      case "write":
        this.hasOtherChanges = true;
        this.columns.role[row] = role.write | (certain ? 0 : indeterminate);
        this.columns.value[row] = this.numberOf(registerValue(operation.input));
        break;
      case "cas":
        this.#fillCompareAndSet(row, operation, certain);
        break;
      case "increment":
        this.increments.push(row);
        break;
      default:
        this.#fillDelete(row, operation, certain);
    }
  }

  #asRead(row: number, value: RegisterState): void {
    this.columns.role[row] = role.read;
    this.columns.value[row] = this.numberOf(value);
  }

  #fillCompareAndSet(row: number, operation: Operation, certain: boolean): void {
    const [expected, next] = compareAndSetOf(operation);
    if (!isRefusedCompare(operation)) {
      this.hasOtherChanges = true;
      this.asCompareAndSet(row, expected, next, certain);
      return;
    }
    if (operation.output === undefined) {
      this.uncovered = "a compare-and-set was refused without saying what it saw";
      return;
    }
    const seen = registerValue(operation.output);
    this.#asRead(row, seen);
    if (seen === expected) this.conflicts.push({ type: "refused-match", operation: row });
  }

  #fillDelete(row: number, operation: Operation, certain: boolean): void {
    this.hasOtherChanges = true;
    if (!certain) {
      this.columns.role[row] = role.remove | indeterminate;
      return;
    }
    const removed = removedBy(operation);
    if (removed === undefined) this.uncovered = "a delete did not say whether it removed anything";
    else if (removed > 0) this.columns.role[row] = role.remove;
    else this.#asRead(row, null);
  }
}
