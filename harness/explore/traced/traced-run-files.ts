/**
 * The files of a traced run, and reading them again: all that exploring, replaying and shrinking know of the run. They
 * hold no path of the machine that made them, so that a run directory can be explored elsewhere.
 *
 * `trace.bin` (every disk call and every send, in order), `base/` and `base.json` (the data directory as tracing began),
 * `trace.json` (`TraceRecord`), `history.jsonl`, `scenario.json`.
 *
 * Not kept: owners, modes and times of files. A store that depends on them cannot be recovered from here.
 */
import { copyFileSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Trace } from "../../../faults/contract.ts";
import { readTrace } from "../../../faults/index.ts";
import { type Durability, ScenarioError } from "../../../stores/contract.ts";
import type { Finding } from "../../checkers/contract.ts";
import { buildHistory, type History, HistoryError } from "../../history/history.ts";
import { readHistoryFile } from "../../history/history-file.ts";
import type { HistoryEvent } from "../../history/operation.ts";
import { type RunDirectory, runDirectoryAt, writeJson } from "../../run-directory.ts";
import { baseImage } from "../disk/base-image.ts";
import type { DiskImage } from "../disk/disk-model.ts";
import { contentOf } from "../disk/pages.ts";

/** One file or directory of the data directory as tracing began. */
export interface BaseEntry {
  /** Relative to the data directory, with `/`; the directory itself is `.`. */
  readonly path: string;
  /** `device:inode` in the data directory that was traced (the copy in `base/` has others). */
  readonly inode: string;
  readonly directory: boolean;
  /** Bytes; 0 for directories. */
  readonly size: number;
}

/** `trace.json`: what it takes to understand the trace. */
export interface TraceRecord {
  readonly formatVersion: 1;
  /** CLOCK_MONOTONIC at time 0 of the history, ns: compares `atNs` of the trace with times of the history. */
  readonly startNs: number;
  /** As given to `--store`. */
  readonly store: string;
  readonly durability: Durability;
  readonly workloads: readonly string[];
  readonly clients: number;
  readonly seed: number;
  /** Of the keys in the history. */
  readonly epoch: number;
  /** Globs relative to the data directory; see `Store`. */
  readonly logFiles: string;
  readonly snapshotFiles: string | null;
  readonly mechanism: "interposer" | "broker";
  /** Written when the run has ended; absent when acked ended first. */
  readonly ended?: TracedRunEnd;
}

/** What happened in a traced run that its history alone does not say. */
export interface TracedRunEnd {
  /** One sentence each: what was not answered, or not traced. */
  readonly doubts: readonly string[];
  /** What the tracer met and could not see: the disk model lacks it. Absent in runs of earlier versions. */
  readonly blindSpots?: readonly string[];
  /** The store did not come back, or stopped by itself. */
  readonly findings: readonly Finding[];
  /** ms from the kill to ready, one per restart. */
  readonly recoveryMs: readonly number[];
  /** Requests sent when the store was killed; absent when it was not. */
  readonly killAfter?: number;
  /** How many events the history has. Absent in runs of earlier versions. */
  readonly historyEvents?: number;
}

/** A traced run in memory. */
export interface TracedRunFiles {
  readonly events: readonly HistoryEvent[];
  readonly directory: RunDirectory;
  readonly record: TraceRecord;
  readonly base: readonly BaseEntry[];
  readonly trace: Trace;
  readonly history: History;
}

/**
 * Reads a traced run. Damage in the trace itself is told in `trace.faults`; everything else that is missing or damaged
 * is refused.
 *
 * @throws ScenarioError naming the file and what is wrong with it.
 */
export function readTracedRun(path: string): TracedRunFiles {
  const directory = runDirectoryAt(path);
  const record = readTraceRecord(directory);
  const base = readBase(directory);
  const trace = readTrace(directory.traceFile);
  try {
    const events = [...readHistoryFile(directory.historyFile)];
    return { directory, record, base, trace, events, history: buildHistory(events) };
  } catch (error) {
    if (error instanceof HistoryError) throw new ScenarioError(`${directory.historyFile}: ${error.message}`);
    throw error;
  }
}

/**
 * What the trace does not tell and a model of the disk would need, one sentence each: with any, a crash state may be one
 * that the store's disk could not have been in, and what is found in it says nothing against the store.
 */
export function lacksOf({ record, trace, history, events }: TracedRunFiles): string[] {
  const lacks = [...(record.ended?.blindSpots ?? [])];
  const { historyEvents = events.length } = record.ended ?? {};
  if (events.length !== historyEvents)
    lacks.push(`history.jsonl has ${events.length} events of ${historyEvents}: it is not the whole history`);
  const [first, last] = [trace.events[0], trace.events.at(-1)];
  if (!first || !last) return lacks;
  const { startNs } = record;
  const endNs = startNs + history.operations.reduce((latest, { calledAt }) => Math.max(latest, calledAt), 0);
  if (!Number.isFinite(startNs) || startNs > last.atNs || endNs < first.atNs) {
    lacks.push(
      `trace.json says that the history began at ${startNs} ns, and the trace is of ${first.atNs} to ${last.atNs} ns: they are not of one run`,
    );
  }
  return lacks;
}

/** True when the directory holds a trace, or should. */
export function isTracedRun(path: string): boolean {
  return statSync(runDirectoryAt(path).traceRecordFile, { throwIfNoEntry: false }) !== undefined;
}

/** The data directory as tracing began, from its copy: everything in it is taken to be durable. */
export function imageOfBase(entries: readonly BaseEntry[], baseDir: string): DiskImage {
  return baseImage(
    entries.map((entry) =>
      entry.directory ? entry : { ...entry, content: contentOf(readFileSync(join(baseDir, entry.path))) },
    ),
  );
}

/** Copies the data directory and writes down what it holds. Nothing may be running in it. */
export function copyBase(dataDir: string, directory: RunDirectory): void {
  const entries: BaseEntry[] = [entryOf(dataDir, ".")];
  mkdirSync(directory.baseDir, { recursive: true });
  const visit = (folder: string): void => {
    for (const name of readdirSync(join(dataDir, folder)).sort()) {
      const path = folder === "" ? name : `${folder}/${name}`;
      const stat = lstatSync(join(dataDir, path));
      // Sockets and the like hold no data, and links are not followed out of the directory.
      if (!stat.isFile() && !stat.isDirectory()) continue;
      entries.push(entryOf(dataDir, path));
      if (stat.isDirectory()) {
        mkdirSync(join(directory.baseDir, path), { recursive: true });
        visit(path);
      } else copyFileSync(join(dataDir, path), join(directory.baseDir, path));
    }
  };
  visit("");
  writeJson(directory.baseFile, entries);
}

function entryOf(dataDir: string, path: string): BaseEntry {
  const { dev, ino, size, mode } = lstatSync(join(dataDir, path), { bigint: true });
  const directory = (Number(mode) & 0o170000) === 0o040000;
  return { path, inode: `${dev}:${ino}`, directory, size: directory ? 0 : Number(size) };
}

/**
 * `trace.json` alone.
 *
 * @throws ScenarioError when it is missing or of another version.
 */
export function readTraceRecord({ path, traceRecordFile }: RunDirectory): TraceRecord {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new ScenarioError(`there is no run directory ${path}: give one of those below runs/`);
  }
  if (!statSync(traceRecordFile, { throwIfNoEntry: false })) {
    throw new ScenarioError(`${path} holds no trace (no trace.json): only runs of acked explore are traced`);
  }
  const value = readJson(traceRecordFile) as Partial<TraceRecord> | null;
  if (value?.formatVersion !== 1) {
    throw new ScenarioError(
      `${traceRecordFile} has format version ${JSON.stringify(value?.formatVersion)}; this acked reads version 1: make the trace again with acked explore`,
    );
  }
  const missing = (["startNs", "store", "durability", "workloads", "epoch", "logFiles"] as const).filter(
    (name) => value[name] === undefined,
  );
  if (missing.length > 0) throw new ScenarioError(`${traceRecordFile} lacks ${missing.join(", ")}`);
  return value as TraceRecord;
}

/** @throws ScenarioError when the copy is not what its list says. */
export function readBase({ baseFile, baseDir }: RunDirectory): BaseEntry[] {
  const value = readJson(baseFile);
  if (!Array.isArray(value)) throw new ScenarioError(`${baseFile} is not a list of files`);
  for (const entry of value as BaseEntry[]) {
    if (entry.path.startsWith("/") || entry.path.split("/").includes("..")) {
      throw new ScenarioError(`${baseFile} names ${entry.path}, which is outside the data directory`);
    }
    const stat = statSync(join(baseDir, entry.path), { throwIfNoEntry: false });
    if (entry.directory ? stat?.isDirectory() : stat?.isFile() && stat.size === entry.size) continue;
    throw new ScenarioError(
      `${baseFile} names ${entry.directory ? "the directory" : `${entry.size} bytes of`} ${entry.path}, and ${baseDir} does not hold that: the run was damaged`,
    );
  }
  return value as BaseEntry[];
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? "is missing" : `cannot be read (${message})`;
    throw new ScenarioError(`${file} ${what}: the run was damaged or cut short`);
  }
}
