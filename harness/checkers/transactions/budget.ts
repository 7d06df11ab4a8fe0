/** The time that one check may take, asked for inside its loops; beyond it the check ends with how far it got. */

/** Ends a check from inside its loops. It never leaves the checker: `checkTransactions` turns it into `unknown`. */
export class OutOfTime extends Error {
  override readonly name = "OutOfTime";
}

export class Budget {
  readonly #endsAt: number;

  /** @param endsAt the `performance.now()` at which it is used up. */
  constructor(endsAt: number) {
    this.#endsAt = endsAt;
  }

  /** Cheap enough for every step: the clock is read once in 4096. @throws OutOfTime */
  spend(doing: string, done: number, of: number): void {
    if ((done & 4095) !== 0 || performance.now() < this.#endsAt) return;
    throw new OutOfTime(`the time was up while ${doing}: ${done} of ${of} done`);
  }

  isUsedUp(): boolean {
    return performance.now() >= this.#endsAt;
  }
}
