/**
 * A fault: what can go wrong below or around a store, exactly, and how it is injected. Faults are off by default, say
 * so when they are not available here, and prove that they fired. What is not listed in `faults/index.ts` is not
 * modelled, and reports say so.
 *
 * A seed is expanded once into a concrete plan (plain JSON), saved in `scenario.json`, and never derived again.
 */
import type { Arbitrary } from "fast-check";
import type { MemberPort } from "../stores/cluster-contract.ts";
import type { Endpoint, Launch, Store } from "../stores/contract.ts";

/** Plain JSON: everything that was drawn at random for one fault. */
export type FaultParameters = Readonly<Record<string, string | number | boolean>>;

/**
 * Operations that the front ends count and can act on. `write`: every call that puts bytes into a file (write, pwrite,
 * writev, stdio, copy_file_range, sendfile, clone, msync of a shared mapping). `sync`: fsync, fdatasync, msync(MS_SYNC),
 * sync_file_range and syncfs, of files and (named `.` or `sub/.`) of directories. `open`: open without creating;
 * `create`: open that makes a new name. `truncate`: also fallocate.
 */
export const interposedOperations = [
  "write",
  "sync",
  "rename",
  "open",
  "unlink",
  "truncate",
  "create",
  "mkdir",
  "link",
  "read",
] as const;
export type InterposedOperation = (typeof interposedOperations)[number];

export type Errno = "EIO" | "ENOSPC" | "EDQUOT" | "EINTR" | "EMFILE" | "EACCES" | "EROFS";

/** What happens at a matching call. Exact semantics: ARCHITECTURE.md, "The fault model". */
export type Effect =
  /** Nothing happens, -1 with this errno. For `sync` the data stays dirty (fail-keep); EINTR is not a failed sync. */
  | { readonly do: "error"; readonly errno: Errno }
  /** `bytes` are written (or read), `bytes` returned, the program lives. */
  | { readonly do: "short"; readonly bytes: number }
  /** `bytes` are written, then SIGKILL to the process group. */
  | { readonly do: "torn-kill"; readonly bytes: number }
  /** `bytes` are written and stay, -1 is returned with this errno. */
  | { readonly do: "torn-error"; readonly bytes: number; readonly errno: Errno }
  /** Reports success, and nothing reaches the file (write), nothing becomes durable (sync). */
  | { readonly do: "lying" }
  /** The bytes go to the offset asked for plus `shiftBytes` (never below 0), full success is returned. */
  | { readonly do: "misdirected"; readonly shiftBytes: number }
  /** Bit `bit` (modulo the length in bits) of the data is inverted on its way; for `read`: on its way to the program. */
  | { readonly do: "bit-flip"; readonly bit: number }
  /** `read` only: what the page held before it was last written, as of the last sync, is returned. */
  | { readonly do: "stale" }
  /** SIGKILL to the process group immediately before or after the call. */
  | { readonly do: "kill-before" }
  | { readonly do: "kill-after" }
  | { readonly do: "delay"; readonly delayMs: number }
  /** A state, not an event: calls that would grow a file fail with ENOSPC until disarmed; overwriting succeeds. */
  | { readonly do: "full" }
  /** A state: every call that would change anything fails with EROFS until disarmed. */
  | { readonly do: "read-only" }
  /**
   * `sync` only, ext4 and xfs: the dirty pages are marked clean, reads still show the new data, after power loss the
   * old content is back unless the same 4 KiB page is written and synced again. Reported once per open file
   * description, and to one opened later only if nobody has seen it yet. Source: Rebello et al., ATC 2020.
   */
  | { readonly do: "fsyncgate"; readonly errno: Errno }
  /** `write` only: the same failure in background writeback, with no call in flight: the next sync reports it. */
  | { readonly do: "writeback-error"; readonly errno: Errno }
  /** `sync` only, btrfs: as fsyncgate, and reads show the old content at once. */
  | { readonly do: "revert"; readonly errno: Errno }
  /** `sync` only, ext4 data=journal: this sync succeeds and loses its pages, the next one fails. */
  | { readonly do: "late"; readonly errno: Errno };

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

/** The live control of the wall clock that one node's processes read. The monotonic clock is never touched. */
export interface ClockControl {
  /** From now on it is so many ms ahead (negative: behind) of the machine's, and gains so many millionths. */
  skew(shiftMs: number, ratePpm: number): void;
  /** The machine's own clock again. */
  straighten(): void;
  /** How often a process of the node has read a skewed clock: proof that it took effect. */
  readings(): number;
  /** How many processes have loaded the library: proof that it is really inside. */
  processesInside(): number;
}

export interface ArmedRule {
  readonly rule: DiskRule;
  /** `undefined` until it has fired. */
  fired(): RuleFired | undefined;
  /** Calls that it could have acted on since it was armed, over all processes of the store. */
  calls(): number;
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

/** A directed link: what `from` sends to `to`. Names of members (`n1`) or of clients (`c0`). */
export interface DirectedLink {
  readonly from: string;
  readonly to: string;
}

/** What is wrong with a directed link. Connections that are established and new ones meet it alike. */
export type LinkCondition =
  /** What is sent is lost without a word, and retransmitted until the link heals. New connections hang. */
  | { readonly does: "drop" }
  /** New connections are refused or unreachable at once; established ones are reset. */
  | { readonly does: "refuse" }
  /** Everything arrives `delayMs` later, and up to `jitterMs` more, drawn from `seed`, in order. */
  | { readonly does: "delay"; readonly delayMs: number; readonly jitterMs: number; readonly seed: number }
  /** No more than so many bytes pass in a second. */
  | { readonly does: "limit"; readonly bytesPerSecond: number }
  /** So many more bytes pass; then the connection that carries the next is reset, in mid-message; once. */
  | { readonly does: "cut"; readonly afterBytes: number };

/** What a directed link has carried since the network was made. */
export interface LinkTraffic {
  readonly connections: number;
  readonly bytes: number;
}

/** One message on a link: what one read from its sender's socket brought. */
export interface LinkMessage {
  /** `n1>n2`. */
  readonly link: string;
  readonly bytes: number;
  /** ns of CLOCK_MONOTONIC: when it had been read from its sender. */
  readonly sentNs: number;
  /** ns after that it was handed, whole, to its receiver; absent when it never was. */
  readonly arrivedAfterNs?: number;
}

/** The messages of a network, as far as they are remembered. */
export interface LinkMessages {
  /** Those sent, or arrived, from `fromNs` to `toNs` (CLOCK_MONOTONIC) on the wanted links, in the order of sending. */
  between(fromNs: number, toNs: number, wanted: (link: string) => boolean): readonly LinkMessage[];
  /** True when messages from before that moment (CLOCK_MONOTONIC, ns) may have been forgotten. */
  forgot(ns: number): boolean;
}

/**
 * The network between the members of one cluster and its clients. Two mechanisms, one behaviour: user-space proxies, and
 * network namespaces below TCP (root). Faults overlap; each is counted and healed on its own.
 */
export interface Network {
  readonly mechanism: "proxies" | "namespaces";
  /** The conditions that this mechanism can bring about here. */
  readonly can: ReadonlySet<LinkCondition["does"]>;
  /** Gives a member its addresses, one a purpose. Listening ports of proxies change with `moved`. */
  addMember(name: string, purposes: readonly string[]): Promise<Readonly<Record<string, MemberPort>>>;
  /** New listening ports for a member's next start; where it is reached stays. Without proxies: the same again. */
  moved(name: string): Promise<Readonly<Record<string, MemberPort>>>;
  /** Adds a client with a link of its own to every member. */
  addClient(name: string): Promise<void>;
  /** Where that client reaches that member's port. */
  clientEndpoint(client: string, member: string, purpose: string): Endpoint;
  /** The same program, run as that member: in its namespace, where there are any. */
  launchAs(member: string, launch: Launch): Launch;
  /** Resolves when the condition is in force on every one of these links. */
  put(links: readonly DirectedLink[], condition: LinkCondition): Promise<ClusterInjection>;
  /** Ends every fault in force; resolves when all links are whole. */
  heal(): Promise<void>;
  /** What each directed link has carried: a link that never carried anything was not tested. */
  traffic(): ReadonlyMap<string, LinkTraffic>;
  /** The messages that went over its links; below TCP only those of clients are seen. Kept after `close`. */
  messages(): LinkMessages;
  /** One sentence for each thing that went wrong with the network itself; a run that has any is no pass. */
  failures(): readonly string[];
  /** Heals, closes, removes. Idempotent. */
  close(): Promise<void>;
}

/** A fault in force on a cluster. */
export interface ClusterInjection {
  /** Evidence that it took effect, as plain JSON; `undefined` while it has not. Kept after `heal`. */
  fired(): Readonly<Record<string, unknown>> | undefined;
  /** Ends it; resolves when it is no longer in force. Idempotent, never rejects. */
  heal(): Promise<void>;
}

/** Everything a fault of a cluster's network may act on. */
export interface NetworkTarget {
  readonly network: Network;
  /** In order. */
  readonly members: readonly string[];
  readonly clients: readonly string[];
  /** The member that leads at this moment, as far as is known. */
  readonly leader: string | undefined;
}

/** A fault of a cluster's network: a shape of links, and what is wrong with them. */
export interface NetworkFault {
  /** The name used by `--fault`. */
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  /** Why a run that names no faults leaves it out; absent: it is among the defaults. */
  readonly onlyWhenAsked?: string;
  /**
   * It is met only by enough traffic of the right kind, which not every link has: one that was not met was not reached. A
   * partition is met by every heartbeat between members, and by a client that asks.
   */
  readonly needsTraffic?: boolean;
  /** Why these members or this mechanism cannot have it. */
  unavailable(members: number, network: Network["mechanism"], can: Network["can"]): string | undefined;
  /** Concrete parameters, plain JSON, with `durationMs`. Whom it strikes is drawn as a number, or is `leader`. */
  parameters(members: number): Arbitrary<FaultParameters>;
  /** The links that it strikes: pure. */
  links(parameters: FaultParameters, target: Omit<NetworkTarget, "network">): readonly DirectedLink[];
  inject(parameters: FaultParameters, target: NetworkTarget): Promise<ClusterInjection>;
}

/** One member of a cluster, for faults that act on whole members. */
export interface MemberControl {
  readonly name: string;
  running(): boolean;
  /** SIGKILL to all of it; resolves when none of it is alive. */
  kill(): Promise<void>;
  /** Starts it on the files it has, in the background: it may need the others, or the network, to be ready. */
  start(): void;
  /** Its files as they are now are kept, to be put back by `oldDisk`. It must not be running. */
  keepDisk(): void;
  /** Puts the kept files back; false when none are kept. It must not be running. */
  oldDisk(): boolean;
  /** Nothing is left of its files. It must not be running. */
  emptyDisk(): void;
  /** What it had not synced is lost, as a file system's rules allow. It must not be running. Evidence, or why not. */
  losePower(parameters: FaultParameters): {
    readonly lost: boolean;
    readonly evidence: Readonly<Record<string, unknown>>;
  };
}

/** Everything a fault of a whole cluster may act on. */
export interface ClusterTarget extends NetworkTarget {
  member(name: string): MemberControl;
  /**
   * Whoever decides who leads makes another member the leader, and tells the clients: all of them, or (`some`) not those
   * that belong to the member that led. Resolves with its name; `undefined` when nobody could be made leader. Absent where
   * members elect their leader themselves.
   */
  failOver?(from: string, told: "all" | "some"): Promise<string | undefined>;
  /** A member that led comes back as a follower of the present leader, with a copy of its files. Absent as `failOver` is. */
  follow?(name: string): Promise<void>;
  /**
   * Removes the member, which is dead, and starts a new one in its place; false when that did not come about. Absent where
   * members cannot be replaced.
   */
  replace?(name: string): Promise<boolean>;
}

/** A fault of a cluster as a whole, or one that needs to know that it is one. */
export interface ClusterFault {
  /** The name used by `--fault`. */
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  readonly onlyWhenAsked?: string;
  /** Why it cannot be injected here, and how to get it. */
  unavailable(store: Store, machine: Machine): string | undefined;
  /** Concrete parameters, plain JSON, with `durationMs`: what is done is undone after it. */
  parameters(members: number): Arbitrary<FaultParameters>;
  /** Resolves when it is done; may take as long as a failover does. */
  inject(parameters: FaultParameters, target: ClusterTarget): Promise<ClusterInjection>;
}

/** The name of a directed link in traffic, results and reports: `n1>n2`. */
export function linkName({ from, to }: DirectedLink): string {
  return `${from}>${to}`;
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
  /** Absent when the node's processes were started without the library of the skewed clock. */
  readonly clock?: ClockControl;
  /** A copy of the data directory as it was at an earlier stop; only for faults that say `needsEarlierFiles`. */
  readonly earlierDir?: string;
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
  /** Why programs that ignore a preloaded library cannot be reached here, and the remedy; absent: not asked, or they can. */
  readonly noBroker?: string;
}

export interface Fault {
  /** The name used by `--fault`. */
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  /**
   * `crash`: ends the incarnation, then the store is restarted. `passing`: heals while the store lives.
   * `at-rest`: done to the files while the store is stopped. `recovery`: armed while the store is stopped, in force
   * while it starts, and healed when it is ready or has refused; then it is started once more without the fault.
   */
  readonly when: "crash" | "passing" | "at-rest" | "recovery";
  /**
   * The hardware reports success and has done something else. A store may refuse to start afterwards, if it says what is
   * wrong, and what cannot be told from a torn tail or an older disk may be missing; it must not serve wrong data.
   */
  readonly deceives?: boolean;
  /** It puts older files back: `FaultTarget.earlierDir` is wanted. */
  readonly needsEarlierFiles?: boolean;
  /** It shows what pages held before: the interposer is to keep that from the directory's beginning. */
  readonly needsOlderPages?: boolean;
  /** Why a run that names no faults leaves it out; absent: it is among the defaults. */
  readonly onlyWhenAsked?: string;
  readonly mechanism: "signal" | "interposer" | "proxy" | "files";
  /** Why it cannot be injected into this store on this machine and how to get it; `undefined` when it can. */
  unavailable(store: Store, machine: Machine): string | undefined;
  /** Concrete parameters; `durationMs` is required for a passing fault. */
  parameters(store: Store): Arbitrary<FaultParameters>;
  /** Must not wait for the fault to fire. */
  inject(parameters: FaultParameters, target: FaultTarget): Injection;
}

/** How a traced call ended up on the disk; see `TraceEvent`. */
export const traceKinds = [
  "write",
  "sync",
  "datasync",
  "sync-range",
  "syncfs",
  "open",
  "rename",
  "link",
  "unlink",
  "mkdir",
  "rmdir",
  "truncate",
  "allocate",
  "send",
  "pages-lost",
  "enter",
  "exec",
] as const;
export type TraceKind = (typeof traceKinds)[number];

/**
 * One event of a trace, in the order of the trace. A call has a `begin`, recorded before it is made, and an `end`,
 * recorded before it returns to the program; a call without an end was in flight at a kill: its result is unknown.
 * `instant`: `pages-lost`, `enter`, `exec`.
 */
export interface TraceEvent {
  /** 0, 1, 2 … */
  readonly index: number;
  readonly kind: TraceKind;
  readonly phase: "begin" | "end" | "instant";
  /** `index` of the begin event of this call (its own for begin and instant). */
  readonly call: number;
  readonly pid: number;
  readonly tid: number;
  /** CLOCK_MONOTONIC, ns. */
  readonly atNs: number;
  /** Name of the effect of the rule that acted on the call, if any. A `delay` is not named. */
  readonly effect?: Effect["do"];
  /** `device:inode` of the file or directory the call is about; resolved to a file by creation (inodes are reused). */
  readonly inode: string;
  /** Relative to the data directory; the new name for rename and link. Directories are `.` or `sub/.`. */
  readonly path: string;
  /** The old name, of rename and link. */
  readonly otherPath?: string;
  /** `end`: what the program was told: 0 or a count, or -errno. */
  readonly result?: number;
  /** write: where in the file (at the end event: where it really went); truncate: the new size; allocate: start; send: stream bytes before. */
  readonly offset: number;
  /** write, send: bytes asked for; at the end event: bytes that really reached the file or socket. allocate: length. */
  readonly size: number;
  /** write, begin only: the bytes on their way (after a bit flip). Shares memory with the trace. */
  readonly data?: Uint8Array;
  /** open: a new file was made. Known at the end event. */
  readonly created?: boolean;
  /** open: truncated to 0. */
  readonly truncated?: boolean;
  /** write: through O_SYNC, O_DSYNC, RWF_SYNC or RWF_DSYNC: durable when it ends. */
  readonly synchronous?: boolean;
  /** The inode is a directory. */
  readonly directory?: boolean;
  /** allocate: the mode of fallocate(2). rename: the flags of renameat2(2). */
  readonly mode?: number;
  /** send: the peer's TCP port (0 for a Unix socket). */
  readonly port?: number;
}

/** A whole trace. */
export interface Trace {
  readonly events: readonly TraceEvent[];
  /** Why it is not complete (cut short, records damaged, written by another version); empty when it is. */
  readonly faults: readonly string[];
}
