/**
 * A lock: `acquire` by a process that then holds it, `release` by the process that does. An `acquire` that returned false
 * was refused: somebody held the lock. It starts free. Whoever gets no answer to its `acquire` may hold it for ever.
 *
 * Worked example, not linearizable: both hold the lock at once.
 * ```
 * client 0  |--acquire--|                   |--release--|
 * client 1                |--acquire--|
 * ```
 */
import type { Operation } from "../history/operation.ts";
import type { Model } from "./contract.ts";

/** The process that holds the lock, or null. */
export type MutexState = number | null;

export const mutexModel: Model<MutexState> = {
  name: "mutex",
  perProcess: true,
  partition: (operation) => operation.key,
  init: () => null,
  step(state, operation) {
    const known = operation.outcome === "ok";
    if (operation.f === "acquire") {
      if (isRefusal(operation)) return state === null ? undefined : state;
      if (state === null) return operation.process;
      return known ? undefined : state;
    }
    if (operation.f !== "release") return undefined;
    if (state === operation.process) return null;
    return known ? undefined : state;
  },
  readOnly: isRefusal,
  equal: (a, b) => a === b,
  hash: (state) => (state === null ? -1 : state),
  refuses: ({ f }) => (f === "acquire" || f === "release" ? undefined : `a mutex knows no operation "${f}"`),
  describe: (operation) => (isRefusal(operation) ? "refused acquire" : operation.f),
  show: (state) => (state === null ? "free" : `held by process ${state}`),
};

function isRefusal(operation: Operation): boolean {
  return operation.f === "acquire" && operation.outcome === "ok" && operation.output === false;
}
