/**
 * The different crash states that an exploration has met: each is recovered once, twice over, and judged at every crash
 * point at which it can occur. Where recoveries run beside each other (as processes), a state is judged when its recovery
 * is there, at all the places at which it was met until then.
 */
import type { Finding } from "../checkers/contract.ts";
import { quote } from "../models/register.ts";
import { type SceneName, type SceneTally, sceneNames } from "./coverage.ts";
import { DiskModel } from "./disk/disk-model.ts";
import { type DiskCall, ModelledDisk } from "./disk/simulated-disk.ts";
import type { FindingsBook, Place } from "./explore-findings.ts";
import type { SharedState } from "./explore-shared.ts";
import { type Judgement, type Loss, nothingLost, type StateJudge } from "./judge/judge-state.ts";
import type { Recovered, RecoveredValues } from "./judge/judge-state-values.ts";
import {
  type Followed,
  type Recovery,
  type StateRecoverer,
  type TwoRecoveries,
  UndecidedRecovery,
} from "./recover/explore-recovery.ts";
import type { CrashState } from "./states/crash-state.ts";

/** One different state. */
export interface Met {
  recoveries: TwoRecoveries | undefined;
  /** The disk calls of the first recovery, where they were kept. */
  calls: readonly DiskCall[] | undefined;
  readonly waiting: ((recoveries: TwoRecoveries) => void)[];
}

export interface MetStatesOptions {
  readonly recoverer: StateRecoverer;
  readonly values: RecoveredValues;
  readonly shared: SharedState;
  readonly worker: number;
  readonly book: FindingsBook;
  /** Second recoveries are counted here. */
  readonly twice: SceneTally;
}

const reasonsAtMost = 10;
/** Of so many recoveries the disk calls are kept: some 10 KB each. */
const callsKeptAtMost = 4096;
const notOpened =
  "checks of a key at moments when nothing was owed of it: it had not been opened yet, or not been read since a restart that may lose writes";

export class MetStates {
  readonly #options: MetStatesOptions;
  readonly #met = new Map<number, Met>();
  readonly #running = new Set<Promise<void>>();
  readonly #unknown = new Set<string>();
  readonly #identities = new Map<SceneName, number[]>();
  #callsKept = 0;
  #failure: unknown;
  #loss: Loss = nothingLost;

  constructor(options: MetStatesOptions) {
    this.#options = options;
  }

  /** Why something could not be decided, one sentence each. */
  get unknown(): readonly string[] {
    return [...this.#unknown];
  }

  /** The states that were recovered, by the scene in which they were met. */
  get identities(): ReadonlyMap<SceneName, readonly number[]> {
    return this.#identities;
  }

  /** The greatest permitted loss that was seen. */
  get loss(): Loss {
    return this.#loss;
  }

  /**
   * The state, recovered or about to be. Waits while all lanes are busy.
   *
   * @param event power is lost after it.
   * @param keepCalls keep the disk calls of a recovery that is made now, for `follow`.
   * @throws whatever went wrong on our side in an earlier recovery.
   */
  async meet(state: CrashState, event: number, tally: SceneTally, keepCalls = false): Promise<Met> {
    const name = state.identity;
    const known = this.#met.get(name);
    if (known) return known;
    const met: Met = { recoveries: undefined, calls: undefined, waiting: [] };
    this.#met.set(name, met);
    tally.distinct++;
    const { lanes } = this.#options.recoverer;
    const keeps = keepCalls && this.#callsKept++ < callsKeptAtMost;
    const recovering = this.#recover(met, state, event, tally, keeps);
    if (lanes === 1) {
      await recovering;
    } else {
      const running = recovering.catch((error: unknown) => {
        this.#failure ??= error;
      });
      this.#running.add(running);
      running.finally(() => this.#running.delete(running));
      await this.settled(lanes);
    }
    return met;
  }

  /** Waits until no more than so many recoveries are running. @throws what went wrong in one on our side. */
  async settled(atMost: number): Promise<void> {
    while (this.#running.size > atMost) await Promise.race(this.#running);
    if (this.#failure) throw this.#failure;
  }

  /** Judges the state's first recovery, now or when it is there. */
  visit(met: Met, judge: StateJudge, tally: SceneTally, event: number, place: () => Place): void {
    this.whenRecovered(met, ({ first }) => this.judged(first, judge, tally, event, place));
  }

  whenRecovered(met: Met, then: (recoveries: TwoRecoveries) => void): void {
    if (met.recoveries) then(met.recoveries);
    else met.waiting.push(then);
  }

  /** Judges one recovery, and keeps what is wrong with it. */
  judged(recovery: Recovery, judge: StateJudge, tally: SceneTally, event: number, place: () => Place): void {
    tally.judged++;
    if (recovery.refused !== undefined) this.found([didNotRecover(recovery.refused)], place);
    else this.#keep(judge.judge(recovery.recovered, event), tally, place);
  }

  /** Judges what was recovered after reads had been served from what was recovered before. */
  judgedServed(
    served: Recovered,
    recovery: Recovery,
    judge: StateJudge,
    tally: SceneTally,
    event: number,
    place: () => Place,
  ): void {
    tally.judged++;
    if (recovery.refused !== undefined) this.found([didNotRecover(recovery.refused)], place);
    else this.#keep(judge.judgeServed(served, recovery.recovered, event), tally, place);
  }

  found(findings: readonly Finding[], place: () => Place): void {
    const { book, shared } = this.#options;
    book.add(findings, shared.recovered, place);
    shared.countFinding();
  }

  /** Follows the state's first recovery: by the disk calls that it made before, where they were kept. */
  async follow(
    met: Met,
    state: CrashState,
    event: number,
    crashPoint: (model: DiskModel) => void,
  ): Promise<Followed> {
    const { calls, recoveries } = met;
    met.calls = undefined;
    if (!calls || !recoveries) {
      return this.watched(event, () => this.#options.recoverer.follow(state.image, crashPoint));
    }
    return madeAgain(calls, recoveries, new ModelledDisk(new DiskModel(state.image), crashPoint));
  }

  /**
   * Follows the recovery of what a process crash left, which goes on with what is pending. Where a state with the same
   * names and contents has been recovered, its disk calls are made again: a recovery sees names and contents only, so
   * that it would make the same ones.
   *
   * @param identity of the live files: `liveIdentity`, by which states are known here, too.
   */
  async followLive(live: DiskModel, identity: number, event: number): Promise<Followed> {
    const { calls, recoveries } = this.#met.get(identity) ?? {};
    if (!calls || !recoveries) return this.watched(event, () => this.#options.recoverer.follow(live));
    return madeAgain(calls, recoveries, new ModelledDisk(live));
  }

  /** Runs one recovery in sight of whoever watches for one that never ends. */
  async watched<Result>(event: number, recover: () => Promise<Result>): Promise<Result> {
    const { shared, worker } = this.#options;
    shared.begins(worker, event);
    try {
      return await recover();
    } finally {
      shared.ends(worker);
    }
  }

  async #recover(
    met: Met,
    state: CrashState,
    event: number,
    tally: SceneTally,
    keepCalls: boolean,
  ): Promise<void> {
    const { recoverer, shared, twice } = this.#options;
    const { image, identity } = state;
    let recoveries: TwoRecoveries;
    try {
      recoveries = await this.watched(event, () => recoverer.recoverTwice(image, keepCalls, identity));
    } catch (error) {
      if (!(error instanceof UndecidedRecovery)) throw error;
      // It is judged nowhere: whoever waits for it waits in vain.
      met.waiting.length = 0;
      this.#doubt(event, error.message);
      return;
    }
    if (recoveries.doubt !== undefined) this.#doubt(event, recoveries.doubt);
    // Kept once, and given free when they have been used.
    const { calls, ...shown } = recoveries;
    met.recoveries = shown;
    met.calls = calls;
    tally.recovered++;
    shared.countRecovered();
    const same = this.#identities.get(tally.name);
    if (same) same.push(state.identity);
    else this.#identities.set(tally.name, [state.identity]);
    const { first, second } = recoveries;
    if (first.recovered && second) {
      if (!recoveries.secondKnown) {
        twice.distinct++;
        twice.recovered++;
      }
      twice.judged++;
      const difference = this.#difference(first.recovered, second);
      if (difference) this.found([difference], () => placeOf(state, sceneNames.twice, event));
    }
    for (const then of met.waiting.splice(0)) then(recoveries);
  }

  #doubt(event: number, sentence: string): void {
    if (this.#unknown.size < reasonsAtMost) this.#unknown.add(`power loss after event ${event}: ${sentence}`);
  }

  #difference(first: Recovered, second: Recovery): Finding | undefined {
    if (second.refused !== undefined) return didNotRecover(second.refused);
    const { values } = this.#options;
    const slot = values.firstDifference(first, second.recovered);
    if (slot === -1) return undefined;
    const { workload, key } = values.requests[slot]!;
    const shown = (recovered: Recovered) => quote(values.valueOf(slot, recovered.values[slot]!));
    return {
      kind: "recovery-not-repeatable",
      workload,
      key,
      operations: [],
      sentence: `key ${key}: the first recovery showed ${shown(first)}, and the second, of the files as the first left them, ${shown(second.recovered)}`,
    };
  }

  #keep({ findings, unknown, notJudged, loss }: Judgement, tally: SceneTally, place: () => Place): void {
    if (findings.length > 0) this.found(findings, place);
    for (const reason of unknown) if (this.#unknown.size < reasonsAtMost) this.#unknown.add(reason);
    if (notJudged > 0) tally.leaveOut(notOpened, notJudged);
    this.#loss = { writes: Math.max(this.#loss.writes, loss.writes), ms: Math.max(this.#loss.ms, loss.ms) };
  }
}

/** The disk calls of a first recovery, made on a disk that is equal to the one on which it made them. */
function madeAgain(calls: readonly DiskCall[], { first }: TwoRecoveries, disk: ModelledDisk): Followed {
  for (const call of calls) call(disk);
  return { recovery: first, model: disk.model };
}

/** Where a state is that one power loss left. */
export function placeOf(state: CrashState, scene: SceneName, event: number): Place {
  return {
    scene,
    event,
    ...state.describe(),
    state: { formatVersion: 1, scene, event, choice: state.choice },
  };
}

function didNotRecover(sentence: string): Finding {
  return { kind: "did-not-recover", operations: [], sentence: `the store did not come back: ${sentence}` };
}
