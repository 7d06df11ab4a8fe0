/**
 * What a store owed its clients at each event of a trace: when each operation may have begun, and from which event on it
 * had been acknowledged. From that the history *cut at an event* is made: operations invoked later are removed, and those
 * that had not been acknowledged yet are pending.
 *
 * An operation is acknowledged at the begin event of the send that carries the last byte of its reply (`traced`). Where
 * that send is not in the trace, the client's clock stands in: the operation counts as acknowledged at the first event
 * after its reply had arrived (`weak`: what a store acknowledges too early may be hidden by the client's own lag). Either
 * way it is owed by every crash state from that event on, and both are on the safe side: an operation is never owed before
 * its reply was on its way.
 *
 * Invocations are placed by the client's clock, which is the trace's own (CLOCK_MONOTONIC): an operation may have taken
 * effect from the first event that came at or after its sending. Since events are stamped before they are numbered, the
 * greatest stamp so far decides.
 */
import type { Trace, TraceEvent } from "../../../faults/contract.ts";
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";

/** An operation and its places in the trace. */
export interface PlacedOperation {
  readonly operation: Operation;
  /** Index of the first event at which it may have taken effect; Infinity when it was sent after the last one. */
  readonly invokedAt: number;
  /** Index of the event from which on it was acknowledged (or refused); Infinity when it never was. */
  readonly acknowledgedAt: number;
  /** When it was acknowledged, ns since the history's time 0. */
  readonly acknowledgedNs: number;
  /** The operation as it is while nothing has been heard of it. */
  readonly pending: Operation;
}

export interface Obligations {
  /** In order of invocation. */
  readonly operations: readonly PlacedOperation[];
  readonly acknowledgements: "traced" | "weak";
  /** How many acknowledgements were placed by the client's clock. */
  readonly weak: number;
  /** A rank after everything in the history: where power is lost in every cut. */
  readonly crashRank: number;
  /** The greatest incarnation in the history. */
  readonly incarnations: number;
  readonly history: History;
  /** The moment of an event, ns since the history's time 0; never before that of an earlier event. */
  timeOf(event: number): number;
  /**
   * How long the store had been up until a moment: time during which it was down, waiting to be restarted, is left out.
   * @param ns since the history's time 0; the result, too, is in ns.
   */
  upTime(ns: number): number;
}

/**
 * @param startNs CLOCK_MONOTONIC at time 0 of the history, ns.
 */
export function placeOperations(history: History, trace: Trace, startNs: number): Obligations {
  const stamps = risingStamps(trace.events, startNs);
  const sends = sendsByPort(trace.events, startNs);
  const crashRank = rankAfter(history);
  let weak = 0;
  const operations = history.operations.map((operation): PlacedOperation => {
    const heard = operation.outcome !== "info" && Number.isFinite(operation.return);
    const send = heard ? sendOf(operation, sends) : undefined;
    // A refusal that never reached the store (its connection was gone) has no reply, and owes nothing.
    if (heard && !send && operation.outcome === "ok") weak++;
    return {
      operation,
      invokedAt: firstFrom(stamps, operation.calledAt),
      acknowledgedAt:
        send?.event ?? (heard ? firstFrom(stamps, operation.returnedAt) : Number.POSITIVE_INFINITY),
      acknowledgedNs: send?.atNs ?? operation.returnedAt,
      pending: pendingOf(operation, crashRank),
    };
  });
  return {
    operations,
    acknowledgements: weak === 0 ? "traced" : "weak",
    weak,
    crashRank,
    incarnations: Math.max(0, ...history.operations.map(({ incarnation }) => incarnation)),
    history,
    upTime: upTimes(history, operations),
    timeOf: (event) => stamps[Math.max(0, Math.min(event, stamps.length - 1))] ?? 0,
  };
}

/** The operation as the cut at this event has it; `undefined` when it had not been invoked. */
export function operationAt(placed: PlacedOperation, event: number): Operation | undefined {
  if (placed.invokedAt > event) return undefined;
  return placed.acknowledgedAt <= event ? placed.operation : placed.pending;
}

/** The history as it stood after this event, without anything that was recovered. */
export function historyAt(obligations: Obligations, event: number): History {
  const now = obligations.timeOf(event);
  return {
    operations: obligations.operations
      .map((placed) => operationAt(placed, event))
      .filter((operation) => operation !== undefined),
    readiness: obligations.history.readiness.filter(({ time }) => time <= now),
  };
}

/**
 * Down is from the last acknowledgement of an incarnation until the next one was ready: a store that lives on after its
 * last acknowledgement is given that time, which is on the safe side.
 */
function upTimes({ readiness }: History, operations: readonly PlacedOperation[]): (ns: number) => number {
  const down = readiness
    .filter(({ incarnation }) => incarnation > 0)
    .map(({ incarnation, time }) => {
      const before = operations.filter((placed) => placed.operation.incarnation < incarnation);
      const heard = before.map(({ acknowledgedNs }) => acknowledgedNs).filter((ns) => ns < time);
      return { from: heard.reduce((latest, ns) => Math.max(latest, ns), 0), to: time };
    });
  return (ns) => down.reduce((up, { from, to }) => up - Math.max(0, Math.min(ns, to) - from), ns);
}

function pendingOf(operation: Operation, crashRank: number): Operation {
  const { matched: _, error: __, ...rest } = operation;
  return {
    ...rest,
    outcome: "info",
    output: undefined,
    return: Number.POSITIVE_INFINITY,
    returnedAt: Number.POSITIVE_INFINITY,
    // What was in flight when an incarnation ended has taken effect before the next one was ready, or never.
    bound: operation.outcome === "info" ? Math.min(operation.bound, crashRank) : crashRank,
  };
}

function rankAfter({ operations, readiness }: History): number {
  let last = 0;
  for (const operation of operations) {
    last = Math.max(last, operation.call, Number.isFinite(operation.return) ? operation.return : 0);
  }
  for (const { rank } of readiness) last = Math.max(last, rank);
  return last + 1;
}

/** By event: the greatest stamp so far, ns since the history's time 0. */
function risingStamps(events: readonly TraceEvent[], startNs: number): Float64Array {
  const stamps = new Float64Array(events.length);
  let latest = Number.NEGATIVE_INFINITY;
  for (const [i, { atNs }] of events.entries()) {
    latest = Math.max(latest, atNs - startNs);
    stamps[i] = latest;
  }
  return stamps;
}

/** Index of the first event stamped at or after this time (ns); Infinity when there is none. */
function firstFrom(stamps: Float64Array, time: number): number {
  let [low, high] = [0, stamps.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (stamps[middle]! < time) low = middle + 1;
    else high = middle;
  }
  return low === stamps.length ? Number.POSITIVE_INFINITY : low;
}

interface Send {
  readonly event: number;
  /** ns since the history's time 0. */
  readonly atNs: number;
  /** Bytes of the connection before it, and after it. */
  readonly from: number;
  readonly to: number;
}

/** Sends by the peer's port, in order of the trace. */
function sendsByPort(events: readonly TraceEvent[], startNs: number): ReadonlyMap<number, readonly Send[]> {
  const ends = new Map<number, TraceEvent>();
  for (const event of events) if (event.kind === "send" && event.phase === "end") ends.set(event.call, event);
  const byPort = new Map<number, Send[]>();
  for (const event of events) {
    if (event.kind !== "send" || event.phase !== "begin" || !event.port) continue;
    const end = ends.get(event.index);
    // A send that was cut off by a kill may have left whole; one that failed has left nothing.
    const size = end === undefined ? event.size : Math.max(0, end.result ?? end.size);
    const send = {
      event: event.index,
      atNs: event.atNs - startNs,
      from: event.offset,
      to: event.offset + size,
    };
    const known = byPort.get(event.port);
    if (known) known.push(send);
    else byPort.set(event.port, [send]);
  }
  return byPort;
}

/** Ports are used again by later connections, so the send must lie between the request and its reply. */
function sendOf(operation: Operation, sends: ReadonlyMap<number, readonly Send[]>): Send | undefined {
  const { replyPort, replyBytes, calledAt, returnedAt } = operation;
  if (replyPort === undefined || replyBytes === undefined) return undefined;
  return sends
    .get(replyPort)
    ?.find(
      ({ atNs, from, to }) => from < replyBytes && replyBytes <= to && atNs >= calledAt && atNs <= returnedAt,
    );
}
