/**
 * A store under test: how to launch one node of it, how to talk to it, and what its own documentation promises.
 * Everything else (processes, faults, clients, checking) belongs to acked. An extra power is a separate optional
 * member, never a method that throws.
 */
import type { Clustered } from "./cluster-contract.ts";

/** When an acknowledged write is on disk. `interval`: synced every `intervalMs`. `none`: snapshots only. */
export type Durability =
  | { readonly mode: "always" }
  | { readonly mode: "interval"; readonly intervalMs: number }
  | { readonly mode: "none" };

/** What survives one class of fault: every acknowledged write, or a prefix of them in log order. */
export type Survival =
  | { readonly survives: "everything acknowledged" }
  | {
      readonly survives: "a prefix";
      /** Bound of the loss in ms, or Infinity ("since the last snapshot"). */
      readonly lossMsMax: number;
      /** Of that, ms set aside for one sync however slow. In a trace syncs can be timed: the longest there counts instead. */
      readonly syncMs?: number;
    };

/** What the store's own documentation says survives in one durability mode. Judged against nothing else. */
export interface StorePromise {
  /** SIGKILL: the page cache survives. */
  readonly processCrash: Survival;
  /** Unsynced data is gone. */
  readonly powerLoss: Survival;
  /** SIGTERM: what a graceful stop keeps. */
  readonly gracefulStop: Survival;
  /** Every acknowledgement is preceded by a sync of the log: makes the covering-sync check applicable. */
  readonly syncsBeforeAcknowledging: boolean;
  /** After a failed write or sync of the log no write invoked later is acknowledged by this process. */
  readonly failStop: boolean;
  /**
   * False: it may show a write that is not durable yet (read from the page cache after a restart, and never synced), so
   * that a power loss can take back what a read has shown. Acknowledged writes are owed all the same. Default true.
   */
  readonly showsOnlyDurable?: boolean;
  /** Damage to the log at rest is refused or reported, never served. */
  readonly detectsDamageAtRest: boolean;
  /** The documentation's own words, and where they are. */
  readonly source: string;
}

/** What one node needs to know to be launched. */
export interface NodeSettings {
  /** `n1`, `n2`, … */
  readonly name: string;
  /** Its data directory; exists, and may hold an earlier incarnation's files. */
  readonly dir: string;
  /** A free port on 127.0.0.1, for stores that cannot choose one themselves. */
  readonly port: number;
  readonly durability: Durability;
  /**
   * The run is traced to be explored: use small files (log segments of 8-16 KiB, snapshots every 32 KiB or so), so that
   * a thousand operations see segments end and snapshots replace each other. Nothing else may differ.
   */
  readonly explored?: boolean;
}

/** How to start one node's process. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What asks it to end while clients are connected. Default SIGTERM. */
  readonly stopSignal?: "SIGTERM" | "SIGINT";
  /**
   * `line`: it prints one line `{"ready":true,"port":n, …}`; further members are kept as its recovery report.
   * `port`: ready when it accepts a connection on `NodeSettings.port` and `probe` (if any) resolves; see `RefusedToServe`.
   */
  readonly ready:
    | { readonly by: "line" }
    | { readonly by: "port"; readonly probe?: (endpoint: Endpoint) => Promise<void> };
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** One thing a workload asks for. Its meaning is fixed by (`workload`, `f`); see the workload's own file. */
export interface Request {
  readonly workload: string;
  readonly f: string;
  readonly key: string;
  readonly value?: unknown;
}

/** How a request ended. A compare that returned its witness is `ok` with `matched: false`. */
export type Reply =
  | { readonly type: "ok"; readonly value?: unknown; readonly matched?: boolean }
  | { readonly type: "fail"; readonly error: string }
  | { readonly type: "info"; readonly error: string };

/**
 * One logical sequential client: one request in flight. Never retries, resends, queues or reconnects by itself:
 * after an `info` reply it is closed and a new one is made. `execute` never rejects and always settles by the
 * deadline (then `info`).
 */
export interface Client {
  execute(request: Request, deadlineMs: number): Promise<Reply>;
  /**
   * Reads that change nothing, sent together; the replies come in the same order, all by the deadline. With nothing else
   * in flight, and for reading a recovered store back only. Absent: they are executed one after the other.
   */
  readAll?(requests: readonly Request[], deadlineMs: number): Promise<readonly Reply[]>;
  /**
   * True once the connection is gone, also after a `fail` (nothing had been sent, so it certainly did not happen):
   * the caller makes a new client, as after `info`. Absent: only `info` ends a client.
   */
  readonly closed?: boolean;
  /**
   * Where on which connection the last reply ended: the local TCP port, and the bytes received on the connection when
   * that reply was complete (with one request in flight, that is its last byte). Absent: acknowledgements cannot be
   * placed in the trace, and the weaker live counters are used.
   */
  replyEnd?(): { readonly localPort: number; readonly bytes: number };
  /** Drops the connection at once; whatever is in flight ends as `info`. Never throws. */
  close(): void;
}

/** What a client of this store can express; workloads ask for them. */
export const capabilities = [
  "registers",
  "compare-and-set",
  "deletes",
  "lists",
  "sets",
  "transactions",
] as const;
export type Capability = (typeof capabilities)[number];

/**
 * Disk operations that a process performs regularly under load, so that a fault at the n-th one fires. `grow`: a write
 * that makes a file longer, or a new file; a store that only overwrites does not meet a full disk.
 */
export type DiskOperation = "write" | "sync" | "rename" | "grow";

export interface Store {
  /** The name used by `--store`. */
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  readonly capabilities: readonly Capability[];
  /** The durability modes it can be run in; the first is its default. */
  readonly durabilities: readonly Durability["mode"][];
  promise(durability: Durability): StorePromise;
  /** May create configuration files in `node.dir`. Throws `ScenarioError` (with what to do) when it cannot run here. */
  launch(node: NodeSettings): Launch | Promise<Launch>;
  /** Resolves when the store has answered over this connection; rejects by the deadline. */
  connect(endpoint: Endpoint, workload: string, deadlineMs: number): Promise<Client>;
  /** Why it cannot run on this machine, and the way to get it; `undefined` when it can. */
  unavailable?(): Promise<string | undefined>;
  /**
   * Files below the data directory whose sync makes a write durable, as a glob relative to it (`*` matches
   * within one path segment, `**` across). Default `**`, which counts syncs of directories, too.
   */
  readonly logFiles?: string;
  /** Which disk operations happen at least once a second under load, in mode always. Default: write, sync. */
  readonly performs?: readonly DiskOperation[];
  /** Files that are snapshots under their final names, as a glob; an exploration wants to see some replaced. */
  readonly snapshotFiles?: string;
  /** In-process recovery, which makes crash-state exploration fast. */
  readonly recoverable?: Recoverable;
  /** False for statically linked programs, which ignore the preloaded interposer. Default true. */
  readonly interposable?: boolean;
  /** The planted bug, for `stores/broken/*`: what is wrong, and the finding that must name it. */
  readonly plantedBug?: PlantedBug;
  /** It runs as a cluster of several members, and only so: `launch` and `connect` then are one member's alone. */
  readonly clustered?: Clustered;
}

/** A deliberate bug and how it must be found. */
export interface PlantedBug {
  /** One sentence. */
  readonly bug: string;
  /** Kinds of findings (see harness/checkers/contract.ts), any of which names this bug rightly. */
  readonly finding: readonly string[];
  /** The workload and the faults that reveal it, used by the fixed plans of its test and of the gate. */
  readonly workloads: readonly string[];
  readonly faults: readonly string[];
  /** It shows in the crash states of a traced run of the first workload, explored in place of a live run. */
  readonly explore?: {
    /** The profile that shows it. */
    readonly profile: string;
    /** Profiles under which nothing of it may show. */
    readonly notUnder?: readonly string[];
  };
  /** It shows in a sweep of this operation and effect, in place of a live run. */
  readonly sweep?: {
    readonly operation: string;
    readonly effect: string;
    /** An effect at the same operation with which nothing of it may show. */
    readonly notWith?: string;
  };
}

/** The scenario asks for something invalid or unavailable: exit code 3, one clear sentence, no stack trace. */
export class ScenarioError extends Error {
  override readonly name = "ScenarioError";
}

/** Thrown by a readiness probe: the store answers, and what it says shows that it will not serve. Ends the waiting. */
export class RefusedToServe extends Error {
  override readonly name = "RefusedToServe";
}

/**
 * For a name that is not known: lists those that are, and suggests the nearest. `also` says what else may be given.
 */
export function unknownName(what: string, name: string, known: readonly string[], also = ""): ScenarioError {
  const short = (one: string) => one.slice(one.lastIndexOf("/") + 1);
  const nearest = known
    .map((one) => ({ one, distance: Math.min(editDistance(name, one), editDistance(name, short(one))) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const near = nearest && nearest.distance <= Math.max(1, name.length / 3);
  const hint = near ? ` (did you mean ${nearest.one}?)` : "";
  return new ScenarioError(`there is no ${what} "${name}"${hint}; known: ${known.join(", ")}${also}`);
}

/** Levenshtein's distance: how many letters must be added, removed or replaced. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/**
 * The optional power that `bench` and `compare` need: a store that can be measured with nothing recorded, interposed
 * or proxied in between. Separate from `Store`, because what is measured needs no promise, and what is only measured
 * (Postgres) has none here.
 */
export interface Measurable {
  readonly name: string;
  readonly durabilities: readonly Durability["mode"][];
  /** Why it cannot run on this machine, and the way to get it; `undefined` when it can. */
  unavailable?(): Promise<string | undefined>;
  /**
   * Makes an empty store ready to be started; absent when the server is the user's own and already runs. `scratchDir`
   * is a short directory of mode 0755 for sockets and program copies, removed by the caller.
   */
  prepare?(node: NodeSettings, scratchDir: string): Promise<Launch>;
  /** Opens a session on the running store. Throws `ScenarioError` when it cannot be used. */
  open(endpoint: Endpoint, durability: Durability): Promise<MeasuredSession>;
}

/** A running store under measurement. */
export interface MeasuredSession {
  readonly version: string;
  /** Settings that decide durability and speed, shown beside every figure. */
  readonly settings: Readonly<Record<string, string>>;
  /** Sentences about what makes this session's durability other than the one asked for; empty when nothing does. */
  readonly deviations: readonly string[];
  connect(): Promise<MeasuredConnection>;
  /** Loads entries as fast as the store can, outside any measurement. */
  preload(entries: readonly (readonly [key: string, value: string])[]): Promise<void>;
  /** Cumulative counters of the log; `undefined` where the store has none. */
  logCounters(): Promise<LogCounters | undefined>;
  /** Leaves nothing of acked in a server that is the user's own. */
  close(): Promise<void>;
}

export interface LogCounters {
  /** Syncs of the log that the store itself counted. */
  readonly syncs: number;
  /** Bytes written to the log. */
  readonly bytes?: number;
}

/** Called exactly once per request; `value` is what a read found, `undefined` when the key was absent. */
export type MeasuredDone = (error: Error | undefined, value?: string) => void;

/** One connection with one request in flight; callbacks, because a promise per request is the generator's cost. */
export interface MeasuredConnection {
  upsert(key: string, value: string, done: MeasuredDone): void;
  read(key: string, done: MeasuredDone): void;
  /** Ends the connection; never throws. */
  close(): Promise<void>;
}

/** A store that can recover a directory and answer reads without serving. */
export interface Recoverable {
  /** URL or absolute path of a compiled module whose `recover` export is a `Recover`. Loaded in worker threads. */
  readonly module: string;
  /** Plain JSON, handed to `recover` unchanged: the durability mode is added by the caller. */
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * Recovers the files, exactly as the store as shipped would at its start (everything it writes, syncs and removes
 * before serving goes through `disk`), then answers reads. Rejects with one sentence when it refuses to start.
 */
export type Recover = (
  disk: SimulatedDisk,
  options: Readonly<Record<string, unknown>> & { readonly durability: Durability },
) => Promise<RecoveredStore>;

export interface RecoveredStore {
  /** The reply's value to a read request of a workload (see `Workload.readBack`), from the recovered state. */
  read(request: Request): unknown;
  /** Its ready line's `recovery` report: what was cut, or that nothing was. */
  readonly report: unknown;
}

/**
 * A data directory in memory, for in-process recovery: POSIX calls, synchronous, on paths relative to the data
 * directory (`""` is the directory itself). Errors are thrown as Node throws them, with `code` (`ENOENT`, `EEXIST` …).
 */
export interface SimulatedDisk {
  /** Flags as for fs.open: `r`, `r+`, `w`, `wx`, `a`. Directories may be opened with `r`, to be synced. */
  open(path: string, flags: string): number;
  close(fd: number): void;
  read(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  write(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  /** fsync, of a file or a directory. */
  sync(fd: number): void;
  /** fdatasync. */
  syncData(fd: number): void;
  size(fd: number): number;
  truncate(fd: number, size: number): void;
  /** The whole file as it is now. Shared memory, which nobody changes: not the store, and not the disk, either. */
  readFile(path: string): Uint8Array;
  /** Names in a directory, sorted. */
  list(path: string): string[];
  exists(path: string): boolean;
  rename(from: string, to: string): void;
  link(existing: string, path: string): void;
  unlink(path: string): void;
  makeDirectory(path: string): void;
}
