/** `acked sweep`: fails the n-th call of every kind in every way, n = 1, 2, 3 … until none is left, one short trial each. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { RunClock } from "../harness/history/clock.ts";
import type { RunResults, SweepResults } from "../harness/results.ts";
import { RunBook } from "../harness/run-book.ts";
import { createRunDirectory, pointLatest, tidyAfterPass, writeJson } from "../harness/run-directory.ts";
import { resolveScenario } from "../harness/scenario.ts";
import { healLeftovers } from "../harness/supervisor/active.ts";
import { beyondPromise, choosePairs, withinPromise } from "../harness/sweep/plan.ts";
import { type SweepProgress, sweep, sweepClients, whyNotSweepable } from "../harness/sweep/sweep.ts";
import { withSweep } from "../harness/whole-run.ts";
import {
  announceOnGithub,
  jsonDocument,
  summaryOptions,
  sweepMatrixText,
  terminalSummary,
  writeReports,
} from "../reports/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { onInterruption } from "./interruption.ts";
import { names, seed, wholeNumber } from "./options.ts";

interface SweepFlags {
  store?: string;
  workload?: string[];
  durability?: string;
  operation?: string[];
  effect?: string[];
  nth?: number;
  seconds: number;
  seed?: number;
  out: string;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command("sweep")
    .description("fail the n-th disk call of every kind in every way, n = 1, 2, 3 … until none is left")
    .option("--store <store>", "a name (acked list), ./module.mjs, or 'resp:CMD --port {port} --dir {dir}'")
    .option("--workload <names>", "comma list, repeatable (default: all the store can run)", names)
    .option("--durability <mode>", "always, interval:<ms> or none (default: the store's own)")
    .option("--operation <names>", "comma list: write, sync, rename, create, … (default: all)", names)
    .option("--effect <names>", "comma list: error, fsyncgate, 'error EIO', … (default: all)", names)
    .option("--nth <n>", "only the n-th call, one trial for each pair", wholeNumber(1, 1_000_000))
    .option(
      "--seconds <n>",
      "for all trials together; ends earlier when every call was failed",
      wholeNumber(2, 7200),
      600,
    )
    .option("--seed <n>", "signed 32-bit (default: random, printed)", seed)
    .option("--out <dir>", "where runs are kept", "runs")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action(async (flags: SweepFlags) => {
      const results = await sweepAndReport(flags);
      process.exitCode = results.interrupted && results.verdict !== false ? 2 : results.exitCode;
    });
}

async function sweepAndReport(flags: SweepFlags): Promise<RunResults> {
  const asked = choosePairs(flags.operation, flags.effect);
  const resolution = await resolveScenario({
    faults: ["none"],
    seconds: flags.seconds,
    ...(flags.store === undefined ? {} : { store: flags.store }),
    ...(flags.workload ? { workloads: flags.workload } : {}),
    ...(flags.durability === undefined ? {} : { durability: flags.durability }),
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
  });
  const { scenario, store } = resolution;
  const promise = store.promise(scenario.durability);
  const pairs = flags.effect ? asked : withinPromise(asked, promise);
  const beyond = flags.effect ? [] : beyondPromise(store.name, promise);
  const refused = await whyNotSweepable(store);
  if (refused) throw new ScenarioError(`acked sweep cannot run here: ${refused}`);
  const runsDir = resolve(flags.out);
  const directory = createRunDirectory(flags.out, `${store.name}-sweep`, scenario.seed, new Date());
  const say = (text: string) => process.stderr.write(`${text}\n`);
  for (const healed of await healLeftovers(runsDir))
    say(`healed what an earlier acked left behind: ${healed}`);
  const stop = new AbortController();
  const release = onInterruption(() => stop.abort());
  try {
    pointLatest(flags.out, directory);
    writeJson(directory.scenarioFile, scenario);
    say(
      `acked sweep · store ${store.name} · seed ${scenario.seed} · ${flags.seconds} s · ${pairs.length} kinds of failure`,
    );
    const book = new RunBook(resolution, new RunClock());
    let told = 0;
    const swept = await sweep({
      ...{ resolution, pairs, directory, runsDir, book, seconds: flags.seconds, signal: stop.signal },
      ...(flags.nth === undefined ? {} : { onlyN: flags.nth }),
      onProgress: (progress) => {
        if (performance.now() - told < (process.stderr.isTTY ? 1000 : quietProgressMs)) return;
        told = performance.now();
        say(progressLine(progress));
      },
    });
    const command = replayLine(flags, scenario.seed);
    const concluded = book.conclude({ directory, command: "sweep", replay: command }, stop.signal.aborted);
    const notCovered = [...concluded.notCovered, ...beyond];
    const results = onlySwept({ ...concluded, notCovered }, swept);
    writeJson(directory.resultsFile, results);
    await writeReports(directory.path);
    if (results.verdict === true) tidyAfterPass(flags.out, directory);
    if (flags.json) process.stdout.write(`${JSON.stringify(jsonDocument(results), null, 2)}\n`);
    else {
      const shown = summaryOptions(process.stdout, process.env);
      const matrix = sweepMatrixText(swept, shown.width);
      if (matrix.length > 0) process.stdout.write(`${matrix.join("\n")}\n\n`);
      process.stdout.write(terminalSummary(results, shown));
    }
    await announceOnGithub(results, process.env, (line) => console.error(line));
    return results;
  } finally {
    release();
  }
}

/** Where nobody watches, a log is not to be filled. */
const quietProgressMs = 10_000;

function progressLine(progress: SweepProgress): string {
  const { trials, trialsInAll, findings, last, secondsLeft, secondsNeeded } = progress;
  if (trialsInAll === undefined) return "counting the calls that there are to fail";
  const needed = secondsNeeded === undefined ? "" : `, about ${Math.ceil(secondsNeeded)} s to the end`;
  const short = (secondsNeeded ?? 0) > secondsLeft ? ` (cut short in ${Math.ceil(secondsLeft)} s)` : "";
  return `${trials} of ${trialsInAll} trials, ${findings} findings${needed}${short}; ${last}`;
}

/** The book only counted: what is found and doubted is the sweep's. */
function onlySwept(counted: RunResults, swept: SweepResults): RunResults {
  const none: RunResults = {
    ...counted,
    verdict: counted.interrupted ? "unknown" : true,
    reasons: [],
    findings: [],
    clients: sweepClients,
    counts: { ...counted.counts, findings: 0, trials: swept.trials },
    notCovered: counted.notCovered.filter(({ what }) => what !== "every fault"),
  };
  return withSweep(none, swept);
}

/** The same sweep again. */
function replayLine(flags: SweepFlags, usedSeed: number): string {
  const option = (name: string, value: string | undefined) =>
    value === undefined ? [] : [name, quoted(value)];
  return [
    "npx acked sweep",
    ...option("--store", flags.store),
    ...option("--workload", flags.workload?.join(",")),
    ...option("--durability", flags.durability),
    ...option("--operation", flags.operation?.join(",")),
    ...option("--effect", flags.effect?.join(",")),
    ...option("--nth", flags.nth?.toString()),
    ...option("--seconds", String(flags.seconds)),
    ...option("--seed", String(usedSeed)),
  ].join(" ");
}

function quoted(text: string): string {
  return /^[\w./:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
