/**
 * The story of a cluster's run: form it, then round by round: load from clients of every member, a storm of faults, heal
 * everything, wait until it serves again, read everything back through the clients and from every member itself, check.
 * Stops at the first violation or when no further round fits the budget.
 *
 * What it does not do: decide what is right (cluster-judge.ts and the checkers), know any store or fault (registries), or
 * print.
 */
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Network } from "../../faults/contract.ts";
import { createNetwork, pause } from "../../faults/index.ts";
import type { ClusterPromise } from "../../stores/cluster-contract.ts";
import type { Finding } from "../checkers/contract.ts";
import { type LoadClient, readBack, sendLoad, setUp } from "../clients/load.ts";
import { RunClock } from "../history/clock.ts";
import { HistoryWriter } from "../history/history-file.ts";
import type { HistoryEvent } from "../history/operation.ts";
import type {
  ClusterMeasured,
  ClusterResults,
  FaultRecord,
  FindingMessages,
  RunResults,
} from "../results.ts";
import type { Progress, RunOptions } from "../run.ts";
import { RunBook } from "../run-book.ts";
import { writeJson } from "../run-directory.ts";
import type { Resolution } from "../scenario.ts";
import type { Exit } from "../supervisor/supervisor.ts";
import { type ClusterClientsOptions, clientName, loadClients, memberReaders } from "./cluster-clients.ts";
import { judgeRound } from "./cluster-judge.ts";
import { ClusterNemesis, type StormLife } from "./cluster-nemesis.ts";
import { LeaderWatch } from "./leader-watch.ts";
import { type Member, type MemberState, Members, type Refusal } from "./members.ts";
import { messagesAround } from "./messages-around.ts";
import { checkNetwork } from "./network-check.ts";
import type { ClusterPlan, RoundPlan, StormFaults } from "./storm.ts";
import { Timeline } from "./timeline.ts";

/** ms after everything has healed by which the cluster must serve again, unless it says otherwise itself. */
const healMsUsual = 20_000;
/** ms that opening requests and all reads at the end of a round may take. */
const answerDeadlineMs = 15_000;
/** ns within which a fault is noticed to have fired, after the end that it brought about. */
const noticedNs = 500e6;
/** Of a round: the others are of the same kind more often than not. */
const findingsWithMessages = 5;
/** Faults of one member after which it has no reason to end. */
const leavesRunning = new Set(["pause", "clock-skew", "slow-sync", "slow-write"]);
/** Faults after which a member must come back by itself. */
const mustComeBack = new Set(["kill", "stop", "pause", "clock-skew", "kill-all", "failover"]);

/** A resolution of a store that is a cluster. */
type ClusterResolution = Resolution & { readonly storm: StormFaults };

/**
 * Runs a resolved scenario of a cluster. Findings are results, never thrown.
 *
 * @throws ScenarioError when the cluster cannot be formed at all, and any error of ours.
 */
export async function runCluster(asked: Resolution, options: RunOptions): Promise<RunResults> {
  const { cluster: plan } = asked.scenario;
  const { storm } = asked;
  if (!plan || !storm) throw new Error(`${asked.store.name} was not resolved as a cluster`);
  const resolution: ClusterResolution = { ...asked, storm };
  const stage = await ClusterStage.open(resolution, plan, options);
  try {
    await stage.form();
    for (const [round, storm] of plan.rounds.entries()) {
      if (!stage.timeForAnotherRound()) break;
      await stage.round(round, storm);
      if (stage.book.violated() && !resolution.scenario.keepGoing) break;
    }
  } finally {
    await stage.close();
  }
  return stage.conclude();
}

class ClusterStage {
  readonly book: RunBook;
  readonly #resolution: ClusterResolution;
  readonly #plan: ClusterPlan;
  readonly #options: RunOptions;
  readonly #clock: RunClock;
  readonly #writer: HistoryWriter;
  readonly #network: Network;
  readonly #members: Members;
  readonly #watch: LeaderWatch;
  readonly #nemesis: ClusterNemesis;
  readonly #promise: ClusterPromise;
  readonly #timeline = new Timeline();
  readonly #clients: ClusterClientsOptions;
  readonly #lives: StormLife[] = [];
  readonly #measured: ClusterMeasured[] = [];
  #refusals: (Refusal & { readonly member: string })[] = [];
  /** Members that ended though acked did not kill them, in this round. */
  #deaths: { readonly member: string; readonly at: number; readonly exit: Exit | undefined }[] = [];
  /** Acknowledged changes of this round. */
  #changes: { readonly workload: string; readonly time: number }[] = [];
  readonly #invoked = new Map<number, HistoryEvent>();
  readonly #mended: string[] = [];
  /** Members that were made anew in this round because they had ended: once each. */
  readonly #madeAnew = new Set<string>();
  /** What the check before the run found wrong with the links. */
  readonly #networkFaults: string[] = [];
  #carried: ClusterResults["traffic"] = {};
  readonly #messages: FindingMessages[] = [];
  #checked: ReturnType<Network["traffic"]> = new Map();
  #events: HistoryEvent[] = [];
  #nextIndex = 0;
  #failure: unknown;
  /** From the end of forming to the begin of closing: what happens to members then is the run's doing. */
  #formed = false;
  #rounds = 0;
  #longestRoundMs = 0;
  #deadlineMs = 0;
  #phase: Progress["phase"] = "starting";

  static async open(
    resolution: ClusterResolution,
    plan: ClusterPlan,
    options: RunOptions,
  ): Promise<ClusterStage> {
    writeJson(options.directory.scenarioFile, resolution.scenario);
    const clock = new RunClock();
    let members: Members | undefined;
    const network = await createNetwork(plan.network, {
      processesOf: (member) => members?.processesOf(member) ?? [],
    });
    try {
      const { node, cluster } = resolution.storm;
      const traced = [...node, ...cluster].some(({ name }) => name.startsWith("power-loss"));
      const timeline: { stage?: ClusterStage } = {};
      members = await Members.open({
        ...{ store: resolution.store, durability: resolution.scenario.durability, members: plan.members },
        ...{ network, directory: options.directory, runsDir: options.runsDir, traced },
        skewed: node.some(({ name }) => name === "clock-skew"),
        interposed: traced || node.some(({ mechanism }) => mechanism === "interposer"),
        onState: (member, state) => timeline.stage?.state(member, state),
        onRefusal: (member, refusal) => timeline.stage?.refused(member, refusal),
      });
      for (let client = 0; client < resolution.scenario.clients; client++) {
        await network.addClient(clientName(client));
      }
      timeline.stage = new ClusterStage(resolution, plan, options, clock, network, members);
      return timeline.stage;
    } catch (error) {
      await members?.close();
      await network.close();
      throw error;
    }
  }

  private constructor(
    resolution: ClusterResolution,
    plan: ClusterPlan,
    options: RunOptions,
    clock: RunClock,
    network: Network,
    members: Members,
  ) {
    const { scenario, store, workloads, storm } = resolution;
    this.#resolution = resolution;
    this.#plan = plan;
    this.#options = options;
    this.#clock = clock;
    this.#network = network;
    this.#members = members;
    this.#promise = store.clustered!.promise(scenario.durability);
    this.#writer = new HistoryWriter(options.directory.historyFile);
    this.book = new RunBook(resolution, clock);
    this.#watch = new LeaderWatch(members, store.clustered!, clock);
    this.#nemesis = new ClusterNemesis({
      ...{ members, network, watch: this.#watch, faults: storm, now: () => clock.now() },
      clients: Array.from({ length: scenario.clients }, (_, client) => clientName(client)),
      onEvent: (event, life) => this.#onFault(event, life),
    });
    this.#clients = {
      ...{ store, members, network, workloads, clients: scenario.clients, seed: scenario.seed },
      newProcess: (client) => this.book.newProcess(client),
      recording: { clock, deadlineMs: scenario.operationDeadlineMs, record: (event) => this.#record(event) },
    };
  }

  /** The network is checked, then all members are started for the first time. */
  async form(): Promise<void> {
    const clients = Array.from({ length: this.#clients.clients }, (_, client) => clientName(client));
    this.#networkFaults.push(...(await checkNetwork(this.#network, clients, this.#members.ports())));
    this.#checked = this.#network.traffic();
    await this.#members.form(this.#options.signal);
    this.#formed = true;
    this.#watch.start();
    this.#deadlineMs = performance.now() + this.#resolution.scenario.seconds * 1000;
  }

  timeForAnotherRound(): boolean {
    const { cycles } = this.#resolution.scenario;
    if (this.#options.signal.aborted || (cycles !== null && this.#rounds >= cycles)) return false;
    return this.#rounds === 0 || this.#deadlineMs - performance.now() > this.#longestRoundMs * 1.1;
  }

  state(member: string, state: MemberState): void {
    const before = this.#timeline.stateOf(member);
    const now = this.#clock.now();
    this.#timeline.state(member, state, now);
    if (!this.#formed) return;
    const wasUp = before?.state === "running" || before?.state === "paused";
    if (state === "down" && wasUp) {
      this.book.memberEnded();
      const ended = this.#members.member(member).endedByItself();
      if (ended) this.#deaths.push({ member, at: now, exit: ended.exit() });
    }
    if (state === "running" && before?.state === "starting") this.book.restarted((now - before.from) / 1e6);
  }

  refused(member: string, refusal: Refusal): void {
    this.#refusals.push({ member, ...refusal });
  }

  async round(round: number, plan: RoundPlan): Promise<void> {
    const began = performance.now();
    this.#rounds++;
    this.#events = [];
    this.#refusals = [];
    this.#deaths = [];
    this.#madeAnew.clear();
    this.#changes = [];
    const roundFrom = this.#clock.now();
    this.book.roundBegan(plan.steps.map(({ fault }) => fault));
    const unknowns: string[] = [];
    const findings: Finding[] = [];
    const clients = loadClients(this.#clients, round);
    let lives: StormLife[] = [];
    try {
      const opened = await setUp(clients, round, answerDeadlineMs);
      if (opened.unanswered.length > 0) {
        unknowns.push(`round ${round}: the opening requests were not answered (${opened.unanswered[0]})`);
      } else {
        lives = await this.#stormAndCalm(round, plan, clients, findings);
        await this.#reads(round, clients, unknowns);
      }
    } finally {
      for (const { client } of clients) client.close();
    }
    this.#phase = "checking";
    this.#tell();
    for (const life of lives) this.#recordFault(life, round, unknowns);
    findings.push(...this.#unexpectedStops(round, lives));
    const ofNetwork = [...this.#networkFaults, ...this.#network.failures()];
    unknowns.push(...ofNetwork.map((sentence) => `the network itself: ${sentence}`));
    const fired = (name: string) =>
      lives.some(({ fault, firedAt }) => fault === name && firedAt !== undefined);
    const { checks, measured } = judgeRound(this.#events, this.#resolution.workloads, this.#promise, {
      ...{
        round,
        findings,
        unknowns,
        claims: this.#watch.claims.filter(({ to }) => to >= roundFrom),
      },
      disturbed: lives.some(({ firedAt }) => firedAt !== undefined),
      lostPower: fired("power-loss-all"),
      unfenced: fired("resurrect-leader"),
    });
    this.book.checked(checks);
    this.#rememberMessages(checks.flatMap((check) => check.findings));
    this.#measured.push(measured);
    this.#longestRoundMs = Math.max(this.#longestRoundMs, performance.now() - began);
  }

  #rememberMessages(findings: readonly Finding[]): void {
    const { clients } = this.#resolution.scenario;
    const options = {
      ...{ messages: this.#network.messages(), clock: this.#clock, members: this.#members.names },
      clientOf: (process: number) => clientName(process % clients),
    };
    const concerned = findings.filter(({ operations }) => operations.length > 0);
    for (const finding of concerned.slice(0, findingsWithMessages))
      this.#messages.push(messagesAround(finding, options));
  }

  /** Members that ended though nothing that was done to them excuses it. */
  #unexpectedStops(round: number, lives: readonly StormLife[]): Finding[] {
    // What damages files may end it at any later time; what only ended it does no more once it has been started again.
    const excused = ({ member, at }: { readonly member: string; readonly at: number }) =>
      lives.some(
        ({ fault, target, firedAt, armedAt, healedAt = Number.POSITIVE_INFINITY }) =>
          (target === "cluster" || (target === member && !leavesRunning.has(fault))) &&
          (firedAt ?? armedAt) <= at + noticedNs &&
          (!mustComeBack.has(fault) || at <= healedAt + noticedNs),
      );
    return this.#deaths
      .filter((death) => !excused(death))
      .map(({ member, at, exit }): Finding => {
        const how = exit?.signal ? `signal ${exit.signal}` : `exit code ${exit?.code ?? "unknown"}`;
        const said = exit?.lastLine ? `; its last words: ${exit.lastLine}` : "";
        return {
          kind: "unexpected-stop",
          operations: [],
          sentence: `round ${round}: ${member} stopped by itself (${how}) at ${Math.round(at / 1e6)} ms, and no fault of its own excuses it${said}`,
        };
      });
  }

  /** Load all along: through the storm, until the cluster serves again, and a little longer. */
  async #stormAndCalm(
    round: number,
    plan: RoundPlan,
    clients: readonly LoadClient[],
    findings: Finding[],
  ): Promise<StormLife[]> {
    const { operationsPerSecondMax, seed } = this.#resolution.scenario;
    const { signal } = this.#options;
    const over = new AbortController();
    const end = () => over.abort();
    signal.addEventListener("abort", end, { once: true });
    this.#phase = "load";
    const ticker = setInterval(() => this.#tell(), 100);
    const failed = (error: unknown) => {
      this.#failure ??= error;
      over.abort();
    };
    const load = sendLoad(clients, operationsPerSecondMax, seed + round * 1000, over.signal).catch(failed);
    try {
      const from = this.#clock.now();
      const lives = await this.#nemesis.play(plan, over.signal);
      this.#lives.push(...lives);
      const healedAt = this.#clock.now();
      this.#timeline.phase("storm", round, from, healedAt);
      await this.#mend(round, lives, findings, over.signal);
      await this.#servesAgain(round, healedAt, lives, findings, over.signal);
      await pause(plan.calmMs, over.signal);
      this.#timeline.phase("calm", round, healedAt, this.#clock.now());
      if (this.#failure) throw this.#failure;
      return lives;
    } finally {
      over.abort();
      clearInterval(ticker);
      signal.removeEventListener("abort", end);
      await load;
      await this.#members.settled();
    }
  }

  /**
   * A member that a fault of its disk or a loss of power struck may refuse to start, if it says why: the cluster has others.
   * Whoever operates it then makes it anew, from the others, where the store offers that; once. One without such a fault has
   * no excuse: that is a finding, whether or not the others do without it. So is one whose process ended at a start, even if
   * a later start succeeded: an operator was needed.
   */
  async #mend(
    round: number,
    lives: readonly StormLife[],
    findings: Finding[],
    signal: AbortSignal,
  ): Promise<void> {
    await Promise.race([this.#members.settled(), pause(healMsUsual, signal)]);
    const seen = new Set<string>();
    for (const refusal of this.#refusals.splice(0)) {
      const { member, sentence, ended } = refusal;
      const running = this.#members.member(member).running();
      if (seen.has(member) || signal.aborted || (running && !ended)) continue;
      seen.add(member);
      const excuse = damageTo(member, lives);
      if (!excuse) {
        findings.push({
          kind: "did-not-recover",
          operations: [],
          sentence: `round ${round}: ${member} did not come back${running ? " when it was started first" : ""}, and no fault of its disk excuses it: ${sentence}`,
        });
      } else if (running) {
        this.#mended.push(`${member} started at the second attempt after ${excuse.fault}: ${sentence}`);
      } else if (await this.#members.makeAnew(member)) {
        this.#mended.push(
          `${member} refused to start after ${excuse.fault}, and was made anew from the others: ${sentence}`,
        );
      } else this.#refusals.push(refusal);
    }
  }

  /** A member that was started on damaged files, and ended by itself soon after it was ready: as one that refuses. */
  async #makeAnewWhatEnded(lives: readonly StormLife[]): Promise<void> {
    for (const { name } of this.#members.all()) {
      const member = this.#members.member(name);
      const death = this.#deaths.findLast((one) => one.member === name);
      const excuse = damageTo(name, lives);
      if (!death || !excuse || member.running() || this.#madeAnew.has(name)) continue;
      this.#madeAnew.add(name);
      const said = death.exit?.lastLine ?? "it said nothing";
      if (await this.#members.makeAnew(name)) {
        this.#mended.push(`${name} ended after ${excuse.fault}, and was made anew from the others: ${said}`);
      } else {
        this.#refusals.push({
          member: name,
          sentence: `${name} ended after ${excuse.fault}: ${said}`,
          ended: true,
        });
      }
    }
  }

  /** Every workload has had a change acknowledged, and every member follows or leads; or that is a finding. */
  async #servesAgain(
    round: number,
    healedAt: number,
    lives: readonly StormLife[],
    findings: Finding[],
    signal: AbortSignal,
  ): Promise<void> {
    const healMs = this.#resolution.store.clustered!.healMs ?? healMsUsual;
    const deadline = performance.now() + healMs;
    const waiting = new Set(this.#resolution.workloads.map(({ name }) => name));
    while (!signal.aborted) {
      for (const { workload, time } of this.#changes) if (time > healedAt) waiting.delete(workload);
      if (waiting.size === 0 && this.#watch.settled()) return;
      if (performance.now() > deadline) break;
      await this.#makeAnewWhatEnded(lives);
      await pause(50, signal);
    }
    if (signal.aborted) return;
    const refusals = this.#refusals.map(({ sentence }) => `; ${sentence}`).join("");
    const idle =
      waiting.size > 0 ? `no change of ${[...waiting].join(", ")} was acknowledged` : "it did not settle";
    findings.push({
      kind: "did-not-heal",
      operations: [],
      sentence: `round ${round}: ${healMs / 1000} s after every fault had healed and every member was started, ${idle} (${this.#watch.describe()})${refusals}`,
    });
  }

  /** Through the clients, as they see it; then from every member, as it is there. */
  async #reads(round: number, clients: readonly LoadClient[], unknowns: string[]): Promise<void> {
    this.#phase = "reading back";
    this.#tell();
    const from = this.#clock.now();
    const asked = await readBack(clients, round, answerDeadlineMs);
    this.book.readBack(asked.answered);
    if (asked.unanswered.length > 0 && !this.#options.signal.aborted) {
      unknowns.push(
        `round ${round}: ${asked.unanswered.length} reads in the calm were not answered within ${answerDeadlineMs} ms (${asked.unanswered[0]})`,
      );
    }
    await Promise.all(this.#members.all().map((member) => this.#readsOf(member, round, unknowns)));
    this.#timeline.phase("reads", round, from, this.#clock.now());
  }

  /** What this member has, be it old. */
  async #readsOf(member: Member, round: number, unknowns: string[]): Promise<void> {
    if (!member.running()) {
      if (!this.#options.signal.aborted)
        unknowns.push(`round ${round}: ${member.name} was down at the end, and could not be read`);
      return;
    }
    const readers = memberReaders(this.#clients, member.name);
    const { answered, unanswered } = await readBack(readers, round, answerDeadlineMs);
    for (const { client } of readers) client.close();
    this.book.readBack(answered);
    if (unanswered.length === 0 || this.#options.signal.aborted) return;
    unknowns.push(
      `round ${round}: ${unanswered.length} reads of ${member.name} itself were not answered (${unanswered[0]})`,
    );
  }

  #record(event: Omit<HistoryEvent, "index">): void {
    const indexed: HistoryEvent = { index: this.#nextIndex++, ...event };
    this.#writer.append(indexed);
    this.#events.push(indexed);
    this.book.saw(indexed);
    const change = this.#isChange(indexed);
    if (change) this.#changes.push({ workload: indexed.workload ?? "", time: indexed.time });
    this.#timeline.saw(indexed, change);
  }

  /** Whether this is the acknowledgement of something that changed the store. */
  #isChange(event: HistoryEvent): boolean {
    if (event.process === "nemesis") return false;
    if (event.type === "invoke") this.#invoked.set(event.process, event);
    const asked = this.#invoked.get(event.process);
    const workload = this.#resolution.workloads.find(({ name }) => name === event.workload);
    if (event.type !== "ok" || !asked || !workload) return false;
    return workload.changes(
      { workload: workload.name, f: event.f, key: event.key ?? "", value: asked.value },
      { type: "ok", value: event.value, ...(event.matched === undefined ? {} : { matched: event.matched }) },
    );
  }

  #onFault(event: "armed" | "fired" | "healed", life: StormLife): void {
    const evidence = event === "fired" ? { evidence: life.evidence } : {};
    const links = life.links.length > 0 ? { links: life.links } : {};
    try {
      this.#record({
        ...{ time: this.#clock.now(), process: "nemesis", type: "info", f: life.fault, node: life.target },
        value: { event, parameters: life.parameters, ...links, ...evidence },
      });
    } catch (error) {
      this.#failure ??= error;
    }
    this.#tell();
  }

  #recordFault(life: StormLife, round: number, unknowns: string[]): void {
    const record: FaultRecord = {
      ...{ name: life.fault, target: life.target, epoch: round, cycle: 0, parameters: life.parameters },
      armedAt: life.armedAt,
      ...(life.firedAt === undefined ? {} : { firedAt: life.firedAt }),
      healedAt: life.healedAt ?? this.#clock.now(),
      ...(life.evidence === undefined ? {} : { evidence: life.evidence }),
    };
    appendFileSync(this.#options.directory.faultsFile, `${JSON.stringify(record)}\n`);
    this.book.fault(record, life.cutShort);
    if (life.firedAt === undefined && !life.cutShort) {
      unknowns.push(
        `round ${round}: fault ${life.fault} ${JSON.stringify(life.parameters)} was armed and never fired`,
      );
    }
  }

  #tell(): void {
    this.#options.onProgress({
      phase: this.#phase,
      operations: this.book.operations(),
      cycles: this.#rounds,
      faultsInForce: this.#nemesis.inForce(),
      secondsLeft: Math.max(0, (this.#deadlineMs - performance.now()) / 1000),
    });
  }

  async close(): Promise<void> {
    this.#formed = false;
    this.#watch.stop();
    await this.#members.close();
    this.#carried = this.#traffic();
    await this.#network.close();
    this.#writer.close();
    for (const name of this.#members.names) {
      rmSync(join(this.#options.directory.path, `kept-${name}`), { recursive: true, force: true });
    }
    if (!this.book.violated()) {
      rmSync(join(this.#options.directory.path, "power-loss"), { recursive: true, force: true });
    }
  }

  /** Without what the check of the network has sent. */
  #traffic(): ClusterResults["traffic"] {
    return Object.fromEntries(
      [...this.#network.traffic()].map(([link, { bytes, connections }]) => {
        const before = this.#checked.get(link) ?? { bytes: 0, connections: 0 };
        return [link, { bytes: bytes - before.bytes, connections: connections - before.connections }];
      }),
    );
  }

  conclude(): RunResults {
    const { signal, command, replay, directory, instrumentCheck } = this.#options;
    const measured = together(this.#measured);
    const results: RunResults = {
      ...this.book.conclude(
        {
          ...{ directory, command, replay, promise: this.#promise.source },
          ...(instrumentCheck ? { instrumentCheck } : {}),
        },
        signal.aborted,
      ),
      cluster: this.#timeline.results(
        {
          members: this.#members.names,
          network: this.#plan.network,
          traffic: this.#carried,
          messages: this.#messages,
        },
        this.#lives,
        this.#watch.claims,
        { ...measured, observed: [...this.#mended, ...measured.observed] },
        this.#clock.now(),
      ),
    };
    writeJson(directory.resultsFile, results);
    return results;
  }
}

/** The fault that may have damaged what this member has on its disk. */
function damageTo(member: string, lives: readonly StormLife[]): StormLife | undefined {
  return lives.find(
    ({ fault, target, firedAt }) =>
      firedAt !== undefined && (target === member || target === "cluster") && !mustComeBack.has(fault),
  );
}

/** What was measured in all rounds. */
function together(rounds: readonly ClusterMeasured[]): ClusterMeasured {
  const sum = (of: (one: ClusterMeasured) => number) => rounds.reduce((total, one) => total + of(one), 0);
  const most = (of: (one: ClusterMeasured) => number) => Math.max(0, ...rounds.map(of));
  return {
    lostAcknowledged: {
      count: sum(({ lostAcknowledged }) => lostAcknowledged.count),
      of: sum(({ lostAcknowledged }) => lostAcknowledged.of),
      spanMs: most(({ lostAcknowledged }) => lostAcknowledged.spanMs),
    },
    staleReads: {
      count: sum(({ staleReads }) => staleReads.count),
      of: sum(({ staleReads }) => staleReads.of),
      oldestMs: most(({ staleReads }) => staleReads.oldestMs),
    },
    splitBrain: rounds.flatMap(({ splitBrain }) => splitBrain),
    observed: rounds.flatMap(({ observed }) => observed),
  };
}
