/**
 * One measurement: one store, one operation, n clients, once. Connections are opened for it and closed after it, so
 * that every measurement starts from the same state and a store's per-connection counters are complete.
 *
 * A read must find a value of the right size and an upsert must be acknowledged; anything else ends the bench.
 */
import type { MeasuredConnection, MeasuredDone, MeasuredSession } from "../../stores/contract.ts";
import { type ClosedLoopResult, runClosedLoop } from "../clients/closed-loop.ts";
import { type OpenLoopResult, runOpenLoop } from "../clients/open-loop.ts";
import { monotonicClock } from "./clock.ts";
import { type RequestSource, valueBytes } from "./dataset.ts";
import { TimeHistogram } from "./histogram.ts";
import { watchProcessor } from "./processor.ts";
import { poissonArrivals, seededRandom } from "./random.ts";
import type { BenchOperation } from "./results.ts";

const stallNs = 15e9;
const drainNs = 5e9;
/** Requests that may wait at once; with a queue this long the response times have said what there is to say. */
const queueMax = 200_000;
const lateNs = 1e6;

/** What is measured, and on what. */
export interface CellTask {
  readonly session: MeasuredSession;
  readonly operation: BenchOperation;
  readonly clients: number;
  readonly source: RequestSource;
  readonly warmupMs: number;
  readonly measureMs: number;
}

interface Surroundings {
  /** Share of one core the generator used. */
  readonly generatorCpu: number;
  /** Part of the machine's CPU time taken by a hypervisor. */
  readonly stolen: number;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface ClosedSample extends Surroundings {
  readonly perSecond: number;
  /** The caller releases it. */
  readonly serviceTimes: TimeHistogram;
  /** Of the store's log over the whole measurement; absent where it counts none. */
  readonly log?: { readonly syncs: number; readonly bytes?: number };
  /** Requests over the whole measurement, warm-up included. */
  readonly total: number;
  /** From the first request to the last, ns. */
  readonly totalNs: number;
}

export interface OpenSample extends Surroundings, OpenLoopResult {
  /** The caller releases them. */
  readonly responseTimes: TimeHistogram;
  readonly serviceTimes: TimeHistogram;
  readonly lag: TimeHistogram;
}

/** As fast as `clients` connections with one request in flight each can. */
export async function measureClosed(task: CellTask): Promise<ClosedSample> {
  const serviceTimes = new TimeHistogram();
  const before = await task.session.logCounters();
  const run = (connections: readonly MeasuredConnection[]): Promise<ClosedLoopResult> =>
    runClosedLoop({
      connections,
      send: sender(task),
      clock: monotonicClock,
      warmupNs: task.warmupMs * 1e6,
      measureNs: task.measureMs * 1e6,
      stallNs,
      onServiceTime: (ns) => serviceTimes.record(ns),
    });
  const { result, ...surroundings } = await surrounded(task, run);
  const after = await task.session.logCounters();
  return {
    ...surroundings,
    perSecond: (result.completed / result.elapsedNs) * 1e9,
    serviceTimes,
    total: result.total,
    ...(before && after ? { log: difference(before, after) } : {}),
  };
}

/** `perSecond` requests due by a Poisson process, whatever the store does. */
export async function measureOpen(task: CellTask, perSecond: number, seed: number): Promise<OpenSample> {
  const [responseTimes, serviceTimes, lag] = [new TimeHistogram(), new TimeHistogram(), new TimeHistogram()];
  const run = (connections: readonly MeasuredConnection[]): Promise<OpenLoopResult> =>
    runOpenLoop({
      connections,
      send: sender(task),
      clock: monotonicClock,
      arrivals: poissonArrivals(perSecond, seededRandom(seed)),
      warmupNs: task.warmupMs * 1e6,
      measureNs: task.measureMs * 1e6,
      drainNs,
      queueMax,
      lateNs,
      onTimes: (responseNs, serviceNs) => {
        responseTimes.record(responseNs);
        serviceTimes.record(serviceNs);
      },
      onLag: (ns) => lag.record(ns),
    });
  const { result, totalNs: _, ...surroundings } = await surrounded(task, run);
  return { ...surroundings, ...result, responseTimes, serviceTimes, lag };
}

/** Opens the connections, runs, closes them whatever happened, and notes the processor's use meanwhile. */
async function surrounded<Result>(
  task: CellTask,
  run: (connections: readonly MeasuredConnection[]) => Promise<Result>,
): Promise<Surroundings & { result: Result; totalNs: number }> {
  const attempts = await Promise.allSettled(
    Array.from({ length: task.clients }, () => task.session.connect()),
  );
  const connections = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  try {
    for (const attempt of attempts) if (attempt.status === "rejected") throw attempt.reason;
    const startedAt = Date.now();
    const from = monotonicClock.now();
    const processor = watchProcessor();
    const result = await run(connections);
    const { own, stolen } = processor();
    const totalNs = monotonicClock.now() - from;
    return { result, totalNs, generatorCpu: own, stolen, startedAt, endedAt: Date.now() };
  } finally {
    await Promise.all(connections.map((connection) => connection.close()));
  }
}

function sender({
  operation,
  source,
}: CellTask): (connection: MeasuredConnection, done: MeasuredDone) => void {
  if (operation === "upsert")
    return (connection, done) => connection.upsert(source.key(), source.value(), done);
  return (connection, done) =>
    connection.read(source.key(), (error, value) => {
      if (error || value?.length === valueBytes) return done(error);
      done(new Error(`a read found ${value === undefined ? "nothing" : `${value.length} bytes`}`));
    });
}

function difference(
  before: { syncs: number; bytes?: number },
  after: { syncs: number; bytes?: number },
): { syncs: number; bytes?: number } {
  const syncs = after.syncs - before.syncs;
  if (before.bytes === undefined || after.bytes === undefined) return { syncs };
  return { syncs, bytes: after.bytes - before.bytes };
}
