/**
 * `acked bench transactions`: how long it takes to check a million transactions of list-append, and in how much
 * memory.
 *
 * The history is that of a simulated strict serializable store, event by event, paired by `buildHistory` as a
 * file's would be. What is printed is the time of the check alone, and the peak of the whole process: generator,
 * history and checker. A second check is of the same history with one stale read at its end: then nearly all
 * transactions are in one component, which is the worst case for the search of a shortest cycle.
 *
 * The figures hold for the machine they are printed with. The calibration, a fixed loop on one thread in the same
 * run, is there to compare machines by, roughly.
 */

import type { Command } from "commander";
import type { CheckContext, CheckResult } from "../harness/checkers/contract.ts";
import {
  type SimulationOptions,
  simulatedEvents,
  type TransactionEvent,
} from "../harness/checkers/fixtures/simulated-transactions.ts";
import { checkListAppend } from "../harness/checkers/transactions/list-append.ts";
import { calibrate } from "../harness/explore/calibration.ts";
import { buildHistory, type History } from "../harness/history/history.ts";
import type { HistoryEvent } from "../harness/history/operation.ts";
import { describeMachine } from "../harness/machine.ts";
import { wholeNumber } from "./options.ts";

export interface TransactionBenchOptions {
  /** Default 1,000,000. */
  readonly transactions?: number;
  readonly seed?: number;
}

/** What one check took. */
export interface TransactionBench {
  readonly name: string;
  readonly transactions: number;
  readonly microOperations: number;
  /** Elements in all reads. */
  readonly elementsRead: number;
  readonly verdict: CheckResult["verdict"];
  /** Names and cycle lengths of what was found. */
  readonly found: readonly string[];
  /** Wall time and CPU time of the check alone, ms. */
  readonly checkMs: number;
  readonly cpuMs: number;
  /** Peak of the process so far, bytes. */
  readonly peakRss: number;
}

const shape = { clients: 50, keys: 100, writesPerKey: 64, length: 4, aborts: 0, unanswered: 0.001 };
const calibrationMs = 500;

/** Adds the subcommand to `acked bench`. */
export function registerTransactions(bench: Command): void {
  bench
    .command("transactions")
    .description("what it costs to judge a million transactions of list-append, and in how much memory")
    .option("--transactions <n>", "how many", wholeNumber(100, 100_000_000), 1_000_000)
    .option("--json", "one JSON document on standard output, and nothing else there")
    .action((_: unknown, command: Command) => {
      const { json, transactions } = command.optsWithGlobals<{ json?: true; transactions: number }>();
      const measured = benchTransactions(json ? () => {} : (line) => console.log(line), { transactions });
      if (!json) return;
      const head = { formatVersion: 1, command: "bench transactions", verdict: true, exitCode: 0 };
      console.log(JSON.stringify({ ...head, reasons: [], findings: [], measured }));
    });
}

/** Measures both histories; prints a line for each as it is done. Throws nothing of its own. */
export function benchTransactions(
  print: (line: string) => void,
  { transactions = 1_000_000, seed = 1 }: TransactionBenchOptions = {},
): readonly TransactionBench[] {
  const { cores, cpu, memoryBytes, node } = describeMachine(".");
  print(`calibration: ${Math.round(calibrate(calibrationMs))} rounds per second on one thread`);
  print(`seed ${seed} · ${cores} × ${cpu}, ${(memoryBytes / 1024 ** 3).toFixed(0)} GB, Node ${node}`);
  const options: SimulationOptions = { ...shape, seed, store: "strict", type: "append", transactions };
  const startedAt = performance.now();
  const history = buildHistory(eventsOf(simulatedEvents(options), 0));
  print(`generated in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  const measured = [measure("strict serializable", history)];
  print(lineOf(measured[0]!));
  measured.push(measure("with one stale read", withStaleRead(history)));
  print(lineOf(measured[1]!));
  return measured;
}

function* eventsOf(
  events: Iterable<TransactionEvent>,
  first: number,
): Generator<HistoryEvent, void, undefined> {
  let index = first;
  for (const event of events) {
    yield { ...event, index, time: index * 1000 };
    index++;
  }
}

/** At the end, a new client finds the first list empty. */
function withStaleRead(history: History): History {
  const last = history.operations.at(-1)!;
  const stale = { process: 1_000_000_000, f: "txn", workload: "txn" };
  const events: TransactionEvent[] = [
    { ...stale, type: "invoke", value: [["r", 0, null]] },
    { ...stale, type: "ok", value: [["r", 0, []]] },
  ];
  const { operations } = buildHistory(eventsOf(events, 2 * history.operations.length + last.call));
  return { ...history, operations: [...history.operations, ...operations] };
}

function measure(name: string, history: History): TransactionBench {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const result = checkListAppend(history, context);
  const checkMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  return {
    name,
    transactions: history.operations.length,
    ...sizesOf(history),
    verdict: result.verdict,
    found: result.findings.map(({ kind, order, cycle }) => {
      const variant = order ? `${kind}-${order}` : kind;
      return cycle ? `${variant} (${cycle.steps.length} steps)` : variant;
    }),
    checkMs,
    cpuMs: (user + system) / 1000,
    peakRss: process.resourceUsage().maxRSS * 1024,
  };
}

const context: CheckContext = {
  promise: {
    processCrash: { survives: "everything acknowledged" },
    powerLoss: { survives: "everything acknowledged" },
    gracefulStop: { survives: "everything acknowledged" },
    syncsBeforeAcknowledging: true,
    failStop: true,
    detectsDamageAtRest: true,
    source: "the benchmark",
  },
  budgetMs: 600_000,
};

function sizesOf(history: History): { microOperations: number; elementsRead: number } {
  let [microOperations, elementsRead] = [0, 0];
  for (const { input, output } of history.operations) {
    microOperations += (input as unknown[]).length;
    for (const [f, , value] of (output ?? []) as [string, number, unknown][]) {
      if (f === "r" && Array.isArray(value)) elementsRead += value.length;
    }
  }
  return { microOperations, elementsRead };
}

function lineOf(one: TransactionBench): string {
  const figures = [
    `${one.transactions} transactions`,
    `${one.microOperations} micro-operations`,
    `${one.elementsRead} elements read`,
    `checked in ${(one.checkMs / 1000).toFixed(1)} s (${(one.cpuMs / 1000).toFixed(1)} s of CPU)`,
    `peak ${(one.peakRss / 1024 ** 3).toFixed(2)} GB`,
  ];
  const found = one.found.length > 0 ? one.found.join(", ") : "nothing found";
  return `${one.name}: ${figures.join(", ")}; ${one.verdict}, ${found}`;
}
