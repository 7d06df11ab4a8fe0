/**
 * A failed sync, fail-keep: the nth fsync or fdatasync of a log file returns an error without doing anything, and the
 * data stays dirty; later syncs succeed. It is the weakest way to fail (Linux marks the pages clean, so that a second
 * sync succeeds and makes nothing durable): what is wrong here is wrong everywhere. A correct store never takes a later
 * successful sync for proof of the earlier data. One that promises fail-stop acknowledges no write invoked after it.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const syncError: Fault = {
  name: "sync-error",
  summary: "one sync of the log fails with EIO or ENOSPC, and the data stays unsynced",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () =>
    fc.record({ nth: fc.integer({ min: 1, max: 60 }), errno: fc.constantFrom("EIO", "ENOSPC") }),
  inject({ nth, errno }, target) {
    return injectRule(target, {
      operation: "sync",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "error", errno: errno as "EIO" | "ENOSPC" },
    });
  },
};
