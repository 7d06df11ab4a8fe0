/**
 * A whole run: live faults, then crash states of a traced run, then a sweep, each within its share of the seconds, and one
 * result of all three. What a share of 0 seconds leaves out is in the scenario's `notCovered` already.
 *
 * The parts are apart: each has its own store processes and data directories, and nothing of one is judged by another. A
 * violation ends the whole, unless the scenario says to keep going; what was not begun then is named.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ScenarioError } from "../stores/contract.ts";
import { combineVerdicts } from "./checkers/contract.ts";
import { runCluster } from "./clusters/cluster-run.ts";
import { checkTracedRun, exploreTracedRun } from "./explore/explored-run.ts";
import { tracedRun } from "./explore/traced/traced-run.ts";
import { missingContent, runCounts } from "./explore/traced/traced-run-content.ts";
import { readTracedRun } from "./explore/traced/traced-run-files.ts";
import type { ExplorationResults, NotCovered, RunResults, SweepResults } from "./results.ts";
import { type RunOptions, run } from "./run.ts";
import { exitCodeOf } from "./run-book.ts";
import { runDirectoryAt, writeJson } from "./run-directory.ts";
import { type Resolution, resolveSaved } from "./scenario.ts";
import { beyondPromise, sweepPairs, withinPromise } from "./sweep/plan.ts";
import { nothingFired, sweep } from "./sweep/sweep.ts";

export interface WholeRunOptions extends RunOptions {
  /** One sentence when another part begins. */
  readonly onPart: (sentence: string) => void;
  /** The line that replays the run in that directory: a finding of the exploration replays from its own files. */
  readonly replayOf: (path: string) => string;
}

/**
 * Runs all parts of a resolved scenario, and leaves `results.json`.
 *
 * @throws ScenarioError when the store cannot be started at all, and any error of ours.
 */
export async function runWhole(resolution: Resolution, options: WholeRunOptions): Promise<RunResults> {
  if (resolution.scenario.cluster) return runCluster(resolution, options);
  const { keepGoing, exploreSeconds = 0, sweepSeconds = 0, pair } = resolution.scenario;
  const began = performance.now();
  let results = await run(resolution, options);
  const parts = [
    { what: "exploring crash states", seconds: exploreSeconds, play: withExplored },
    { what: "sweeping the n-th call", seconds: sweepSeconds, play: withSwept },
    { what: "partitions of a cluster", seconds: pair?.seconds ?? 0, play: withPair },
  ];
  for (const { what, seconds, play } of parts) {
    if (seconds === 0) continue;
    if ((results.verdict === false && !keepGoing) || options.signal.aborted) {
      results = without(results, what, "the run ended before it");
      continue;
    }
    options.onPart(`${what} for ${seconds.toFixed(1)} s`);
    try {
      results = await play(results, resolution, options);
    } catch (error) {
      // What cannot be done here takes nothing from what was done before.
      if (!(error instanceof ScenarioError)) throw error;
      results = without(results, what, error.message);
    }
  }
  if (options.signal.aborted && !results.interrupted) {
    results = withPart(results, "unknown", [], ["the run was interrupted before its time was over"]);
    results = { ...results, interrupted: true };
  }
  results = { ...results, elapsedMs: Math.round(performance.now() - began) };
  // Traces are large, and nobody replays what passed.
  if (results.verdict === true) {
    for (const part of ["explore", "sweep", "cluster"]) {
      rmSync(join(options.directory.path, part), { recursive: true, force: true });
    }
  }
  writeJson(options.directory.resultsFile, results);
  return results;
}

/** The gate, and the strictest: see explore/profiles/. */
const profiles = ["ext4-ordered", "posix-strict"] as const;
/** Of its share: ms of load at most while the trace is made. */
const tracedShare = 0.5;

/** A traced run of its own, below the run's directory, and its crash states. */
async function withExplored(
  results: RunResults,
  resolution: Resolution,
  options: WholeRunOptions,
): Promise<RunResults> {
  const began = performance.now();
  const { runsDir, signal } = options;
  const seconds = resolution.scenario.exploreSeconds ?? 0;
  const quiet = withoutFaults(resolution);
  const path = join(options.directory.path, "explore");
  mkdirSync(join(path, "data"), { recursive: true });
  const directory = runDirectoryAt(path);
  writeJson(directory.scenarioFile, { ...quiet.scenario, explored: { profiles } });
  await tracedRun({ resolution: quiet, directory, runsDir, loadMs: seconds * tracedShare * 1000, signal });
  const files = readTracedRun(path);
  const { trace, history, record } = files;
  const counts = runCounts(trace.events, history, { ...record, workloads: quiet.workloads });
  const lacks = missingContent(counts, record, record.durability)[0];
  if (lacks !== undefined && !signal.aborted) {
    // Too little to explore says nothing against what clients of the traced run saw.
    const seen = checkTracedRun(files, quiet).conclude({ ...options, directory }, false);
    const left = without(results, "exploring crash states", `${lacks}; give the run more --seconds`);
    return seen.verdict === false ? withPart(left, false, seen.findings, seen.reasons) : left;
  }
  const explored = await exploreTracedRun({
    ...{ directory, resolution: quiet, profiles, runsDir, signal, command: options.command },
    seconds: seconds - (performance.now() - began) / 1000,
    sample: true,
    shrinkMs: 0,
    replayOf: options.replayOf,
  });
  const { verdict, findings, reasons, explorations = [] } = explored;
  const crashStates = explored.counts.crashStates ?? 0;
  const combined = { ...results, explorations, counts: { ...results.counts, crashStates } };
  const unreached = explorations.flatMap(notReached);
  return withPart(
    { ...combined, notCovered: [...results.notCovered, ...unreached] },
    verdict,
    findings,
    reasons,
  );
}

/** Crash points that its share of the seconds did not reach. */
function notReached({ profile, scenes }: ExplorationResults): NotCovered[] {
  const first = scenes[0];
  if (!first || first.crashPointsExplored >= first.crashPoints) return [];
  const left = `${first.crashPoints - first.crashPointsExplored} of ${first.crashPoints} crash points`;
  return [
    { what: `${profile}: ${left}`, why: "not reached before the time was over; acked explore reaches all" },
  ];
}

/** The same store and workloads with nothing done to them. */
function withoutFaults(resolution: Resolution): Resolution {
  const scenario = { ...resolution.scenario, faults: [], background: [], schedule: [] };
  return { ...resolution, scenario, faults: [] };
}

/** The sweep's files are in a directory of their own, below the run's. */
async function withSwept(
  results: RunResults,
  resolution: Resolution,
  options: WholeRunOptions,
): Promise<RunResults> {
  const path = join(options.directory.path, "sweep");
  mkdirSync(join(path, "data"), { recursive: true });
  const promise = resolution.store.promise(resolution.scenario.durability);
  const swept = await sweep({
    resolution,
    pairs: withinPromise(sweepPairs, promise),
    directory: runDirectoryAt(path),
    runsDir: options.runsDir,
    seconds: resolution.scenario.sweepSeconds ?? 0,
    sample: true,
    signal: options.signal,
  });
  if (swept.reasons[0] === nothingFired && !options.signal.aborted) {
    const few = "no trial ended in its share of the seconds; give the run more --seconds";
    return without(results, "sweeping the n-th call", few);
  }
  const beyond = beyondPromise(resolution.store.name, promise);
  return withSweep({ ...results, notCovered: [...results.notCovered, ...beyond] }, swept);
}

/** A storm of partitions over a cluster of its own, whose files are below the run's directory. */
async function withPair(
  results: RunResults,
  resolution: Resolution,
  options: WholeRunOptions,
): Promise<RunResults> {
  const path = join(options.directory.path, "cluster");
  mkdirSync(join(path, "data"), { recursive: true });
  const { instrumentCheck: _caught, ...shared } = options;
  const own = await runCluster(await resolveSaved(resolution.scenario.pair!), {
    ...{ ...shared, directory: runDirectoryAt(path), replay: options.replayOf(path) },
  });
  if (!own.cluster) return results;
  const store = own.store.name;
  const pair = { store, operations: own.counts.operations ?? 0, cluster: own.cluster };
  const faults = own.faults.map((tally) => ({ ...tally, name: `${tally.name} (${store})` }));
  const combined = { ...results, pair, faults: [...results.faults, ...faults] };
  const named = own.findings.map((finding) => ({ ...finding, sentence: `${store}: ${finding.sentence}` }));
  return withPart(
    combined,
    own.verdict,
    named,
    own.reasons.map((reason) => `${store}: ${reason}`),
  );
}

/** The results with a sweep's in them: its findings and doubts count as the run's own. */
export function withSweep(results: RunResults, swept: SweepResults): RunResults {
  const sentences = swept.findings.map((finding) => `${finding.kind}: ${finding.sentence}`);
  return withPart({ ...results, sweep: swept }, swept.verdict, swept.findings, [
    ...sentences,
    ...swept.reasons,
  ]);
}

function withPart(
  results: RunResults,
  part: RunResults["verdict"],
  findings: RunResults["findings"],
  reasons: readonly string[],
): RunResults {
  const verdict = combineVerdicts([results.verdict, part]);
  const first = findings[0];
  return {
    ...results,
    verdict,
    exitCode: exitCodeOf(verdict),
    reasons: verdict === true ? [] : [...new Set([...results.reasons, ...reasons])],
    findings: [...results.findings, ...findings],
    counts: { ...results.counts, findings: (results.counts.findings ?? 0) + findings.length },
    worst: results.findings.length > 0 || !first ? results.worst : `${first.kind}: ${first.sentence}`,
  };
}

function without(results: RunResults, what: string, why: string): RunResults {
  const entry: NotCovered = { what, why };
  return { ...results, notCovered: [...results.notCovered, entry] };
}
