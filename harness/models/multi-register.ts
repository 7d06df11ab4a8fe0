/**
 * Several registers that change together: `txn` of a list of ["r", key, null] and ["w", key, value], which takes effect at
 * one moment; its result is the same list with the values read filled in. A read sees what the transaction itself wrote
 * before it. Registers start without a value (null). All keys are one partition, so keep them few: for many keys see the
 * transaction checkers, which need no search.
 *
 * Worked example, not linearizable: each transaction missed the other's write, so neither came first.
 * ```
 * client 0  |--r x nil, w y 1--|
 * client 1  |--r y nil, w x 1--|
 * ```
 */
import type { Operation } from "../history/operation.ts";
import { hashString, type Model } from "./contract.ts";
import { quote, type RegisterState, registerValue, showValue } from "./register.ts";

/** One read or write of a transaction. */
export type MicroOperation = readonly ["r" | "w", string, unknown];

/** Values by key; keys without one are absent. */
export type MultiRegisterState = ReadonlyMap<string, RegisterState>;

export const multiRegisterModel: Model<MultiRegisterState> = {
  name: "multi-register",
  partition: () => "",
  init: () => new Map(),
  step(state, operation) {
    let after = state;
    for (const [f, key, value] of partsOf(operation)) {
      const said = registerValue(value);
      if (f === "w") after = written(after, key, said);
      else if (operation.outcome === "ok" && (after.get(key) ?? null) !== said) return undefined;
    }
    return after;
  },
  readOnly: (operation) => partsOf(operation).every(([f]) => f === "r"),
  equal: (a, b) => a === b || (a.size === b.size && [...a].every(([key, value]) => b.get(key) === value)),
  hash(state) {
    let hash = state.size;
    for (const [key, value] of state) hash ^= Math.imul(hashString(key), 31) + hashString(value ?? "");
    return hash | 0;
  },
  refuses(operation) {
    if (operation.f !== "txn") return `a multi-register knows no operation "${operation.f}"`;
    const parts = operation.outcome === "ok" ? operation.output : operation.input;
    const isGood =
      Array.isArray(parts) &&
      parts.every((part) => Array.isArray(part) && (part[0] === "r" || part[0] === "w") && part.length === 3);
    return isGood ? undefined : 'a txn needs a list of ["r", key, value] and ["w", key, value]';
  },
  describe: (operation) => `txn ${partsOf(operation).map(shownPart).join(", ")}`,
  show: (state) => [...state].map(([key, value]) => `${key} = ${showValue(value)}`).join(", ") || "all nil",
  expected(state, operation) {
    let after = state;
    const seen = partsOf(operation).map(([f, key, value]): string => {
      if (f === "w") after = written(after, key, registerValue(value));
      return f === "w" ? shownPart([f, key, value]) : `r ${key} ${showValue(after.get(key) ?? null)}`;
    });
    return seen.join(", ");
  },
};

/** What was done: with the values read, where they are known. */
function partsOf(operation: Operation): readonly MicroOperation[] {
  return (operation.outcome === "ok" ? operation.output : operation.input) as readonly MicroOperation[];
}

/** A register without a value is left out, so that equal states have equal maps. */
function written(state: MultiRegisterState, key: string, value: RegisterState): MultiRegisterState {
  if ((state.get(key) ?? null) === value) return state;
  const after = new Map(state);
  if (value === null) after.delete(key);
  else after.set(key, value);
  return after;
}

function shownPart([f, key, value]: MicroOperation): string {
  return `${f} ${key} ${quote(value)}`;
}
