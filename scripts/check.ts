/** `acked check FILE --model register|kv|append|bank`: checks a saved history of ours, without any store. */
import { existsSync, statSync } from "node:fs";
import type { Command } from "commander";
import { checkAssumptions } from "../harness/checkers/assumptions.ts";
import { runChecker } from "../harness/checkers/compose.ts";
import { type CheckResult, combineVerdicts } from "../harness/checkers/contract.ts";
import { type History, HistoryError, ofWorkload } from "../harness/history/history.ts";
import { loadHistory } from "../harness/history/history-file.ts";
import { ScenarioError, type StorePromise } from "../stores/contract.ts";
import { findWorkloads } from "../workloads/index.ts";

/** What a history alone is judged by: everything acknowledged survives. */
const strictest: StorePromise = {
  processCrash: { survives: "everything acknowledged" },
  powerLoss: { survives: "everything acknowledged" },
  gracefulStop: { survives: "everything acknowledged" },
  syncsBeforeAcknowledging: false,
  failStop: false,
  detectsDamageAtRest: false,
  source: "acked check: every acknowledged operation is expected to survive",
};

export function register(program: Command): void {
  program
    .command("check")
    .description("check a saved history (history.jsonl) for linearizability and the workload's invariants")
    .argument("<file>", "a history.jsonl, or a run directory")
    .requiredOption("--model <workload>", "register, kv, append or bank")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action((file: string, flags: { model: string; json?: boolean }) => {
      const workload = findWorkloads([flags.model])[0]!;
      const { history: whole, truncated } = readHistory(file, workload.name);
      const context = { promise: strictest, budgetMs: 60_000 };
      const history = ofWorkload(whole, workload.name);
      const results = [
        ...runChecker("assumptions", context, () => [checkAssumptions(history, context)]),
        ...runChecker(workload.name, context, () => [...workload.check(history, context)]),
      ];
      conclude(file, results, truncated, flags.json === true);
    });
}

function readHistory(path: string, workload: string): { history: History; truncated: boolean } {
  if (!existsSync(path)) throw new ScenarioError(`there is no file ${path}`);
  const file = statSync(path).isDirectory() ? `${path}/history.jsonl` : path;
  try {
    return loadHistory(file, { workload });
  } catch (error) {
    if (error instanceof HistoryError) throw new ScenarioError(`${file}: ${error.message}`);
    throw error;
  }
}

function conclude(file: string, results: readonly CheckResult[], truncated: boolean, json: boolean): void {
  const verdict = combineVerdicts(results.map((result) => result.verdict));
  const findings = results.flatMap((result) => result.findings);
  const reasons = [
    ...findings.map((finding) => `${finding.kind}: ${finding.sentence}`),
    ...results.flatMap((result) => result.reasons),
  ];
  const exitCode = verdict === true ? 0 : verdict === false ? 1 : 2;
  process.exitCode = exitCode;
  if (json) {
    const document = {
      formatVersion: 1,
      command: "check",
      verdict,
      exitCode,
      reasons,
      findings,
      checks: results,
      truncated,
    };
    console.log(JSON.stringify(document, null, 2));
    return;
  }
  const words = { true: "PASS", false: "VIOLATION", unknown: "UNKNOWN" } as const;
  const looked = results.map((result) => `${result.checker}: ${countsOf(result)}`).join("; ");
  console.log(`${words[String(verdict) as keyof typeof words]} ${file} (${looked})`);
  if (truncated)
    console.log("the last line was cut short, as a crash of the recorder leaves it; it was left out");
  const left = new Set(
    results.flatMap((result) => result.notChecked.map((what) => `${result.checker}: ${what}`)),
  );
  for (const what of left) console.log(`  not checked: ${what}`);
  for (const reason of reasons) console.log(`  ${reason}`);
}

function countsOf(result: CheckResult): string {
  return Object.entries(result.checked)
    .map(([unit, count]) => `${count} ${unit}`)
    .join(", ");
}
