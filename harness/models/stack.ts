/**
 * A stack: `push` of an element, `pop` of the newest one; null says that the stack was empty. It starts empty.
 *
 * Worked example, not linearizable: "b" lay on "a" when the pop was sent.
 * ```
 * client 0  |--push "a"--|  |--push "b"--|
 * client 1                                 |--pop "a"--|
 * ```
 */
import type { Operation } from "../history/operation.ts";
import type { Model } from "./contract.ts";
import { quote, registerValue } from "./register.ts";
import { extended, hashOf, isSameSequence, type Sequence, show, without } from "./sequence.ts";

export const stackModel: Model<Sequence> = {
  name: "stack",
  partition: (operation) => operation.key,
  init: () => [],
  step(state, operation) {
    if (operation.f === "push") return extended(state, registerValue(operation.input) ?? "");
    if (operation.f !== "pop") return undefined;
    const newest = state.at(-1) ?? null;
    if (operation.outcome === "ok" && registerValue(operation.output) !== newest) return undefined;
    return newest === null ? state : without(state, state.length - 1);
  },
  readOnly: isOfEmpty,
  equal: isSameSequence,
  hash: hashOf,
  refuses(operation) {
    if (operation.f !== "push" && operation.f !== "pop") return `a stack knows no operation "${operation.f}"`;
    const isNothing = operation.f === "push" && registerValue(operation.input) === null;
    return isNothing ? "a push needs an element" : undefined;
  },
  describe: ({ f, input }) => (f === "push" ? `push of ${quote(input)}` : f),
  separable,
  show,
  expected: (state, { f }) => (f === "pop" ? show(state.slice(-1), "nothing") : undefined),
};

/** A pop that found nothing. */
function isOfEmpty(operation: Operation): boolean {
  return operation.f === "pop" && operation.outcome === "ok" && registerValue(operation.output) === null;
}

/** Without everything about one element, the others still lie on each other as they did. */
function separable(operation: Operation): string | undefined {
  if (operation.f === "push") return registerValue(operation.input) ?? "";
  if (operation.outcome !== "ok") return undefined;
  return isOfEmpty(operation) ? undefined : (registerValue(operation.output) ?? undefined);
}
