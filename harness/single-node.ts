/**
 * The node of a run of one node: its data directories, processes, links and interposer. An epoch gives it an empty data
 * directory; it may be started many times within one. Several nodes that replicate to each other are in clusters/.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { DiskControl, FaultTarget, Link } from "../faults/contract.ts";
import { createDiskControl, createLink, ringUnseen } from "../faults/index.ts";
import { type Durability, type Endpoint, ScenarioError, type Store } from "../stores/contract.ts";
import type { Place } from "./clients/recording-client.ts";
import { type FrontEnd, frontEndFor, type InterposedDisk } from "./front-end.ts";
import type { RunDirectory } from "./run-directory.ts";
import { freePort } from "./supervisor/readiness.ts";
import {
  createSupervisor,
  StartError,
  type SupervisedProcess,
  type Supervisor,
} from "./supervisor/supervisor.ts";

export interface SingleNodeOptions {
  readonly store: Store;
  readonly durability: Durability;
  readonly directory: RunDirectory;
  /** Where `.active/` is. */
  readonly runsDir: string;
  readonly clients: number;
  /** Preload the interposer where the store and the machine allow it. */
  readonly interposed: boolean;
  /**
   * Clients connect to the node itself, with no proxy between: a trace names the ports of the store's peers, which must
   * be the clients' own for an acknowledgement to be placed in it. There are no links then.
   */
  readonly direct?: boolean;
  /** Keep what pages held before they were last written; see `Fault.needsOlderPages`. */
  readonly keepPages?: boolean;
  /** What the store's processes need in their environment to write a trace, as from `createTrace`. */
  readonly traceEnvironment?: Readonly<Record<string, string>>;
  /** Launch the store with the small files that an exploration wants. */
  readonly explored?: boolean;
  /** Where the interposer's control files go: a directory that is removed with all that is in it. Default: in memory. */
  readonly controlDirectory?: string;
  /** Called once an epoch, when the store's own launch has prepared the data directory and nothing runs in it yet. */
  readonly onPrepared?: (dataDir: string) => void;
}

export type StartOutcome =
  | { readonly started: true; readonly incarnation: number; readonly report: unknown }
  | { readonly started: false; readonly sentence: string };

/** How a node's process ended; `byUs` when acked killed it. */
export interface NodeExit {
  readonly byUs: boolean;
  readonly code?: number;
  readonly signal?: string;
  /** CLOCK_MONOTONIC ns when acked noticed. */
  readonly at: number;
  readonly lastLine: string;
}

/** Nobody listens on port 0: a client that connects while no process has been started is refused. */
const nowhere: Endpoint = { host: "127.0.0.1", port: 0 };

type ProxyLink = Awaited<ReturnType<typeof createLink>>;

const readyDeadlineMs = 10_000;
const portAttempts = 5;

/** The node, and the supervisor that its processes belong to. */
export class SingleNode {
  readonly #supervisor: Supervisor;
  readonly #node: StoreNode;

  /** @throws ScenarioError when the interposer is needed and cannot be built. */
  static async open(options: SingleNodeOptions): Promise<SingleNode> {
    const frontEnd = options.interposed ? await frontEndFor(options.store) : undefined;
    const single = new SingleNode(options, createSupervisor({ runsDir: options.runsDir }), frontEnd);
    try {
      await single.#node.openLinks();
    } catch (error) {
      await single.close();
      throw error;
    }
    return single;
  }

  private constructor(options: SingleNodeOptions, supervisor: Supervisor, frontEnd: FrontEnd | undefined) {
    this.#supervisor = supervisor;
    this.#node = new StoreNode("n1", options, supervisor, frontEnd);
  }

  /** The node gets an empty data directory. `keepPages`: in this epoch, whatever the options say. */
  async openEpoch(epoch: number, options?: { readonly keepPages: boolean }): Promise<StoreNode> {
    await this.#node.openEpoch(epoch, options);
    return this.#node;
  }

  /** Kills the node's processes; the files stay. */
  async closeEpoch(): Promise<void> {
    await this.#node.closeEpoch();
  }

  async close(): Promise<void> {
    await this.#node.close();
    await this.#supervisor.close();
  }
}

/** One node over all its incarnations. */
export class StoreNode {
  readonly name: string;
  readonly #options: SingleNodeOptions;
  readonly #supervisor: Supervisor;
  readonly #frontEnd: FrontEnd | undefined;
  readonly #links: ProxyLink[] = [];
  #dataDir = "";
  #disk: InterposedDisk | undefined;
  readonly #rings = new Set<string>();
  #process: SupervisedProcess | undefined;
  #incarnation = -1;
  #killedByUs = false;
  #stoppedAt = 0;
  #prepared = false;
  #beforeStart: (() => void) | undefined;
  #traceEnvironment: Readonly<Record<string, string>>;

  constructor(
    name: string,
    options: SingleNodeOptions,
    supervisor: Supervisor,
    frontEnd: FrontEnd | undefined,
  ) {
    this.name = name;
    this.#options = options;
    this.#traceEnvironment = options.traceEnvironment ?? {};
    this.#supervisor = supervisor;
    this.#frontEnd = frontEnd;
  }

  async openLinks(): Promise<void> {
    if (this.#options.direct) return;
    for (let client = 0; client < this.#options.clients; client++) {
      const target = () => (this.running() ? this.#process?.endpoint : undefined);
      this.#links.push(await createLink({ name: `c${client}-${this.name}`, target }));
    }
  }

  async openEpoch(epoch: number, options?: { readonly keepPages: boolean }): Promise<void> {
    this.#dataDir = join(this.#options.directory.dataDir, `e${epoch}-${this.name}`);
    mkdirSync(this.#dataDir, { recursive: true });
    this.#prepared = false;
    this.#beforeStart = undefined;
    this.#rings.clear();
    if (this.#frontEnd) {
      const { controlDirectory } = this.#options;
      this.#disk = createDiskControl({
        dataDir: this.#dataDir,
        logGlob: this.#logFiles(),
        keepPages: (options ?? this.#options).keepPages === true,
        ...(controlDirectory === undefined ? {} : { directory: controlDirectory }),
      });
      if (controlDirectory === undefined) this.#supervisor.removeLater(this.#disk.path);
    }
  }

  /**
   * Calls this once, at the next start, when the store's launch has prepared the data directory and nothing runs in it
   * yet: some bring a directory along, which a trace must begin with.
   */
  beforeNextStart(act: () => void): void {
    this.#beforeStart = act;
  }

  /** From the next start on the node's processes get this added to their environment, as from `createTrace`. */
  traceInto(environment: Readonly<Record<string, string>>): void {
    this.#traceEnvironment = environment;
  }

  /** For rules that must be in force before the node is started; absent without an interposer. */
  get disk(): InterposedDisk["control"] | undefined {
    return this.#disk?.control;
  }

  /** What the interposer met in this epoch and could not see or keep, one sentence each. */
  blindSpots(): readonly string[] {
    this.#lookForRings();
    return [...(this.#disk?.control.blindSpots() ?? []), ...this.#rings];
  }

  /** Only what preloads a library is passed by; the broker refuses such calls. */
  #lookForRings(): void {
    if (!this.#disk || this.#options.store.interposable === false || !this.running()) return;
    for (const name of this.#process?.asynchronousIo() ?? []) this.#rings.add(ringUnseen(name));
  }

  get dataDir(): string {
    return this.#dataDir;
  }

  async closeEpoch(): Promise<void> {
    await this.kill();
    this.#disk?.remove();
    this.#disk = undefined;
  }

  /** Starts the node; a store that does not come up is an outcome, not an error. */
  async start(): Promise<StartOutcome> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#startOnce(attempt < portAttempts);
      if (outcome !== "port in use") return outcome;
    }
  }

  /** `port in use` is our bad luck and no fault of the store: somebody took the port that was free a moment ago. */
  async #startOnce(mayRetry: boolean): Promise<StartOutcome | "port in use"> {
    const { store, durability, directory, explored } = this.#options;
    const settings = {
      name: this.name,
      dir: this.#dataDir,
      port: await freePort(),
      durability,
      ...(explored ? { explored } : {}),
    };
    const launch = await store.launch(settings);
    if (!this.#prepared) this.#options.onPrepared?.(this.#dataDir);
    this.#prepared = true;
    this.#beforeStart?.();
    this.#beforeStart = undefined;
    const insideBefore = this.#disk?.control.processesInside() ?? 0;
    this.#killedByUs = false;
    try {
      this.#process = await this.#supervisor.start({
        launch: this.#frontEnd?.launch(launch) ?? launch,
        node: settings,
        environment: {
          ...(this.#frontEnd && this.#disk ? this.#frontEnd.environment(this.#disk) : {}),
          ...this.#traceEnvironment,
        },
        logFile: directory.storeLog,
        deadlineMs: readyDeadlineMs,
      });
    } catch (error) {
      if (!(error instanceof StartError) || error.kind === "closed") throw error;
      if (error.kind === "not-launched") throw new ScenarioError(error.message);
      if (error.kind === "port-in-use" && mayRetry) return "port in use";
      return { started: false, sentence: error.message };
    }
    if (this.#disk && this.#disk.control.processesInside() === insideBefore) {
      await this.kill();
      throw new ScenarioError(
        `the interposer is not inside ${launch.program}: a statically linked or setuid program ignores it; set interposable: false in its Store, and the broker is used${this.#options.explored ? "" : "; or leave out disk faults with --fault kill,pause,stop,partition,delay,cut"}`,
      );
    }
    this.#lookForRings();
    this.#incarnation++;
    const started = this.#process;
    started.exited.then(() => {
      this.#stoppedAt = performance.now();
    });
    return { started: true, incarnation: this.#incarnation, report: started.report };
  }

  running(): boolean {
    return this.#process?.running() ?? false;
  }

  /** `performance.now()` when its last process was noticed to have ended. */
  stoppedAt(): number {
    return this.#stoppedAt;
  }

  /** Resolves when the current process has exited; at once when there is none. */
  async exited(): Promise<void> {
    await this.#process?.exited;
  }

  exit(): NodeExit | undefined {
    const exit = this.#process?.exit();
    return exit ? { ...exit, byUs: this.#killedByUs } : undefined;
  }

  /** SIGKILL to the whole tree; resolves when nothing of it is alive. Idempotent. */
  async kill(): Promise<void> {
    if (!this.#process) return;
    this.#lookForRings();
    if (this.running()) this.#killedByUs = true;
    await this.#process.kill();
  }

  async close(): Promise<void> {
    await this.closeEpoch();
    await Promise.all(this.#links.map((link) => link.close()));
  }

  /** Everything a fault may act on, now. */
  target(): FaultTarget {
    if (!this.#process) throw new Error(`node ${this.name} has not been started`);
    const disk: DiskControl | undefined = this.#disk?.control;
    return {
      node: this.#process,
      incarnation: this.#incarnation,
      dataDir: this.#dataDir,
      logFiles: this.#logFiles(),
      links: this.#links satisfies readonly Link[],
      ...(disk ? { disk } : {}),
    };
  }

  /** Where one client finds this node: at its own link, or at the node itself when clients connect directly. */
  place(client: number): Place {
    const link = this.#links[client];
    const direct = this.#options.direct === true;
    if (!link && !direct) throw new Error(`client ${client} has no link to ${this.name}`);
    const endpoint = (): Endpoint => (direct ? this.#process?.endpoint : link?.endpoint) ?? nowhere;
    const control = this.#disk?.control;
    return {
      get endpoint() {
        return endpoint();
      },
      node: this.name,
      incarnation: () => (this.running() ? this.#incarnation : undefined),
      ...(control ? { syncCounts: () => control.syncCounts() } : {}),
    };
  }

  #logFiles(): string {
    return this.#options.store.logFiles ?? "**";
  }
}
