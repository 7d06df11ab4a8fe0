/**
 * What a finished bench leaves in `runs/bench/<…>/results.json`: the one document that the terminal table, the page
 * and `--json` are made from. A changed format gets a new `formatVersion`.
 *
 * Durations are in ns unless a name says otherwise; a rate is per second.
 */
import type { Verdict } from "../checkers/contract.ts";
import type { MachineRecord, NotCovered, Percentiles } from "../results.ts";
import type { PercentilePoint } from "./histogram.ts";
import type { Comparison } from "./statistics.ts";

export type BenchOperation = "upsert" | "read";

/** One store in one cell, over all rounds. */
export interface CellRecord {
  /** `upsert, 8 clients`. */
  readonly cell: string;
  readonly operation: BenchOperation;
  readonly clients: number;
  readonly store: string;
  /** Completed requests per second, one per round. */
  readonly throughput: readonly number[];
  /** From send to completion; in a closed loop that is the response time too, since a request is due when it is sent. */
  readonly serviceTime: Percentiles;
  /** p50 and p99 of the service time, one per round. */
  readonly p50: readonly number[];
  readonly p99: readonly number[];
  /** Acknowledged upserts per sync that the store counted; absent for reads, and where it counts none. */
  readonly recordsPerSync?: number;
  readonly syncsPerSecond?: number;
  readonly logBytesPerUserByte?: number;
  /** Share of one core that the load generator itself used, 0-1 (and beyond, with helper threads). */
  readonly generatorCpu: number;
  /** Median of the disk probe before each round, ns. */
  readonly diskProbe: number;
  /** Rounds that other load disturbed: probe more than twice the run's median, or more than 5% of CPU time stolen. */
  readonly disturbedRounds: number;
}

/** One store at the one offered rate. */
export interface OpenLoopRecord {
  readonly store: string;
  readonly operation: BenchOperation;
  readonly connections: number;
  readonly arrivals: "poisson";
  /** Requests due per second. */
  readonly offeredPerSecond: number;
  readonly achievedPerSecond: number;
  readonly offered: number;
  readonly completed: number;
  readonly late: number;
  readonly dropped: number;
  readonly unfinished: number;
  readonly responseTime: Percentiles;
  readonly serviceTime: Percentiles;
  readonly responseCurve: readonly PercentilePoint[];
  readonly serviceCurve: readonly PercentilePoint[];
  /** By how much the generator itself noticed an arrival late. */
  readonly generatorLag: Percentiles;
  readonly generatorCpu: number;
}

/** The first store against another, in one metric of one cell. */
export interface RatioRecord extends Comparison {
  readonly cell: string;
  /** `p50` and `p99` are service times of a closed loop; response times are of the open loop. */
  readonly metric: "throughput" | "p50" | "p99" | "response p50" | "response p99";
  /** The ratio is `store` / `reference`; the difference is said of `store`. */
  readonly store: string;
  readonly reference: string;
}

export interface MeasuredStoreRecord {
  readonly name: string;
  readonly version: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly deviations: readonly string[];
  /** Where its data lay: `ext4 (runs/bench/…/ramlog)`; its own business with a server that was not started here. */
  readonly data: string;
}

/** tinybench's figures for one piece inside one process. */
export interface PieceRecord {
  readonly name: string;
  /** Per second; the median. */
  readonly operationsPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly samples: number;
}

/** How far the figures can be believed. */
export interface ValidityRecord {
  /** Round trips per second of the same generator against a server that does nothing, by number of clients. */
  readonly ceiling: readonly { readonly clients: number; readonly perSecond: number }[];
  /** fdatasync of 4 KiB on the file system under test: ns over the whole run. */
  readonly diskProbe: Percentiles;
  /** Sentences a reader must know before the figures. */
  readonly warnings: readonly string[];
}

export interface BenchResults {
  readonly formatVersion: 1;
  readonly command: "bench" | "compare";
  /** true: everything was measured. "unknown": something was not, or not comparably; see `reasons`. */
  readonly verdict: Verdict;
  readonly exitCode: number;
  readonly reasons: readonly string[];
  /** Fewer rounds or shorter ones than a statement needs. */
  readonly indicative: boolean;
  readonly durability: string;
  readonly seed: number;
  readonly rounds: number;
  /** Length of one measurement, ms. */
  readonly measureMs: number;
  readonly keys: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly runDir: string;
  readonly replay: string;
  readonly startedAt: string;
  readonly elapsedMs: number;
  readonly fileSystem: string;
  readonly machine: MachineRecord;
  readonly versions: Readonly<Record<string, string>>;
  readonly gitCommit?: string;
  readonly stores: readonly MeasuredStoreRecord[];
  readonly cells: readonly CellRecord[];
  readonly ratios: readonly RatioRecord[];
  readonly openLoop: readonly OpenLoopRecord[];
  readonly pieces: readonly PieceRecord[];
  readonly validity: ValidityRecord;
  /** Stores or parts that were left out, and how to get them. */
  readonly notCovered: readonly NotCovered[];
  /** Plain language: where it wins, where it loses, where nothing can be said. */
  readonly conclusion: readonly string[];
}
