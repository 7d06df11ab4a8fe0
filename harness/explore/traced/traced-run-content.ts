/**
 * What a traced run contains, counted from its trace and history: an exploration of a run in which no segment ended and
 * no snapshot was replaced says little, so below a minimum its verdict is `unknown`.
 *
 * Files are known by the store's own globs. A store that declares no `snapshotFiles` has no segments to ask for.
 */
import type { TraceEvent } from "../../../faults/contract.ts";
import type { Durability } from "../../../stores/contract.ts";
import type { Workload } from "../../../workloads/contract.ts";
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";

/** Counts of the files' life; all from events that ended with success. */
export interface FileContent {
  /** A log file's name that appeared (created, renamed or linked), the first one not counted. */
  readonly rotations: number;
  /** A snapshot's final name that appeared. */
  readonly snapshots: number;
  /** A log file that was given the name of another log file, and was then written to: its old bytes are still in it. */
  readonly recycledSegments: number;
  /** Successful syncs of log files; a synchronous write counts as one. */
  readonly logSyncs: number;
}

/** The least that an exploration of a store with segments and snapshots must have seen. */
export const minimumContent = {
  operations: 1000,
  clients: 8,
  rotations: 5,
  snapshots: 3,
  recycledSegments: 1,
  recoveries: 1,
  recordsPerSync: 1,
} as const;

/**
 * What a traced run goes on for while it has time. One recycled segment would be one that was written to once when the
 * run ends: what can go wrong with its name or its old bytes has then a few crash points to show at, and a bug that a
 * directory sync soon heals may have none.
 */
export const aimedContent: Content = { ...minimumContent, recycledSegments: 3 };

type Content = Readonly<Record<keyof typeof minimumContent, number>>;

export interface FileNames {
  readonly logFiles: string;
  readonly snapshotFiles: string | null;
}

/** Counts what happened to the store's files. */
export function fileContent(events: readonly TraceEvent[], names: FileNames): FileContent {
  const isLog = globMatcher(names.logFiles);
  const isSnapshot = names.snapshotFiles === null ? () => false : globMatcher(names.snapshotFiles);
  const onceLogs = new Set<string>();
  const unused = new Set<string>();
  let appeared = 0;
  let snapshots = 0;
  let recycledSegments = 0;
  let logSyncs = 0;
  for (const event of events) {
    if (event.phase !== "end" || (event.result ?? -1) < 0) continue;
    const named =
      (event.kind === "open" && event.created) || event.kind === "rename" || event.kind === "link";
    if (named && event.directory !== true) {
      const fresh = event.kind === "open";
      if (fresh) {
        onceLogs.delete(event.inode);
        unused.delete(event.inode);
      }
      if (isSnapshot(event.path)) snapshots++;
      if (isLog(event.path)) {
        appeared++;
        const old = event.otherPath !== undefined && isLog(event.otherPath);
        if (!fresh && (old || onceLogs.has(event.inode))) unused.add(event.inode);
        onceLogs.add(event.inode);
      }
    }
    if (event.kind === "write" && event.size > 0 && unused.delete(event.inode)) recycledSegments++;
    const syncs = event.kind === "sync" || event.kind === "datasync" || event.synchronous === true;
    if (syncs && event.directory !== true && isLog(event.path)) logSyncs++;
  }
  return { rotations: Math.max(0, appeared - 1), snapshots, recycledSegments, logSyncs };
}

/** Everything countable about a traced run, by the names of `ExplorationResults.run`. */
export function runCounts(
  trace: readonly TraceEvent[],
  history: History,
  about: FileNames & { readonly clients: number; readonly workloads: readonly Workload[] },
): Readonly<Record<string, number>> {
  const files = fileContent(trace, about);
  const load = history.operations.filter((operation) => !operation.readBack);
  const acknowledged = load.filter((operation) => operation.outcome === "ok");
  const changes = acknowledged.filter(changesOf(about.workloads)).length;
  return {
    operations: load.length,
    acknowledged: acknowledged.length,
    clients: new Set(acknowledged.map((operation) => operation.process % about.clients)).size,
    rotations: files.rotations,
    snapshots: files.snapshots,
    recycledSegments: files.recycledSegments,
    recoveries: Math.max(0, history.readiness.length - 1),
    recordsPerSync: files.logSyncs === 0 ? 0 : Math.round((100 * changes) / files.logSyncs) / 100,
    traceEvents: trace.length,
  };
}

/** Whether an acknowledged operation changed the store, as its own workload says. */
export function changesOf(workloads: readonly Workload[]): (operation: Operation) => boolean {
  return ({ workload: name, outcome, f, key, input, output, matched }) => {
    const workload = workloads.find((candidate) => candidate.name === name);
    if (!workload || outcome !== "ok") return false;
    const request = { workload: name, f, key, value: input };
    return workload.changes(request, {
      type: "ok",
      value: output,
      ...(matched === undefined ? {} : { matched }),
    });
  };
}

/**
 * What is missing to what is wanted (the minimum, unless told otherwise), one sentence each. Of a store that declares no `snapshotFiles` only operations,
 * clients and recoveries are asked for; in mode none, which writes no log, snapshots as well.
 */
export function missingContent(
  counts: Readonly<Record<string, number>>,
  names: FileNames,
  durability: Durability,
  least: Content = minimumContent,
): string[] {
  const segmented = names.snapshotFiles !== null;
  const logs = segmented && durability.mode !== "none";
  const wanted: (keyof typeof minimumContent)[] = ["operations", "clients", "recoveries"];
  if (segmented) wanted.push("snapshots");
  if (logs) wanted.push("rotations", "recycledSegments");
  const missing = wanted
    .filter((name) => (counts[name] ?? 0) < least[name])
    .map((name) => `${least[name]} ${words[name]} are wanted, and the run had ${counts[name] ?? 0}`);
  if (logs && (counts.recordsPerSync ?? 0) <= least.recordsPerSync) {
    missing.push(
      `more than one record per sync is wanted, and the run had ${counts.recordsPerSync ?? 0}: nothing was committed in groups`,
    );
  }
  return missing;
}

const words: Readonly<Record<keyof typeof minimumContent, string>> = {
  operations: "operations",
  clients: "concurrent clients",
  rotations: "rotations of the log",
  snapshots: "snapshots",
  recycledSegments: "recycled segments",
  recoveries: "recoveries",
  recordsPerSync: "records per sync",
};

/** `*` matches within one path segment, `**` across segments. */
export function globMatcher(glob: string): (path: string) => boolean {
  const source = glob
    .split(/(\*\*\/|\*\*|\*)/)
    .map((part) => globParts.get(part) ?? part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"))
    .join("");
  const pattern = new RegExp(`^${source}$`, "s");
  return (path) => pattern.test(path);
}

const globParts = new Map([
  ["**/", "(?:.*/)?"],
  ["**", ".*"],
  ["*", "[^/]*"],
]);
