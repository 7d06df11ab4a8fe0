/**
 * `acked bench overhead`: what it costs a store to run with acked between it and the disk. The same program makes the
 * same calls bare, through the interposer, and through the interposer with every call traced; then through the broker,
 * which serves static programs. In turns, the cheapest turn of each: a busy machine makes figures too high, and leaves
 * ratios near the truth. No performance of a store is ever measured this way.
 */
import type { Command } from "commander";
import { brokerUnavailable, measureBrokerCost, measureOverhead } from "../faults/index.ts";
import { describeMachine } from "../harness/machine.ts";

interface Row {
  readonly call: string;
  readonly through: "interposer" | "broker";
  /** Nanoseconds a call. */
  readonly bareNs: number;
  readonly throughNs: number;
  readonly tracedNs: number;
}

/** Adds the subcommand to `acked bench`. */
export function registerOverhead(bench: Command): void {
  bench
    .command("overhead")
    .description("what the interposer and the broker cost a call of the store, with and without a trace")
    .option("--json", "one JSON document on standard output, and nothing else there")
    .action((_: unknown, command: Command) => benchOverhead(command.optsWithGlobals<{ json?: true }>()));
}

async function benchOverhead(flags: { readonly json?: true }): Promise<void> {
  const rows: Row[] = [];
  const reasons: string[] = [];
  for (const [call, cost] of Object.entries((await measureOverhead()).calls)) {
    rows.push({ call, through: "interposer", ...cost, throughNs: cost.interposedNs });
  }
  const missing = await brokerUnavailable();
  if (missing === undefined) {
    for (const [call, cost] of Object.entries((await measureBrokerCost()).calls)) {
      rows.push({ call, through: "broker", ...cost, throughNs: cost.brokeredNs });
    }
  } else reasons.push(`not measured: the broker, because ${missing}`);
  const head = {
    formatVersion: 1,
    command: "bench overhead",
    verdict: true,
    exitCode: 0,
    reasons,
    findings: [],
  };
  const machine = describeMachine(".");
  process.stdout.write(
    flags.json
      ? `${JSON.stringify({ ...head, calls: rows, machine })}\n`
      : `${[...table(rows), ...reasons, `${machine.cores} × ${machine.cpu}, Node ${machine.node}`].join("\n")}\n`,
  );
}

function table(rows: readonly Row[]): string[] {
  const ns = (value: number) => `${value.toFixed(0)} ns`;
  const head = ["call", "through", "bare", "through it", "ratio", "traced"];
  const body = rows.map((row) => [
    row.call,
    row.through,
    ns(row.bareNs),
    ns(row.throughNs),
    (row.throughNs / row.bareNs).toFixed(2),
    ns(row.tracedNs),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...body].map((line) => line[column]!.length)));
  return [head, ...body].map((line) =>
    line
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  "),
  );
}
