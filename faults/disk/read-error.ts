/**
 * A read error at recovery: while the store starts, the nth read of a log file fails with EIO. A correct store refuses to
 * start with a sentence that names the file, or reads again; it must not take what it could not read for the end of the
 * log. When the fault is gone, it starts with everything it had acknowledged.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const readError: Fault = {
  name: "read-error",
  summary: "while the store recovers, one read of its log fails with EIO",
  when: "recovery",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 6 }) }),
  inject({ nth }, target) {
    return injectRule(target, {
      operation: "read",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "error", errno: "EIO" },
    });
  },
};
