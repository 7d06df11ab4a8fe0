/**
 * A read-only remount: a state. From the nth call that would change anything in the data directory, every such call
 * (write, create, truncate, rename, unlink, mkdir, link) fails with EROFS until healed, as when the kernel remounts a
 * damaged file system (errors=remount-ro). Reads succeed. A correct store acknowledges no further change, and comes back
 * when the directory can be written again.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const readOnly: Fault = {
  name: "read-only",
  summary: "the file system turns read-only (EROFS) under the running store",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 40 }) }),
  inject({ nth }, target) {
    return injectRule(target, {
      operation: "write",
      path: "**",
      nth: Number(nth),
      repeat: "from",
      effect: { do: "read-only" },
    });
  },
};
