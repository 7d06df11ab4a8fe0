/**
 * `acked replay DIR`: does a recorded finding come back?
 *
 * Findings at crash states are recomputed from the directory's files alone, byte for byte, here or on another machine.
 * Any other finding is a live one: the same plan runs again (read from `scenario.json`, nothing is derived anew). Timing is
 * the machine's, so a live finding may not come back: then the first event at which the two runs went apart is named, and
 * that is never a pass.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { type Replayed, replayTracedRun } from "../harness/explore/explored-run.ts";
import { isTracedRun } from "../harness/explore/traced/traced-run-files.ts";
import { firstDifference } from "../harness/history/difference.ts";
import { HistoryError } from "../harness/history/history.ts";
import { readHistoryFile } from "../harness/history/history-file.ts";
import type { RunResults } from "../harness/results.ts";
import { lastingName, runDirectoryAt } from "../harness/run-directory.ts";
import { type Resolution, resolveSaved } from "../harness/scenario.ts";
import { makePlanSmaller, type SmallerPlan } from "../harness/smaller-plan.ts";
import { jsonDocument, ReportError, readResults, writeReports } from "../reports/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { runAndReport } from "./chaos.ts";
import { onInterruption } from "./interruption.ts";
import { wholeNumber } from "./options.ts";
import { replayLine } from "./replay-line.ts";
import { readScenario } from "./saved-scenario.ts";

interface ReplayFlags {
  out: string;
  json?: boolean;
  smaller?: number;
}

export function register(program: Command): void {
  program
    .command("replay")
    .description("look whether a run's finding comes back (exit 1: reproduced, 2: not)")
    .argument("<run>", "a run directory, for example runs/latest")
    .option("--out <dir>", "where runs are kept", "runs")
    .option(
      "--smaller <s>",
      "make the plan of a live finding smaller, for so many seconds",
      wholeNumber(5, 7200),
    )
    .option("--json", "one JSON document on stdout, and nothing else")
    .action(async (named: string, flags: ReplayFlags) => {
      // What is printed of it must still be right when there are later runs.
      const run = lastingName(named);
      const resolution = await resolveSaved(readScenario(run));
      process.exitCode = isTracedRun(run)
        ? await replayStates(run, resolution, flags)
        : flags.smaller === undefined
          ? await replayLive(run, resolution, flags)
          : await replaySmaller(run, resolution, flags.smaller, flags);
    });
}

/** Offline: every finding of an explored run. */
async function replayStates(run: string, resolution: Resolution, flags: ReplayFlags): Promise<number> {
  const before = await resultsBefore(run);
  if (flags.smaller !== undefined) {
    throw new ScenarioError(`${run} was made smaller already, as far as it would go: see ${run}/smaller`);
  }
  if (!before?.explorations) {
    throw new ScenarioError(`${run} has no results of an exploration: make them with acked explore ${run}`);
  }
  if (!before.explorations.every(({ findings }) => Array.isArray(findings))) {
    throw new ScenarioError(`${run}/results.json is damaged: an exploration in it has no list of findings`);
  }
  const { replayed, traceFaults } = await replayTracedRun({
    directory: runDirectoryAt(resolve(run)),
    resolution,
    recorded: before,
    runsDir: resolve(flags.out),
  });
  const exitCode =
    replayed.length === 0 ? before.exitCode : replayed.every(({ reproduced }) => reproduced) ? 1 : 2;
  const sentences = [
    ...traceFaults,
    ...(replayed.length === 0 ? [`the recorded run had no finding (verdict ${before.verdict})`] : []),
  ];
  if (flags.json) printJson(run, replayed, exitCode, sentences);
  else for (const sentence of [...sentences, ...replayed.map(lineOf)]) console.log(sentence);
  return exitCode;
}

function lineOf({ finding, sentence }: Replayed): string {
  return `${finding.kind}: ${sentence}`;
}

function printJson(
  run: string,
  replayed: readonly Replayed[],
  exitCode: number,
  reasons: readonly string[],
): void {
  const verdict = exitCode === 1 ? false : exitCode === 0 ? true : "unknown";
  const document = {
    formatVersion: 1,
    command: "replay",
    verdict,
    exitCode,
    reasons: [...reasons, ...replayed.map(lineOf)],
    findings: replayed.map(({ finding }) => finding),
    replayed: replayed.map(({ finding, reproduced, sentence }) => ({
      kind: finding.kind,
      reproduced,
      sentence,
    })),
    runDir: run,
  };
  console.log(JSON.stringify(document, null, 2));
}

/** The same plan again. */
async function replayLive(run: string, resolution: Resolution, flags: ReplayFlags): Promise<number> {
  const before = await resultsBefore(run);
  const after = await runAndReport(resolution, {
    command: "replay",
    out: flags.out,
    json: flags.json === true,
  });
  const { sentence, exitCode, reproduced } = compare(before, after);
  const apart = reproduced ? "" : whereTheyDiffer(run, after.runDir, resolution.scenario.clients);
  process.stderr.write(`${[sentence, apart].filter(Boolean).join("; ")}\n`);
  return exitCode;
}

/** Fewer faults, workloads and clients that still show the first finding. */
async function replaySmaller(
  run: string,
  { scenario }: Resolution,
  seconds: number,
  flags: ReplayFlags,
): Promise<number> {
  const before = await resultsBefore(run);
  const finding = before?.findings[0];
  if (!before || !finding) throw new ScenarioError(`${run} has no finding that could be made smaller`);
  const stop = new AbortController();
  const release = onInterruption(() => stop.abort());
  try {
    const smaller = await makePlanSmaller({
      ...{ scenario, finding, replayOf: replayLine, signal: stop.signal },
      epochs: before.counts.epochs ?? before.counts.cycles ?? 1,
      directory: runDirectoryAt(resolve(run)),
      runsDir: resolve(flags.out),
      budgetMs: seconds * 1000,
      onProgress: (sentence) => process.stderr.write(`${sentence}\n`),
    });
    if (!smaller) {
      console.log(`not reproduced: no run of ${finding.kind} in ${seconds} s showed it again`);
      return 2;
    }
    await writeReports(smaller.directory.path);
    if (flags.json) console.log(JSON.stringify(jsonDocument(smaller.results), null, 2));
    else console.log(smallerSentence(finding.kind, smaller));
    return 1;
  } finally {
    release();
  }
}

function smallerSentence(kind: string, plan: SmallerPlan): string {
  const { scenario, faults, faultsBefore, trials, elapsedMs, minimal, directory } = plan;
  const names = scenario.faults.length > 0 ? ` (${scenario.faults.join(", ")})` : "";
  const time = `${trials} runs in ${(elapsedMs / 1000).toFixed(1)} s${minimal ? "" : ", and the time was over"}`;
  return `${kind} with ${faults} of ${faultsBefore} faults${names}, ${scenario.clients} clients, workload ${scenario.workloads.join(", ")}: the smallest of ${time}\n${replayLine(directory.path)}`;
}

async function resultsBefore(run: string): Promise<RunResults | undefined> {
  try {
    return await readResults(run);
  } catch (error) {
    if (!(error instanceof ReportError)) throw error;
    if (!existsSync(runDirectoryAt(resolve(run)).resultsFile)) return undefined;
    throw new ScenarioError(error.message);
  }
}

function whereTheyDiffer(recorded: string, again: string, clients: number): string {
  const events = (path: string) => readHistoryFile(runDirectoryAt(resolve(path)).historyFile);
  try {
    const difference = firstDifference(events(recorded), events(again), clients);
    return difference?.sentence ?? "every client saw the same as in the recorded run";
  } catch (error) {
    if (error instanceof HistoryError) return `where they differ cannot be told: ${error.message}`;
    throw error;
  }
}

/** Reproduced = a finding of the same kind in the same workload. */
export function compare(
  before: RunResults | undefined,
  after: RunResults,
): { readonly sentence: string; readonly exitCode: number; readonly reproduced: boolean } {
  const identity = (finding: { kind: string; workload?: string }) =>
    `${finding.kind} in ${finding.workload ?? "the run"}`;
  if (!before) {
    return {
      sentence: "the recorded run has no results to compare with; see the verdict above",
      exitCode: after.exitCode,
      reproduced: false,
    };
  }
  if (before.findings.length === 0) {
    const same = before.verdict === after.verdict;
    return {
      sentence: `the recorded run had no finding (verdict ${before.verdict}); this one ended ${after.verdict}: ${same ? "the same" : "different"}`,
      exitCode: after.exitCode,
      reproduced: same,
    };
  }
  const now = new Set(after.findings.map(identity));
  const again = before.findings.find((finding) => now.has(identity(finding)));
  if (again) return { sentence: `reproduced: ${identity(again)}`, exitCode: 1, reproduced: true };
  const first = identity(before.findings[0]!);
  const instead = after.findings[0]
    ? `found ${identity(after.findings[0])} instead`
    : `ended ${after.verdict}`;
  return {
    sentence: `not reproduced: the recorded run found ${first}, this one ${instead}; the plan was the same, the timing was not`,
    exitCode: 2,
    reproduced: false,
  };
}
