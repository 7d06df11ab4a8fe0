/**
 * `acked bench`: ramlog and Postgres side by side, durable upserts and reads, and what the difference is worth.
 *
 * The flags, and everything from choosing stores to showing results, are shared with `acked compare`.
 */
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { type BenchPlan, runBench } from "../harness/measure/bench.ts";
import type { PieceRecord } from "../harness/measure/results.ts";
import type { NotCovered } from "../harness/results.ts";
import { parseDurability, randomSeed } from "../harness/scenario.ts";
import { healLeftovers } from "../harness/supervisor/active.ts";
import { StartError } from "../harness/supervisor/supervisor.ts";
import { benchPage } from "../reports/bench/page.ts";
import { benchTable, piecesTable } from "../reports/bench/table.ts";
import { connectThin, respMeasurable } from "../stores/clients/resp-measured.ts";
import { type Measurable, ScenarioError, type Store } from "../stores/contract.ts";
import { findStore } from "../stores/index.ts";
import { bundledPostgresMeasurable, postgresAt } from "../stores/postgres/measured.ts";
import { ramlogStore } from "../stores/ramlog/store.ts";
import { registerChecker } from "./bench-checker.ts";
import { registerExplore } from "./bench-explore.ts";
import { registerNetwork } from "./bench-network.ts";
import { registerOverhead } from "./bench-overhead.ts";
import { registerSearch } from "./bench-search.ts";
import { registerTransactions } from "./bench-transactions.ts";
import { onInterruption } from "./interruption.ts";
import { seed, wholeNumber } from "./options.ts";
import { measurePieces } from "./pieces.ts";

/** As commander hands them over. */
export interface BenchFlags {
  readonly quick?: true;
  readonly seconds?: number;
  readonly rounds?: number;
  readonly clients: readonly number[];
  readonly rate?: number;
  readonly durability: string;
  readonly postgresUrl?: string;
  readonly seed?: number;
  readonly out: string;
  readonly allowTmpfs?: true;
  readonly pieces: boolean;
  readonly json?: true;
}

/** `--quick` ends within 60 s of its start; pieces, the page and a slow shutdown need the rest. */
const quickBudgetMs = 45_000;
const quickRounds = 3;
const fullRounds = 6;
const fullMeasureMs = 2000;
/** At most this in `--quick`; the budget usually makes it less. */
const quickMeasureMs = 600;

/** Adds the subcommand. */
export function register(program: Command): void {
  const command = program
    .command("bench")
    .description("measure ramlog against Postgres: same run, same durability, interleaved rounds")
    .option(
      "--only-pieces",
      "only the pieces inside one process (tinybench): record encoding, log append, checker",
    );
  addFlags(command).action(async (flags: BenchFlags & { onlyPieces?: true }) => {
    if (flags.onlyPieces) await showPieces(flags);
    else await benchStores("bench", ["ramlog", "postgres"], flags);
  });
  registerChecker(command);
  registerExplore(command);
  registerNetwork(command);
  registerOverhead(command);
  registerSearch(command);
  registerTransactions(command);
}

/** The flags that bench and compare share. */
export function addFlags(command: Command): Command {
  return command
    .option("--quick", "fewer and shorter rounds, within 60 s; the figures are indicative")
    .option("--seconds <n>", "length of one measurement", positive)
    .option("--rounds <n>", "rounds; a statement needs 6", wholeNumber(1, 1000))
    .option("--clients <list>", "numbers of clients, each a cell", clientList, [1, 8, 50])
    .option(
      "--rate <n>",
      "open-loop requests per second; default: half of what the slowest store does",
      positive,
    )
    .option("--durability <mode>", "always, interval:<ms> or none", "always")
    .option(
      "--postgres-url <url>",
      "your own Postgres instead of the bundled one (a scratch schema, dropped afterwards)",
    )
    .option("--seed <n>", "seed of keys, values, arrivals and bootstrap", seed)
    .option("--out <dir>", "directory of all runs", "runs")
    .option("--allow-tmpfs", "measure on a file system in memory, where a sync costs nothing")
    .option("--no-pieces", "leave out the pieces (tinybench)")
    .option("--json", "one JSON document on standard output, and nothing else there");
}

/** From the flags to the exit code: chooses the stores, runs, writes the page, shows. */
export async function benchStores(
  name: "bench" | "compare",
  wanted: readonly string[],
  flags: BenchFlags,
): Promise<void> {
  const interrupt = new AbortController();
  const done = onInterruption(() => interrupt.abort());
  try {
    for (const sentence of await healLeftovers(flags.out)) process.stderr.write(`${sentence}\n`);
    const chosen = await chooseStores(wanted, flags);
    const { results, runDir } = await runBench(planOf(name, wanted, chosen, flags, interrupt.signal));
    const page = join(runDir, "bench.html");
    writeFileSync(page, benchPage(results));
    process.stdout.write(
      flags.json ? `${JSON.stringify(results)}\n` : `\n${benchTable(results, relative(process.cwd(), page))}`,
    );
    process.exitCode = results.exitCode;
  } catch (error) {
    fail(name, error, interrupt.signal.aborted, flags.json);
  } finally {
    done();
  }
}

/** One sentence, the same document shape with `--json`, and the exit code that says whose fault it is. */
function fail(command: string, error: unknown, interrupted: boolean, json: true | undefined): void {
  const asked = error instanceof ScenarioError || error instanceof StartError;
  const message = error instanceof Error ? error.message : String(error);
  const exitCode = interrupted ? 2 : asked ? 3 : 4;
  const sentence = interrupted ? "interrupted before anything was measured" : message;
  if (json) {
    const document = {
      formatVersion: 1,
      command,
      verdict: "unknown",
      exitCode,
      reasons: [sentence],
      stores: [],
      ratios: [],
    };
    process.stdout.write(`${JSON.stringify(document)}\n`);
  }
  process.stderr.write(`${exitCode === 4 ? "acked failed" : "acked"}: ${sentence}\n`);
  process.exitCode = exitCode;
}

interface Chosen {
  readonly stores: readonly Measurable[];
  readonly notCovered: readonly NotCovered[];
}

/** What is missing on this machine is left out aloud; what does not exist is an error. */
async function chooseStores(wanted: readonly string[], flags: BenchFlags): Promise<Chosen> {
  const stores: Measurable[] = [];
  const notCovered: NotCovered[] = [];
  for (const name of wanted) {
    const store = await measurable(name, flags);
    const twin = stores.find((other) => other.name === store.name);
    if (twin)
      throw new ScenarioError(`two stores call themselves ${store.name}: give one of them another name`);
    const why = await store.unavailable?.();
    if (why === undefined) stores.push(store);
    else {
      notCovered.push({ what: `store ${name}`, why });
      process.stderr.write(`not measured: ${name}, because ${why}\n`);
    }
  }
  if (stores.length === 0)
    throw new ScenarioError(`none of ${wanted.join(", ")} can be measured here: ${notCovered[0]?.why}`);
  return { stores, notCovered };
}

async function measurable(name: string, flags: BenchFlags): Promise<Measurable> {
  if (name === "postgres")
    return flags.postgresUrl ? postgresAt(flags.postgresUrl) : bundledPostgresMeasurable();
  if (name === "ramlog") return respMeasurable(ramlogAtFullSize());
  try {
    return respMeasurable(await findStore(name));
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    throw new ScenarioError(`${error.message}; what is only measured: postgres`, { cause: error });
  }
}

/**
 * ramlog as an application runs it: under chaos its segments and snapshots are kept tiny. No snapshot falls into the
 * run, and neither does a checkpoint of Postgres.
 */
function ramlogAtFullSize(): Store {
  return ramlogStore({
    name: "ramlog",
    summary: "ramlog at production sizes",
    extraArgs: ["--segment-bytes", String(64 * 2 ** 20), "--snapshot-bytes", String(8 * 2 ** 30)],
  });
}

function planOf(
  command: "bench" | "compare",
  wanted: readonly string[],
  chosen: Chosen,
  flags: BenchFlags,
  interrupted: AbortSignal,
): BenchPlan {
  const runSeed = flags.seed ?? randomSeed();
  const quick = flags.quick === true;
  const rounds = flags.rounds ?? (quick ? quickRounds : fullRounds);
  const measureMs = flags.seconds ? flags.seconds * 1000 : quick ? quickMeasureMs : fullMeasureMs;
  const explain = (line: string): void => void process.stderr.write(`  ${line}\n`);
  return {
    ...{ command, ...chosen, rounds, measureMs, interrupted, connectThin },
    seed: runSeed,
    durability: parseDurability(flags.durability, ramlogAtFullSize()),
    durabilityText: flags.durability,
    clients: flags.clients,
    ...(quick ? { budgetMs: quickBudgetMs } : {}),
    indicative: quick,
    ...(flags.rate ? { rate: flags.rate } : {}),
    out: flags.out,
    allowTmpfs: flags.allowTmpfs === true,
    replay: replayLine(command, wanted, flags, runSeed),
    ...(flags.pieces
      ? { pieces: (): Promise<readonly PieceRecord[]> => measurePieces(flags.out, quick) }
      : {}),
    onProgress: explain,
  };
}

function replayLine(command: string, wanted: readonly string[], flags: BenchFlags, runSeed: number): string {
  const words = ["npm", "run", command, "--", "--seed", String(runSeed), "--durability", flags.durability];
  if (command === "compare") words.push("--stores", quoted(wanted.join(",")));
  if (flags.quick) words.push("--quick");
  if (flags.seconds) words.push("--seconds", String(flags.seconds));
  if (flags.rounds) words.push("--rounds", String(flags.rounds));
  words.push("--clients", flags.clients.join(","));
  if (flags.rate) words.push("--rate", String(flags.rate));
  if (flags.postgresUrl) words.push("--postgres-url", '"$POSTGRES_URL"'); // never written down: it holds a password
  return words.join(" ");
}

function quoted(text: string): string {
  return /^[A-Za-z0-9,._/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function showPieces(flags: BenchFlags): Promise<void> {
  try {
    const pieces = await measurePieces(flags.out, flags.quick === true);
    const document = { formatVersion: 1, command: "bench", verdict: true, exitCode: 0, reasons: [], pieces };
    process.stdout.write(flags.json ? `${JSON.stringify(document)}\n` : piecesTable(pieces));
  } catch (error) {
    fail("bench", error, false, flags.json);
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError(`"${text}" is not a number above 0`);
}

function clientList(text: string): number[] {
  const values = [...new Set(text.split(",").map((part) => Number(part.trim())))];
  if (values.every((value) => Number.isInteger(value) && value > 0 && value <= 150))
    return values.sort((a, b) => a - b);
  throw new InvalidArgumentError(`"${text}" is not a list of numbers from 1 to 150, such as 1,8,50`);
}
