/**
 * A counter that starts at 0: `add` of any whole amount (1 when none is given; negative ones subtract), `read`. An `add`
 * that returned a number is held to it: it is the value after the addition.
 *
 * Worked example, not linearizable: the second read misses an addition that the first one saw.
 * ```
 * client 0  |--------add 2--------------|
 * client 1     |--read 2--|  |--read 0--|
 * ```
 */
import type { Operation } from "../history/operation.ts";
import type { Model } from "./contract.ts";

export const counterModel: Model<number> = {
  name: "counter",
  partition: (operation) => operation.key,
  init: () => 0,
  step(state, operation) {
    const known = operation.outcome === "ok";
    if (operation.f === "read") return !known || operation.output === state ? state : undefined;
    if (operation.f !== "add") return undefined;
    const after = state + amountOf(operation);
    return !known || typeof operation.output !== "number" || operation.output === after ? after : undefined;
  },
  readOnly: (operation) => operation.f === "read" || amountOf(operation) === 0,
  equal: (a, b) => a === b,
  hash: (state) => state | 0,
  refuses(operation) {
    if (operation.f === "read") {
      const isCount = operation.outcome !== "ok" || typeof operation.output === "number";
      return isCount ? undefined : "a read of a counter must return a number";
    }
    if (operation.f !== "add") return `a counter knows no operation "${operation.f}"`;
    return Number.isSafeInteger(amountOf(operation)) ? undefined : "an addition needs a whole number";
  },
  describe: (operation) => (operation.f === "add" ? `add of ${amountOf(operation)}` : operation.f),
  show: String,
  expected: (state, operation) => String(operation.f === "add" ? state + amountOf(operation) : state),
};

function amountOf(operation: Operation): number {
  return operation.input === null || operation.input === undefined ? 1 : (operation.input as number);
}
