/**
 * Sequential consistency (Lamport 1979) of registers and keys: is there one order of all operations, over all keys, that
 * agrees with the order of each process and that one copy of the store could have served? Unlike linearizability it is
 * no property of the single keys, and it ignores real time between processes.
 *
 * Verified: `false` by a cycle of what must come before what (sequential-graph.ts), or by a search that tried everything;
 * `true` by an order that a separate function replayed. NP-complete, so the search has the check's budget; beyond it the
 * verdict is unknown, and says how far it came. Operations of unknown outcome have taken effect at any time, or never.
 * Real time is ignored altogether, as the definition does: even a value read before its write was sent can be in order.
 */
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import { type RegisterState, registerModel, registerValue } from "../../models/register.ts";
import type { CheckContext, CheckResult, Finding } from "../contract.ts";
import { Gathering, inOrder, seconds } from "../findings.ts";
import { explainShortest } from "./sequential-explain.ts";
import { SequentialGraph } from "./sequential-graph.ts";
import { SequentialSearch } from "./sequential-search.ts";
import { type InitialValues, sessionNumbers, versionsOf } from "./versions.ts";

export interface SequentialOptions {
  /** Values of keys before the first operation; keys that are not named have none. */
  readonly initial?: InitialValues;
}

/** Checks one register-like workload's history, over all its keys at once. */
export function checkSequential(
  history: History,
  context: CheckContext,
  options: SequentialOptions = {},
): CheckResult {
  const gathering = new Gathering("sequential consistency", context);
  const { operations } = history;
  gathering.count("operations", operations.length);
  gathering.count("processes", new Set(operations.map(({ process }) => process)).size);
  judge(operations, options.initial ?? new Map(), gathering);
  return gathering.result(operations[0]?.workload);
}

function judge(operations: readonly Operation[], initial: InitialValues, gathering: Gathering): void {
  const { accesses, phantoms, refused } = versionsOf(operations, initial, false);
  if (refused) {
    gathering.reasons.push(refused);
    return;
  }
  if (phantoms.length > 0) {
    gathering.findings.push(...phantoms);
    return;
  }
  if (accesses.length === 0) {
    gathering.reasons.push("nothing was written or read, so nothing was judged");
    return;
  }
  const sessionOf = sessionNumbers(operations);
  const graph = new SequentialGraph(accesses, sessionOf);
  const saturation = graph.saturate(gathering.endsAt);
  if (typeof saturation === "object") {
    gathering.findings.push(explainShortest(saturation.cycles, graph));
    return;
  }
  const search = new SequentialSearch(operations, graph, initial, sessionOf);
  const verdict = search.advance(gathering.endsAt);
  if (verdict === true) {
    const witness = search.witness();
    const wrong = refuteSequential(operations, witness, initial);
    if (wrong) gathering.reasons.push(`the checker's own order does not stand: ${wrong}`);
    else gathering.count("operationsInWitness", witness.length);
    return;
  }
  gathering.count("operationsPlacedAtMost", search.deepest);
  if (verdict === false) gathering.findings.push(nothingFits(search));
  else {
    gathering.reasons.push(
      `the search for one order ran out of time; it had placed ${search.deepest} of ${search.total} operations at most`,
    );
  }
}

/**
 * What is wrong with an order that is said to explain a history; undefined when it stands. Independent of how it was
 * found, and linear: one copy accepts the operations one after the other, each process's are in its own order, and none is
 * missing or doubled.
 */
export function refuteSequential(
  operations: readonly Operation[],
  witness: readonly Operation[],
  initial: InitialValues = new Map(),
): string | undefined {
  const states = new Map<string, RegisterState>();
  const sessionOf = sessionNumbers(operations);
  const lastOf = new Map<number, number>();
  for (const operation of witness) {
    const { call, process, key, outcome } = operation;
    const session = sessionOf(operation);
    if (outcome === "fail") return `event ${call} was refused, and so did not happen`;
    if (call <= (lastOf.get(session) ?? -1)) return `event ${call} is out of the order of process ${process}`;
    lastOf.set(session, call);
    const state = states.has(key) ? states.get(key)! : registerValue(initial.get(key));
    const after = registerModel.step(state, operation);
    if (after === undefined) return `event ${call} cannot have ended as it did at its place`;
    states.set(key, after);
  }
  const placed = new Set(witness);
  const missing = operations.find((operation) => operation.outcome === "ok" && !placed.has(operation));
  return missing && `event ${missing.call} is missing`;
}

function nothingFits(search: SequentialSearch): Finding {
  const next = inOrder(search.stuckAt).slice(0, 6);
  const workload = next[0]?.workload;
  const told = next.map(
    (operation) =>
      `client ${operation.process}'s ${registerModel.describe(operation)} on key ${operation.key}, sent at ${seconds(operation.calledAt)}`,
  );
  return {
    kind: "not-sequentially-consistent",
    ...(workload ? { workload } : {}),
    operations: next,
    sentence: `every order was tried, and none explains all ${search.total} operations; the longest ends after ${search.deepest}, where none of these can be next: ${told.join("; ")}`,
  };
}
