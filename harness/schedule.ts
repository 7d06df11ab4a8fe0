/**
 * The schedule: a seed expanded into epochs of cycles, each with its passing faults, the fault that ends it, and what is
 * done to the files afterwards. Faults are dealt from shuffled decks, so that each chosen one comes early and about equally
 * often. Damage, lying hardware and faults of recovery come last in an epoch, since a store may rightly refuse to start
 * after them.
 *
 * Pure: the same options give the same plan. It is saved, and never derived again.
 */
import fc from "fast-check";
import type { Fault, FaultParameters } from "../faults/contract.ts";
import type { Durability, Store } from "../stores/contract.ts";
import { Draws, ShuffledRounds } from "./dealing.ts";
import type { CyclePlan, EpochPlan, PlannedFault } from "./scenario.ts";

export interface ScheduleOptions {
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

/** Cycles per epoch: few, since each kind of damage needs an epoch's end. */
const cyclesPerEpoch = 3;

/** Failed syncs whose lost pages only show when power is lost after them. */
const showsAfterPowerLoss = new Set([
  "fsyncgate",
  "writeback-error",
  "reverting-sync",
  "late-sync-error",
  "lying-sync",
  "skipped-directory-sync",
]);

/**
 * Expands the seed. Faults are dealt from shuffled decks, so that each chosen fault comes early and equally often; more
 * cycles are planned than can be run, and those not reached are reported as such.
 */
export function expandSchedule(options: ScheduleOptions): EpochPlan[] {
  const { faults } = options;
  const endings = new Deck(
    faults.filter((fault) => fault.when === "crash" && !fault.deceives),
    options,
    1,
  );
  const passing = new Deck(
    faults.filter((fault) => fault.when === "passing"),
    options,
    2,
  );
  const damage = new Deck(faults.filter(endsEpoch), options, 3);
  const power = new Deck(
    faults.filter((fault) => fault.name === "power-loss"),
    options,
    4,
  );
  const cyclesMax = Math.min(
    options.cycles ?? Number.POSITIVE_INFINITY,
    Math.ceil(options.seconds * 2.5) + 4,
  );
  const epochs: EpochPlan[] = [];
  for (let planned = 0; planned < cyclesMax; planned += epochs.at(-1)!.cycles.length) {
    const count = Math.min(cyclesPerEpoch, cyclesMax - planned);
    const cycles = Array.from({ length: count }, (_, cycle): CyclePlan => {
      const last = cycle === count - 1 ? damageOf(faults, damage.deal(160, 320)) : {};
      const ending = last.ending ?? endings.deal(160, 320);
      const powerLoss = ending && showsAfterPowerLoss.has(ending.fault) ? power.deal(0, 0) : undefined;
      return {
        passing: passing.dealMany(passingPerCycle, 20, 260).filter((plan) => !hides(plan, ending)),
        ...(ending ? { ending } : {}),
        ...(powerLoss ? { powerLoss } : {}),
        ...(last.atRest ? { atRest: last.atRest } : {}),
        ...(last.recovery ? { recovery: last.recovery } : {}),
      };
    });
    epochs.push({ cycles });
  }
  return epochs;
}

/** After these a store may rightly refuse to start, or has been started with a fault: nothing follows in that epoch. */
function endsEpoch(fault: Fault): boolean {
  return fault.when === "at-rest" || fault.when === "recovery" || fault.deceives === true;
}

function damageOf(
  faults: readonly Fault[],
  dealt: PlannedFault | undefined,
): Pick<CyclePlan, "ending" | "atRest" | "recovery"> {
  if (!dealt) return {};
  const when = faults.find((fault) => fault.name === dealt.fault)?.when;
  if (when === "at-rest") return { atRest: { ...dealt, atMs: 0 } };
  return when === "recovery" ? { recovery: { ...dealt, atMs: 0 } } : { ending: dealt };
}

/**
 * The n-th write or sync comes hundreds of times a second in mode always, once an interval in mode interval, and with
 * snapshots only in mode none: there a fault at the n-th would not fire in time.
 */
function fitToMode(parameters: FaultParameters, fault: Fault, durability: Durability): FaultParameters {
  if (durability.mode === "always") return parameters;
  if (durability.mode === "none" && "at" in parameters) return { ...parameters, at: "time" };
  const ofSync = parameters.at === "sync" || ofSyncs.has(fault.name);
  return ofSync && "nth" in parameters ? { ...parameters, nth: 1 } : parameters;
}

/** Faults at the nth sync. */
const ofSyncs = new Set(["sync-error", "interrupted-sync", ...showsAfterPowerLoss]);

/**
 * libuv completes a short write itself, and when that second call fails it returns the short count and forgets the error:
 * a program on Node would be blamed for not stopping at an error it was never told of.
 */
function hides(passing: PlannedFault, ending: PlannedFault | undefined): boolean {
  const failsAWrite = ending?.fault === "write-error" || ending?.fault === "torn-write-error";
  return passing.fault === "short-write" && failsAWrite;
}

/** Deals faults in shuffled rounds, each with parameters drawn from its own arbitrary. */
class Deck {
  readonly #draws: Draws;
  readonly #rounds: ShuffledRounds<Fault>;
  readonly #options: ScheduleOptions;

  constructor(faults: readonly Fault[], options: ScheduleOptions, salt: number) {
    this.#draws = new Draws(options.seed, salt);
    this.#rounds = new ShuffledRounds(faults, this.#draws);
    this.#options = options;
  }

  deal(fromMs: number, toMs: number): PlannedFault | undefined {
    const fault = this.#rounds.next();
    if (!fault) return undefined;
    const { store, durability } = this.#options;
    const parameters = fitToMode(this.#draws.one(fault.parameters(store)), fault, durability);
    return {
      fault: fault.name,
      atMs: this.#draws.one(fc.integer({ min: fromMs, max: toMs })),
      parameters,
    };
  }

  dealMany(count: number, fromMs: number, toMs: number): PlannedFault[] {
    const dealt = Array.from({ length: count }, () => this.deal(fromMs, toMs));
    return dealt.filter((plan) => plan !== undefined).sort((a, b) => a.atMs - b.atMs);
  }
}
