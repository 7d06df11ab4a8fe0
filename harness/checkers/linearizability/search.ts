/**
 * Linearizability by search, for any model: Wing & Gong (1993) with the memo of Lowe (2017). It judges what the exact
 * linear-time methods do not cover, and cross-checks them in their tests. Exponential in the worst case, so its memory is
 * bounded and it is advanced in slices of time: many keys take turns, and whoever runs out of time says "unknown".
 *
 * An `info` operation is optional: it takes effect at some point up to its `bound`, or never. `fail` operations are left
 * out. What makes it fast, all of it exact:
 *  - operations that are read-only in every state are placed as soon as they are legal, and never branched on;
 *  - an optional operation is never placed where it would change nothing;
 *  - a configuration (set of placed operations, state) is expanded once (configurations.ts).
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { Configurations } from "./configurations.ts";

/** `"more"`: the slice of time is over. */
export type SearchProgress = true | false | "more";

interface Move<State> {
  readonly operation: number;
  /** The state before. */
  readonly state: State;
  /** `forced`: nothing else was possible, so undoing it undoes the move before, too. */
  readonly forced: boolean;
  /** The optional operation was given up, as its bound has come. */
  readonly dropped: boolean;
}

/** One search over the operations of one partition. */
export class Search<State> {
  readonly #model: Model<State>;
  readonly #operations: readonly Operation[];
  /** Entry 2i is the call of operation i, 2i+1 its return (absent when the bound is Infinity); the last is the head. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #head: number;
  readonly #configurations: Configurations<State>;
  readonly #moves: Move<State>[] = [];
  #state: State;
  #left = 0;
  #cursor: number;

  /** @param operations of one partition, in any order; the model must not refuse any of them. */
  constructor(model: Model<State>, operations: readonly Operation[], memoryBytes?: number) {
    this.#model = model;
    this.#operations = operations
      .filter((operation) => operation.outcome === "ok" || isUsefulInfo(model, operation))
      .sort((a, b) => a.call - b.call);
    const count = this.#operations.length;
    this.#head = 2 * count;
    this.#next = new Int32Array(2 * count + 1).fill(-1);
    this.#previous = new Int32Array(2 * count + 1).fill(-1);
    this.#configurations = new Configurations(count, model.equal, model.hash, memoryBytes);
    this.#state = model.init();
    this.#left = this.#operations.filter((operation) => operation.outcome === "ok").length;
    this.#link();
    this.#cursor = this.#firstChoice();
  }

  /** Goes on until there is a verdict, or `performance.now()` reaches `untilMs`. */
  advance(untilMs: number): SearchProgress {
    for (let turn = 1; this.#left > 0; turn++) {
      if (turn % 256 === 0 && performance.now() >= untilMs) return "more";
      if (this.#cursor === -1 || !this.#tryEntry()) {
        if (!this.#backtrack()) return false;
      }
    }
    return true;
  }

  /** After `true`: an order of the operations that explains the history. */
  witness(): Operation[] {
    return this.#moves.filter((move) => !move.dropped).map((move) => this.#operations[move.operation]!);
  }

  #link(): void {
    const entries: { rank: number; entry: number }[] = [];
    this.#operations.forEach((operation, i) => {
      entries.push({ rank: operation.call, entry: 2 * i });
      if (operation.bound !== Number.POSITIVE_INFINITY) {
        entries.push({ rank: operation.bound, entry: 2 * i + 1 });
      }
    });
    entries.sort((a, b) => a.rank - b.rank || (a.entry & 1) - (b.entry & 1));
    let last = this.#head;
    for (const { entry } of entries) {
      this.#next[last] = entry;
      this.#previous[entry] = last;
      last = entry;
    }
  }

  /** Looks at the entry under the cursor; false when this configuration has no further choice. */
  #tryEntry(): boolean {
    const entry = this.#cursor;
    const i = entry >> 1;
    const operation = this.#operations[i]!;
    const optional = operation.outcome !== "ok";
    if (entry & 1) {
      if (!optional) return false;
      return this.#drop(i);
    }
    const after = this.#model.step(this.#state, operation);
    const useless = optional && after !== undefined && this.#model.equal(after, this.#state);
    if (after === undefined || useless) {
      this.#cursor = this.#next[entry]!;
      return true;
    }
    const forced = this.#model.readOnly(operation);
    this.#configurations.place(i);
    if (!forced && this.#configurations.seen(after)) {
      this.#configurations.takeBack(i);
      this.#cursor = this.#next[entry]!;
      return true;
    }
    this.#moves.push({ operation: i, state: this.#state, forced, dropped: false });
    this.#lift(i);
    this.#state = after;
    if (!optional) this.#left--;
    this.#cursor = this.#firstChoice();
    return true;
  }

  /** In a new configuration: a read-only operation that is legal now, or else whatever was called first. */
  #firstChoice(): number {
    const first = this.#next[this.#head]!;
    for (let entry = first; entry !== -1 && (entry & 1) === 0; entry = this.#next[entry]!) {
      const operation = this.#operations[entry >> 1]!;
      if (this.#model.readOnly(operation) && this.#model.step(this.#state, operation) !== undefined)
        return entry;
    }
    return first;
  }

  /** Passes the bound of an optional operation that was not placed: from here on it never is. */
  #drop(i: number): boolean {
    const after = this.#next[2 * i + 1]!;
    this.#configurations.place(i);
    if (this.#configurations.seen(this.#state)) {
      this.#configurations.takeBack(i);
      return false;
    }
    this.#moves.push({ operation: i, state: this.#state, forced: true, dropped: true });
    this.#lift(i);
    this.#cursor = after;
    return true;
  }

  /** Undoes the last choice and turns to the one after it; false when none is left. */
  #backtrack(): boolean {
    for (let move = this.#moves.pop(); move; move = this.#moves.pop()) {
      const i = move.operation;
      this.#unlift(i);
      this.#configurations.takeBack(i);
      this.#state = move.state;
      if (!move.dropped && this.#operations[i]!.outcome === "ok") this.#left++;
      if (!move.forced) {
        this.#cursor = this.#next[2 * i]!;
        return true;
      }
    }
    return false;
  }

  #lift(i: number): void {
    this.#unlink(2 * i);
    if (this.#operations[i]!.bound !== Number.POSITIVE_INFINITY) this.#unlink(2 * i + 1);
  }

  #unlift(i: number): void {
    if (this.#operations[i]!.bound !== Number.POSITIVE_INFINITY) this.#relink(2 * i + 1);
    this.#relink(2 * i);
  }

  #unlink(entry: number): void {
    const [before, after] = [this.#previous[entry]!, this.#next[entry]!];
    this.#next[before] = after;
    if (after !== -1) this.#previous[after] = before;
  }

  #relink(entry: number): void {
    const [before, after] = [this.#previous[entry]!, this.#next[entry]!];
    this.#next[before] = entry;
    if (after !== -1) this.#previous[after] = entry;
  }
}

/** An operation of unknown outcome that reads only tells nothing. */
function isUsefulInfo<State>(model: Model<State>, operation: Operation): boolean {
  return operation.outcome === "info" && !model.readOnly(operation);
}
