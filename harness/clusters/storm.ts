/**
 * The plan of a cluster's run: rounds of storm and calm. In a storm faults of the network, of processes, of disks and of
 * the whole cluster are in force, some of them together; then everything heals, and in the calm the cluster must serve
 * again. Faults are dealt from shuffled decks, so that each chosen one comes early and about equally often, and each shape
 * of the network meets faults of processes and of disks.
 *
 * At most one member is down for a fault of its own at a time; a shape of the network may cut off others meanwhile.
 *
 * Pure: the same options give the same plan. It is saved, and never derived again.
 */
import fc from "fast-check";
import type { ClusterFault, Fault, FaultParameters, NetworkFault } from "../../faults/contract.ts";
import type { Store } from "../../stores/contract.ts";
import { Draws, ShuffledRounds } from "../dealing.ts";

/** One fault of a storm. */
export interface StormStep {
  readonly fault: string;
  /** ms after the storm began. */
  readonly atMs: number;
  /** Whom a fault of one node strikes: `leader`, or a number modulo how many there are. Absent for all other faults. */
  readonly member?: number | "leader";
  /** ms that a member which the fault has ended stays down. */
  readonly downMs?: number;
  readonly parameters: FaultParameters;
}

export interface RoundPlan {
  readonly stormMs: number;
  /** ms of load after everything has healed and the cluster serves again. */
  readonly calmMs: number;
  readonly steps: readonly StormStep[];
}

/** The part of a resolved scenario that only a cluster has. */
export interface ClusterPlan {
  readonly members: number;
  readonly network: "proxies" | "namespaces";
  readonly rounds: readonly RoundPlan[];
}

export interface StormFaults {
  readonly network: readonly NetworkFault[];
  /** Of one node's process or disk. */
  readonly node: readonly Fault[];
  readonly cluster: readonly ClusterFault[];
}

export interface StormOptions {
  readonly seed: number;
  readonly rounds: number;
  readonly members: number;
  readonly store: Store;
  readonly faults: StormFaults;
}

/** ms a storm lasts at least, and the calm after it. */
const stormMsLeast = 3500;
const calmMs = 700;
/** ms of a storm that a fault of the whole cluster has to itself: a failover takes its time. */
const wholeStormMs = 5000;
/** ms by which the last fault of the network has healed, whatever it had been dealt. */
const networkEndsMs = 6200;
/** ms that a fault of the network lasts at least: long enough to be met by somebody, and to be noticed. */
const networkMsLeast = 900;
/** ms at which faults of one node begin; the network's begin before, so that they meet. */
const nodeAtMs = [600, 2100] as const;
const networkAtMs = 200;
const wholeAtMs = 500;
/** Of so many storms one belongs to a fault of the whole cluster. */
const wholeEvery = 3;

/** ms that one round takes at least, reads included: how many fit into a run. */
export const roundMsLeast = stormMsLeast + calmMs;

/** Expands the seed. */
export function planStorms(options: StormOptions): RoundPlan[] {
  const { faults, rounds } = options;
  const decks: Decks = {
    network: new Deck(faults.network, options, 1),
    passing: new Deck(
      faults.node.filter(({ when }) => when === "passing"),
      options,
      2,
    ),
    ending: new Deck(
      faults.node.filter(({ when }) => when === "crash"),
      options,
      3,
    ),
    whole: new Deck(faults.cluster, options, 4),
  };
  const others = faults.network.length + faults.node.length > 0;
  return Array.from({ length: rounds }, (_, round) => {
    const whole = !decks.whole.empty && (!others || round % wholeEvery === wholeEvery - 1);
    return whole ? wholeStorm(decks.whole) : mixedStorm(decks, round);
  });
}

interface Decks {
  readonly network: Deck<NetworkFault>;
  readonly passing: Deck<Fault>;
  readonly ending: Deck<Fault>;
  readonly whole: Deck<ClusterFault>;
}

/** What a failover or a loss of all members is to be seen by is not to be cut off at the same time. */
function wholeStorm(deck: Deck<ClusterFault>): RoundPlan {
  const dealt = deck.deal();
  return { stormMs: wholeStormMs, calmMs, steps: dealt ? [{ ...dealt, atMs: wholeAtMs }] : [] };
}

/** Shapes of the network one after the other; meanwhile a fault of a process or disk that passes, and one that ends a member. */
function mixedStorm({ network, passing, ending }: Decks, round: number): RoundPlan {
  const steps: StormStep[] = [];
  let at = networkAtMs;
  for (let shape = network.deal(); shape; shape = network.deal()) {
    const drawn = Number(shape.parameters.durationMs ?? 0);
    const durationMs = Math.min(Math.max(drawn, networkMsLeast), networkEndsMs - at);
    steps.push({ ...shape, atMs: at, parameters: { ...shape.parameters, durationMs } });
    at += durationMs + 100;
    if (networkEndsMs - at < networkMsLeast) break;
  }
  const first = round % 2 === 0 ? passing : ending;
  const second = first === passing ? ending : passing;
  // Two that end a member would leave two down at once: where nothing passes, one ends one.
  const order = ending.empty ? [passing, passing] : passing.empty ? [ending] : [first, second];
  for (const [place, deck] of order.entries()) {
    const dealt = deck.dealToMember();
    if (dealt) steps.push({ ...dealt, atMs: nodeAtMs[place]! });
  }
  return { stormMs: Math.max(stormMsLeast, at + 100), calmMs, steps: steps.sort((a, b) => a.atMs - b.atMs) };
}

interface Dealt {
  readonly name: string;
  parameters(of: never): fc.Arbitrary<FaultParameters>;
}

/** Deals faults in shuffled rounds, each with parameters drawn from its own arbitrary. */
class Deck<T extends Dealt> {
  readonly empty: boolean;
  readonly #draws: Draws;
  readonly #rounds: ShuffledRounds<T>;
  readonly #options: StormOptions;

  constructor(faults: readonly T[], options: StormOptions, salt: number) {
    this.#draws = new Draws(options.seed, salt);
    this.#rounds = new ShuffledRounds(faults, this.#draws);
    this.#options = options;
    this.empty = faults.length === 0;
  }

  deal(): Omit<StormStep, "atMs"> | undefined {
    const fault = this.#rounds.next();
    if (!fault) return undefined;
    const of = "when" in fault ? this.#options.store : this.#options.members;
    return { fault: fault.name, parameters: this.#draws.one(fault.parameters(of as never)) };
  }

  /** With the member that it strikes: the leader about every second time. */
  dealToMember(): Omit<StormStep, "atMs"> | undefined {
    const dealt = this.deal();
    if (!dealt) return undefined;
    const member = this.#draws.one(
      fc.oneof(fc.constant("leader" as const), fc.nat(this.#options.members - 1)),
    );
    // What a single node only answers later, a cluster may hold an election over.
    const paused =
      dealt.fault === "pause" ? { durationMs: this.#draws.one(fc.integer({ min: 200, max: 2500 })) } : {};
    const parameters = { ...dealt.parameters, ...paused };
    return { ...dealt, parameters, member, downMs: this.#draws.one(fc.integer({ min: 100, max: 900 })) };
  }
}
