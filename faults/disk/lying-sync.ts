/**
 * A lying sync: from the nth on, every sync of a log file returns 0 and makes nothing durable, as a drive does that
 * answers a flush from a volatile cache. It shows only when power is lost (name `power-loss` too); a process crash keeps
 * the page cache. No store can notice it: what a log that ends earlier would show may be missing, nothing may be invented.
 */
import fc from "fast-check";
import type { DiskRule, Fault } from "../contract.ts";
import { injectRule, looksLikeOlderDisk, withoutInterposer } from "./on-disk.ts";

export const lyingSync: Fault = {
  name: "lying-sync",
  summary: "every sync of the log reports success and makes nothing durable",
  when: "crash",
  mechanism: "interposer",
  deceives: true,
  onlyWhenAsked: "no store can notice it",
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 60 }) }),
  inject({ nth }, target) {
    const rule: DiskRule = {
      operation: "sync",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "from",
      effect: { do: "lying" },
    };
    return injectRule(target, rule, looksLikeOlderDisk);
  },
};
