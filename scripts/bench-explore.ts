/**
 * `acked bench explore`: how fast crash states are explored. Each store is traced under load once, its crash states are
 * explored, and the different states that were recovered, recovered a second time and judged are counted per second,
 * with the time after which every prefix of every crash point had been explored. Threads are started before: loading their
 * programs is not in the time, reading the trace and compiling what gets hot is.
 *
 * Compiling goes on for most of a minute where states are recovered in process. The rate without it, which explorations
 * of minutes come to, is measured as benchmarks do: the same threads explore the run again until they are warm, then some
 * times more, each from its first state, and the median of those counts (of what they explored before threads keep compiled
 * code, and which bytes decode to what: stores/ramlog/remembering.ts). Both figures are printed, and
 * what is promised with whether the second one (for a store that is recovered as a process: the first) reached it.
 *
 * The figures hold for the machine they are printed with. The calibration, a fixed loop on one thread in the same run,
 * is there to compare machines by, roughly.
 */
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { calibrate } from "../harness/explore/calibration.ts";
import { sceneNames } from "../harness/explore/coverage.ts";
import { explore, threadsFor } from "../harness/explore/explore.ts";
import { tracedRun } from "../harness/explore/traced/traced-run.ts";
import { describeMachine } from "../harness/machine.ts";
import { median } from "../harness/measure/statistics.ts";
import type { ExplorationResults } from "../harness/results.ts";
import { createRunDirectory, writeJson } from "../harness/run-directory.ts";
import { randomSeed, resolveScenario } from "../harness/scenario.ts";
import { healLeftovers } from "../harness/supervisor/active.ts";
import { ScenarioError } from "../stores/contract.ts";
import { findStore } from "../stores/index.ts";
import { onInterruption } from "./interruption.ts";
import { names, seed, wholeNumber } from "./options.ts";

interface Flags {
  readonly store?: string[];
  readonly profile: string;
  readonly operations: number;
  readonly seconds: number;
  readonly seed?: number;
  readonly out: string;
  readonly json?: true;
}

/** What one store's exploration cost. */
interface Measured {
  readonly store: string;
  readonly durability: string;
  readonly profile: string;
  readonly operations: number;
  readonly crashPoints: number;
  /** Different states, recovered, recovered again and judged. */
  readonly states: number;
  readonly judgements: number;
  readonly seconds: number;
  readonly statesPerSecond: number;
  /** The same of each exploration by warm threads, in the order in which they were made; empty where states take a process. */
  readonly warmStatesPerSecond: readonly number[];
  /** What is promised, where something is: states per second. */
  readonly promised: { readonly least: number; readonly figure: number; readonly reached: boolean } | null;
  /** Until every prefix of every crash point had been explored; null when the time did not reach so far. */
  readonly prefixesSeconds: number | null;
  readonly verdict: ExplorationResults["verdict"];
}

const defaultStores = ["ramlog", "redis"];
/** ms of load at most. */
const loadMs = 12_000;
const calibrationMs = 500;
/** Different states a second on two cores, by store. */
const promisedLeast: Readonly<Record<string, number>> = { ramlog: 2000, redis: 25 };
/** Explorations by warm threads. */
const warmRounds = 3;
/** Of the time of the first exploration: how long threads explore until they are warm, it included; and one round. */
const warmAfter = 4 / 3;
const roundPart = 1 / 3;

/** Adds the subcommand to `acked bench`. */
export function registerExplore(bench: Command): void {
  bench
    .command("explore")
    .description("crash states explored per second: recovered twice and judged")
    .option("--store <names>", `comma list (default: ${defaultStores.join(",")}, as far as installed)`, names)
    .option("--profile <name>", "the file system's profile", "ext4-ordered")
    .option("--operations <n>", "of the traced run, at least", wholeNumber(100, 100_000), 3000)
    .option("--seconds <n>", "of exploring, per store", wholeNumber(1, 3600), 45)
    .option("--seed <n>", "signed 32-bit (default: random, printed)", seed)
    .option("--out <dir>", "directory of all runs", "runs")
    .option("--json", "one JSON document on standard output, and nothing else there")
    // Options that bench has as well are given to it when they stand after its name.
    .action((_: unknown, command: Command) => benchExplore(command.optsWithGlobals<Flags>()));
}

async function benchExplore(flags: Flags): Promise<void> {
  const interrupt = new AbortController();
  const done = onInterruption(() => interrupt.abort());
  const runSeed = flags.seed ?? randomSeed();
  try {
    for (const healed of await healLeftovers(resolve(flags.out))) process.stderr.write(`${healed}\n`);
    const roundsPerSecond = calibrate(calibrationMs);
    const measured: Measured[] = [];
    const reasons: string[] = [];
    for (const name of flags.store ?? defaultStores) {
      const missing = await (await findStore(name)).unavailable?.();
      if (missing && flags.store) throw new ScenarioError(`${name} cannot be explored here: ${missing}`);
      if (missing) reasons.push(`not measured: ${name}, because ${missing}`);
      else if (!interrupt.signal.aborted)
        measured.push(await measure(name, flags, runSeed, interrupt.signal));
    }
    const verdict = measured.some((one) => one.verdict === false)
      ? false
      : interrupt.signal.aborted
        ? ("unknown" as const)
        : true;
    const exitCode = verdict === true ? 0 : verdict === false ? 1 : 2;
    const machine = describeMachine(flags.out);
    const head = { formatVersion: 1, command: "bench explore", verdict, exitCode, reasons, findings: [] };
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ ...head, seed: runSeed, stores: measured, calibration: { roundsPerSecond }, machine })}\n`
        : table(
            measured,
            reasons,
            runSeed,
            roundsPerSecond,
            `${machine.cores} × ${machine.cpu}, Node ${machine.node}`,
          ),
    );
    process.exitCode = exitCode;
  } finally {
    done();
  }
}

/** Traces and explores one store; the run directory goes when nothing was found. */
async function measure(name: string, flags: Flags, runSeed: number, signal: AbortSignal): Promise<Measured> {
  const tell = (text: string) => process.stderr.write(`  ${name}: ${text}\n`);
  const resolution = await resolveScenario({
    store: name,
    faults: ["none"],
    seed: runSeed,
    seconds: flags.seconds,
  });
  const { store, scenario } = resolution;
  const directory = createRunDirectory(flags.out, `bench-explore-${store.name}`, runSeed, new Date());
  writeJson(directory.scenarioFile, scenario);
  const runsDir = resolve(flags.out);
  // They load their programs while there is nothing to explore yet, as those of a run do while it is checked.
  const threads = threadsFor(store);
  let explored: ExplorationResults;
  const warm: ExplorationResults[] = [];
  const exploreFor = (seconds: number) =>
    explore({
      ...{ runDir: directory.path, store, profile: flags.profile, seed: runSeed },
      ...{ seconds, runsDir, threads, signal },
    });
  try {
    tell("tracing a run under load");
    await tracedRun({ resolution, directory, runsDir, operations: flags.operations, loadMs, signal });
    tell("exploring its crash states");
    explored = await exploreFor(flags.seconds);
    // What says nothing of the store says nothing of the speed.
    if (threads && statesOf(explored) > 0) {
      let warmMs = flags.seconds * 1000 * warmAfter - explored.elapsedMs;
      if (warmMs > 0) tell("exploring them again, until the threads are warm");
      while (warmMs > 0 && !signal.aborted) warmMs -= (await exploreFor(warmMs / 1000)).elapsedMs;
      tell(`exploring them ${warmRounds} times more`);
      while (warm.length < warmRounds && !signal.aborted) {
        warm.push(await exploreFor(flags.seconds * roundPart));
      }
    }
  } finally {
    await threads?.close();
  }
  const found = [explored, ...warm].some(({ verdict }) => verdict === false);
  if (found) tell(`found something: see ${directory.path}`);
  else rmSync(directory.path, { recursive: true, force: true });
  return measuredOf(name, scenario.durability.mode, explored, warm);
}

/** Different states that were recovered, recovered again and judged: a second recovery makes no further state. */
function statesOf({ scenes }: ExplorationResults): number {
  return scenes.reduce((sum, scene) => sum + (scene.name === sceneNames.twice ? 0 : scene.recovered), 0);
}

function measuredOf(
  store: string,
  durability: string,
  explored: ExplorationResults,
  warm: readonly ExplorationResults[],
): Measured {
  const { scenes, elapsedMs, run, profile, verdict } = explored;
  const states = statesOf(explored);
  const seconds = elapsedMs / 1000;
  const rates = warm.map((one) => (statesOf(one) / one.elapsedMs) * 1000);
  const figure = rates.length > 0 ? median(rates) : states / seconds;
  const least = promisedLeast[store];
  const first = scenes.find(({ name }) => name === sceneNames.powerLoss);
  return {
    store,
    durability,
    profile,
    operations: run.operations ?? 0,
    crashPoints: first?.crashPoints ?? 0,
    states,
    judgements: scenes.reduce((sum, scene) => sum + scene.judged, 0),
    seconds,
    statesPerSecond: states / seconds,
    warmStatesPerSecond: rates,
    promised: least === undefined ? null : { least, figure, reached: figure >= least },
    prefixesSeconds: run.prefixesMs === undefined ? null : run.prefixesMs / 1000,
    verdict: [explored, ...warm].some((one) => one.verdict === false) ? false : verdict,
  };
}

function table(
  measured: readonly Measured[],
  reasons: readonly string[],
  runSeed: number,
  roundsPerSecond: number,
  machine: string,
): string {
  const lines = measured.map((one) => {
    const prefixes =
      one.prefixesSeconds === null ? "not within the time" : `${one.prefixesSeconds.toFixed(1)} s`;
    const rates = one.warmStatesPerSecond.map((rate) => Math.round(rate));
    const { promised } = one;
    return [
      `${one.store} (${one.durability}, ${one.profile})`,
      `  ${Math.round(one.statesPerSecond)} different states per second, recovered twice and judged: ${one.states} in ${one.seconds.toFixed(1)} s, ${one.judgements} judgements`,
      `  every prefix of ${one.crashPoints} crash points of ${one.operations} operations: ${prefixes}`,
      ...(rates.length > 0 ? [`  by warm threads: ${rates.join(", ")} different states per second`] : []),
      ...(promised
        ? [
            `  ${promised.reached ? "reached    " : "not reached"}  at least ${promised.least} states per second: ${Math.round(promised.figure)}`,
          ]
        : []),
    ].join("\n");
  });
  return `${[...lines, ...reasons, `calibration: ${Math.round(roundsPerSecond)} rounds per second on one thread`, `seed ${runSeed} · ${machine}`].join("\n")}\n`;
}
