import { describe, expect, test } from "vitest";
import type { Trace, TraceEvent } from "../../../faults/contract.ts";
import type { StorePromise } from "../../../stores/contract.ts";
import { buildHistory } from "../../history/history.ts";
import type { HistoryEvent } from "../../history/operation.ts";
import { placeOperations } from "../judge/obligations.ts";
import { checkCoveringSyncByBytes } from "./covering-sync.ts";

const everything = { survives: "everything acknowledged" } as const;
const promise: StorePromise = {
  processCrash: everything,
  powerLoss: everything,
  gracefulStop: everything,
  syncsBeforeAcknowledging: true,
  failStop: false,
  detectsDamageAtRest: false,
  source: "a test",
};
const value = "0.0.abcdefghijklmnopqrstuv";
const port = 40_001;
const log = { inode: "1:10", path: "segment-1.log" };

type Step = Partial<TraceEvent> & { readonly kind: TraceEvent["kind"]; readonly phase: "begin" | "end" };

/** Events at 10 ns each; an end is matched to the last begin of the same kind and inode that has none yet. */
function traceOf(steps: readonly Step[], faults: readonly string[] = []): Trace {
  const open = new Map<string, number>();
  const events = steps.map((step, index): TraceEvent => {
    const place = `${step.kind} ${step.inode ?? log.inode} ${step.tid ?? 1}`;
    if (step.phase === "begin") open.set(place, index);
    const call = step.phase === "begin" ? index : open.get(place)!;
    const common = { pid: 1, tid: 1, offset: 0, size: 0, ...log };
    return { ...common, atNs: 1000 + index * 10, ...step, index, call };
  });
  return { events, faults };
}

const begin = (kind: Step["kind"], more: Partial<TraceEvent> = {}): Step => ({
  ...more,
  kind,
  phase: "begin",
});
const end = (kind: Step["kind"], more: Partial<TraceEvent> = {}): Step => ({
  result: 0,
  ...more,
  kind,
  phase: "end",
});
const bytes = (text: string) => Buffer.from(text);
const written = (text = `..${value}..`) => [
  begin("write", { data: bytes(text), offset: 4096, size: text.length }),
  end("write", { result: text.length, offset: 4096, size: text.length }),
];
const synced = [begin("sync"), end("sync")];
const replied = [
  begin("send", { inode: "0:7", path: "", port, offset: 0, size: 5 }),
  end("send", { inode: "0:7", path: "", port, result: 5, size: 5 }),
];

/** One acknowledged request, sent before the trace's first event and answered after its last. */
function historyOf(f: string, input: unknown): HistoryEvent[] {
  const common = { process: 3, f, workload: "kv", key: "k" };
  return [
    { ...common, index: 0, time: 0, type: "invoke", value: input, node: "n1", incarnation: 0 },
    { ...common, index: 1, time: 1e6, type: "ok", value: null, replyPort: port, replyBytes: 5 },
  ];
}

function check(
  steps: readonly Step[],
  f = "write",
  input: unknown = value,
  kept: StorePromise = promise,
  logFiles = "segment-*.log",
) {
  const trace = traceOf(steps);
  const history = buildHistory(historyOf(f, input));
  return checkCoveringSyncByBytes(
    {
      trace,
      obligations: placeOperations(history, trace, 1000),
      logFiles,
      startNs: 1000,
      changes: () => true,
    },
    { promise: kept, budgetMs: 1000 },
  );
}

const kinds = (result: ReturnType<typeof check>) => result.findings.map(({ kind }) => kind);

describe("with bytes of its own", () => {
  test("a write that was synced before its reply is covered", () => {
    const result = check([...written(), ...synced, ...replied]);
    expect(result.verdict).toBe(true);
    expect(result.checked).toEqual({ acknowledgements: 1, matchedByBytes: 1, matchedByCount: 0 });
  });

  test("a reply before the sync is found, with file, offset, bytes and the sync that came too late", () => {
    const result = check([...written(), ...replied, ...synced]);
    expect(kinds(result)).toEqual(["acknowledged-without-sync"]);
    const { sentence, operations } = result.findings[0]!;
    expect(operations.map(({ input }) => input)).toEqual([value]);
    expect(sentence).toContain("write of 30 bytes to segment-1.log at offset 4096, event 0");
    expect(sentence).toContain("event 2");
    expect(sentence).toContain("the one that covers it began at event 4");
  });

  test("a reply with no sync at all is found", () => {
    expect(check([...written(), ...replied]).findings[0]?.sentence).toContain(
      "no later sync ever covered it",
    );
  });

  test("a reply before the write is found", () => {
    expect(check([...synced, ...replied, ...written(), ...synced]).findings[0]?.sentence).toContain(
      "written only after its reply",
    );
  });

  test("a sync that began before the write had ended covers nothing of it", () => {
    const [wrote, wroteEnd] = written();
    const result = check([wrote!, begin("sync"), wroteEnd!, end("sync"), ...replied]);
    expect(result.findings[0]?.sentence).toContain("began at event 1, before the write had ended");
  });

  test("a sync that is still going on when the reply is sent is no cover", () => {
    const result = check([...written(), begin("sync"), ...replied, end("sync")]);
    expect(result.findings[0]?.sentence).toContain("ended at event 5");
  });

  test("a sync that failed is no cover", () => {
    expect(kinds(check([...written(), begin("sync"), end("sync", { result: -5 }), ...replied]))).toEqual([
      "acknowledged-without-sync",
    ]);
  });

  test("a sync of another log file is no cover, one of the whole file system is", () => {
    const other = { inode: "1:11", path: "segment-2.log" };
    expect(kinds(check([...written(), begin("sync", other), end("sync", other), ...replied]))).toHaveLength(
      1,
    );
    expect(check([...written(), begin("syncfs"), end("syncfs"), ...replied]).verdict).toBe(true);
  });

  test("an msync covers the pages of its range; several cover what they cover together", () => {
    const msync = (offset: number, size: number) => {
      const range = { offset, size };
      return [begin("datasync", range), end("datasync", range)];
    };
    const elsewhere = check([...written(), ...msync(0, 4096), ...replied]);
    expect(elsewhere.findings[0]?.sentence).toContain(
      "the last sync of segment-1.log that had ended was of its bytes 0 to 4096 only; no later sync ever covered it",
    );
    expect(check([...written(), ...msync(4096, 30), ...replied]).verdict).toBe(true);
    const text = `${value}${".".repeat(6000)}`;
    const halves = [...msync(8192, 4096), ...msync(4096, 4096)];
    expect(check([...written(text), ...halves, ...replied]).verdict).toBe(true);
    expect(kinds(check([...written(text), ...halves.slice(0, 2), ...replied]))).toHaveLength(1);
  });

  test("a synchronous write covers itself", () => {
    const steps = written().map((step) => ({ ...step, synchronous: true }));
    expect(check([...steps, ...replied]).verdict).toBe(true);
  });

  test("bytes written twice are covered when either write is", () => {
    expect(check([...written(), ...written(), ...synced, ...replied]).verdict).toBe(true);
    expect(check([...written(), ...synced, ...written(), ...replied]).verdict).toBe(true);
  });

  test("bytes in a file that is no log do not count as logged", () => {
    const elsewhere = written().map((step) => ({ ...step, path: "scratch", inode: "1:12" }));
    const result = check([...elsewhere, ...replied]);
    expect(result.checked).toMatchObject({ matchedByBytes: 0, matchedByCount: 1 });
    expect(kinds(result)).toHaveLength(1);
  });
});

describe("without bytes of its own", () => {
  test("a delete is covered by a sync of the log between request and reply, and not by an earlier one", () => {
    expect(check([...written("x"), ...synced, ...replied], "delete", null).verdict).toBe(true);
    expect(kinds(check([...written("x"), ...replied, ...synced], "delete", null))).toEqual([
      "acknowledged-without-sync",
    ]);
  });

  test("a sync of a directory covers a delete where every file is the log, and there alone", () => {
    const directory = { inode: "1:2", path: ".", directory: true } as const;
    const steps = [begin("sync", directory), end("sync", directory), ...replied];
    expect(check(steps, "delete", null, promise, "**").verdict).toBe(true);
    expect(kinds(check(steps, "delete", null))).toEqual(["acknowledged-without-sync"]);
  });

  test("the result says how many were judged by count", () => {
    const result = check([...written("x"), ...synced, ...replied], "delete", null);
    expect(result.checked).toEqual({ acknowledgements: 1, matchedByBytes: 0, matchedByCount: 1 });
  });
});

test("a compare-and-set owns what it writes, not what it expects", () => {
  const other = "0.1.ABCDEFGHIJKLMNOPQRSTUV";
  const trace = traceOf([...written(), ...synced, ...written(other), ...replied]);
  const first = historyOf("write", value).map((event) => ({ ...event, process: 1 }));
  const cas = historyOf("cas", [value, other]).map((event) => ({ ...event, index: event.index + 2 }));
  const history = buildHistory([...first, ...cas]);
  const result = checkCoveringSyncByBytes(
    {
      trace,
      obligations: placeOperations(history, trace, 1000),
      logFiles: "segment-*.log",
      startNs: 1000,
      changes: ({ f }) => f === "cas",
    },
    { promise, budgetMs: 1000 },
  );
  expect(result.checked).toMatchObject({ matchedByBytes: 1 });
  expect(result.findings[0]?.sentence).toContain("event 4)");
});

test("a store that promises no sync is not judged, and a damaged trace is unknown: a sync missing in it may have been made", () => {
  const lazy = { ...promise, syncsBeforeAcknowledging: false };
  const result = check([...written(), ...replied], "write", value, lazy);
  expect(result.findings).toEqual([]);
  expect(result.notChecked).toHaveLength(1);
  const trace = traceOf([...written(), ...replied], ["the trace is cut short"]);
  const history = buildHistory(historyOf("write", value));
  const faulty = checkCoveringSyncByBytes(
    {
      trace,
      obligations: placeOperations(history, trace, 1000),
      logFiles: "segment-*.log",
      startNs: 1000,
      changes: () => true,
    },
    { promise, budgetMs: 1000 },
  );
  expect(faulty).toMatchObject({ verdict: "unknown", findings: [] });
});
