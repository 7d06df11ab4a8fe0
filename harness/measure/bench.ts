/**
 * The story of one bench: start the stores, fill them alike, find the generator's ceiling, measure every cell in
 * interleaved rounds, then one open-loop rate in as many, compare, and write what was found.
 *
 * A round measures every cell with every store, one right after the other, and the first store a second time: that A/A
 * pair is the noise floor beside every ratio. Every other round runs backwards, so that a drift within a cell does not
 * favour a place in the order.
 *
 * Nothing is interposed, recorded or proxied while measuring. What this does not do: place the load generator on another
 * machine. It shares the cores with the stores, and its own use of them is reported with every cell.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { Durability, Endpoint, Measurable, MeasuredConnection } from "../../stores/contract.ts";
import { ScenarioError } from "../../stores/contract.ts";
import { describeMachine, fileSystemOf, gitCommit } from "../machine.ts";
import { packageRoot, packageVersion } from "../package-root.ts";
import type { NotCovered } from "../results.ts";
import { createRunDirectory, writeJson } from "../run-directory.ts";
import { createSupervisor, type Supervisor } from "../supervisor/supervisor.ts";
import { findCeiling } from "./ceiling.ts";
import { type ClosedSample, measureClosed, measureOpen } from "./cell.ts";
import { conclude } from "./conclusion.ts";
import { benchKeys, keyBytes, type RequestSource, requestSource, valueBytes } from "./dataset.ts";
import { type DiskProbe, openDiskProbe } from "./disk-probe.ts";
import { formatHistogramLog } from "./histogram.ts";
import { OpenTallies } from "./open-tallies.ts";
import type { BenchOperation, BenchResults, PieceRecord, ValidityRecord } from "./results.ts";
import { closeSubjects, openSubjects, type Subject } from "./subjects.ts";
import { cellName, Tallies } from "./tallies.ts";

const keyCount = 100_000;
const operations: readonly BenchOperation[] = ["upsert", "read"];
/** The first part of each measurement is not counted. */
const warmupShare = 0.2;
const ceilingMs = 300;
/** No budget makes a measurement shorter than this. */
const shortestMs = 150;

export interface BenchPlan {
  readonly command: "bench" | "compare";
  /** The first is what every other is compared with. */
  readonly stores: readonly Measurable[];
  readonly durability: Durability;
  readonly durabilityText: string;
  readonly clients: readonly number[];
  readonly rounds: number;
  /** One measurement, ms. */
  readonly measureMs: number;
  /** Everything must end by then, ms from now: measurements are made shorter, then rounds fewer. */
  readonly budgetMs?: number;
  /** Rounds enough to state something. */
  readonly indicative: boolean;
  /** Open-loop requests per second; default: half of what the slowest store does with the most clients. */
  readonly rate?: number;
  readonly seed: number;
  /** The directory that holds all runs. */
  readonly out: string;
  readonly allowTmpfs: boolean;
  readonly replay: string;
  readonly notCovered: readonly NotCovered[];
  /** The thinnest connection there is, for the ceiling. */
  readonly connectThin: (endpoint: Endpoint) => Promise<MeasuredConnection>;
  /** Measures pieces inside this process, after the stores are gone. */
  readonly pieces?: () => Promise<readonly PieceRecord[]>;
  readonly onProgress: (line: string) => void;
  /** Aborted by Ctrl-C: what has been measured is reported. */
  readonly interrupted: AbortSignal;
}

export interface BenchOutcome {
  readonly results: BenchResults;
  /** Absolute. */
  readonly runDir: string;
}

/** What has been measured so far; stays readable when a later step fails. */
interface Measured {
  readonly tallies: Tallies;
  readonly open: OpenTallies;
  /** Open-loop requests per second; 0 until they are known. */
  rate: number;
  ceiling: ValidityRecord["ceiling"];
  rounds: number;
  measureMs: number;
}

/**
 * Runs the plan and writes `results.json` and one `.hlog` a store to its run directory.
 *
 * @throws ScenarioError when it cannot begin; a store that fails later makes the verdict unknown.
 */
export async function runBench(plan: BenchPlan): Promise<BenchOutcome> {
  const begun = performance.now();
  const startedAt = new Date();
  const out = resolve(plan.out);
  refuseMemoryFileSystem(out, plan.allowTmpfs);
  removeLeftoverData(join(out, plan.command));
  const run = createRunDirectory(out, plan.command, plan.seed, startedAt);
  const supervisor = createSupervisor({ runsDir: out });
  const probe = openDiskProbe(run.path);
  const measured: Measured = {
    tallies: new Tallies(plan.stores[0]!.name),
    open: new OpenTallies(plan.stores[0]!.name),
    rate: 0,
    ceiling: [],
    rounds: 0,
    measureMs: plan.measureMs,
  };
  const reasons: string[] = [];
  let subjects: readonly Subject[] = [];
  try {
    const keys = benchKeys(keyCount);
    const source = requestSource(keys, plan.seed);
    plan.onProgress(
      `starting ${plan.stores.map(({ name }) => name).join(" and ")}, ${keyCount} entries each`,
    );
    const entries = keys.map((key) => [key, source.value()] as const);
    subjects = await openSubjects({ ...plan, supervisor, runDir: run.path, entries });
    measured.ceiling = await ceilingOf(plan, supervisor, run.path, source);
    try {
      await measureRounds(plan, subjects, { probe, source, begun, measured });
      await measureOpenLoop(plan, subjects, { probe, source, begun, measured });
    } catch (error) {
      reasons.push(plan.interrupted.aborted ? "it was interrupted" : messageOf(error));
    }
    await closeSubjects(subjects);
    await supervisor.close();
    const pieces = plan.interrupted.aborted || !plan.pieces ? [] : await plan.pieces();
    const results = resultsOf(plan, {
      measured,
      subjects,
      reasons,
      pieces,
      probe,
      startedAt,
      begun,
      runDir: run.path,
    });
    writeFileSync(
      join(run.path, "scenario.json"),
      `${JSON.stringify({ formatVersion: 1, command: plan.command, seed: plan.seed, replay: plan.replay }, null, 2)}\n`,
    );
    writeJson(run.resultsFile, results);
    for (const { name } of subjects) writeHistograms(run.path, name, measured, results);
    return { results, runDir: run.path };
  } catch (error) {
    await closeSubjects(subjects);
    if (error instanceof ScenarioError) rmSync(run.path, { recursive: true, force: true });
    throw error;
  } finally {
    await supervisor.close();
    probe.close();
    measured.tallies.release();
    measured.open.release();
    rmSync(run.dataDir, { recursive: true, force: true });
  }
}

/** A file system in memory makes every sync free, and every ratio meaningless. */
function refuseMemoryFileSystem(out: string, allowed: boolean): void {
  mkdirSync(out, { recursive: true });
  const fileSystem = fileSystemOf(out);
  if (allowed || !["tmpfs", "ramfs"].includes(fileSystem)) return;
  throw new ScenarioError(
    `${out} is on ${fileSystem}, where a sync costs nothing: give a directory on a disk with --out, or measure memory knowingly with --allow-tmpfs`,
  );
}

/** The data of a bench that was killed. Its run directory's name ends with the pid of its owner. */
function removeLeftoverData(directory: string): void {
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory)) {
    const pid = Number(/-(\d+)$/.exec(name)?.[1]);
    if (!pid || pid === process.pid || isRunning(pid)) continue;
    rmSync(join(directory, name, "data"), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function ceilingOf(
  plan: BenchPlan,
  supervisor: Supervisor,
  runDir: string,
  source: RequestSource,
): Promise<ValidityRecord["ceiling"]> {
  plan.onProgress("finding the load generator's own ceiling");
  const { clients, connectThin: connect } = plan;
  return findCeiling({ supervisor, runDir, clients, connect, source, measureMs: ceilingMs });
}

interface RoundContext {
  readonly probe: DiskProbe;
  readonly source: RequestSource;
  /** `performance.now()` at the start of the bench. */
  readonly begun: number;
  readonly measured: Measured;
}

/** Every cell with every store, `plan.rounds` times or as often as the budget allows. */
async function measureRounds(
  plan: BenchPlan,
  subjects: readonly Subject[],
  { probe, source, begun, measured }: RoundContext,
): Promise<void> {
  const repeated = subjects.length > 1 ? 1 : 0;
  const perRound = operations.length * plan.clients.length * (subjects.length + repeated);
  const perOpenRound = subjects.length + repeated;
  const remainingMs = (): number => (plan.budgetMs ?? Number.POSITIVE_INFINITY) - (performance.now() - begun);
  measured.measureMs = affordable(plan, remainingMs(), (perRound + perOpenRound) * plan.rounds);
  for (let round = 0; round < plan.rounds; round++) {
    const roundBegun = performance.now();
    for (const operation of operations) {
      for (const clients of plan.clients) {
        const line: string[] = [];
        for (const { subject, again } of orderOf(subjects, round)) {
          plan.interrupted.throwIfAborted();
          const diskProbe = probe.measure();
          const { measureMs } = measured;
          const sample = await named(subject, cellName(operation, clients), () =>
            measureClosed({
              session: subject.session,
              ...{ operation, clients, source, measureMs },
              warmupMs: measureMs * warmupShare,
            }),
          );
          measured.tallies.add({ subject: subject.name, again, operation, clients, diskProbe, sample });
          if (!again) line.push(`${subject.name} ${perSecondText(sample)}`);
        }
        plan.onProgress(
          `round ${round + 1}/${plan.rounds}: ${cellName(operation, clients)}: ${line.join(", ")}`,
        );
      }
    }
    measured.rounds = round + 1;
    const tookMs = performance.now() - roundBegun;
    const openMs = (round + 2) * perOpenRound * measured.measureMs * (1 + warmupShare);
    if (remainingMs() < tookMs + openMs) break;
  }
}

/** The length of one measurement that fits `count` of them, with their connections, into the time. */
function affordable(plan: BenchPlan, remainingMs: number, count: number): number {
  const perMeasurementMs = remainingMs / count / (1 + warmupShare) - 120;
  return Math.min(plan.measureMs, Math.max(shortestMs, Math.round(perMeasurementMs)));
}

/** First store, the others, the first again; backwards every other round. */
function orderOf(subjects: readonly Subject[], round: number): { subject: Subject; again: boolean }[] {
  const places = subjects.map((subject) => ({ subject, again: false }));
  if (subjects.length > 1) places.push({ subject: subjects[0]!, again: true });
  return round % 2 === 0 ? places : places.reverse();
}

/** The same offered rate for every store, interleaved like the cells. */
async function measureOpenLoop(
  plan: BenchPlan,
  subjects: readonly Subject[],
  { probe, source, measured }: RoundContext,
): Promise<void> {
  const clients = Math.max(...plan.clients);
  const { measureMs, open, tallies } = measured;
  measured.rate = plan.rate ?? roundedRate(tallies.slowest("upsert", clients) / 2);
  for (let round = 0; round < measured.rounds; round++) {
    const line: string[] = [];
    for (const { subject, again } of orderOf(subjects, round)) {
      plan.interrupted.throwIfAborted();
      probe.measure();
      const warmupMs = measureMs * warmupShare;
      const task = {
        session: subject.session,
        operation: "upsert",
        clients,
        source,
        warmupMs,
        measureMs,
      } as const;
      const sample = await named(subject, openCell(measured.rate), () =>
        measureOpen(task, measured.rate, plan.seed + round),
      );
      if (!again) line.push(`${subject.name} p99 ${(sample.responseTimes.at(99) / 1e6).toFixed(2)} ms`);
      open.add({ subject: subject.name, again, sample });
    }
    plan.onProgress(`round ${round + 1}/${measured.rounds}: ${openCell(measured.rate)}: ${line.join(", ")}`);
  }
}

function openCell(perSecond: number): string {
  return `upsert, open loop at ${perSecond}/s`;
}

/** Two significant digits. */
function roundedRate(perSecond: number): number {
  const power = 10 ** Math.max(0, Math.floor(Math.log10(perSecond)) - 1);
  return Math.max(1, Math.round(perSecond / power) * power);
}

function perSecondText(sample: ClosedSample): string {
  return `${Math.round(sample.perSecond).toLocaleString("en")}/s`;
}

async function named<T>(subject: Subject, doing: string, measure: () => Promise<T>): Promise<T> {
  try {
    return await measure();
  } catch (error) {
    throw new Error(`${subject.name} failed during ${doing}: ${messageOf(error)}`, { cause: error });
  }
}

interface Ending {
  readonly measured: Measured;
  readonly subjects: readonly Subject[];
  readonly reasons: readonly string[];
  readonly pieces: readonly PieceRecord[];
  readonly probe: DiskProbe;
  readonly startedAt: Date;
  readonly begun: number;
  readonly runDir: string;
}

function resultsOf(plan: BenchPlan, ending: Ending): BenchResults {
  const { measured, subjects, runDir } = ending;
  const { tallies, open, rounds, measureMs } = measured;
  const openLoop = open.records(Math.max(...plan.clients));
  const fileSystem = fileSystemOf(runDir);
  const cells = tallies.cells();
  const ratios = [...tallies.ratios(plan.seed), ...open.ratios(openCell(measured.rate), plan.seed)];
  const deviations = subjects.flatMap(({ session }) => session.deviations);
  const reasons = [
    ...ending.reasons,
    ...deviations,
    ...(subjects.length < 2 ? ["only one store was measured, so nothing was compared"] : []),
  ];
  const indicative = plan.indicative || rounds < 6 || measureMs < 1000;
  const commit = gitCommit(packageRoot);
  const relativeDir = relative(process.cwd(), runDir);
  return {
    formatVersion: 1,
    command: plan.command,
    verdict: reasons.length === 0 ? true : "unknown",
    exitCode: reasons.length === 0 ? 0 : 2,
    reasons,
    indicative,
    durability: plan.durabilityText,
    seed: plan.seed,
    rounds,
    measureMs,
    ...{ keys: keyCount, keyBytes, valueBytes },
    runDir: relativeDir,
    replay: plan.replay,
    startedAt: ending.startedAt.toISOString(),
    elapsedMs: Math.round(performance.now() - ending.begun),
    fileSystem,
    machine: describeMachine(runDir),
    versions: {
      acked: packageVersion,
      node: process.version,
      ...Object.fromEntries(subjects.map(({ name, session }) => [name, session.version])),
    },
    ...(commit ? { gitCommit: commit } : {}),
    stores: subjects.map(({ name, session, dataDir }) => ({
      name,
      version: session.version,
      settings: session.settings,
      deviations: session.deviations,
      data: dataDir ? `${fileSystem} (below ${relativeDir}, removed afterwards)` : "its own server's",
    })),
    cells,
    ratios,
    openLoop,
    pieces: ending.pieces,
    validity: {
      ceiling: measured.ceiling,
      diskProbe: ending.probe.times.summary(),
      warnings: [...foreign(subjects), ...tallies.warnings(measured.ceiling)],
    },
    notCovered: plan.notCovered,
    conclusion: conclude({ ratios, openLoop, indicative, rounds, measureMs }),
  };
}

/** What acked did not start itself, it knows little about. */
function foreign(subjects: readonly Subject[]): string[] {
  const names = subjects.filter(({ dataDir }) => dataDir === undefined).map(({ name }) => name);
  return names.map(
    (name) =>
      `${name} was not started by acked: whether it is on this machine and this disk, and what else it was doing, is not known`,
  );
}

function writeHistograms(runDir: string, store: string, measured: Measured, results: BenchResults): void {
  const entries = [...measured.tallies.histograms(store), ...measured.open.histograms(store)];
  if (entries.length === 0) return;
  const comment = `acked ${results.command}, ${store}, durability ${results.durability}; values in ns, maxima in ms`;
  const name = store.replace(/[^A-Za-z0-9.-]+/g, "-").slice(0, 40);
  writeFileSync(join(runDir, `${name}.hlog`), formatHistogramLog(entries, comment));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
