/**
 * A failed write: the nth write to the log writes nothing and returns an error, once; later ones would succeed. A
 * correct store acknowledges nothing of it. One that promises fail-stop acknowledges no write invoked after it, and does
 * not try again: the operations in flight end as unknown.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const writeError: Fault = {
  name: "write-error",
  summary: "one write to the log fails with EIO, EDQUOT or ENOSPC, and nothing is written",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () =>
    fc.record({
      nth: fc.integer({ min: 1, max: 120 }),
      errno: fc.constantFrom("EIO", "EDQUOT", "ENOSPC"),
    }),
  inject({ nth, errno }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "error", errno: errno as "EIO" | "EDQUOT" | "ENOSPC" },
    });
  },
};
