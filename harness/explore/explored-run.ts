/**
 * What a traced run shows, from its files alone: what clients saw is judged as in any run, acknowledgements are matched
 * to the syncs that cover their bytes, crash states are explored under each profile, and the first finding is made
 * smaller. The same files give the same verdict on any machine.
 */
import { rmSync } from "node:fs";
import { brokerBlindSpots } from "../../faults/index.ts";
import type { Store } from "../../stores/contract.ts";
import { runChecker } from "../checkers/compose.ts";
import { type CheckResult, combineVerdicts, type Finding } from "../checkers/contract.ts";
import { RunClock } from "../history/clock.ts";
import { EpochFacts, Judge, unlessUnseen } from "../judge.ts";
import type {
  CrashStateFinding,
  ExplorationResults,
  InstrumentCheck,
  NotCovered,
  RunResults,
} from "../results.ts";
import { exitCodeOf, RunBook } from "../run-book.ts";
import { type RunDirectory, writeJson } from "../run-directory.ts";
import type { Resolution } from "../scenario.ts";
import { sceneNames } from "./coverage.ts";
import { type ExploreProgress, explore, threadsFor } from "./explore.ts";
import type { StatePath } from "./explore-findings.ts";
import type { ExploringThreads } from "./explore-threads.ts";
import { placeOperations } from "./judge/obligations.ts";
import { StateReplayer } from "./smaller/replay-state.ts";
import { type SmallerRun, shrinkFindings } from "./smaller/shrink-finding.ts";
import { checkCoveringSyncByBytes } from "./traced/covering-sync.ts";
import { changesOf, globMatcher } from "./traced/traced-run-content.ts";
import { lacksOf, readTracedRun, type TracedRunFiles } from "./traced/traced-run-files.ts";

export interface ExploredRunOptions {
  readonly directory: RunDirectory;
  /** What the traced run was made from. */
  readonly resolution: Resolution;
  readonly profiles: readonly string[];
  /** Recovering and judging, over all profiles. */
  readonly seconds: number;
  /** Crash points that the time does not reach leave no doubt: see `ExploreOptions`. */
  readonly sample?: boolean;
  /** End each profile at its first finding. */
  readonly stopAtFirst?: boolean;
  /** ms for making findings smaller; 0: they are left as they are. */
  readonly shrinkMs: number;
  /** The runs/ directory, where active children are written down. */
  readonly runsDir: string;
  readonly command: string;
  /** The line that replays the run in this directory. */
  readonly replayOf: (path: string) => string;
  readonly signal: AbortSignal;
  readonly onProgress?: (sentence: string) => void;
  readonly instrumentCheck?: InstrumentCheck;
}

/**
 * Judges, explores and shrinks, from the files that `tracedRun` left, and leaves `results.json`.
 *
 * @throws ScenarioError when the files cannot be read or a profile is not known; any error of ours.
 */
export async function exploreTracedRun(options: ExploredRunOptions): Promise<RunResults> {
  // They load their programs while the run is read and checked, and explore under every profile.
  const threads = threadsFor(options.resolution.store);
  try {
    return await exploreWith(threads, options);
  } finally {
    await threads?.close();
  }
}

async function exploreWith(
  threads: ExploringThreads | undefined,
  options: ExploredRunOptions,
): Promise<RunResults> {
  const { directory, resolution, profiles, seconds, runsDir, signal } = options;
  const startedAt = performance.now();
  const tell = options.onProgress ?? (() => {});
  const files = readTracedRun(directory.path);
  tell("checking what clients saw, and the sync of every acknowledgement");
  const book = checkTracedRun(files, resolution);
  const explorations: ExplorationResults[] = [];
  for (const [index, profile] of profiles.entries()) {
    const used = explorations.reduce((sum, { elapsedMs }) => sum + elapsedMs / 1000, 0);
    const explored = await explore({
      runDir: directory.path,
      store: resolution.store,
      profile,
      seed: resolution.scenario.seed,
      seconds: Math.max(1, (seconds - used) / (profiles.length - index)),
      runsDir,
      threads,
      signal,
      sample: options.sample === true,
      stopAtFirst: options.stopAtFirst === true,
      onProgress: (progress) => tell(progressSentence(progress)),
    });
    explorations.push(await replayable(explored, files, resolution.store, options));
  }
  const shrunk = await shrinkFindings({
    files,
    resolution,
    explorations,
    runsDir,
    threads,
    budgetMs: options.shrinkMs,
    replayOf: options.replayOf,
    signal,
    onProgress: tell,
  });
  const smaller = shrunk.smaller && (await writeSmaller(shrunk.smaller, options));
  const told = smaller ? withSmaller(shrunk.explorations, smaller) : shrunk.explorations;
  const results = write(files, book, told, startedAt, options);
  // The trace holds all that these files say, and more.
  if (results.verdict === true) rmSync(directory.dataDir, { recursive: true, force: true });
  return results;
}

function write(
  files: TracedRunFiles,
  book: RunBook,
  explorations: readonly ExplorationResults[],
  startedAt: number,
  { command, replayOf, signal, instrumentCheck }: ExploredRunOptions,
): RunResults {
  const { directory, record } = files;
  const replay = replayOf(directory.path);
  const own = book.conclude(
    { directory, command, replay, ...(instrumentCheck ? { instrumentCheck } : {}) },
    signal.aborted,
  );
  const unseen = record.mechanism === "broker" ? brokerBlindSpots : [];
  const results = withExplorations(own, explorations, unseen, performance.now() - startedAt);
  writeJson(directory.resultsFile, results);
  return results;
}

/** A smaller run is a run of its own: it can be reported and replayed. */
async function writeSmaller(
  { directory, resolution, explored }: SmallerRun,
  options: ExploredRunOptions,
): Promise<ExplorationResults> {
  const startedAt = performance.now();
  const files = readTracedRun(directory.path);
  const book = checkTracedRun(files, resolution);
  const told = await replayable(explored, files, resolution.store, options);
  write(files, book, [told], startedAt, options);
  return told;
}

/** The finding that was made smaller, with all that the smaller run's own results say of it. */
function withSmaller(explorations: readonly ExplorationResults[], smaller: ExplorationResults) {
  return explorations.map((explored) => ({
    ...explored,
    findings: explored.findings.map((finding) => {
      const { shrunk } = finding;
      const told = shrunk && smaller.findings.find(({ kind }) => kind === shrunk.finding.kind);
      return told ? { ...finding, shrunk: { ...shrunk, finding: told } } : finding;
    }),
  }));
}

export interface ReplayTracedRunOptions {
  readonly directory: RunDirectory;
  readonly resolution: Resolution;
  /** What was found then. */
  readonly recorded: RunResults;
  readonly runsDir: string;
}

export interface Replayed {
  readonly finding: Finding;
  readonly reproduced: boolean;
  /** Begins with `reproduced` or `not reproduced`, and says what was compared or what differs first. */
  readonly sentence: string;
}

/**
 * Every finding of an explored run again, from its files: crash states byte for byte, and the checks of the history and of
 * the syncs.
 *
 * @throws ScenarioError when the files cannot be read.
 */
export async function replayTracedRun(
  options: ReplayTracedRunOptions,
): Promise<{ readonly replayed: readonly Replayed[]; readonly traceFaults: readonly string[] }> {
  const { directory, resolution, recorded, runsDir } = options;
  const files = readTracedRun(directory.path);
  const replayer = await StateReplayer.open(files, resolution.store, runsDir);
  const replayed: Replayed[] = [];
  try {
    for (const { findings } of recorded.explorations ?? []) {
      for (const finding of findings) replayed.push(await replayer.replay(finding));
    }
  } finally {
    await replayer.close();
  }
  const again = checkTracedRun(files, resolution).findings();
  const ofStates = new Set((recorded.explorations ?? []).flatMap(({ findings }) => findings.map(identity)));
  for (const finding of recorded.findings) {
    if (!ofStates.has(identity(finding))) replayed.push(compared(finding, again));
  }
  return { replayed, traceFaults: [...files.trace.faults, ...lacksOf(files)] };
}

function identity({ kind, sentence }: Finding): string {
  return `${kind} ${sentence}`;
}

function compared(finding: Finding, again: readonly Finding[]): Replayed {
  if (again.some((one) => identity(one) === identity(finding)))
    return {
      finding,
      reproduced: true,
      sentence: "reproduced from the trace and the history: the same sentence",
    };
  const same = again.find(({ kind }) => kind === finding.kind);
  const now = same ? `there is now: ${same.sentence}` : "there is no finding of this kind now";
  return {
    finding,
    reproduced: false,
    sentence: `not reproduced: recorded was: ${finding.sentence}; ${now}`,
  };
}

function progressSentence({ profile, scene, done, recovered, findings }: ExploreProgress): string {
  const found = findings > 0 ? ` · ${findings} findings` : "";
  return `${profile} · ${scene} · ${Math.floor(done * 100)}% of the crash points · ${recovered} states recovered${found}`;
}

/** Every finding at the simplest state of its moment, with the line that replays it and the digests of its crash state, so that a replay can tell. */
async function replayable(
  explored: ExplorationResults,
  files: TracedRunFiles,
  store: Store,
  { runsDir, replayOf }: Pick<ExploredRunOptions, "runsDir" | "replayOf">,
): Promise<ExplorationResults> {
  if (explored.findings.length === 0) return explored;
  const replay = replayOf(files.directory.path);
  const replayer = await StateReplayer.open(files, store, runsDir);
  try {
    const findings: CrashStateFinding[] = [];
    for (const finding of explored.findings) {
      const simplest = await replayer.simplest(finding, simplerMs / explored.findings.length);
      const state = await replayer.recorded(simplest.state as StatePath);
      findings.push({ ...simplest, replay, state });
    }
    return { ...explored, findings };
  } finally {
    await replayer.close();
  }
}

/** ms for finding, at the same moments, states that lose less. */
const simplerMs = 3000;
/** ms the covering-sync check may use. */
const coveringBudgetMs = 10_000;

/** The checks that need no crash state: of the history as clients saw it, and of every acknowledgement's sync. */
export function checkTracedRun(files: TracedRunFiles, resolution: Resolution): RunBook {
  const { events, record } = files;
  const clock = new RunClock();
  const book = new RunBook(resolution, clock);
  const facts = new EpochFacts(record.epoch, clock);
  book.epochBegan();
  book.cycleBegan({ passing: [] });
  for (const event of events) {
    book.saw(event);
    if (event.process === "nemesis" && event.f === "ready")
      facts.started(event.incarnation ?? 0, event.value, []);
  }
  facts.crashes = Math.max(0, facts.starts - 1);
  for (const ms of record.ended?.recoveryMs ?? []) book.restarted(ms);
  for (const doubt of doubtsOf(files)) facts.unknown(doubt);
  for (const spot of record.ended?.blindSpots ?? []) facts.blindSpot(spot);
  facts.findings.push(...(record.ended?.findings ?? []));
  book.judged(
    [
      ...new Judge(resolution).check(events, facts),
      unlessUnseen(coveringSync(files, resolution), facts.unseenSyncs),
    ],
    facts,
  );
  return book;
}

/** Why a traced run is not what it should be, one sentence each: nothing about it may then be called true. */
export function doubtsOf({ trace, record }: TracedRunFiles): string[] {
  const doubts = [...trace.faults, ...(record.ended?.doubts ?? [])];
  if (!record.ended) doubts.push("the traced run was cut short: acked ended before it did");
  if (!trace.events.some(({ kind }) => kind === "enter"))
    doubts.push("the trace does not show that the tracer was inside the store");
  const isLog = globMatcher(record.logFiles);
  const written = trace.events.filter(({ kind, phase }) => kind === "write" && phase === "begin");
  if (record.durability.mode !== "none" && written.length > 0 && !written.some(({ path }) => isLog(path))) {
    doubts.push(
      `trace.json says that the log is ${record.logFiles}, and no write of the trace is to such a file (the first is to ${written[0]!.path}): say in the store's module which files its log is`,
    );
  }
  return doubts;
}

function coveringSync(files: TracedRunFiles, { store, scenario, workloads }: Resolution): CheckResult {
  const { trace, history, record } = files;
  const context = { promise: store.promise(scenario.durability), budgetMs: coveringBudgetMs };
  const results = runChecker("covering sync by bytes", context, () => [
    checkCoveringSyncByBytes(
      {
        trace,
        obligations: placeOperations(history, trace, record.startNs),
        logFiles: record.logFiles,
        startNs: record.startNs,
        changes: changesOf(workloads),
      },
      context,
    ),
  ]);
  const [result] = results;
  const idle = result!.checked.acknowledgements === undefined && result!.verdict === true;
  return idle ? { ...result!, checker: `${result!.checker} (nothing to check)` } : result!;
}

/** What no exploration looks at; the rest of a scenario's list is about faults that it does not inject. */
const elsewhere: readonly NotCovered[] = [
  {
    what: "faults while the store runs",
    why: "crash states are those of a run without faults; see acked chaos",
  },
];

/** Adds what exploring showed to the results of the run itself: false outranks unknown outranks true. */
export function withExplorations(
  results: RunResults,
  explorations: readonly ExplorationResults[],
  unseen: readonly string[],
  elapsedMs: number,
): RunResults {
  const verdict = combineVerdicts([results.verdict, ...explorations.map((explored) => explored.verdict)]);
  const shown = explorations.filter((explored) => explored.verdict === false);
  const findings: Finding[] = [...shown.flatMap((explored) => explored.findings), ...results.findings];
  const first = findings[0];
  return {
    ...results,
    verdict,
    exitCode: exitCodeOf(verdict),
    reasons: verdict === true ? [] : reasonsOf(results, explorations, findings),
    findings,
    explorations,
    counts: { ...results.counts, crashStates: statesOf(explorations) },
    notCovered: [
      ...elsewhere,
      ...unseen.map((what) => ({ what, why: "the broker does not see it" })),
      ...results.notCovered.filter(({ what }) => what !== "every fault"),
    ],
    worst: first ? `${first.kind}: ${first.sentence}` : results.worst,
    elapsedMs: Math.round(elapsedMs),
  };
}

/** Recovering a state a second time makes it no second state. */
function statesOf(explorations: readonly ExplorationResults[]): number {
  return explorations
    .flatMap(({ scenes }) => scenes)
    .filter(({ name }) => name !== sceneNames.twice)
    .reduce((sum, { recovered }) => sum + recovered, 0);
}

function reasonsOf(
  results: RunResults,
  explorations: readonly ExplorationResults[],
  findings: readonly Finding[],
): string[] {
  const sentences = findings.map(({ kind, sentence }) => `${kind}: ${sentence}`);
  const doubts = explorations.flatMap(({ profile, reasons }) =>
    reasons.map((reason) => `${profile}: ${reason}`),
  );
  return [...new Set([...sentences, ...results.reasons, ...doubts])];
}
