/**
 * A failed namespace operation: the nth rename or create in the data directory does nothing and
 * fails: EMFILE (no descriptor left; create only), ENOSPC, EACCES, EROFS or EIO. A
 * correct store goes on without the file it could not have, or stops; it never acknowledges what it had no place for.
 * It comes back after a restart with everything acknowledged.
 *
 * Only operations that the store performs while it runs can fire: those of stores that declare `rename`. The others, and
 * stores that only make files when they start, are met by `acked sweep`.
 */
import fc from "fast-check";
import type { Store } from "../../stores/contract.ts";
import type { Errno, Fault, InterposedOperation } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

const errnosOf = {
  create: ["EMFILE", "ENOSPC", "EACCES", "EROFS", "EIO"],
  rename: ["ENOSPC", "EACCES", "EROFS", "EIO"],
} as const satisfies Partial<Record<InterposedOperation, readonly Errno[]>>;

type Operation = keyof typeof errnosOf;

/** A store that renames files regularly makes them first; one that only appends makes no new names under load. */
function operationsOf({ performs = [] }: Store): Operation[] {
  return performs.includes("rename") ? ["create", "rename"] : [];
}

export const nameError: Fault = {
  name: "name-error",
  summary: "one create or rename in the data directory fails (EMFILE, ENOSPC, EACCES, EROFS or EIO)",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "rename"),
  parameters: (store) =>
    fc.oneof(
      ...operationsOf(store).map((operation) =>
        fc.record({
          operation: fc.constant(operation),
          // Names are rarer than writes by orders of magnitude.
          nth: fc.constant(1),
          errno: fc.constantFrom(...errnosOf[operation]),
        }),
      ),
    ),
  inject({ operation, nth, errno }, target) {
    return injectRule(target, {
      operation: operation as Operation,
      path: "**",
      nth: Number(nth),
      repeat: "once",
      effect: { do: "error", errno: errno as Errno },
    });
  },
};
