/**
 * A short read at recovery: while the store starts, the nth read of a log file returns fewer bytes than were asked for
 * and than there are. read(2) may always do that. A correct store reads on; it must not take it for the end of the file.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const shortRead: Fault = {
  name: "short-read",
  summary: "while the store recovers, one read of its log returns only part of what was asked for",
  when: "recovery",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine),
  parameters: () =>
    fc.record({ nth: fc.integer({ min: 1, max: 6 }), bytes: fc.integer({ min: 1, max: 4096 }) }),
  inject({ nth, bytes }, target) {
    return injectRule(target, {
      operation: "read",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "short", bytes: Number(bytes) },
    });
  },
};
