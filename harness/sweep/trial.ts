/**
 * One trial of a sweep: a store is started with one rule in force from its first call on, loaded with a fixed list of
 * requests, killed (or power is lost), started again without the rule, and read back; then the whole is judged by the
 * same checkers as any run.
 *
 * A trial with a rule on reads has no load: it is about what a start makes of what it reads. One whose rule returns what
 * pages held before is loaded and killed first, without the rule, and then started in the same files. Power loss leaves
 * exactly what was durable: the harshest of the states that `acked explore` visits. A trial without a rule does all of
 * this too, and counts the calls that a rule could have acted on: there is no n-th call beyond them.
 *
 * Nothing is waited for that is not needed: a trial is over when the rule has fired and what was in flight is answered,
 * or the store has ended. Rounds of requests are sent one by one and all at once by turns, so that most calls of a trial
 * come in the same order each time; in which order those sent at once reach the log is not determined.
 *
 * Not read back: keys that no request of the trial or of its beginning named.
 */
import { rmSync } from "node:fs";
import type { ArmedRule, DiskRule, Fault, RuleFired } from "../../faults/contract.ts";
import type { FaultLife } from "../../faults/index.ts";
import type { Request } from "../../stores/contract.ts";
import type { Workload } from "../../workloads/contract.ts";
import { type LoadClient, readBack, setUp } from "../clients/load.ts";
import { RecordingClient } from "../clients/recording-client.ts";
import { globMatcher } from "../explore/traced/traced-run-content.ts";
import type { RunClock } from "../history/clock.ts";
import type { HistoryEvent } from "../history/operation.ts";
import { EpochFacts } from "../judge.ts";
import { PowerTrace } from "../power-trace.ts";
import type { Resolution } from "../scenario.ts";
import type { SingleNode, StartOutcome, StoreNode } from "../single-node.ts";
import { type CrashedDirectory, copyDirectory, epoch, type Script } from "./beginnings.ts";
import { type SweepPair, sweepName } from "./plan.ts";

export interface TrialOptions {
  readonly resolution: Resolution;
  readonly clock: RunClock;
  /** Opened with `direct` and `interposed`; one trial at a time. */
  readonly single: SingleNode;
  /** For the trace of a trial that loses power; emptied by the trial. */
  readonly scratch: string;
  /** Names the data directory. */
  readonly number: number;
  readonly script: Script;
  /** Absent: the trial begins with an empty directory. */
  readonly crashed?: CrashedDirectory;
  /** Absent: nothing fails. */
  readonly pair?: SweepPair;
  readonly n: number;
  /** Without a pair: whose calls are counted. Absent too: the trial ends with the kill, and leaves a crashed directory. */
  readonly counted?: readonly SweepPair[];
  /** No load: what a start reads is all that counts. */
  readonly onlyStart: boolean;
  /** Loaded and killed before the rule comes in force, while what its pages held before is kept. */
  readonly restarted: boolean;
  /** Kinds of errors that the store replied with when nothing had failed: they say nothing about a failure. */
  readonly usualErrors?: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** What happened in a trial, to be judged. */
export interface Trial {
  readonly events: readonly HistoryEvent[];
  readonly facts: EpochFacts;
  readonly fired: RuleFired | undefined;
  /** The rule fired before the store was ready. */
  readonly duringStart: boolean;
  /** The store ended by itself, did not start under the rule, or replied with an error; its words, which may be empty. */
  readonly stopped: string | undefined;
  /** Calls that a rule of each of the counted pairs could have acted on. */
  readonly calls: ReadonlyMap<SweepPair, number>;
  /** ms of the start after the crash, without the rule. */
  readonly recoveryMs: number | undefined;
  readonly dataDir: string;
  readonly nextProcess: number;
}

/** ms for the load, and for the read-back; a store that hangs is left after it. */
const answerDeadlineMs = 3000;
/** ms that a store is given to end by itself once the rule has fired: the first when it has dropped a connection. */
const ownEndMs = { ending: 1000, silent: 30 } as const;
const reconnectPauseMs = 2;
/** ms without any disk call after which what the load began in the background is taken for done, and the most to wait. */
const quiet = { lookEveryMs: 5, forMs: 25, atMostMs: 300 } as const;
/** Every so many rounds of requests, a round is sent all at once. */
const roundsToOneAtOnce = 3;
/** The n of rules that only count. */
const never = Number.MAX_SAFE_INTEGER;

/** Plays it. Never rejects for anything the store does. */
export async function playTrial(options: TrialOptions): Promise<Trial> {
  const { single, number, restarted } = options;
  const stage = new TrialStage(options, await single.openEpoch(number, { keepPages: restarted }));
  try {
    await stage.play();
  } finally {
    await stage.close();
  }
  return stage.conclude();
}

class TrialStage {
  readonly #options: TrialOptions;
  readonly #node: StoreNode;
  readonly #events: HistoryEvent[];
  readonly #facts: EpochFacts;
  #incarnation: number;
  #nextProcess: number;
  #clients: Clients = [];
  #armed: ArmedRule | undefined;
  #counters: readonly (readonly [SweepPair, ArmedRule])[] = [];
  #loadEndsAt = Number.POSITIVE_INFINITY;
  #power: PowerTrace | undefined;
  #readyAtNs = Number.POSITIVE_INFINITY;
  #stopped: string | undefined;
  #recoveryMs: number | undefined;

  constructor(options: TrialOptions, node: StoreNode) {
    this.#options = options;
    this.#node = node;
    this.#facts = new EpochFacts(epoch, options.clock);
    this.#events = [...(options.crashed?.events ?? [])];
    this.#incarnation = options.crashed ? 0 : -1;
    this.#nextProcess = options.crashed?.nextProcess ?? 0;
    if (options.crashed) this.#facts.started(0, undefined, []);
  }

  async play(): Promise<void> {
    const { crashed, pair, counted, onlyStart, restarted } = this.#options;
    if (crashed) copyDirectory(crashed.path, this.#node.dataDir);
    if (restarted && !(await this.#loadAndKill())) return;
    if (pair?.losesPower) this.#node.beforeNextStart(() => this.#tracePower());
    if (pair) this.#armed = this.#node.disk!.arm(this.#rule(pair));
    if (counted) this.#counters = this.#countersOf(counted);
    const started = await this.#start(true);
    if (started && onlyStart) await this.#readUnderRule();
    else if (started) await this.#load();
    if (!(pair || counted) || this.#options.signal.aborted) return;
    const life = this.#life();
    if (life) await this.#awaitOwnEnd(life);
    this.#facts.cycleOver(this.#node, life ? [life] : []);
    this.#noteOwnEnd();
    this.#disconnect();
    await this.#node.kill();
    this.#facts.crashed();
    if (started && onlyStart && pair?.deceives) return this.#closeBook(life);
    this.#armed?.disarm();
    for (const [, counter] of this.#counters) counter.disarm();
    if (this.#power && life) this.#losePower();
    if (await this.#start(false)) await this.#readBack();
    this.#closeBook(life);
  }

  /** False when it did not start, which is found or told already. */
  async #loadAndKill(): Promise<boolean> {
    if (!(await this.#start(false))) return false;
    await this.#load();
    this.#facts.cycleOver(this.#node, []);
    this.#disconnect();
    await this.#node.kill();
    this.#facts.crashed();
    return !this.#options.signal.aborted;
  }

  /** Pairs whose rules act on the same calls share one. */
  #countersOf(pairs: readonly SweepPair[]): (readonly [SweepPair, ArmedRule])[] {
    const known = new Map<string, ArmedRule>();
    return pairs.map((pair) => {
      const { operation, path, effectAt } = pair;
      const effect = effectAt(1);
      const id = `${operation} ${path} ${effect.do}`;
      const armed =
        known.get(id) ?? this.#node.disk!.arm({ operation, path, nth: never, repeat: "once", effect });
      known.set(id, armed);
      return [pair, armed];
    });
  }

  /**
   * Whether the store ends by itself belongs to the outcome. One that has gone on answering since has decided; one that
   * dropped a connection is about to end.
   */
  async #awaitOwnEnd(life: FaultLife): Promise<void> {
    const since = this.#events.filter(({ time }) => time >= life.firedAt!);
    const begun = new Set(since.filter(({ type }) => type === "invoke").map((event) => event.process));
    if (since.some(({ type, process }) => type === "ok" && begun.has(process))) return;
    const dropped = since.some(({ type }) => type === "info" || type === "fail");
    const deadline = timer(dropped ? ownEndMs.ending : ownEndMs.silent);
    await Promise.race([this.#node.exited(), deadline.over]);
    deadline.stop();
  }

  #rule(pair: SweepPair): DiskRule {
    const { n } = this.#options;
    const { operation, path, repeat } = pair;
    return { operation, path, nth: n, repeat, effect: pair.effectAt(n) };
  }

  /** A refusal under a rule that has fired is an outcome; without one it is a finding. */
  async #start(underRule: boolean): Promise<boolean> {
    const began = performance.now();
    const outcome: StartOutcome = await this.#node.start();
    if (outcome.started) {
      if (!underRule) this.#recoveryMs = performance.now() - began;
      this.#incarnation++;
      const { report } = outcome;
      this.#record({
        time: this.#options.clock.now(),
        process: "nemesis",
        type: "info",
        f: "ready",
        node: this.#node.name,
        incarnation: this.#incarnation,
        ...(report === undefined ? {} : { value: report }),
      });
      if (underRule) this.#readyAtNs = Number(process.hrtime.bigint());
      const life = this.#life();
      this.#facts.started(this.#incarnation, report, life ? [life] : []);
      this.#clients = this.#connectable();
      return true;
    }
    if (this.#options.signal.aborted) return false;
    this.#refused(outcome.sentence, underRule);
    return false;
  }

  #refused(sentence: string, underRule: boolean): void {
    const fired = this.#armed?.fired();
    if (underRule && fired) {
      // A kill ends it without a word, and a store that reads only zeros of a dead disk still owes one.
      if (/was ended by SIGKILL/.test(sentence)) return;
      this.#stopped = sentence;
      this.#facts.refusedToStart(sentence, [this.#life("recovery")!]);
      return;
    }
    if (underRule && !this.#options.crashed) {
      this.#facts.unknown(`the store did not start on an empty directory: ${sentence}`);
      return;
    }
    const life = this.#life();
    if (life?.fault.deceives) this.#stopped = sentence;
    this.#facts.refusedToStart(sentence, life ? [life] : []);
  }

  async #load(): Promise<void> {
    if (!this.#options.crashed) {
      const loads = this.#clients.map((one) => ({
        ...one,
        stream: one.workload.stream({ seed: 0, client: 0, epoch }),
      }));
      await Promise.race([setUp(loads, epoch, answerDeadlineMs), this.#node.exited()]);
    }
    this.#loadEndsAt = performance.now() + answerDeadlineMs;
    const rounds = Math.max(...this.#clients.map(({ requests }) => requests.length));
    for (let round = 0; round < rounds; round++) {
      const sends = this.#clients.map(
        ({ client, requests }) =>
          () =>
            this.#send(client, requests[round]),
      );
      if (round % roundsToOneAtOnce === 1) await Promise.all(sends.map((send) => send()));
      else for (const send of sends) await send();
    }
    await this.#settle();
  }

  /** Snapshots and the like go on behind the last reply: their calls are to be failed too. */
  async #settle(): Promise<void> {
    const began = performance.now();
    let quietSince = began;
    for (let seen = this.#diskCalls(); !this.#loadIsOver(); ) {
      await sleep(quiet.lookEveryMs);
      const calls = this.#diskCalls();
      const now = performance.now();
      if (calls !== seen) quietSince = now;
      seen = calls;
      if (now - quietSince >= quiet.forMs || now - began >= quiet.atMostMs) return;
    }
  }

  #diskCalls(): number {
    return Object.values(this.#node.disk!.calls()).reduce((sum, count) => sum + count, 0);
  }

  async #send(client: RecordingClient, request: Request | undefined): Promise<void> {
    if (!request || this.#loadIsOver() || !(await this.#connected(client))) return;
    await client.perform(request);
  }

  #loadIsOver(): boolean {
    const { signal, pair } = this.#options;
    if (signal.aborted || performance.now() > this.#loadEndsAt || !this.#node.running()) return true;
    return pair?.endsLoad === true && this.#armed?.fired() !== undefined;
  }

  async #connected(client: RecordingClient): Promise<boolean> {
    while (!this.#loadIsOver()) {
      if (await client.connect()) return true;
      await sleep(reconnectPauseMs);
    }
    return false;
  }

  /**
   * Many a store reads its files only when it is asked for what is in them. One that ends then leaves reads unanswered,
   * which is no doubt: what counts is read after the start that follows.
   */
  async #readUnderRule(): Promise<void> {
    const over = new AbortController();
    this.#node.exited().then(() => over.abort());
    const { unanswered } = await readBack(this.#readers(), epoch, answerDeadlineMs, over.signal);
    const life = this.#life();
    if (life?.fault.deceives && !this.#duringStart()) this.#facts.readDamage(life);
    if (this.#node.running() || !life) this.#tellUnanswered(unanswered);
  }

  async #readBack(): Promise<void> {
    const { unanswered } = await readBack(this.#readers(), epoch, answerDeadlineMs);
    this.#tellUnanswered(unanswered);
  }

  #tellUnanswered(unanswered: readonly string[]): void {
    if (unanswered.length > 0 && !this.#options.signal.aborted) {
      this.#facts.unknown(
        `${unanswered.length} reads after the restart were not answered (${unanswered[0]})`,
      );
    } else this.#facts.readBackCompleted();
  }

  /** One workload object for all of its clients: that is how its reads are split over them. */
  #readers(): LoadClient[] {
    const named = new Set(this.#events.map(({ workload, key }) => `${workload} ${key}`));
    const narrowed = new Map<Workload, Workload>();
    return this.#clients.map(({ client, workload }) => {
      const known = narrowed.get(workload) ?? {
        ...workload,
        readBack: (of: number) =>
          workload.readBack(of).filter(({ key }) => named.has(`${workload.name} ${key}`)),
      };
      narrowed.set(workload, known);
      return { client, workload: known, stream: workload.stream({ seed: 0, client: 0, epoch }) };
    });
  }

  #connectable(): Clients {
    const { resolution, clock, script } = this.#options;
    this.#disconnect();
    const incarnation = this.#incarnation;
    return script.map(({ workload, requests }, index) => {
      const place = this.#node.place(index);
      const client = new RecordingClient({
        newProcess: () => this.#nextProcess++,
        store: resolution.store,
        workload: workload.name,
        clock,
        place: {
          get endpoint() {
            return place.endpoint;
          },
          node: place.node,
          incarnation: () => (this.#node.running() ? incarnation : undefined),
          ...(place.syncCounts ? { syncCounts: place.syncCounts } : {}),
        },
        deadlineMs: resolution.scenario.operationDeadlineMs,
        record: (event) => this.#record(event),
      });
      return { client, workload, requests };
    });
  }

  #record(event: Omit<HistoryEvent, "index">): void {
    this.#events.push({ index: this.#events.length, ...event });
  }

  #noteOwnEnd(): void {
    const exit = this.#node.exit();
    if (exit && !exit.byUs && exit.signal === undefined) this.#stopped = exit.lastLine;
    else if (this.#armed?.fired()) this.#stopped ??= this.#unusualError();
  }

  /** An error that the store itself replied with after the rule had fired; not one about the connection. */
  #unusualError(): string | undefined {
    const firedAt = this.#life()!.firedAt!;
    const { usualErrors } = this.#options;
    const told = this.#events.find(({ time, type, error }) => {
      const bad = time >= firedAt && (type === "fail" || type === "info");
      return (
        bad &&
        error !== undefined &&
        errorKind(error) !== "conflict" &&
        !aboutConnection.test(error) &&
        !usualErrors?.has(errorKind(error))
      );
    });
    return told?.error;
  }

  /** The rule as a fault that has fired, which is what the judge knows. */
  #life(when: Fault["when"] = "crash"): FaultLife | undefined {
    const fired = this.#armed?.fired();
    const { pair, clock, resolution } = this.#options;
    if (!fired || !pair) return undefined;
    const onLog = globMatcher(resolution.store.logFiles ?? "**")(fired.path);
    const firedAt = clock.fromMonotonic(fired.firstAtNs);
    return {
      fault: faultOf(pair, when, onLog),
      parameters: {},
      target: this.#node.name,
      incarnation: this.#incarnation,
      armedAt: firedAt,
      firedAt,
      healedAt: undefined,
      evidence: { ...fired, ...(pair.looksLike ? { looksLike: pair.looksLike } : {}) },
      cutShort: false,
    };
  }

  #closeBook(life: FaultLife | undefined): void {
    for (const spot of this.#node.blindSpots()) {
      this.#facts.unknown(spot);
      this.#facts.blindSpot(spot);
    }
    if (life) this.#facts.fault(life);
  }

  #tracePower(): void {
    rmSync(this.#options.scratch, { recursive: true, force: true });
    this.#power = PowerTrace.begin(this.#options.scratch, this.#node.dataDir);
    this.#node.traceInto(this.#power.environment());
  }

  #losePower(): void {
    const unseen = this.#node.blindSpots();
    const profile = this.#options.pair?.strict ? "posix-strict" : "ext4-ordered";
    const outcome = this.#power!.lose({ profile, keep: "durable" }, { unseen });
    if (outcome.lost) this.#facts.powerLost();
    else this.#facts.unknown(`power loss could not be rebuilt: ${outcome.why}`);
  }

  #disconnect(): void {
    for (const { client } of this.#clients) client.close();
    this.#clients = [];
  }

  async close(): Promise<void> {
    this.#disconnect();
    await this.#options.single.closeEpoch();
    this.#power?.close();
    this.#node.traceInto({});
    rmSync(this.#options.scratch, { recursive: true, force: true });
  }

  #duringStart(): boolean {
    const fired = this.#armed?.fired();
    return fired !== undefined && fired.firstAtNs < this.#readyAtNs;
  }

  conclude(): Trial {
    const fired = this.#armed?.fired();
    return {
      events: this.#events,
      facts: this.#facts,
      fired,
      duringStart: this.#duringStart(),
      stopped: this.#stopped,
      calls: new Map(this.#counters.map(([pair, armed]) => [pair, armed.calls()])),
      recoveryMs: this.#recoveryMs,
      dataDir: this.#node.dataDir,
      nextProcess: this.#nextProcess,
    };
  }
}

/** What clients say when the store said nothing. */
const aboutConnection = /connection|^no reply|^not sent|deadline|closed|within \d+ ms|ECONN|EPIPE/i;

/** An error's words without its numbers. */
export function errorKind(error: string): string {
  return /^conflict/.test(error) ? "conflict" : error.replace(/\d+/g, "#");
}

function timer(ms: number): { readonly over: Promise<void>; stop(): void } {
  let stop = (): void => {};
  const over = new Promise<void>((resolve) => {
    const timeout = setTimeout(resolve, ms);
    stop = () => clearTimeout(timeout);
  });
  return { over, stop };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

type Clients = readonly (Script[number] & { readonly client: RecordingClient })[];

const nothing = (): undefined => undefined;

/** A rule under the name of the fault that does the same in a run, so that the judge treats both alike. */
function faultOf(pair: SweepPair, when: Fault["when"], onLog: boolean): Fault {
  const failure = failures.get(`${pair.operation} ${pair.effect.split(" ")[0]}`);
  const told = onLog && failure && !pair.effect.endsWith("EINTR");
  return {
    name: told ? failure : sweepName(pair),
    summary: sweepName(pair),
    when,
    mechanism: "interposer",
    deceives: pair.deceives,
    unavailable: nothing,
    parameters: () => {
      throw new Error("a rule of a sweep has no parameters to be drawn");
    },
    inject: () => {
      throw new Error("a rule of a sweep is armed by its trial");
    },
  };
}

/** What a store is told of at once, on its log: from then on one that promises fail-stop acknowledges nothing. */
const failures = new Map([
  ["write error", "write-error"],
  ["write torn-error", "torn-write-error"],
  ["sync error", "sync-error"],
  ["sync fsyncgate", "fsyncgate"],
  ["sync revert", "reverting-sync"],
]);
