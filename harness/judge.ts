/**
 * What is checked, and in which order: assumptions first, then each workload's own checkers, then the checks that need
 * no model (an acknowledgement without a sync, one after a failed sync), then whether the store came back at all.
 *
 * Judged epoch by epoch: keys of different epochs are different keys, so the verdicts compose. An epoch in which power was
 * lost is judged by what the store promises for power loss.
 *
 * After damage (at rest, or by hardware that lied) a store may refuse to start, if it says why. If it starts instead:
 *  - it reported a cut there, or the damage looks like an older disk or an earlier end of the log (the fault names it):
 *    the last incarnation is judged as "a prefix" instead of "everything acknowledged";
 *  - a write was lost or changed on its way: only that last write may be missing, see `withoutLastChanges`;
 *  - otherwise everything acknowledged must be there.
 * Invented, mixed or reordered state is a violation in every case.
 */
import { type FaultLife, hidesSyncs } from "../faults/index.ts";
import type { StorePromise } from "../stores/contract.ts";
import type { Workload } from "../workloads/contract.ts";
import { checkAssumptions } from "./checkers/assumptions.ts";
import { runChecker } from "./checkers/compose.ts";
import type { CheckContext, CheckResult, Finding } from "./checkers/contract.ts";
import { checkCoveringSync, checkFailStop, type LogFailure } from "./checkers/durability.ts";
import type { RunClock } from "./history/clock.ts";
import { buildHistory, type History, ofWorkload } from "./history/history.ts";
import type { HistoryEvent, Operation } from "./history/operation.ts";
import type { Resolution } from "./scenario.ts";
import type { NodeExit, StoreNode } from "./single-node.ts";

/** ms within which a store that stops by itself after a short write may have stopped because of it. */
const excusedWithinMs = 500;

/** Wall time one checker may use on one epoch, in ms. */
const budgetMs = 4000;

/** What was done to the files behind the store's back, and what it said of it. */
export interface Damage {
  /** The one that came up after it. */
  readonly incarnation: number;
  /** Its ready line reports a cut there. */
  readonly reported: boolean;
  /** The fault and its evidence. */
  readonly where: string;
  /** What the damage cannot be told from, when the fault says so. */
  readonly looksLike?: string;
  /** Done on the way to the disk, while the store ran. */
  readonly live: boolean;
}

/** Faults whose firing is a failed write or sync of the log, told to the store at that moment. */
const failsTheLog = new Set(["sync-error", "write-error", "fsyncgate", "reverting-sync", "torn-write-error"]);

/** What was not seen cannot be said to be missing. */
export function unlessUnseen(result: CheckResult, unseenSyncs: string | undefined): CheckResult {
  if (unseenSyncs === undefined || result.verdict !== false) return result;
  const why = `acknowledgements without a sync that was seen, but ${unseenSyncs}`;
  return { ...result, verdict: "unknown", reasons: [...result.reasons, why], findings: [] };
}

/** What happened in an epoch that a history alone does not say. */
export class EpochFacts {
  readonly epoch: number;
  readonly #clock: RunClock;
  readonly unknowns: string[] = [];
  readonly findings: Finding[] = [];
  /** Failed writes and syncs of the log, as times in ns since the run's start. */
  readonly logFailures: { readonly incarnation: number; readonly atNs: number }[] = [];
  /** The incarnation that came up after damage at rest, and whether it reported a cut. */
  damaged: Damage | undefined;
  /** Power was lost: the promise for power loss is the one that counts. */
  lostPower = false;
  starts = 0;
  #incarnation = -1;
  #crashAwaitsReadBack = false;
  /** Crashes (no graceful stops) after which everything was read back: what an estimate of loss may be made from. */
  crashesReadBack = 0;
  stops = 0;
  /** Why not every sync was seen. */
  unseenSyncs: string | undefined;
  refusals: string[] = [];
  /** How often the store stopped itself after a failed write or sync, as a fail-stop store should. */
  stoppedItself = 0;
  crashes = 0;

  constructor(epoch: number, clock: RunClock) {
    this.epoch = epoch;
    this.#clock = clock;
  }

  /** Everything was read back after the last start. */
  readBackCompleted(): void {
    if (this.#crashAwaitsReadBack && this.damaged?.incarnation !== this.#incarnation) this.crashesReadBack++;
    this.#crashAwaitsReadBack = false;
  }

  unknown(reason: string): void {
    this.unknowns.push(reason);
  }

  /** Something the front end could not see; a sync that it did not see may have covered what seems to be without one. */
  blindSpot(sentence: string): void {
    if (hidesSyncs(sentence)) this.unseenSyncs = sentence;
  }

  started(incarnation: number, report: unknown, lives: readonly FaultLife[]): void {
    this.starts++;
    this.#incarnation = incarnation;
    const damage = lives.find(isDamage);
    if (damage) this.#damagedBy(damage, reportsCut(report, damage));
  }

  /** The store that runs now has read what is not in its files: all that it serves counts as served after damage. */
  readDamage(life: FaultLife): void {
    this.#damagedBy(life, false);
  }

  #damagedBy(damage: FaultLife, reported: boolean): void {
    const { looksLike } = damage.evidence ?? {};
    this.damaged = {
      incarnation: this.#incarnation,
      reported,
      where: `${damage.fault.name} ${JSON.stringify(damage.evidence)}`,
      ...(typeof looksLike === "string" ? { looksLike } : {}),
      live: damage.fault.when !== "at-rest",
    };
  }

  powerLost(): void {
    this.lostPower = true;
  }

  /** A process crash or a loss of power, whatever brought it about. */
  crashed(): void {
    this.crashes++;
    this.#crashAwaitsReadBack = true;
  }

  /** Before the kill that ends a cycle: did the fault end it, did the store stop itself, or did neither happen? */
  endedBy(node: StoreNode, life: FaultLife): void {
    const exit = node.exit();
    if (life.fault.name === "stop") this.stops++;
    else this.crashed();
    if (exit && !exit.byUs && life.fault.mechanism === "interposer" && exit.signal === undefined)
      this.stoppedItself++;
  }

  /** A store that stopped in a cycle in which nothing that could excuse it had fired. */
  cycleOver(node: StoreNode, lives: readonly FaultLife[]): void {
    const exit = node.exit();
    if (!exit || exit.byUs) return;
    const exitedAt = this.#clock.fromMonotonic(exit.at);
    const excuse = lives.find((life) => excusesAStop(life, exit, exitedAt));
    if (excuse) return;
    if (/ENOSPC|no space left/i.test(exit.lastLine)) {
      this.unknown(
        `epoch ${this.epoch}: the store stopped because its disk is really full: ${exit.lastLine}`,
      );
      return;
    }
    this.findings.push({
      kind: "unexpected-stop",
      operations: [],
      sentence: `epoch ${this.epoch}: the store stopped by itself (${exitText(exit)}) with no fault in force that excuses it${exit.lastLine ? `; its last words: ${exit.lastLine}` : ""}`,
    });
  }

  refusedToStart(sentence: string, lives: readonly FaultLife[]): void {
    const silent = sentence.includes("it printed nothing");
    if (lives.some(mayRefuse) && !silent) {
      this.refusals.push(sentence);
      return;
    }
    this.findings.push({
      kind: "did-not-recover",
      operations: [],
      sentence: `epoch ${this.epoch}: the store did not come back${lives.length > 0 ? ` after ${lives.map((life) => life.fault.name).join(", ")}` : ""}: ${sentence}`,
    });
  }

  fault(life: FaultLife): void {
    if (life.firedAt === undefined) {
      if (!life.cutShort) {
        this.unknown(
          `epoch ${this.epoch}: fault ${life.fault.name} ${JSON.stringify(life.parameters)} was armed and never fired`,
        );
      }
      return;
    }
    const stamp = life.evidence?.firstAtNs;
    if (failsTheLog.has(life.fault.name) && typeof stamp === "number") {
      this.logFailures.push({ incarnation: life.incarnation, atNs: this.#clock.fromMonotonic(stamp) });
    }
  }
}

/** The checks of one run, epoch by epoch. */
export class Judge {
  readonly #workloads: readonly Workload[];
  readonly #promise: StorePromise;

  constructor(resolution: Resolution) {
    this.#workloads = resolution.workloads;
    this.#promise = weakest(resolution);
  }

  check(events: readonly HistoryEvent[], facts: EpochFacts): CheckResult[] {
    const results = this.#check(events, facts);
    return this.#promise.detectsDamageAtRest ? results : results.map(observedOnly);
  }

  #check(events: readonly HistoryEvent[], facts: EpochFacts): CheckResult[] {
    const promise = this.#promiseOf(facts);
    const context: CheckContext = { promise, budgetMs };
    const whole = buildHistory(events);
    const { damaged } = facts;
    const mayBeEarlier = damaged !== undefined && (damaged.reported || damaged.looksLike !== undefined);
    const history = mayBeEarlier
      ? withoutIncarnation(whole, damaged.incarnation)
      : damaged?.live
        ? withoutLastChanges(whole, damaged.incarnation - 1, this.#changes)
        : whole;
    const results = [
      ...runChecker("assumptions", context, () => [checkAssumptions(whole, context, false)]),
      ...this.#ofWorkloads(history, context),
      ...runChecker("covering sync", context, () => [
        unlessUnseen(checkCoveringSync(whole, this.#changes, context), facts.unseenSyncs),
      ]),
      ...runChecker("fail-stop", context, () => [
        checkFailStop(whole, failuresByRank(facts, events), this.#changes, context),
      ]),
      recovery(facts),
    ];
    if (!damaged) return results.map(honestlyNamed);
    return mayBeEarlier
      ? [...results.map(honestlyNamed), ...this.#earlierState(whole, facts, damaged, promise)]
      : results.map((result) => relabelDamage(honestlyNamed(result), damaged));
  }

  #promiseOf(facts: EpochFacts): StorePromise {
    const { powerLoss } = this.#promise;
    const weaker = facts.lostPower && powerLoss.survives === "a prefix";
    return weaker ? { ...this.#promise, processCrash: powerLoss } : this.#promise;
  }

  #ofWorkloads(history: History, context: CheckContext): CheckResult[] {
    return this.#workloads.flatMap((workload) =>
      runChecker(workload.name, context, () => [
        ...workload.check(ofWorkload(history, workload.name), context),
      ]),
    );
  }

  /** An earlier consistent state is allowed; invented or mixed state is not. */
  #earlierState(whole: History, facts: EpochFacts, damaged: Damage, promise: StorePromise): CheckResult[] {
    const context: CheckContext = {
      promise: { ...promise, processCrash: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY } },
      budgetMs,
    };
    const merged = promise.processCrash.survives === "a prefix" ? whole : asOneStart(whole, facts);
    const after = damaged.reported
      ? "after damage that the store reported"
      : `after damage that looks like ${damaged.looksLike}`;
    return this.#ofWorkloads(merged, context).map((result) => ({
      ...relabelDamage(result, damaged),
      checker: `${after}: ${result.checker}`,
    }));
  }

  /** Whether an acknowledged operation changed the store, so that a sync is owed. */
  readonly #changes = (operation: Operation): boolean => {
    const workload = this.#workloads.find((candidate) => candidate.name === operation.workload);
    if (!workload || operation.outcome !== "ok") return false;
    const { f, key, input, output, matched } = operation;
    return workload.changes(
      { workload: workload.name, f, key, value: input },
      { type: "ok", value: output, ...(matched === undefined ? {} : { matched }) },
    );
  };
}

/** A check that had nothing to look at must not read like one that passed. */
function honestlyNamed(result: CheckResult): CheckResult {
  const looked = Object.values(result.checked).some((count) => count > 0);
  const idle = result.verdict === true && !looked && result.notChecked.length > 0;
  return idle ? { ...result, checker: `${result.checker} (nothing to check)` } : result;
}

function recovery(facts: EpochFacts): CheckResult {
  return {
    checker: "recovery and availability",
    verdict: facts.findings.length > 0 ? false : facts.unknowns.length > 0 ? "unknown" : true,
    reasons: facts.unknowns,
    findings: facts.findings,
    checked: { starts: facts.starts, refusals: facts.refusals.length },
    notChecked: [],
    elapsedMs: 0,
  };
}

function withoutIncarnation(history: History, incarnation: number): History {
  return {
    operations: history.operations.filter((operation) => operation.incarnation !== incarnation),
    readiness: history.readiness.filter((start) => start.incarnation !== incarnation),
  };
}

/** Everything before the damage as one start: "an earlier state" may be any of them, not only the last one's. */
function asOneStart(history: History, facts: EpochFacts): History {
  const incarnation = facts.damaged!.incarnation - 1;
  return {
    ...history,
    operations: history.operations.map((operation) =>
      operation.incarnation > incarnation ? operation : { ...operation, incarnation, readBack: false },
    ),
  };
}

/** A run with graceful stops is judged by the weaker of the two promises; scenario.ts says what that leaves out. */
function weakest({ store, scenario }: Resolution): StorePromise {
  const promise = store.promise(scenario.durability);
  const stops = scenario.faults.includes("stop") && promise.gracefulStop.survives === "a prefix";
  return stops ? { ...promise, processCrash: promise.gracefulStop } : promise;
}

/** What a store never promised to notice is observed, not held against it. */
function observedOnly(result: CheckResult): CheckResult {
  const shown = result.findings.filter((finding) => finding.kind === "served-damaged-data");
  if (shown.length === 0) return result;
  const findings = result.findings.filter((finding) => !shown.includes(finding));
  const reasons = shown.map((finding) => `observed, and not promised otherwise: ${finding.sentence}`);
  return {
    ...result,
    findings,
    reasons: [...result.reasons, ...reasons],
    verdict: findings.length > 0 ? false : "unknown",
  };
}

function relabelDamage(result: CheckResult, damaged: Damage): CheckResult {
  const shows = (finding: Finding) =>
    finding.operations.some((operation) => operation.incarnation === damaged.incarnation);
  return {
    ...result,
    findings: result.findings.map((finding) =>
      shows(finding)
        ? {
            ...finding,
            kind: "served-damaged-data" as const,
            sentence: `after damage (${damaged.where}) the store served wrong or missing data ${damaged.reported ? "beyond the cut it reported" : "and reported nothing"}: ${finding.sentence}`,
          }
        : finding,
    ),
  };
}

function failuresByRank(facts: EpochFacts, events: readonly HistoryEvent[]): LogFailure[] {
  return facts.logFailures.map(({ incarnation, atNs }) => ({
    incarnation,
    failedAtRank: events.find((event) => event.time >= atNs)?.index ?? Number.POSITIVE_INFINITY,
  }));
}

/** The files, or what the store read of them, are not what it wrote. */
function isDamage({ fault, firedAt }: FaultLife): boolean {
  return firedAt !== undefined && (fault.when === "at-rest" || fault.deceives === true);
}

/** A store that finds damage, or cannot read its files, may refuse to start. */
function mayRefuse(life: FaultLife): boolean {
  return isDamage(life) || (life.fault.when === "recovery" && life.firedAt !== undefined);
}

/**
 * The history of a write that was lost or changed on its way, without what only that write held: a log whose last write
 * is missing looks like one that ended before it. Changes of that incarnation after whose acknowledgement no other
 * acknowledged change was sent can all have been in the last write: they count as indeterminate. Reads that may have
 * seen them are left out. Anything earlier was followed by a write that is there, so its loss can be noticed.
 */
export function withoutLastChanges(
  history: History,
  incarnation: number,
  changes: (operation: Operation) => boolean,
): History {
  const mine = history.operations.filter((operation) => operation.incarnation === incarnation);
  const changed = mine.filter((operation) => operation.outcome === "ok" && changes(operation));
  const lastSent = changed.reduce((last, operation) => Math.max(last, operation.call), -1);
  const last = new Set(changed.filter((operation) => operation.return > lastSent));
  const since = [...last].reduce(
    (first, operation) => Math.min(first, operation.call),
    Number.POSITIVE_INFINITY,
  );
  const next = history.readiness.find((start) => start.incarnation > incarnation);
  const bound = next?.rank ?? Number.POSITIVE_INFINITY;
  const reads = (operation: Operation) =>
    operation.incarnation === incarnation && operation.outcome === "ok" && !changes(operation);
  return {
    ...history,
    operations: history.operations
      .filter((operation) => !(reads(operation) && operation.return > since))
      .map((operation) =>
        last.has(operation)
          ? {
              ...operation,
              outcome: "info",
              output: undefined,
              return: bound,
              bound,
              returnedAt: Number.POSITIVE_INFINITY,
            }
          : operation,
      ),
  };
}

/**
 * The store's ready line names what its recovery cut: `{"recovery":{"cut":{"file","offset"}}}`. A cut elsewhere, say of a
 * tail that a torn write left, is no report of this damage. Damage on the way to the disk names no offset (the evidence
 * has the file only).
 */
function reportsCut(report: unknown, damage: FaultLife): boolean {
  const cut = (report as { recovery?: { cut?: { file?: unknown; offset?: unknown } | null } } | undefined)
    ?.recovery?.cut;
  if (!cut) return false;
  const { file, offset, other, path } = damage.evidence ?? {};
  if (typeof cut.file !== "string" || typeof cut.offset !== "number") return true;
  if (damage.fault.when !== "at-rest") return cut.file === path;
  return (cut.file === file && cut.offset <= Number(offset)) || cut.file === other;
}

/**
 * A fired crash fault excuses the stop that follows it. A short write must be survived, but a store that stops at once
 * instead loses nothing; one that is merely slowed has no excuse, and neither has one that dies by a signal of its own.
 */
function excusesAStop(life: FaultLife, exit: NodeExit, exitedAt: number): boolean {
  if (life.firedAt === undefined) return false;
  const killed = exit.signal !== undefined && exit.signal !== "SIGKILL" && exit.signal !== "SIGTERM";
  if (life.fault.when === "crash") return !killed;
  return (
    life.fault.name === "short-write" &&
    !exit.signal &&
    Math.abs(exitedAt - life.firedAt) < excusedWithinMs * 1e6
  );
}

function exitText(exit: { readonly code?: number; readonly signal?: string }): string {
  return exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code}`;
}
