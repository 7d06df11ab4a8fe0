/**
 * The one monotonic clock of a run: every event, fault and measurement is in ns since its start. It is
 * CLOCK_MONOTONIC, the clock the interposer stamps its rules with, so both can be compared.
 */
export class RunClock {
  readonly #startNs: bigint = process.hrtime.bigint();

  /** ns since the run's start. */
  now(): number {
    return Number(process.hrtime.bigint() - this.#startNs);
  }

  /** Its time 0 as a reading of CLOCK_MONOTONIC, ns. */
  startNs(): number {
    return Number(this.#startNs);
  }

  /** Converts a CLOCK_MONOTONIC reading in ns (as a double, exact for 104 days of uptime) to ns since the start. */
  fromMonotonic(monotonicNs: number): number {
    return monotonicNs - Number(this.#startNs);
  }
}
