/**
 * What a finished run leaves in `results.json`: the one document that the terminal summary, the HTML report, JUnit and
 * `--json` are made from. A changed format gets a new `formatVersion`.
 */
import type { CheckResult, Finding, Verdict } from "./checkers/contract.ts";

export interface FaultTally {
  readonly name: string;
  readonly planned: number;
  readonly armed: number;
  readonly fired: number;
}

/** A fault's interval in a run, one line of `faults.jsonl`. */
export interface FaultRecord {
  readonly name: string;
  /** The node or link it acted on. */
  readonly target: string;
  readonly epoch: number;
  readonly cycle: number;
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
  /** ns since the run's start. */
  readonly armedAt: number;
  /** ns since the run's start; absent when its window closed without it firing. */
  readonly firedAt?: number;
  /** ns since the run's start when the store was serving again or the fault was healed. */
  readonly healedAt: number;
  /** Evidence that it took effect. */
  readonly evidence?: Readonly<Record<string, unknown>>;
}

export interface NotCovered {
  /** A fault, a class of check or a mode, by name. */
  readonly what: string;
  readonly why: string;
  /** How to get it, when that is possible. */
  readonly remedy?: string;
}

export interface MachineRecord {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly fileSystem: string;
  readonly node: string;
  readonly compiler?: string;
}

export interface InstrumentCheck {
  /** The planted-bug store that was broken first, for example `broken/acknowledges-before-sync`. */
  readonly store: string;
  readonly bug: string;
  readonly caught: boolean;
  /** The kind of finding that named it. */
  readonly finding?: string;
  readonly elapsedMs: number;
}

/** One thing that was tried at every crash point of a trace. */
export interface ExploredScene {
  /** `power loss`, `recovered twice`, `power loss during recovery`, `crash, restart, reads, power loss`. */
  readonly name: string;
  /** Places in the trace at which power could have been lost with another outcome than at the place before. */
  readonly crashPoints: number;
  readonly crashPointsExplored: number;
  /** States that the profile allows, over all crash points, counted with repetition; `null` when over 2^53. */
  readonly statesPossible: number | null;
  /** Different states enumerated, by content. */
  readonly distinct: number;
  /** States recovered and judged. */
  readonly recovered: number;
  /** Judgements: a state counts once for every crash point at which it can occur. */
  readonly judged: number;
  /** What was left out, and why. */
  readonly leftOut: readonly { readonly why: string; readonly count: number | null }[];
}

/** A finding at one crash state; replays from the files of the run directory alone. */
export interface CrashStateFinding extends Finding {
  readonly profile: string;
  readonly scene: string;
  /** Power was lost after this event of the trace (its index). */
  readonly event: number;
  /** One sentence for each pending disk operation that was on the disk, and for each that was not. */
  readonly onDisk: readonly string[];
  readonly notOnDisk: readonly string[];
  /** Distinct states recovered, and seconds, until it was found. */
  readonly statesUntilFound: number;
  readonly secondsUntilFound: number;
  /** A line that can be pasted into a shell. */
  readonly replay: string;
  /**
   * Everything that makes the state again from the trace (plain JSON: which pending operations survived, the torn mask;
   * see crash-state.ts). Absent on findings that need no crash state.
   */
  readonly state?: unknown;
  /** The same finding with fewer operations, when the run was made smaller. */
  readonly shrunk?: ShrunkFinding;
}

/** A finding made smaller: fewer requests were sent by fewer clients, and the crash states of that run explored. */
export interface ShrunkFinding {
  /** As found in the smaller run, whose files are in `directory`. */
  readonly finding: CrashStateFinding;
  /** Relative to the run directory; a run directory of its own. */
  readonly directory: string;
  /** What was sent, in order of sending. */
  readonly requests: readonly {
    readonly client: number;
    readonly workload: string;
    readonly f: string;
    readonly key: string;
    readonly value?: unknown;
  }[];
  readonly clients: number;
  /** Operations of the run it was found in. */
  readonly operationsBefore: number;
  /** How many smaller runs were tried, and for how long. */
  readonly trials: number;
  readonly elapsedMs: number;
  /** False when the time was over before nothing smaller was left to try. */
  readonly minimal: boolean;
}

/** What exploring the crash states of one traced run under one profile showed. */
export interface ExplorationResults {
  readonly profile: string;
  readonly verdict: Verdict;
  /** One sentence each: why unknown. */
  readonly reasons: readonly string[];
  /** `traced`: placed by the bytes of their replies in the trace. `weak`: by the client's clock. */
  readonly acknowledgements: "traced" | "weak";
  /**
   * The traced run: `operations, acknowledged, clients, rotations, snapshots, recycledSegments, recoveries,
   * recordsPerSync, traceEvents, traceBytes`.
   */
  readonly run: Readonly<Record<string, number>>;
  readonly scenes: readonly ExploredScene[];
  readonly findings: readonly CrashStateFinding[];
  /** Recovery and judging only, without the traced run. */
  readonly elapsedMs: number;
}

/** What became of the store when one call failed in one way. */
export type SweepOutcome =
  /** It went on, and nothing acknowledged was lost. */
  | "survived"
  /** It stopped or refused with a message, and nothing acknowledged was lost. */
  | "refused"
  | "finding"
  /** The trial could not be judged. */
  | "unknown";

/** All trials with one effect at one call site. */
export interface SweepCell {
  /** The operation and the file with numbers replaced: `sync segment-#.log`. */
  readonly site: string;
  readonly effect: string;
  readonly trials: number;
  readonly outcomes: Readonly<Record<SweepOutcome, number>>;
  /** The first finding's or unknown's sentence. */
  readonly sentence?: string;
  /** The n of the first trial with the worst outcome. */
  readonly n?: number;
}

/** `fail the n-th call, n = 1, 2, 3 … until none fires`, for every operation and effect. */
export interface SweepResults {
  readonly verdict: Verdict;
  readonly reasons: readonly string[];
  readonly cells: readonly SweepCell[];
  /** Operation and effect pairs of which every n was tried, up to the calls that trials without a fault made. */
  readonly exhausted: readonly string[];
  /** Calls that the trials without a fault made, and that the trial with this n did not, nor its second try. */
  readonly notReached?: readonly { readonly sweep: string; readonly n: number }[];
  /** Pairs that the budget cut short, with the n reached. */
  readonly cutShort: readonly { readonly sweep: string; readonly n: number }[];
  readonly findings: readonly Finding[];
  readonly trials: number;
  readonly elapsedMs: number;
}

export interface RunResults {
  readonly formatVersion: 1;
  readonly command: string;
  readonly verdict: Verdict;
  readonly exitCode: number;
  /** One sentence each: why false, or why unknown. */
  readonly reasons: readonly string[];
  readonly findings: readonly Finding[];
  readonly faults: readonly FaultTally[];
  /**
   * `operations, acknowledged, failed, indeterminate, reads, readBack, epochs, cycles, crashes, restarts, syncs,
   * connections …`
   */
  readonly counts: Readonly<Record<string, number>>;
  readonly seed: number;
  /** Relative to the working directory the run was started in. */
  readonly runDir: string;
  /** A line that can be pasted into a shell. */
  readonly replay: string;
  readonly store: { readonly name: string; readonly version?: string };
  readonly durability: string;
  readonly promise: string;
  readonly workloads: readonly string[];
  readonly clients: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly elapsedMs: number;
  readonly checks: readonly CheckResult[];
  /** One for each profile explored. */
  readonly explorations?: readonly ExplorationResults[];
  readonly sweep?: SweepResults;
  /** Of a store that runs as several members. */
  readonly cluster?: ClusterResults;
  /** A cluster beside the store, which a run that names none partitions at its end. */
  readonly pair?: { readonly store: string; readonly operations: number; readonly cluster: ClusterResults };
  readonly notCovered: readonly NotCovered[];
  /** The worst thing seen, in one sentence ("longest time without an acknowledgement: 412 ms, after kill"). */
  readonly worst: string;
  /** ms from SIGKILL (or stop) to ready, one per restart. */
  readonly recoveryMs: readonly number[];
  /** ms during which nothing was acknowledged around each graceful stop. */
  readonly unavailableMs: readonly number[];
  /** Response times of acknowledged operations, ns: `{ p50, p90, p99, p999, max }`, with and without a fault in force. */
  readonly responseTimes: Readonly<Record<"quiet" | "duringFaults", Percentiles>>;
  readonly instrumentCheck?: InstrumentCheck;
  readonly machine: MachineRecord;
  readonly versions: Readonly<Record<string, string>>;
  readonly gitCommit?: string;
  /** True when Ctrl-C or a signal ended it early. */
  readonly interrupted: boolean;
}

export interface Percentiles {
  readonly count: number;
  /** ns. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** From when to when, in ns since the run's start. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** One fault that acted on a cluster, and how long it took to serve again. */
export interface ClusterFaultSpan extends Span {
  readonly fault: string;
  /** A member, or the directed links it acted on (`n1>n2`). */
  readonly target: string;
  readonly links: readonly string[];
  /** Evidence; absent when it has not fired. */
  readonly evidence?: Readonly<Record<string, unknown>>;
  /** ms from the moment it healed until a write was acknowledged; absent when none was before the next fault. */
  readonly servingAgainMs?: number;
  /** ms of it during which no operation at all was acknowledged. */
  readonly unavailableMs: number;
}

/** What a run of a cluster showed, for its lanes in the report. */
export interface ClusterResults {
  readonly members: readonly string[];
  readonly network: "proxies" | "namespaces";
  /** Who led, as the members themselves said when they were asked, every 100 ms or so. */
  readonly leaders: readonly (Span & { readonly member: string; readonly term?: number })[];
  /** `down`: no process; `paused`; `starting`. Otherwise it ran. */
  readonly memberStates: readonly (Span & {
    readonly member: string;
    readonly state: "down" | "paused" | "starting";
  })[];
  readonly faults: readonly ClusterFaultSpan[];
  /** Equal slices of the run: operations acknowledged, failed and unknown in each. */
  readonly availability: readonly (Span & {
    readonly ok: number;
    readonly fail: number;
    readonly info: number;
  })[];
  /** Phases: `storm` with faults, `calm` in which it must serve again, `reads` of every member. */
  readonly phases: readonly (Span & { readonly phase: "storm" | "calm" | "reads"; readonly round: number })[];
  /** Bytes and connections that each directed link has carried. */
  readonly traffic: Readonly<Record<string, { readonly connections: number; readonly bytes: number }>>;
  readonly measured: ClusterMeasured;
  /** Around the first findings of each round that have operations, in the order of the findings; absent in older runs. */
  readonly messages?: readonly FindingMessages[];
}

/** What passed on the links while the operations of a finding were under way. */
export interface FindingMessages {
  /** The finding's. */
  readonly kind: string;
  readonly sentence: string;
  readonly operations: readonly (Span & {
    /** The operation's `call`. */
    readonly call: number;
    /** The first ones between members, and between the operation's client and any of them, in the order of sending. */
    readonly messages: readonly {
      /** `n1>n2`. */
      readonly link: string;
      readonly bytes: number;
      /** ns since the run's start: when the proxy had read it from its sender. */
      readonly sentAt: number;
      /** ns after that all of it was handed to its receiver; absent: not before the round was judged. */
      readonly arrivedAfterNs?: number;
    }[];
    /** How many more there were. */
    readonly leftOut: number;
    /** Earlier messages may have been forgotten: a network remembers about a million. */
    readonly forgotten: boolean;
  })[];
}

/** What was measured, whether or not it is held against the store. */
export interface ClusterMeasured {
  /** Acknowledged writes that no member has at the end, of how many acknowledged; and over how many ms they were acknowledged. */
  readonly lostAcknowledged: { readonly count: number; readonly of: number; readonly spanMs: number };
  /** Reads that returned what had been overwritten before they were sent; the oldest by ms. */
  readonly staleReads: { readonly count: number; readonly of: number; readonly oldestMs: number };
  /** Times at which two members acknowledged writes as leaders at once. */
  readonly splitBrain: readonly (Span & { readonly members: readonly string[]; readonly writes: number })[];
  /** Sentences about what contradicts linearizability where it was not promised. */
  readonly observed: readonly string[];
}
