/**
 * The nemesis of a cluster: makes the faults of one storm happen, each at its time, on the network, on one member or on
 * the whole cluster, and keeps the book of each: armed, fired, healed. What ends a member brings it back after its time.
 *
 * When the storm is over everything is healed, and every member that is down is started, whatever had been planned; what had
 * not fired by then was not reached. A fault counts as fired only with evidence of its own.
 */
import type {
  ClusterFault,
  ClusterInjection,
  ClusterTarget,
  Fault,
  FaultParameters,
  Network,
  NetworkFault,
} from "../../faults/contract.ts";
import { linkName } from "../../faults/contract.ts";
import { pause } from "../../faults/index.ts";
import type { LeaderWatch } from "./leader-watch.ts";
import type { Members } from "./members.ts";
import type { RoundPlan, StormFaults, StormStep } from "./storm.ts";

/** The life of one fault; times are ns since the run's start. */
export interface StormLife {
  readonly fault: string;
  readonly parameters: FaultParameters;
  /** A member, or the whole: `cluster`, `network`. */
  readonly target: string;
  /** Directed links that it acts on. */
  readonly links: readonly string[];
  readonly armedAt: number;
  firedAt: number | undefined;
  healedAt: number | undefined;
  evidence: Readonly<Record<string, unknown>> | undefined;
  /** The storm ended, or its member was gone, before it had been met and its own window had passed. */
  cutShort: boolean;
}

export interface ClusterNemesisOptions {
  readonly now: () => number;
  readonly members: Members;
  readonly network: Network;
  readonly watch: LeaderWatch;
  readonly clients: readonly string[];
  readonly faults: StormFaults;
  readonly onEvent: (event: "armed" | "fired" | "healed", life: StormLife) => void;
}

const pollMs = 10;
/** ms a member is left alone after a write or sync of it failed: it may stop by itself. */
const afterFailureMs = 250;
const gracefulStopMs = 5000;

export class ClusterNemesis {
  readonly #options: ClusterNemesisOptions;
  readonly #active = new Set<StormLife>();

  constructor(options: ClusterNemesisOptions) {
    this.#options = options;
  }

  inForce(): string[] {
    return [...this.#active].map(({ fault }) => fault);
  }

  /** Plays one storm; resolves when everything that was in force has healed and every member has been started. */
  async play(plan: RoundPlan, signal: AbortSignal): Promise<StormLife[]> {
    const over = new AbortController();
    const end = () => over.abort();
    signal.addEventListener("abort", end, { once: true });
    const timer = setTimeout(end, plan.stormMs);
    const lives: StormLife[] = [];
    try {
      await Promise.all(
        plan.steps.map(async (step) => {
          if (await pause(step.atMs, over.signal)) await this.#perform(step, over.signal, lives);
        }),
      );
      await pause(plan.stormMs, over.signal);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      await this.#options.network.heal();
      for (const member of this.#options.members.all()) if (!member.running()) member.start();
    }
    return lives;
  }

  async #perform(step: StormStep, over: AbortSignal, lives: StormLife[]): Promise<void> {
    const { network, node, cluster } = this.#options.faults;
    const named = <T extends { readonly name: string }>(faults: readonly T[]) =>
      faults.find(({ name }) => name === step.fault);
    const ofNetwork = named(network);
    const ofNode = named(node);
    const ofCluster = named(cluster);
    const known = await this.#leaderIfNamed(step, over);
    if (!known) this.#notReached(step, ofNetwork ? "network" : "cluster", lives);
    else if (ofNetwork) await this.#onNetwork(ofNetwork, step, over, lives);
    else if (ofNode?.when === "passing") await this.#passing(ofNode, step, over, lives);
    else if (ofNode) await this.#ending(ofNode, step, over, lives);
    else if (ofCluster) await this.#onCluster(ofCluster, step, over, lives);
    else throw new Error(`the plan names fault "${step.fault}", which is not among this run's faults`);
  }

  /**
   * A fault of the leader waits while nobody is known to lead, as long as the storm lasts: another member in its place would
   * be another fault.
   */
  async #leaderIfNamed({ member, parameters }: StormStep, over: AbortSignal): Promise<boolean> {
    if (member !== "leader" && parameters.member !== "leader") return true;
    while (this.#target().leader === undefined) if (!(await pause(pollMs, over))) return false;
    return true;
  }

  #notReached({ fault, parameters }: StormStep, target: "network" | "cluster", lives: StormLife[]): void {
    const life = this.#arm(fault, target, parameters, [], lives);
    life.cutShort = true;
    this.#healed(life);
  }

  async #onNetwork(
    fault: NetworkFault,
    { parameters }: StormStep,
    over: AbortSignal,
    lives: StormLife[],
  ): Promise<void> {
    const target = this.#target();
    const links = fault.links(parameters, target).map(linkName);
    const life = this.#arm(fault.name, "network", parameters, links, lives);
    // Members speak to each other all the time; a client may have nothing to ask of a member for as long.
    const ofMembers = links.some((link) => !link.includes("c"));
    const untilMet = fault.needsTraffic === true || !ofMembers;
    await this.#whileInForce(life, await fault.inject(parameters, target), over, untilMet);
  }

  async #onCluster(
    fault: ClusterFault,
    { parameters }: StormStep,
    over: AbortSignal,
    lives: StormLife[],
  ): Promise<void> {
    const life = this.#arm(fault.name, "cluster", parameters, [], lives);
    await this.#whileInForce(life, await fault.inject(parameters, this.#target()), over);
  }

  /** For its time; with `untilMet` for longer, where nothing has met it by then: at most until the storm is over. */
  async #whileInForce(
    life: StormLife,
    injection: ClusterInjection,
    over: AbortSignal,
    untilMet = false,
  ): Promise<void> {
    const until = performance.now() + Number(life.parameters.durationMs ?? 0);
    let whole = true;
    while (whole && (performance.now() < until || (untilMet && life.firedAt === undefined))) {
      this.#look(life, injection);
      whole = await pause(pollMs * 5, over);
    }
    this.#look(life, injection);
    await injection.heal();
    this.#look(life, injection);
    life.cutShort = !whole;
    this.#healed(life);
  }

  async #passing(fault: Fault, step: StormStep, over: AbortSignal, lives: StormLife[]): Promise<void> {
    const member = this.#options.members.member(this.#memberOf(step));
    const life = this.#arm(fault.name, member.name, step.parameters, [], lives);
    if (!member.running()) {
      life.cutShort = true;
      this.#healed(life);
      return;
    }
    const injection = fault.inject(step.parameters, member.target());
    const heal = async () => injection.heal();
    await this.#whileInForce(life, { fired: () => injection.fired(), heal }, over, true);
  }

  /** The fault ends the member, or makes it end itself; then it is down for a while, and started again. */
  async #ending(fault: Fault, step: StormStep, over: AbortSignal, lives: StormLife[]): Promise<void> {
    const member = this.#options.members.member(this.#memberOf(step));
    const life = this.#arm(fault.name, member.name, step.parameters, [], lives);
    if (!member.running()) {
      life.cutShort = true;
      this.#healed(life);
      return;
    }
    const injection = fault.inject(step.parameters, member.target());
    // As long as the storm lasts: how soon an n-th call comes, whoever is cut off meanwhile decides.
    let waiting = true;
    while (waiting && life.firedAt === undefined && member.running()) {
      waiting = await pause(pollMs, over);
      this.#look(life, injection);
    }
    life.cutShort = life.firedAt === undefined;
    if (life.firedAt !== undefined) {
      if (fault.name === "stop") await untilEnded(member, gracefulStopMs);
      else await pause(afterFailureMs, over);
      await member.kill();
      if (fault.name === "power-loss") {
        const { lost, evidence } = member.losePower(step.parameters);
        life.evidence = { ...life.evidence, ...evidence };
        if (!lost) life.firedAt = undefined;
      }
      await pause(step.downMs ?? 0, over);
      injection.heal();
      member.start();
    } else injection.heal();
    this.#healed(life);
  }

  #arm(
    fault: string,
    target: string,
    parameters: FaultParameters,
    links: readonly string[],
    lives: StormLife[],
  ): StormLife {
    const life: StormLife = {
      ...{ fault, target, parameters, links, armedAt: this.#options.now() },
      ...{ firedAt: undefined, healedAt: undefined, evidence: undefined, cutShort: false },
    };
    lives.push(life);
    this.#active.add(life);
    this.#options.onEvent("armed", life);
    return life;
  }

  #look(life: StormLife, injection: { fired(): Readonly<Record<string, unknown>> | undefined }): void {
    const evidence = injection.fired();
    if (!evidence) return;
    life.evidence = evidence;
    if (life.firedAt !== undefined) return;
    life.firedAt = this.#options.now();
    this.#options.onEvent("fired", life);
  }

  #healed(life: StormLife): void {
    this.#active.delete(life);
    life.healedAt = this.#options.now();
    this.#options.onEvent("healed", life);
  }

  #memberOf({ member = 0 }: StormStep): string {
    const { names } = this.#options.members;
    if (member === "leader") return this.#leader() ?? names[0]!;
    return names[member % names.length]!;
  }

  #leader(): string | undefined {
    return this.#options.watch.current();
  }

  #target(): ClusterTarget {
    const { members, network, clients } = this.#options;
    const leader = this.#leader();
    const decided = members.leadsByHand
      ? {
          leader: members.leader,
          failOver: (from: string, told: "all" | "some") => members.failOver(from, told),
          follow: (name: string) => members.follow(name),
        }
      : { leader };
    return {
      ...{ network, clients, members: members.names },
      ...decided,
      member: (name) => members.member(name),
      replace: (name) => members.replace(name),
    };
  }
}

async function untilEnded(member: { running(): boolean }, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (member.running() && performance.now() < deadline) await pause(pollMs, new AbortController().signal);
}
