/**
 * What the two plans of faults, of one node (schedule.ts) and of a cluster (clusters/storm.ts), deal alike: parameters drawn
 * from fast-check arbitraries, and faults from shuffled rounds, so that each chosen one comes early and about equally often.
 *
 * Pure: the same seed, salt and order of asking give the same draws.
 */
import fc from "fast-check";

/** Draws one value after the other. `salt` keeps the draws of several dealers of one seed apart. */
export class Draws {
  #count = 0;
  readonly #seed: number;
  readonly #salt: number;

  constructor(seed: number, salt: number) {
    this.#seed = seed;
    this.#salt = salt;
  }

  one<T>(arbitrary: fc.Arbitrary<T>): T {
    const seed = (Math.imul(this.#seed ^ (this.#salt << 24), 2654435761) + this.#count++) | 0;
    return fc.sample(arbitrary, { seed, numRuns: 1 })[0]!;
  }
}

/** Deals from a deck that is shuffled anew whenever it has been used up. */
export class ShuffledRounds<T> {
  #left: T[] = [];
  readonly #all: readonly T[];
  readonly #draws: Draws;

  constructor(all: readonly T[], draws: Draws) {
    this.#all = all;
    this.#draws = draws;
  }

  /** `undefined` only from an empty deck. */
  next(): T | undefined {
    if (this.#all.length === 0) return undefined;
    if (this.#left.length === 0) {
      this.#left = this.#draws.one(fc.shuffledSubarray([...this.#all], { minLength: this.#all.length }));
    }
    return this.#left.pop();
  }
}
