/**
 * One register, and equally one key of a key-value store: `read`, `write`, `cas` [expected, new], `delete`, `increment`.
 *
 * The state is the value, or null when there is none (null expected by a compare-and-set means "absent"). A compare that
 * did not match is an observation of the value it returned. `delete` returns how many keys it removed; without a count
 * it only leaves the key absent. `increment` adds its argument (1 without one) to a whole number, or to 0 where there is no
 * value, and returns the sum as a number, or nothing; what is no whole number it leaves alone. Reads of such a key must be
 * recorded as numbers, too: 1 and "1" are different values. Not modelled: expiry, several keys at once.
 */
import type { Operation } from "../history/operation.ts";
import { hashString, type Model } from "./contract.ts";

/** null: absent. */
export type RegisterState = string | null;

/**
 * What an operation's value is in the model: strings stand for themselves, "no value" for null, and anything else (numbers
 * of an imported history) for its JSON, marked so that 1 and "1" stay different. A string that begins with the mark is
 * written as JSON, too, so that different values never become one.
 */
export function registerValue(value: unknown): RegisterState {
  if (typeof value === "string" && !value.startsWith(mark)) return value;
  if (value === null || value === undefined) return null;
  return `${mark}${JSON.stringify(value)}`;
}

const mark = "\u0000";

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

/** What an increment adds; `undefined` when its argument is no whole number. */
export function amountOf(operation: Operation): number | undefined {
  const amount = operation.input ?? 1;
  return Number.isSafeInteger(amount) ? (amount as number) : undefined;
}

/** The number an acknowledged increment returned; `undefined` when the store did not say. */
export function incrementedTo(operation: Operation): number | undefined {
  return Number.isSafeInteger(operation.output) ? (operation.output as number) : undefined;
}

/** The whole number that a value is to an increment; nil counts as 0; `undefined` for what cannot be incremented. */
export function numberIn(state: RegisterState): number | undefined {
  if (state === null) return 0;
  const text = state.startsWith(mark) ? state.slice(1) : state;
  if (!/^(0|-?[1-9][0-9]{0,15})$/.test(text)) return undefined;
  return Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
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
    case "increment":
      return stepIncrement(state, operation, known);
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

function stepIncrement(state: RegisterState, operation: Operation, known: boolean) {
  const before = numberIn(state);
  const after = before === undefined ? undefined : before + amountOf(operation)!;
  if (after === undefined || !Number.isSafeInteger(after)) return known ? undefined : state;
  const told = known ? incrementedTo(operation) : undefined;
  return told === undefined || told === after ? registerValue(after) : undefined;
}

function refuses(operation: Operation): string | undefined {
  if (operation.f === "cas" && !(Array.isArray(operation.input) && operation.input.length === 2)) {
    return "a cas needs [expected, new] as its value";
  }
  if (operation.f === "increment") return refusesIncrement(operation);
  return known.has(operation.f) ? undefined : `a register knows no operation "${operation.f}"`;
}

const known = new Set(["read", "write", "cas", "delete"]);

function refusesIncrement(operation: Operation): string | undefined {
  if (amountOf(operation) === undefined) return "an increment needs a whole number as its value";
  const { output, outcome } = operation;
  const isSilent = output === null || output === undefined;
  return outcome !== "ok" || isSilent || incrementedTo(operation) !== undefined
    ? undefined
    : "an increment must return a whole number, or nothing";
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
    case "increment":
      return operation.input === null || operation.input === undefined
        ? "increment"
        : `increment by ${quote(operation.input)}`;
    default:
      return operation.f;
  }
}

/** A value of a history for a sentence: short, quoted, on one line, whatever a store printed. */
export function quote(value: unknown): string {
  if (value === null || value === undefined) return "nil";
  return shortened(JSON.stringify(value) ?? String(value));
}

/** The same of a value as `registerValue` writes it. */
export function showValue(state: RegisterState): string {
  // What is marked is JSON already.
  return state?.startsWith(mark) ? shortened(state.slice(mark.length)) : quote(state);
}

function shortened(text: string): string {
  return text.length > 48 ? `${text.slice(0, 45)}…"` : text;
}
