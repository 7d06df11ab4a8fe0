/**
 * A sequential specification, as a record of pure functions: what a store would do if it served one operation at a
 * time. States are immutable values.
 *
 * What a model may look at: the search hands `step`, `readOnly` and `observes` an operation that says what was
 * asked and what came back (`f`, `key`, `input`, `outcome`, `output`, `matched`, `error`), and nothing about time. Its
 * `process` is there only when the model says `perProcess`. Everything else throws when it is read, so that
 * a model that would make the search unsound fails loudly. In return, each step is computed once.
 */
import type { Operation } from "../history/operation.ts";

export interface Model<State> {
  readonly name: string;
  /** Operations of different partitions never affect each other, and are checked apart. */
  partition(operation: Operation): string;
  init(): State;
  /**
   * The state after the operation, or `undefined` when it cannot have ended as it did in this state. An `info`
   * operation has no result: it takes effect as far as it can. Hence a law, on which the cutting of counterexamples
   * rests: where an `ok` operation is possible, the same one as `info` leads to the same state.
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

  /** `true`: steps depend on who asked (a lock). Default: they do not, and operations of all processes share them. */
  readonly perProcess?: boolean;
  /**
   * For models whose operations compare or overwrite: the states that this operation can tell from all others. Any two
   * states it does not name must behave alike: both impossible, both left as they are, or both turned into one and the
   * same state. The search then treats states as one that no remaining operation names. `undefined` for an operation that may
   * tell any two states apart (an increment): where there is one, no states are one. Absent: they never are.
   */
  observes?(operation: Operation): readonly State[] | undefined;
  /**
   * Groups of operations that can be left out of a history as a whole, so that what was linearizable remains so (a queue:
   * everything about one element); `undefined` for an operation that is never left out. Only counterexamples use it.
   */
  separable?(operation: Operation): string | undefined;
  /**
   * True only for operations that are possible in every state and lead to one and the same (a blind write). What was over before
   * such an operation was sent cannot matter after it. Only counterexamples use it.
   */
  overwrites?(operation: Operation): boolean;
  /** A state in a few words, for sentences. */
  show?(state: State): string;
  /** What the operation would have returned in this state, in a few words; `undefined` when nothing can be said. */
  expected?(state: State, operation: Operation): string | undefined;
}

/** FNV-1a over the code units of a string, as a 32-bit integer. */
export function hashString(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}
