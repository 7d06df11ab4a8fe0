/**
 * `acked replay DIR`: the same plan and seed again. The plan is read from the run's `scenario.json` and nothing is derived
 * anew. Timing is the machine's, so a live finding may not come back: then it says so, and that is never a pass.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import type { RunResults } from "../harness/results.ts";
import { type ResolvedScenario, resolveSaved } from "../harness/scenario.ts";
import { ReportError, readResults } from "../reports/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { runAndReport } from "./chaos.ts";

/** The members a replay relies on; the rest is checked where it is used. */
const savedScenario = z.looseObject({
  formatVersion: z.literal(1),
  store: z.string(),
  durability: z.looseObject({ mode: z.enum(["always", "interval", "none"]) }),
  workloads: z.array(z.string()),
  faults: z.array(z.string()),
  background: z.array(z.looseObject({ fault: z.string() })),
  seed: z.int(),
  seconds: z.number().positive(),
  clients: z.int().positive(),
  schedule: z.array(
    z.looseObject({ cycles: z.array(z.looseObject({ passing: z.array(z.looseObject({})) })) }),
  ),
});

export function register(program: Command): void {
  program
    .command("replay")
    .description("run a saved plan again, and say whether its finding came back (exit 1: reproduced, 2: not)")
    .argument("<run>", "a run directory, for example runs/latest")
    .option("--out <dir>", "where runs are kept", "runs")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action(async (run: string, flags: { out: string; json?: boolean }) => {
      const scenario = readScenario(run);
      const before = await resultsBefore(run);
      const after = await runAndReport(await resolveSaved(scenario), {
        command: "replay",
        out: flags.out,
        json: flags.json === true,
      });
      const { sentence, exitCode } = compare(before, after);
      process.stderr.write(`${sentence}\n`);
      process.exitCode = exitCode;
    });
}

function readScenario(run: string): ResolvedScenario {
  const file = join(run, "scenario.json");
  if (!existsSync(file)) throw new ScenarioError(`${run} is no run directory: it has no scenario.json`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ScenarioError(
      `${file} is not JSON (${(error as Error).message}): the run was damaged or cut short`,
    );
  }
  const parsed = savedScenario.safeParse(json);
  if (parsed.success) return json as ResolvedScenario;
  const issue = parsed.error.issues[0];
  throw new ScenarioError(
    `${file} is not a scenario this version can replay: ${issue?.path.join(".")}: ${issue?.message}`,
  );
}

async function resultsBefore(run: string): Promise<RunResults | undefined> {
  try {
    return await readResults(run);
  } catch (error) {
    if (error instanceof ReportError) return undefined;
    throw error;
  }
}

/** Reproduced = a finding of the same kind in the same workload. */
export function compare(
  before: RunResults | undefined,
  after: RunResults,
): { readonly sentence: string; readonly exitCode: number } {
  const identity = (finding: { kind: string; workload?: string }) =>
    `${finding.kind} in ${finding.workload ?? "the run"}`;
  if (!before) {
    return {
      sentence: "the recorded run has no results to compare with; see the verdict above",
      exitCode: after.exitCode,
    };
  }
  if (before.findings.length === 0) {
    const same = before.verdict === after.verdict;
    return {
      sentence: `the recorded run had no finding (verdict ${before.verdict}); this one ended ${after.verdict}: ${same ? "the same" : "different"}`,
      exitCode: after.exitCode,
    };
  }
  const now = new Set(after.findings.map(identity));
  const again = before.findings.find((finding) => now.has(identity(finding)));
  if (again) return { sentence: `reproduced: ${identity(again)}`, exitCode: 1 };
  const first = identity(before.findings[0]!);
  const instead = after.findings[0]
    ? `found ${identity(after.findings[0])} instead`
    : `ended ${after.verdict}`;
  return {
    sentence: `not reproduced: the recorded run found ${first}, this one ${instead}; the plan was the same, the timing was not`,
    exitCode: 2,
  };
}
