/**
 * A list that grows at its end and is read whole: `append` of an element returns the new length, `read` returns all
 * elements. Not modelled: removal, reads of a part.
 */
import type { Operation } from "../history/operation.ts";
import { hashString, type Model } from "./contract.ts";
import { quote, registerValue } from "./register.ts";

/** A list as its last element and the list before it, so that appending shares everything. */
export interface ListState {
  readonly length: number;
  readonly last: string;
  readonly rest: ListState | null;
  readonly hash: number;
}

const empty: ListState = { length: 0, last: "", rest: null, hash: 0 };

/** An element as it is compared; nil is one, too, other than the empty text. */
export function elementOf(value: unknown): string {
  return registerValue(value) ?? "\u0000nil";
}

/** What a read returned, as elements; "no list" is the empty one. `undefined` when it is no list at all. */
export function elementsOf(output: unknown): readonly string[] | undefined {
  if (output === null || output === undefined) return [];
  return Array.isArray(output) ? output.map(elementOf) : undefined;
}

export const listModel: Model<ListState> = {
  name: "list",
  partition: (operation) => operation.key,
  init: () => empty,
  step(state, operation) {
    if (operation.f === "append") return stepAppend(state, operation);
    if (operation.f !== "read") return undefined;
    return operation.outcome !== "ok" || matches(state, operation.output) ? state : undefined;
  },
  readOnly: (operation) => operation.f === "read",
  equal,
  hash: (state) => state.hash,
  refuses(operation) {
    if (operation.f !== "append" && operation.f !== "read") {
      return `a list knows no operation "${operation.f}"`;
    }
    const unreadable = operation.f === "read" && operation.outcome === "ok" && !elementsOf(operation.output);
    return unreadable ? "a read of a list must return an array" : undefined;
  },
  describe: (operation) => (operation.f === "append" ? `append of ${quote(operation.input)}` : operation.f),
};

/** The list of these elements. */
export function listOf(elements: readonly string[]): ListState {
  return elements.reduce(extended, empty);
}

function extended(rest: ListState, last: string): ListState {
  const length = rest.length + 1;
  return { length, last, rest, hash: (Math.imul(rest.hash, 31) + hashString(last) + length) | 0 };
}

function stepAppend(state: ListState, operation: Operation): ListState | undefined {
  const length = state.length + 1;
  const told = operation.outcome === "ok" && typeof operation.output === "number" ? operation.output : length;
  if (told !== length) return undefined;
  return extended(state, elementOf(operation.input));
}

function matches(state: ListState, output: unknown): boolean {
  const elements = elementsOf(output);
  if (elements?.length !== state.length) return false;
  let at: ListState | null = state;
  for (let i = elements.length - 1; i >= 0; i--, at = at!.rest) if (at!.last !== elements[i]) return false;
  return true;
}

function equal(a: ListState, b: ListState): boolean {
  if (a.length !== b.length || a.hash !== b.hash) return false;
  let [x, y]: [ListState | null, ListState | null] = [a, b];
  for (; x !== y && x && y; x = x.rest, y = y.rest) if (x.last !== y.last) return false;
  return true;
}
