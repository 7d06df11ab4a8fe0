/**
 * The load of one epoch: N concurrent clients, each a stream of requests of one workload sent through a recording
 * client at its pace; and the read-back of everything after a restart, through the same clients.
 */
import type { Reply, Request } from "../../stores/contract.ts";
import type { RequestStream, Workload } from "../../workloads/contract.ts";
import { ClosedLoopPacer } from "./pacing.ts";
import type { RecordingClient } from "./recording-client.ts";

export interface LoadClient {
  readonly client: RecordingClient;
  readonly workload: Workload;
  readonly stream: RequestStream;
}

const reconnectPauseMs = 10;

/** Sends until the signal aborts, then returns once nothing is in flight any more. Never rejects. */
export async function sendLoad(
  clients: readonly LoadClient[],
  operationsPerSecond: number,
  seed: number,
  signal: AbortSignal,
): Promise<void> {
  const share = operationsPerSecond / clients.length;
  await Promise.all(
    clients.map((client, index) => sendOne(client, new ClosedLoopPacer(share, seed + index), signal)),
  );
}

async function sendOne(load: LoadClient, pacer: ClosedLoopPacer, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const delay = pacer.delayMs(performance.now());
    if (delay > 0) await sleep(delay);
    if (signal.aborted) return;
    if (!(await load.client.connect())) {
      await sleep(reconnectPauseMs);
      continue;
    }
    const request = load.stream.next();
    load.stream.observe(request, await load.client.perform(request));
  }
}

/** One request of a script, and which client sends it. */
export interface ScriptedRequest {
  readonly client: number;
  readonly request: Request;
}

/**
 * Sends a fixed list of requests: each client its own, in order, one at a time, all clients at once. What ends as `fail`
 * or `info` is not sent again. Returns when all are sent, the signal aborts, or nobody can connect for `deadlineMs`.
 */
export async function sendScript(
  clients: readonly LoadClient[],
  script: readonly ScriptedRequest[],
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    clients.map(async ({ client }, index) => {
      const own = script.filter((scripted) => scripted.client === index);
      let connectBy = performance.now() + deadlineMs;
      for (let next = 0; next < own.length && !signal.aborted; ) {
        if (await client.connect()) {
          await client.perform(own[next++]!.request);
          connectBy = performance.now() + deadlineMs;
        } else if (performance.now() > connectBy) return;
        else await sleep(reconnectPauseMs);
      }
    }),
  );
}

/** How a phase of requests that have to succeed ended; `unanswered` names the first that did not. */
export interface Thoroughness {
  readonly answered: number;
  readonly unanswered: readonly string[];
}

/**
 * Sends every workload's `setUp`, in order, and requires `ok`: without the opening balances a bank is not a bank.
 */
export async function setUp(
  clients: readonly LoadClient[],
  epoch: number,
  deadlineMs: number,
): Promise<Thoroughness> {
  return sendAll(clients, (workload) => workload.setUp(epoch), false, deadlineMs);
}

/** Reads everything back: every workload's keys, split over that workload's clients. `over` ends it before its time. */
export async function readBack(
  clients: readonly LoadClient[],
  epoch: number,
  deadlineMs: number,
  over?: AbortSignal,
): Promise<Thoroughness> {
  return sendAll(clients, (workload) => workload.readBack(epoch), true, deadlineMs, over);
}

async function sendAll(
  clients: readonly LoadClient[],
  requestsOf: (workload: Workload) => readonly Request[],
  isReadBack: boolean,
  deadlineMs: number,
  over?: AbortSignal,
): Promise<Thoroughness> {
  const deadline = performance.now() + deadlineMs;
  const timeIsOver = () => over?.aborted === true || performance.now() >= deadline;
  const unanswered: string[] = [];
  let answered = 0;
  const ask = async (load: LoadClient, request: Request): Promise<void> => {
    if (timeIsOver()) {
      unanswered.push(`${request.f} ${request.key}: not asked before the time was over`);
      return;
    }
    const reply = await persist(load, request, isReadBack, timeIsOver);
    if (reply?.type === "ok") answered++;
    else unanswered.push(`${request.f} ${request.key}: ${reply ? errorOf(reply) : "no connection"}`);
  };
  await Promise.all(
    [...new Set(clients.map((load) => load.workload))].map(async (workload) => {
      const own = clients.filter((load) => load.workload === workload);
      const requests = [...requestsOf(workload)];
      const lanes = isReadBack ? own : own.slice(0, 1);
      await Promise.all(
        lanes.map(async (load) => {
          for (let request = requests.shift(); request; request = requests.shift()) await ask(load, request);
        }),
      );
    }),
  );
  return { answered, unanswered };
}

/** Each attempt is an operation of its own in the history: nothing is resent under the same name. */
async function persist(
  load: LoadClient,
  request: Request,
  isReadBack: boolean,
  timeIsOver: () => boolean,
): Promise<Reply | undefined> {
  let reply: Reply | undefined;
  do {
    if (!(await load.client.connect())) {
      await sleep(reconnectPauseMs);
      continue;
    }
    reply = await load.client.perform(request, { readBack: isReadBack });
    if (reply.type === "ok") return reply;
    await sleep(reconnectPauseMs);
  } while (!timeIsOver());
  return reply;
}

function errorOf(reply: Reply): string {
  return reply.type === "ok" ? "" : reply.error;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
