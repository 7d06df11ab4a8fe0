/**
 * `acked explore`: what is on the disk if power is lost now, for every "now" of a run. Traces a run under concurrent load,
 * rebuilds the crash states that a profile allows, recovers each and judges it; `acked explore DIR` does the second half
 * again from the files of an earlier run, here or on another machine.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { exploreTracedRun } from "../harness/explore/explored-run.ts";
import { checkExplorer } from "../harness/explore/explorer-check.ts";
import { profileByName } from "../harness/explore/states/profiles/index.ts";
import { tracedRun, whyNotTraceable } from "../harness/explore/traced/traced-run.ts";
import { isTracedRun } from "../harness/explore/traced/traced-run-files.ts";
import type { InstrumentCheck, RunResults } from "../harness/results.ts";
import {
  createRunDirectory,
  pointLatest,
  runDirectoryAt,
  tidyAfterPass,
  writeJson,
} from "../harness/run-directory.ts";
import { type Resolution, randomSeed, resolveSaved, resolveScenario } from "../harness/scenario.ts";
import { healLeftovers } from "../harness/supervisor/active.ts";
import {
  announceOnGithub,
  coverageTable,
  jsonDocument,
  readResults,
  summaryOptions,
  terminalSummary,
  writeReports,
} from "../reports/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { findStore } from "../stores/index.ts";
import { onInterruption } from "./interruption.ts";
import { names, seed, wholeNumber } from "./options.ts";
import { comparePowerCuts } from "./power-cut.ts";
import { relativePath, replayLine } from "./replay-line.ts";
import { readScenario } from "./saved-scenario.ts";

interface ExploreFlags {
  store?: string;
  workload?: string[];
  durability?: string;
  profile?: string[];
  seconds: number;
  operations?: number;
  seed?: number;
  clients?: number;
  out: string;
  json?: boolean;
  powerCut?: "real";
}

/** The gate, and the strictest: see harness/explore/profiles/. */
const defaultProfiles = ["ext4-ordered", "posix-strict"];
/** ms of load at most; a run of 1,000 operations is over long before. */
const loadMs = 12_000;
/** ms for making findings smaller. */
const shrinkMs = 25_000;

export function register(program: Command): void {
  program
    .command("explore")
    .description("rebuild every crash state of a traced run, recover each, and judge what came back")
    .argument("[run]", "a run directory of acked explore: its trace is explored again")
    .option("--store <store>", "a name (acked list), ./module.mjs, or 'resp:CMD --port {port} --dir {dir}'")
    .option("--workload <names>", "comma list, repeatable (default: all the store can run)", names)
    .option("--durability <mode>", "always, interval:<ms> or none (default: the store's own)")
    .option("--profile <names>", `comma list (default: ${defaultProfiles.join(",")})`, names)
    .option("--seconds <n>", "recovering and judging, over all profiles", wholeNumber(1, 7200), 50)
    .option("--operations <n>", "at least so many (default: 1000)", wholeNumber(1, 100_000))
    .option("--seed <n>", "signed 32-bit (default: random, printed)", seed)
    .option("--clients <n>", "concurrent clients (default: 8)", wholeNumber(1, 256))
    .option("--power-cut <how>", "real: on real file systems, for --seconds (root, loop devices)", powerCut)
    .option("--out <dir>", "where runs are kept", "runs")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action(async (run: string | undefined, flags: ExploreFlags) => {
      if (flags.powerCut !== undefined && run === undefined) {
        process.exitCode = await cutPower(flags);
        return;
      }
      const results = run === undefined ? await exploreNew(flags) : await exploreAgain(run, flags);
      process.exitCode = results.interrupted && results.verdict !== false ? 2 : results.exitCode;
    });
}

function powerCut(text: string): "real" {
  if (text !== "real")
    throw new InvalidArgumentError('the only way is "real"; without it, power is cut in the model');
  return text;
}

async function cutPower(flags: ExploreFlags): Promise<number> {
  const given = (["profile", "operations"] as const).find((name) => flags[name] !== undefined);
  if (given) {
    throw new ScenarioError(
      `--${given} has no meaning with --power-cut real, where each file system is its own profile and the cut ends the run: leave it out`,
    );
  }
  const { scenario } = await resolved({ ...flags, seed: flags.seed ?? randomSeed() });
  const line = progressLine();
  return comparePowerCuts({
    scenario,
    seconds: flags.seconds,
    out: flags.out,
    json: flags.json === true,
    onProgress: (sentence) => line.show(sentence),
  });
}

async function exploreNew(flags: ExploreFlags): Promise<RunResults> {
  const profiles = chosenProfiles(flags);
  const resolution = await resolved(flags);
  const { scenario, store } = resolution;
  const refused = await whyNotTraceable(store);
  if (refused) throw new ScenarioError(`acked explore cannot run here: ${refused}`);
  const directory = createRunDirectory(flags.out, scenario.store, scenario.seed, new Date());
  for (const healed of await healLeftovers(resolve(flags.out)))
    say(`healed what an earlier acked left behind: ${healed}`);
  say(
    `acked explore · store ${store.name} · seed ${scenario.seed} · ${scenario.clients} clients · profiles ${profiles.join(" ")}\nrun directory: ${relativePath(directory.path)}`,
  );
  return interruptible(async (signal) => {
    pointLatest(flags.out, directory);
    writeJson(directory.scenarioFile, { ...scenario, explored: { profiles } });
    const line = progressLine();
    line.show("exploring a store with a planted bug first");
    const check = await checkExplorer(directory.path, resolve(flags.out), scenario.seed, signal);
    line.clear();
    if (check) say(instrumentSentence(check));
    await tracedRun({
      resolution,
      directory,
      runsDir: resolve(flags.out),
      loadMs,
      signal,
      ...(flags.operations === undefined ? {} : { operations: flags.operations }),
      onProgress: ({ phase, operations }) => line.show(`${phase} · ${operations} operations`),
    });
    const results = await conclude(directory.path, resolution, profiles, flags, signal, check);
    if (results.verdict === true) tidyAfterPass(flags.out, directory);
    return results;
  });
}

function instrumentSentence({ store, bug, caught, finding, elapsedMs }: InstrumentCheck): string {
  const seconds = (elapsedMs / 1000).toFixed(1);
  return caught
    ? `instrument check: ${store} (${bug}) was broken in ${seconds} s: ${finding}`
    : `instrument check FAILED: ${store} (${bug}) was not caught in ${seconds} s`;
}

async function exploreAgain(run: string, flags: ExploreFlags): Promise<RunResults> {
  const given = (["store", "workload", "durability", "operations", "clients", "powerCut"] as const).find(
    (name) => flags[name] !== undefined,
  );
  if (given) {
    throw new ScenarioError(
      `${run} is explored as it was traced, so --${given === "powerCut" ? "power-cut" : given} has no meaning here: leave it out, or trace a new run without naming a directory`,
    );
  }
  if (!existsSync(run))
    throw new ScenarioError(`there is no run directory ${run}: give one of those below runs/`);
  if (!isTracedRun(run)) {
    throw new ScenarioError(`${run} holds no trace (no trace.json): only runs of acked explore are traced`);
  }
  const profiles = chosenProfiles(flags);
  const saved = await resolveSaved(readScenario(run));
  const resolution =
    flags.seed === undefined ? saved : { ...saved, scenario: { ...saved.scenario, seed: flags.seed } };
  say(`acked explore ${run} · store ${resolution.store.name} · profiles ${profiles.join(" ")}`);
  return interruptible((signal) =>
    keepingFindings(resolve(run), (path) => conclude(path, resolution, profiles, flags, signal)),
  );
}

/** What an earlier exploration of the same trace found stays on record when this one finds nothing of it. */
async function keepingFindings(
  path: string,
  exploring: (path: string) => Promise<RunResults>,
): Promise<RunResults> {
  const { resultsFile } = runDirectoryAt(path);
  const text = existsSync(resultsFile) ? readFileSync(resultsFile) : undefined;
  const before = text && (await readResults(path).catch(() => undefined));
  const results = await exploring(path);
  if (!before || !saysMore(before, results)) return results;
  writeFileSync(resultsFile, text);
  await writeReports(path);
  say(
    `${relativePath(path)} keeps the results of the exploration that found something; those of this one are printed only`,
  );
  return results;
}

/** The first found something wrong, or a crash state that shows it, and the second did not. */
export function saysMore(before: RunResults, after: RunResults): boolean {
  const inStates = ({ explorations = [] }: RunResults) =>
    explorations.some(({ findings }) => findings.length > 0);
  const foundNothing = before.verdict === false && after.verdict !== false;
  return foundNothing || (inStates(before) && !inStates(after));
}

/** Everything after the traced run: its files are all there is. */
async function conclude(
  path: string,
  resolution: Resolution,
  profiles: readonly string[],
  flags: ExploreFlags,
  signal: AbortSignal,
  instrumentCheck?: InstrumentCheck,
): Promise<RunResults> {
  const line = progressLine();
  const results = await exploreTracedRun({
    directory: runDirectoryAt(path),
    resolution,
    profiles,
    seconds: flags.seconds,
    shrinkMs,
    runsDir: resolve(flags.out),
    command: "explore",
    replayOf: replayLine,
    signal,
    onProgress: (sentence) => line.show(sentence),
    ...(instrumentCheck ? { instrumentCheck } : {}),
  });
  line.clear();
  await writeReports(path);
  if (flags.json) process.stdout.write(`${JSON.stringify(jsonDocument(results), null, 2)}\n`);
  else {
    process.stdout.write(`${terminalSummary(results, summaryOptions(process.stdout, process.env))}\n`);
    process.stdout.write(coverageTable(results.explorations ?? []));
  }
  await announceOnGithub(results, process.env, say);
  return results;
}

async function resolved(flags: ExploreFlags): Promise<Resolution> {
  const store = await findStore(flags.store ?? "ramlog");
  const workloads = flags.workload ?? store.plantedBug?.workloads;
  return resolveScenario({
    ...(flags.store === undefined ? {} : { store: flags.store }),
    ...(workloads ? { workloads } : {}),
    faults: ["none"],
    ...(flags.durability === undefined ? {} : { durability: flags.durability }),
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
    ...(flags.clients === undefined ? {} : { clients: flags.clients }),
    seconds: flags.seconds,
  });
}

/** @throws ScenarioError for a profile that is not known. */
function chosenProfiles({ profile = defaultProfiles }: ExploreFlags): string[] {
  return [...new Set(profile.map((name) => profileByName(name).name))];
}

async function interruptible(play: (signal: AbortSignal) => Promise<RunResults>): Promise<RunResults> {
  const stop = new AbortController();
  const release = onInterruption(() => stop.abort());
  try {
    return await play(stop.signal);
  } finally {
    release();
  }
}

const plainEveryMs = 5000;

/** Rewritten in place on a terminal, a plain line every few seconds elsewhere; always on stderr. */
function progressLine() {
  const { stderr } = process;
  let plainAt = performance.now();
  return {
    show(text: string): void {
      if (stderr.isTTY) stderr.write(`\r\x1b[2K${text.slice(0, (stderr.columns ?? 100) - 1)}`);
      else if (performance.now() - plainAt >= plainEveryMs) {
        plainAt = performance.now();
        stderr.write(`${text}\n`);
      }
    },
    clear(): void {
      if (stderr.isTTY) stderr.write("\r\x1b[2K");
    },
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
