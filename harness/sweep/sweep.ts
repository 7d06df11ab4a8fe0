/**
 * The sweep: fail the n-th call, n = 1, 2, 3 … until the rule no longer fires, for every kind of call and every effect.
 * That is how "every write" is enumerated: by trials that are short, judged one by one, two at a time.
 *
 * How many calls there are is counted first, in trials without a fault: that is where each n ends, and no trial is spent
 * on finding out. A trial whose rule did not fire although the call had been counted (requests sent at once are not
 * always gathered into the same number of writes) is played once more, then named as *not reached*; that is no doubt
 * about the store, and it is judged all the same. Pairs take turns, so that a budget that is too small cuts all of them
 * evenly; which were finished, and at which n the others were cut short, is part of the result.
 *
 * Directories are in memory where there is room: a sync that the rule does not touch need not be slow, and what power
 * loss leaves is built from the trace.
 *
 * Not covered: two failures in one trial, calls that this workload does not make, and other interleavings of the same
 * requests: the n-th sync of one trial need not carry the same records as that of another.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { brokerUnavailable, whyNotInterposed } from "../../faults/index.ts";
import type { Store } from "../../stores/contract.ts";
import type { Workload } from "../../workloads/contract.ts";
import type { CheckResult, Finding } from "../checkers/contract.ts";
import { combineVerdicts } from "../checkers/contract.ts";
import { isHeldToPosix } from "../explore/states/profiles/index.ts";
import { RunClock } from "../history/clock.ts";
import { Judge } from "../judge.ts";
import { detectMachine } from "../machine.ts";
import type { SweepOutcome, SweepResults } from "../results.ts";
import type { RunBook } from "../run-book.ts";
import type { RunDirectory } from "../run-directory.ts";
import type { Resolution } from "../scenario.ts";
import { SingleNode } from "../single-node.ts";
import { createSupervisor, type Supervisor } from "../supervisor/supervisor.ts";
import { type CrashedDirectory, copyDirectory, epoch, type Script, scriptOf } from "./beginnings.ts";
import { SweepMatrix } from "./matrix.ts";
import { type Beginning, beginningsOf, type SweepPair, siteOf, sweepName } from "./plan.ts";
import { errorKind, playTrial, type Trial, type TrialOptions } from "./trial.ts";

export interface SweepOptions {
  /** From `resolveScenario`, with no faults. */
  readonly resolution: Resolution;
  readonly pairs: readonly SweepPair[];
  readonly directory: RunDirectory;
  /** The runs/ directory, where active children are written down. */
  readonly runsDir: string;
  /** Wall time for trials; the one that goes on when it is over is finished. */
  readonly seconds: number;
  /** Only this n, of every pair: how a single trial is played again. */
  readonly onlyN?: number;
  /** Part of a longer run, which says itself how far the sweep came: being cut short is then no doubt. */
  readonly sample?: true;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
  /** Told of every trial's checks, for the counts of the run. */
  readonly book?: RunBook;
}

export interface SweepProgress {
  readonly trials: number;
  /** All that the counted calls ask for; absent while they are counted. */
  readonly trialsInAll: number | undefined;
  readonly findings: number;
  /** The trial that ended last: `sync fsyncgate EIO, n = 3`. */
  readonly last: string;
  readonly secondsLeft: number;
  /** Until everything is swept, from the pace so far. */
  readonly secondsNeeded: number | undefined;
}

/** Trials at once: a trial mostly waits for its store to start. */
const lanes = 2;
/** Clients of a trial. */
export const sweepClients = 4;
/** Few requests with large values: log segments end, are used again and are replaced by snapshots all the same. */
const load = { clients: sweepClients, requestsEach: 4, valueBytes: 3900 } as const;
const loadOfNew = { ...load, requestsEach: 2 } as const;
const preparing = { ...load, requestsEach: 10 } as const;
/** Bytes wanted in memory for the directories of all lanes; with less, they are on the disk. */
const memoryBytes = 512 * 2 ** 20;
/** No store is swept further than this: a rule that fires for ever belongs to a store that never stops writing. */
const nMax = 2000;

/** The reason of a sweep that knows nothing. */
export const nothingFired =
  "no rule of the sweep fired: the store makes none of these calls, or there was no time for one";

/** Why this store cannot be swept on this machine, with the remedy; `undefined` when it can. */
export async function whyNotSweepable(store: Store): Promise<string | undefined> {
  const noBroker = store.interposable === false ? await brokerUnavailable() : undefined;
  return whyNotInterposed(store, { ...detectMachine(), ...(noBroker ? { noBroker } : {}) });
}

/**
 * Sweeps the pairs. Findings are results, never thrown.
 *
 * @throws ScenarioError when the store cannot be started at all, and any error of ours.
 */
export async function sweep(options: SweepOptions): Promise<SweepResults> {
  const began = performance.now();
  const stage = new Sweep(options, began + options.seconds * 1000);
  await stage.run();
  return stage.results(Math.round(performance.now() - began));
}

/** One pair from one beginning. */
interface Row {
  readonly pair: SweepPair;
  readonly beginning: Beginning;
  /** The next n to try. */
  next: number;
  readonly first: number;
  /** The n to end with: the calls there are, once they have been counted. */
  last: number;
  counted: boolean;
  /** So many n are done with. */
  done: number;
  readonly tried: Set<number>;
  /** An n that was not reached, and is to be tried once more. */
  readonly again: number[];
  /** Those that were not reached the second time either. */
  readonly missed: number[];
}

/** One trial after the other. */
interface Lane {
  readonly single: SingleNode;
  /** For traces. */
  readonly scratch: string;
}

class Sweep {
  readonly #options: SweepOptions;
  readonly #deadline: number;
  readonly #clock = new RunClock();
  readonly #judge: Judge;
  readonly #rows: Row[];
  readonly #matrix = new SweepMatrix();
  readonly #findings: Finding[] = [];
  readonly #reasons: string[] = [];
  readonly #supervisor: Supervisor;
  /** Holds every data directory, trace and control file. */
  readonly #room: string;
  /** The first makes the crashed directory. */
  readonly #lanes: Promise<Lane>[] = [];
  readonly #uncounted: { beginning: Beginning; onlyStart: boolean }[] = [
    { beginning: "after a crash", onlyStart: false },
    { beginning: "new store", onlyStart: false },
    { beginning: "after a crash", onlyStart: true },
    { beginning: "restarted", onlyStart: true },
  ];
  readonly #scripts: Readonly<Record<Beginning, Script>>;
  readonly #usualErrors = new Set<string>();
  #crashed: CrashedDirectory | undefined;
  #counted = false;
  #tryingSince = 0;
  #tried = 0;
  #trials = 0;
  #turn = 0;
  #failure: unknown;

  constructor(options: SweepOptions, deadline: number) {
    this.#options = options;
    this.#deadline = deadline;
    // Requests sent at once are gathered in more than one way, so the longest of the trials is counted twice.
    if (!options.sample) this.#uncounted.unshift({ beginning: "after a crash", onlyStart: false });
    this.#judge = new Judge(options.resolution);
    this.#supervisor = createSupervisor({ runsDir: options.runsDir });
    this.#room = this.#supervisor.temporaryDirectory("sweep", memoryBytes);
    const first = options.onlyN ?? 1;
    const last = options.onlyN ?? 0;
    const beginnings: readonly Beginning[] = ["after a crash", "new store", "restarted"];
    const { workloads, scenario, store } = options.resolution;
    const pairs = options.pairs.filter(({ strict }) => !strict || isHeldToPosix(store.name));
    // What must be opened first is left to the other beginning: the rule may keep it from being opened at all.
    const ofNew = workloads.filter((workload) => workload.setUp(epoch).length === 0);
    const noneForNew = ofNew.length === 0;
    const script = (chosen: readonly Workload[], size: typeof load | typeof loadOfNew) =>
      scriptOf(chosen, scenario.seed, { ...size, firstClient: preparing.clients });
    const afterACrash = script(workloads, load);
    this.#scripts = {
      "after a crash": afterACrash,
      "new store": noneForNew ? [] : script(ofNew, loadOfNew),
      restarted: afterACrash,
    };
    this.#rows = beginnings.flatMap((beginning) =>
      pairs
        .filter(
          (pair) => beginningsOf(pair).includes(beginning) && !(noneForNew && beginning === "new store"),
        )
        .map((pair) => {
          const lists = { again: [], missed: [], tried: new Set<number>() };
          return { pair, beginning, first, next: first, last, counted: false, done: 0, ...lists };
        }),
    );
  }

  async run(): Promise<void> {
    try {
      this.#crashed = await this.#prepare();
      if (!this.#crashed) return;
      if (this.#options.onlyN === undefined) await this.#inLanes((lane) => this.#count(lane));
      this.#counted = true;
      this.#tryingSince = performance.now();
      await this.#inLanes((lane) => this.#tryAll(lane));
      if (this.#failure) throw this.#failure;
    } finally {
      for (const lane of await Promise.allSettled(this.#lanes)) {
        if (lane.status === "fulfilled") await lane.value.single.close();
      }
      await this.#supervisor.close();
    }
  }

  /** Loads an empty store, kills it, and keeps what it left. */
  async #prepare(): Promise<CrashedDirectory | undefined> {
    const { resolution, signal } = this.#options;
    const lane = await this.#openLane("prepare");
    this.#lanes.push(Promise.resolve(lane));
    const trial = await playTrial({
      ...{ resolution, clock: this.#clock, single: lane.single, scratch: lane.scratch, signal },
      script: scriptOf(resolution.workloads, resolution.scenario.seed, { ...preparing, firstClient: 0 }),
      ...{ number: 0, n: 0, onlyStart: false, restarted: false },
    });
    if (signal.aborted) return undefined;
    if (trial.events.length === 0 || trial.facts.unknowns.length > 0) {
      this.#reasons.push(
        `the store could not be loaded without any fault: ${trial.facts.unknowns[0] ?? "it did not start"}`,
      );
      return undefined;
    }
    return { path: trial.dataDir, events: trial.events, nextProcess: trial.nextProcess };
  }

  async #openLane(name: string): Promise<Lane> {
    const { resolution, directory, runsDir } = this.#options;
    const single = await SingleNode.open({
      store: resolution.store,
      durability: resolution.scenario.durability,
      directory: { ...directory, dataDir: join(this.#room, name) },
      runsDir,
      clients: load.clients,
      interposed: true,
      direct: true,
      explored: true,
      controlDirectory: this.#room,
    });
    return { single, scratch: join(this.#room, `${name}-trace`) };
  }

  /** Takes tasks until there is none, in so many lanes. */
  async #inLanes(work: (lane: Lane) => Promise<void>): Promise<void> {
    while (this.#lanes.length <= lanes) this.#lanes.push(this.#openLane(`lane${this.#lanes.length}`));
    const opened = await Promise.all(this.#lanes);
    await Promise.all(
      opened.slice(1).map(async (lane) => {
        try {
          await work(lane);
        } catch (error) {
          this.#failure ??= error;
        }
      }),
    );
  }

  #play(lane: Lane, beginning: Beginning, asked: Pick<TrialOptions, "n" | "onlyStart" | "pair" | "counted">) {
    const { resolution, signal } = this.#options;
    return playTrial({
      ...{ resolution, clock: this.#clock, single: lane.single, scratch: lane.scratch, signal },
      script: this.#scripts[beginning],
      ...(beginning === "new store" ? {} : { crashed: this.#crashed! }),
      restarted: beginning === "restarted",
      usualErrors: this.#usualErrors,
      number: this.#trials++,
      ...asked,
    });
  }

  /** Trials without a fault, in which every row's calls are counted. They are judged as all are. */
  async #count(lane: Lane): Promise<void> {
    for (let task = this.#uncounted.shift(); task; task = this.#uncounted.shift()) {
      const { beginning, onlyStart } = task;
      const rows = this.#rows.filter(
        (row) => row.beginning === beginning && (row.pair.operation === "read") === onlyStart,
      );
      if (rows.length === 0 || this.#options.signal.aborted || this.#timeIsOver()) continue;
      const counted = rows.map(({ pair }) => pair);
      const trial = await this.#play(lane, beginning, { n: 0, onlyStart, counted });
      if (this.#options.signal.aborted) return;
      for (const row of rows) row.last = Math.max(row.last, trial.calls.get(row.pair) ?? 0);
      for (const { type, error } of trial.events) {
        if (error !== undefined && (type === "fail" || type === "info"))
          this.#usualErrors.add(errorKind(error));
      }
      for (const row of rows) row.counted = true;
      const results = this.#judged(trial, beginning);
      const outcome = outcomeOf(results, trial);
      const sentence = this.#note(results, outcome, `with no fault at all, ${fromWhere[beginning]}`);
      if (outcome === "finding") this.#keep(trial, `no-fault-${this.#findings.length}`);
      if (outcome === "finding" || outcome === "unknown") {
        this.#matrix.add("no call", "no fault", { outcome, n: 0, ...(sentence ? { sentence } : {}) });
      }
      rmSync(trial.dataDir, { recursive: true, force: true });
      this.#tell("counting calls");
    }
  }

  async #tryAll(lane: Lane): Promise<void> {
    for (let taken = this.#take(); taken; taken = this.#take()) {
      const { row, n } = taken;
      const { pair, beginning } = row;
      const trial = await this.#play(lane, beginning, { pair, n, onlyStart: pair.operation === "read" });
      if (this.#options.signal.aborted) return;
      this.#ended(row, n, trial);
    }
  }

  /** The next n of the row whose turn it is; `undefined` when all are done or the time is over. */
  #take(): { row: Row; n: number } | undefined {
    if (this.#options.signal.aborted || this.#failure || this.#timeIsOver()) return undefined;
    for (let i = 0; i < this.#rows.length; i++) {
      const row = this.#rows[(this.#turn + i) % this.#rows.length]!;
      if (row.again.length === 0 && row.next > Math.min(row.last, nMax)) continue;
      this.#turn = (this.#turn + i + 1) % this.#rows.length;
      return { row, n: row.again.shift() ?? row.next++ };
    }
    return undefined;
  }

  #timeIsOver(): boolean {
    return performance.now() >= this.#deadline;
  }

  /** Its checks, told to the run's book, which has seen the beginning's events already. */
  #judged(trial: Trial, beginning: Beginning): CheckResult[] {
    const results = this.#judge.check(trial.events, trial.facts);
    const { book } = this.#options;
    book?.epochBegan();
    book?.cycleBegan({ passing: [] });
    const before = beginning === "new store" ? 0 : this.#crashed!.events.length;
    for (const event of trial.events.slice(before)) book?.saw(event);
    if (trial.recoveryMs !== undefined) book?.restarted(trial.recoveryMs);
    book?.judged(results.map(withoutFindings), trial.facts);
    return results;
  }

  #ended(row: Row, n: number, trial: Trial): void {
    const { pair, beginning } = row;
    const results = this.#judged(trial, beginning);
    const outcome = outcomeOf(results, trial);
    const first = !row.tried.has(n);
    row.tried.add(n);
    this.#tried++;
    if (!trial.fired && first && this.#options.onlyN === undefined) row.again.push(n);
    else {
      row.done++;
      if (!trial.fired) row.missed.push(n);
    }
    const site = trial.fired
      ? `${siteOf(pair.operation, trial.fired.path)}${trial.duringStart ? ", at start" : ""}`
      : `${pair.operation} (not reached)`;
    const where = trial.fired ? `, of ${trial.fired.path}` : ", which was not reached";
    const what = `${pair.effect} at ${pair.operation} number ${n}${where}, ${fromWhere[beginning]}`;
    const silent =
      trial.fired && trial.stopped === "" ? `${what}: the store ended without a word` : undefined;
    const sentence = this.#note(results, outcome, what) ?? silent;
    if (outcome === "finding") {
      this.#keep(trial, `${pair.operation}-${pair.effect}-${n}-${this.#findings.length}`);
    }
    rmSync(trial.dataDir, { recursive: true, force: true });
    // What was not reached is no call site; it counts only when it shows something.
    if (trial.fired || outcome === "finding" || outcome === "unknown") {
      this.#matrix.add(site, pair.effect, { outcome, n, ...(sentence === undefined ? {} : { sentence }) });
    }
    this.#tell(`${sweepName(pair)}, n = ${n}`);
  }

  /** The first finding or reason for doubt of the trial, as a sentence that says what was done. */
  #note(results: readonly CheckResult[], outcome: SweepOutcome, prefix: string): string | undefined {
    if (outcome === "finding") {
      const found = results.flatMap((result) => result.findings);
      for (const finding of found.slice(0, 1)) {
        this.#findings.push({ ...finding, sentence: `${prefix}: ${finding.sentence}` });
      }
      return this.#findings.at(-1)?.sentence;
    }
    if (outcome !== "unknown") return undefined;
    const reason = results.flatMap((result) => result.reasons)[0] ?? "a check could not decide";
    this.#reasons.push(`${prefix}: ${reason}`);
    return this.#reasons.at(-1);
  }

  /** The files of the first findings stay, as the trial left them. */
  #keep(trial: Trial, name: string): void {
    if (this.#findings.length > keptDirectories) return;
    const path = join(this.#options.directory.path, "findings", name.replaceAll(" ", "-"));
    copyDirectory(trial.dataDir, join(path, "data"));
  }

  #tell(last: string): void {
    const now = performance.now();
    const secondsLeft = Math.max(0, (this.#deadline - now) / 1000);
    const inAll = this.#rows.reduce(
      (sum, row) => sum + Math.max(0, Math.min(row.last, nMax) - row.first + 1),
      0,
    );
    const pace = (now - this.#tryingSince) / 1000 / this.#tried;
    this.#options.onProgress?.({
      ...{ trials: this.#tried, findings: this.#findings.length, last, secondsLeft },
      trialsInAll: this.#counted ? inAll : undefined,
      secondsNeeded: this.#tried > 0 ? Math.max(0, inAll - this.#tried) * pace : undefined,
    });
  }

  results(elapsedMs: number): SweepResults {
    const cells = this.#matrix.cells();
    const reasons = [...new Set(this.#reasons)];
    if (this.#options.signal.aborted) reasons.push("the sweep was interrupted");
    const fired = cells.reduce((sum, cell) => sum + cell.trials, 0);
    if (fired === 0 && reasons.length === 0) {
      reasons.push(nothingFired);
    }
    const name = (row: Row) => `${sweepName(row.pair)}, ${row.beginning}`;
    const { onlyN } = this.#options;
    const complete = (row: Row) =>
      onlyN === undefined ? row.counted && row.done >= row.last : row.missed.length > 0;
    const notReached =
      onlyN === undefined
        ? this.#rows.flatMap((row) => row.missed.map((n) => ({ sweep: name(row), n })))
        : [];
    const cutShort = this.#rows
      .filter((row) => !complete(row) && !(onlyN !== undefined && row.done > 0))
      .map((row) => ({ sweep: name(row), n: row.first + row.done - 1 }));
    if (cutShort.length > 0 && !this.#options.sample) {
      reasons.push(
        `${cutShort.length} of ${this.#rows.length} sweeps were cut short: give it more seconds, or fewer with --operation and --effect`,
      );
    }
    return {
      verdict: this.#findings.length > 0 ? false : reasons.length > 0 ? "unknown" : true,
      reasons: reasons.slice(0, 20),
      cells,
      exhausted: this.#rows.filter(complete).map(name),
      ...(notReached.length > 0 ? { notReached } : {}),
      cutShort,
      findings: this.#findings.slice(0, 20),
      trials: this.#trials,
      elapsedMs,
    };
  }
}

/** Directories of findings that are kept. */
const keptDirectories = 3;

const fromWhere: Readonly<Record<Beginning, string>> = {
  "new store": "from an empty directory",
  "after a crash": "from a crashed store's directory",
  restarted: "in the files that it had loaded and was killed in",
};

function outcomeOf(results: readonly CheckResult[], trial: Trial): SweepOutcome {
  const verdict = combineVerdicts(results.map((result) => result.verdict));
  if (verdict === false) return "finding";
  if (verdict === "unknown") return "unknown";
  // One that ends without a word has lost nothing, but it has refused nothing either.
  return trial.stopped ? "refused" : "survived";
}

/** Findings and doubts of a sweep are told by the sweep itself, with the rule that was in force. */
function withoutFindings(result: CheckResult): CheckResult {
  return { ...result, verdict: true, reasons: [], findings: [] };
}
