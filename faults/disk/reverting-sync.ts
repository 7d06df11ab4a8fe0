/**
 * A failed sync as btrfs does it: the nth sync of a log file reports an error, the pages that were dirty are dropped, and
 * reads show the old content at once (zeros where there was none), in the running program too.
 *
 * A correct store acknowledges nothing that was not covered by an earlier sync, and stops if it promises to. What it
 * reads from the file from then on is old: one that trusts it loses data.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const revertingSync: Fault = {
  name: "reverting-sync",
  summary: "one sync of the log fails, and the files show their old content at once (btrfs)",
  when: "crash",
  mechanism: "interposer",
  needsOlderPages: true,
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () =>
    fc.record({ nth: fc.integer({ min: 1, max: 60 }), errno: fc.constantFrom("EIO", "ENOSPC") }),
  inject({ nth, errno }, target) {
    return injectRule(target, {
      operation: "sync",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "revert", errno: errno as "EIO" | "ENOSPC" },
    });
  },
};
