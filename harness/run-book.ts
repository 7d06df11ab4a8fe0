/**
 * The book of one run: everything counted while it goes on, and the results made from it at the end. It judges nothing;
 * it adds up what the judge said, and adds the two reasons for `unknown` that only a whole run knows: too little was
 * done, or the instrument itself could not be trusted.
 */

import { relative } from "node:path";
import { build, type Histogram } from "hdr-histogram-js";
import { tooLittle } from "./checkers/assumptions.ts";
import { type CheckResult, combineVerdicts, type Finding, type Verdict } from "./checkers/contract.ts";
import type { RunClock } from "./history/clock.ts";
import type { HistoryEvent } from "./history/operation.ts";
import type { EpochFacts } from "./judge.ts";
import { describeMachine, gitCommit } from "./machine.ts";
import { packageRoot, packageVersion } from "./package-root.ts";
import type {
  FaultRecord,
  FaultTally,
  InstrumentCheck,
  NotCovered,
  Percentiles,
  RunResults,
} from "./results.ts";
import { type CyclePlan, durabilityText, type Resolution } from "./scenario.ts";

/** Findings kept in the results; `count` of each says how many more there are. */
const findingsKept = 20;

export interface BookOptions {
  readonly directory: { readonly path: string };
  readonly command: string;
  readonly replay: string;
  readonly instrumentCheck?: InstrumentCheck;
  /** The words of the promise that the run was judged by. Default: the store's own, as one node. */
  readonly promise?: string;
}

export class RunBook {
  readonly #resolution: Resolution;
  readonly #clock: RunClock;
  readonly #startedAt = new Date();
  readonly #tallies = new Map<string, { planned: number; armed: number; fired: number }>();
  readonly #counts: Record<string, number> = {};
  readonly #checks = new Map<string, CheckResult>();
  readonly #recoveryMs: number[] = [];
  readonly #unavailableMs: number[] = [];
  readonly #invokedAt = new Map<number, number>();
  readonly #generations: number[] = [];
  readonly #quiet = newHistogram();
  readonly #duringFaults = newHistogram();
  #faultsInForce = 0;
  #lastAcknowledgedAt: number | undefined;
  #lastFault = "start";
  #awaitingAfterStop = false;
  #longestGap = { ns: 0, after: "start" };

  constructor(resolution: Resolution, clock: RunClock) {
    this.#resolution = resolution;
    this.#clock = clock;
    for (const fault of resolution.faults) this.#tallies.set(fault.name, { planned: 0, armed: 0, fired: 0 });
  }

  /** A process number never used before whose remainder by the number of clients is the client. */
  newProcess(client: number): number {
    const generation = this.#generations[client] ?? 0;
    this.#generations[client] = generation + 1;
    return client + generation * this.#resolution.scenario.clients;
  }

  epochBegan(): void {
    this.#add("epochs");
    this.#lastAcknowledgedAt = undefined;
    this.#awaitingAfterStop = false;
  }

  cycleBegan(plan: CyclePlan): void {
    this.#add("cycles");
    const { background } = this.#resolution.scenario;
    const { passing, ending, powerLoss, atRest, recovery } = plan;
    for (const planned of [...background, ...passing, ending, powerLoss, atRest, recovery]) {
      if (planned) this.#tally(planned.fault).planned++;
    }
  }

  /** A storm of a cluster: counted as a cycle. */
  roundBegan(planned: readonly string[]): void {
    this.#add("cycles");
    for (const fault of planned) this.#tally(fault).planned++;
  }

  /** Every event of the history passes through here once. */
  saw(event: HistoryEvent): void {
    if (event.process === "nemesis") this.#sawNemesis(event);
    else if (event.type === "invoke") {
      this.#invokedAt.set(event.process, event.time);
      this.#add(event.readBack ? "readBack" : "operations");
    } else this.#sawCompletion(event, event.process);
  }

  fault(record: FaultRecord, cutShort: boolean): void {
    const tally = this.#tally(record.name);
    if (record.firedAt !== undefined || !cutShort) tally.armed++;
    if (record.firedAt !== undefined) tally.fired++;
  }

  restarted(recoveryMs: number): void {
    this.#add("restarts");
    this.#recoveryMs.push(Math.round(recoveryMs));
  }

  readBack(answered: number): void {
    this.#add("readBackAnswered", answered);
  }

  judged(results: readonly CheckResult[], facts: EpochFacts): void {
    this.#add("crashes", facts.crashes);
    this.#add("crashesReadBack", facts.crashesReadBack);
    this.#add("gracefulStops", facts.stops);
    this.#add("stoppedItself", facts.stoppedItself);
    this.#add("refusedDamaged", facts.refusals.length);
    if (facts.damaged?.reported) this.#add("reportedDamage");
    this.checked(results);
  }

  /** A member of a cluster ended, whatever ended it. */
  memberEnded(): void {
    this.#add("crashes");
  }

  /** Adds up what was checked, and nothing else. */
  checked(results: readonly CheckResult[]): void {
    for (const result of results) this.#merge(result);
  }

  violated(): boolean {
    return [...this.#checks.values()].some((check) => check.verdict === false);
  }

  /** All findings of all checks. */
  findings(): Finding[] {
    return [...this.#checks.values()].flatMap((check) => check.findings);
  }

  operations(): number {
    return this.#counts.operations ?? 0;
  }

  conclude(options: BookOptions, interrupted: boolean): RunResults {
    const { scenario, store, workloads } = this.#resolution;
    const checks = [...this.#checks.values()];
    const doubts = this.#doubts(options.instrumentCheck, interrupted);
    const verdict = combineVerdicts([
      ...checks.map((check) => check.verdict),
      ...(doubts.length > 0 ? ["unknown" as const] : []),
    ]);
    const findings = checks.flatMap((check) => check.findings);
    const commit = gitCommit(packageRoot);
    return {
      formatVersion: 1,
      command: options.command,
      verdict,
      exitCode: exitCodeOf(verdict),
      reasons: reasonsOf(verdict, findings, [...doubts, ...checks.flatMap((check) => check.reasons)]),
      findings: findings.slice(0, findingsKept),
      faults: this.#faultTallies(),
      counts: { ...this.#counts, findings: findings.reduce((sum, finding) => sum + (finding.count ?? 1), 0) },
      seed: scenario.seed,
      runDir: relative(process.cwd(), options.directory.path) || ".",
      replay: options.replay,
      store: { name: store.name },
      durability: durabilityText(scenario.durability),
      promise: options.promise ?? store.promise(scenario.durability).source,
      workloads: workloads.map((workload) => workload.name),
      clients: scenario.clients,
      startedAt: this.#startedAt.toISOString(),
      elapsedMs: Math.round(this.#clock.now() / 1e6),
      checks,
      notCovered: this.#notCovered(checks),
      worst: this.#worst(findings),
      recoveryMs: this.#recoveryMs,
      unavailableMs: this.#unavailableMs,
      responseTimes: { quiet: percentiles(this.#quiet), duringFaults: percentiles(this.#duringFaults) },
      ...(options.instrumentCheck ? { instrumentCheck: options.instrumentCheck } : {}),
      machine: describeMachine(options.directory.path),
      versions: { acked: packageVersion, node: process.version },
      ...(commit ? { gitCommit: commit } : {}),
      interrupted,
    };
  }

  #sawNemesis(event: HistoryEvent): void {
    const phase = (event.value as { event?: string } | undefined)?.event;
    if (phase === "armed") this.#faultsInForce++;
    if (phase === "fired") this.#lastFault = event.f;
    if (phase === "healed") this.#faultsInForce--;
    if (phase === "fired" && event.f === "stop") this.#awaitingAfterStop = true;
  }

  #sawCompletion(event: HistoryEvent, process: number): void {
    const invokedAt = this.#invokedAt.get(process) ?? event.time;
    this.#invokedAt.delete(process);
    if (event.type !== "ok") {
      this.#add(event.type === "fail" ? "failed" : "indeterminate");
      return;
    }
    this.#add("acknowledged");
    const histogram = this.#faultsInForce > 0 ? this.#duringFaults : this.#quiet;
    histogram.recordValue(Math.max(1, event.time - invokedAt));
    this.#sawAcknowledgement(event.time);
  }

  #sawAcknowledgement(time: number): void {
    const gap = this.#lastAcknowledgedAt === undefined ? 0 : time - this.#lastAcknowledgedAt;
    if (gap > this.#longestGap.ns) this.#longestGap = { ns: gap, after: this.#lastFault };
    // A reply already on its way when SIGTERM arrived is not the store serving again: a real stop takes longer.
    if (this.#awaitingAfterStop && gap > 5e6) {
      this.#unavailableMs.push(Math.round(gap / 1e6));
      this.#awaitingAfterStop = false;
    }
    this.#lastAcknowledgedAt = time;
  }

  /** Reasons for `unknown` that no single check sees. */
  #doubts(instrumentCheck: InstrumentCheck | undefined, interrupted: boolean): string[] {
    const doubts: string[] = [];
    const { scenario } = this.#resolution;
    if (interrupted) doubts.push("the run was interrupted before its time was over");
    if (instrumentCheck && !instrumentCheck.caught) {
      doubts.push(
        `the instrument check failed: ${instrumentCheck.store} (${instrumentCheck.bug}) was not caught`,
      );
    }
    const said = [...this.#checks.values()].some((check) => check.reasons.length > 0);
    if ((this.#counts.cycles ?? 0) === 0 && !said && !interrupted)
      doubts.push("no cycle fitted into the budget: give it more --seconds");
    const assumptions = [...this.#checks.values()].find((check) => check.checker === "assumptions");
    doubts.push(...tooLittle(assumptions?.checked ?? {}));
    const idle = scenario.faults.filter(
      (name) => this.#tally(name).planned > 0 && this.#tally(name).fired === 0,
    );
    const anyFired = this.#faultTallies().some((tally) => tally.fired > 0);
    if (scenario.faults.length > 0 && !anyFired && idle.length > 0) {
      doubts.push(`none of the chosen faults fired (${idle.join(", ")})`);
    }
    return doubts;
  }

  #notCovered(checks: readonly CheckResult[]): NotCovered[] {
    const neverFired = this.#faultTallies()
      .filter((tally) => tally.fired === 0)
      .map((tally) => ({
        what: `fault ${tally.name}`,
        why: "not reached before the time was over; give the run more --seconds",
      }));
    const unchecked = [
      ...new Set(checks.flatMap((check) => check.notChecked.map((what) => `${check.checker}: ${what}`))),
    ];
    return [
      ...this.#resolution.scenario.notCovered,
      ...neverFired,
      ...unchecked.slice(0, 10).map((what) => ({ what, why: "the checker left it out" })),
    ];
  }

  #worst(findings: readonly Finding[]): string {
    const first = findings[0];
    if (first) return `${first.kind}: ${first.sentence}`;
    const gapMs = Math.round(this.#longestGap.ns / 1e6);
    return `longest time without an acknowledgement: ${gapMs} ms, after ${this.#longestGap.after}`;
  }

  #merge(result: CheckResult): void {
    const id = `${result.checker} ${result.workload ?? ""}`;
    const before = this.#checks.get(id);
    this.#checks.set(id, before ? mergeChecks(before, result) : result);
  }

  #faultTallies(): FaultTally[] {
    return [...this.#tallies].map(([name, tally]) => ({ name, ...tally }));
  }

  #tally(name: string): { planned: number; armed: number; fired: number } {
    const tally = this.#tallies.get(name) ?? { planned: 0, armed: 0, fired: 0 };
    this.#tallies.set(name, tally);
    return tally;
  }

  #add(name: string, amount = 1): void {
    this.#counts[name] = (this.#counts[name] ?? 0) + amount;
  }
}

/** Exit codes are those of ARCHITECTURE.md: 0 pass, 1 violation, 2 unknown. */
export function exitCodeOf(verdict: Verdict): number {
  return verdict === true ? 0 : verdict === false ? 1 : 2;
}

function mergeChecks(a: CheckResult, b: CheckResult): CheckResult {
  const checked: Record<string, number> = { ...a.checked };
  for (const [unit, count] of Object.entries(b.checked)) checked[unit] = (checked[unit] ?? 0) + count;
  return {
    ...a,
    verdict: combineVerdicts([a.verdict, b.verdict]),
    reasons: [...a.reasons, ...b.reasons],
    findings: [...a.findings, ...b.findings],
    checked,
    notChecked: [...new Set([...a.notChecked, ...b.notChecked])],
    elapsedMs: a.elapsedMs + b.elapsedMs,
  };
}

function reasonsOf(verdict: Verdict, findings: readonly Finding[], doubts: readonly string[]): string[] {
  if (verdict === true) return [];
  const sentences = findings.map((finding) => `${finding.kind}: ${finding.sentence}`);
  return [...new Set([...sentences.slice(0, findingsKept), ...doubts])];
}

/** ns, 3 digits, up to one hour. */
function newHistogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 3.6e12,
    numberOfSignificantValueDigits: 3,
  });
}

function percentiles(histogram: Histogram): Percentiles {
  const at = (percentile: number) =>
    histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(percentile);
  return {
    count: histogram.totalCount,
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: histogram.totalCount === 0 ? 0 : histogram.maxValue,
  };
}
