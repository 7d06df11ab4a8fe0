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
