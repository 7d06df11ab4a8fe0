/**
 * Makes the plan of a live finding smaller: the epoch it was found in alone, the workload that showed it alone, then no
 * fault at all, or as few as still show it (fast-check's shrinking decides what to leave out), then fewer clients. Each
 * attempt is a run.
 *
 * A live run is not deterministic, so an attempt that happens not to show the finding is taken for one that cannot; only the
 * first one, and the one without any fault, are made up to three times. What is kept has shown the finding, and may not be
 * the smallest plan that would. Parameters and moments of faults stay as they are; explored and swept parts of a run are left out.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Finding } from "./checkers/contract.ts";
import { runCluster } from "./clusters/cluster-run.ts";
import type { RoundPlan } from "./clusters/storm.ts";
import type { RunResults } from "./results.ts";
import { run } from "./run.ts";
import { type RunDirectory, runDirectoryAt } from "./run-directory.ts";
import type { CyclePlan, PlannedFault, ResolvedScenario } from "./scenario.ts";
import { resolveSaved } from "./scenario.ts";

export interface SmallerPlanOptions {
  readonly scenario: ResolvedScenario;
  /** What must be shown again: the same kind, by the same workload. */
  readonly finding: Finding;
  /** How many epochs the recorded run had: the last one is taken where the finding names none. */
  readonly epochs: number;
  /** The smallest run is kept in `smaller/` below it. */
  readonly directory: RunDirectory;
  /** Where active faults and children are written down. */
  readonly runsDir: string;
  /** The line that replays the run in this directory. */
  readonly replayOf: (path: string) => string;
  readonly budgetMs: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (sentence: string) => void;
}

export interface SmallerPlan {
  readonly directory: RunDirectory;
  readonly results: RunResults;
  readonly scenario: ResolvedScenario;
  /** Faults planned in the epoch that the finding was made in, and what was left of them. */
  readonly faultsBefore: number;
  readonly faults: number;
  readonly trials: number;
  readonly elapsedMs: number;
  /** False when the time was over before nothing smaller was left to try. */
  readonly minimal: boolean;
}

/** One fault of a cycle plan, by its place. */
interface PlacedFault {
  readonly cycle: number;
  readonly slot: keyof CyclePlan;
  readonly fault: PlannedFault;
}

/** Runs that a plan gets of which most depends: one workload alone, and no fault at all. */
const triesThatDecide = 3;

/** `undefined` when no run that was tried showed the finding again. */
export async function makePlanSmaller(options: SmallerPlanOptions): Promise<SmallerPlan | undefined> {
  const { scenario, finding } = options;
  const epoch = epochOf(finding, options.epochs);
  const placed = scenario.cluster
    ? stepsOf(scenario.cluster.rounds[epoch])
    : faultsOf(scenario.schedule[epoch]?.cycles ?? []);
  const trials = new PlanTrials(options);
  try {
    const alone = finding.workload === undefined ? scenario.workloads : [finding.workload];
    let workloads: readonly string[] | undefined;
    for (const names of alone.length < scenario.workloads.length ? [alone, scenario.workloads] : [alone]) {
      if (!(await trials.shows(placed, names, scenario.clients, triesThatDecide))) continue;
      workloads = names;
      break;
    }
    if (workloads === undefined) return undefined;
    const shown = workloads;
    const needsFaults =
      placed.length > 0 && !(await trials.shows([], shown, scenario.clients, triesThatDecide));
    const gone = fc.asyncProperty(
      fc.subarray([...placed]),
      async (left) => !(await trials.shows(left, shown, scenario.clients)),
    );
    // One run, of everything, which has shown it: all the rest is shrinking.
    if (needsFaults) await fc.check(gone, { examples: [[[...placed]]], numRuns: 1, seed: 1 });
    const least = shown.length * (scenario.cluster?.members ?? 1);
    for (const clients of [least, 2 * least].filter((count) => count < scenario.clients)) {
      if (await trials.shows(trials.best!.placed, shown, clients)) break;
    }
    return trials.result(placed.length);
  } finally {
    trials.close();
  }
}

/** Keys carry their epoch (`e3/k/7`). */
function epochOf({ key, operations }: Finding, epochs: number): number {
  const named = /^e(\d+)\//.exec(key ?? operations[0]?.key ?? "");
  return named ? Number(named[1]) : Math.max(0, epochs - 1);
}

const slots = ["passing", "ending", "powerLoss", "atRest", "recovery"] as const;

function faultsOf(cycles: readonly CyclePlan[]): PlacedFault[] {
  return cycles.flatMap((plan, cycle) =>
    slots.flatMap((slot) => [plan[slot] ?? []].flat().map((fault) => ({ cycle, slot, fault }))),
  );
}

/** The faults of a cluster's storm. */
function stepsOf(round: RoundPlan | undefined): PlacedFault[] {
  return (round?.steps ?? []).map((fault) => ({ cycle: 0, slot: "passing", fault }));
}

/** Cycles in which nothing is left are left out; one cycle there is always. */
function cyclesOf(placed: readonly PlacedFault[]): CyclePlan[] {
  const numbers = [...new Set(placed.map(({ cycle }) => cycle))].sort((a, b) => a - b);
  const cycles = numbers.map((number): CyclePlan => {
    const own = placed.filter(({ cycle }) => cycle === number);
    const passing = own.filter(({ slot }) => slot === "passing").map(({ fault }) => fault);
    const others = own.filter(({ slot }) => slot !== "passing").map(({ slot, fault }) => [slot, fault]);
    return { passing, ...(Object.fromEntries(others) as Omit<CyclePlan, "passing">) };
  });
  return cycles.length > 0 ? cycles : [{ passing: [] }];
}

class PlanTrials {
  readonly #options: SmallerPlanOptions;
  readonly #startedAt = performance.now();
  readonly #known = new Map<string, boolean>();
  readonly #trial: string;
  readonly #kept: string;
  #count = 0;
  #interrupted = false;
  best: { placed: readonly PlacedFault[]; scenario: ResolvedScenario; results: RunResults } | undefined;

  constructor(options: SmallerPlanOptions) {
    this.#options = options;
    this.#kept = join(options.directory.path, "smaller");
    this.#trial = `${this.#kept}.trial`;
    rmSync(this.#kept, { recursive: true, force: true });
  }

  /** False also when the time is over. What the runs of a plan have shown is not asked again. */
  async shows(
    placed: readonly PlacedFault[],
    workloads: readonly string[],
    clients: number,
    tries = 1,
  ): Promise<boolean> {
    const scenario = this.#scenario(placed, workloads, clients);
    const key = JSON.stringify(scenario);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    let shown = false;
    for (let run = 0; run < tries && !shown && !this.#interrupted; run++) {
      shown = await this.#tried(scenario, placed, clients);
    }
    this.#known.set(key, shown);
    return shown;
  }

  async #tried(
    scenario: ResolvedScenario,
    placed: readonly PlacedFault[],
    clients: number,
  ): Promise<boolean> {
    const { signal, budgetMs, finding, onProgress } = this.#options;
    if (signal.aborted || performance.now() - this.#startedAt >= budgetMs) {
      this.#interrupted = true;
      return false;
    }
    this.#count++;
    onProgress?.(`making ${finding.kind} smaller · trying ${placed.length} faults, ${clients} clients`);
    const results = await this.#run(scenario);
    const shown = results.findings.some(
      ({ kind, workload }) => kind === finding.kind && workload === finding.workload,
    );
    if (!shown) return false;
    rmSync(this.#kept, { recursive: true, force: true });
    renameSync(this.#trial, this.#kept);
    this.best = { placed, scenario, results };
    return true;
  }

  result(faultsBefore: number): SmallerPlan {
    const { placed, scenario, results } = this.best!;
    return {
      directory: runDirectoryAt(this.#kept),
      results,
      scenario,
      faultsBefore,
      faults: placed.length,
      trials: this.#count,
      elapsedMs: performance.now() - this.#startedAt,
      minimal: !this.#interrupted,
    };
  }

  close(): void {
    rmSync(this.#trial, { recursive: true, force: true });
  }

  async #run(scenario: ResolvedScenario): Promise<RunResults> {
    const { runsDir, signal, replayOf } = this.#options;
    const directory = runDirectoryAt(this.#trial);
    rmSync(directory.path, { recursive: true, force: true });
    mkdirSync(directory.dataDir, { recursive: true });
    return (scenario.cluster ? runCluster : run)(await resolveSaved(scenario), {
      ...{ directory, runsDir, signal },
      command: "replay",
      replay: replayOf(this.#kept),
      onProgress: () => {},
    });
  }

  #scenario(placed: readonly PlacedFault[], workloads: readonly string[], clients: number): ResolvedScenario {
    const { scenario } = this.#options;
    const faults = [...new Set(placed.map(({ fault }) => fault.fault))];
    const { cluster } = scenario;
    if (cluster) {
      const storm = cluster.rounds[epochOf(this.#options.finding, this.#options.epochs)];
      const rounds = storm ? [{ ...storm, steps: placed.map(({ fault }) => fault) }] : [];
      return { ...scenario, workloads, clients, faults, cycles: 1, cluster: { ...cluster, rounds } };
    }
    const cycles = cyclesOf(placed);
    return {
      ...scenario,
      workloads,
      clients,
      faults,
      cycles: cycles.length,
      exploreSeconds: 0,
      sweepSeconds: 0,
      schedule: [{ cycles }],
    };
  }
}
