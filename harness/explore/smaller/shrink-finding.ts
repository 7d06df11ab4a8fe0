/**
 * Makes a crash-state finding smaller: takes the requests that had been sent when power was lost, and runs fewer and
 * fewer of them as traced runs of their own (shrink.ts says in which order), each explored under the finding's profile
 * until the same kind of finding shows. The smallest run is kept beside the run, in `smaller/`, and replays like it.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ScriptedRequest } from "../../clients/load.ts";
import type { Operation } from "../../history/operation.ts";
import type { CrashStateFinding, ExplorationResults, ShrunkFinding } from "../../results.ts";
import { type RunDirectory, runDirectoryAt, writeJson } from "../../run-directory.ts";
import type { Resolution } from "../../scenario.ts";
import { explore } from "../explore.ts";
import type { ExploringThreads } from "../explore-threads.ts";
import { placeOperations } from "../judge/obligations.ts";
import { type Script, tracedRun } from "../traced/traced-run.ts";
import type { TracedRunFiles } from "../traced/traced-run-files.ts";
import { shrinkScript } from "./shrink.ts";

export interface ShrinkFindingsOptions {
  readonly files: TracedRunFiles;
  readonly resolution: Resolution;
  readonly explorations: readonly ExplorationResults[];
  readonly runsDir: string;
  /** Threads for a store that is recovered in this program; without them each trial starts its own. */
  readonly threads?: ExploringThreads | undefined;
  /** ms for all of it; 0: nothing is tried. */
  readonly budgetMs: number;
  /** The line that replays the run in this directory. */
  readonly replayOf: (path: string) => string;
  readonly signal: AbortSignal;
  readonly onProgress?: (sentence: string) => void;
}

/** The smallest run that showed the finding. */
export interface SmallerRun {
  readonly directory: RunDirectory;
  readonly resolution: Resolution;
  readonly explored: ExplorationResults;
}

export interface ShrunkFindings {
  /** As given, with what was made smaller. */
  readonly explorations: readonly ExplorationResults[];
  /** Absent when nothing was. */
  readonly smaller?: SmallerRun;
}

/** Below the run's directory. */
const smallerDirectory = "smaller";
/** ms of load, and seconds of exploring, that one smaller run may take. */
const loadMs = 3000;
const exploreSeconds = 3;

/** So many findings are tried, one after the other, until one could be made smaller. */
const findingsTried = 3;

/**
 * The explorations, with one finding made smaller and put first: one that clients' operations show before one that none
 * show (a refusal to start), and of those the one at the earliest event that can be made smaller. The others are left as
 * they are: a person looks at one thing at a time, and the time is better spent on making that one small.
 */
export async function shrinkFindings(options: ShrinkFindingsOptions): Promise<ShrunkFindings> {
  const { explorations, budgetMs, signal } = options;
  const endsAt = performance.now() + budgetMs;
  const found = explorations.find(({ verdict, findings }) => verdict === false && findings.length > 0);
  if (!found) return { explorations };
  const shown = ({ operations }: CrashStateFinding) => Number(operations.length > 0);
  const tellingFirst = [...found.findings].sort((a, b) => shown(b) - shown(a) || a.event - b.event);
  for (const finding of tellingFirst.slice(0, findingsTried)) {
    const left = endsAt - performance.now();
    if (left <= 0 || signal.aborted) break;
    const result = await shrinkFinding(finding, { ...options, budgetMs: left });
    if (!result) continue;
    const { shrunk, smaller } = result;
    const others = found.findings.filter((one) => one !== finding);
    const told = { ...found, findings: [{ ...finding, shrunk }, ...others] };
    return { explorations: explorations.map((explored) => (explored === found ? told : explored)), smaller };
  }
  return { explorations };
}

async function shrinkFinding(
  finding: CrashStateFinding,
  options: ShrinkFindingsOptions,
): Promise<{ shrunk: ShrunkFinding; smaller: SmallerRun } | undefined> {
  const { files, resolution, budgetMs, signal, onProgress } = options;
  const sent = sentBefore(finding, files, resolution);
  const counterexample = finding.operations.flatMap((operation) => {
    const position = sent.findIndex(
      ({ call, process }) => call === operation.call && process === operation.process,
    );
    return position < 0 ? [] : [position];
  });
  const beforeKill = sent.filter(({ incarnation }) => incarnation === 0).length;
  const trials = new TrialRuns(finding, options);
  try {
    const result = await shrinkScript({
      requests: sent.map((operation) => requestOf(operation, files.record.clients)),
      counterexample,
      changes: sent.flatMap((operation, position) => (mayChange(operation, resolution) ? [position] : [])),
      ...(beforeKill < sent.length ? { killAfter: beforeKill } : {}),
      budgetMs,
      signal,
      attempt: async (script) => {
        onProgress?.(`making ${finding.kind} smaller · trying ${script.requests.length} operations`);
        return trials.attempt(script);
      },
    });
    if (!result) return undefined;
    const { script, found: smaller, trials: tried, elapsedMs, minimal } = result;
    const shrunk: ShrunkFinding = {
      finding: smaller.explored.findings.find(({ kind }) => kind === finding.kind)!,
      directory: smallerDirectory,
      requests: script.requests.map(({ client, request }) => ({ client, ...request })),
      clients: new Set(script.requests.map(({ client }) => client)).size,
      operationsBefore: files.history.operations.filter(({ readBack }) => !readBack).length,
      trials: tried,
      elapsedMs: Math.round(elapsedMs),
      minimal,
    };
    return { shrunk, smaller };
  } finally {
    trials.close();
  }
}

/** What clients had sent when power was lost, in order, without opening requests (every run sends its own). */
function sentBefore(
  finding: CrashStateFinding,
  { history, trace, record }: TracedRunFiles,
  { workloads }: Resolution,
): Operation[] {
  const opening = new Set(
    workloads.flatMap(({ name, setUp }) => setUp(record.epoch).map(({ f, key }) => `${name} ${f} ${key}`)),
  );
  return placeOperations(history, trace, record.startNs)
    .operations.filter(({ invokedAt }) => invokedAt <= finding.event)
    .map(({ operation }) => operation)
    .filter(({ readBack, workload, f, key }) => !readBack && !opening.has(`${workload} ${f} ${key}`));
}

function requestOf({ process, workload, f, key, input }: Operation, clients: number): ScriptedRequest {
  const value = input === null || input === undefined ? {} : { value: input };
  return { client: process % clients, request: { workload, f, key, ...value } };
}

/** True unless it is a read, whatever became of it. */
function mayChange({ workload, f, key, input }: Operation, { workloads }: Resolution): boolean {
  const own = workloads.find(({ name }) => name === workload);
  return own?.changes({ workload, f, key, value: input }, { type: "ok", value: 1 }) ?? false;
}

/** Smaller runs, one after the other, of which the last that showed the finding is kept. */
class TrialRuns {
  readonly #finding: CrashStateFinding;
  readonly #options: ShrinkFindingsOptions;
  readonly #trial: string;
  readonly #kept: string;

  constructor(finding: CrashStateFinding, options: ShrinkFindingsOptions) {
    this.#finding = finding;
    this.#options = options;
    this.#trial = join(options.files.directory.path, `${smallerDirectory}.trial`);
    this.#kept = join(options.files.directory.path, smallerDirectory);
    rmSync(this.#kept, { recursive: true, force: true });
  }

  /** The same kind of finding, in whichever scene it shows first, if this script shows one. */
  async attempt(script: Script): Promise<SmallerRun | undefined> {
    const { runsDir, threads, signal, replayOf } = this.#options;
    const directory = runDirectoryAt(this.#trial);
    rmSync(directory.path, { recursive: true, force: true });
    mkdirSync(directory.dataDir, { recursive: true });
    const resolution = scriptedResolution(this.#options.resolution, script);
    writeJson(directory.scenarioFile, resolution.scenario);
    await tracedRun({ resolution, directory, runsDir, loadMs, script, signal });
    rmSync(directory.dataDir, { recursive: true, force: true });
    const explored = await explore({
      runDir: directory.path,
      store: resolution.store,
      profile: this.#finding.profile,
      seed: resolution.scenario.seed,
      seconds: exploreSeconds,
      stopAtFirst: true,
      runsDir,
      threads,
      signal,
    });
    if (!explored.findings.some(({ kind }) => kind === this.#finding.kind)) return undefined;
    rmSync(this.#kept, { recursive: true, force: true });
    renameSync(directory.path, this.#kept);
    const replay = replayOf(this.#kept);
    const findings = explored.findings.map((finding) => ({ ...finding, replay }));
    return { directory: runDirectoryAt(this.#kept), resolution, explored: { ...explored, findings } };
  }

  close(): void {
    rmSync(this.#trial, { recursive: true, force: true });
  }
}

/** As many clients, and as few workloads, as the script has. */
function scriptedResolution(resolution: Resolution, script: Script): Resolution {
  const named = new Set(script.requests.map(({ request }) => request.workload));
  const workloads = resolution.workloads.filter(({ name }) => named.has(name));
  const clients = 1 + Math.max(...script.requests.map(({ client }) => client));
  const scenario = { ...resolution.scenario, workloads: workloads.map(({ name }) => name), clients };
  return { ...resolution, workloads, scenario };
}
