/** `acked chaos`: the main job. Breaks a store with a planted bug, then tests yours, then says what it found. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { removeLeftNamespaces } from "../faults/index.ts";
import { checkInstrument } from "../harness/instrument-check.ts";
import type { InstrumentCheck, RunResults } from "../harness/results.ts";
import {
  createRunDirectory,
  pointLatest,
  type RunDirectory,
  tidyAfterPass,
} from "../harness/run-directory.ts";
import { type Resolution, resolveScenario, type Scenario } from "../harness/scenario.ts";
import { healLeftovers } from "../harness/supervisor/active.ts";
import { runWhole } from "../harness/whole-run.ts";
import {
  announceOnGithub,
  jsonDocument,
  summaryOptions,
  terminalSummary,
  writeReports,
} from "../reports/index.ts";
import { onInterruption } from "./interruption.ts";
import { names, seed, wholeNumber } from "./options.ts";
import { relativePath, replayLine } from "./replay-line.ts";
import { statusLine } from "./status-line.ts";

export interface ChaosFlags {
  store?: string;
  workload?: string[];
  fault?: string[];
  durability?: string;
  seed?: number;
  seconds?: number;
  cycles?: number;
  clients?: number;
  nodes?: number;
  network?: string;
  keepGoing?: boolean;
  out: string;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command("chaos")
    .description("load a store, crash it, cut its network, fail its disk, and check what comes back")
    .option("--store <store>", "a name (acked list), ./module.mjs, or 'resp:CMD --port {port} --dir {dir}'")
    .option("--workload <names>", "comma list, repeatable (default: all the store can run)", names)
    .option(
      "--fault <names>",
      "comma list, repeatable; none for a fault-free run (default: all available)",
      names,
    )
    .option("--durability <mode>", "always, interval:<ms> or none (default: the store's own)")
    .option("--seed <n>", "signed 32-bit (default: random, printed)", seed)
    .option(
      "--seconds <n>",
      "in all (default: 45); without --fault and --cycles 60% live faults, 25% exploring, 15% sweeping",
      wholeNumber(2, 7200),
    )
    .option("--cycles <n>", "stop after so many crash / recover cycles", wholeNumber(1, 1_000_000))
    .option("--clients <n>", "concurrent clients (default: 8)", wholeNumber(1, 256))
    .option("--nodes <n>", "members of a store that runs as a cluster (default: its own)", wholeNumber(1, 99))
    .option("--network <mechanism>", "of a cluster: proxies (default), or namespaces (root)")
    .option("--keep-going", "do not stop at the first violation")
    .option("--out <dir>", "where runs are kept", "runs")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action(async (flags: ChaosFlags) => {
      const resolution = await resolveScenario(scenarioOf(flags));
      const results = await runAndReport(resolution, {
        command: "chaos",
        out: flags.out,
        json: flags.json === true,
      });
      process.exitCode = results.interrupted && results.verdict !== false ? 2 : results.exitCode;
    });
}

function scenarioOf(flags: ChaosFlags): Scenario {
  const { workload, fault, out: _out, json: _json, ...rest } = flags;
  return { ...rest, ...(workload ? { workloads: workload } : {}), ...(fault ? { faults: fault } : {}) };
}

export interface ReportingOptions {
  readonly command: string;
  readonly out: string;
  readonly json: boolean;
  /** Nothing but errors on the terminal; the gate prints its own lines. */
  readonly quiet?: boolean;
  /** Break a planted bug first. Default true. */
  readonly instrumentCheck?: boolean;
}

/** One run with everything around it: what a dead acked left is healed, the instrument checked, reports written. */
export async function runAndReport(resolution: Resolution, options: ReportingOptions): Promise<RunResults> {
  const { scenario } = resolution;
  const runsDir = resolve(options.out);
  const say = options.quiet ? () => {} : (text: string) => process.stderr.write(`${text}\n`);
  const directory = createRunDirectory(options.out, scenario.store, scenario.seed, new Date());
  for (const healed of [...(await healLeftovers(runsDir)), ...(await removeLeftNamespaces())])
    say(`healed what an earlier acked left behind: ${healed}`);
  const stop = new AbortController();
  const release = onInterruption(() => stop.abort());
  const status = statusLine();
  try {
    pointLatest(options.out, directory);
    say(introduction(resolution, directory));
    const instrumentCheck =
      options.instrumentCheck === false || stop.signal.aborted
        ? undefined
        : await checkedAloud(directory, runsDir, scenario.seed, stop.signal, say);
    const results = await runWhole(resolution, {
      directory,
      runsDir,
      command: options.command,
      replay: replayLine(directory.path),
      onProgress: options.quiet ? () => {} : (progress) => status.show(progress),
      replayOf: replayLine,
      onPart: (sentence) => {
        status.clear();
        say(sentence);
      },
      signal: stop.signal,
      ...(instrumentCheck ? { instrumentCheck } : {}),
    });
    status.clear();
    await writeReports(directory.path);
    if (results.verdict === true) tidyAfterPass(options.out, directory);
    if (options.json) process.stdout.write(`${JSON.stringify(jsonDocument(results), null, 2)}\n`);
    else if (!options.quiet)
      process.stdout.write(`${terminalSummary(results, summaryOptions(process.stdout, process.env))}`);
    if (!options.quiet) await announceOnGithub(results, process.env, (line) => console.error(line));
    return results;
  } finally {
    release();
  }
}

function introduction({ scenario, store }: Resolution, directory: RunDirectory): string {
  const faults = scenario.faults.length > 0 ? scenario.faults.join(" ") : "none";
  const { seconds, exploreSeconds = 0, sweepSeconds = 0, pair } = scenario;
  const more = [
    ...(exploreSeconds > 0 ? [`${exploreSeconds.toFixed(1)} s exploring`] : []),
    ...(sweepSeconds > 0 ? [`${sweepSeconds.toFixed(1)} s sweeping`] : []),
    ...(pair ? [`${pair.seconds} s of partitions (${pair.store})`] : []),
  ];
  const time = [
    `${seconds.toFixed(more.length > 0 ? 1 : 0)} s${more.length > 0 ? " of live faults" : ""}`,
    ...more,
  ].join(", ");
  return [
    `acked chaos · store ${store.name} · seed ${scenario.seed} · ${time} · ${scenario.clients} clients`,
    `workloads: ${scenario.workloads.join(" ")} · faults: ${faults}`,
    `run directory: ${relativePath(directory.path)}`,
  ].join("\n");
}

async function checkedAloud(
  directory: RunDirectory,
  runsDir: string,
  seed: number,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<InstrumentCheck | undefined> {
  const check = await checkInstrument(directory.path, runsDir, seed, signal);
  if (!check) return undefined;
  const seconds = (check.elapsedMs / 1000).toFixed(1);
  say(
    check.caught
      ? `instrument check: ${check.store} (${check.bug}) was broken in ${seconds} s: ${check.finding}`
      : `instrument check FAILED: ${check.store} (${check.bug}) was not caught in ${seconds} s`,
  );
  return check;
}
