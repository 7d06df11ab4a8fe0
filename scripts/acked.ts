#!/usr/bin/env node
/** The command line: one subcommand a file, loaded when asked for. Parses at the edge, and turns every error into one sentence and an exit code. */
import { Command, CommanderError } from "commander";
import { CheckerDisagreement } from "../harness/checkers/disagreement.ts";
import { shownText } from "../harness/history/shown-text.ts";
import { packageVersion } from "../harness/package-root.ts";
import { ScenarioError } from "../stores/contract.ts";
import { saveDisagreement } from "./save-disagreement.ts";

const program = new Command("acked")
  .description(
    "Was what you acked still there? Breaks or clears durable in-memory stores, and measures them.",
  )
  .version(packageVersion)
  .showHelpAfterError(false)
  .configureOutput({ outputError: (text, write) => write(`acked: ${text.replace(/^error: /, "")}`) })
  .exitOverride();

/** In the order of the help. One that is named is the only one loaded: loading all takes most of a second. */
const commands = {
  chaos: () => import("./chaos.ts"),
  explore: () => import("./explore.ts"),
  sweep: () => import("./sweep.ts"),
  bench: () => import("./bench.ts"),
  compare: () => import("./compare.ts"),
  gate: () => import("./gate.ts"),
  check: () => import("./check.ts"),
  replay: () => import("./replay.ts"),
  report: () => import("./report.ts"),
  list: () => import("./list.ts"),
  doctor: () => import("./doctor.ts"),
};
const named = Object.entries(commands).filter(([name]) => name === process.argv[2]);
for (const [, load] of named.length > 0 ? named : Object.entries(commands)) (await load()).register(program);
for (const command of program.commands) command.exitOverride();

/** ms after a failure within which everything of ours must have been let go of; then acked ends all the same. */
const lingerMs = 1000;

// Whatever escapes still ends in one sentence and exit code 4; the supervisor's exit hook kills every child.
const escaped = (error: unknown) => process.exit(exitCodeOf(error));
process.on("uncaughtException", escaped);
process.on("unhandledRejection", escaped);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  setTimeout(() => process.exit(), lingerMs).unref();
  if (process.exitCode !== 0 && process.argv.includes("--json")) printDocument(error, process.exitCode);
}

/** Whoever asked for JSON gets one document even when nothing was run. */
function printDocument(error: unknown, exitCode: number): void {
  const reasons = [error instanceof Error ? error.message.replace(/^error: /, "") : String(error)];
  const command = process.argv[2] ?? "";
  console.log(
    JSON.stringify({ formatVersion: 1, command, verdict: "unknown", exitCode, reasons, findings: [] }),
  );
}

/** 3: the scenario asks for something invalid or unavailable. 4: acked itself failed. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 3;
  if (error instanceof ScenarioError) {
    console.error(`acked: ${shownText(error.message, Number.POSITIVE_INFINITY)}`);
    return 3;
  }
  if (error instanceof CheckerDisagreement) {
    console.error(`acked failed: ${error.message}; ${saveDisagreement(error)}`);
    return 4;
  }
  console.error(`acked failed: ${error instanceof Error ? error.message : String(error)}`);
  if (process.env.ACKED_DEBUG) console.error(error);
  else
    console.error(
      "this is a fault of acked, not a verdict on your store; ACKED_DEBUG=1 prints where it happened",
    );
  return 4;
}
