/**
 * The operations of one partition as a search sees them: in typed arrays, numbered, with the places of their calls and
 * returns in real time, and which of them are *twins*.
 *
 * Operations that have to be placed (`ok`) come first, in order of invocation; then the optional ones (`info`, which took
 * effect at some point up to their bound, or never), in order of invocation. `fail` operations are left out, and optional
 * ones that change no state: they tell nothing.
 *
 * Twins: let i and j be of one class, both `ok` or both `info`, j called no later than i and bounded no later than i. An
 * order with i before j stays one when the two are exchanged, and an order with i and without j when j takes its place:
 * they step alike, j was there when i was, and i may still come where j came. So i need not be tried before j is placed.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { StepTable, timeless } from "./step-table.ts";

/** The place of a return that never comes. */
export const never = 0x7fffffff;

export class Timeline<State> {
  readonly operations: readonly Operation[];
  /** How many have to be placed; those from here on are optional. */
  readonly mandatory: number;
  readonly table: StepTable<State>;
  readonly classOf: Int32Array;
  /** By operation: its call's place among all calls and returns. */
  readonly callAt: Int32Array;
  /** By operation: its return's place (of an optional one: its bound's), or `never`. */
  readonly returnAt: Int32Array;
  /** By operation: the twin that is placed before it, or -1. */
  readonly twin: Int32Array;
  /** All calls (operation i as i) and returns (as i + number of operations), in order of place. */
  readonly entries: Int32Array;

  constructor(model: Model<State>, operations: readonly Operation[]) {
    const byCall = (a: Operation, b: Operation) => a.call - b.call;
    const mandatory = operations.filter((operation) => operation.outcome === "ok").sort(byCall);
    const optional = operations.filter((operation) => isUsefulInfo(model, operation)).sort(byCall);
    this.operations = [...mandatory, ...optional];
    this.mandatory = mandatory.length;
    this.table = new StepTable(model, this.operations);
    this.classOf = this.table.classOf;
    const count = this.operations.length;
    this.callAt = new Int32Array(count);
    this.returnAt = new Int32Array(count).fill(never);
    this.entries = this.#entries();
    this.entries.forEach((entry, place) => {
      if (entry < count) this.callAt[entry] = place;
      else this.returnAt[entry - count] = place;
    });
    this.twin = this.#twins();
  }

  isReadOnly(operation: number): boolean {
    return this.table.readOnly[this.classOf[operation]!] === 1;
  }

  /** Calls before returns on equal ranks: intervals are closed. */
  #entries(): Int32Array {
    const count = this.operations.length;
    const ranks = new Float64Array(2 * count);
    this.operations.forEach((operation, i) => {
      ranks[i] = operation.call;
      ranks[count + i] = operation.bound;
    });
    const entries: number[] = [];
    for (let i = 0; i < 2 * count; i++) if (ranks[i] !== Number.POSITIVE_INFINITY) entries.push(i);
    const isReturn = (entry: number) => (entry < count ? 0 : 1);
    entries.sort((a, b) => ranks[a]! - ranks[b]! || isReturn(a) - isReturn(b));
    return Int32Array.from(entries);
  }

  #twins(): Int32Array {
    const twins = new Int32Array(this.operations.length).fill(-1);
    const latest = new Map<number, number>();
    for (let i = 0; i < twins.length; i++) {
      if (i === this.mandatory) latest.clear();
      const before = latest.get(this.classOf[i]!);
      if (before !== undefined && this.returnAt[before]! <= this.returnAt[i]!) twins[i] = before;
      // One whose return comes later than that of a newer one would be nobody's twin: the newer one takes its place.
      latest.set(this.classOf[i]!, i);
    }
    return twins;
  }
}

/** An operation of unknown outcome that reads only tells nothing. */
function isUsefulInfo<State>(model: Model<State>, operation: Operation): boolean {
  return operation.outcome === "info" && !model.readOnly(timeless(operation, model));
}
