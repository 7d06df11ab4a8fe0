/**
 * `acked bench checker`: what it costs to judge a history, and to read one. Correct histories of one busy key, 50
 * overlapping clients, of 10^4 to 10^7 operations; the cheapest of several turns each, since a busy machine only ever makes
 * figures too high. Every promise is printed with its figure, and with whether it was reached here.
 *
 * Measured: the exact method from columns (ranks and value numbers) to its verdict, without the witness. Beside it, for
 * what a whole check costs: from operations, with the witness replayed; keys with deletes; lists. Memory is what the check
 * allocates beyond the columns, as the process's array buffers and heap grow by it. Not measured: violations, and search.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { analyseList } from "../harness/checkers/linearizability/list-key.ts";
import { analyseColumns, analyseKey } from "../harness/checkers/linearizability/register-key.ts";
import { refuteWitness } from "../harness/checkers/linearizability/witness.ts";
import { readColumnarFile, writeColumnarFile } from "../harness/history/columnar-file.ts";
import { columnBytes, type KeyColumns, nil } from "../harness/history/columns.ts";
import { buildHistory, byKey } from "../harness/history/history.ts";
import { historyColumns } from "../harness/history/history-columns.ts";
import { loadHistory, readHistoryFile } from "../harness/history/history-file.ts";
import type { Operation } from "../harness/history/operation.ts";
import { describeMachine } from "../harness/machine.ts";
import { registerModel } from "../harness/models/register.ts";
import { busyEvents, busyKey, busyLists } from "./busy-key.ts";

/** One thing measured. */
export interface CheckerRow {
  readonly what: string;
  readonly operations: number;
  readonly ms: number;
  /** Beyond the history; undefined where it was not measured. */
  readonly bytesPerOperation?: number;
}

/** A promise, and what came of it here. */
export interface CheckerPromise {
  readonly promise: string;
  readonly figure: string;
  readonly reached: boolean;
}

export interface CheckerFigures {
  readonly rows: readonly CheckerRow[];
  readonly promises: readonly CheckerPromise[];
}

const clients = 50;
const million = 1_000_000;

/** Adds the subcommand to `acked bench`. */
export function registerChecker(bench: Command): void {
  bench
    .command("checker")
    .description("what it costs to judge a history, from 10^4 to 10^7 operations, and to read one from disk")
    .option("--quick", "up to 10^6 operations")
    .option("--json", "one JSON document on standard output, and nothing else there")
    .action((_: unknown, command: Command) => {
      const flags = command.optsWithGlobals<{ quick?: true; json?: true }>();
      const figures = measureChecker(flags.quick ? million : 10 * million);
      const machine = describeMachine(".");
      const head = { formatVersion: 1, command: "bench checker", verdict: true, exitCode: 0, reasons: [] };
      process.stdout.write(
        flags.json
          ? `${JSON.stringify({ ...head, findings: [], ...figures, machine })}\n`
          : `${[...told(figures), `${machine.cores} × ${machine.cpu}, Node ${machine.node}`].join("\n")}\n`,
      );
    });
}

/** @param largest operations of the longest history. */
export function measureChecker(largest: number): CheckerFigures {
  const sizes = [10_000, 100_000, million, 10 * million].filter((size) => size <= largest);
  const bySize = sizes.map((size) =>
    measureColumns(busyKey({ operations: size, clients }), "reads and writes"),
  );
  const atMillion = bySize[sizes.indexOf(million)] ?? bySize.at(-1)!;
  const operations = atMillion.operations;
  const chains = busyKey({ operations, clients, compareAndSets: 0.2, writes: 0.2 });
  const withChains = measureColumns(chains, "with 20% compare-and-set");
  const lost = busyKey({ operations, clients, indeterminateWrites: operations / 100 });
  const withLost = measureColumns(lost, `with ${operations / 100} indeterminate writes`);
  const files = measureFiles(operations / 50);
  const perOperation = bySize.map(({ ms, operations: count }) => ms / count);
  const spread = Math.max(...perOperation) / Math.min(...perOperation);
  const bytes = Math.max(...[...bySize, withChains, withLost].map((row) => row.bytesPerOperation));
  return {
    rows: [...bySize, withChains, withLost, ...measureWhole(operations / 10), ...files.rows],
    promises: [
      atMost("1,000,000 operations on one key, 50 clients", atMillion.ms, 60, "ms"),
      atMost("the same with 20% compare-and-set", withChains.ms, 100, "ms"),
      atMost(
        "10,000 indeterminate writes among them, against none",
        withLost.ms / atMillion.ms,
        1.5,
        "times",
      ),
      atMost(
        `cost per operation, 10^4 to 10^${Math.log10(sizes.at(-1)!)}, dearest to cheapest`,
        spread,
        3,
        "times",
      ),
      atMost("memory beyond the history", bytes, 40, "bytes per operation"),
      atMost("reading JSON lines, against JSON.parse of the same lines", files.linesToParse, 1.3, "times"),
      atLeast("reading columns, against reading JSON lines", files.linesToColumns, 10, "times faster"),
    ],
  };
}

function atMost(promise: string, figure: number, most: number, unit: string): CheckerPromise {
  const text = `${figure.toFixed(figure < 10 ? 2 : 0)} ${unit} (at most ${most})`;
  return { promise, figure: text, reached: figure <= most };
}

function atLeast(promise: string, figure: number, least: number, unit: string): CheckerPromise {
  const text = `${figure.toFixed(1)} ${unit} (at least ${least})`;
  return { promise, figure: text, reached: figure >= least };
}

/** The exact method on columns alone. */
function measureColumns(columns: KeyColumns, what: string): Required<CheckerRow> {
  const { count } = columns;
  const judge = () => {
    const analysis = analyseColumns(columns, nil);
    if (analysis.verdict !== true) throw new Error(`the checker calls a correct history ${analysis.verdict}`);
    return analysis;
  };
  const turns = Math.min(200, Math.max(4, 10 * Math.ceil(million / count)));
  const ms = cheapest(turns, judge);
  return { what, operations: count, ms, bytesPerOperation: bytesTaken(judge) / count };
}

/** Bytes by which the process grows while something is made; the result is kept until they are counted. */
export function bytesTaken(make: () => unknown): number {
  let least = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < 3; turn++) {
    (globalThis as { gc?: () => void }).gc?.();
    const before = process.memoryUsage();
    const kept = make();
    const after = process.memoryUsage();
    const taken = after.arrayBuffers - before.arrayBuffers + Math.max(0, after.heapUsed - before.heapUsed);
    // A collection in between hides what was freed, and may free what was there before.
    if (kept !== undefined && after.arrayBuffers > before.arrayBuffers) least = Math.min(least, taken);
  }
  return least;
}

/** ms of the cheapest turn. */
function cheapest(turns: number, run: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < turns; turn++) {
    const startedAt = performance.now();
    run();
    best = Math.min(best, performance.now() - startedAt);
  }
  return best;
}

/** From operation objects, with everything a check does; each history a tenth of the promise's. */
function measureWhole(count: number): CheckerRow[] {
  const { operations } = buildHistory(busyEvents(busyKey({ operations: count, clients })));
  const deletes = busyKey({ operations: count, clients, deletes: 0.1 });
  const lists = [...byKey(buildHistory(busyLists(count, clients)).operations).values()];
  return [
    {
      what: "from operation objects, witness replayed",
      operations: count,
      ms: cheapest(4, () => judgeWhole(operations)),
    },
    {
      what: "with 10% deletes (schedule of nil)",
      operations: count,
      ms: cheapest(4, () => judgeDeletes(deletes)),
    },
    {
      what: `lists, ${lists.length} of them, from operation objects`,
      operations: count,
      ms: cheapest(4, () => {
        for (const list of lists)
          if (analyseList(list, []).verdict !== true) throw new Error("a list is wrong");
      }),
    },
  ];
}

function judgeWhole(operations: readonly Operation[]): void {
  const analysis = analyseKey(operations, null);
  if (analysis.verdict !== true) throw new Error(`the checker calls a correct history ${analysis.verdict}`);
  const wrong = refuteWitness(registerModel, operations, analysis.witness());
  if (wrong) throw new Error(wrong);
}

function judgeDeletes(columns: KeyColumns): void {
  const analysis = analyseColumns(columns, nil);
  const verdict = analysis.verdict === "open" ? analysis.schedule.advance(Number.POSITIVE_INFINITY) : false;
  if (verdict !== true) throw new Error("the checker does not call a correct history with deletes one");
}

interface FileFigures {
  readonly rows: readonly CheckerRow[];
  /** Reading JSON lines, in times of JSON.parse of them just before: the median of all turns. */
  readonly linesToParse: number;
  /** Reading JSON lines, in times of reading columns. */
  readonly linesToColumns: number;
}

/** Both forms on disk. Turns alternate, and are short and many, so that what else the machine does falls on all of them. */
export function measureFiles(count: number): FileFigures {
  const directory = mkdtempSync(join(tmpdir(), "acked-bench-checker-"));
  try {
    const lines = join(directory, "history.jsonl");
    const columns = join(directory, "history.columns");
    const texts = Array.from(
      busyEvents(busyKey({ operations: count, clients, compareAndSets: 0.1 })),
      (event) => JSON.stringify(event),
    );
    writeFileSync(lines, `${texts.join("\n")}\n`);
    writeColumnarFile(columns, historyColumns(loadHistory(lines).history));
    const alike = readFileSync(lines, "utf8").trimEnd().split("\n");
    const ms = { parse: Number.POSITIVE_INFINITY, lines: Number.POSITIVE_INFINITY };
    const columnar = { read: Number.POSITIVE_INFINITY, operations: Number.POSITIVE_INFINITY };
    const ratios: number[] = [];
    for (let turn = 0; turn < 51; turn++) {
      const parse = cheapest(1, () => parseAll(alike));
      const read = cheapest(1, () => drain(readHistoryFile(lines)));
      ms.parse = Math.min(ms.parse, parse);
      ms.lines = Math.min(ms.lines, read);
      ratios.push(read / parse);
      columnar.read = Math.min(
        columnar.read,
        cheapest(2, () => readColumnarFile(columns)),
      );
    }
    columnar.operations = cheapest(3, () => readColumnarFile(columns).toHistory());
    const size = (path: string) => `${(statSync(path).size / 1e6).toFixed(0)} MB`;
    return {
      rows: [
        { what: "JSON.parse of each line", operations: count, ms: ms.parse },
        { what: `reading JSON lines, ${size(lines)}, checked`, operations: count, ms: ms.lines },
        { what: `reading columns, ${size(columns)}, checked`, operations: count, ms: columnar.read },
        { what: "the same, as operation objects", operations: count, ms: columnar.operations },
      ],
      // The cheapest turns of the two may fall on moments in which the machine was of different speed; neighbours do not.
      linesToParse: ratios.sort((a, b) => a - b)[ratios.length >> 1]!,
      linesToColumns: ms.lines / columnar.read,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function parseAll(lines: readonly string[]): void {
  for (const line of lines) JSON.parse(line);
}

function drain(events: Iterable<unknown>): void {
  for (const _ of events);
}

function told({ rows, promises }: CheckerFigures): string[] {
  const head = ["history", "operations", "ms", "ns an operation", "bytes beyond it"];
  const body = rows.map(({ what, operations, ms, bytesPerOperation }) => [
    what,
    operations.toLocaleString("en"),
    ms.toFixed(1),
    ((ms * 1e6) / operations).toFixed(0),
    bytesPerOperation === undefined ? "" : bytesPerOperation.toFixed(1),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...body].map((line) => line[column]!.length)));
  const table = [head, ...body].map((line) =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
  const inColumns = columnBytes(busyKey({ operations: 1000, clients })) / 1000;
  return [
    ...table,
    `bytes beyond it: what array buffers and heap grew by; the columns themselves take ${inColumns} an operation`,
    "",
    ...promises.map(
      ({ promise, figure, reached }) => `${reached ? "reached    " : "not reached"}  ${promise}: ${figure}`,
    ),
  ];
}
