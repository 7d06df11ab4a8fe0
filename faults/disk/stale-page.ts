/**
 * A stale read at recovery: while the store starts, the nth read of a log file returns what its pages held before they
 * were last written, as a mirror does that resynchronised from the wrong side. The file itself is whole. A store may
 * refuse to start, if it says what is wrong; it must not serve wrong data, and an older state only where it cannot be
 * told from an older disk.
 */
import fc from "fast-check";
import type { DiskRule, Fault } from "../contract.ts";
import { injectRule, looksLikeOlderDisk, withoutInterposer } from "./on-disk.ts";

export const stalePage: Fault = {
  name: "stale-page",
  summary: "while the store recovers, one read of its log returns older content",
  when: "recovery",
  mechanism: "interposer",
  deceives: true,
  needsOlderPages: true,
  onlyWhenAsked: "what it returns depends on pages kept from before",
  unavailable: (store, machine) => withoutInterposer(store, machine),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 6 }) }),
  inject({ nth }, target) {
    const rule: DiskRule = {
      operation: "read",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "stale" },
    };
    return injectRule(target, rule, looksLikeOlderDisk);
  },
};
