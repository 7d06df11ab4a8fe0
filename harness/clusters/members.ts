/**
 * The members of one cluster: their data directories, processes, interposers and addresses, over all their starts. It
 * starts, kills, pauses and stops each of them, takes their power away, puts older disks back, promotes and replaces; what
 * is done to which of them and when, the storm decides.
 *
 * A member that does not come up is an outcome, told to `onStart`; only one that was never up at all is an error.
 */
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type {
  DiskControl,
  FaultParameters,
  FaultTarget,
  MemberControl,
  Network,
} from "../../faults/contract.ts";
import { buildClock, createDiskControl, createSkewedClock, type SkewedClock } from "../../faults/index.ts";
import type { Clustered, MemberPort, MemberSettings } from "../../stores/cluster-contract.ts";
import { type Durability, type Endpoint, ScenarioError, type Store } from "../../stores/contract.ts";
import { type FrontEnd, frontEndFor, type InterposedDisk } from "../front-end.ts";
import { PowerTrace } from "../power-trace.ts";
import type { RunDirectory } from "../run-directory.ts";
import {
  createSupervisor,
  StartError,
  type SupervisedProcess,
  type Supervisor,
} from "../supervisor/supervisor.ts";

export interface MembersOptions {
  readonly store: Store;
  readonly durability: Durability;
  readonly members: number;
  readonly network: Network;
  readonly directory: RunDirectory;
  readonly runsDir: string;
  /** Preload the interposer, or put the broker around, where the store and the machine allow it. */
  readonly interposed: boolean;
  /** Preload the library of the skewed clock. */
  readonly skewed: boolean;
  /** Trace every disk call, so that power can be lost. */
  readonly traced: boolean;
  /** Told of every change of a member's state; times are the listener's. */
  readonly onState: (member: string, state: MemberState) => void;
  /** A start that did not end ready. */
  readonly onRefusal: (member: string, refusal: Refusal) => void;
}

/** Why a member did not come up. */
export interface Refusal {
  readonly sentence: string;
  /** Its process ended before it was ready: nobody else can be the reason, as with a quorum or a link that is not there. */
  readonly ended: boolean;
}

export type MemberState = "down" | "starting" | "running" | "paused";

/** ms from spawn to ready: a member that waits for its quorum may need the whole storm. */
const readyDeadlineMs = 25_000;
const formDeadlineMs = 20_000;
const promoteDeadlineMs = 10_000;
const statusDeadlineMs = 2000;
const replaceDeadlineMs = 20_000;
/** What stores, and the supervisor, say of a port that somebody else has. */
const portTaken = /address already in use|EADDRINUSE|port \d+ on \S+ is already in use/i;

export class Members {
  readonly names: readonly string[];
  readonly #options: MembersOptions;
  readonly #clustered: Clustered;
  readonly #supervisor: Supervisor;
  readonly #members = new Map<string, Member>();
  /** Who leads, where that is decided from outside. */
  #leader = "n1";
  /** Members whose clients were not told of the last failover. */
  #untold = new Map<string, string>();
  /** Members that led and do not follow the present leader yet: what was acknowledged since, they do not have. */
  readonly #behind = new Set<string>();

  /** Gives every member its addresses and an empty directory; starts nothing. */
  static async open(options: MembersOptions): Promise<Members> {
    const { store, network } = options;
    const frontEnd = options.interposed ? await frontEndFor(store) : undefined;
    const clockLibrary = options.skewed ? await buildClock() : undefined;
    const supervisor = createSupervisor({ runsDir: options.runsDir });
    const members = new Members(options, store.clustered!, supervisor);
    try {
      for (const name of members.names) {
        const ports = await network.addMember(name, store.clustered!.purposes);
        members.#members.set(
          name,
          new Member(name, ports, options, members, supervisor, { frontEnd, clockLibrary }),
        );
      }
    } catch (error) {
      await members.close();
      throw error;
    }
    return members;
  }

  private constructor(options: MembersOptions, clustered: Clustered, supervisor: Supervisor) {
    this.names = Array.from({ length: options.members }, (_, index) => `n${index + 1}`);
    this.#options = options;
    this.#clustered = clustered;
    this.#supervisor = supervisor;
  }

  member(name: string): Member {
    const member = this.#members.get(name);
    if (!member) throw new Error(`there is no member ${name}`);
    return member;
  }

  all(): Member[] {
    return [...this.#members.values()];
  }

  /** Of every member, by purpose: where it will listen, and where it is reached. */
  ports(): ReadonlyMap<string, Readonly<Record<string, MemberPort>>> {
    return new Map(this.all().map((member) => [member.name, member.settings("forming").ports]));
  }

  /** Process ids of one member, descendants included: who opened a connection is found by them. */
  processesOf(name: string): readonly number[] {
    return this.#members.get(name)?.pids() ?? [];
  }

  /**
   * The first start of all.
   *
   * @throws ScenarioError in one sentence when the cluster does not form.
   */
  async form(signal: AbortSignal): Promise<void> {
    const end = () => void this.#supervisor.close();
    signal.addEventListener("abort", end, { once: true });
    try {
      await this.#form();
    } catch (error) {
      // Who interrupts is not told that the store does not start.
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  async #form(): Promise<void> {
    const { start, prepare, form } = this.#clustered;
    const settings = () => this.all().map((member) => member.settings("forming"));
    await prepare?.(settings());
    const refused = (outcome: Refusal | undefined) => {
      if (outcome !== undefined)
        throw new ScenarioError(`store ${this.#options.store.name} does not start: ${outcome.sentence}`);
    };
    if (start === "all")
      for (const outcome of await Promise.all(this.all().map((one) => one.startAs("forming"))))
        refused(outcome);
    else for (const member of this.all()) refused(await member.startAs("forming"));
    try {
      await form?.(settings(), formDeadlineMs);
    } catch (error) {
      throw new ScenarioError(
        `store ${this.#options.store.name} does not form a cluster: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  }

  /** Who leads, as the clients that belong to `home` were told. */
  leaderFor(home: string): string {
    return this.#untold.get(home) ?? this.#leader;
  }

  get leader(): string {
    return this.#leader;
  }

  /** Its members do not elect a leader: acked promotes one. */
  get leadsByHand(): boolean {
    return this.#clustered.promote !== undefined;
  }

  /** See `ClusterTarget.failOver`. */
  async failOver(from: string, told: "all" | "some"): Promise<string | undefined> {
    const { promote } = this.#clustered;
    const fit = (member: Member) =>
      member.name !== from && member.running() && !this.#behind.has(member.name);
    const next = this.all().find(fit);
    if (!promote || !next) return undefined;
    this.#behind.add(from);
    try {
      await promote(next.settings("again"), promoteDeadlineMs);
    } catch (error) {
      // It may have come about all the same: then the old one must not lead again beside it.
      const { status } = this.#clustered;
      const role = await status(next.listening(), statusDeadlineMs).then(
        (one) => one.role,
        () => undefined,
      );
      if (role !== "leader") {
        this.#behind.delete(from);
        const sentence = `it could not be made the leader: ${(error as Error).message}`;
        this.#options.onRefusal(next.name, { sentence, ended: false });
        return undefined;
      }
    }
    if (told === "some") this.#untold.set(from, from);
    this.#leader = next.name;
    return next.name;
  }

  /** See `ClusterTarget.follow`. */
  async follow(name: string): Promise<void> {
    await this.#orRefused(name, () => this.#follow(name));
  }

  async #follow(name: string): Promise<void> {
    const member = this.member(name);
    await member.kill();
    this.#untold.clear();
    member.forgetDisk();
    await this.#clustered.rebuild?.(member.settings("again"), this.member(this.#leader).settings("again"));
    member.traceAgain();
    const refused = await member.startAs("again");
    if (refused !== undefined) return this.#options.onRefusal(name, refused);
    await this.#clustered.form?.(
      this.all().map((one) => one.settings("again")),
      formDeadlineMs,
    );
    this.#behind.delete(name);
  }

  /** See `ClusterTarget.replace`. */
  async replace(name: string): Promise<boolean> {
    await this.#orRefused(name, () => this.#replace(name));
    return this.member(name).running();
  }

  async #replace(name: string): Promise<void> {
    const through = this.all().find((member) => member.name !== name && member.running());
    if (!this.#clustered.replace || !through) return;
    const member = this.member(name);
    await member.kill();
    member.emptyDisk();
    await this.#clustered.replace(member.settings("joining"), through.listening(), replaceDeadlineMs);
    const refused = await member.startAs("joining");
    if (refused !== undefined) this.#options.onRefusal(name, refused);
  }

  /** What an operator tries and cannot do is told like a start that was refused. */
  async #orRefused(name: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#options.onRefusal(name, { sentence: (error as Error).message, ended: false });
    }
  }

  /** Gives a member that cannot come back with its own files those of the others. False where the store offers no way. */
  async makeAnew(name: string): Promise<boolean> {
    // Where acked decides who leads, another is promoted first: the old leader has nothing that the new one could follow.
    if (this.#clustered.promote && name === this.#leader) await this.failOver(name, "all");
    if (this.#clustered.rebuild && name !== this.#leader) await this.follow(name);
    else if (this.#clustered.replace) await this.replace(name);
    else return false;
    return this.member(name).running();
  }

  /** Resolves when no start is under way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.all().map((member) => member.settled()));
  }

  /** What the interposers could not see, one sentence each. */
  blindSpots(): string[] {
    return this.all().flatMap((member) => member.blindSpots());
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.all().map((member) => member.close()));
    await this.#supervisor.close();
  }
}

/** What stands between a member's processes and their disk and clock. */
interface Preloaded {
  readonly frontEnd: FrontEnd | undefined;
  readonly clockLibrary: string | undefined;
}

/** One member over all its starts. */
export class Member implements MemberControl {
  readonly name: string;
  readonly dataDir: string;
  readonly #options: MembersOptions;
  readonly #members: Members;
  readonly #supervisor: Supervisor;
  readonly #frontEnd: FrontEnd | undefined;
  #ports: Readonly<Record<string, MemberPort>>;
  #disk: InterposedDisk | undefined;
  readonly #clock: (SkewedClock & { readonly library: string }) | undefined;
  #processes: SupervisedProcess[] = [];
  #starting: Promise<unknown> = Promise.resolve();
  #underWay = false;
  #starts = 0;
  #paused = false;
  #killed = false;
  #traces = 0;
  /** Directories that a process beside the store keeps, untraced. */
  #ownDirectories: readonly string[] = [];
  #trace: PowerTrace | undefined;

  constructor(
    name: string,
    ports: Readonly<Record<string, MemberPort>>,
    options: MembersOptions,
    members: Members,
    supervisor: Supervisor,
    { frontEnd, clockLibrary }: Preloaded,
  ) {
    this.name = name;
    this.#ports = ports;
    this.#options = options;
    this.#members = members;
    this.#supervisor = supervisor;
    this.#frontEnd = frontEnd;
    this.dataDir = join(options.directory.dataDir, name);
    mkdirSync(this.dataDir, { recursive: true });
    if (clockLibrary !== undefined) {
      this.#clock = { ...createSkewedClock(), library: clockLibrary };
      supervisor.removeLater(this.#clock.path);
    }
    if (!frontEnd) return;
    this.#disk = createDiskControl({ dataDir: this.dataDir, logGlob: this.#logFiles, keepPages: false });
    supervisor.removeLater(this.#disk.path);
  }

  settings(as: MemberSettings["as"]): MemberSettings {
    const { store, durability } = this.#options;
    const reachOf = (ports: Readonly<Record<string, MemberPort>>) =>
      Object.fromEntries(Object.entries(ports).map(([purpose, port]) => [purpose, port.reach]));
    return {
      name: this.name,
      dir: this.dataDir,
      port: this.#ports[store.clustered!.purposes[0]]!.listen.port,
      durability,
      ports: this.#ports,
      members: this.#members.all().map((member) => ({ name: member.name, reach: reachOf(member.#ports) })),
      as,
      leader: this.#members.leader,
    };
  }

  /** Where its processes listen, by purpose: for questions past the links. */
  listening(): Readonly<Record<string, Endpoint>> {
    return Object.fromEntries(Object.entries(this.#ports).map(([purpose, port]) => [purpose, port.listen]));
  }

  /** Where everybody reaches it, by purpose. */
  reach(): Readonly<Record<string, Endpoint>> {
    return Object.fromEntries(Object.entries(this.#ports).map(([purpose, port]) => [purpose, port.reach]));
  }

  running(): boolean {
    return this.#processes.length > 0 && this.#processes.every((process) => process.running());
  }

  /** Started, and one of its processes has ended though acked did not kill it. */
  endedByItself(): SupervisedProcess | undefined {
    return this.#killed ? undefined : this.#processes.find((process) => !process.running());
  }

  /** Of everything of it that is alive, also while it starts. */
  pids(): readonly number[] {
    const { purposes } = this.#options.store.clustered!;
    const names = [this.name, ...purposes.map((purpose) => `${this.name}-${purpose}`)];
    return names.flatMap((name) => [...this.#supervisor.pidsOf(name)]);
  }

  start(): void {
    if (this.#underWay || this.running()) return;
    this.#starting = this.startAs("again")
      .catch((error: Error): Refusal => ({ sentence: error.message, ended: false }))
      .then((refused) => {
        if (refused !== undefined) this.#options.onRefusal(this.name, refused);
      });
  }

  async settled(): Promise<void> {
    await this.#starting;
  }

  /** Starts all its processes; resolves when they are ready, or with why they are not. */
  async startAs(as: MemberSettings["as"]): Promise<Refusal | undefined> {
    this.#underWay = true;
    try {
      const refusal = await this.#startOnce(as);
      // A port that was free a moment ago: it gets others, once.
      if (refusal === undefined || !portTaken.test(refusal.sentence)) return refusal;
      return await this.#startOnce(as);
    } finally {
      this.#underWay = false;
    }
  }

  async #startOnce(as: MemberSettings["as"]): Promise<Refusal | undefined> {
    if (this.#starts > 0) this.#ports = await this.#options.network.moved(this.name);
    this.#starts++;
    this.#killed = false;
    this.#trace?.settle();
    this.#options.onState(this.name, "starting");
    const settings = this.settings(as);
    const launches = await this.#options.store.clustered!.launch(settings);
    // The launch may have brought a directory along, which the trace begins with.
    if (this.#options.traced && !this.#trace) this.traceAgain();
    this.#ownDirectories = launches.flatMap(({ ownDirectory }) => ownDirectory ?? []);
    const processes: SupervisedProcess[] = [];
    this.#processes = processes;
    try {
      for (const launch of launches) {
        const brokered = launch.stores === false ? launch : (this.#frontEnd?.launch(launch) ?? launch);
        const environment = this.#environment(launch.stores !== false);
        const { listen } = this.#ports[launch.purpose]!;
        const own = launch === launches[0] ? this.name : `${this.name}-${launch.purpose}`;
        processes.push(
          await this.#supervisor.start({
            // With all of its environment: what is preloaded is for the store, not for a program that puts it in its place.
            launch: this.#options.network.launchAs(this.name, {
              ...brokered,
              env: { ...brokered.env, ...environment },
            }),
            node: { ...settings, name: own, port: listen.port },
            host: listen.host,
            logFile: this.#options.directory.storeLog,
            deadlineMs: readyDeadlineMs,
          }),
        );
      }
    } catch (error) {
      this.#options.onState(this.name, "down");
      if (!(error instanceof StartError)) throw error;
      if (error.kind === "not-launched") throw new ScenarioError(error.message);
      for (const process of processes) await process.kill();
      if (this.#killed || error.kind === "closed") return undefined;
      return { sentence: error.message, ended: error.kind === "exited" };
    }
    for (const process of processes) {
      process.exited.then(() => {
        if (this.#processes === processes) this.#options.onState(this.name, "down");
      });
    }
    if (this.#processes === processes && this.running()) this.#options.onState(this.name, "running");
    return undefined;
  }

  async kill(): Promise<void> {
    this.#killed = true;
    const processes = this.#processes;
    await Promise.all(processes.map((process) => process.kill()));
    await this.#starting;
    await Promise.all(this.#processes.map((process) => process.kill()));
    this.#paused = false;
    this.#options.onState(this.name, "down");
  }

  /** Everything a fault of one node may act on, now. Its links are the network's, and not here. */
  target(): FaultTarget {
    const disk: DiskControl | undefined = this.#disk?.control;
    return {
      node: {
        name: this.name,
        pid: this.#processes[0]?.pid ?? 0,
        running: () => this.running(),
        signal: (signal) => {
          if (signal === "SIGKILL") this.#killed = true;
          if (signal === "SIGSTOP" || signal === "SIGCONT") this.#paused = signal === "SIGSTOP";
          for (const process of this.#processes) process.signal(signal);
          if (signal === "SIGSTOP" || signal === "SIGCONT")
            this.#options.onState(this.name, this.#paused ? "paused" : "running");
        },
      },
      incarnation: this.#starts,
      dataDir: this.dataDir,
      logFiles: this.#logFiles,
      links: [],
      ...(disk ? { disk } : {}),
      ...(this.#clock ? { clock: this.#clock.control } : {}),
    };
  }

  keepDisk(): void {
    rmSync(this.#keptDir, { recursive: true, force: true });
    cpSync(this.dataDir, this.#keptDir, {
      recursive: true,
      preserveTimestamps: true,
      filter: (file) => !lstatSync(file).isSocket(),
    });
  }

  oldDisk(): boolean {
    if (!existsSync(this.#keptDir)) return false;
    this.emptyDisk();
    cpSync(this.#keptDir, this.dataDir, { recursive: true, preserveTimestamps: true });
    this.traceAgain();
    return true;
  }

  emptyDisk(): void {
    for (const name of readdirSync(this.dataDir))
      rmSync(join(this.dataDir, name), { recursive: true, force: true });
    this.forgetDisk();
  }

  /** What is traced of its disk so far says nothing of what comes: its files are replaced. */
  forgetDisk(): void {
    this.#trace?.close();
    this.#trace = undefined;
  }

  losePower(parameters: FaultParameters): {
    readonly lost: boolean;
    readonly evidence: Readonly<Record<string, unknown>>;
  } {
    const outcome = this.#trace?.lose(parameters, {
      untraced: this.#ownDirectories,
      unseen: this.blindSpots(),
    });
    if (!outcome) return { lost: false, evidence: { why: "nothing was traced" } };
    if (!outcome.lost) return { lost: false, evidence: { why: outcome.why } };
    this.traceAgain();
    return { lost: true, evidence: outcome.evidence };
  }

  /** Starts a trace of the directory as it is now. */
  traceAgain(): void {
    this.forgetDisk();
    if (!this.#options.traced || !this.#frontEnd) return;
    const path = join(this.#options.directory.path, "power-loss", `${this.name}-${this.#traces++}`);
    this.#trace = PowerTrace.begin(path, this.dataDir);
  }

  blindSpots(): readonly string[] {
    return this.#disk?.control.blindSpots() ?? [];
  }

  async close(): Promise<void> {
    await this.kill();
    this.#trace?.close();
    this.#disk?.remove();
    this.#clock?.remove();
  }

  /** Of a process that keeps files, or of one beside it, which shares the member's clock only. */
  #environment(stores: boolean): Readonly<Record<string, string>> {
    const ofDisk: Readonly<Record<string, string>> = {
      ...(stores && this.#frontEnd && this.#disk ? this.#frontEnd.environment(this.#disk) : {}),
      ...(stores ? this.#trace?.environment() : {}),
    };
    const clock = this.#clock;
    return { ...ofDisk, ...(clock ? clock.environment(clock.library, ofDisk.LD_PRELOAD) : {}) };
  }

  get #logFiles(): string {
    return this.#options.store.logFiles ?? "**";
  }

  get #keptDir(): string {
    return join(this.#options.directory.path, `kept-${this.name}`);
  }
}
