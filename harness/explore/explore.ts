/**
 * Explores the crash states of one traced run under one profile: at every crash point of the trace the states that the
 * profile allows are made, recovered (twice), and what was recovered is judged against what the store owed its clients at
 * that moment (judge-state.ts).
 *
 * Scenes, in this order, within one budget: power loss, each state recovered twice; crash, restart, reads served, then
 * power loss; power loss during recovery; then more states of the first scene. What is cheap and finds most comes first:
 * nothing pending, everything pending, every prefix; subsets come last. Equal states are recovered once and judged at
 * every crash point at which they can occur, and equal files that first recoveries leave are recovered a second time once.
 * The order depends on the seed alone; how far it gets depends on the time.
 *
 * A store with `recoverable` is recovered in this program, by two worker threads (explore-worker.ts) that take turns in
 * stretches of the trace; any other store is started as a process on a real directory
 * (recover-process.ts), for whom a spread sample of the crash points comes first, since the time rarely is enough for all.
 *
 * Not covered: states outside the profile, damage at rest, several nodes. What was left out is counted (coverage.ts).
 */
import type { Store } from "../../stores/contract.ts";
import { findWorkloads } from "../../workloads/index.ts";
import type { Verdict } from "../checkers/contract.ts";
import type { CrashStateFinding, ExplorationResults, ExploredScene } from "../results.ts";
import { mergeScenes, sceneNames } from "./coverage.ts";
import { exploreFiles } from "./explore-files.ts";
import { mergeFindings } from "./explore-findings.ts";
import type { Share, ShareProgress } from "./explore-share.ts";
import { SharedState } from "./explore-shared.ts";
import { ExploringThreads, type ShareEnd, workersAtOnce } from "./explore-threads.ts";
import { nothingLost } from "./judge/judge-state.ts";
import { placeOperations } from "./judge/obligations.ts";
import { ProcessRecovery } from "./recover/recover-process.ts";
import { isHeldToPosix, profileByName } from "./states/profiles/index.ts";
import { promiseInTrace } from "./traced/promise-in-trace.ts";
import { missingContent, runCounts } from "./traced/traced-run-content.ts";
import { lacksOf, readTracedRun, type TracedRunFiles } from "./traced/traced-run-files.ts";

export interface ExploreOptions {
  /** The directory of a traced run (traced-run-files.ts). */
  readonly runDir: string;
  readonly store: Store;
  /** `ext4-ordered`, `posix-strict`, `ext4-writeback`, `xfs` or `synchronous`. */
  readonly profile: string;
  /** Signed 32-bit; decides which subsets are tried when there are too many. */
  readonly seed: number;
  /** Wall time for recovering and judging. */
  readonly seconds: number;
  /** At most so many different states are recovered; default: no limit but the time. */
  readonly statesMax?: number;
  /** End at the first finding. */
  readonly stopAtFirst?: boolean;
  /** Crash points that the time does not reach are counted and left out, and leave no doubt: a share of a larger run. */
  readonly sample?: boolean;
  /** The runs/ directory: where processes and directories that must be cleaned up are written down. */
  readonly runsDir: string;
  /** A recovery in process that takes longer hangs, ms. Default 10,000. */
  readonly recoveryDeadlineMs?: number;
  /** For a store that is recovered in this program: its threads, started earlier. Otherwise they are started, and ended. */
  readonly threads?: ExploringThreads | undefined;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ExploreProgress) => void;
}

export interface ExploreProgress {
  readonly profile: string;
  readonly scene: string;
  /** 0 … 1 of the scene's crash points. */
  readonly done: number;
  /** Different states recovered so far. */
  readonly recovered: number;
  readonly findings: number;
}

const recoveryDeadlineMs = 10_000;

/**
 * Explores, and never throws for what the store does.
 *
 * @throws ScenarioError when the run cannot be read, or the profile is not known; any error of ours.
 */
export async function explore(options: ExploreOptions): Promise<ExplorationResults> {
  profileByName(options.profile);
  // They load their programs while the run is read here.
  const own = options.threads ? undefined : threadsFor(options.store);
  try {
    const files = readTracedRun(options.runDir);
    const startedAt = performance.now();
    const shares = await sharesOf({ ...options, threads: options.threads ?? own }, files);
    return conclude(options, files, shares, performance.now() - startedAt);
  } finally {
    await own?.close();
  }
}

/** Threads to explore runs of this store in, for who has something else to do first; undefined for one that is recovered as a process. */
export function threadsFor({ recoverable }: Store): ExploringThreads | undefined {
  return recoverable && new ExploringThreads(recoverable);
}

/** A trace that is not whole is not explored: what is missing in it would look like the store's doing. */
function sharesOf(options: ExploreOptions, files: TracedRunFiles): Promise<Share[]> {
  if (files.trace.faults.length > 0 || options.signal?.aborted) return Promise.resolve([]);
  const { threads } = options;
  return threads ? exploreInWorkers(options, threads, files) : exploreByProcess(options, files);
}

async function exploreByProcess(options: ExploreOptions, files: TracedRunFiles): Promise<Share[]> {
  const { store, runsDir } = options;
  const shared = new SharedState(1);
  const abort = () => shared.stop();
  options.signal?.addEventListener("abort", abort, { once: true });
  let recovery: ProcessRecovery | undefined;
  try {
    const share = await exploreFiles({
      ...shareOptions(options),
      files,
      promise: promiseInTrace(store, files),
      worker: 0,
      workers: 1,
      shared,
      recovererOf: (values, durability) => {
        recovery = new ProcessRecovery({ store, durability, values, runsDir, helpers: workersAtOnce });
        return recovery;
      },
      onProgress: (progress) => report(options, shared, [progress]),
    });
    return [share];
  } finally {
    options.signal?.removeEventListener("abort", abort);
    await recovery?.close();
  }
}

async function exploreInWorkers(
  options: ExploreOptions,
  threads: ExploringThreads,
  files: TracedRunFiles,
): Promise<Share[]> {
  const shared = new SharedState(workersAtOnce);
  const abort = () => shared.stop();
  options.signal?.addEventListener("abort", abort, { once: true });
  const latest: ShareProgress[] = [];
  const progressed = (worker: number, progress: ShareProgress) => {
    latest[worker] = progress;
    report(options, shared, latest);
  };
  const deadlineMs = options.recoveryDeadlineMs ?? recoveryDeadlineMs;
  const common = {
    ...shareOptions(options),
    runDir: options.runDir,
    workers: workersAtOnce,
    promise: promiseInTrace(options.store, files),
  };
  try {
    const workers = Array.from({ length: workersAtOnce }, (_, worker) =>
      threads.run({ ...common, worker }, shared, deadlineMs, (progress) => progressed(worker, progress)),
    );
    // One that fails stops the other, which is waited for all the same.
    const ends = await Promise.allSettled(workers);
    const failed = ends.find((end) => end.status === "rejected");
    if (failed) throw failed.reason;
    return ends
      .map((end) => (end as PromiseFulfilledResult<ShareEnd>).value)
      .map((end) => ("share" in end ? end.share : hungShare(options.profile, end.hungAt, deadlineMs)));
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}

function report(options: ExploreOptions, shared: SharedState, latest: readonly ShareProgress[]): void {
  const known = latest.filter((one) => one !== undefined);
  const slowest = known.reduce((slow, one) => (one.done < slow.done ? one : slow));
  options.onProgress?.({
    profile: options.profile,
    scene: slowest.scene,
    done: slowest.done,
    recovered: shared.recovered,
    findings: known.reduce((sum, { findings }) => sum + findings, 0),
  });
}

function shareOptions({ profile, seed, seconds, statesMax, stopAtFirst }: ExploreOptions) {
  return {
    profile,
    seed,
    budgetMs: seconds * 1000,
    statesMax: statesMax ?? Number.POSITIVE_INFINITY,
    stopAtFirst: stopAtFirst === true,
  };
}

/** A recovery that never ends is a finding; what else its worker had found is gone with it. */
function hungShare(profile: string, event: number, deadlineMs: number): Share {
  const finding: CrashStateFinding = {
    kind: "did-not-recover",
    operations: [],
    sentence: `power loss after event ${event}: the recovery had not ended after ${deadlineMs / 1000} s`,
    profile,
    scene: sceneNames.powerLoss,
    event,
    onDisk: [],
    notOnDisk: [],
    statesUntilFound: 0,
    secondsUntilFound: 0,
    replay: "",
  };
  return {
    scenes: [],
    findings: [finding],
    lacks: [],
    unknown: ["one of two workers was ended in a recovery that hung: its share was not explored"],
    loss: nothingLost,
    keysJudged: 0,
    differentRecoveries: 0,
    identities: new Map(),
  };
}

function conclude(
  options: ExploreOptions,
  files: TracedRunFiles,
  shares: readonly Share[],
  elapsedMs: number,
): ExplorationResults {
  const { profile } = options;
  const { record, trace, history } = files;
  const workloads = findWorkloads(record.workloads);
  const counts = runCounts(trace.events, history, { ...record, workloads });
  const scenes = mergeScenes(shares);
  const findings = mergeFindings(shares.map((share) => share.findings));
  const lacking = [...new Set([...lacksOf(files), ...shares.flatMap((share) => share.lacks)])];
  const warning = whyNoViolation(options, lacking, findings.length);
  const unknown = [
    ...trace.faults.map((fault) => `the trace is not whole, so that nothing was explored: ${fault}`),
    ...(warning === undefined ? [] : [warning]),
    ...lacking.map((what) => `the disk model lacks something of this run: ${what}`),
    ...missingContent(counts, record, record.durability),
    ...new Set(shares.flatMap((share) => share.unknown)),
    ...notReached(options, scenes, findings.length),
  ];
  const violated = findings.length > 0 && warning === undefined;
  const verdict: Verdict = violated ? false : unknown.length > 0 ? "unknown" : true;
  return {
    profile,
    verdict,
    reasons: unknown,
    acknowledgements: placeOperations(history, trace, record.startNs).acknowledgements,
    run: { ...counts, ...lossOf(shares), ...prefixesOf(shares), traceBytes: bytesOf(files) },
    scenes,
    findings,
    elapsedMs,
  };
}

/** Why findings are none against the store, if so: then they are told, and the verdict is unknown. */
function whyNoViolation(
  { profile, store }: ExploreOptions,
  lacking: readonly string[],
  findings: number,
): string | undefined {
  if (findings === 0) return undefined;
  const [they, are] = findings === 1 ? ["1 finding", "is"] : [`${findings} findings`, "are"];
  if (lacking.length > 0)
    return `${they} under ${profile} ${are} not held against ${store.name}: the states may be none that its disk could be in`;
  if (profile !== "posix-strict" || isHeldToPosix(store.name)) return undefined;
  return `${they} under ${profile} ${are === "is" ? "is a warning" : "are warnings"} for ${store.name}: the file systems it runs on promise more than POSIX does`;
}

/** Crash points that were left out leave a doubt, whatever was found at the others; a share of a larger run counts them. */
function notReached(
  { signal, sample, stopAtFirst, store }: ExploreOptions,
  scenes: readonly ExploredScene[],
  findings: number,
): string[] {
  if (signal?.aborted) return ["it was interrupted"];
  if (sample === true) return [];
  const remedy = stopAtFirst && findings > 0 ? "it was to end at the first finding" : "give it more seconds";
  // Where a start takes a process, what has a second one in it is a sample in any time, and told as one.
  const wanted = store.recoverable
    ? [sceneNames.powerLoss, sceneNames.served, sceneNames.during]
    : [sceneNames.powerLoss];
  return scenes
    .filter(({ name }) => wanted.some((one) => one === name))
    .filter(({ crashPoints, crashPointsExplored }) => crashPointsExplored < crashPoints)
    .map(({ name, crashPoints, crashPointsExplored }) => {
      const of = name === sceneNames.powerLoss ? "" : ` of "${name}"`;
      return `only ${crashPointsExplored} of ${crashPoints} crash points${of} were explored: ${remedy}`;
    });
}

/** The greatest loss that the promise allows and that a crash state showed. */
function lossOf(shares: readonly Share[]): Record<string, number> {
  const writes = Math.max(0, ...shares.map(({ loss }) => loss.writes));
  const ms = Math.max(0, ...shares.map(({ loss }) => loss.ms));
  return writes > 0 ? { lostWritesMax: writes, lostMsMax: Math.round(ms * 10) / 10 } : {};
}

/** ms until every worker had explored its share of every prefix. */
function prefixesOf(shares: readonly Share[]): Record<string, number> {
  const times = shares.map(({ prefixesMs }) => prefixesMs).filter((ms) => ms !== undefined);
  return times.length > 0 && times.length === shares.length
    ? { prefixesMs: Math.round(Math.max(...times)) }
    : {};
}

function bytesOf({ trace }: TracedRunFiles): number {
  return trace.events.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
}
