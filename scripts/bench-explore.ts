/**
 * `acked bench explore`: how fast crash states are explored. Each store is traced under load once, its crash states are
 * explored, and the different states that were recovered, recovered a second time and judged are counted per second,
 * with the time after which every prefix of every crash point had been explored. Threads are started before: loading their
 * programs is not in the time, reading the trace and compiling what gets hot is.
 *
 * The figures hold for the machine they are printed with. The calibration, a fixed loop on one thread in the same run,
 * is there to compare machines by, roughly.
 */
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { calibrate } from "../harness/explore/calibration.ts";
import { explore, threadsFor } from "../harness/explore/explore.ts";
import { tracedRun } from "../harness/explore/traced/traced-run.ts";
import { describeMachine } from "../harness/machine.ts";
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
  /** Until every prefix of every crash point had been explored; null when the time did not reach so far. */
  readonly prefixesSeconds: number | null;
  readonly verdict: ExplorationResults["verdict"];
}

const defaultStores = ["ramlog", "redis"];
/** ms of load at most. */
const loadMs = 12_000;
const calibrationMs = 500;

/** Adds the subcommand to `acked bench`. */
export function registerExplore(bench: Command): void {
  bench
    .command("explore")
    .description("crash states explored per second: recovered twice and judged")
    .option("--store <names>", `comma list (default: ${defaultStores.join(",")}, as far as installed)`, names)
    .option("--profile <name>", "the file system's profile", "ext4-ordered")
    .option("--operations <n>", "of the traced run, at least", wholeNumber(100, 100_000), 1000)
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
  try {
    tell("tracing a run under load");
    await tracedRun({ resolution, directory, runsDir, operations: flags.operations, loadMs, signal });
    tell("exploring its crash states");
    explored = await explore({
      runDir: directory.path,
      store,
      profile: flags.profile,
      seed: runSeed,
      seconds: flags.seconds,
      runsDir,
      threads,
      signal,
    });
  } finally {
    await threads?.close();
  }
  if (explored.verdict === false) tell(`found something: see ${directory.path}`);
  else rmSync(directory.path, { recursive: true, force: true });
  return measuredOf(name, scenario.durability.mode, explored);
}

function measuredOf(store: string, durability: string, explored: ExplorationResults): Measured {
  const { scenes, elapsedMs, run, profile, verdict } = explored;
  const of = (count: (scene: (typeof scenes)[number]) => number) =>
    scenes.reduce((sum, scene) => sum + count(scene), 0);
  // A second recovery makes no further state: what it is owed is in the time of the first.
  const states = of((scene) => (scene.name === "recovered twice" ? 0 : scene.recovered));
  const seconds = elapsedMs / 1000;
  const first = scenes.find(({ name }) => name === "power loss");
  return {
    store,
    durability,
    profile,
    operations: run.operations ?? 0,
    crashPoints: first?.crashPoints ?? 0,
    states,
    judgements: of((scene) => scene.judged),
    seconds,
    statesPerSecond: states / seconds,
    prefixesSeconds: run.prefixesMs === undefined ? null : run.prefixesMs / 1000,
    verdict,
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
    return [
      `${one.store} (${one.durability}, ${one.profile})`,
      `  ${Math.round(one.statesPerSecond)} different states per second, recovered twice and judged: ${one.states} in ${one.seconds.toFixed(1)} s, ${one.judgements} judgements`,
      `  every prefix of ${one.crashPoints} crash points of ${one.operations} operations: ${prefixes}`,
    ].join("\n");
  });
  return `${[...lines, ...reasons, `calibration: ${Math.round(roundsPerSecond)} rounds per second on one thread`, `seed ${runSeed} · ${machine}`].join("\n")}\n`;
}
