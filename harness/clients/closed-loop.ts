/**
 * Closed-loop pacing: every connection sends its next request when the last one has ended. It finds the throughput that
 * n clients get, and the service time they see.
 *
 * It does not measure response time under a given load: a store that stalls is sent nothing meanwhile, so the
 * requests that would have waited are missing (coordinated omission). `open-loop.ts` is for that.
 */
import type { MeasuredDone } from "../../stores/contract.ts";
import type { Clock } from "../measure/clock.ts";

export interface ClosedLoopOptions<Connection> {
  readonly connections: readonly Connection[];
  /** Sends one request; calls `done` exactly once. */
  readonly send: (connection: Connection, done: MeasuredDone) => void;
  readonly clock: Clock;
  /** Runs before anything is counted. */
  readonly warmupNs: number;
  readonly measureNs: number;
  /** Nothing completed for this long: the run is given up. */
  readonly stallNs: number;
  /** ns from send to completion, of every request that was completed after the warm-up, the stragglers included. */
  readonly onServiceTime: (ns: number) => void;
}

export interface ClosedLoopResult {
  /** Completions between the end of the warm-up and the end of the measurement. */
  readonly completed: number;
  /** The length of that time, ns. */
  readonly elapsedNs: number;
  /** Requests of the whole run, warm-up and stragglers included: what the log's own counters saw. */
  readonly total: number;
}

/**
 * Drives the connections until the time is over and everything in flight has ended.
 *
 * Rejects with the first error of a request, or when nothing was completed for `stallNs`.
 */
export function runClosedLoop<Connection>(options: ClosedLoopOptions<Connection>): Promise<ClosedLoopResult> {
  const { connections, send, clock, onServiceTime, stallNs } = options;
  return new Promise((resolve, reject) => {
    const from = clock.now() + options.warmupNs;
    const until = from + options.measureNs;
    let active = connections.length;
    let completed = 0;
    let total = 0;
    let lastProgress = clock.now();
    let settled = false;
    let cancelWatch = (): void => {};

    const settle = (error?: Error): void => {
      if (settled) return;
      settled = true;
      cancelWatch();
      if (error) reject(error);
      else resolve({ completed, elapsedNs: options.measureNs, total });
    };
    const drive = (connection: Connection): void => {
      const sentAt = clock.now();
      send(connection, (error) => {
        if (settled) return;
        if (error) return settle(error);
        const now = clock.now();
        lastProgress = now;
        total++;
        if (now >= from) {
          onServiceTime(now - sentAt);
          if (now <= until) completed++;
        }
        if (now < until) drive(connection);
        else if (--active === 0) settle();
      });
    };
    const watch = (): void => {
      const now = clock.now();
      if (now - lastProgress < stallNs) cancelWatch = clock.at(lastProgress + stallNs, watch);
      else settle(new Error(`nothing was answered for ${(stallNs / 1e9).toFixed(0)} s`));
    };
    if (active === 0) return settle(new Error("a closed loop needs at least one connection"));
    cancelWatch = clock.at(lastProgress + stallNs, watch);
    for (const connection of connections) drive(connection);
  });
}
