/**
 * A lying write: the nth write to the log returns its full count, and none of its bytes reach the file, neither the page
 * cache nor the disk. Whatever was there before is still there: zeros in preallocated space, or a shorter file.
 *
 * A store may refuse to start afterwards, if it says what is wrong. What it serves must be right; only the lost write
 * itself may be missing without a word, and only if it was the last: a log that ends there looks the same.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const lyingWrite: Fault = {
  name: "lying-write",
  summary: "one write to the log reports success and writes nothing",
  when: "crash",
  mechanism: "interposer",
  deceives: true,
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 60 }) }),
  inject({ nth }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "lying" },
    });
  },
};
