/**
 * What a scenario means for a store that runs as several members: how many, on which network, under which faults; the
 * seed expanded into storms. Everything that is not available here is left out aloud, or refused when asked for by name.
 */
import type { Fault, Machine } from "../../faults/contract.ts";
import {
  clusterFaults,
  memberFaults,
  networkClientsMost,
  networkConditions,
  networkFaults,
  networkUnavailable,
  faults as nodeFaults,
} from "../../faults/index.ts";
import { type Durability, ScenarioError, type Store, unknownName } from "../../stores/contract.ts";
import type { NotCovered } from "../results.ts";
import { type ClusterPlan, planStorms, roundMsLeast, type StormFaults } from "./storm.ts";

/** What is asked for of a cluster. */
export interface ClusterAsked {
  /** Names of faults; `["none"]` for none. */
  readonly faults: readonly string[] | undefined;
  readonly nodes: number | undefined;
  readonly network: string | undefined;
  readonly clients: number | undefined;
  /** How many workloads there are. */
  readonly workloads: number;
  readonly seed: number;
  readonly seconds: number;
  readonly cycles: number | undefined;
}

export interface ResolvedCluster {
  readonly clients: number;
  readonly plan: ClusterPlan;
  readonly faults: StormFaults;
  readonly notCovered: readonly NotCovered[];
}

/** @throws ScenarioError for a number of members or clients, a network or a fault that this store or machine cannot have. */
export function resolveCluster(
  asked: ClusterAsked,
  store: Store,
  durability: Durability,
  machine: Machine,
): ResolvedCluster {
  const { least, most, default: usual } = store.clustered!.members;
  const members = asked.nodes ?? usual;
  if (members < least || members > most) {
    const range = least === most ? `exactly ${least}` : `${least} to ${most}`;
    throw new ScenarioError(
      `store ${store.name} runs as ${range} nodes, not as ${members}: leave out --nodes, or give another number`,
    );
  }
  const network = networkOf(asked.network);
  const clients = clientsOf(asked, members, network);
  const { faults, notCovered } = chooseStormFaults(asked.faults, store, members, network, machine);
  const rounds = Math.min(
    asked.cycles ?? Number.POSITIVE_INFINITY,
    Math.ceil((asked.seconds * 1000) / roundMsLeast) + 1,
  );
  return {
    clients,
    plan: { members, network, rounds: planStorms({ seed: asked.seed, rounds, members, store, faults }) },
    faults,
    notCovered: [...notCovered, ...withoutNames(store, durability)],
  };
}

/** The faults that a saved plan names. */
export function stormFaultsOf(names: readonly string[]): StormFaults {
  const chosen = <T extends { readonly name: string }>(all: readonly T[]) =>
    all.filter(({ name }) => names.includes(name));
  return { network: chosen(networkFaults), node: chosen(ofOneMember), cluster: chosen(clusterFaults) };
}

/** The faults of a network of proxies that a cluster of so many members can have. */
export function networkFaultNames(members: number): string[] {
  const can = networkConditions("proxies");
  return networkFaults
    .filter((fault) => !fault.onlyWhenAsked && !fault.unavailable(members, "proxies", can))
    .map(({ name }) => name);
}

function networkOf(text: string | undefined): ClusterPlan["network"] {
  const network = text ?? "proxies";
  if (network !== "proxies" && network !== "namespaces") {
    throw new ScenarioError(`--network "${network}" is not a mechanism: use proxies, or namespaces (root)`);
  }
  const missing = networkUnavailable(network);
  if (missing) throw new ScenarioError(`--network ${network} cannot be used here: ${missing}`);
  return network;
}

/** At least one for each workload at each member, and no more than the network has room for. */
function clientsOf(asked: ClusterAsked, members: number, network: ClusterPlan["network"]): number {
  const least = members * asked.workloads;
  const clients = asked.clients ?? least;
  if (clients < least) {
    throw new ScenarioError(
      `--clients ${clients} is fewer than ${least}: each of the ${asked.workloads} workloads needs a client at each of the ${members} nodes; raise --clients or name fewer with --workload`,
    );
  }
  const most = networkClientsMost(network);
  if (clients > most) {
    throw new ScenarioError(
      `--network ${network} has room for ${most} clients, not for ${clients}: give fewer with --clients, or use --network proxies`,
    );
  }
  return clients;
}

/** Of one node's faults: those of its processes, its disk and its clock while it runs. */
const ofOneMember: readonly Fault[] = [...nodeFaults.filter(fitsCluster), ...memberFaults];

function fitsCluster({ when, mechanism, deceives }: Fault): boolean {
  return (when === "passing" || when === "crash") && mechanism !== "proxy" && deceives !== true;
}

function chooseStormFaults(
  names: readonly string[] | undefined,
  store: Store,
  members: number,
  network: ClusterPlan["network"],
  machine: Machine,
): { faults: StormFaults; notCovered: NotCovered[] } {
  if (names?.length === 1 && names[0] === "none") {
    return {
      faults: stormFaultsOf([]),
      notCovered: [{ what: "every fault", why: "--fault none was asked for" }],
    };
  }
  const can = networkConditions(network);
  const all = [
    ...networkFaults.map((fault) => ({ ...fault, missing: fault.unavailable(members, network, can) })),
    ...ofOneMember.map((fault) => ({ ...fault, missing: fault.unavailable(store, machine) })),
    ...clusterFaults.map((fault) => ({ ...fault, missing: fault.unavailable(store, machine) })),
  ];
  if (names) {
    for (const name of names) {
      const fault = all.find((one) => one.name === name);
      if (!fault)
        throw unknownName(
          "fault of a cluster",
          name,
          all.map((one) => one.name),
          ", or none",
        );
      if (fault.missing) throw new ScenarioError(`fault ${name} is not available: ${fault.missing}`);
    }
    return { faults: stormFaultsOf(names), notCovered: [] };
  }
  const notCovered: NotCovered[] = [];
  const chosen = all.filter(({ name, missing, onlyWhenAsked }) => {
    const why =
      missing ?? (onlyWhenAsked === undefined ? undefined : `only when asked for by name: ${onlyWhenAsked}`);
    if (why !== undefined) notCovered.push({ what: `fault ${name}`, why });
    return why === undefined;
  });
  return { faults: stormFaultsOf(chosen.map(({ name }) => name)), notCovered };
}

function withoutNames(store: Store, durability: Durability): NotCovered[] {
  const left: NotCovered[] = [
    {
      what: "damage at rest and faults while a member recovers",
      why: "the storms of a cluster do not have them",
    },
    {
      what: "crash states and sweeps",
      why: "they are of one node; a single server of this kind can be explored by itself",
    },
  ];
  left.push({
    what: "serving while a part is cut off",
    why: "how long it did not serve is measured for each fault, and not judged",
  });
  if (!store.clustered!.promise(durability).linearizable) {
    left.push({
      what: "linearizability",
      why: `store ${store.name} does not promise it, so what contradicts it is measured and not held against it`,
    });
  }
  return left;
}
