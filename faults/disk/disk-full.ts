/**
 * A full disk: a state, not an event. From the nth call that would grow a file in the data directory, every such call
 * fails with ENOSPC until healed: writes past the end of a file (one that straddles it writes the part that fits),
 * truncate and fallocate to a larger size, and the creation of files. Overwriting in place, syncing, renaming and
 * removing succeed. A correct store acknowledges nothing that did not fit, and comes back when there is room again.
 *
 * It has fired when the first call was refused: a store that writes into preallocated files meets it only when it needs
 * a new one.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const diskFull: Fault = {
  name: "disk-full",
  summary: "the disk is full: files can no longer grow or be created (ENOSPC), overwriting still works",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "grow"),
  parameters: () => fc.record({ nth: fc.constant(1) }),
  inject({ nth }, target) {
    return injectRule(target, {
      operation: "write",
      path: "**",
      nth: Number(nth),
      repeat: "from",
      effect: { do: "full" },
    });
  },
};
