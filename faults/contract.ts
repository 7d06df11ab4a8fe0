/**
 * A fault: what can go wrong below or around a store, exactly, and how it is injected. Faults are off by default, say
 * so when they are not available here, and prove that they fired. What is not listed in `faults/index.ts` is not
 * modelled, and reports say so.
 *
 * A seed is expanded once into a concrete plan (plain JSON), saved in `scenario.json`, and never derived again.
 */
import type { Arbitrary } from "fast-check";
import type { Store } from "../stores/contract.ts";

/** Plain JSON: everything that was drawn at random for one fault. */
export type FaultParameters = Readonly<Record<string, string | number | boolean>>;

/** Operations that the interposer counts and can act on. `write` covers write, pwrite, writev, pwritev. */
export type InterposedOperation = "write" | "sync" | "rename" | "open" | "unlink" | "truncate";

/** What the interposer does at a matching call. Exact semantics: ARCHITECTURE.md, "The fault model". */
export type Effect =
  /** Nothing happens, -1 with this errno. For `sync` the data stays dirty (fail-keep). */
  | { readonly do: "error"; readonly errno: "EIO" | "ENOSPC" | "EDQUOT" | "EINTR" }
  /** `bytes` are written, `bytes` returned, the program lives. */
  | { readonly do: "short"; readonly bytes: number }
  /** `bytes` are written, then SIGKILL to the process group. */
  | { readonly do: "torn-kill"; readonly bytes: number }
  /** SIGKILL to the process group immediately before or after the call. */
  | { readonly do: "kill-before" }
  | { readonly do: "kill-after" }
  | { readonly do: "delay"; readonly delayMs: number }
  /** A state, not an event: calls that would grow a file fail with ENOSPC until disarmed; overwriting succeeds. */
  | { readonly do: "full" };

export interface DiskRule {
  readonly operation: InterposedOperation;
  /** Glob relative to the data directory: `*` within one segment, `**` across. */
  readonly path: string;
  /** Counted from the moment of arming, over all processes of the store: the nth call, or every call from it on. */
  readonly nth: number;
  readonly repeat: "once" | "from";
  readonly effect: Effect;
}

/** Proof that a rule fired. */
export interface RuleFired {
  /** How often so far. */
  readonly times: number;
  /** Monotonic ns (CLOCK_MONOTONIC) of the first time. */
  readonly firstAtNs: number;
  /** The file of the first time, relative to the data directory. */
  readonly path: string;
  /** Process id of the first time. */
  readonly pid: number;
}

/** Counts over all processes of one store, on its log files. */
export interface SyncCounts {
  /** Syncs begun. */
  readonly begun: number;
  /** The highest begin-number among syncs that completed with success (an O_DSYNC write counts as a sync). */
  readonly completed: number;
  /** Syncs that failed. */
  readonly failed: number;
}

/** The live control of the interposer inside one node's processes. */
export interface DiskControl {
  /** Arms a rule; it counts from now. */
  arm(rule: DiskRule): ArmedRule;
  syncCounts(): SyncCounts;
  /** How many processes have loaded the interposer: proof that it is really inside. */
  processesInside(): number;
}

export interface ArmedRule {
  readonly rule: DiskRule;
  /** `undefined` until it has fired. */
  fired(): RuleFired | undefined;
  disarm(): void;
}

/** One directed pair of a client and a node, or of two nodes, with a user-space proxy between. */
export interface Link {
  /** `c0-n1`. */
  readonly name: string;
  /** From here on bytes in this direction are held, as packets lost in the network are: delivered after `heal`. */
  drop(direction: "forth" | "back" | "both"): LinkFault;
  /** New connections are refused; established ones are reset. */
  refuse(): LinkFault;
  /** Every chunk is delivered `delayMs` later, in order. */
  delay(delayMs: number): LinkFault;
  /** Passes `afterBytes` more bytes in the direction of the node, then resets the connection in mid-message; once. */
  cut(afterBytes: number): LinkFault;
  /** Ends every fault in force on this link. */
  heal(): void;
}

/** One fault in force on one link. Several may overlap; each is counted and healed on its own. */
export interface LinkFault {
  /** How many bytes or connections it has touched so far: 0 means that it has not fired. Kept after `heal`. */
  touched(): number;
  /** Ends this fault; idempotent. */
  heal(): void;
}

/** A store process the nemesis can act on. */
export interface NodeProcess {
  /** `n1`. */
  readonly name: string;
  readonly pid: number;
  /** Signals the whole descendant tree. */
  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM"): void;
  /** True while the process has not exited. */
  running(): boolean;
}

/** Everything a fault may act on. */
export interface FaultTarget {
  readonly node: NodeProcess;
  /** Which start of the node this is: 0, 1, 2 … over the whole run. */
  readonly incarnation: number;
  readonly dataDir: string;
  /** The store's log files, as a glob relative to `dataDir`. */
  readonly logFiles: string;
  /** Every client's link to this node. */
  readonly links: readonly Link[];
  /** Absent when there is no interposer here. */
  readonly disk?: DiskControl;
}

/** A fault in force. */
export interface Injection {
  /** Evidence that it took effect, as plain JSON for `faults.jsonl`; `undefined` while it has not. */
  fired(): Readonly<Record<string, unknown>> | undefined;
  /** Ends it; idempotent, never throws. */
  heal(): void;
}

/** What this machine offers; see harness/machine.ts. */
export interface Machine {
  readonly platform: string;
  /** Path of the C compiler, if any. */
  readonly compiler?: string;
  readonly root: boolean;
}

export interface Fault {
  /** The name used by `--fault`. */
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  /**
   * `crash`: ends the incarnation, then the store is restarted. `passing`: heals while the store lives.
   * `at-rest`: done to the files while the store is stopped.
   */
  readonly when: "crash" | "passing" | "at-rest";
  readonly mechanism: "signal" | "interposer" | "proxy" | "files";
  /** Why it cannot be injected into this store on this machine and how to get it; `undefined` when it can. */
  unavailable(store: Store, machine: Machine): string | undefined;
  /** Concrete parameters; `durationMs` is required for a passing fault. */
  parameters(store: Store): Arbitrary<FaultParameters>;
  /** Must not wait for the fault to fire. */
  inject(parameters: FaultParameters, target: FaultTarget): Injection;
}
