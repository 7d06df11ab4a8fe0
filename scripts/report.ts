/** `acked report DIR`: makes the reports of a finished run again, from its files alone. */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { ReportError, readResults, summaryOptions, terminalSummary, writeReports } from "../reports/index.ts";
import { ScenarioError } from "../stores/contract.ts";

export function register(program: Command): void {
  program
    .command("report")
    .description("make the reports of a finished run again, from its files")
    .argument("[run]", "a run directory", "runs/latest")
    .action(async (run: string) => {
      if (!existsSync(run))
        throw new ScenarioError(`there is no run directory ${run}: give one of those below runs/`);
      try {
        const written = await writeReports(run);
        console.log(terminalSummary(await readResults(run), summaryOptions(process.stdout, process.env)));
        console.log(`\nwritten again: ${written.html}`);
      } catch (error) {
        if (error instanceof ReportError) throw new ScenarioError(error.message);
        throw error;
      }
    });
}
