/**
 * An interrupted sync: the nth sync of a log file returns -1 with EINTR and does nothing; the data stays dirty. It is not
 * a failed sync: a correct store, or its runtime, calls it again, and acknowledges after that. Once, never every time:
 * what is repeated at once would never end.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const interruptedSync: Fault = {
  name: "interrupted-sync",
  summary: "one sync of the log is interrupted by a signal (EINTR) before it did anything",
  when: "passing",
  mechanism: "interposer",
  onlyWhenAsked: "libuv and most runtimes repeat the call by themselves",
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () =>
    fc.record({ nth: fc.integer({ min: 1, max: 60 }), durationMs: fc.integer({ min: 500, max: 1500 }) }),
  inject({ nth }, target) {
    return injectRule(target, {
      operation: "sync",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "error", errno: "EINTR" },
    });
  },
};
