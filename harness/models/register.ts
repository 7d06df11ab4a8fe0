/**
 * One register, and equally one key of a key-value store: `read`, `write`, `cas` [expected, new], `delete`.
 *
 * The state is the value, or null when there is none (null expected by a compare-and-set means "absent"). A compare that
 * did not match is an observation of the value it returned. `delete` returns how many keys it removed; without a count
 * it only leaves the key absent. Not modelled: expiry, increments, several keys at once.
 */
import type { Operation } from "../history/operation.ts";
import { hashString, type Model } from "./contract.ts";

/** null: absent. */
export type RegisterState = string | null;

/**
 * What an operation's value is in the model: strings stand for themselves, "no value" for null, and anything else (numbers
 * of an imported history) for its JSON, marked so that 1 and "1" stay different.
 */
export function registerValue(value: unknown): RegisterState {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return null;
  return `\u0000${JSON.stringify(value)}`;
}

/** The [expected, new] of a compare-and-set. */
export function compareAndSetOf(operation: Operation): readonly [RegisterState, RegisterState] {
  const [expected, next] = operation.input as readonly [unknown, unknown];
  return [registerValue(expected), registerValue(next)];
}

/** How many keys an acknowledged delete removed; `undefined` when the store did not say. */
export function removedBy(operation: Operation): number | undefined {
  const { output } = operation;
  if (typeof output === "boolean") return output ? 1 : 0;
  return typeof output === "number" ? output : undefined;
}

/** True for a compare-and-set that was refused because it saw another value. */
export function isRefusedCompare(operation: Operation): boolean {
  return operation.f === "cas" && operation.outcome === "ok" && operation.matched === false;
}

export const registerModel: Model<RegisterState> = {
  name: "register",
  partition: (operation) => operation.key,
  init: () => null,
  step,
  readOnly: (operation) =>
    operation.f === "read" ||
    isRefusedCompare(operation) ||
    (operation.f === "delete" && operation.outcome === "ok" && removedBy(operation) === 0),
  equal: (a, b) => a === b,
  hash: (state) => (state === null ? 0 : hashString(state)),
  refuses,
  describe,
};

function step(state: RegisterState, operation: Operation): RegisterState | undefined {
  const known = operation.outcome === "ok";
  switch (operation.f) {
    case "read":
      return !known || state === registerValue(operation.output) ? state : undefined;
    case "write":
      return registerValue(operation.input);
    case "cas":
      return stepCompareAndSet(state, operation, known);
    case "delete":
      return stepDelete(state, operation, known);
    default:
      return undefined;
  }
}

function stepCompareAndSet(state: RegisterState, operation: Operation, known: boolean) {
  const [expected, next] = compareAndSetOf(operation);
  if (!known) return state === expected ? next : state;
  if (!isRefusedCompare(operation)) return state === expected ? next : undefined;
  if (state === expected) return undefined;
  // Without a witness (the member is absent) a refusal only says that the value was another one.
  return operation.output === undefined || state === registerValue(operation.output) ? state : undefined;
}

function stepDelete(state: RegisterState, operation: Operation, known: boolean) {
  const removed = known ? removedBy(operation) : undefined;
  if (removed === undefined) return null;
  return removed > 0 === (state !== null) ? null : undefined;
}

function refuses(operation: Operation): string | undefined {
  if (operation.f === "cas" && !(Array.isArray(operation.input) && operation.input.length === 2)) {
    return "a cas needs [expected, new] as its value";
  }
  return ["read", "write", "cas", "delete"].includes(operation.f)
    ? undefined
    : `a register knows no operation "${operation.f}"`;
}

function describe(operation: Operation): string {
  switch (operation.f) {
    case "read":
      return "read";
    case "write":
      return `write of ${quote(operation.input)}`;
    case "cas": {
      const [expected, next] = operation.input as readonly [unknown, unknown];
      const verb = isRefusedCompare(operation) ? "refused compare-and-set" : "compare-and-set";
      return `${verb} from ${quote(expected)} to ${quote(next)}`;
    }
    default:
      return operation.f;
  }
}

/** A value for a sentence: short, quoted, on one line, whatever a store printed. */
export function quote(value: unknown): string {
  if (value === null || value === undefined) return "nil";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 48 ? `${text.slice(0, 45)}…"` : text;
}
