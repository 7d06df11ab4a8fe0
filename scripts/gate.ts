/**
 * `acked gate`: what CI runs. The canary and every planted bug must be caught, with the right kind of finding; a fault-free
 * run must pass; ramlog must pass fixed seeds. One line each. `--soak` adds 20 seeds in a row and 5 with slowed syncs.
 *
 * Exit 0: all as it must be. 1: ramlog was found wrong. 2: something stayed unknown. 4: the harness missed a planted bug,
 * which means that its passes are worth nothing.
 */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { RunResults } from "../harness/results.ts";
import { type PlannedFault, resolveScenario, type Scenario } from "../harness/scenario.ts";
import { escapedXml } from "../reports/index.ts";
import { brokenStores } from "../stores/index.ts";
import { runAndReport } from "./chaos.ts";
import { seed, wholeNumber } from "./options.ts";

interface Check {
  readonly name: string;
  readonly scenario: Scenario;
  /** Kinds of findings any of which must be found; absent when the run must pass. */
  readonly mustFind?: readonly string[];
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
      const lines: Line[] = [];
      for (const check of checks) {
        const line = await perform(check, flags.out);
        lines.push(line);
        if (!flags.json) console.log(textOf(line));
        if (line.exitCode === 2 && process.exitCode === 130) break;
      }
      conclude(lines, flags.out, flags.json === true);
    });
}

/** The canary is a run that must fail; if it passes, nothing else here means anything. */
function standard(seed: number, seconds: number): Check[] {
  const planted = brokenStores.map((store) => {
    const bug = store.plantedBug!;
    return {
      name: store.name === "broken/never-syncs" ? `canary ${store.name}` : store.name,
      scenario: {
        store: store.name,
        workloads: bug.workloads,
        faults: bug.faults.length > 0 ? bug.faults : ["none"],
        seed,
        seconds: 20,
      },
      mustFind: bug.finding,
    };
  });
  const seeds = [seed, seed + 1, seed + 2];
  return [
    ...planted.sort((a, b) => Number(b.name.startsWith("canary")) - Number(a.name.startsWith("canary"))),
    { name: "ramlog without faults", scenario: { store: "ramlog", faults: ["none"], seed, seconds: 5 } },
    ...seeds.map((n) => ({ name: `ramlog seed ${n}`, scenario: { store: "ramlog", seed: n, seconds } })),
  ];
}

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

async function perform(check: Check, out: string): Promise<Line> {
  const began = performance.now();
  const finish = (ok: boolean, exitCode: Line["exitCode"], sentence: string): Line => {
    return { check, ok, exitCode, sentence, elapsedMs: Math.round(performance.now() - began) };
  };
  try {
    const resolution = await resolveScenario(check.scenario);
    const results = await runAndReport(resolution, {
      command: "gate",
      out,
      json: false,
      quiet: true,
      instrumentCheck: false,
    });
    return check.mustFind ? caught(results, check.mustFind, finish) : passed(results, finish);
  } catch (error) {
    return finish(false, 4, (error as Error).message);
  }
}

type Finish = (ok: boolean, exitCode: Line["exitCode"], sentence: string) => Line;

function caught(results: RunResults, kinds: readonly string[], finish: Finish): Line {
  const finding = results.findings.find((candidate) => kinds.includes(candidate.kind));
  if (finding) return finish(true, 0, `caught: ${finding.kind}`);
  if (results.interrupted) return finish(false, 2, "interrupted");
  const instead =
    results.findings.map((candidate) => candidate.kind).join(", ") || `verdict ${results.verdict}`;
  return finish(false, 4, `MISSED: expected ${kinds.join(" or ")}, found ${instead}; ${results.runDir}`);
}

function passed(results: RunResults, finish: Finish): Line {
  const fired = results.faults.reduce((sum, fault) => sum + fault.fired, 0);
  const done = `${results.counts.operations ?? 0} operations, ${results.counts.crashes ?? 0} crashes, ${fired} faults fired`;
  if (results.verdict === true) return finish(true, 0, `passed: ${done}`);
  const why = results.reasons[0] ?? "no reason given";
  return finish(false, results.verdict === false ? 1 : 2, `${why}; ${done}; ${results.replay}`);
}

function conclude(lines: readonly Line[], out: string, json: boolean): void {
  const codes = lines.map((line) => line.exitCode);
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
  } else console.log(`gate: ${good} of ${lines.length} as they must be; JUnit: ${junit}`);
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
