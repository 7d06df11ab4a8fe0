/**
 * The register (register.ts) with what lets a search see that values have become alike, and what puts its states into
 * words. The exact method for unique values needs none of it.
 *
 * Worked example, without unique values, so that it is searched; client 2 must have read between the two writes of 1:
 * ```
 * client 0  |--w 1--|          |--w 1--|
 * client 1            |--w 2--|
 * client 2          |--r 2-----------|    |--r 1--|
 * ```
 */
import type { Operation } from "../history/operation.ts";
import type { Model } from "./contract.ts";
import {
  compareAndSetOf,
  isRefusedCompare,
  type RegisterState,
  registerModel,
  registerValue,
  removedBy,
  showValue,
} from "./register.ts";

export const searchedRegister: Model<RegisterState> = {
  ...registerModel,
  observes,
  overwrites,
  show: showValue,
  expected,
};

/**
 * A write tells no states apart, a read the one it returned, a compare-and-set the one it expected, a delete with a count
 * whether there is none. A refused compare names both: the one it did not see, and the one it did. An increment turns
 * every number into another one, so it tells all states apart.
 */
function observes(operation: Operation): readonly RegisterState[] | undefined {
  const known = operation.outcome === "ok";
  switch (operation.f) {
    case "read":
      return known ? [registerValue(operation.output)] : [];
    case "cas": {
      const [expectedValue] = compareAndSetOf(operation);
      const refusedBy = isRefusedCompare(operation) && operation.output !== undefined;
      return refusedBy ? [expectedValue, registerValue(operation.output)] : [expectedValue];
    }
    case "delete":
      return known && removedBy(operation) !== undefined ? [null] : [];
    case "write":
      return [];
    case "increment":
      return undefined;
    default:
      throw new RangeError(`a register knows no operation "${operation.f}"`);
  }
}

/** A delete that says nothing leaves no value, whatever there was. */
function overwrites(operation: Operation): boolean {
  const isBlindDelete =
    operation.f === "delete" && (operation.outcome !== "ok" || removedBy(operation) === undefined);
  return operation.f === "write" || isBlindDelete;
}

function expected(state: RegisterState, operation: Operation): string | undefined {
  if (operation.f === "read") return showValue(state);
  if (operation.f !== "cas") return undefined;
  return compareAndSetOf(operation)[0] === state ? "success" : `a refusal that saw ${showValue(state)}`;
}
