/**
 * Verifies a witness, an order of operations that is said to explain a history, with no knowledge of how it was found:
 * the model accepts the operations one after the other, none of them is missing or doubled, and the order agrees with
 * real time. Linear in the number of operations.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";

/**
 * What is wrong with a witness, in one sentence; `undefined` when it stands.
 *
 * @param operations everything the witness must explain: each `ok` operation has to occur in it, `info` ones may.
 * @param from the state before the first operation, when it is not the model's own.
 */
export function refuteWitness<State>(
  model: Model<State>,
  operations: readonly Operation[],
  witness: readonly Operation[],
  from: State = model.init(),
): string | undefined {
  let state = from;
  let latestCall = -1;
  const placed = new Set<Operation>();
  for (const operation of witness) {
    if (placed.has(operation)) return `event ${operation.call} is in the witness twice`;
    placed.add(operation);
    if (operation.bound < latestCall) {
      return `event ${operation.call} had ended (${operation.bound}) before event ${latestCall}, which precedes it in the witness`;
    }
    latestCall = Math.max(latestCall, operation.call);
    const after = model.step(state, operation);
    if (after === undefined)
      return `event ${operation.call} cannot have ended as it did at its place in the witness`;
    state = after;
  }
  const missing = operations.find((operation) => operation.outcome === "ok" && !placed.has(operation));
  return missing && `event ${missing.call} is not in the witness`;
}
