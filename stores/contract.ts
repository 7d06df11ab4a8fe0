/**
 * A store under test: how to launch one node of it, how to talk to it, and what its own documentation promises.
 * Everything else (processes, faults, clients, checking) belongs to acked. An extra power is a separate optional
 * member, never a method that throws.
 */

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
}

/** How to start one node's process. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /**
   * `line`: it prints one line `{"ready":true,"port":n, …}`; further members are kept as its recovery report.
   * `port`: ready when it accepts a connection on `NodeSettings.port` and `probe` (if any) resolves.
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
   * True once the connection is gone, also after a `fail` (nothing had been sent, so it certainly did not happen):
   * the caller makes a new client, as after `info`. Absent: only `info` ends a client.
   */
  readonly closed?: boolean;
  /** Drops the connection at once; whatever is in flight ends as `info`. Never throws. */
  close(): void;
}

/** What a client of this store can express; workloads ask for them. */
export const capabilities = ["registers", "compare-and-set", "deletes", "lists", "transactions"] as const;
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
   * within one path segment, `**` across). Default `**`.
   */
  readonly logFiles?: string;
  /** Which disk operations happen at least once a second under load, in mode always. Default: write, sync. */
  readonly performs?: readonly DiskOperation[];
  /** False for statically linked programs, which ignore the preloaded interposer. Default true. */
  readonly interposable?: boolean;
  /** The planted bug, for `stores/broken/*`: what is wrong, and the finding that must name it. */
  readonly plantedBug?: PlantedBug;
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
}

/** The scenario asks for something invalid or unavailable: exit code 3, one clear sentence, no stack trace. */
export class ScenarioError extends Error {
  override readonly name = "ScenarioError";
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
