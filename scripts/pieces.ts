/**
 * The pieces of a durable write inside one process, by tinybench: encoding a record, appending to the log with and
 * without a sync; and of judging one: the checker. It drives no store; what a client gets is measured by `bench` itself.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Bench, type Task } from "tinybench";
import { analyseKey } from "../harness/checkers/linearizability/register-key.ts";
import { buildHistory } from "../harness/history/history.ts";
import type { HistoryEvent } from "../harness/history/operation.ts";
import { seededRandom } from "../harness/measure/random.ts";
import type { PieceRecord } from "../harness/measure/results.ts";
import { ByteWriter, batchHeaderBytes, binaryCodec } from "../stores/ramlog/codec.ts";
import { nodeDisk } from "../stores/ramlog/disk.ts";
import { type DurabilityMode, type Log, openSegmentLog } from "../stores/ramlog/log.ts";
import { origin } from "../stores/ramlog/recovery.ts";
import type { Change } from "../stores/ramlog/state.ts";

const change: Change = { kind: "put", table: "s", key: "k".repeat(50), value: "v".repeat(100) };
const recordsPerCommit = 32;
const segmentBytes = 8 * 2 ** 20;
/** Longer than any run: what is appended is written, and not synced. */
const never: DurabilityMode = { mode: "interval", intervalMs: 3_600_000 };

/** Measures every piece; log files go to a directory below `out` that is removed afterwards. */
export async function measurePieces(out: string, quick: boolean): Promise<readonly PieceRecord[]> {
  mkdirSync(resolve(out), { recursive: true });
  const directory = mkdtempSync(join(resolve(out), ".pieces-"));
  const bench = new Bench({ time: quick ? 150 : 500, warmupTime: 50, throws: true });
  const logs: Log[] = [];
  const always: DurabilityMode = { mode: "always" };
  try {
    addEncoding(bench);
    addChecker(bench);
    for (const [name, durability, records] of [
      ["log append, 1 record, written and not synced", never, 1],
      ["log append, 1 record, synced", always, 1],
      [`log append, ${recordsPerCommit} records in one sync`, always, recordsPerCommit],
    ] as const) {
      const log = await openLog(join(directory, String(logs.length)), durability);
      logs.push(log);
      bench.add(name, () => appended(log, records));
    }
    await bench.run();
    return bench.tasks.map(pieceOf);
  } finally {
    for (const log of logs) await log.close().catch(() => {});
    rmSync(directory, { recursive: true, force: true });
  }
}

/** One record of 50 + 100 bytes, and the checksum over a batch of it. */
function addEncoding(bench: Bench): void {
  const out = new ByteWriter(1 << 16);
  const header = { segment: 1, previous: 0, firstIndex: 1, entries: 1, synced: 0 };
  bench.add("record encoding, with its batch's header and checksum", () => {
    out.length = batchHeaderBytes;
    binaryCodec.writeEntry(out, [change]);
    binaryCodec.sealBatch(out.bytes, 0, out.length, header);
  });
}

/** The linear-time check of one key's history, 1,000 operations of 8 overlapping clients, half of them writes. */
function addChecker(bench: Bench): void {
  const { operations } = buildHistory(linearizableEvents(1000, 8));
  bench.add(`checker, ${operations.length} operations on one register`, () => {
    const { verdict } = analyseKey(operations, null);
    if (verdict !== true) throw new Error(`the checker calls a linearizable history ${verdict}`);
  });
}

/** Every operation takes effect when it is invoked, and completes some time later: linearizable by construction. */
function linearizableEvents(count: number, clients: number): HistoryEvent[] {
  const random = seededRandom(1);
  const events: HistoryEvent[] = [];
  const open = new Map<number, { f: string; value: string | null }>();
  let current: string | null = null;
  for (let begun = 0; begun < count || open.size > 0; ) {
    const client = Math.floor(random() * clients);
    const place = {
      index: events.length,
      time: events.length * 1000,
      process: client,
      workload: "register",
      key: "k",
    };
    const running = open.get(client);
    if (running) {
      events.push({ ...place, type: "ok", f: running.f, value: running.value });
      open.delete(client);
    } else if (begun < count) {
      const f = random() < 0.5 ? "write" : "read";
      if (f === "write") current = `v${begun}`;
      events.push({
        ...place,
        type: "invoke",
        f,
        ...(f === "write" ? { value: current } : {}),
        node: "n1",
        incarnation: 0,
      });
      open.set(client, { f, value: current });
      begun++;
    }
  }
  return events;
}

async function openLog(dir: string, durability: DurabilityMode): Promise<Log> {
  mkdirSync(dir);
  return openSegmentLog({
    ...{ disk: nodeDisk, codec: binaryCodec, dir, durability, segmentBytes },
    after: { position: origin, index: 0 },
    tail: [],
    segment: 1,
    report: () => {},
  });
}

/** Resolves when the records may be acknowledged in this log's mode. */
function appended(log: Log, records: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let last = 0;
    for (let record = 0; record < records; record++) last = log.append([change]);
    log.onReleased = () => {
      if (log.released >= last) resolve();
    };
    log.onFailed = reject;
  });
}

function pieceOf(task: Task): PieceRecord {
  const { result } = task;
  if (result.state !== "completed") throw new Error(`the piece "${task.name}" ended ${result.state}`);
  const { latency, throughput } = result;
  return {
    name: task.name,
    operationsPerSecond: throughput.p50,
    p50: latency.p50 * 1e6,
    p99: latency.p99 * 1e6,
    samples: latency.samplesCount,
  };
}
