/**
 * `acked report DIR`: makes the reports of a finished run again, from its files alone. `--export FORMAT` writes its history, or
 * a history file, in another format instead.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { exportHistory, findFormat } from "../harness/history/formats/index.ts";
import { HistoryError } from "../harness/history/history.ts";
import { ReportError, readResults, summaryOptions, terminalSummary, writeReports } from "../reports/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { isSameFile } from "./options.ts";

interface Flags {
  readonly export?: string;
  readonly to?: string;
  readonly workload?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("report")
    .description("make the reports of a finished run again, or export its history to another format")
    .argument("[run]", "a run directory; with --export also a history file", "runs/latest")
    .option("--export <format>", "write the history in this format: acked list names them")
    .option("--to <file>", "where the exported history goes (default: in the run directory)")
    .option("--workload <name>", "export the operations of this workload only")
    .option("--json", "of an export: one JSON document on stdout, and nothing else")
    .action(async (run: string, flags: Flags) => {
      if (!existsSync(run))
        throw new ScenarioError(`there is no run directory ${run}: give one of those below runs/`);
      if (flags.export === undefined) {
        const alone = (["to", "workload", "json"] as const).find((name) => flags[name] !== undefined);
        if (alone) throw new ScenarioError(`--${alone} goes with --export`);
        if (!statSync(run).isDirectory()) {
          throw new ScenarioError(`${run} is no run directory; a history file goes with --export`);
        }
        return reportAgain(run);
      }
      exported(run, flags.export, flags);
    });
}

async function reportAgain(run: string): Promise<void> {
  try {
    const written = await writeReports(run);
    console.log(terminalSummary(await readResults(run), summaryOptions(process.stdout, process.env)));
    console.log(`\nwritten again: ${written.html}`);
  } catch (error) {
    if (error instanceof ReportError) throw new ScenarioError(error.message);
    throw error;
  }
}

function exported(path: string, format: string, { to, workload, json }: Flags): void {
  const isRun = statSync(path).isDirectory();
  const source = isRun ? join(path, "history.jsonl") : path;
  const { name } = findFormat(format);
  if (!isRun && to === undefined) throw new ScenarioError("say with --to where the exported history goes");
  const out = to ?? join(path, `history.${name}`);
  if (isSameFile(out, source)) throw new ScenarioError(`--to would overwrite the history ${source}`);
  try {
    const { events, leftOut, warnings } = exportHistory(source, name, out, workload ? { workload } : {});
    if (json) {
      const document = { formatVersion: 1, command: "report", exitCode: 0, format: name, file: out };
      console.log(JSON.stringify({ ...document, events, leftOut, warnings }, null, 2));
      return;
    }
    console.log(`written: ${out} (${events} events, ${name})`);
    for (const warning of warnings) console.log(`  read with a remark: ${warning}`);
    for (const what of leftOut) console.log(`  left out: ${what}`);
  } catch (error) {
    if (error instanceof HistoryError) throw new ScenarioError(`${source}: ${error.message}`);
    throw error;
  }
}
