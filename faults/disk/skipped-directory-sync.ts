/**
 * A skipped directory sync: every sync of the data directory itself (or of a directory in it) returns 0 and does nothing,
 * so that names created, renamed or removed since are not durable. It shows only when power is lost (name `power-loss`
 * too), and on ext4 hardly even then, because a sync of any file commits the names before it. No store can notice it.
 */
import fc from "fast-check";
import type { DiskRule, Fault } from "../contract.ts";
import { injectRule, looksLikeOlderDisk, withoutInterposer } from "./on-disk.ts";

export const skippedDirectorySync: Fault = {
  name: "skipped-directory-sync",
  summary: "syncs of directories report success and do nothing",
  when: "crash",
  mechanism: "interposer",
  deceives: true,
  onlyWhenAsked: "no store can notice it",
  unavailable: (store, machine) => withoutInterposer(store, machine, "rename"),
  parameters: () => fc.record({ nth: fc.constant(1) }),
  inject({ nth }, target) {
    const rule: DiskRule = {
      operation: "sync",
      path: "**/.",
      nth: Number(nth),
      repeat: "from",
      effect: { do: "lying" },
    };
    return injectRule(target, rule, looksLikeOlderDisk);
  },
};
