/**
 * Open-loop pacing: requests are due at times that do not depend on the store, as users' requests are. A request that is
 * due while every connection is busy waits in a queue, and its response time counts from when it was due. So a stall
 * of the store shows in the response times of everything that had to wait for it (no coordinated omission), while the
 * service time, counted from the send, shows only the few requests that were in flight.
 *
 * What it does not do: correct for a generator that is itself late. That lateness is inside the response time, and is
 * reported beside it through `onLag`.
 */
import type { MeasuredDone } from "../../stores/contract.ts";
import type { Clock } from "../measure/clock.ts";

export interface OpenLoopOptions<Connection> {
  readonly connections: readonly Connection[];
  /** Sends one request; calls `done` exactly once. */
  readonly send: (connection: Connection, done: MeasuredDone) => void;
  readonly clock: Clock;
  /** Increasing offsets in ns from the start, at least as far as warm-up and measurement reach. */
  readonly arrivals: Iterator<number>;
  /** Requests due in this time are sent and not counted. */
  readonly warmupNs: number;
  readonly measureNs: number;
  /** After the last arrival, what is queued or in flight may take this long; the rest is `unfinished`. */
  readonly drainNs: number;
  /** Requests that may wait; one that is due beyond that is dropped, counted, and has no response time. */
  readonly queueMax: number;
  /** A request sent more than this after it was due is late. */
  readonly lateNs: number;
  /** Of every counted request: ns from due to completion, and from send to completion. */
  readonly onTimes: (responseNs: number, serviceNs: number) => void;
  /** Of every counted arrival: ns by which the generator noticed it late. */
  readonly onLag: (ns: number) => void;
}

export interface OpenLoopResult {
  /** Requests that were due in the measured time. */
  readonly offered: number;
  /** Of those, completed (at any time up to the end of the drain). */
  readonly completed: number;
  /** Completions, of any request, within the measured time. */
  readonly completedInTime: number;
  readonly late: number;
  readonly dropped: number;
  /** Offered, not dropped, and not completed by the end of the drain. */
  readonly unfinished: number;
  /** The measured time, ns. */
  readonly elapsedNs: number;
  /** Completions of the whole run, warm-up included. */
  readonly total: number;
}

/** Runs the arrivals to their end. Rejects with the first error of a request; a stall is a result, not an error. */
export function runOpenLoop<Connection>(options: OpenLoopOptions<Connection>): Promise<OpenLoopResult> {
  const { clock, send, arrivals, onTimes, onLag } = options;
  return new Promise((resolve, reject) => {
    const startedAt = clock.now();
    const from = startedAt + options.warmupNs;
    const until = from + options.measureNs;
    const free = [...options.connections];
    const waiting = new Fifo();
    const counted = { offered: 0, completed: 0, completedInTime: 0, late: 0, dropped: 0, total: 0 };
    let inFlight = 0;
    let settled = false;
    let drained = false;
    let cancelTimer = (): void => {};
    let nextDue = startedAt + arrivals.next().value;

    const settle = (error?: Error): void => {
      if (settled) return;
      settled = true;
      cancelTimer();
      const unfinished = counted.offered - counted.dropped - counted.completed;
      if (error) reject(error);
      else resolve({ ...counted, unfinished, elapsedNs: options.measureNs });
    };
    const dispatch = (): void => {
      while (free.length > 0 && waiting.length > 0) start(free.pop()!, waiting.shift());
      if (drained && inFlight === 0 && waiting.length === 0) settle();
    };
    const start = (connection: Connection, due: number): void => {
      const sentAt = clock.now();
      if (due >= from && sentAt - due > options.lateNs) counted.late++;
      inFlight++;
      send(connection, (error) => {
        if (settled) return;
        if (error) return settle(error);
        const now = clock.now();
        inFlight--;
        counted.total++;
        if (now >= from && now <= until) counted.completedInTime++;
        if (due >= from) {
          counted.completed++;
          onTimes(now - due, now - sentAt);
        }
        free.push(connection);
        dispatch();
      });
    };
    const arrive = (): void => {
      const now = clock.now();
      while (nextDue <= now && nextDue < until) {
        accept(nextDue, now);
        nextDue = startedAt + arrivals.next().value;
      }
      dispatch();
      if (nextDue < until) cancelTimer = clock.at(nextDue, arrive);
      else endArrivals();
    };
    const accept = (due: number, now: number): void => {
      if (due >= from) {
        counted.offered++;
        onLag(now - due);
      }
      if (waiting.length < options.queueMax) waiting.push(due);
      else if (due >= from) counted.dropped++;
    };
    const endArrivals = (): void => {
      drained = true;
      cancelTimer = clock.at(Math.max(until, clock.now()) + options.drainNs, () => settle());
      dispatch();
    };
    if (free.length === 0) return settle(new Error("an open loop needs at least one connection"));
    cancelTimer = clock.at(nextDue, arrive);
  });
}

/** A queue of due times; `Array.shift` moves every element once it is long, which a stall makes it. */
class Fifo {
  #items: number[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: number): void {
    this.#items.push(item);
  }

  /** The oldest; only when there is one. */
  shift(): number {
    const item = this.#items[this.#head++]!;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
