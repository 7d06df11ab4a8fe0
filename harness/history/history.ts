/** A history in memory: operations paired from events, and the starts of each node. */
import type { HistoryEvent, Operation, Outcome, Readiness } from "./operation.ts";

/** Immutable. Operations are in order of invocation. */
export interface History {
  readonly operations: readonly Operation[];
  readonly readiness: readonly Readiness[];
}

/** A history that contradicts itself: named by the event's index. */
export class HistoryError extends Error {
  override readonly name = "HistoryError";
}

/**
 * Pairs each invocation with its process's next completion. An operation that was never completed is `info`. On a
 * single node, an `info` operation sent to incarnation k has taken effect before incarnation k+1 is ready, or never:
 * that readiness is its `bound`; without one, or with several nodes, the bound is Infinity.
 *
 * @throws HistoryError when a process invokes twice without completing, or completes without invoking.
 */
export function buildHistory(events: Iterable<HistoryEvent>): History {
  const invoked = new Map<number, HistoryEvent>();
  const pairs: { call: HistoryEvent; completion: HistoryEvent | undefined }[] = [];
  const readiness: Readiness[] = [];
  for (const event of events) {
    if (event.process === "nemesis") {
      if (event.f === "ready") readiness.push(readinessOf(event));
      continue;
    }
    const open = invoked.get(event.process);
    if (event.type === "invoke") {
      if (open) {
        throw new HistoryError(
          `event ${event.index}: process ${event.process} invoked "${event.f}" while its "${open.f}" (event ${open.index}) was still open`,
        );
      }
      invoked.set(event.process, event);
    } else {
      if (!open) {
        throw new HistoryError(
          `event ${event.index}: process ${event.process} completed "${event.f}" without having invoked it`,
        );
      }
      invoked.delete(event.process);
      pairs.push({ call: open, completion: event });
    }
  }
  for (const call of invoked.values()) pairs.push({ call, completion: undefined });
  pairs.sort((a, b) => a.call.index - b.call.index);
  const boundOf = incarnationBounds(readiness);
  return {
    operations: pairs.map(({ call, completion }) => operationOf(call, completion, boundOf)),
    readiness,
  };
}

/** The part of a history that belongs to one workload. */
export function ofWorkload(history: History, workload: string): History {
  return {
    ...history,
    operations: history.operations.filter((operation) => operation.workload === workload),
  };
}

/** Operations by key, each list in order of invocation. */
export function byKey(operations: readonly Operation[]): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>();
  for (const operation of operations) {
    const group = groups.get(operation.key);
    if (group) group.push(operation);
    else groups.set(operation.key, [operation]);
  }
  return groups;
}

/** The start of a node that a nemesis's event `ready` tells of. */
export function readinessOf(event: HistoryEvent): Readiness {
  const base = {
    node: event.node ?? "n1",
    incarnation: event.incarnation ?? 0,
    rank: event.index,
    time: event.time,
  };
  return event.value === undefined ? base : { ...base, report: event.value };
}

/** The rank by which an indeterminate operation, by its call and incarnation, has taken effect or never will. */
export type BoundOf = (call: number, incarnation: number) => number;

/** See `buildHistory`. */
export function incarnationBounds(readiness: readonly Readiness[]): BoundOf {
  const nodes = new Set(readiness.map((start) => start.node));
  if (nodes.size > 1) return () => Number.POSITIVE_INFINITY;
  const starts = [...readiness].sort((a, b) => a.incarnation - b.incarnation);
  return (call, incarnation) =>
    starts.find((start) => start.incarnation > incarnation && start.rank > call)?.rank ??
    Number.POSITIVE_INFINITY;
}

function operationOf(call: HistoryEvent, completion: HistoryEvent | undefined, boundOf: BoundOf): Operation {
  const outcome: Outcome = completion && completion.type !== "invoke" ? completion.type : "info";
  const node = call.node ?? "n1";
  const incarnation = call.incarnation ?? 0;
  const completed = completion?.index ?? Number.POSITIVE_INFINITY;
  return {
    process: call.process as number,
    workload: call.workload ?? "",
    f: call.f,
    key: call.key ?? "",
    input: call.value,
    outcome,
    output: outcome === "ok" ? completion?.value : undefined,
    ...(completion?.matched === undefined ? {} : { matched: completion.matched }),
    ...(completion?.error === undefined ? {} : { error: completion.error }),
    call: call.index,
    return: completed,
    bound: outcome === "info" ? boundOf(call.index, incarnation) : completed,
    calledAt: call.time,
    returnedAt: completion?.time ?? Number.POSITIVE_INFINITY,
    node,
    incarnation,
    readBack: call.readBack === true,
    ...(call.syncsBegun === undefined ? {} : { syncsBegun: call.syncsBegun }),
    ...(completion?.syncCompleted === undefined ? {} : { syncCompleted: completion.syncCompleted }),
    ...(completion?.replyPort === undefined ? {} : { replyPort: completion.replyPort }),
    ...(completion?.replyBytes === undefined ? {} : { replyBytes: completion.replyBytes }),
  };
}
