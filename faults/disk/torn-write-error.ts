/**
 * A write that fails in the middle: the nth write to the log puts the first bytes of what it was given into the file,
 * where they stay, and returns -1. A device that fails under a large write does that; POSIX leaves the content of the
 * file undefined then. The program lives. A correct store acknowledges nothing that was in the write, never writes
 * behind the remains as if they were not there, and cuts them at recovery.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const tornWriteError: Fault = {
  name: "torn-write-error",
  summary: "one write to the log fails with an error after part of its bytes reached the file",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () =>
    fc.record({
      nth: fc.integer({ min: 1, max: 60 }),
      bytes: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 4096 })),
      errno: fc.constantFrom("EIO", "ENOSPC"),
    }),
  inject({ nth, bytes, errno }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "torn-error", bytes: Number(bytes), errno: errno as "EIO" | "ENOSPC" },
    });
  },
};
