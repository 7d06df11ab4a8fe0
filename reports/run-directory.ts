/**
 * Reads a finished run's directory, and nothing else: `results.json`, `faults.jsonl`, `store.log`, `scenario.json` and
 * the events of `history.jsonl`, one at a time. A run that was killed before it wrote `results.json` is read too:
 * it is *unknown*, and its history is still shown. A line cut off by a kill is counted, never guessed.
 */
import { createReadStream, existsSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import type { Finding } from "../harness/checkers/contract.ts";
import { HistoryError } from "../harness/history/history.ts";
import { readHistoryFile } from "../harness/history/history-file.ts";
import type { HistoryEvent, Operation } from "../harness/history/operation.ts";
import type { FaultRecord, RunResults, ShrunkFinding } from "../harness/results.ts";

/** Everything of a run except its history, which is streamed. */
export interface RunFiles {
  readonly dir: string;
  readonly results: RunResults;
  readonly faults: readonly FaultRecord[];
  /** Lines of `faults.jsonl` that could not be read. */
  readonly faultLinesUnreadable: number;
  /** The last part of what the store printed; empty when it printed nothing. */
  readonly storeLogTail: string;
  /** Bytes of `store.log` before `storeLogTail`. */
  readonly storeLogBytesBefore: number;
}

/** A directory that cannot be reported on: one sentence, what and where. */
export class ReportError extends Error {
  override readonly name = "ReportError";
}

const storeLogBytesMax = 16_384;

/**
 * @throws ReportError when `results.json` is there and is not a result that this version can read, or when the
 *   directory holds neither results nor a history.
 */
export async function readRunFiles(dir: string): Promise<RunFiles> {
  const results = await readResults(dir);
  const { faults, unreadable } = await readFaults(dir);
  const log = await readTail(join(dir, "store.log"), storeLogBytesMax);
  return {
    dir,
    results,
    faults,
    faultLinesUnreadable: unreadable,
    storeLogTail: log.text,
    storeLogBytesBefore: log.bytesBefore,
  };
}

/** Reads `results.json` alone; see `readRunFiles` for what is thrown. */
export async function readResults(dir: string): Promise<RunResults> {
  const path = join(dir, "results.json");
  const text = await textOrUndefined(path);
  if (text === undefined) return resultsOfAnUnfinishedRun(dir);
  let parsed: RunResults;
  try {
    parsed = JSON.parse(text) as RunResults;
  } catch (error) {
    throw new ReportError(
      `${path} is not JSON (${(error as Error).message}); the run's history may still be checked`,
    );
  }
  if (parsed?.formatVersion !== 1) {
    throw new ReportError(
      `${path} has formatVersion ${String(parsed?.formatVersion)}; this version of acked reads formatVersion 1`,
    );
  }
  return withInfinities(parsed);
}

/** How far a history could be read. */
export interface HistoryRead {
  /** What is missing at its end and why, in one sentence; empty when nothing is. */
  readonly note: string;
}

/**
 * Visits every event of `history.jsonl` in order, none when there is no such file, and lets other work run now and
 * then. A line that cannot be read ends the visit and is named in the note: what came before it still is a report.
 */
export async function visitHistory(dir: string, visit: (event: HistoryEvent) => void): Promise<HistoryRead> {
  const path = join(dir, "history.jsonl");
  if (!existsSync(path)) return { note: "There is no history.jsonl." };
  const events = readHistoryFile(path);
  try {
    for (let count = 1; ; count++) {
      const { done, value } = events.next();
      if (done)
        return { note: value.truncated ? "The last line of history.jsonl was cut off by a kill." : "" };
      visit(value);
      if (count % 50_000 === 0) await setImmediate();
    }
  } catch (error) {
    if (!(error instanceof HistoryError)) throw error;
    return { note: `The history was read only up to the first line that cannot be: ${error.message}.` };
  }
}

async function readFaults(dir: string): Promise<{ faults: FaultRecord[]; unreadable: number }> {
  const faults: FaultRecord[] = [];
  let unreadable = 0;
  for await (const line of lines(join(dir, "faults.jsonl"))) {
    const record = parsedLine(line) as FaultRecord | undefined;
    if (typeof record?.name === "string" && typeof record.armedAt === "number") faults.push(record);
    else unreadable++;
  }
  return { faults, unreadable };
}

async function* lines(path: string): AsyncGenerator<string> {
  const stream = createReadStream(path, { encoding: "utf8", highWaterMark: 1 << 20 });
  try {
    for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line !== "") yield line;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  } finally {
    stream.destroy();
  }
}

function parsedLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** JSON has no Infinity: a return, bound or time that was infinite comes back as null. */
function withInfinities(results: RunResults): RunResults {
  const restored = (finding: Finding): Finding => ({
    ...finding,
    operations: (finding.operations ?? []).map(restoredOperation),
  });
  return {
    ...results,
    findings: (results.findings ?? []).map(restored),
    checks: (results.checks ?? []).map((check) => ({
      ...check,
      findings: (check.findings ?? []).map(restored),
    })),
    ...(results.explorations
      ? {
          explorations: results.explorations.map((explored) => ({
            ...explored,
            findings: explored.findings.map((finding) => ({
              ...finding,
              operations: restored(finding).operations,
              ...(finding.shrunk ? { shrunk: restoredShrunk(finding.shrunk) } : {}),
            })),
          })),
        }
      : {}),
  };
}

function restoredShrunk(shrunk: ShrunkFinding): ShrunkFinding {
  const { finding } = shrunk;
  return { ...shrunk, finding: { ...finding, operations: finding.operations.map(restoredOperation) } };
}

function restoredOperation(operation: Operation): Operation {
  return {
    ...operation,
    return: operation.return ?? Number.POSITIVE_INFINITY,
    bound: operation.bound ?? Number.POSITIVE_INFINITY,
    returnedAt: operation.returnedAt ?? Number.POSITIVE_INFINITY,
  };
}

async function resultsOfAnUnfinishedRun(dir: string): Promise<RunResults> {
  const history = await textOrUndefined(join(dir, "history.jsonl"), 1);
  const scenarioText = await textOrUndefined(join(dir, "scenario.json"));
  if (history === undefined && scenarioText === undefined) {
    throw new ReportError(
      `${dir} holds no run: neither results.json nor scenario.json nor history.jsonl is there`,
    );
  }
  const scenario = (parsedLine(scenarioText ?? "") ?? {}) as Record<string, unknown>;
  const none = { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
  const store = scenario.store;
  return {
    formatVersion: 1,
    command: "chaos",
    verdict: "unknown",
    exitCode: 2,
    reasons: ["acked ended before it had checked this run: its history is shown here, and was not judged."],
    findings: [],
    faults: [],
    counts: {},
    seed: typeof scenario.seed === "number" ? scenario.seed : 0,
    runDir: dir,
    replay: `acked replay ${dir}`,
    store: { name: typeof store === "string" ? store : "the store" },
    durability: "not recorded",
    promise: "not recorded",
    workloads: [],
    clients: 0,
    startedAt: "",
    elapsedMs: 0,
    checks: [],
    notCovered: [{ what: "every check", why: "acked ended before checking" }],
    worst: "acked itself ended before its run did",
    recoveryMs: [],
    unavailableMs: [],
    responseTimes: { quiet: none, duringFaults: none },
    machine: { cpu: "", cores: 0, memoryBytes: 0, kernel: "", fileSystem: "", node: "" },
    versions: {},
    interrupted: true,
  };
}

async function textOrUndefined(path: string, bytesMax?: number): Promise<string | undefined> {
  try {
    if (bytesMax === undefined) return await readFile(path, "utf8");
    return (await readTail(path, bytesMax, true)).text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function readTail(
  path: string,
  bytesMax: number,
  mustExist = false,
): Promise<{ text: string; bytesBefore: number }> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (!mustExist && (error as NodeJS.ErrnoException).code === "ENOENT") return { text: "", bytesBefore: 0 };
    throw error;
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytesMax);
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, size - length);
    return { text: buffer.toString("utf8", 0, bytesRead), bytesBefore: size - length };
  } finally {
    await file.close();
  }
}
