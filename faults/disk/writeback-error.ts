/**
 * A failure in background writeback: after the nth write to the log the kernel fails to write the pages out, with no call
 * in flight. The pages are marked clean, and the next sync on each open file description reports the error, once. From
 * there on it is `fsyncgate`: reads show the new data, power loss brings the old content back.
 *
 * It has fired when the write came; the store is told by its next sync, if it makes one.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const writebackError: Fault = {
  name: "writeback-error",
  summary: "written pages of the log are dropped in the background, and the next sync reports it",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () =>
    fc.record({ nth: fc.integer({ min: 1, max: 60 }), errno: fc.constantFrom("EIO", "ENOSPC", "EDQUOT") }),
  inject({ nth, errno }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "writeback-error", errno: errno as "EIO" | "ENOSPC" | "EDQUOT" },
    });
  },
};
