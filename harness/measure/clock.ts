/**
 * The one clock of a measurement: monotonic, in ns, with wake-ups precise enough for open-loop pacing. Pacing takes it
 * as a parameter, so that tests run it on a clock of their own.
 */
export interface Clock {
  /** Monotonic ns from an arbitrary origin. */
  now(): number;
  /** Calls back once at or soon after `time` (ns, as `now`), never within this call; the result cancels it. */
  at(time: number, callback: () => void): () => void;
}

/** Node's timers fire up to 1 ms late, so the last stretch before a wake-up is polled between turns of the event loop. */
const pollingNs = 2e6;

/** `performance.now()` is CLOCK_MONOTONIC as a double: about 60 ns a call, and exact to well below a microsecond. */
export const monotonicClock: Clock = {
  now: () => performance.now() * 1e6,
  at(time, callback) {
    let cancelled = false;
    let timer: NodeJS.Timeout | undefined;
    const wait = (): void => {
      const remaining = time - monotonicClock.now();
      if (remaining > pollingNs) timer = setTimeout(poll, Math.floor((remaining - pollingNs) / 1e6) + 1);
      else setImmediate(poll);
    };
    const poll = (): void => {
      if (cancelled) return;
      if (monotonicClock.now() >= time) callback();
      else wait();
    };
    wait();
    return () => {
      cancelled = true;
      clearTimeout(timer);
    };
  },
};
