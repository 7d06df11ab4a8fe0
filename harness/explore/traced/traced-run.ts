/**
 * Makes a trace worth exploring: starts the store with the tracing front end inside, lets at least eight clients load it
 * at once, kills it in the middle, restarts it, reads everything back, loads on, until the run has enough operations and
 * enough content (segments that ended, snapshots, a recycled segment), or its time is over. It leaves the files that
 * traced-run-files.ts reads.
 *
 * Clients connect without proxies, so that each acknowledgement can be placed in the trace by the client's port and the
 * bytes of its reply. What clients saw is judged as in any run (judge.ts); judging crash states is explore.ts's business.
 *
 * Not deterministic: the same seed sends the same requests per client, and the kernel interleaves them as it likes. What
 * is found in a trace replays exactly all the same, because it needs the trace alone.
 */
import { brokerUnavailable, createTrace } from "../../../faults/index.ts";
import { ScenarioError, type Store } from "../../../stores/contract.ts";
import type { Workload } from "../../../workloads/contract.ts";
import {
  type LoadClient,
  readBack,
  type ScriptedRequest,
  sendLoad,
  sendScript,
  setUp,
} from "../../clients/load.ts";
import { RecordingClient } from "../../clients/recording-client.ts";
import { RunClock } from "../../history/clock.ts";
import { buildHistory } from "../../history/history.ts";
import { HistoryWriter } from "../../history/history-file.ts";
import type { HistoryEvent } from "../../history/operation.ts";
import { EpochFacts } from "../../judge.ts";
import { findCompiler } from "../../machine.ts";
import { type RunDirectory, writeJson } from "../../run-directory.ts";
import type { Resolution } from "../../scenario.ts";
import { SingleNode, type StoreNode } from "../../single-node.ts";
import { settleInFlight } from "./in-flight.ts";
import { aimedContent, missingContent, runCounts } from "./traced-run-content.ts";
import { copyBase, readBase, type TracedRunEnd, type TraceRecord } from "./traced-run-files.ts";

/** A fixed list of requests in place of generated load: how a finding is made smaller. */
export interface Script {
  readonly requests: readonly ScriptedRequest[];
  /** SIGKILL when so many of them have been sent, then restart; absent: none. */
  readonly killAfter?: number;
}

/** The run ends with the disk stopping under the store, as in a power cut (reality/store-cut.ts). */
export interface PowerCut {
  /** Before that: SIGKILL when so many requests have been sent, then restart; absent: none. */
  readonly killAfter?: number;
  /** Under load, when so many requests have been sent in all, or the time is over. */
  readonly after: number;
  /** Makes what is in the data directory durable, before the store runs in it: the model takes it to be. */
  readonly makeDurable: (dataDir: string) => void;
  /** Stops the disk. Called once, while requests are in flight; afterwards the store is killed and nothing is read. */
  readonly cut: () => Promise<void>;
}

export interface TracedRunOptions {
  /** From `resolveScenario`, with no faults: nothing but the one kill happens to the store. */
  readonly resolution: Resolution;
  readonly directory: RunDirectory;
  /** The runs/ directory, where active children are written down. */
  readonly runsDir: string;
  /** At least so many operations, read-back not counted. Default 1000. */
  readonly operations?: number;
  /**
   * ms of load, the restart in the middle included. It ends then even if content is missing (the exploration is then
   * unknown).
   */
  readonly loadMs: number;
  readonly script?: Script;
  readonly powerCut?: PowerCut;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { readonly phase: string; readonly operations: number }) => void;
}

/** ms a phase of requests that must be answered may take: opening balances, read-back. */
const answerDeadlineMs = 5000;
/** Larger than any run that can be explored within a minute; space is used as it is needed. */
const traceBytesMax = 512 * 2 ** 20;
/** Invocations per second over all clients: as fast as the store answers. */
const unpaced = 1e6;
const contentPollMs = 60;
/** Part of the operations after which the store is killed. */
const killAt = 0.45;

/**
 * Why this store cannot be traced on this machine, with the remedy; `undefined` when it can. A program that ignores
 * preloaded libraries is traced by the broker.
 */
export async function whyNotTraceable(store: Store): Promise<string | undefined> {
  if (process.platform !== "linux") {
    return `tracing works on Linux only, and this is ${process.platform}; run acked in a Linux container`;
  }
  if (!findCompiler()) return "tracing needs a C compiler; install gcc, or set CC";
  return store.interposable === false ? brokerUnavailable() : undefined;
}

/**
 * Runs it, and leaves the files that `readTracedRun` reads.
 *
 * @throws ScenarioError when the store cannot be traced here or does not start; any error of ours.
 */
export async function tracedRun(options: TracedRunOptions): Promise<void> {
  const refused = await whyNotTraceable(options.resolution.store);
  if (refused) throw new ScenarioError(`acked explore cannot run here: ${refused}`);
  const stage = await TracedStage.open(options);
  try {
    await stage.play();
  } finally {
    await stage.close();
  }
  stage.conclude();
}

class TracedStage {
  readonly #options: TracedRunOptions;
  readonly #clock: RunClock;
  readonly #writer: HistoryWriter;
  readonly #trace: ReturnType<typeof createTrace>;
  readonly #single: SingleNode;
  readonly #record: TraceRecord;
  readonly #facts: EpochFacts;
  readonly #recoveryMs: number[] = [];
  readonly #generations: number[] = [];
  #killAfter: number | undefined;
  #blindSpots: readonly string[] = [];
  #cut = false;
  readonly #events: HistoryEvent[] = [];
  readonly #over = new AbortController();
  #operations = 0;
  /** Called with each new number of operations. */
  #watch: (operations: number) => void = () => {};
  #failure: unknown;

  static async open(options: TracedRunOptions): Promise<TracedStage> {
    const { resolution, directory, runsDir, powerCut } = options;
    const { scenario, store } = resolution;
    const clock = new RunClock();
    const record: TraceRecord = {
      formatVersion: 1,
      startNs: clock.startNs(),
      store: scenario.store,
      durability: scenario.durability,
      workloads: scenario.workloads,
      clients: scenario.clients,
      seed: scenario.seed,
      epoch: 0,
      logFiles: store.logFiles ?? "**",
      snapshotFiles: store.snapshotFiles ?? null,
      mechanism: store.interposable === false ? "broker" : "interposer",
    };
    writeJson(directory.traceRecordFile, record);
    const trace = createTrace({ path: directory.traceFile, capacityBytes: traceBytesMax });
    try {
      const single = await SingleNode.open({
        store,
        durability: scenario.durability,
        directory,
        runsDir,
        clients: scenario.clients,
        interposed: true,
        direct: true,
        explored: true,
        traceEnvironment: trace.environment(),
        onPrepared: (dataDir) => {
          copyBase(dataDir, directory);
          powerCut?.makeDurable(dataDir);
        },
      });
      return new TracedStage(options, clock, trace, single, record);
    } catch (error) {
      trace.close();
      throw error;
    }
  }

  private constructor(
    options: TracedRunOptions,
    clock: RunClock,
    trace: ReturnType<typeof createTrace>,
    single: SingleNode,
    record: TraceRecord,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#trace = trace;
    this.#single = single;
    this.#record = record;
    this.#writer = new HistoryWriter(options.directory.historyFile);
    this.#facts = new EpochFacts(0, clock);
  }

  /** Start, load, kill, restart, read back, load on, read back (or: cut the power). */
  async play(): Promise<void> {
    const { signal, script, powerCut, loadMs, operations = 1000 } = this.#options;
    const interrupt = () => this.#over.abort();
    signal.addEventListener("abort", interrupt, { once: true });
    const node = await this.#single.openEpoch(0);
    const clients = this.#clients(node);
    let timer: NodeJS.Timeout | undefined;
    try {
      if (!(await this.#start(node))) return;
      if (!(await this.#setUp(clients))) return;
      timer = setTimeout(() => this.#over.abort(), loadMs);
      const planned = script ?? powerCut;
      const killAfter = planned ? planned.killAfter : Math.ceil(operations * killAt);
      if (killAfter !== undefined && !(await this.#loadUntilKilled(node, clients, killAfter))) return;
      if (powerCut) await this.#loadUntilCut(node, clients, powerCut);
      else await this.#loadOn(node, clients, operations);
      if (node.running()) await this.#readBack(clients);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", interrupt);
      for (const { client } of clients) client.close();
      // A store whose disk has stopped may stop, too.
      if (!this.#cut) this.#facts.cycleOver(node, []);
      this.#blindSpots = node.blindSpots();
      for (const spot of this.#blindSpots) this.#facts.unknown(spot);
    }
  }

  /** False when the store did not come back. */
  async #loadUntilKilled(node: StoreNode, clients: readonly LoadClient[], after: number): Promise<boolean> {
    const ended = new AbortController();
    const until = AbortSignal.any([ended.signal, this.#over.signal]);
    this.#watch = (operations) => {
      if (operations >= after) ended.abort();
    };
    const load = this.#load(clients, until, 0, after);
    await Promise.race([aborted(until), load, node.exited()]);
    this.#watch = () => {};
    this.#killAfter = this.#operations;
    // Killed with requests in flight: whether those were carried out is what nobody may know afterwards.
    await node.kill();
    ended.abort();
    await load;
    this.#rethrow();
    for (const { client } of clients) client.disconnect();
    this.#facts.cycleOver(node, []);
    const base = readBase(this.#options.directory).map(({ inode }) => inode);
    settleInFlight(this.#trace, node.dataDir, new Set(base));
    if (!(await this.#start(node))) return false;
    await this.#readBack(clients);
    return true;
  }

  async #loadUntilCut(node: StoreNode, clients: readonly LoadClient[], powerCut: PowerCut): Promise<void> {
    const reached = new AbortController();
    const ended = new AbortController();
    this.#watch = (operations) => {
      if (operations >= powerCut.after) reached.abort();
    };
    const load = this.#load(clients, AbortSignal.any([ended.signal, this.#over.signal]), 1, 0);
    await Promise.race([aborted(AbortSignal.any([reached.signal, this.#over.signal])), node.exited()]);
    this.#watch = () => {};
    if (node.running() && !this.#options.signal.aborted) {
      this.#cut = true;
      await powerCut.cut();
    }
    await node.kill();
    ended.abort();
    await load;
    this.#rethrow();
  }

  async #loadOn(node: StoreNode, clients: readonly LoadClient[], operations: number): Promise<void> {
    const ended = new AbortController();
    const until = AbortSignal.any([ended.signal, this.#over.signal]);
    const { script } = this.#options;
    const load = this.#load(clients, until, 1, script?.killAfter ?? 0).finally(() => ended.abort());
    const poll = async () => {
      while (!until.aborted) {
        await sleep(contentPollMs, until);
        this.#options.onProgress?.({ phase: "tracing", operations: this.#operations });
        if (!script && this.#operations >= operations && this.#hasEnough()) ended.abort();
      }
    };
    await Promise.race([Promise.all([load, poll()]), node.exited()]);
    ended.abort();
    await load;
    this.#rethrow();
  }

  /** Generated load, or its part of the script. Never rejects: a failure of ours is kept and thrown afterwards. */
  #load(clients: readonly LoadClient[], until: AbortSignal, phase: number, after: number): Promise<void> {
    const { script, resolution } = this.#options;
    const { seed, operationDeadlineMs } = resolution.scenario;
    const sent = script
      ? sendScript(clients, partOf(script, phase, after), operationDeadlineMs * 4, until)
      : sendLoad(clients, unpaced, seed + phase, until);
    return sent.catch((error: unknown) => {
      this.#failure ??= error;
      this.#over.abort();
    });
  }

  async #start(node: StoreNode): Promise<boolean> {
    const stoppedAt = node.stoppedAt();
    const outcome = await node.start();
    if (outcome.started) {
      const { incarnation, report } = outcome;
      this.#append({
        time: this.#clock.now(),
        process: "nemesis",
        type: "info",
        f: "ready",
        node: node.name,
        incarnation,
        ...(report === undefined ? {} : { value: report }),
      });
      this.#facts.started(incarnation, report, []);
      if (incarnation > 0) this.#recoveryMs.push(Math.round(performance.now() - stoppedAt));
      return true;
    }
    if (this.#events.length === 0) {
      throw new ScenarioError(
        `store ${this.#options.resolution.store.name} does not start: ${outcome.sentence}`,
      );
    }
    this.#facts.refusedToStart(outcome.sentence, []);
    return false;
  }

  /** Opening balances, of every workload, or of those that the script needs. */
  async #setUp(clients: readonly LoadClient[]): Promise<boolean> {
    for (const group of this.#groups(clients)) {
      const { unanswered } = await setUp(group, 0, answerDeadlineMs);
      if (unanswered.length === 0) continue;
      this.#facts.unknown(`the opening requests were not answered (${unanswered[0]})`);
      return false;
    }
    return true;
  }

  /** A script is only as long as it has to be: nothing is read back in it. */
  async #readBack(clients: readonly LoadClient[]): Promise<void> {
    if (this.#options.script) return;
    this.#options.onProgress?.({ phase: "reading back", operations: this.#operations });
    const { unanswered } = await readBack(clients, 0, answerDeadlineMs);
    if (unanswered.length > 0) {
      this.#facts.unknown(
        `${unanswered.length} reads after a restart were not answered within ${answerDeadlineMs} ms (${unanswered[0]})`,
      );
    }
  }

  /** Clients that may be asked at once. In a script one client may speak for several workloads, one after the other. */
  #groups(clients: readonly LoadClient[]): LoadClient[][] {
    const { script, resolution } = this.#options;
    if (!script) return [[...clients]];
    const named = new Set(script.requests.map(({ request }) => request.workload));
    const workloads = resolution.workloads.filter(({ name }) => named.has(name));
    return workloads.map((workload) => [{ ...clients[0]!, workload }]);
  }

  #clients(node: StoreNode): LoadClient[] {
    const { scenario, workloads, store } = this.#options.resolution;
    return Array.from({ length: scenario.clients }, (_, client) => {
      const workload = this.#workloadOf(client) ?? workloads[client % workloads.length]!;
      return {
        workload,
        stream: workload.stream({ seed: scenario.seed, client, epoch: 0 }),
        client: new RecordingClient({
          newProcess: () => this.#newProcess(client),
          store,
          workload: workload.name,
          clock: this.#clock,
          place: node.place(client),
          deadlineMs: scenario.operationDeadlineMs,
          record: (event) => this.#append(event),
        }),
      };
    });
  }

  /** In a script: what this client connects for; a store may have to find out how it compares and sets. */
  #workloadOf(client: number): Workload | undefined {
    const own = this.#options.script?.requests.filter((scripted) => scripted.client === client) ?? [];
    const named = new Set(own.map(({ request }) => request.workload));
    const workloads = this.#options.resolution.workloads.filter(({ name }) => named.has(name));
    return workloads.find(({ needs }) => needs.includes("compare-and-set")) ?? workloads[0];
  }

  /** A process number never used before whose remainder by the number of clients is the client. */
  #newProcess(client: number): number {
    const generation = this.#generations[client] ?? 0;
    this.#generations[client] = generation + 1;
    return client + generation * this.#options.resolution.scenario.clients;
  }

  #append(event: Omit<HistoryEvent, "index">): void {
    const indexed: HistoryEvent = { index: this.#events.length, ...event };
    this.#writer.append(indexed);
    this.#events.push(indexed);
    if (event.type === "invoke" && !event.readBack) this.#watch(++this.#operations);
  }

  #hasEnough(): boolean {
    const counts = runCounts(this.#trace.read().events, buildHistory(this.#events), {
      ...this.#record,
      workloads: this.#options.resolution.workloads,
    });
    return missingContent(counts, this.#record, this.#record.durability, aimedContent).length === 0;
  }

  #rethrow(): void {
    if (this.#failure) throw this.#failure;
  }

  async close(): Promise<void> {
    await this.#single.close();
    this.#trace.close();
    this.#writer.close();
  }

  conclude(): void {
    const ended: TracedRunEnd = {
      doubts: this.#facts.unknowns,
      blindSpots: this.#blindSpots,
      findings: this.#facts.findings,
      recoveryMs: this.#recoveryMs,
      historyEvents: this.#events.length,
      ...(this.#killAfter === undefined ? {} : { killAfter: this.#killAfter }),
    };
    writeJson(this.#options.directory.traceRecordFile, { ...this.#record, ended });
  }
}

/** Before the kill the first `after` requests, after it the others. */
function partOf(script: Script, phase: number, after: number): readonly ScriptedRequest[] {
  return phase === 0 ? script.requests.slice(0, after) : script.requests.slice(after);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Resolves after `ms`, or at once when the signal aborts. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish, { once: true });
  });
}
