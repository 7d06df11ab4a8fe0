/**
 * One start of a store as a process on a data directory: start it through its own contract, read everything with its own
 * clients, kill it. What `recover-process.ts` does twice for each crash state, here or in helpers (`recover-helper.ts`).
 *
 * A store that does not become ready has refused, with its last words; so has one that answers a read with an error. What
 * ended because a deadline passed says so: that may be the machine's doing, or that acked itself stood still.
 */
import { closeSync, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Client, Durability, Reply, Request, Store } from "../../../stores/contract.ts";
import { type FrontEnd, frontEndFor } from "../../front-end.ts";
import { freePort } from "../../supervisor/readiness.ts";
import {
  createSupervisor,
  StartError,
  type SupervisedProcess,
  type Supervisor,
} from "../../supervisor/supervisor.ts";
import { traceStart } from "./traced-start.ts";

/** What was read, by request, in their order. */
export type ReadBack =
  | { readonly values: readonly unknown[]; readonly refused?: undefined }
  | {
      readonly refused: string;
      /** A deadline passed; `stalled`: while this process stood still itself, so that it says nothing of the store. */
      readonly timedOut?: "slow" | "stalled";
      readonly values?: undefined;
    };

export interface StoreStartsOptions {
  readonly store: Store;
  readonly durability: Durability;
  /** The reads made after each start. */
  readonly requests: readonly Request[];
  /** The runs/ directory: where processes and directories to clean up are written down. */
  readonly runsDir: string;
  /** From spawn to ready, ms. Default 10,000. */
  readonly startDeadlineMs?: number;
}

const usualStartDeadlineMs = 10_000;
/** For one read, ms. */
const readDeadlineMs = 5000;
/** What waited for so much of its deadline was ended by it: timers are exact to a few ms. */
const nearly = 0.99;
/** How often this process looks whether it stands still, and from when on it has, ms. */
const tickMs = 100;
const stallMs = 1000;

interface Started {
  readonly process: SupervisedProcess;
  readonly traced: ReturnType<typeof traceStart> | undefined;
}

export class StoreStarts {
  readonly supervisor: Supervisor;
  readonly #options: StoreStartsOptions;
  readonly #ticks: NodeJS.Timeout;
  #frontEnd: Promise<FrontEnd | undefined> | undefined;
  #tickedAt = performance.now();
  #stalledAt = Number.NEGATIVE_INFINITY;

  constructor(options: StoreStartsOptions) {
    this.#options = options;
    this.#ticks = setInterval(() => this.#tick(), tickMs).unref();
    this.supervisor = createSupervisor({ runsDir: options.runsDir });
  }

  /**
   * Starts the store in the directory, reads, and kills it; the directory is left as that leaves it.
   *
   * @param name of the node; one start at a time has it. Its log is beside the directory.
   * @param traceTo where the files of a traced start are left (traced-start.ts); absent: it is not traced.
   * @throws StartError when the program cannot be run at all, or after `close`.
   */
  async readBack(name: string, directory: string, traceTo?: string): Promise<ReadBack> {
    const started = await this.#start(name, directory, traceTo);
    if ("refused" in started) return started;
    try {
      return await this.#read(started.process);
    } finally {
      await started.process.kill();
      started.traced?.close();
    }
  }

  /** @throws Error when nothing here can trace it. */
  async #frontEndOf(traceTo: string | undefined): Promise<FrontEnd | undefined> {
    if (traceTo === undefined) return undefined;
    this.#frontEnd ??= frontEndFor(this.#options.store);
    const frontEnd = await this.#frontEnd;
    if (!frontEnd) throw new Error("a start was to be traced, and nothing here can trace it");
    return frontEnd;
  }

  /** Kills what runs and removes every directory. */
  close(): Promise<void> {
    clearInterval(this.#ticks);
    return this.supervisor.close();
  }

  /** Called before every look at `#stalledAt`, too: after a standstill nobody knows which timer comes first. */
  #tick(): void {
    const now = performance.now();
    if (now - this.#tickedAt > stallMs) this.#stalledAt = now;
    this.#tickedAt = now;
  }

  #refused(refused: string, since: number, deadlineMs: number): Extract<ReadBack, { refused: string }> {
    this.#tick();
    if (performance.now() - since < deadlineMs * nearly) return { refused };
    return { refused, timedOut: this.#stalledAt > since ? "stalled" : "slow" };
  }

  async #start(
    name: string,
    directory: string,
    traceTo: string | undefined,
    mayRetry = true,
  ): Promise<Started | Extract<ReadBack, { refused: string }>> {
    const { store, durability, startDeadlineMs = usualStartDeadlineMs } = this.#options;
    const node = { name, dir: directory, port: await freePort(), durability, explored: true };
    const logFile = join(directory, "..", `${name}.log`);
    rmSync(logFile, { force: true });
    const began = performance.now();
    const frontEnd = await this.#frontEndOf(traceTo);
    let traced: Started["traced"];
    try {
      const launch = await store.launch(node);
      if (frontEnd) traced = traceStart(traceTo!, directory, store, launch, frontEnd);
      const process = await this.supervisor.start({
        launch: traced?.launch ?? launch,
        node,
        logFile,
        deadlineMs: startDeadlineMs,
        ...(traced ? { environment: traced.environment } : {}),
      });
      return { process, traced };
    } catch (error) {
      traced?.close();
      if (!(error instanceof StartError) || error.kind === "closed" || error.kind === "not-launched")
        throw error;
      if (error.kind === "port-in-use" && mayRetry) return this.#start(name, directory, traceTo, false);
      // The log goes when the exploration ends, and where these directories are says nothing about the store.
      const sentence = error.message
        .replace(` (all of it: ${logFile})`, "")
        .replace(`; what it printed is in ${logFile}`, "")
        .replace(/\.$/, "");
      const said = `${sentence}; the end of its log: ${lastLines(logFile)}`;
      return this.#refused(said.replaceAll(directory, "the data directory"), began, startDeadlineMs);
    }
  }

  async #read({ endpoint }: SupervisedProcess): Promise<ReadBack> {
    const { store, requests } = this.#options;
    const found = new Map<Request, unknown>();
    const clients: Client[] = [];
    let began = performance.now();
    const readWorkload = async (workload: string) => {
      const client = await store.connect(endpoint, workload, readDeadlineMs);
      clients.push(client);
      began = performance.now();
      const mine = requests.filter((request) => request.workload === workload);
      for (const [at, reply] of (await readAll(client, mine)).entries()) {
        const request = mine[at]!;
        if (reply.type !== "ok")
          throw new Error(`the read of ${request.key} was answered with: ${reply.error}`);
        found.set(request, reply.value);
      }
    };
    try {
      await Promise.all([...new Set(requests.map(({ workload }) => workload))].map(readWorkload));
      return { values: requests.map((request) => found.get(request)) };
    } catch (error) {
      return this.#refused(`it started, but ${(error as Error).message}`, began, readDeadlineMs);
    } finally {
      for (const client of clients) client.close();
    }
  }
}

/** Up to the first that is not answered as it should be. */
async function readAll(client: Client, requests: readonly Request[]): Promise<readonly Reply[]> {
  if (client.readAll) return client.readAll(requests, readDeadlineMs);
  const replies: Reply[] = [];
  for (const request of requests) {
    const reply = await client.execute(request, readDeadlineMs);
    replies.push(reply);
    if (reply.type !== "ok") break;
  }
  return replies;
}

const linesKept = 3;
const logBytes = 4096;

/** The last few lines of a log file, on one line. */
function lastLines(file: string): string {
  let text = "";
  try {
    const fd = openSync(file, "r");
    try {
      const { size } = fstatSync(fd);
      const end = Buffer.alloc(Math.min(size, logBytes));
      readSync(fd, end, 0, end.length, size - end.length);
      text = end.toString();
    } finally {
      closeSync(fd);
    }
  } catch {
    return "it cannot be read";
  }
  // The supervisor's own first line is not the program's.
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("--- "));
  return lines.length === 0 ? "nothing" : lines.slice(-linesKept).join(" | ");
}
