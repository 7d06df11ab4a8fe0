/**
 * A set: `add` and `remove` of an element (a boolean result is held to: whether the set changed), `contains` of an
 * element, `read` of the whole set as an array in any order. It starts empty.
 *
 * Worked example, not linearizable: the element was removed before the question was sent.
 * ```
 * client 0  |--add "a"--|  |--remove "a" true--|
 * client 1                                       |--contains "a" true--|
 * ```
 */
import { hashString, type Model } from "./contract.ts";
import { elementOf } from "./list.ts";
import { quote, showValue } from "./register.ts";

export interface SetState {
  readonly elements: ReadonlySet<string>;
  readonly hash: number;
}

export const setModel: Model<SetState> = {
  name: "set",
  partition: (operation) => operation.key,
  init: () => ({ elements: new Set(), hash: 0 }),
  step(state, operation) {
    const { f, outcome, output } = operation;
    if (f === "read") return outcome !== "ok" || isWhole(state, output) ? state : undefined;
    const element = elementOf(operation.input);
    const isIn = state.elements.has(element);
    if (f === "contains") return outcome !== "ok" || output === isIn ? state : undefined;
    const changes = f === "add" ? !isIn : isIn;
    if (outcome === "ok" && typeof output === "boolean" && output !== changes) return undefined;
    return changes ? changed(state, element, f === "add") : state;
  },
  readOnly: ({ f, outcome, output }) =>
    f === "read" || f === "contains" || (outcome === "ok" && output === false),
  equal: (a, b) =>
    a === b ||
    (a.hash === b.hash &&
      a.elements.size === b.elements.size &&
      [...a.elements].every((e) => b.elements.has(e))),
  hash: (state) => state.hash,
  refuses({ f, outcome, output }) {
    if (!["add", "remove", "contains", "read"].includes(f)) return `a set knows no operation "${f}"`;
    if (outcome !== "ok") return undefined;
    if (f === "read" && !Array.isArray(output)) return "a read of a set must return an array";
    return f === "contains" && typeof output !== "boolean"
      ? '"contains" must return true or false'
      : undefined;
  },
  describe: ({ f, input }) => (f === "read" ? "read" : `${f} of ${quote(input)}`),
  show,
  expected(state, { f, input }) {
    if (f === "read") return show(state);
    const isIn = state.elements.has(elementOf(input));
    return String(f === "add" ? !isIn : isIn);
  },
};

function changed({ elements, hash }: SetState, element: string, add: boolean): SetState {
  const after = new Set(elements);
  if (add) after.add(element);
  else after.delete(element);
  return { elements: after, hash: hash ^ hashString(element) };
}

function isWhole({ elements }: SetState, output: unknown): boolean {
  const read = (output as readonly unknown[]).map(elementOf);
  return (
    read.length === elements.size && new Set(read).size === read.length && read.every((e) => elements.has(e))
  );
}

function show({ elements }: SetState): string {
  const some = [...elements].slice(0, 8).map(showValue);
  return `{${some.join(", ")}${elements.size > 8 ? ", …" : ""}}`;
}
