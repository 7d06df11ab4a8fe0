/**
 * Was it allowed to recover this, after power was lost at this event? What was recovered is appended as reads to the
 * history cut at the event (obligations.ts), and the workloads' own checkers decide: what had been acknowledged must be
 * there, what was in flight may be, and everything must be linearizable.
 *
 * Keys are judged apart and remembered by (key, cut of that key, recovered value), and the verdict on a whole recovery
 * changes only where the cut of a key changes: a state that occurs at a thousand crash points costs little more than once.
 * That is the same as judging whole histories, because the checkers themselves judge keys apart; what they compare across
 * keys under a lossy promise is compared here, too, over all workloads.
 *
 * Where the promise is "a prefix", a recovered read may show an older state: it is judged as a read sent before all of
 * them, so that it must still be *some* state the store went through. Across keys then decides what was certainly lost
 * and what certainly survived: nothing that survived was sent after something lost had been acknowledged, and nothing
 * lost is older than the promise allows. Reads made before the crash are not held against such a state: showing what is
 * then lost is what the promise permits.
 *
 * Not judged: a key before its opening requests were acknowledged (counted), and keys that no client used.
 */
import type { Request, Survival } from "../../../stores/contract.ts";
import type { Workload } from "../../../workloads/contract.ts";
import type { Finding } from "../../checkers/contract.ts";
import { inOrder, seconds, worstFindings } from "../../checkers/findings.ts";
import type { History } from "../../history/history.ts";
import type { Operation } from "../../history/operation.ts";
import { quote } from "../../models/register.ts";
import {
  after,
  incarnationsMax,
  isNotice,
  KeyJudge,
  type KeyVerdict,
  type LostOperation,
  nameOf,
  type StateJudgeOptions,
  type SurvivingOperation,
} from "./judge-state-key.ts";
import type { Recovered } from "./judge-state-values.ts";
import type { PlacedOperation } from "./obligations.ts";

/** What a judgement found. */
export interface Judgement {
  readonly findings: readonly Finding[];
  /** Why something could not be decided; empty when everything was. */
  readonly unknown: readonly string[];
  /** Keys that could not be judged because their opening had not been acknowledged. */
  readonly notJudged: number;
  /** Acknowledged changes that are certainly not there, under a promise that allows it. */
  readonly loss: Loss;
}

export interface Loss {
  readonly writes: number;
  /** From the oldest one's acknowledgement to the loss of power, without the time in which the store was down. */
  readonly ms: number;
}

export const nothingLost: Loss = { writes: 0, ms: 0 };
const nothingWrong: Judgement = { findings: [], unknown: [], notJudged: 0, loss: nothingLost };

/**
 * The reads that are made after every recovery of a run: of every key that a client has sent anything to. (Keys of the
 * workloads that nobody used are not looked at: that something appears there by itself is not tested.)
 */
export function readBackRequests(workloads: readonly Workload[], epoch: number, history: History): Request[] {
  const used = new Set(history.operations.filter(({ readBack }) => !readBack).map(nameOf));
  return workloads
    .flatMap((workload) => [...workload.readBack(epoch)])
    .filter((request) => used.has(nameOf(request)));
}

export class StateJudge {
  readonly #options: StateJudgeOptions;
  readonly #survival: Survival;
  readonly #keys: readonly KeyJudge[];
  /** Where the cut of some key changes, in order of events: the event, and the key's slot. */
  readonly #changeEvents: readonly number[];
  readonly #changeSlots: readonly number[];
  readonly #tracks = new Map<number, Track>();
  /** How many single keys have really been judged; the others were remembered. */
  get keysJudged(): number {
    return this.#keys.reduce((sum, key) => sum + key.judged, 0);
  }

  constructor(options: StateJudgeOptions) {
    this.#options = options;
    this.#survival = options.promise[options.crash];
    const byKey = new Map<string, PlacedOperation[]>();
    for (const placed of options.obligations.operations) {
      const name = nameOf(placed.operation);
      const known = byKey.get(name);
      if (known) known.push(placed);
      else byKey.set(name, [placed]);
    }
    this.#keys = options.values.requests.map((request, slot) => {
      const workload = options.workloads.find(({ name }) => name === request.workload)!;
      return new KeyJudge(options, workload, request, slot, byKey.get(nameOf(request)) ?? []);
    });
    const changes = this.#keys.flatMap((key, slot) => key.cuts.map((event) => ({ event, slot })));
    changes.sort((a, b) => a.event - b.event || a.slot - b.slot);
    this.#changeEvents = changes.map(({ event }) => event);
    this.#changeSlots = changes.map(({ slot }) => slot);
  }

  /** Judges what was recovered after power was lost (or the process killed) after this event. */
  judge(recovered: Recovered, event: number): Judgement {
    if (this.#survival.survives === "a prefix")
      return this.#judgePrefix(recovered, event, this.#survival.lossMsMax);
    const track = this.#trackOf(recovered, event, 0);
    if (track.wrong === 0) return nothingWrong;
    return this.#together(track.verdicts);
  }

  /**
   * Judges what was recovered after a crash, a restart that served `served` to clients, and a power loss then. What the
   * reads showed was acknowledged by them.
   */
  judgeServed(served: Recovered, recovered: Recovered, event: number): Judgement {
    // Under a lossy promise what a read showed may be lost like anything else.
    if (served === recovered || this.#survival.survives === "a prefix") return this.judge(recovered, event);
    const verdicts: KeyVerdict[] = [];
    for (const [slot, key] of this.#keys.entries()) {
      const [first, second] = [served.values[slot]!, recovered.values[slot]!];
      if (first !== second) verdicts.push(key.afterServing(first, second, event));
    }
    return this.#together(verdicts);
  }

  #together(
    verdicts: readonly KeyVerdict[],
    across: readonly Finding[] = [],
    loss: Loss = nothingLost,
  ): Judgement {
    return {
      findings: worstFindings([...across, ...verdicts.flatMap(({ findings }) => findings)]),
      unknown: verdicts.flatMap(({ unknown }) => unknown),
      notJudged: verdicts.reduce((sum, { notJudged }) => sum + (notJudged ? 1 : 0), 0),
      loss,
    };
  }

  /** The verdicts on all keys at this event; after the first time only those whose cut changed are looked at. */
  #trackOf(recovered: Recovered, event: number, incarnation: number): Track {
    const id = recovered.id * incarnationsMax + incarnation;
    const known = this.#tracks.get(id);
    const from = known ? after(this.#changeEvents, known.event) : 0;
    const to = known ? after(this.#changeEvents, event) : 0;
    if (!known || event < known.event || to - from > this.#keys.length) {
      const verdicts = this.#keys.map((key, slot) =>
        key.verdict(recovered.values[slot]!, event, incarnation),
      );
      const track = { event, verdicts, wrong: verdicts.filter(isNotice).length };
      this.#tracks.set(id, track);
      return track;
    }
    for (let change = from; change < to; change++) {
      const slot = this.#changeSlots[change]!;
      const verdict = this.#keys[slot]!.verdict(recovered.values[slot]!, event, incarnation);
      known.wrong += (isNotice(verdict) ? 1 : 0) - (isNotice(known.verdicts[slot]!) ? 1 : 0);
      known.verdicts[slot] = verdict;
    }
    known.event = event;
    return known;
  }

  /**
   * Under a lossy promise. Where a process crash may lose something, too, the state may be one that an earlier incarnation
   * went through: then each is tried, the last one first, and one that explains the state is enough.
   */
  #judgePrefix(recovered: Recovered, event: number, lossMsMax: number): Judgement {
    const loses = this.#options.promise.processCrash.survives === "a prefix";
    let latest: Judgement | undefined;
    for (let incarnation = loses ? this.#incarnationAt(event) : 0; incarnation >= 0; incarnation--) {
      const judgement = this.#judgePrefixOf(recovered, event, incarnation, lossMsMax);
      if (judgement.findings.length === 0) return judgement;
      latest ??= judgement;
    }
    return latest!;
  }

  /** The latest incarnation that was ready at this event. */
  #incarnationAt(event: number): number {
    const { obligations } = this.#options;
    const now = obligations.timeOf(event);
    let latest = 0;
    for (const { time, incarnation } of obligations.history.readiness) {
      if (time <= now && incarnation < incarnationsMax) latest = Math.max(latest, incarnation);
    }
    return latest;
  }

  #judgePrefixOf(recovered: Recovered, event: number, incarnation: number, lossMsMax: number): Judgement {
    const { verdicts } = this.#trackOf(recovered, event, incarnation);
    let writes = 0;
    let first: LostOperation | undefined;
    let oldest: LostOperation | undefined;
    let survivor: SurvivingOperation | undefined;
    for (const verdict of verdicts) {
      const { fates } = verdict;
      if (!fates) continue;
      writes += fates.lost;
      if (fates.first && (!first || fates.first.operation.return < first.operation.return))
        first = fates.first;
      if (fates.oldest && (!oldest || fates.oldest.acknowledgedNs < oldest.acknowledgedNs))
        oldest = fates.oldest;
      if (fates.survivor && (!survivor || fates.survivor.operation.call > survivor.operation.call)) {
        survivor = fates.survivor;
      }
    }
    const { obligations } = this.#options;
    const upTo = (ns: number) => obligations.upTime(ns) / 1e6;
    const ms = oldest ? Math.max(0, upTo(obligations.timeOf(event)) - upTo(oldest.acknowledgedNs)) : 0;
    const across: Finding[] = [];
    if (first && survivor && first.operation.return < survivor.operation.call) {
      across.push(reordered(first, survivor));
    }
    if (oldest && ms > lossMsMax) across.push(lostTooMuch(oldest, ms, lossMsMax, writes));
    return this.#together(verdicts.filter(isNotice), across, { writes, ms });
  }
}

/** The verdicts on one recovery, kept up to date from event to event. */
interface Track {
  event: number;
  readonly verdicts: KeyVerdict[];
  wrong: number;
}

function reordered(lost: LostOperation, survivor: SurvivingOperation): Finding {
  const { operation, read } = lost;
  return {
    kind: "reordered-recovery",
    workload: operation.workload,
    key: operation.key,
    operations: inOrder([operation, survivor.operation, read, survivor.read]),
    sentence: `the ${named(survivor.operation)}, sent at ${seconds(survivor.operation.calledAt)}, is there, but the ${named(operation)}, acknowledged before that at ${seconds(operation.returnedAt)}, is not`,
  };
}

function lostTooMuch(oldest: LostOperation, ms: number, lossMsMax: number, writes: number): Finding {
  const { operation, read, acknowledgedNs } = oldest;
  return {
    kind: "lost-acknowledged-write",
    workload: operation.workload,
    key: operation.key,
    operations: inOrder([operation, read]),
    sentence: `the ${named(operation)} was acknowledged at ${seconds(acknowledgedNs)}, ${ms.toFixed(0)} ms of the store's life before power was lost, and is gone; the promise allows a loss of ${lossMsMax} ms`,
    count: writes,
  };
}

function named({ f, input, key, process }: Operation): string {
  const argument = input === undefined || input === null ? "" : ` of ${quote(input)}`;
  return `${f}${argument} on key ${key} (client ${process})`;
}
