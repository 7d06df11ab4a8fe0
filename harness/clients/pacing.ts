/**
 * When a client sends: at most so many operations a second over all clients, evenly, with seeded jitter so that clients
 * do not march in step. After a stall it goes on from now and does not catch up: a chaos run is a closed loop, and what
 * it reports is therefore *service time*. For response time under an offered load, see open-loop.ts.
 */
export class ClosedLoopPacer {
  readonly #intervalMs: number;
  #next = 0;
  #state: number;

  /** `operationsPerSecond`: this client's share. */
  constructor(operationsPerSecond: number, seed: number) {
    this.#intervalMs = 1000 / operationsPerSecond;
    this.#state = seed >>> 0 || 1;
  }

  /** How long to wait, in ms, before the next send; 0 when it is due. `nowMs` is any monotonic clock. */
  delayMs(nowMs: number): number {
    const due = Math.max(this.#next, nowMs - this.#intervalMs);
    this.#next = due + this.#intervalMs * (0.5 + this.#random());
    return Math.max(0, due - nowMs);
  }

  /** xorshift32 (Marsaglia 2003), in [0, 1). */
  #random(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state / 2 ** 32;
  }
}
