/**
 * A failed sync as ext4 and xfs do it: the nth sync of a log file reports an error, and the pages that were dirty are
 * marked clean although they never reached the disk. Reads still show the new data; a second sync succeeds and makes
 * nothing durable; after power loss the old content is back, unless the same 4 KiB page was written and synced again.
 * The error is reported once per open file description, and to one opened later only if nobody has seen it yet.
 * Source: Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.
 *
 * A correct store never takes a later success for proof of the earlier data; one that promises fail-stop acknowledges
 * no write invoked after it. The lost pages show when power is lost as well: name `power-loss` too.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const fsyncgate: Fault = {
  name: "fsyncgate",
  summary: "one sync of the log fails, and the data it should have made durable is dropped (ext4, xfs)",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () =>
    fc.record({ nth: fc.integer({ min: 1, max: 60 }), errno: fc.constantFrom("EIO", "ENOSPC", "EDQUOT") }),
  inject({ nth, errno }, target) {
    return injectRule(target, {
      operation: "sync",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "fsyncgate", errno: errno as "EIO" | "ENOSPC" | "EDQUOT" },
    });
  },
};
