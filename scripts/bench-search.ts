/**
 * `npm run bench -- search`: how fast histories are decided that the exact linear-time methods do not cover, as their values
 * repeat. Each is made by a simulated store that serves one request at a time, at a moment between invocation and reply.
 *
 * Times are of this machine and this run; `loops` is the time divided by that of a fixed loop run just before, by which
 * machines can be compared roughly. A history that was not decided within its budget says so: that is a result.
 */

import type { Command } from "commander";
import { Search } from "../harness/checkers/linearizability/search.ts";
import type { Operation } from "../harness/history/operation.ts";
import { describeMachine } from "../harness/machine.ts";
import { findModel } from "../harness/models/index.ts";

export interface SearchBench {
  readonly name: string;
  readonly model: "register" | "kv-strings";
  readonly clients: number;
  /** By one client. */
  readonly operations: number;
  readonly keys: number;
  /** The chance that a request gets no answer, and takes effect later or never. */
  readonly lost: number;
  /** A read in the middle of each key's history returns what it cannot. */
  readonly violated: boolean;
}

export const searchBenches: readonly SearchBench[] = [
  bench("register, 10 keys", "register", 10, 2000, 10, 0, false),
  bench("register, 10 keys, each violated", "register", 10, 2000, 10, 0, true),
  bench("kv strings, 10 keys", "kv-strings", 10, 2000, 10, 0, false),
  bench("kv strings, 10 keys, each violated", "kv-strings", 10, 2000, 10, 0, true),
  bench("register, 10 keys, 1% unanswered", "register", 10, 2000, 10, 0.01, false),
  bench("hard: register, one key, 50 clients", "register", 50, 400, 1, 0, false),
  bench("hard: register, one key, 50 clients, violated", "register", 50, 400, 1, 0, true),
  bench("hard: kv strings, one key, 20 clients", "kv-strings", 20, 500, 1, 0, false),
];

function bench(
  name: string,
  model: SearchBench["model"],
  clients: number,
  operations: number,
  keys: number,
  lost: number,
  violated: boolean,
): SearchBench {
  return { name, model, clients, operations, keys, lost, violated };
}

export interface SearchMeasured {
  readonly name: string;
  readonly operations: number;
  readonly verdict: "true" | "false" | "undecided";
  /** CPU time of this process, in ms. */
  readonly ms: number;
  /** `ms` divided by that of the calibration loop. */
  readonly loops: number;
  readonly configurations: number;
  /** Acknowledged operations placed in the best orders, all keys together. */
  readonly placed: number;
}

/** Adds the subcommand to `acked bench`. */
export function registerSearch(bench: Command): void {
  bench
    .command("search")
    .description("what it costs to search histories without unique values, decidable ones and hard ones")
    .option("--json", "one JSON document on standard output, and nothing else there")
    .action((_: unknown, command: Command) => {
      const { json } = command.optsWithGlobals<{ json?: true }>();
      const measured = benchSearch(json ? () => {} : (line) => console.log(line), printedBudgetMs);
      const { cores, cpu, node } = describeMachine(".");
      if (!json) console.log(`${cores} × ${cpu}, Node ${node}`);
      else {
        const head = { formatVersion: 1, command: "bench search", verdict: true, exitCode: 0, reasons: [] };
        console.log(JSON.stringify({ ...head, findings: [], measured, machine: { cores, cpu, node } }));
      }
    });
}

/** ms for one history of `acked bench search`: the hard ones take all of it. */
const printedBudgetMs = 5000;

/** Runs all of them and prints one line each. @param budgetMs for each. */
export function benchSearch(print: (line: string) => void, budgetMs = 10_000): SearchMeasured[] {
  print(
    "history                                          operations  verdict         ms   loops  configurations",
  );
  return searchBenches.map((one) => {
    const measured = measureSearch(one, budgetMs);
    const { name, operations, verdict, ms, loops, configurations, placed } = measured;
    const how = verdict === "undecided" ? `, ${placed} placed` : "";
    print(
      `${name.padEnd(48)} ${String(operations).padStart(10)}  ${verdict.padEnd(9)} ${ms.toFixed(1).padStart(8)} ${loops.toFixed(2).padStart(7)} ${String(configurations).padStart(15)}${how}`,
    );
    return measured;
  });
}

/** Decides every key of one history in turn. */
export function measureSearch(one: SearchBench, budgetMs: number): SearchMeasured {
  const model = findModel(one.model);
  const keys = repeatingHistory(one, 1);
  const loopMs = calibrationMs();
  const from = process.cpuUsage();
  const until = performance.now() + budgetMs;
  let [configurations, placed, undecided, violated] = [0, 0, 0, 0];
  for (const operations of keys) {
    const search = new Search(model, operations);
    const progress = search.advance(until);
    const status = search.status();
    configurations += status.configurations;
    placed += status.placed;
    if (progress === "more") undecided++;
    else if (!progress) violated++;
  }
  const spent = process.cpuUsage(from);
  const ms = (spent.user + spent.system) / 1000;
  return {
    name: one.name,
    operations: keys.reduce((sum, operations) => sum + operations.length, 0),
    verdict: violated > 0 ? "false" : undecided > 0 ? "undecided" : "true",
    ms,
    loops: ms / loopMs,
    configurations,
    placed,
  };
}

/** CPU time of a fixed loop over a typed array, in ms. */
export function calibrationMs(): number {
  const from = process.cpuUsage();
  const numbers = new Int32Array(1 << 16);
  let state = 1;
  for (let i = 0; i < 20_000_000; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    numbers[state & 0xffff]! += state;
  }
  const spent = process.cpuUsage(from);
  return (spent.user + spent.system) / 1000;
}

/** Histories by key, from a correct store, with values 0…4 (or strings of them); deterministic in the seed. */
export function repeatingHistory(
  { model, clients, operations, keys, lost, violated }: SearchBench,
  seed: number,
): Operation[][] {
  const random = randomFrom(seed);
  const states = Array.from({ length: keys }, () => (model === "register" ? null : "") as string | null);
  const histories: Operation[][] = states.map(() => []);
  const left = new Array<number>(clients).fill(operations);
  const pending: (Request | undefined)[] = new Array(clients).fill(undefined);
  let [rank, nextProcess] = [0, clients];
  const processes = left.map((_, i) => i);
  for (let busy = clients; busy > 0; ) {
    const client = Math.floor(random() * clients);
    const request = pending[client];
    if (!request) {
      if (left[client]! > 0) {
        left[client]!--;
        const key = Math.floor(random() * keys);
        pending[client] = { key, call: rank++, ...requestOf(model, random), served: undefined };
      }
    } else if (!request.served) request.served = serve(model, states, request);
    else {
      const isLost = random() < lost;
      histories[request.key]!.push(operationOf(request, processes[client]!, rank++, isLost));
      if (isLost) processes[client] = nextProcess++;
      pending[client] = undefined;
      if (left[client] === 0) busy--;
    }
  }
  for (const history of histories) {
    history.sort((a, b) => a.call - b.call);
    if (violated) violate(history);
  }
  return histories;
}

interface Request {
  readonly key: number;
  readonly call: number;
  readonly f: string;
  readonly input: string | null;
  served: { readonly output: string | null } | undefined;
}

function requestOf(model: SearchBench["model"], random: () => number): Pick<Request, "f" | "input"> {
  const value = String(Math.floor(random() * 5));
  const choice = random();
  if (choice < 0.5) return { f: model === "register" ? "read" : "get", input: null };
  if (model === "register") return { f: "write", input: value };
  return choice < 0.7 ? { f: "put", input: value } : { f: "append", input: value };
}

function serve(
  model: SearchBench["model"],
  states: (string | null)[],
  { key, f, input }: Request,
): { output: string | null } {
  const isRead = f === "read" || f === "get";
  if (!isRead) states[key] = f === "append" ? `${states[key]}${input}` : input;
  return { output: isRead ? states[key]! : model === "register" ? null : "" };
}

function operationOf(
  { key, call, f, input, served }: Request,
  process: number,
  end: number,
  isLost: boolean,
): Operation {
  return {
    process,
    workload: "bench",
    f,
    key: `k${key}`,
    input,
    outcome: isLost ? "info" : "ok",
    output: isLost ? undefined : served!.output,
    call,
    return: end,
    bound: isLost ? Number.POSITIVE_INFINITY : end,
    calledAt: call * 1e5,
    returnedAt: end * 1e5,
    node: "n1",
    incarnation: 0,
    readBack: false,
  };
}

/** Makes the read in the middle return something that nobody wrote at any time near it. */
function violate(history: Operation[]): void {
  const middle = history.length >> 1;
  const at = history.findIndex(
    ({ f, outcome }, i) => i >= middle && outcome === "ok" && (f === "read" || f === "get"),
  );
  const read = history[at]!;
  const near = history.filter((other) => other.call < read.return && other.return > read.call - 200);
  const candidates = ["0", "1", "2", "3", "4"].filter(
    (value) => !near.some((other) => other.input === value || other.output === value),
  );
  history[at] = { ...read, output: candidates[0] ?? "never written" };
}

/** A random number in [0, 1) from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
