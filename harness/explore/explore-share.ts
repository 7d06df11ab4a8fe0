/**
 * One worker's share of an exploration: it follows the trace event by event, enumerates the crash states at the crash
 * points that fall to it, recovers and judges them, scene by scene.
 *
 * Workers take turns in *stretches* of the trace. Every crash point belongs to one of them, which judges all its states
 * there: what is enumerated, judged and remembered at one crash point helps at the next, and is not done twice. A state
 * that can occur in stretches of both is recovered by both, each for its own crash points, and counted once (coverage.ts).
 *
 * A *crash point* is an event after which the disk may hold something else than before it. The states of a crash point
 * are judged there, and again at every acknowledgement until the next one: the disk is the same, and more is owed.
 */
import type { StorePromise } from "../../stores/contract.ts";
import type { Workload } from "../../workloads/contract.ts";
import type { CrashStateFinding, ExploredScene } from "../results.ts";
import { type SceneName, SceneTally, sceneNames } from "./coverage.ts";
import { type DiskImage, DiskModel } from "./disk/disk-model.ts";
import { FindingsBook, type Place, type StatePath } from "./explore-findings.ts";
import { type Met, MetStates, placeOf } from "./explore-met.ts";
import type { SharedState } from "./explore-shared.ts";
import { type Loss, StateJudge } from "./judge/judge-state.ts";
import type { Recovered, RecoveredValues } from "./judge/judge-state-values.ts";
import type { Obligations } from "./judge/obligations.ts";
import type { Followed, StateRecoverer } from "./recover/explore-recovery.ts";
import { type CrashState, liveIdentity } from "./states/crash-state.ts";
import { type CrashPoint, CrashStates, defaultEffort, type Effort } from "./states/enumerate.ts";
import { profileByName } from "./states/profiles/index.ts";
import type { Profile } from "./states/profiles/profile.ts";
import type { TracedRunFiles } from "./traced/traced-run-files.ts";

export interface ShareOptions {
  readonly files: TracedRunFiles;
  readonly base: DiskImage;
  readonly workloads: readonly Workload[];
  readonly promise: StorePromise;
  readonly obligations: Obligations;
  readonly values: RecoveredValues;
  readonly profile: string;
  readonly seed: number;
  /** ms. */
  readonly budgetMs: number;
  readonly statesMax: number;
  readonly stopAtFirst: boolean;
  /** This worker's place among how many; what falls to it depends on these two and the trace alone. */
  readonly worker: number;
  readonly workers: number;
  readonly shared: SharedState;
  readonly recoverer: StateRecoverer;
  readonly onProgress: (progress: ShareProgress) => void;
}

export interface ShareProgress {
  readonly scene: string;
  /** 0 … 1. */
  readonly done: number;
  readonly findings: number;
}

/** What one worker found. */
export interface Share {
  readonly scenes: readonly ExploredScene[];
  readonly findings: readonly CrashStateFinding[];
  /** What the disk model could not follow, one sentence each: states may then be none that the disk could be in. */
  readonly lacks: readonly string[];
  /** Why something else is unknown, one sentence each. */
  readonly unknown: readonly string[];
  /** The greatest loss that the promise allows and that was seen. */
  readonly loss: Loss;
  /** Single keys really judged, and different recoveries seen. */
  readonly keysJudged: number;
  readonly differentRecoveries: number;
  /** The states that were recovered, by the scene in which they were met first: two workers may have met the same. */
  readonly identities: ReadonlyMap<SceneName, readonly number[]>;
  /** ms until every prefix of every crash point had been explored; absent when the time did not reach so far. */
  readonly prefixesMs?: number;
}

/** How much of the time that is left when it begins each of these scenes may use. */
const servedPart = 0.35;
const duringPart = 0.5;
const sampledPart = 0.35;
const progressEveryMs = 200;
/** What a pass leaves out when its time is over; of this one crash points are counted. */
const everyCrashPoint = "crash points";
/** A pass over some crash points only, whose end leaves nothing out: all of them are still to come. */
const sampledCrashPoint = "crash points of a sample";
/**
 * A store that takes a process and tens of ms to recover is seen at all times of its run first, every 512th crash point,
 * then closer and closer, and not only at the beginning for as long as the budget lasts.
 */
const strides = [512, 128, 32, 8] as const;
const statesOfSample = 6;
/** Of one recovery that was interrupted: what power loss during it left. */
const secondsOfSample = 12;
/** One that recovers in process is soon seen everywhere; what only grows with the run, as a loss does, shows at its end. */
const glancedPart = 0.15;
const glancedStride = 64;
/** Of a long run so many places in all; every crash point has some events. */
const glancesAtMost = 64;
/**
 * How often each worker has a turn, and how many events it lasts at least. States live on for a few crash points, so that
 * some are met on both sides of a border: few borders; but when the time is over early, both shall have been everywhere,
 * and neither be waited for long.
 */
const turns = 8;
const stretchAtLeast = 64;

/** What finds most at least cost, everywhere before anything else: nothing, everything, and every prefix. */
const easy: Effort = { exhaustive: 16, single: 0, random: 0, tears: 0 };

export function exploreShare(options: ShareOptions): Promise<Share> {
  return new Exploration(options).run();
}

/** What happens at the places of a trace. */
interface Follower {
  /**
   * @param number of the crash point in the trace, from 0: what is sampled by it is the same for any number of workers.
   * @returns false when the time was over before the crash point had been explored.
   */
  crashPoint(model: DiskModel, event: number, number: number): Promise<boolean>;
  acknowledged(event: number): void;
}

class Exploration {
  readonly #options: ShareOptions;
  readonly #profile: Profile;
  readonly #startedAt = performance.now();
  readonly #endsAt: number;
  readonly #tallies = new Map<SceneName, SceneTally>();
  readonly #book: FindingsBook;
  readonly #states: MetStates;
  readonly #powerLoss: StateJudge;
  readonly #processCrash: StateJudge;
  /** By event: something was acknowledged at it. */
  readonly #acknowledgements: Uint8Array;
  /** Events that one worker takes at a time. */
  readonly #stretch: number;
  /** By state: what power loss during its recovery leaves; and the event up to which that was explored. */
  readonly #interrupted = new Map<Met, readonly Interrupted[]>();
  #interruptedUntil = 0;
  /** Crash points that fall to this worker. */
  #ownCrashPoints = 0;
  /** Crash points, by event, after which a restart was followed, and at which recoveries were interrupted. */
  readonly #servedAt = new Set<number>();
  readonly #interruptedAt = new Set<number>();
  /** Each model is asked with one effort only. */
  readonly #enumerators = new WeakMap<DiskModel, CrashStates>();
  /** What the disk model could not follow. */
  readonly #faults = new Set<string>();
  #reportedAt = 0;

  constructor(options: ShareOptions) {
    const { workloads, promise, obligations, values, files, recoverer, shared, worker } = options;
    this.#options = options;
    this.#profile = profileByName(options.profile);
    this.#endsAt = this.#startedAt + options.budgetMs;
    this.#book = new FindingsBook(options.profile, this.#startedAt);
    const common = { workloads, promise, obligations, values, epoch: files.record.epoch };
    this.#powerLoss = new StateJudge({ ...common, crash: "powerLoss" });
    this.#processCrash = judgedAlike(promise)
      ? this.#powerLoss
      : new StateJudge({ ...common, crash: "processCrash" });
    const twice = this.#tally(sceneNames.twice);
    this.#states = new MetStates({ recoverer, values, shared, worker, book: this.#book, twice });
    const { length } = files.trace.events;
    this.#acknowledgements = new Uint8Array(length);
    this.#stretch = Math.max(stretchAtLeast, Math.ceil(length / (turns * options.workers)));
    for (const { acknowledgedAt } of obligations.operations) {
      if (Number.isFinite(acknowledgedAt)) this.#acknowledgements[acknowledgedAt] = 1;
    }
  }

  async run(): Promise<Share> {
    if (this.#options.promise.showsOnlyDurable === false) {
      const why =
        "what reads showed of writes that were never acknowledged: the store does not promise that it is durable";
      this.#tally(sceneNames.powerLoss).leaveOut(why, null);
      const served =
        "what a restart showed before the power loss: the store does not promise that it is durable";
      this.#tally(sceneNames.served).leaveOut(served, null);
    }
    const { inProcess } = this.#options.recoverer;
    const glance = Math.max(glancedStride, Math.round(this.#acknowledgements.length / glancesAtMost));
    const sampledUntil = this.#part(inProcess ? glancedPart : sampledPart);
    for (const stride of inProcess ? [glance] : strides) {
      await this.#losePower(defaultEffort, sampledUntil, stride);
    }
    // Where a recovery takes a process, a sample of every scene comes before all of one.
    if (!inProcess) await this.#sampleRestarts(glancedPart);
    await this.#losePower(easy, this.#endsAt);
    await this.#states.settled(0);
    const prefixesMs = performance.now() - this.#startedAt;
    const whole = this.#tally(sceneNames.powerLoss).crashPointsExplored === this.#ownCrashPoints;
    if (!inProcess) {
      await this.#sampleRestarts(servedPart);
      this.#sayWhatWasSampled();
    } else {
      await this.#crashServeLosePower(this.#part(servedPart), 1);
      await this.#losePowerDuringRecovery(this.#part(duringPart), 1);
    }
    await this.#losePower(defaultEffort, this.#endsAt);
    if (inProcess) await this.#losePowerDuringRecovery(this.#endsAt, 1);
    await this.#states.settled(0);
    return {
      scenes: [...this.#tallies.values()].map((tally) => tally.result()),
      findings: this.#book.all(),
      lacks: [...this.#faults],
      unknown: this.#states.unknown,
      loss: this.#states.loss,
      keysJudged: [...new Set([this.#powerLoss, this.#processCrash])].reduce(
        (sum, judge) => sum + judge.keysJudged,
        0,
      ),
      differentRecoveries: this.#options.values.size,
      identities: this.#states.identities,
      ...(whole ? { prefixesMs } : {}),
    };
  }

  /**
   * Power loss at every crash point; each different state is recovered twice when it is first met. With a stride only a
   * few states of some crash points are looked at.
   */
  async #losePower(effort: Effort, endsAt: number, stride = 1): Promise<void> {
    const tally = this.#tally(sceneNames.powerLoss);
    const twice = this.#tally(sceneNames.twice);
    let present: { readonly met: Met; readonly state: CrashState }[] = [];
    const judge = (met: Met, state: CrashState, event: number) =>
      this.#states.visit(met, this.#powerLoss, tally, event, () =>
        placeOf(state, sceneNames.powerLoss, event),
      );
    const pass = effort === easy ? everyCrashPoint : "beyond prefixes, crash points";
    // Their recoveries are interrupted later.
    const first = this.#options.recoverer.inProcess && (effort === easy || stride > 1);
    await this.#follow(tally, stride > 1 ? sampledCrashPoint : pass, endsAt, {
      crashPoint: async (model, event, number) => {
        present = [];
        if ((number + 1) % stride !== 0) return true;
        const { possible, states, leftOut } = this.#statesOf(model, effort);
        if (stride === 1 && effort === easy) tally.possible(possible);
        else if (stride === 1) for (const { why, count } of leftOut) tally.leaveOut(why, count);
        for (const state of stride > 1 ? spread(states, statesOfSample) : states) {
          if (this.#over(endsAt)) return false;
          const met = await this.#states.meet(state, event, tally, first);
          present.push({ met, state });
          judge(met, state, event);
        }
        return true;
      },
      acknowledged: (event) => {
        for (const { met, state } of present) judge(met, state, event);
      },
    });
    twice.crashPoints = tally.crashPoints;
    twice.crashPointsExplored = tally.crashPointsExplored;
    twice.statesPossible = tally.statesPossible;
  }

  /**
   * Crash, restart, reads served, then power loss: the page cache survives the crash, and what was pending before it is
   * pending still when the reads are answered. Calls in flight at the crash have happened, or have not. With a stride only
   * some crash points are looked at, and each once.
   */
  async #crashServeLosePower(endsAt: number, stride: number): Promise<void> {
    const { promise } = this.#options;
    const tally = this.#tally(sceneNames.served);
    const servedIsDurable = promise.showsOnlyDurable !== false;
    let present: {
      readonly served: Recovered;
      readonly met: Met;
      readonly path: () => StatePath;
      readonly state: CrashState;
    }[] = [];
    const judge = (event: number) => {
      for (const { served, met, path, state } of present) {
        const place = (): Place => ({
          ...placeOf(state, sceneNames.served, event),
          state: { ...path(), event },
        });
        this.#states.whenRecovered(met, ({ first }) => {
          if (servedIsDurable) this.#states.judgedServed(served, first, this.#powerLoss, tally, event, place);
          else this.#states.judged(first, this.#powerLoss, tally, event, place);
        });
      }
    };
    await this.#follow(tally, stride > 1 ? sampledCrashPoint : everyCrashPoint, endsAt, {
      crashPoint: async (model, event, number) => {
        present = [];
        if (number % stride !== 0 || this.#servedAt.has(event)) return true;
        for (const inFlight of ["happened", "not-happened"] as const) {
          const live = model.fork(inFlight);
          // Without calls in flight both are the same.
          if (inFlight === "not-happened" && live.revision === model.revision) continue;
          if (this.#over(endsAt)) return false;
          // The power loss that leaves the same files was met at this crash point, and has been recovered.
          const followed = await this.#states.followLive(live, liveIdentity(live), event);
          if (this.#unfollowed(followed, tally)) continue;
          const restarted = followed.recovery;
          const path: StatePath = {
            formatVersion: 1,
            scene: sceneNames.served,
            event,
            crashedAt: event,
            inFlight,
          };
          const keep = this.#keeping(followed);
          const crashed = (): Place => ({
            scene: sceneNames.served,
            event,
            onDisk: [],
            notOnDisk: [],
            state: path,
          });
          this.#states.judged(restarted, this.#processCrash, tally, event, crashed);
          if (restarted.recovered === undefined) continue;
          const { possible, states } = this.#statesOf(followed.model, easy);
          tally.possible(possible);
          for (const state of stride > 1 ? spread(states, statesOfSample) : states) {
            const met = await this.#states.meet(state, event, tally);
            const again = () => ({ ...path, again: state.choice, ...keep() });
            present.push({ served: restarted.recovered, met, state, path: again });
          }
        }
        this.#servedAt.add(event);
        judge(event);
        return true;
      },
      acknowledged: judge,
    });
  }

  /**
   * Power loss at every crash point, and again at every crash point of the recovery; judged as one power loss is. Called
   * again, it goes on where its time was over. With a stride a few states of some crash points are looked at.
   */
  async #losePowerDuringRecovery(endsAt: number, stride: number): Promise<void> {
    const tally = this.#tally(sceneNames.during);
    const explored = this.#interrupted;
    let present: { readonly state: CrashState; readonly interrupted: readonly Interrupted[] }[] = [];
    const judge = (event: number) => {
      for (const { state, interrupted } of present) {
        for (const { met, second, keep } of interrupted) {
          this.#states.visit(met, this.#powerLoss, tally, event, () => {
            const { onDisk, notOnDisk, state: path } = placeOf(state, sceneNames.during, event);
            const again = second.describe();
            return {
              scene: sceneNames.during,
              event,
              onDisk: [...onDisk, ...again.onDisk.map((sentence) => `of the recovery: ${sentence}`)],
              notOnDisk: [...notOnDisk, ...again.notOnDisk.map((sentence) => `of the recovery: ${sentence}`)],
              state: { ...path, again: second.choice, ...keep() },
            };
          });
        }
      }
    };
    const from = stride > 1 ? 0 : this.#interruptedUntil;
    tally.crashPoints = this.#tally(sceneNames.powerLoss).crashPoints;
    const follower: Follower = {
      crashPoint: async (model, event, number) => {
        present = [];
        if (number % stride !== 0) return true;
        const { states } = this.#statesOf(model, easy);
        for (const state of stride > 1 ? spread(states, statesOfSample) : states) {
          if (this.#over(endsAt)) return false;
          const met = await this.#states.meet(state, event, tally);
          let interrupted = explored.get(met);
          if (!interrupted) {
            interrupted = await this.#interrupt(met, state, event, tally, stride);
            explored.set(met, interrupted);
          }
          present.push({ state, interrupted });
        }
        this.#interruptedUntil = event + 1;
        this.#interruptedAt.add(event);
        tally.crashPointsExplored = this.#interruptedAt.size;
        judge(event);
        return true;
      },
      acknowledged: judge,
    };
    const what = stride > 1 ? sampledCrashPoint : "crash points whose recoveries were not interrupted";
    await this.#follow(tally, what, endsAt, follower, from);
  }

  /** The different states that power loss may leave while the store recovers this one. */
  async #interrupt(
    met: Met,
    state: CrashState,
    event: number,
    tally: SceneTally,
    stride: number,
  ): Promise<Interrupted[]> {
    const found = new Map<number, CrashState>();
    const collect = (model: DiskModel) => {
      const { possible, states } = this.#statesOf(model, easy);
      tally.possible(possible);
      for (const second of states) {
        if (found.has(second.identity)) continue;
        // The model goes on: what is needed of the state is made now.
        if (stride > 1) void second.image;
        found.set(second.identity, second);
      }
    };
    const followed = await this.#states.follow(met, state, event, collect);
    if (this.#unfollowed(followed, tally)) return [];
    const keep = this.#keeping(followed);
    const seconds = [...found.values()];
    const interrupted: Interrupted[] = [];
    for (const second of stride > 1 ? spread(seconds, secondsOfSample) : seconds) {
      interrupted.push({ met: await this.#states.meet(second, event, tally), second, keep });
    }
    return interrupted;
  }

  /** True for a start whose disk calls could not be followed: it says nothing, and is counted. */
  #unfollowed({ model }: Followed, tally: SceneTally): boolean {
    const [fault] = model.faults;
    if (fault !== undefined) tally.leaveOut(`restarts that could not be followed (${fault})`, 1);
    return fault !== undefined;
  }

  /** What a finding's path needs to come to a state of this start again; its files are kept when first asked for. */
  #keeping({ keep }: Followed): () => { readonly start?: string } {
    let kept: { readonly start?: string } | undefined;
    const folder = this.#options.files.directory.startsDir;
    return () => {
      kept ??= keep ? { start: keep(folder) } : {};
      return kept;
    };
  }

  /** The scenes with a restart in them, closer and closer; each may use this part of what is left. */
  async #sampleRestarts(part: number): Promise<void> {
    const servedUntil = this.#part(part);
    for (const stride of strides) await this.#crashServeLosePower(servedUntil, stride);
    const duringUntil = this.#part(part);
    for (const stride of strides) await this.#losePowerDuringRecovery(duringUntil, stride);
  }

  #sayWhatWasSampled(): void {
    const { crashPoints } = this.#tally(sceneNames.powerLoss);
    for (const [name, at] of [
      [sceneNames.served, this.#servedAt],
      [sceneNames.during, this.#interruptedAt],
    ] as const) {
      const tally = this.#tally(name);
      tally.crashPoints = crashPoints;
      tally.crashPointsExplored = at.size;
      const why = `crash points of "${name}": starts with every call traced take long, so these are a sample`;
      tally.leaveOut(why, crashPoints - at.size);
    }
  }

  /**
   * Feeds the trace to a disk model and stops at the crash points that fall to this worker, and at the acknowledgements
   * between them and the next ones.
   *
   * @param from the first event whose crash point is still to be explored.
   */
  async #follow(
    tally: SceneTally,
    what: string,
    endsAt: number,
    follower: Follower,
    from = 0,
  ): Promise<void> {
    const { files, base } = this.#options;
    const { events } = files.trace;
    const model = new DiskModel(base);
    let revision = -1;
    const counted = what === everyCrashPoint;
    tally.caughtUp(what);
    let cut = 0;
    let own = false;
    let number = -1;
    let ownCrashPoints = 0;
    for (const event of events) {
      model.feed(event);
      const isCrashPoint = model.revision !== revision;
      revision = model.revision;
      if (isCrashPoint) {
        number++;
        own = this.#owns(event.index);
        if (own) ownCrashPoints++;
      }
      if (event.index < from) continue;
      if (isCrashPoint && counted) tally.crashPoints++;
      if (!own) continue;
      if (cut > 0 || this.#over(endsAt)) {
        if (isCrashPoint) cut++;
      } else if (isCrashPoint) {
        if (!(await follower.crashPoint(model, event.index, number))) cut++;
        else if (counted) tally.crashPointsExplored++;
        this.#report(tally.name, event.index / events.length);
      } else if (this.#acknowledgements[event.index]) follower.acknowledged(event.index);
    }
    this.#ownCrashPoints = ownCrashPoints;
    if (what !== sampledCrashPoint) tally.leaveOut(`${what}: ${this.#whyOver()}`, cut);
    for (const fault of model.faults) this.#faults.add(fault);
  }

  /** What is learnt about a model at one crash point helps at the next. */
  #statesOf(model: DiskModel, effort: Effort): CrashPoint {
    let states = this.#enumerators.get(model);
    if (!states) {
      states = new CrashStates(model, this.#profile, this.#options.seed, effort);
      this.#enumerators.set(model, states);
    }
    return states.now();
  }

  /** The crash point after this event falls to this worker, and so do the acknowledgements until the next one. */
  #owns(event: number): boolean {
    const { worker, workers } = this.#options;
    return Math.floor(event / this.#stretch) % workers === worker;
  }

  #over(endsAt: number): boolean {
    const { shared, statesMax, stopAtFirst } = this.#options;
    return (
      performance.now() > endsAt ||
      shared.stopped ||
      shared.recovered >= statesMax ||
      (stopAtFirst && shared.findings > 0)
    );
  }

  #whyOver(): string {
    const { shared, statesMax, stopAtFirst } = this.#options;
    if (stopAtFirst && shared.findings > 0) return "it was to end at the first finding";
    if (shared.recovered >= statesMax) return `it was to recover at most ${statesMax} states`;
    return shared.stopped ? "it was interrupted" : "the time was over";
  }

  /** The moment at which a scene has used this part of what is left. */
  #part(part: number): number {
    const now = performance.now();
    return now + Math.max(0, this.#endsAt - now) * part;
  }

  #tally(name: SceneName): SceneTally {
    let tally = this.#tallies.get(name);
    if (!tally) {
      tally = new SceneTally(name);
      this.#tallies.set(name, tally);
    }
    return tally;
  }

  #report(scene: string, done: number): void {
    const now = performance.now();
    if (now - this.#reportedAt < progressEveryMs) return;
    this.#reportedAt = now;
    this.#options.onProgress({ scene, done, findings: this.#book.count });
  }
}

/** After both crashes the same is owed, and reads count: then one judge, which remembers, is enough for both. */
function judgedAlike({ powerLoss, processCrash, showsOnlyDurable }: StorePromise): boolean {
  const same = powerLoss.survives !== "a prefix" && powerLoss.survives === processCrash.survives;
  return same && showsOnlyDurable !== false;
}

/** The first, the last, and some evenly in between. */
function spread<T>(all: readonly T[], atMost: number): T[] {
  const count = Math.min(all.length, atMost);
  return Array.from(
    { length: count },
    (_, i) => all[Math.round((i * (all.length - 1)) / Math.max(1, count - 1))]!,
  );
}

/** A state that power loss during the recovery of another one left. */
interface Interrupted {
  readonly met: Met;
  readonly second: CrashState;
  readonly keep: () => { readonly start?: string };
}
