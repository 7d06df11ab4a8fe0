/**
 * What is checked, and in which order: assumptions first, then each workload's own checkers, then the checks that need
 * no model (an acknowledgement without a sync, one after a failed sync), then whether the store came back at all.
 *
 * Judged epoch by epoch: keys of different epochs are different keys, so the verdicts compose. After damage at rest that
 * the store itself reported, the last incarnation is judged as "a prefix" instead of "everything acknowledged".
 */
import type { FaultLife } from "../faults/index.ts";
import type { StorePromise } from "../stores/contract.ts";
import type { Workload } from "../workloads/contract.ts";
import { checkAssumptions } from "./checkers/assumptions.ts";
import { runChecker } from "./checkers/compose.ts";
import type { CheckContext, CheckResult, Finding } from "./checkers/contract.ts";
import { checkCoveringSync, checkFailStop, type LogFailure } from "./checkers/durability.ts";
import type { ClusterNode, NodeExit } from "./cluster.ts";
import type { RunClock } from "./history/clock.ts";
import { buildHistory, type History, ofWorkload } from "./history/history.ts";
import type { HistoryEvent, Operation } from "./history/operation.ts";
import type { Resolution } from "./scenario.ts";

/** ms within which a store that stops by itself after a short write may have stopped because of it. */
const excusedWithinMs = 500;

/** Wall time one checker may use on one epoch, in ms. */
const budgetMs = 4000;

/** What happened in an epoch that a history alone does not say. */
export class EpochFacts {
  readonly epoch: number;
  readonly #clock: RunClock;
  readonly unknowns: string[] = [];
  readonly findings: Finding[] = [];
  /** Failed writes and syncs of the log, as times in ns since the run's start. */
  readonly logFailures: { readonly incarnation: number; readonly atNs: number }[] = [];
  /** The incarnation that came up after damage at rest, and whether it reported a cut. */
  damaged: { readonly incarnation: number; readonly reported: boolean; readonly where: string } | undefined;
  starts = 0;
  #incarnation = -1;
  #crashAwaitsReadBack = false;
  /** Crashes (no graceful stops) after which everything was read back: what an estimate of loss may be made from. */
  crashesReadBack = 0;
  stops = 0;
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

  started(incarnation: number, report: unknown, lives: readonly FaultLife[]): void {
    this.starts++;
    this.#incarnation = incarnation;
    const damage = firedAtRest(lives);
    if (damage) {
      this.damaged = {
        incarnation,
        reported: reportsCut(report, damage),
        where: JSON.stringify(damage.evidence),
      };
    }
  }

  /** Before the kill that ends a cycle: did the fault end it, did the store stop itself, or did neither happen? */
  endedBy(node: ClusterNode, life: FaultLife): void {
    const exit = node.exit();
    if (life.fault.name === "stop") this.stops++;
    else {
      this.crashes++;
      this.#crashAwaitsReadBack = true;
    }
    if (exit && !exit.byUs && life.fault.mechanism === "interposer" && exit.signal === undefined)
      this.stoppedItself++;
  }

  /** A store that stopped in a cycle in which nothing that could excuse it had fired. */
  cycleOver(node: ClusterNode, lives: readonly FaultLife[]): void {
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
    if (firedAtRest(lives)) {
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
    const isFailure = life.fault.name === "sync-error" || life.fault.name === "write-error";
    if (isFailure && typeof stamp === "number") {
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
    const context: CheckContext = { promise: this.#promise, budgetMs };
    const whole = buildHistory(events);
    const history = facts.damaged?.reported ? withoutIncarnation(whole, facts.damaged.incarnation) : whole;
    const results = [
      ...runChecker("assumptions", context, () => [checkAssumptions(history, context, false)]),
      ...this.#workloads.flatMap((workload) =>
        runChecker(workload.name, context, () => [
          ...workload.check(ofWorkload(history, workload.name), context),
        ]),
      ),
      ...runChecker("covering sync", context, () => [checkCoveringSync(history, this.#changes, context)]),
      ...runChecker("fail-stop", context, () => [
        checkFailStop(history, failuresByRank(facts, events), this.#changes, context),
      ]),
      recovery(facts),
    ];
    if (!facts.damaged) return results.map(honestlyNamed);
    return facts.damaged.reported
      ? [...results.map(honestlyNamed), ...this.#afterReportedDamage(whole, facts)]
      : results.map((result) => relabelDamage(honestlyNamed(result), facts));
  }

  /** Once the store has said what it cut, an earlier consistent state is allowed; invented or mixed state is not. */
  #afterReportedDamage(whole: History, facts: EpochFacts): CheckResult[] {
    const promise: StorePromise = {
      ...this.#promise,
      processCrash: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
    };
    const context: CheckContext = { promise, budgetMs };
    const merged = this.#promise.processCrash.survives === "a prefix" ? whole : asOneStart(whole, facts);
    const results = this.#workloads.flatMap((workload) =>
      runChecker(workload.name, context, () => [
        ...workload.check(ofWorkload(merged, workload.name), context),
      ]),
    );
    return results.map((result) => ({
      ...relabelDamage(result, facts),
      checker: `after damage that the store reported: ${result.checker}`,
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

function relabelDamage(result: CheckResult, facts: EpochFacts): CheckResult {
  const damaged = facts.damaged!;
  const shows = (finding: Finding) =>
    finding.operations.some((operation) => operation.incarnation === damaged.incarnation);
  return {
    ...result,
    findings: result.findings.map((finding) =>
      shows(finding)
        ? {
            ...finding,
            kind: "served-damaged-data" as const,
            sentence: `after damage at rest (${damaged.where}) the store served wrong or missing data ${damaged.reported ? "beyond the cut it reported" : "and reported nothing"}: ${finding.sentence}`,
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

function firedAtRest(lives: readonly FaultLife[]): FaultLife | undefined {
  return lives.find((life) => life.fault.when === "at-rest" && life.firedAt !== undefined);
}

/**
 * The store's ready line names what its recovery cut: `{"recovery":{"cut":{"file","offset"}}}`. A cut elsewhere, say of a
 * tail that a torn write left, is no report of this damage.
 */
function reportsCut(report: unknown, damage: FaultLife): boolean {
  const cut = (report as { recovery?: { cut?: { file?: unknown; offset?: unknown } | null } } | undefined)
    ?.recovery?.cut;
  if (!cut) return false;
  const { file, offset } = damage.evidence ?? {};
  if (typeof cut.file !== "string" || typeof cut.offset !== "number") return true;
  return cut.file === file && cut.offset <= Number(offset);
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
