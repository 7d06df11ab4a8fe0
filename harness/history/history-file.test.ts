import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildHistory, byKey, HistoryError, ofWorkload } from "./history.ts";
import { HistoryWriter, loadHistory, maxLineBytes, readHistoryFile } from "./history-file.ts";
import type { HistoryEvent } from "./operation.ts";

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-history-"));
  path = join(directory, "history.jsonl");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const invoke: HistoryEvent = {
  index: 0,
  time: 5,
  process: 0,
  type: "invoke",
  f: "write",
  key: "k",
  value: "a",
};
const ok: HistoryEvent = { index: 1, time: 9, process: 0, type: "ok", f: "write", key: "k" };

function readAll(file = path): { events: HistoryEvent[]; truncated: boolean } {
  const reading = readHistoryFile(file);
  const events: HistoryEvent[] = [];
  for (;;) {
    const next = reading.next();
    if (next.done) return { events, truncated: next.value.truncated };
    events.push(next.value);
  }
}

/** The error of reading a file with these lines. */
function complaintAbout(...lines: (string | Buffer)[]): string {
  writeFileSync(
    path,
    Buffer.concat(lines.map((line) => Buffer.concat([Buffer.from(line), Buffer.from("\n")]))),
  );
  try {
    readAll();
  } catch (error) {
    expect(error).toBeInstanceOf(HistoryError);
    return (error as Error).message;
  }
  return "no complaint";
}

describe("a history file", () => {
  it("holds an event as soon as append returns", () => {
    const writer = new HistoryWriter(path);
    writer.append(invoke);
    expect(readAll().events).toEqual([invoke]);
    writer.append(ok);
    writer.close();
    writer.close();
    expect(readAll()).toEqual({ events: [invoke, ok], truncated: false });
  });

  it("gives back whatever was written to it", () => {
    const members = fc.record(
      {
        key: fc.string(),
        value: fc.jsonValue(),
        error: fc.string({ unit: "binary" }),
        readBack: fc.boolean(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(members, { maxLength: 20 }), (all) => {
        const written = all.map((some, index): HistoryEvent => ({ ...ok, index, ...some }));
        writeFileSync(path, "");
        const writer = new HistoryWriter(path);
        for (const event of written) writer.append(event);
        writer.close();
        expect(readAll().events).toEqual(written.map((event) => JSON.parse(JSON.stringify(event))));
      }),
      { seed: 20, numRuns: 100 },
    );
  });

  it("may be cut anywhere in its last line, as a crash of the harness leaves it", () => {
    const lines = `${JSON.stringify(invoke)}\n${JSON.stringify(ok)}\n`;
    const firstLine = lines.indexOf("\n") + 1;
    for (let length = firstLine; length < lines.length; length++) {
      writeFileSync(path, lines);
      truncateSync(path, length);
      const { events, truncated } = readAll();
      const isWhole = length === lines.length - 1;
      expect(events).toHaveLength(isWhole ? 2 : 1);
      expect(truncated).toBe(!isWhole && length > firstLine);
    }
  });

  it("may be empty, end in blank lines, and have lines that span many reads", () => {
    writeFileSync(path, "");
    expect(readAll()).toEqual({ events: [], truncated: false });
    const long = { ...invoke, value: "x".repeat(1_500_000) };
    writeFileSync(path, `${JSON.stringify(long)}\n${JSON.stringify(ok)}\r\n\n\n`);
    expect(readAll().events).toEqual([long, ok]);
  });

  it("names the line that is wrong, and what is wrong with it", () => {
    const good = JSON.stringify(invoke);
    expect(complaintAbout(good, "{oops")).toMatch(/^line 2 of the history: it is not JSON/);
    expect(complaintAbout(good, "[1]")).toContain("line 2 of the history: it is an array, not an object");
    expect(complaintAbout("null")).toContain("line 1 of the history: it is null");
    expect(complaintAbout("{}")).toContain('"process" is missing');
    expect(complaintAbout(good.replace('"index":0', '"index":-1'))).toContain(
      '"index" is -1; it must be a whole',
    );
    expect(complaintAbout(good.replace('"index":0', '"index":0.5'))).toContain('"index" is 0.5');
    expect(complaintAbout(good.replace('"time":5', '"time":"5"'))).toContain('"time" is "5"');
    expect(complaintAbout(good.replace("invoke", "begin"))).toContain(
      '"type" is "begin"; it must be "invoke"',
    );
    expect(complaintAbout(good.replace('"process":0', '"process":"p"'))).toContain('or "nemesis"');
    expect(complaintAbout(good.replace('"key":"k"', '"key":7'))).toContain('"key" is 7; it must be a string');
    expect(complaintAbout(good, good)).toContain('line 2 of the history: "index" is 0 after 0');
    expect(complaintAbout(Buffer.from([0x7b, 0xff, 0x7d]))).toContain("not UTF-8");
    expect(complaintAbout(good, Buffer.from([0x7b, 0xff, 0x7d]))).toContain(
      "line 2 of the history: it is not",
    );
    expect(complaintAbout(good, "", `${good.replace('"index":0', '"index":1')},{}`)).toContain("line 3 of");
    expect(complaintAbout(good.replace('"key":"k"', '"key":null'))).toContain('"key" is null; it must be');
  });

  it("reads the lines before one that is not UTF-8, and keeps what a cut character ends", () => {
    const text = `${JSON.stringify(invoke)}\n${JSON.stringify({ ...ok, error: "é" })}`;
    const bytes = Buffer.from(text);
    writeFileSync(path, bytes.subarray(0, bytes.indexOf(0xc3) + 1));
    expect(readAll()).toEqual({ events: [invoke], truncated: true });
    writeFileSync(path, Buffer.from(text.replace("é", "\xe9"), "latin1"));
    expect(() => readAll()).toThrow("line 2 of the history: it is not UTF-8 text");
    const reading = readHistoryFile(path);
    expect(reading.next().value).toEqual(invoke);
  });

  it("has lines at every length that a chunk may end in", () => {
    const lines = Array.from({ length: 300 }, (_, index) => ({
      ...invoke,
      index,
      value: "é".repeat(index * 5),
    }));
    writeFileSync(path, `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`);
    expect(readAll().events).toEqual(lines);
  });

  it("leaves out what it does not know, and keeps the line's own workload", () => {
    const odd = { ...invoke, extra: 1, workload: "own" };
    writeFileSync(path, `${JSON.stringify(odd)}\n${JSON.stringify(ok)}\n`);
    const { extra: _, ...known } = odd;
    expect([...readHistoryFile(path, { workload: "named" })]).toEqual([known, { ...ok, workload: "named" }]);
  });

  it("is refused, in bounded memory, when a line does not end", () => {
    writeFileSync(path, "x".repeat(maxLineBytes));
    for (let i = 0; i < 4; i++) appendFileSync(path, Buffer.alloc(maxLineBytes, "x"));
    const before = process.memoryUsage().rss;
    expect(() => readAll()).toThrow("line 1 of the history: it is longer than 16 MB");
    expect(process.memoryUsage().rss - before).toBeLessThan(3 * maxLineBytes);
  });

  it("cannot smuggle in a prototype", () => {
    writeFileSync(path, `{"__proto__":{"readBack":true,"polluted":1},${JSON.stringify(invoke).slice(1)}\n`);
    const [event] = readAll().events;
    expect(event).toEqual(invoke);
    expect(event?.readBack).toBeUndefined();
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("says clearly when it cannot be opened", () => {
    expect(() => readAll(join(directory, "none"))).toThrow("the history cannot be read: ENOENT");
    expect(() => new HistoryWriter(join(directory, "none", "x"))).toThrow(
      "the history cannot be created: ENOENT",
    );
  });

  it("loads into operations, with the workload the caller names where lines do not", () => {
    const { key: _, ...withoutKey } = ok;
    writeFileSync(path, `${JSON.stringify(invoke)}\n${JSON.stringify(withoutKey)}\n{"index":2,"ti`);
    const { history, events, truncated } = loadHistory(path, { workload: "register" });
    expect({ events, truncated }).toEqual({ events: 2, truncated: true });
    expect(history.operations[0]).toMatchObject({
      workload: "register",
      key: "k",
      outcome: "ok",
      call: 0,
      return: 1,
    });
  });

  it("loses nothing at full speed", () => {
    const writer = new HistoryWriter(path);
    const count = 20_000;
    const startedAt = performance.now();
    for (let index = 0; index < count; index++) writer.append({ ...invoke, index });
    const perEventUs = ((performance.now() - startedAt) * 1000) / count;
    writer.close();
    console.log(`one event written in ${perEventUs.toFixed(1)} µs`);
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(count + 1);
  });
});

describe("a history", () => {
  const event = (index: number, rest: Partial<HistoryEvent>): HistoryEvent => ({
    ...invoke,
    index,
    time: index,
    ...rest,
  });
  const ready = (index: number, incarnation: number, node = "n1"): HistoryEvent => ({
    index,
    time: index,
    process: "nemesis",
    type: "info",
    f: "ready",
    node,
    incarnation,
  });

  it("pairs each invocation with its process's next completion, in order of invocation", () => {
    const { operations } = buildHistory([
      event(0, { process: 1 }),
      event(1, { process: 2, f: "read" }),
      event(2, { process: 2, f: "read", type: "ok", value: "a" }),
      event(3, { process: 1, type: "fail", error: "no" }),
    ]);
    expect(
      operations.map(({ call, return: end, outcome, output, error }) => [call, end, outcome, output, error]),
    ).toEqual([
      [0, 3, "fail", undefined, "no"],
      [1, 2, "ok", "a", undefined],
    ]);
  });

  it("bounds what had no answer by the next start of a single node, and by nothing without one", () => {
    const { operations } = buildHistory([
      ready(0, 0),
      event(1, { process: 1, incarnation: 0 }),
      event(2, { process: 1, type: "info" }),
      event(3, { process: 2, incarnation: 0 }),
      ready(4, 1),
      event(5, { process: 3, incarnation: 1 }),
    ]);
    expect(operations.map(({ bound }) => bound)).toEqual([4, 4, Number.POSITIVE_INFINITY]);
    expect(operations.map(({ returnedAt }) => returnedAt)).toEqual([
      2,
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
  });

  it("bounds nothing where there are several nodes", () => {
    const { operations } = buildHistory([
      ready(0, 0),
      ready(1, 0, "n2"),
      event(2, { process: 1, incarnation: 0 }),
      ready(3, 1),
    ]);
    expect(operations[0]?.bound).toBe(Number.POSITIVE_INFINITY);
  });

  it("never bounds an operation by a start that came before it", () => {
    const { operations } = buildHistory([
      ready(0, 0),
      ready(1, 1),
      ready(2, 0),
      event(3, { process: 1, incarnation: 0 }),
    ]);
    expect(operations[0]?.bound).toBe(Number.POSITIVE_INFINITY);
  });

  it("contradicts itself when a process has two operations open, or completes none", () => {
    expect(() => buildHistory([event(0, {}), event(1, {})])).toThrow(
      'event 1: process 0 invoked "write" while',
    );
    expect(() => buildHistory([event(4, { type: "ok" })])).toThrow("event 4: process 0 completed");
  });

  it("falls apart by workload and by key", () => {
    const history = buildHistory([
      event(0, { process: 1, workload: "kv", key: "a" }),
      event(1, { process: 2, workload: "kv", key: "b" }),
      event(2, { process: 3, workload: "bank", key: "a" }),
    ]);
    const kv = ofWorkload(history, "kv");
    expect(kv.operations).toHaveLength(2);
    expect([...byKey(kv.operations).keys()]).toEqual(["a", "b"]);
  });
});
