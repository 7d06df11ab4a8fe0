/**
 * Recovers crash states with the store as a process, for stores that have no in-process recovery: the state is made in a
 * real directory, the store is started on it through its own contract, everything is read by its own clients, it is
 * killed, and started again on what the first start left (recover-start.ts). Several states at a time, each on its lane;
 * an exploration has stores started by small helper processes (recover-helper.ts).
 *
 * Directories are below one temporary directory that is removed at the end, or by acked's next start (supervisor/).
 *
 * `follow` has one start traced (traced-start.ts): what power loss during it may leave, and what is pending after it.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Durability, Store } from "../../../stores/contract.ts";
import { findStore } from "../../../stores/index.ts";
import { childProgram } from "../../package-root.ts";
import { StartError } from "../../supervisor/supervisor.ts";
import { type DiskImage, DiskModel } from "../disk/disk-model.ts";
import type { RecoveredValues } from "../judge/judge-state-values.ts";
import { liveImage, writeImage } from "../states/crash-state.ts";
import {
  type Followed,
  type Recovery,
  type StateRecoverer,
  type TwoRecoveries,
  UndecidedRecovery,
} from "./explore-recovery.ts";
import type { HelperReply, HelperRequest } from "./recover-helper.ts";
import { type ReadBack, StoreStarts } from "./recover-start.ts";
import { TracedStart } from "./traced-start.ts";

export interface ProcessRecoveryOptions {
  readonly store: Store;
  readonly durability: Durability;
  readonly values: RecoveredValues;
  /** The runs/ directory: where processes and directories to clean up are written down. */
  readonly runsDir: string;
  /** How many processes start the store; default 0: this one does. Stores that have no name of acked's are started here. */
  readonly helpers?: number;
  /** From spawn to ready, ms, of stores started here. Default 10,000. */
  readonly startDeadlineMs?: number;
}

/** Recoveries of one state, as long as deadlines pass. */
const attemptsAtMost = 4;

/** Room for the directories of all lanes and their logs; with less, they are on the disk. */
const memoryBytes = 512 * 2 ** 20;
/** Beside each other: a start waits for its disk and for timers more than for a core. */
const lanesOfAll = 4;

/** Where a start is made, under the name of a node. */
interface Lane {
  readonly name: string;
  readonly readBack: (name: string, directory: string, traceTo?: string) => Promise<ReadBack>;
}

export class ProcessRecovery implements StateRecoverer {
  readonly lanes = lanesOfAll;
  readonly inProcess = false;
  readonly #options: ProcessRecoveryOptions;
  readonly #starts: StoreStarts;
  readonly #directory: string;
  readonly #free: Lane[] = [];
  readonly #waiting: ((lane: Lane) => void)[] = [];
  readonly #helpers: Helper[] = [];
  #opened: Promise<void> | undefined;
  /** By the digest of a directory's files: what was recovered from them. */
  readonly #known = new Map<string, Recovery>();
  #count = 0;

  constructor(options: ProcessRecoveryOptions) {
    this.#options = options;
    this.#starts = new StoreStarts({ ...options, requests: options.values.requests });
    // What a recovery syncs need not be durable, and Postgres syncs hundreds of files at each start.
    this.#directory = this.#starts.supervisor.temporaryDirectory("explore", memoryBytes);
  }

  /** Waits for a free lane, then recovers twice. */
  recoverTwice(image: DiskImage): Promise<TwoRecoveries> {
    return this.#onLane((lane, directory) =>
      this.#decided(image, directory, () => this.#twice(lane, directory)),
    );
  }

  /** Waits for a free lane, then recovers once, traced. */
  follow(start: DiskImage | DiskModel, crashPoint?: (model: DiskModel) => void): Promise<Followed> {
    const live = start instanceof DiskModel ? start : undefined;
    const image = start instanceof DiskModel ? liveImage(start) : start;
    return this.#onLane(async (lane, directory) => {
      const traceTo = `${directory}.start`;
      try {
        const recovery = await this.#decided(image, directory, async () => {
          const first = await this.#recover(lane, directory, traceTo);
          return { first };
        });
        const traced = TracedStart.read(traceTo);
        const model = traced.follow(live, crashPoint);
        return { recovery: recovery.first, model, keep: (folder) => traced.keep(folder) };
      } finally {
        rmSync(traceTo, { recursive: true, force: true });
      }
    });
  }

  async #onLane<Result>(work: (lane: Lane, directory: string) => Promise<Result>): Promise<Result> {
    this.#opened ??= this.#open();
    await this.#opened;
    const lane = this.#free.pop() ?? (await new Promise<Lane>((resolve) => this.#waiting.push(resolve)));
    const directory = join(this.#directory, String(this.#count++));
    try {
      return await work(lane, directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
      const next = this.#waiting.shift();
      if (next) next(lane);
      else this.#free.push(lane);
    }
  }

  /**
   * A deadline that passes is the store's doing only if another passes when all is done again: this process may have
   * been stopped, or the machine busy.
   */
  async #decided(
    image: DiskImage,
    directory: string,
    recover: () => Promise<TwoRecoveries>,
  ): Promise<TwoRecoveries> {
    let slow = 0;
    let late: Late | undefined;
    for (let attempt = 0; attempt < attemptsAtMost; attempt++) {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { mode: 0o755 });
      writeImage(image, directory);
      const twice = await recover();
      const last: Late = twice.second ?? twice.first;
      if (last.timedOut === undefined)
        return late
          ? { ...twice, doubt: `${late.refused}: this was not so when it was recovered again` }
          : twice;
      late = last;
      if (last.timedOut === "slow" && ++slow === 2) return twice;
    }
    throw new UndecidedRecovery(
      `${late!.refused}: acked itself stood still meanwhile, ${attemptsAtMost} times`,
    );
  }

  async #twice(lane: Lane, directory: string): Promise<TwoRecoveries> {
    const before = digestOf(directory);
    const first = await this.#recover(lane, directory);
    if (first.timedOut === undefined) this.#known.set(before, first);
    if (first.refused !== undefined) return { first };
    // Equal files are recovered once: often the first start has left them as they were.
    const left = digestOf(directory);
    const known = this.#known.get(left);
    if (known) return { first, second: known, secondKnown: true };
    const second = await this.#recover(lane, directory);
    if (second.timedOut === undefined) this.#known.set(left, second);
    return { first, second };
  }

  /** What is in a directory already; it is left as this start of the store leaves it. One call at a time. */
  recoverThere(directory: string): Promise<Recovery> {
    return this.#recover(this.#here("n1"), directory);
  }

  /** Kills what runs and removes every directory. */
  async close(): Promise<void> {
    await this.#opened?.catch(() => undefined);
    await Promise.all(this.#helpers.map((helper) => helper.close()));
    await this.#starts.close();
  }

  async #open(): Promise<void> {
    const { store, durability, values, runsDir, helpers = 0 } = this.#options;
    const known = helpers > 0 && (await findStore(store.name).catch(() => undefined)) === store;
    if (known) {
      const { requests } = values;
      for (let i = 0; i < helpers; i++) this.#helpers.push(new Helper());
      const message = { type: "open", store: store.name, durability, requests, runsDir } as const;
      await Promise.all(this.#helpers.map((helper) => helper.open(message)));
    }
    for (let i = lanesOfAll; i > 0; i--) {
      const helper = known ? this.#helpers[i % helpers] : undefined;
      const name = `n${i}`;
      this.#free.push(
        helper ? { name, readBack: (...start) => helper.readBack(...start) } : this.#here(name),
      );
    }
  }

  #here(name: string): Lane {
    return { name, readBack: (...start) => this.#starts.readBack(...start) };
  }

  async #recover({ name, readBack }: Lane, directory: string, traceTo?: string): Promise<Late> {
    const { values: found, ...refusal } = await readBack(name, directory, traceTo);
    if (found === undefined) return refusal as Late;
    const { values } = this.#options;
    const slots = new Map(values.requests.map((request, slot) => [request, found[slot]]));
    return { recovered: values.recovered((request) => slots.get(request)) };
  }
}

/** A recovery, and whether a deadline ended it. */
type Late = Recovery & { readonly timedOut?: "slow" | "stalled" };

/** How long a helper may take to kill what it started, ms. */
const closeDeadlineMs = 10_000;

/** A process that starts stores for this one. */
class Helper {
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<number, (reply: HelperReply) => void>();
  #count = 0;
  #gone = false;

  constructor() {
    this.#process = fork(childProgram("harness/explore/recover/recover-helper.js"), [], { execArgv: [] });
    this.#exited = new Promise((resolve) => {
      const gone = () => {
        this.#gone = true;
        for (const [id, resolve] of this.#waiting) resolve({ id, failed: helperGone });
        resolve();
      };
      this.#process.once("exit", gone);
      this.#process.once("error", gone);
    });
    this.#process.on("message", (reply: HelperReply) => {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  /** @throws Error when it cannot work. */
  async open(message: HelperRequest): Promise<void> {
    await this.#ask(-1, message);
  }

  /** @throws as `StoreStarts.readBack`; Error when the helper has ended. */
  async readBack(name: string, directory: string, traceTo?: string): Promise<ReadBack> {
    const id = this.#count++;
    return (await this.#ask(id, { type: "start", id, name, directory, traceTo })).readBack!;
  }

  /** Resolves when it has ended, and what it started with it. */
  async close(): Promise<void> {
    if (!this.#gone && this.#process.connected) this.#process.disconnect();
    // What a helper that was killed leaves, acked's next start heals.
    const deadline = setTimeout(() => this.#process.kill("SIGKILL"), closeDeadlineMs);
    await this.#exited;
    clearTimeout(deadline);
  }

  async #ask(id: number, message: HelperRequest): Promise<HelperReply> {
    if (this.#gone) throw new Error(helperGone);
    const reply = await new Promise<HelperReply>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#process.send(message, (error) => error && resolve({ id, failed: helperGone }));
    });
    if (reply.failed === undefined) return reply;
    throw reply.kind ? new StartError(reply.kind, reply.failed) : new Error(reply.failed);
  }
}

const helperGone = "a process of acked's own that starts stores has ended";

/** SHA-1 of all names and contents below a directory. */
function digestOf(directory: string): string {
  const hash = createHash("sha1");
  const visit = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      const path = join(folder, entry.name);
      hash.update(`${path.length - directory.length} ${path.slice(directory.length)} `);
      if (entry.isDirectory()) visit(path);
      // Sockets and the like hold nothing that could be recovered.
      else if (entry.isFile()) hash.update(createHash("sha1").update(readFileSync(path)).digest());
    }
  };
  visit(directory);
  return hash.digest("base64");
}
