/**
 * A scenario: what a person asks for. Resolved once, at the edge, into everything a run needs: every default filled in,
 * every name checked, every fault that is not available here left out aloud, and the seed expanded into a concrete
 * schedule of faults. The resolved scenario is plain JSON, saved as `scenario.json`; a replay reads it and derives nothing.
 */
import type { Fault, FaultParameters, Machine } from "../faults/contract.ts";
import { faults as allFaults, brokerUnavailable, findFaults, whyNotInterposed } from "../faults/index.ts";
import { type Durability, ScenarioError, type Store } from "../stores/contract.ts";
import { findStore } from "../stores/index.ts";
import type { Workload } from "../workloads/contract.ts";
import { workloads as allWorkloads, findWorkloads } from "../workloads/index.ts";
import { networkFaultNames, resolveCluster, stormFaultsOf } from "./clusters/cluster-scenario.ts";
import type { ClusterPlan, StormFaults } from "./clusters/storm.ts";
import { detectMachine } from "./machine.ts";
import type { NotCovered } from "./results.ts";
import { expandSchedule } from "./schedule.ts";

/** What the command line or a caller asks for; everything is optional. */
export interface Scenario {
  readonly store?: string;
  readonly workloads?: readonly string[];
  /** Names of faults; `["none"]` for a fault-free run; absent for every fault available. */
  readonly faults?: readonly string[];
  /** `always`, `interval:<ms>` or `none`. */
  readonly durability?: string;
  readonly seed?: number;
  /**
   * In all. Where neither faults nor a number of cycles are asked for, a part of it goes to exploring crash states and to
   * sweeping (`shares`); the rest is load plus injection. Checks and report end at most 5 s later.
   */
  readonly seconds?: number;
  readonly clients?: number;
  /** Members of a store that runs as a cluster. */
  readonly nodes?: number;
  /** `proxies` (default) or `namespaces`: the network between the members of a cluster. */
  readonly network?: string;
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
  /** What the ending left unsynced is lost too, before the restart. */
  readonly powerLoss?: PlannedFault;
  /** Done to the files after the ending, before the restart; only in an epoch's last cycle. */
  readonly atRest?: PlannedFault;
  /** In force while the store starts again; only in an epoch's last cycle. */
  readonly recovery?: PlannedFault;
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
  /** Of load and live faults. */
  readonly seconds: number;
  /** After those: seconds of exploring crash states and of sweeping; 0 for none. Absent in older files: none. */
  readonly exploreSeconds?: number;
  readonly sweepSeconds?: number;
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
  /** Of a store that runs as several members: in place of the schedule. */
  readonly cluster?: ClusterPlan;
  /** A cluster that is partitioned afterwards, in a run of its own. */
  readonly pair?: ResolvedScenario;
  readonly notCovered: readonly NotCovered[];
}

/** A resolved scenario with the leaves its names stand for. */
export interface Resolution {
  readonly scenario: ResolvedScenario;
  readonly store: Store;
  readonly workloads: readonly Workload[];
  readonly faults: readonly Fault[];
  /** Of a store that runs as a cluster: the faults of its storms. */
  readonly storm?: StormFaults;
}

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
  const noBroker = store.interposable === false ? await brokerUnavailable() : undefined;
  const machine = { ...detectMachine(), ...(noBroker ? { noBroker } : {}) };
  if (store.clustered) return resolveClusterScenario(asked, store, durability, machine);
  for (const flag of ["nodes", "network"] as const) {
    if (asked[flag] === undefined) continue;
    throw new ScenarioError(
      `--${flag} is for stores that run as a cluster, and ${store.name} runs as one node: leave it out, or choose another --store (acked list)`,
    );
  }
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
  const whole = asked.faults === undefined && asked.cycles === undefined && !planted;
  const pair = await pairOf(asked, seconds, seed, whole);
  const rest = seconds - (pair.scenario ? pairSeconds : 0);
  const { live, explore, sweep, left } = shareOut(rest, whole, store, durability, machine);
  const scenario: ResolvedScenario = {
    formatVersion: 1,
    store: storeName,
    durability,
    workloads: workloads.map((workload) => workload.name),
    faults: faults.map((fault) => fault.name),
    background: asked.background ?? [],
    seed,
    seconds: live,
    exploreSeconds: explore,
    sweepSeconds: sweep,
    clients,
    cycles: asked.cycles ?? null,
    keepGoing: asked.keepGoing ?? false,
    operationsPerSecondMax: 2500,
    operationDeadlineMs: 600,
    faultDeadlineMs: 6000,
    schedule: expandSchedule({
      ...{ seed, seconds: live, clients, faults, store, durability },
      cycles: asked.cycles,
    }),
    ...(pair.scenario ? { pair: pair.scenario } : {}),
    notCovered: [
      ...notCovered,
      ...chosenWorkloads.notCovered,
      ...left,
      ...pair.left,
      ...modelledNowhere(store, durability),
    ],
  };
  return { scenario, store, workloads, faults: withBackground(faults, scenario) };
}

/** The cluster whose network is partitioned in a run that names no store: it is on every machine. */
const pairStore = "postgres-replica";
/** Seconds of such a run that the pair gets: one storm, with its forming and its reads. */
const pairSeconds = 9;
/** Of a run shorter than this the pair would take too much. */
const pairRunSecondsLeast = 30;

/** One storm of partitions for the pair; why not, where that is left out. */
async function pairOf(
  asked: Scenario,
  seconds: number,
  seed: number,
  whole: boolean,
): Promise<{ readonly scenario?: ResolvedScenario; readonly left: readonly NotCovered[] }> {
  if (!whole || asked.store !== undefined || asked.workloads !== undefined) return { left: [] };
  const what = `partitions of a cluster (${pairStore})`;
  if (seconds < pairRunSecondsLeast) {
    return { left: [{ what, why: `${seconds} s are too few for it; give the run more --seconds` }] };
  }
  try {
    const faults = networkFaultNames(2);
    const { scenario } = await resolveScenario({
      store: pairStore,
      faults,
      cycles: 1,
      seconds: pairSeconds,
      seed,
    });
    return { scenario, left: [] };
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    return { left: [missingHere(undefined, error.message, what)] };
  }
}

/** Upper bounds for a cluster: every operation may cross several links and wait for a quorum. */
const clusterLimits = { operationsPerSecondMax: 600, operationDeadlineMs: 1000 } as const;

async function resolveClusterScenario(
  asked: Scenario,
  store: Store,
  durability: Durability,
  machine: Machine,
): Promise<Resolution> {
  const bug = asked.workloads || asked.faults ? undefined : store.clustered!.plantedBug;
  const { workloads, notCovered } = chooseWorkloads(asked.workloads ?? bug?.workloads, store);
  const seed = asked.seed ?? randomSeed();
  const seconds = asked.seconds ?? 45;
  const { nodes, network, cycles } = asked;
  const cluster = resolveCluster(
    {
      faults: asked.faults ?? bug?.faults,
      clients: asked.clients,
      workloads: workloads.length,
      ...{ nodes, network, cycles, seed, seconds },
    },
    store,
    durability,
    machine,
  );
  const { clients, faults } = cluster;
  const scenario: ResolvedScenario = {
    formatVersion: 1,
    store: asked.store ?? "ramlog",
    durability,
    workloads: workloads.map((workload) => workload.name),
    faults: [...faults.network, ...faults.node, ...faults.cluster].map(({ name }) => name),
    background: [],
    seed,
    seconds,
    clients,
    cycles: cycles ?? null,
    keepGoing: asked.keepGoing ?? false,
    ...clusterLimits,
    faultDeadlineMs: 6000,
    schedule: [],
    cluster: cluster.plan,
    notCovered: [...cluster.notCovered, ...notCovered],
  };
  return { scenario, store, workloads, faults: [], storm: faults };
}

/** Parts of a whole run's seconds; the rest is live. */
const shares = { explore: 0.25, sweep: 0.15 } as const;
/** Below these seconds a part would end before it had begun to say anything. */
const leastSeconds = { explore: 2, sweep: 1.5 } as const;

interface Shares {
  readonly live: number;
  readonly explore: number;
  readonly sweep: number;
  readonly left: readonly NotCovered[];
}

/** Divides a run's seconds; what a store or a machine does not allow is left out aloud, and its time goes to live faults. */
function shareOut(
  seconds: number,
  whole: boolean,
  store: Store,
  durability: Durability,
  machine: Machine,
): Shares {
  const left: NotCovered[] = [];
  const part = (name: "explore" | "sweep", what: string): number => {
    if (!whole) return 0;
    const share = seconds * shares[name];
    const missing = whyNotInterposed(store, machine);
    const few =
      share < leastSeconds[name] ? `${seconds} s are too few for it; give the run more --seconds` : undefined;
    const noLog = name === "sweep" && durability.mode === "none" ? "mode none writes no log" : undefined;
    const why = noLog ?? missing ?? few;
    if (why === undefined) return share;
    // Only what this machine lacks has a remedy: a pass then names it.
    left.push(why === missing ? missingHere(undefined, why, what) : { what, why });
    return 0;
  };
  const explore = part("explore", "exploring crash states");
  const sweep = part("sweep", "sweeping the n-th call");
  return { live: seconds - explore - sweep, explore, sweep, left };
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
  const found = {
    scenario,
    store: await findStore(scenario.store),
    workloads: findWorkloads(scenario.workloads),
  };
  if (scenario.cluster) return { ...found, faults: [], storm: stormFaultsOf(scenario.faults) };
  return {
    ...found,
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
    const left = fault.onlyWhenAsked
      ? `only when asked for by name: ${fault.onlyWhenAsked}`
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
function missingHere(
  fault: Fault | undefined,
  sentence: string,
  what = fault ? `fault ${fault.name}` : "the interposer's proof",
): NotCovered {
  const [why, ...remedy] = sentence.split("; ");
  return { what, why: why!, remedy: remedy.join("; ") || "acked doctor" };
}

const noFaults: NotCovered = { what: "every fault", why: "--fault none was asked for" };

/** A default run does not judge a store by what it never promised; asking for the fault by name does. */
function againstPromise(fault: Fault, store: Store, durability: Durability): string | undefined {
  const damages = fault.when === "at-rest" || fault.when === "recovery" || fault.deceives === true;
  if (damages && !store.promise(durability).detectsDamageAtRest) {
    return `store ${store.name} promises nothing about damaged files; ask for it by name to see what happens`;
  }
  const needsNoLog = fault.name === "kill" || fault.name === "power-loss";
  if (fault.mechanism === "interposer" && durability.mode === "none" && !needsNoLog) {
    return "mode none writes no log, so the fault would have nothing to hit";
  }
  return undefined;
}

/** What no run of this version covers; said in every report. */
function modelledNowhere(store: Store, durability: Durability): NotCovered[] {
  const list: NotCovered[] = [{ what: "clock jumps", why: "the store's clock is the machine's" }];
  const { processCrash, gracefulStop, powerLoss } = store.promise(durability);
  if (powerLoss.survives === "a prefix" && powerLoss.lossMsMax === Number.POSITIVE_INFINITY) {
    list.push({
      what: "durability after power loss",
      why: `store ${store.name} promises nothing about it in mode ${durability.mode}, so a loss is measured and not held against it`,
      ...(durability.mode === "none" ? {} : { remedy: "declare powerLoss in the store's promise" }),
    });
  }
  if (processCrash.survives !== gracefulStop.survives) {
    list.push({
      what: "the stronger of two promises",
      why: `after a crash ${processCrash.survives} survives, after a graceful stop ${gracefulStop.survives}; both are judged by the weaker when graceful stops are among the faults`,
      remedy: "--fault without stop, or stop alone with a store module that declares that promise for both",
    });
  }
  return list;
}
