/**
 * A torn write: the nth write to the log reaches the file in part, from none of its bytes to all but the last, and the
 * whole store dies by SIGKILL before the call returns. A correct store cuts the torn tail at recovery, reports it, and
 * has acknowledged nothing of it. The page cache survives: what was torn off is exactly what was not written.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

/**
 * Cuts inside a record's header, inside a small batch, and at the borders of sectors and pages. Mostly small ones: a cut
 * behind the end of a write takes its last byte only, and that may be padding.
 */
const cuts = fc.oneof(
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 32 }) },
  { weight: 6, arbitrary: fc.integer({ min: 33, max: 400 }) },
  { weight: 2, arbitrary: fc.integer({ min: 401, max: 65_536 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 8 }).map((sectors) => sectors * 512) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 16 }).map((pages) => pages * 4096) },
);

export const tornWrite: Fault = {
  name: "torn-write",
  summary: "one write to the log is cut off in the middle, and the store is killed before it returns",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 120 }), bytes: cuts }),
  inject({ nth, bytes }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "torn-kill", bytes: Number(bytes) },
    });
  },
};
