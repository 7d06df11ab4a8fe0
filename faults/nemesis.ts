/**
 * The nemesis: the actor that makes planned faults happen, at their time, on a node or its links, and keeps the book:
 * armed, fired, healed. A fault counts as fired only with evidence of its own (a rule's record, bytes held, a signal
 * delivered). What was armed and never fired is said, because it makes the run unknown.
 */
import type { Fault, FaultParameters, FaultTarget, Injection } from "./contract.ts";

export interface NemesisPlan {
  readonly fault: string;
  /** ms after `start`. */
  readonly atMs: number;
  readonly parameters: FaultParameters;
}

/** The life of one injected fault; times are ns since the run's start. */
export interface FaultLife {
  readonly fault: Fault;
  readonly parameters: FaultParameters;
  readonly target: string;
  /** The start of the node it was armed in. */
  readonly incarnation: number;
  readonly armedAt: number;
  firedAt: number | undefined;
  healedAt: number | undefined;
  evidence: Readonly<Record<string, unknown>> | undefined;
  /** True when the node went away before the fault's own window had passed. */
  cutShort: boolean;
}

export interface NemesisOptions {
  /** ns since the run's start. */
  readonly now: () => number;
  readonly faults: readonly Fault[];
  /** Told of every change of a fault's life, for the history and the status line. */
  readonly onEvent: (event: "armed" | "fired" | "healed", life: FaultLife) => void;
}

const pollMs = 4;

export class Nemesis {
  readonly #options: NemesisOptions;
  readonly #active = new Map<FaultLife, Injection>();

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  /** Names of the faults in force. */
  inForce(): string[] {
    return [...this.#active.keys()].map((life) => life.fault.name);
  }

  /** Arms one fault now. */
  arm(plan: NemesisPlan, target: FaultTarget): FaultLife {
    const fault = this.#options.faults.find((candidate) => candidate.name === plan.fault);
    if (!fault)
      throw new Error(`the schedule names fault "${plan.fault}", which is not among this run's faults`);
    const life: FaultLife = {
      fault,
      parameters: plan.parameters,
      target: target.node.name,
      incarnation: target.incarnation,
      armedAt: this.#options.now(),
      firedAt: undefined,
      healedAt: undefined,
      evidence: undefined,
      cutShort: false,
    };
    this.#active.set(life, fault.inject(plan.parameters, target));
    this.#options.onEvent("armed", life);
    this.look();
    return life;
  }

  /** Looks at every fault in force for evidence that it has fired. */
  look(): void {
    for (const [life, injection] of this.#active) {
      if (life.firedAt !== undefined) continue;
      const evidence = injection.fired();
      if (!evidence) continue;
      life.evidence = evidence;
      life.firedAt = this.#options.now();
      this.#options.onEvent("fired", life);
    }
  }

  /** Ends one fault; idempotent. */
  heal(life: FaultLife): void {
    const injection = this.#active.get(life);
    if (!injection) return;
    this.look();
    injection.heal();
    const last = injection.fired();
    if (last) life.evidence = last;
    this.#active.delete(life);
    life.healedAt = this.#options.now();
    this.#options.onEvent("healed", life);
  }

  healAll(): void {
    for (const life of [...this.#active.keys()]) this.heal(life);
  }

  /**
   * Runs passing faults at their times, each for its `durationMs`, until all have healed or `signal` aborts (the cycle
   * ended: what had not fired by then was cut short, not missed). A fault whose window passed without firing is given
   * `graceMs` more before it is healed unfired.
   */
  async runPassing(
    plans: readonly NemesisPlan[],
    target: FaultTarget,
    signal: AbortSignal,
    graceMs: number,
  ): Promise<FaultLife[]> {
    const start = performance.now();
    const lives: FaultLife[] = [];
    await Promise.all(
      plans.map(async (plan) => {
        if (!(await pause(start + plan.atMs - performance.now(), signal))) return;
        const life = this.arm(plan, target);
        lives.push(life);
        const windowMs = Number(plan.parameters.durationMs ?? 0);
        let whole = await pause(windowMs, signal);
        const deadline = performance.now() + graceMs;
        this.look();
        while (whole && life.firedAt === undefined && performance.now() < deadline) {
          whole = await pause(pollMs, signal);
          this.look();
        }
        life.cutShort = !whole;
        this.heal(life);
      }),
    );
    return lives;
  }

  /** Waits until a fault has fired, or the deadline. */
  async untilFired(life: FaultLife, deadlineMs: number, signal: AbortSignal): Promise<boolean> {
    const deadline = performance.now() + deadlineMs;
    this.look();
    while (life.firedAt === undefined && performance.now() < deadline) {
      if (!(await pause(pollMs, signal))) break;
      this.look();
    }
    return life.firedAt !== undefined;
  }
}

/** Waits; resolves to false when the signal aborted it, at once when there is nothing to wait for. */
export function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  if (ms <= 0) return Promise.resolve(true);
  return new Promise((resolve) => {
    const finish = (whole: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      resolve(whole);
    };
    const onAbort = () => finish(false);
    const timer = setTimeout(() => finish(true), ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
