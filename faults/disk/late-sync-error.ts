/**
 * A failed sync that is reported too late, as ext4 does with data=journal: the nth sync of a log file reports success and
 * loses its pages; the next one fails. What the first acknowledged is gone after a power loss, and no store can know it
 * before the second sync: so here the hardware lies once. From the error on a correct store acknowledges nothing.
 */
import fc from "fast-check";
import type { DiskRule, Fault } from "../contract.ts";
import { injectRule, looksLikeOlderDisk, withoutInterposer } from "./on-disk.ts";

export const lateSyncError: Fault = {
  name: "late-sync-error",
  summary: "one sync of the log loses its pages and reports success; the next one fails",
  when: "crash",
  mechanism: "interposer",
  deceives: true,
  onlyWhenAsked: "no store can notice it in time",
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () =>
    fc.record({ nth: fc.integer({ min: 1, max: 60 }), errno: fc.constantFrom("EIO", "ENOSPC") }),
  inject({ nth, errno }, target) {
    const rule: DiskRule = {
      operation: "sync",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "late", errno: errno as "EIO" | "ENOSPC" },
    };
    return injectRule(target, rule, looksLikeOlderDisk);
  },
};
