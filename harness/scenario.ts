/**
 * A scenario: what a person asks for. Resolved once, at the edge, into everything a run needs: every default filled in,
 * every name checked, every fault that is not available here left out aloud, and the seed expanded into a concrete
 * schedule of faults. The resolved scenario is plain JSON, saved as `scenario.json`; a replay reads it and derives nothing.
 */
import fc from "fast-check";
import type { Fault, FaultParameters, Machine } from "../faults/contract.ts";
import { faults as allFaults, findFaults } from "../faults/index.ts";
import { type Durability, ScenarioError, type Store } from "../stores/contract.ts";
import { findStore } from "../stores/index.ts";
import type { Workload } from "../workloads/contract.ts";
import { workloads as allWorkloads, findWorkloads } from "../workloads/index.ts";
import { detectMachine } from "./machine.ts";
import type { NotCovered } from "./results.ts";

/** What the command line or a caller asks for; everything is optional. */
export interface Scenario {
  readonly store?: string;
  readonly workloads?: readonly string[];
  /** Names of faults; `["none"]` for a fault-free run; absent for every fault available. */
  readonly faults?: readonly string[];
  /** `always`, `interval:<ms>` or `none`. */
  readonly durability?: string;
  readonly seed?: number;
  /** Load plus injection; checks and report end at most 5 s later. */
  readonly seconds?: number;
  readonly clients?: number;
  /** Stop after this many crash / recover cycles, whatever time is left. */
  readonly cycles?: number;
  readonly keepGoing?: boolean;
  /** A fault held in force for the whole run, with its parameters (the gate slows every sync this way). */
  readonly background?: readonly PlannedFault[];
}

/** A fault of the schedule, with everything that was drawn at random for it. */
export interface PlannedFault {
  readonly fault: string;
  /** ms after the cycle's load began. */
  readonly atMs: number;
  readonly parameters: FaultParameters;
}

/** One start of the store, load with passing faults, and the fault that ends it. */
export interface CyclePlan {
  readonly passing: readonly PlannedFault[];
  /** Absent when no crash fault is chosen: then the cycle ends by itself and the store lives on. */
  readonly ending?: PlannedFault;
  /** Done to the files after the ending, before the restart; only in an epoch's last cycle. */
  readonly atRest?: PlannedFault;
}

/** The life of one data directory: starts empty, lives through several cycles. */
export interface EpochPlan {
  readonly cycles: readonly CyclePlan[];
}

export interface ResolvedScenario {
  readonly formatVersion: 1;
  /** As it was asked for; `--store` finds it again. */
  readonly store: string;
  readonly durability: Durability;
  readonly workloads: readonly string[];
  readonly faults: readonly string[];
  readonly background: readonly PlannedFault[];
  readonly seed: number;
  readonly seconds: number;
  readonly clients: number;
  readonly cycles: number | null;
  readonly keepGoing: boolean;
  /** Upper bound of invocations per second over all clients: keeps a default run's history under 64 MB. */
  readonly operationsPerSecondMax: number;
  /** A client waits this long for a reply, in ms; then the outcome is `info`. */
  readonly operationDeadlineMs: number;
  /** A rule that has not fired this long after arming, in ms, makes the run unknown. */
  readonly faultDeadlineMs: number;
  readonly schedule: readonly EpochPlan[];
  readonly notCovered: readonly NotCovered[];
}

/** A resolved scenario with the leaves its names stand for. */
export interface Resolution {
  readonly scenario: ResolvedScenario;
  readonly store: Store;
  readonly workloads: readonly Workload[];
  readonly faults: readonly Fault[];
}

/** Faults that only make sense when asked for: they slow a run or need a promise most stores do not make. */
const onlyWhenAsked = new Set(["slow-sync"]);

/**
 * Fills in defaults and expands the seed.
 *
 * @throws ScenarioError for an unknown name, an impossible combination, or a fault asked for by name that is not
 * available here.
 */
export async function resolveScenario(asked: Scenario): Promise<Resolution> {
  const storeName = asked.store ?? "ramlog";
  const store = await findStore(storeName);
  const missing = await store.unavailable?.();
  if (missing) throw new ScenarioError(`store ${store.name} cannot run here: ${missing}`);
  const durability = parseDurability(asked.durability, store);
  const machine = detectMachine();
  const planted = revealing(store, asked);
  const chosenWorkloads = chooseWorkloads(asked.workloads ?? planted?.workloads, store);
  const { faults, notCovered } = chooseFaults(asked.faults ?? planted?.faults, store, durability, machine);
  const workloads = chosenWorkloads.workloads;
  const seed = asked.seed ?? randomSeed();
  const seconds = asked.seconds ?? 45;
  const clients = asked.clients ?? Math.max(8, workloads.length);
  if (clients < workloads.length) {
    throw new ScenarioError(
      `--clients ${clients} is fewer than the ${workloads.length} workloads (${workloads.map((w) => w.name).join(", ")}): each needs a client of its own; raise --clients or name fewer with --workload`,
    );
  }
  const scenario: ResolvedScenario = {
    formatVersion: 1,
    store: storeName,
    durability,
    workloads: workloads.map((workload) => workload.name),
    faults: faults.map((fault) => fault.name),
    background: asked.background ?? [],
    seed,
    seconds,
    clients,
    cycles: asked.cycles ?? null,
    keepGoing: asked.keepGoing ?? false,
    operationsPerSecondMax: 2500,
    operationDeadlineMs: 600,
    faultDeadlineMs: 6000,
    schedule: expandSchedule({ seed, seconds, clients, faults, store, durability, cycles: asked.cycles }),
    notCovered: [...notCovered, ...chosenWorkloads.notCovered, ...modelledNowhere(store, durability)],
  };
  return { scenario, store, workloads, faults: withBackground(faults, scenario) };
}

/** A planted bug is by default run with the workloads and faults that reveal it. */
function revealing(
  store: Store,
  asked: Scenario,
): { workloads: readonly string[]; faults?: readonly string[] } | undefined {
  const bug = store.plantedBug;
  if (!bug || asked.workloads || asked.faults) return undefined;
  return { workloads: bug.workloads, faults: bug.faults.length > 0 ? bug.faults : ["none"] };
}

/** Finds the leaves of a scenario that was saved, without deriving anything again. */
export async function resolveSaved(scenario: ResolvedScenario): Promise<Resolution> {
  return {
    scenario,
    store: await findStore(scenario.store),
    workloads: findWorkloads(scenario.workloads),
    faults: withBackground(findFaults(scenario.faults), scenario),
  };
}

/** Faults in force all along are the nemesis's too, though no schedule deals them. */
function withBackground(chosen: readonly Fault[], scenario: ResolvedScenario): Fault[] {
  return [...new Set([...chosen, ...findFaults(scenario.background.map((planned) => planned.fault))])];
}

/** A signed 32-bit seed from the clock and the process id. */
export function randomSeed(): number {
  return (Date.now() ^ (process.pid << 12)) | 0;
}

/** Parses `always`, `interval:<ms>` and `none`; without a text, the store's own default. */
export function parseDurability(text: string | undefined, store: Store): Durability {
  const durability = durabilityOf(text ?? defaultText(store));
  if (!durability) {
    throw new ScenarioError(
      `--durability "${text}" is not a mode: use always, interval:<ms> (for example interval:1000) or none`,
    );
  }
  if (!store.durabilities.includes(durability.mode)) {
    throw new ScenarioError(
      `store ${store.name} has no durability mode "${durability.mode}": it offers ${store.durabilities.join(", ")}`,
    );
  }
  return durability;
}

/** The mode as it is written on the command line. */
export function durabilityText(durability: Durability): string {
  return durability.mode === "interval" ? `interval:${durability.intervalMs}` : durability.mode;
}

function defaultText(store: Store): string {
  const mode = store.durabilities[0] ?? "always";
  return mode === "interval" ? "interval:1000" : mode;
}

function durabilityOf(text: string): Durability | undefined {
  if (text === "always" || text === "none") return { mode: text };
  const interval = /^interval:(\d{1,7})$/.exec(text);
  const intervalMs = Number(interval?.[1]);
  return interval && intervalMs > 0 ? { mode: "interval", intervalMs } : undefined;
}

function chooseWorkloads(names: readonly string[] | undefined, store: Store) {
  const asked = names ? findWorkloads(names) : allWorkloads;
  const missingOf = (workload: Workload) =>
    workload.needs.filter((need) => !store.capabilities.includes(need));
  const workloads = asked.filter((workload) => missingOf(workload).length === 0);
  const left = asked.filter((workload) => missingOf(workload).length > 0);
  if (names && left.length > 0) {
    throw new ScenarioError(
      `workload ${left[0]!.name} needs ${missingOf(left[0]!).join(", ")}, which store ${store.name} does not offer`,
    );
  }
  if (workloads.length === 0) throw new ScenarioError(`store ${store.name} can run none of the workloads`);
  const notCovered = left.map((workload) => ({
    what: `workload ${workload.name}`,
    why: `store ${store.name} does not offer ${missingOf(workload).join(", ")}`,
  }));
  return { workloads, notCovered };
}

function chooseFaults(
  names: readonly string[] | undefined,
  store: Store,
  durability: Durability,
  machine: Machine,
) {
  if (names?.length === 1 && names[0] === "none") return { faults: [], notCovered: [noFaults] };
  const notCovered: NotCovered[] = [];
  if (names) {
    const faults = findFaults(names);
    for (const fault of faults) {
      const why = fault.unavailable(store, machine);
      if (why) throw new ScenarioError(`fault ${fault.name} is not available: ${why}`);
    }
    return { faults, notCovered };
  }
  const faults = allFaults.filter((fault) => {
    const missing = fault.unavailable(store, machine);
    const left = onlyWhenAsked.has(fault.name)
      ? "only when asked for by name"
      : againstPromise(fault, store, durability);
    if (missing) notCovered.push(missingHere(fault, missing));
    else if (left) notCovered.push({ what: `fault ${fault.name}`, why: left });
    return missing === undefined && left === undefined;
  });
  if (!machine.compiler)
    notCovered.push(
      missingHere(
        undefined,
        "kill at the n-th write and the covering-sync check need a C compiler; install gcc, or set CC",
      ),
    );
  return { faults, notCovered };
}

/** What this machine lacks carries a remedy, and a pass then names it: "PASS, without …". */
function missingHere(fault: Fault | undefined, sentence: string): NotCovered {
  const [why, ...remedy] = sentence.split("; ");
  const what = fault ? `fault ${fault.name}` : "the interposer's proof";
  return { what, why: why!, remedy: remedy.join("; ") || "acked doctor" };
}

const noFaults: NotCovered = { what: "every fault", why: "--fault none was asked for" };

/** A default run does not judge a store by what it never promised; asking for the fault by name does. */
function againstPromise(fault: Fault, store: Store, durability: Durability): string | undefined {
  if (fault.when === "at-rest" && !store.promise(durability).detectsDamageAtRest) {
    return `store ${store.name} promises nothing about damage at rest; ask for it by name to see what happens`;
  }
  if (fault.mechanism === "interposer" && durability.mode === "none" && fault.name !== "kill") {
    return "mode none writes no log, so the fault would have nothing to hit";
  }
  return undefined;
}

/** What no run of this version covers; said in every report. */
function modelledNowhere(store: Store, durability: Durability): NotCovered[] {
  const list: NotCovered[] = [
    {
      what: "power loss",
      why: `SIGKILL keeps the page cache; losing unsynced pages is not modelled by this version${store.promise(durability).syncsBeforeAcknowledging ? ", except that an acknowledgement without a sync is found" : ""}`,
    },
    {
      what: "fsyncgate semantics",
      why: "a failed sync here leaves the data dirty (fail-keep), the weakest form",
    },
    { what: "clusters", why: "one node is run" },
  ];
  const { processCrash, gracefulStop } = store.promise(durability);
  if (processCrash.survives !== gracefulStop.survives) {
    list.push({
      what: "the stronger of two promises",
      why: `after a crash ${processCrash.survives} survives, after a graceful stop ${gracefulStop.survives}; both are judged by the weaker when graceful stops are among the faults`,
      remedy: "--fault without stop, or stop alone with a store module that declares that promise for both",
    });
  }
  return list;
}

interface ScheduleOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly clients: number;
  readonly faults: readonly Fault[];
  readonly store: Store;
  readonly durability: Durability;
  readonly cycles: number | undefined;
}

/** Passing faults of one cycle; they overlap. */
const passingPerCycle = 6;

/** Cycles per epoch: few at first, so that an easy bug is found early, then more. */
const cyclesOfEpoch = (epoch: number): number => (epoch === 0 ? 3 : 5);

/**
 * Expands the seed. Faults are dealt from shuffled decks, so that each chosen fault comes early and equally often; more
 * cycles are planned than can be run, and those not reached are reported as such.
 */
export function expandSchedule(options: ScheduleOptions): EpochPlan[] {
  const deckOf = (when: Fault["when"]) => options.faults.filter((fault) => fault.when === when);
  const endings = new Deck(deckOf("crash"), options, 1);
  const passing = new Deck(deckOf("passing"), options, 2);
  const atRest = new Deck(deckOf("at-rest"), options, 3);
  const cyclesMax = Math.min(
    options.cycles ?? Number.POSITIVE_INFINITY,
    Math.ceil(options.seconds * 2.5) + 4,
  );
  const epochs: EpochPlan[] = [];
  for (let planned = 0, epoch = 0; planned < cyclesMax; epoch++) {
    const count = Math.min(cyclesOfEpoch(epoch), cyclesMax - planned);
    const cycles = Array.from({ length: count }, (_, cycle) => {
      const ending = endings.deal(160, 320);
      const last = cycle === count - 1;
      const damage = last ? atRest.deal(0, 0) : undefined;
      return {
        passing: passing.dealMany(passingPerCycle, 20, 260).filter((plan) => !hides(plan, ending)),
        ...(ending ? { ending } : {}),
        ...(damage ? { atRest: damage } : {}),
      };
    });
    planned += count;
    epochs.push({ cycles });
  }
  return epochs;
}

/**
 * The n-th write or sync comes hundreds of times a second in mode always, once an interval in mode interval, and with
 * snapshots only in mode none: there a fault at the n-th would not fire in time.
 */
function fitToMode(parameters: FaultParameters, fault: Fault, durability: Durability): FaultParameters {
  if (durability.mode === "always") return parameters;
  if (durability.mode === "none" && "at" in parameters) return { ...parameters, at: "time" };
  const ofSync = parameters.at === "sync" || fault.name === "sync-error";
  return ofSync && "nth" in parameters ? { ...parameters, nth: 1 } : parameters;
}

/**
 * libuv completes a short write itself, and when that second call fails it returns the short count and forgets the error:
 * a program on Node would be blamed for not stopping at an error it was never told of.
 */
function hides(passing: PlannedFault, ending: PlannedFault | undefined): boolean {
  return passing.fault === "short-write" && ending?.fault === "write-error";
}

/** Deals faults in shuffled rounds, each with parameters drawn from its own arbitrary. */
class Deck {
  #left: Fault[] = [];
  #draws = 0;
  readonly #faults: readonly Fault[];
  readonly #options: ScheduleOptions;
  readonly #salt: number;

  constructor(faults: readonly Fault[], options: ScheduleOptions, salt: number) {
    this.#faults = faults;
    this.#options = options;
    this.#salt = salt;
  }

  deal(fromMs: number, toMs: number): PlannedFault | undefined {
    if (this.#faults.length === 0) return undefined;
    if (this.#left.length === 0) {
      this.#left = this.#sample(fc.shuffledSubarray([...this.#faults], { minLength: this.#faults.length }));
    }
    const fault = this.#left.pop()!;
    const parameters = fitToMode(
      this.#sample(fault.parameters(this.#options.store)),
      fault,
      this.#options.durability,
    );
    return { fault: fault.name, atMs: this.#sample(fc.integer({ min: fromMs, max: toMs })), parameters };
  }

  dealMany(count: number, fromMs: number, toMs: number): PlannedFault[] {
    const dealt = Array.from({ length: count }, () => this.deal(fromMs, toMs));
    return dealt.filter((plan) => plan !== undefined).sort((a, b) => a.atMs - b.atMs);
  }

  #sample<T>(arbitrary: fc.Arbitrary<T>): T {
    const seed = (Math.imul(this.#options.seed ^ (this.#salt << 24), 2654435761) + this.#draws++) | 0;
    return fc.sample(arbitrary, { seed, numRuns: 1 })[0]!;
  }
}
