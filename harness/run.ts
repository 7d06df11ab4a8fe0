/**
 * The story of one run: prepare, then epoch by epoch (one data directory's life) cycle by cycle: load the store through
 * recording clients, let the nemesis act, crash it, restart it, read everything back; check each epoch as soon as it has
 * ended; stop at the first violation or when no further cycle fits the budget; report.
 *
 * What it does not do: decide what is right (judge.ts and the checkers), know any store, fault or workload (registries),
 * or print (progress goes to a callback, results to files).
 */
import { appendFileSync, cpSync, existsSync, lstatSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { FaultTarget } from "../faults/contract.ts";
import { type FaultLife, Nemesis } from "../faults/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { type LoadClient, readBack, sendLoad, setUp } from "./clients/load.ts";
import { RecordingClient } from "./clients/recording-client.ts";
import { RunClock } from "./history/clock.ts";
import { HistoryWriter } from "./history/history-file.ts";
import type { HistoryEvent } from "./history/operation.ts";
import { EpochFacts, Judge } from "./judge.ts";
import { PowerTrace } from "./power-trace.ts";
import type { FaultRecord, InstrumentCheck, RunResults } from "./results.ts";
import { RunBook } from "./run-book.ts";
import { type RunDirectory, writeJson } from "./run-directory.ts";
import type { CyclePlan, EpochPlan, Resolution } from "./scenario.ts";
import { SingleNode, type StoreNode } from "./single-node.ts";

/** What a watcher sees while a run goes on. */
export interface Progress {
  readonly phase: "starting" | "load" | "crashed" | "reading back" | "checking";
  readonly operations: number;
  readonly cycles: number;
  readonly faultsInForce: readonly string[];
  /** Seconds of load and injection left. */
  readonly secondsLeft: number;
}

export interface RunOptions {
  readonly directory: RunDirectory;
  /** The runs/ directory, where active faults and children are written down. */
  readonly runsDir: string;
  readonly command: string;
  /** The line that replays this run. */
  readonly replay: string;
  readonly onProgress: (progress: Progress) => void;
  /** Ends the run early: what happened so far is checked and reported. */
  readonly signal: AbortSignal;
  readonly instrumentCheck?: InstrumentCheck;
}

/** ms a phase of requests that must be answered may take: opening balances, read-back. */
const answerDeadlineMs = 5000;
/** ms that a store is left running after a write or sync failed, to see whether it goes on acknowledging. */
const afterFailureMs = 250;
/** ms of load in a cycle without an ending fault. */
const quietCycleMs = 500;
const gracefulStopDeadlineMs = 5000;

/**
 * Runs a resolved scenario. Findings are results, never thrown.
 *
 * @throws ScenarioError when the store cannot be started at all, and any error of ours.
 */
export async function run(resolution: Resolution, options: RunOptions): Promise<RunResults> {
  const stage = await Stage.open(resolution, options);
  try {
    await stage.begin();
    for (const [epoch, plan] of resolution.scenario.schedule.entries()) {
      if (!stage.timeForAnotherCycle()) break;
      await stage.live(epoch, plan);
      if (stage.book.violated() && !resolution.scenario.keepGoing) break;
    }
  } finally {
    await stage.close();
  }
  return stage.conclude();
}

/** Everything one run holds open. */
class Stage {
  readonly #resolution: Resolution;
  readonly #options: RunOptions;
  readonly #clock: RunClock;
  readonly #writer: HistoryWriter;
  readonly #single: SingleNode;
  readonly #nemesis: Nemesis;
  readonly #judge: Judge;
  readonly book: RunBook;
  #events: HistoryEvent[] = [];
  #nextIndex = 0;
  /** A failure of ours, such as a full disk under the history: ends the run with exit code 4. */
  #failure: unknown;
  #cyclesBegun = 0;
  #power: PowerTrace | undefined;
  #powerTraces = 0;
  readonly #wantsEarlier: boolean;
  #longestCycleMs = 1200;
  #deadlineMs = 0;
  #phase: Progress["phase"] = "starting";

  static async open(resolution: Resolution, options: RunOptions): Promise<Stage> {
    writeJson(options.directory.scenarioFile, resolution.scenario);
    const clock = new RunClock();
    const single = await SingleNode.open({
      store: resolution.store,
      durability: resolution.scenario.durability,
      directory: options.directory,
      runsDir: options.runsDir,
      clients: resolution.scenario.clients,
      keepPages: resolution.faults.some((fault) => fault.needsOlderPages),
      interposed:
        resolution.faults.some((fault) => fault.mechanism === "interposer") || wantsSyncCounts(resolution),
    });
    return new Stage(resolution, options, clock, single);
  }

  private constructor(resolution: Resolution, options: RunOptions, clock: RunClock, single: SingleNode) {
    this.#resolution = resolution;
    this.#options = options;
    this.#clock = clock;
    this.#single = single;
    this.#writer = new HistoryWriter(options.directory.historyFile);
    this.#judge = new Judge(resolution);
    this.#wantsEarlier = resolution.faults.some((fault) => fault.needsEarlierFiles);
    this.book = new RunBook(resolution, clock);
    this.#nemesis = new Nemesis({
      now: () => clock.now(),
      faults: resolution.faults,
      onEvent: (event, life) => this.#onFault(event, life),
    });
  }

  async begin(): Promise<void> {
    this.#deadlineMs = performance.now() + this.#resolution.scenario.seconds * 1000;
  }

  timeForAnotherCycle(): boolean {
    const { cycles } = this.#resolution.scenario;
    if (this.#options.signal.aborted || (cycles !== null && this.#cyclesBegun >= cycles)) return false;
    return this.#deadlineMs - performance.now() > this.#longestCycleMs * 1.25;
  }

  /** One epoch: an empty data directory, several cycles, then the check of everything that happened in it. */
  async live(epoch: number, plan: EpochPlan): Promise<void> {
    this.#events = [];
    const facts = new EpochFacts(epoch, this.#clock);
    this.book.epochBegan();
    const node = await this.#single.openEpoch(epoch);
    rmSync(join(this.#options.directory.path, "earlier"), { recursive: true, force: true });
    node.traceInto({});
    if (losesPower(plan)) node.beforeNextStart(() => this.#tracePower(node));
    try {
      if (await this.#start(node, facts, undefined)) await this.#cycles(node, epoch, plan, facts);
      for (const spot of node.blindSpots()) {
        facts.unknown(`epoch ${epoch}: ${spot}`);
        facts.blindSpot(spot);
      }
    } finally {
      await this.#single.closeEpoch();
      this.#power?.close();
      this.#power = undefined;
    }
    this.#phase = "checking";
    this.#tell();
    this.book.judged(this.#judge.check(this.#events, facts), facts);
    // Traces are large; they are evidence only where something is wrong.
    if (!this.book.violated()) rmSync(this.#powerDir, { recursive: true, force: true });
  }

  async #cycles(node: StoreNode, epoch: number, plan: EpochPlan, facts: EpochFacts): Promise<void> {
    const clients = this.#clients(node, epoch);
    try {
      const opened = await setUp(clients, epoch, answerDeadlineMs);
      if (opened.unanswered.length > 0) {
        facts.unknown(`epoch ${epoch}: the opening requests were not answered (${opened.unanswered[0]})`);
        return;
      }
      for (const [cycle, cyclePlan] of plan.cycles.entries()) {
        if (!this.timeForAnotherCycle()) break;
        if (!(await this.#cycle(node, epoch, cycle, cyclePlan, clients, facts))) break;
      }
    } finally {
      for (const { client } of clients) client.close();
    }
  }

  /** Load, faults, crash, restart, read-back. False when the epoch cannot go on. */
  async #cycle(
    node: StoreNode,
    epoch: number,
    cycle: number,
    plan: CyclePlan,
    clients: readonly LoadClient[],
    facts: EpochFacts,
  ): Promise<boolean> {
    const began = performance.now();
    this.#cyclesBegun++;
    this.book.cycleBegan(plan);
    const lives = await this.#loadAndInject(node, epoch, cycle, plan, clients, facts);
    for (const { client } of clients) client.disconnect();
    facts.cycleOver(node, lives);
    await this.#whileStopped(node, plan, lives, facts);
    const alive = node.running();
    this.#nemesis.healAll();
    const serving = alive || (await this.#restart(node, plan, facts, lives));
    this.#recordFaults(lives, epoch, cycle, facts);
    if (serving) await this.#readBack(clients, epoch, facts);
    this.#longestCycleMs = Math.max(this.#longestCycleMs * 0.9, performance.now() - began);
    return serving;
  }

  /** Power loss and damage at rest: done to the files when nothing runs in them. */
  async #whileStopped(
    node: StoreNode,
    plan: CyclePlan,
    lives: FaultLife[],
    facts: EpochFacts,
  ): Promise<void> {
    if (plan.powerLoss || plan.atRest || plan.recovery) await node.kill();
    if (plan.powerLoss && !node.running()) lives.push(this.#nemesis.arm(plan.powerLoss, node.target()));
    const lost = lives.find((life) => life.fault.name === "power-loss" && life.firedAt !== undefined);
    if (lost && !node.running()) await this.#losePower(node, lost, facts);
    if (plan.atRest) {
      const life = this.#nemesis.arm(plan.atRest, this.#withEarlier(node));
      // It acts at once or finds nothing to act on: then it was not reached.
      life.cutShort = life.firedAt === undefined;
      lives.push(life);
    }
    if (!node.running()) this.#keepEarlier(node);
  }

  /** The directory becomes what a disk may hold; what is traced from then on begins with that. */
  async #losePower(node: StoreNode, life: FaultLife, facts: EpochFacts): Promise<void> {
    const outcome = this.#power?.lose(life.parameters, { unseen: node.blindSpots() });
    if (!outcome) return facts.unknown(`epoch ${facts.epoch}: power loss was planned without a trace`);
    if (outcome.lost) {
      life.evidence = { ...life.evidence, ...outcome.evidence };
      facts.powerLost();
      this.#tracePower(node);
    } else facts.unknown(`epoch ${facts.epoch}: power loss could not be rebuilt: ${outcome.why}`);
  }

  /** Starts a trace of the node's data directory as it is now; the one before stays as evidence. */
  #tracePower(node: StoreNode): void {
    this.#power?.close();
    const path = join(this.#powerDir, String(this.#powerTraces++));
    this.#power = PowerTrace.begin(path, node.dataDir);
    node.traceInto(this.#power.environment());
  }

  get #powerDir(): string {
    return join(this.#options.directory.path, "power-loss");
  }

  /** What the files were at this stop, for faults that put older ones back at a later one. */
  #keepEarlier(node: StoreNode): void {
    if (!this.#wantsEarlier) return;
    const { path } = this.#options.directory;
    const earlier = join(path, "earlier");
    rmSync(earlier, { recursive: true, force: true });
    cpSync(node.dataDir, earlier, { recursive: true, filter: (file) => !lstatSync(file).isSocket() });
  }

  #withEarlier(node: StoreNode): FaultTarget {
    const earlierDir = join(this.#options.directory.path, "earlier");
    return { ...node.target(), ...(existsSync(earlierDir) ? { earlierDir } : {}) };
  }

  /** With a fault in force while it starts, a store may refuse; without it, it must come back. */
  async #restart(node: StoreNode, plan: CyclePlan, facts: EpochFacts, lives: FaultLife[]): Promise<boolean> {
    if (!plan.recovery) return this.#start(node, facts, lives);
    const life = this.#nemesis.arm(plan.recovery, node.target());
    lives.push(life);
    const started = await this.#start(node, facts, lives);
    this.#nemesis.heal(life);
    life.cutShort = life.firedAt === undefined;
    return started || (life.firedAt !== undefined && this.#start(node, facts, []));
  }

  async #loadAndInject(
    node: StoreNode,
    epoch: number,
    cycle: number,
    plan: CyclePlan,
    clients: readonly LoadClient[],
    facts: EpochFacts,
  ): Promise<FaultLife[]> {
    const { scenario } = this.#resolution;
    const over = new AbortController();
    const interrupt = () => over.abort();
    this.#options.signal.addEventListener("abort", interrupt, { once: true });
    this.#phase = "load";
    const ticker = setInterval(() => this.#tell(), 100);
    const background = scenario.background.map((fault) => this.#nemesis.arm(fault, node.target()));
    const failed = (error: unknown) => {
      this.#failure ??= error;
      over.abort();
      return [];
    };
    const { operationsPerSecondMax, seed } = scenario;
    const load = sendLoad(clients, operationsPerSecondMax, seed + epoch * 1000 + cycle, over.signal).catch(
      failed,
    );
    const passing = this.#nemesis.runPassing(plan.passing, node.target(), over.signal, 1000).catch(failed);
    try {
      const ending = await this.#end(node, plan, over.signal, passing, facts);
      over.abort();
      const lives = await passing;
      this.#nemesis.healAll();
      await load;
      if (this.#failure) throw this.#failure;
      return [...background, ...lives, ...(ending ? [ending] : [])];
    } finally {
      over.abort();
      clearInterval(ticker);
      this.#options.signal.removeEventListener("abort", interrupt);
    }
  }

  /** Brings the cycle to its end: by its crash fault, by the store stopping on its own, or by time. */
  async #end(
    node: StoreNode,
    plan: CyclePlan,
    signal: AbortSignal,
    passing: Promise<unknown>,
    facts: EpochFacts,
  ): Promise<FaultLife | undefined> {
    if (!plan.ending) {
      await Promise.race([Promise.all([passing, sleep(quietCycleMs, signal)]), node.exited()]);
      return undefined;
    }
    await Promise.race([sleep(plan.ending.atMs, signal), node.exited()]);
    if (signal.aborted || !node.running()) return undefined;
    const life = this.#nemesis.arm(plan.ending, node.target());
    const { faultDeadlineMs } = this.#resolution.scenario;
    await Promise.race([this.#nemesis.untilFired(life, faultDeadlineMs, signal), node.exited()]);
    this.#nemesis.look();
    this.#phase = "crashed";
    if (life.fault.name === "stop") await this.#awaitGracefulStop(node, facts);
    else await Promise.race([sleep(afterFailureMs, signal), node.exited()]);
    facts.endedBy(node, life);
    await node.kill();
    return life;
  }

  async #awaitGracefulStop(node: StoreNode, facts: EpochFacts): Promise<void> {
    const stopped = await Promise.race([
      node.exited().then(() => true),
      sleep(gracefulStopDeadlineMs).then(() => false),
    ]);
    if (!stopped) {
      facts.unknown(`the store was still running ${gracefulStopDeadlineMs} ms after SIGTERM, and was killed`);
    }
  }

  /** (Re)starts the node; false when it does not come back, which is a finding unless its files were damaged. */
  async #start(
    node: StoreNode,
    facts: EpochFacts,
    lives: readonly FaultLife[] | undefined,
  ): Promise<boolean> {
    const stoppedAt = node.stoppedAt();
    this.#power?.settle();
    const outcome = await node.start();
    // A fault in force while it started may have fired: that decides what a refusal means.
    this.#nemesis.look();
    if (outcome.started) {
      const incarnation = outcome.incarnation;
      this.#record({
        time: this.#clock.now(),
        process: "nemesis",
        type: "info",
        f: "ready",
        node: node.name,
        incarnation,
        ...(outcome.report === undefined ? {} : { value: outcome.report }),
      });
      facts.started(incarnation, outcome.report, lives ?? []);
      if (lives) this.book.restarted(performance.now() - stoppedAt);
      return true;
    }
    if (this.#options.signal.aborted) return false;
    if (lives) facts.refusedToStart(outcome.sentence, lives);
    else this.#neverServed(facts, outcome.sentence);
    return false;
  }

  /** On an empty directory nothing had to be recovered: a store that never served at all is not tested, not guilty. */
  #neverServed(facts: EpochFacts, sentence: string): void {
    if (this.#cyclesBegun > 0) {
      facts.unknown(`epoch ${facts.epoch}: the store did not start on an empty directory: ${sentence}`);
      return;
    }
    throw new ScenarioError(`store ${this.#resolution.store.name} does not start: ${sentence}`);
  }

  async #readBack(clients: readonly LoadClient[], epoch: number, facts: EpochFacts): Promise<void> {
    this.#phase = "reading back";
    this.#tell();
    const { answered, unanswered } = await readBack(clients, epoch, answerDeadlineMs);
    this.book.readBack(answered);
    if (unanswered.length === 0) facts.readBackCompleted();
    if (unanswered.length > 0 && !this.#options.signal.aborted) {
      facts.unknown(
        `epoch ${epoch}: ${unanswered.length} reads after a restart were not answered within ${answerDeadlineMs} ms (${unanswered[0]})`,
      );
    }
  }

  #clients(node: StoreNode, epoch: number): LoadClient[] {
    const { scenario, workloads, store } = this.#resolution;
    return Array.from({ length: scenario.clients }, (_, client) => {
      const workload = workloads[client % workloads.length]!;
      return {
        workload,
        stream: workload.stream({ seed: scenario.seed, client, epoch }),
        client: new RecordingClient({
          newProcess: () => this.book.newProcess(client),
          store,
          workload: workload.name,
          clock: this.#clock,
          place: node.place(client),
          deadlineMs: scenario.operationDeadlineMs,
          record: (event) => this.#record(event),
        }),
      };
    });
  }

  #record(event: Omit<HistoryEvent, "index">): void {
    const indexed: HistoryEvent = { index: this.#nextIndex++, ...event };
    this.#writer.append(indexed);
    this.#events.push(indexed);
    this.book.saw(indexed);
  }

  /** Never throws: a history that cannot be written must not keep the other faults from being healed. */
  #onFault(event: "armed" | "fired" | "healed", life: FaultLife): void {
    const evidence = event === "fired" ? { evidence: life.evidence } : {};
    try {
      this.#record({
        time: this.#clock.now(),
        process: "nemesis",
        type: "info",
        f: life.fault.name,
        node: life.target,
        value: { event, parameters: life.parameters, ...evidence },
      });
    } catch (error) {
      this.#failure ??= error;
    }
    this.#tell();
  }

  #recordFaults(lives: readonly FaultLife[], epoch: number, cycle: number, facts: EpochFacts): void {
    for (const life of lives) {
      // Its time was not over: that it did not fire says nothing.
      if (life.firedAt === undefined && this.#options.signal.aborted) life.cutShort = true;
      const record = faultRecord(life, epoch, cycle, this.#clock.now());
      appendFileSync(this.#options.directory.faultsFile, `${JSON.stringify(record)}\n`);
      this.book.fault(record, life.cutShort);
      facts.fault(life);
    }
  }

  #tell(): void {
    this.#options.onProgress({
      phase: this.#phase,
      operations: this.book.operations(),
      cycles: this.#cyclesBegun,
      faultsInForce: this.#nemesis.inForce(),
      secondsLeft: Math.max(0, (this.#deadlineMs - performance.now()) / 1000),
    });
  }

  async close(): Promise<void> {
    this.#nemesis.healAll();
    await this.#single.close();
    this.#power?.close();
    rmSync(join(this.#options.directory.path, "earlier"), { recursive: true, force: true });
    this.#writer.close();
  }

  conclude(): RunResults {
    const results = this.book.conclude(this.#options, this.#options.signal.aborted);
    writeJson(this.#options.directory.resultsFile, results);
    return results;
  }
}

/** Everything that happens in the data directory must then be traced from its beginning. */
function losesPower({ cycles }: EpochPlan): boolean {
  return cycles.some(({ ending, powerLoss }) => powerLoss || ending?.fault === "power-loss");
}

/** The live sync counts are evidence of their own, whatever faults are chosen. */
function wantsSyncCounts(resolution: Resolution): boolean {
  return resolution.store.promise(resolution.scenario.durability).syncsBeforeAcknowledging;
}

function faultRecord(life: FaultLife, epoch: number, cycle: number, now: number): FaultRecord {
  return {
    name: life.fault.name,
    target: life.target,
    epoch,
    cycle,
    parameters: life.parameters,
    armedAt: life.armedAt,
    ...(life.firedAt === undefined ? {} : { firedAt: life.firedAt }),
    healedAt: life.fault.when === "crash" ? now : (life.healedAt ?? now),
    ...(life.evidence ? { evidence: life.evidence } : {}),
  };
}

/** Resolves after `ms`, or at once when the signal aborts. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener("abort", finish, { once: true });
  });
}
