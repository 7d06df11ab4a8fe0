/**
 * What the threads of an exploration tell each other while they work, in shared memory, because a thread that recovers
 * one state after the other reads no messages: whether to stop, how many states were recovered in all, and what each
 * worker is at, so that a recovery that never ends is noticed from outside and can be named.
 */

/** Cells before those of the workers. */
const stopCell = 0;
const recoveredCell = 1;
const findingsCell = 2;
const commonCells = 3;
/** Cells of one worker: a count that is odd while it recovers, and the event at which. */
const countCell = 0;
const eventCell = 1;
const workerCells = 2;

/** See `hungFor`. */
const callGapMs = 500;

export class SharedState {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array;
  readonly #watched: { count: number; ms: number; at: number }[];

  /** @param of the number of workers, or the memory of another thread's. */
  constructor(of: number | SharedArrayBuffer) {
    this.memory = typeof of === "number" ? new SharedArrayBuffer(4 * (commonCells + of * workerCells)) : of;
    this.#cells = new Int32Array(this.memory);
    const workers = (this.#cells.length - commonCells) / workerCells;
    this.#watched = Array.from({ length: workers }, () => ({ count: 0, ms: 0, at: performance.now() }));
  }

  stop(): void {
    Atomics.store(this.#cells, stopCell, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#cells, stopCell) === 1;
  }

  /** Different states recovered by all workers. */
  get recovered(): number {
    return Atomics.load(this.#cells, recoveredCell);
  }

  countRecovered(): number {
    return Atomics.add(this.#cells, recoveredCell, 1) + 1;
  }

  get findings(): number {
    return Atomics.load(this.#cells, findingsCell);
  }

  countFinding(): void {
    Atomics.add(this.#cells, findingsCell, 1);
  }

  /** A worker begins to recover a state that power loss after this event may leave. */
  begins(worker: number, event: number): void {
    const at = commonCells + worker * workerCells;
    Atomics.store(this.#cells, at + eventCell, event);
    Atomics.add(this.#cells, at + countCell, 1);
  }

  ends(worker: number): void {
    Atomics.add(this.#cells, commonCells + worker * workerCells + countCell, 1);
  }

  /**
   * How long (ms) this worker has been in one recovery, as seen by repeated calls; undefined when it is in none. Of the
   * time between two calls at most `callGapMs` counts: who was kept from calling, the worker may have been, too.
   */
  hungFor(worker: number): { readonly ms: number; readonly event: number } | undefined {
    const at = commonCells + worker * workerCells;
    const count = Atomics.load(this.#cells, at + countCell);
    const watched = this.#watched[worker]!;
    const now = performance.now();
    if (count !== watched.count) {
      watched.count = count;
      watched.ms = 0;
    } else watched.ms += Math.min(now - watched.at, callGapMs);
    watched.at = now;
    if (count % 2 === 0) return undefined;
    return { ms: watched.ms, event: Atomics.load(this.#cells, at + eventCell) };
  }
}
