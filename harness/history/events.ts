/** The events of a history again: the inverse of `buildHistory`, for formats that keep operations, and to save them. */
import type { History } from "./history.ts";
import type { HistoryEvent, Operation, Readiness } from "./operation.ts";

/**
 * Events in order of their indexes. What is not in operations (faults of the nemesis, completions as `info`) is not there;
 * an operation that never ended has no completion.
 */
export function* eventsOf({ operations, readiness }: History): Generator<HistoryEvent, void, undefined> {
  const completions = operations.filter((operation) => Number.isFinite(operation.return));
  completions.sort((a, b) => a.return - b.return);
  const starts = [...readiness].sort((a, b) => a.rank - b.rank);
  let [completed, started] = [0, 0];
  function* until(index: number): Generator<HistoryEvent, void, undefined> {
    for (;;) {
      const completion = completions[completed];
      const start = starts[started];
      const next = Math.min(completion?.return ?? index, start?.rank ?? index);
      if (next >= index) return;
      if (completion?.return === next) {
        completed++;
        yield completionOf(completion);
      } else {
        started++;
        yield startOf(start!);
      }
    }
  }
  for (const operation of operations) {
    yield* until(operation.call);
    yield invocationOf(operation);
  }
  yield* until(Number.POSITIVE_INFINITY);
}

function invocationOf(operation: Operation): HistoryEvent {
  const { input, syncsBegun } = operation;
  return {
    ...{ index: operation.call, time: operation.calledAt, process: operation.process, type: "invoke" },
    ...placeOf(operation),
    ...(input === undefined ? {} : { value: input }),
    ...{ node: operation.node, incarnation: operation.incarnation },
    ...(operation.readBack ? { readBack: true } : {}),
    ...(syncsBegun === undefined ? {} : { syncsBegun }),
  };
}

function completionOf(operation: Operation): HistoryEvent {
  const { output, matched, error, syncCompleted, replyPort, replyBytes } = operation;
  return {
    ...{ index: operation.return, time: operation.returnedAt, process: operation.process },
    type: operation.outcome,
    ...placeOf(operation),
    ...(output === undefined ? {} : { value: output }),
    ...(matched === undefined ? {} : { matched }),
    ...(error === undefined ? {} : { error }),
    ...(syncCompleted === undefined ? {} : { syncCompleted }),
    ...(replyPort === undefined ? {} : { replyPort }),
    ...(replyBytes === undefined ? {} : { replyBytes }),
  };
}

function placeOf({ f, workload, key }: Operation): Pick<HistoryEvent, "f" | "workload" | "key"> {
  return { f, ...(workload === "" ? {} : { workload }), ...(key === "" ? {} : { key }) };
}

function startOf({ rank, time, node, incarnation, report }: Readiness): HistoryEvent {
  return {
    ...{ index: rank, time, process: "nemesis", type: "info", f: "ready", node, incarnation },
    ...(report === undefined ? {} : { value: report }),
  };
}
