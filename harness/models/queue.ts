/**
 * A first-in-first-out queue: `enqueue` of an element, `dequeue` of the oldest one; null says that the queue was empty.
 * It starts empty.
 *
 * Worked example, not linearizable: "a" was in the queue before "b" was sent, so it comes out first.
 * ```
 * client 0  |--enqueue "a"--|  |--enqueue "b"--|
 * client 1                                       |--dequeue "b"--|
 * ```
 */
import type { Operation } from "../history/operation.ts";
import type { Model } from "./contract.ts";
import { quote, registerValue } from "./register.ts";
import { extended, hashOf, isSameSequence, type Sequence, show, without } from "./sequence.ts";

export const queueModel: Model<Sequence> = {
  name: "queue",
  partition: (operation) => operation.key,
  init: () => [],
  step(state, operation) {
    if (operation.f === "enqueue") return extended(state, registerValue(operation.input) ?? "");
    if (operation.f !== "dequeue") return undefined;
    const oldest = state[0] ?? null;
    if (operation.outcome === "ok" && registerValue(operation.output) !== oldest) return undefined;
    return oldest === null ? state : without(state, 0);
  },
  readOnly: isOfEmpty,
  equal: isSameSequence,
  hash: hashOf,
  refuses(operation) {
    if (operation.f !== "enqueue" && operation.f !== "dequeue") {
      return `a queue knows no operation "${operation.f}"`;
    }
    const isNothing = operation.f === "enqueue" && registerValue(operation.input) === null;
    return isNothing ? "an enqueue needs an element" : undefined;
  },
  describe: ({ f, input }) => (f === "enqueue" ? `enqueue of ${quote(input)}` : f),
  separable,
  show,
  expected: (state, { f }) => (f === "dequeue" ? show(state.slice(0, 1), "nothing") : undefined),
};

/** A dequeue that found nothing. */
function isOfEmpty(operation: Operation): boolean {
  return operation.f === "dequeue" && operation.outcome === "ok" && registerValue(operation.output) === null;
}

/** Without everything about one element, the others still come out in the order in which they went in. */
function separable(operation: Operation): string | undefined {
  if (operation.f === "enqueue") return registerValue(operation.input) ?? "";
  if (operation.outcome !== "ok") return undefined;
  return isOfEmpty(operation) ? undefined : (registerValue(operation.output) ?? undefined);
}
