/**
 * `acked gate`: what CI runs. The canary and every planted bug must be caught, with the right kind of finding (those that only
 * power loss shows by exploring crash states or by a sweep, with the profile or effect and the number of states or trials it
 * took), those of clusters among them; a fault-free run must pass; ramlog and real clusters must pass fixed seeds. One line each. `--soak` adds 20 seeds in a row and 5 with slowed syncs.
 *
 * Ctrl-C ends the check that is made, and the gate with it.
 *
 * Exit 0: all as it must be. 1: a store that must pass was found wrong. 2: something stayed unknown. 4: the harness missed a planted bug,
 * which means that its passes are worth nothing.
 */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { Finding } from "../harness/checkers/contract.ts";
import { CheckerDisagreement } from "../harness/checkers/disagreement.ts";
import { exploreTracedRun } from "../harness/explore/explored-run.ts";
import { tracedRun } from "../harness/explore/traced/traced-run.ts";
import type { CrashStateFinding, RunResults } from "../harness/results.ts";
import { createRunDirectory, writeJson } from "../harness/run-directory.ts";
import { type PlannedFault, type Resolution, resolveScenario, type Scenario } from "../harness/scenario.ts";
import { choosePairs } from "../harness/sweep/plan.ts";
import { sweep } from "../harness/sweep/sweep.ts";
import { escapedXml, writeReports } from "../reports/index.ts";
import { brokenClusters, brokenStores, findStore } from "../stores/index.ts";
import { runAndReport } from "./chaos.ts";
import { onInterruption } from "./interruption.ts";
import { seed, wholeNumber } from "./options.ts";
import { replayLine } from "./replay-line.ts";

interface Check {
  readonly name: string;
  readonly scenario: Scenario;
  /** Kinds of findings any of which must be found; absent when the run must pass. */
  readonly mustFind?: readonly string[];
  /** Crash states of a traced run under this profile, in place of a live run. */
  readonly profile?: string;
  /** Left out aloud where its store is not installed, unless ACKED_REQUIRE names that. */
  readonly optional?: boolean;
  /** A sweep of one effect at one operation, in place of a live run. */
  readonly sweep?: { readonly operation: string; readonly effect: string };
}

interface Line {
  readonly check: Check;
  readonly ok: boolean;
  /** Ours when a planted bug was missed, the store's when ramlog failed. */
  readonly exitCode: 0 | 1 | 2 | 4;
  readonly sentence: string;
  readonly elapsedMs: number;
}

const slowedSyncs: readonly PlannedFault[] = [
  { fault: "slow-sync", atMs: 0, parameters: { delayMs: 10, durationMs: 60_000 } },
];

export function register(program: Command): void {
  program
    .command("gate")
    .description("the checks CI runs: canary, planted bugs, a fault-free run, ramlog on fixed seeds")
    .option("--soak", "ramlog on 20 seeds in a row, and on 5 with every sync slowed by 10 ms")
    .option("--seed <n>", "first of the fixed seeds", seed, 1)
    .option("--seconds <n>", "per run of ramlog", wholeNumber(2, 3600), 12)
    .option("--out <dir>", "where runs are kept", "runs")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action(async (flags: { soak?: boolean; seed: number; seconds: number; out: string; json?: boolean }) => {
      const checks = flags.soak ? soak(flags.seed, flags.seconds) : standard(flags.seed, flags.seconds);
      const stop = new AbortController();
      const release = onInterruption(() => stop.abort());
      try {
        const lines = await performAll(checks, flags.out, flags.json === true, stop.signal);
        conclude(lines, flags.out, flags.json === true, stop.signal.aborted);
      } finally {
        release();
      }
    });
}

/** In their order, until `signal`: the check that it met is the last. */
async function performAll(checks: readonly Check[], out: string, json: boolean, signal: AbortSignal) {
  const lines: Line[] = [];
  for (const check of checks) {
    if (signal.aborted) break;
    const missing = check.optional ? await notInstalled(check) : undefined;
    if (missing !== undefined) {
      if (!json) console.log(`skip ${check.name.padEnd(38)} ${missing}`);
      continue;
    }
    const line = await perform(check, out, signal);
    lines.push(line);
    if (!json) console.log(textOf(line));
  }
  return lines;
}

/** The canary is a run that must fail; if it passes, nothing else here means anything. */
function standard(seed: number, seconds: number): Check[] {
  const planted = brokenStores.map((store): Check => {
    const bug = store.plantedBug!;
    const { profile } = bug.explore ?? {};
    const elsewhere = profile !== undefined || bug.sweep !== undefined;
    return {
      ...(profile === undefined ? {} : { profile }),
      ...(bug.sweep ? { sweep: bug.sweep } : {}),
      name: store.name === "broken/never-syncs" ? `canary ${store.name}` : store.name,
      scenario: {
        store: store.name,
        workloads: bug.workloads,
        faults: bug.faults.length > 0 && !elsewhere ? bug.faults : ["none"],
        seed,
        seconds: 20,
      },
      mustFind: bug.finding,
    };
  });
  const clusters = brokenClusters.map((store): Check => {
    const { finding, workloads, faults } = store.clustered!.plantedBug!;
    const scenario = { store: store.name, workloads, faults, seed, seconds: clusterSeconds, cycles: 1 };
    return { name: store.name, scenario, mustFind: finding };
  });
  const seeds = [seed, seed + 1, seed + 2];
  return [
    ...planted.sort((a, b) => Number(b.name.startsWith("canary")) - Number(a.name.startsWith("canary"))),
    { name: "ramlog without faults", scenario: { store: "ramlog", faults: ["none"], seed, seconds: 5 } },
    ...seeds.map((n) => ({ name: `ramlog seed ${n}`, scenario: { store: "ramlog", seed: n, seconds } })),
    ...clusters,
    ...realClusters.map((store) => ({
      name: `${store} under partitions`,
      scenario: { store, seed, seconds: realClusterSeconds },
      optional: store !== "postgres-replica",
    })),
  ];
}

/** Seconds of storms at most for a planted bug of a cluster, which gets one, and for a real one. */
const clusterSeconds = 10;
const realClusterSeconds = 16;
/** The bundled pair is everywhere; the others where they are installed. */
const realClusters = ["postgres-replica", "etcd", "redis-sentinel"] as const;

function soak(first: number, seconds: number): Check[] {
  const run = (n: number, background: readonly PlannedFault[]) => ({
    name: `ramlog seed ${n}${background.length > 0 ? ", every sync slowed by 10 ms" : ""}`,
    scenario: { store: "ramlog", seed: n, seconds, background },
  });
  return [
    ...Array.from({ length: 20 }, (_, i) => run(first + i, [])),
    ...Array.from({ length: 5 }, (_, i) => run(first + 100 + i, slowedSyncs)),
  ];
}

/** Why an optional store cannot run here; `undefined` also where ACKED_REQUIRE makes its absence a failure. */
async function notInstalled({ scenario }: Check): Promise<string | undefined> {
  const name = String(scenario.store);
  const required = (process.env.ACKED_REQUIRE ?? "")
    .split(",")
    .some((one) => one !== "" && name.startsWith(one));
  return required ? undefined : (await findStore(name)).unavailable?.();
}

/**
 * Runs that a planted bug has to be caught in. How clients, syncs and crashes interleave is the machine's, and no seed
 * fixes it, so a bug that shows in most runs is absent from some; in which run it was caught is always said.
 */
const runsAtMost = 3;

async function perform(check: Check, out: string, signal: AbortSignal): Promise<Line> {
  const began = performance.now();
  for (let run = 1; ; run++) {
    const line = await performOnce(check, run, { began, out, signal });
    const missed = check.mustFind !== undefined && line.exitCode === 4;
    if (!missed || run === runsAtMost) return line;
  }
}

interface Performing {
  readonly began: number;
  readonly out: string;
  readonly signal: AbortSignal;
}

async function performOnce(check: Check, run: number, { began, out, signal }: Performing): Promise<Line> {
  const inRun = run === 1 ? "" : `, in run ${run}`;
  const finish: Finish = (ok, exitCode, sentence) => {
    const elapsedMs = Math.round(performance.now() - began);
    return { check, ok, exitCode, sentence: `${sentence}${inRun}`, elapsedMs };
  };
  const scenario = { ...check.scenario, seed: (check.scenario.seed ?? 1) + run - 1 };
  try {
    const resolution = await resolveScenario(scenario);
    if (check.sweep) return await swept(resolution, check.sweep, check.mustFind ?? [], out, finish);
    const results =
      check.profile === undefined
        ? await runAndReport(resolution, {
            command: "gate",
            out,
            json: false,
            quiet: true,
            instrumentCheck: false,
          })
        : await explored(resolution, check.profile, out);
    const interrupted = results.interrupted || signal.aborted;
    return check.mustFind
      ? caught(results, check.mustFind, interrupted, finish)
      : passed(results, interrupted, finish);
  } catch (error) {
    const { message } = error as Error;
    // What was cut short may end in any way; two algorithms that disagree had come to an end.
    const byInterruption = signal.aborted && !(error instanceof CheckerDisagreement);
    return byInterruption ? finish(false, 2, `interrupted: ${message}`) : finish(false, 4, message);
  }
}

/** ms of load at most for a traced run; seconds of exploring its crash states. */
const tracing = { loadMs: 12_000, seconds: 30 } as const;

async function explored(resolution: Resolution, profile: string, out: string): Promise<RunResults> {
  const { scenario } = resolution;
  const directory = createRunDirectory(out, scenario.store, scenario.seed, new Date());
  const runsDir = resolve(out);
  const stop = new AbortController();
  const release = onInterruption(() => stop.abort());
  try {
    const { signal } = stop;
    writeJson(directory.scenarioFile, { ...scenario, explored: { profiles: [profile] } });
    await tracedRun({ resolution, directory, runsDir, loadMs: tracing.loadMs, signal });
    const results = await exploreTracedRun({
      ...{ directory, resolution, profiles: [profile], runsDir, signal, command: "gate" },
      seconds: tracing.seconds,
      stopAtFirst: true,
      shrinkMs: 0,
      replayOf: replayLine,
    });
    await writeReports(directory.path);
    return results;
  } finally {
    release();
  }
}

const sweepSeconds = 40;

/** Ends with the first finding. */
async function swept(
  resolution: Resolution,
  { operation, effect }: NonNullable<Check["sweep"]>,
  mustFind: readonly string[],
  out: string,
  finish: Finish,
): Promise<Line> {
  const { scenario } = resolution;
  const directory = createRunDirectory(out, `${scenario.store}-sweep`, scenario.seed, new Date());
  const stop = new AbortController();
  const found = new AbortController();
  const release = onInterruption(() => stop.abort());
  try {
    writeJson(directory.scenarioFile, scenario);
    const { findings, trials, verdict } = await sweep({
      ...{ resolution, directory, runsDir: resolve(out), seconds: sweepSeconds },
      pairs: choosePairs([operation], [effect]),
      signal: AbortSignal.any([stop.signal, found.signal]),
      onProgress: (progress) => progress.findings > 0 && found.abort(),
    });
    const finding = findings.find((candidate) => mustFind.includes(candidate.kind));
    const how = `with ${effect} at the n-th ${operation}, after ${trials} trials`;
    if (finding) return finish(true, 0, `caught: ${finding.kind}, ${how}`);
    if (stop.signal.aborted) return finish(false, 2, "interrupted");
    const instead = findings.map((candidate) => candidate.kind).join(", ") || `verdict ${verdict}`;
    return finish(
      false,
      4,
      `MISSED: expected ${mustFind.join(" or ")}, found ${instead}, ${how}; ${directory.path}`,
    );
  } finally {
    release();
  }
}

type Finish = (ok: boolean, exitCode: Line["exitCode"], sentence: string) => Line;

function caught(results: RunResults, kinds: readonly string[], interrupted: boolean, finish: Finish): Line {
  const finding = results.findings.find((candidate) => kinds.includes(candidate.kind));
  if (finding) return finish(true, 0, `caught: ${finding.kind}${howFound(finding)}`);
  if (interrupted) return finish(false, 2, "interrupted");
  const instead =
    results.findings.map((candidate) => candidate.kind).join(", ") || `verdict ${results.verdict}`;
  return finish(false, 4, `MISSED: expected ${kinds.join(" or ")}, found ${instead}; ${results.runDir}`);
}

/** For a crash-state finding: under which profile, and what it took. */
function howFound(finding: Finding | CrashStateFinding): string {
  if (!("statesUntilFound" in finding)) return "";
  const { profile, statesUntilFound, secondsUntilFound } = finding;
  return `, under ${profile}, after ${statesUntilFound} states in ${secondsUntilFound.toFixed(1)} s`;
}

function passed(results: RunResults, interrupted: boolean, finish: Finish): Line {
  const fired = results.faults.reduce((sum, fault) => sum + fault.fired, 0);
  const done = `${results.counts.operations ?? 0} operations, ${results.counts.crashes ?? 0} crashes, ${fired} faults fired`;
  if (interrupted && results.verdict !== false) return finish(false, 2, `interrupted: ${done}`);
  if (results.verdict === true) return finish(true, 0, `passed: ${done}`);
  const why = results.reasons[0] ?? "no reason given";
  return finish(false, results.verdict === false ? 1 : 2, `${why}; ${done}; ${results.replay}`);
}

/** Checks that an interruption left out are not known to be as they must be: exit 2, unless worse is known. */
function conclude(lines: readonly Line[], out: string, json: boolean, interrupted: boolean): void {
  const codes: number[] = lines.map((line) => line.exitCode);
  if (interrupted) codes.push(2);
  const exitCode = ([4, 1, 2] as const).find((code) => codes.includes(code)) ?? 0;
  process.exitCode = exitCode;
  mkdirSync(resolve(out), { recursive: true });
  const junit = join(out, "gate.junit.xml");
  writeFileSync(junit, junitOf(lines));
  const good = lines.filter((line) => line.ok).length;
  const verdict = exitCode === 0 ? true : exitCode === 1 ? false : "unknown";
  announce(lines);
  if (json) {
    const reasons = lines.filter((line) => !line.ok).map((line) => `${line.check.name}: ${line.sentence}`);
    if (interrupted) reasons.push("interrupted: the remaining checks were not made");
    const checks = lines.map(({ check, ok, sentence, elapsedMs }) => ({
      name: check.name,
      ok,
      sentence,
      elapsedMs,
    }));
    console.log(
      JSON.stringify(
        { formatVersion: 1, command: "gate", verdict, exitCode, reasons, checks, junit },
        null,
        2,
      ),
    );
  } else
    console.log(
      `gate: ${interrupted ? "interrupted; " : ""}${good} of ${lines.length} as they must be; JUnit: ${junit}`,
    );
}

function textOf(line: Line): string {
  const seconds = `${(line.elapsedMs / 1000).toFixed(1)} s`;
  return `${line.ok ? "ok  " : "FAIL"} ${line.check.name.padEnd(38)} ${seconds.padStart(7)}  ${line.sentence}`;
}

function junitOf(lines: readonly Line[]): string {
  const cases = lines.map((line) => {
    const open = `  <testcase classname="acked.gate" name="${escapedXml(line.check.name)}" time="${line.elapsedMs / 1000}"`;
    if (line.ok) return `${open}/>`;
    const tag = line.exitCode === 1 ? "failure" : "error";
    return `${open}><${tag} message="${escapedXml(line.sentence)}"/></testcase>`;
  });
  const failures = lines.filter((line) => line.exitCode === 1).length;
  const errors = lines.filter((line) => line.exitCode > 1).length;
  const suite = `<testsuite name="acked gate" tests="${lines.length}" failures="${failures}" errors="${errors}">`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n${suite}\n${cases.join("\n")}\n</testsuite>\n`;
}

/** GitHub reads annotations from stdout and the summary from a file; both only when it says so. */
function announce(lines: readonly Line[]): void {
  if (process.env.GITHUB_ACTIONS === "true") {
    for (const line of lines.filter((candidate) => !candidate.ok)) {
      const text = line.sentence.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
      console.error(`::error title=acked gate: ${line.check.name}::${text}`);
    }
  }
  const summary = process.env.GITHUB_STEP_SUMMARY;
  if (!summary) return;
  const rows = lines.map(
    (line) =>
      `| ${line.ok ? "ok" : "**FAIL**"} | ${line.check.name} | ${line.sentence.replaceAll("|", "\\|")} |`,
  );
  appendFileSync(summary, `### acked gate\n\n| | check | result |\n|---|---|---|\n${rows.join("\n")}\n`);
}
