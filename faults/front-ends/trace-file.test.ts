/** The trace file: what is made, and what is read from it. */
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { crc32c } from "./crc32c.ts";
import { traceBytes } from "./fixtures/trace-bytes.ts";
import { createTrace, parseTrace, readTrace } from "./trace-file.ts";

const scratch = mkdtempSync(join(tmpdir(), "acked-trace-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const text = (value: string) => new TextEncoder().encode(value);

describe("a trace file", () => {
  it("begins empty, names itself in the environment, and gives back what was not used", () => {
    const trace = createTrace({ path: join(scratch, "sub", "trace.bin"), capacityBytes: 1 << 20 });
    expect(trace.environment()).toEqual({ ACKED_TRACE: trace.path });
    expect(trace.read()).toEqual({ events: [], faults: [], incomplete: 0 });
    expect([trace.usedBytes(), statSync(trace.path).size]).toEqual([4096, 1 << 20]);
    trace.close();
    trace.close();
    expect([trace.usedBytes(), statSync(trace.path).size]).toEqual([4096, 4096]);
    expect(trace.read().faults).toEqual([]);
  });

  it("empties what an earlier run left under its name", () => {
    const path = join(scratch, "twice.bin");
    writeFileSync(path, traceBytes([{ kind: "sync", phase: "begin" }]).bytes);
    createTrace({ path, capacityBytes: 8192 }).close();
    expect(readTrace(path).events).toEqual([]);
  });

  it("refuses a capacity that makes no sense, and a place that cannot be written, with one sentence", () => {
    expect(() => createTrace({ path: join(scratch, "x"), capacityBytes: 100 })).toThrow(/capacity from 8192/);
    expect(() => createTrace({ path: join(scratch, "x"), capacityBytes: Number.NaN })).toThrow(/got NaN/);
    expect(() => createTrace({ path: "/proc/none/trace", capacityBytes: 8192 })).toThrow(/cannot be made/);
    expect(() => readTrace(join(scratch, "missing"))).toThrow(/trace .*missing cannot be read/);
  });
});

describe("calls in flight at a kill", () => {
  const records = [
    { kind: "write", phase: "begin", path: "a.log", data: text("hello"), offset: 7, size: 5 },
    { kind: "sync", phase: "begin", path: "a.log" },
    { kind: "open", phase: "begin", path: "b", inode: 0n },
    { kind: "open", phase: "end", call: 2, path: "b", result: 3 },
    { kind: "open", phase: "begin", path: "c", inode: 0n },
  ] as const;

  it("get the ends that are known of them, are asked about once, and the others stay in flight", () => {
    const path = join(scratch, "settled.bin");
    const trace = createTrace({ path, capacityBytes: 1 << 20 });
    writeFileSync(path, traceBytes(records, 4096).bytes);
    const asked: string[] = [];
    const endOf = ({ kind, path: name }: { kind: string; path: string }) => {
      asked.push(`${kind} ${name}`);
      if (kind === "write") return { result: -4, size: 2 };
      return kind === "open" ? { result: 0, inode: "2049:99", created: true as const } : undefined;
    };
    trace.settle(endOf);
    trace.settle(endOf);
    expect(asked).toEqual(["write a.log", "sync a.log", "open c"]);
    const { events, faults, incomplete } = trace.read();
    expect([faults, incomplete, events.length]).toEqual([[], 0, 7]);
    const ended = { phase: "end", pid: 41, tid: 42 };
    expect(events[5]).toMatchObject({ ...ended, call: 0, path: "a.log", offset: 7, size: 2, result: -4 });
    expect(events[6]).toMatchObject({ ...ended, call: 4, inode: "2049:99", created: true, result: 0 });
    trace.close();
    expect(readTrace(path).events).toHaveLength(7);
  });

  it("for whose ends there is no room make the trace one that overflowed", () => {
    const path = join(scratch, "no-room.bin");
    const trace = createTrace({ path, capacityBytes: 1 << 20 });
    const data = new Uint8Array(4096 - 64 - 96 - 8);
    const { bytes } = traceBytes([{ kind: "write", phase: "begin", path: "a.log123", data }]);
    new DataView(bytes.buffer).setBigUint64(16, 8192n, true);
    new DataView(bytes.buffer).setBigUint64(40, 8192n, true);
    writeFileSync(path, bytes);
    expect(trace.read().faults).toEqual([]);
    trace.settle(() => ({ result: 0 }));
    expect(trace.read().faults).toEqual([expect.stringMatching(/^the trace overflowed: 1 events/)]);
    trace.close();
  });

  it("of a damaged trace are left as they are", () => {
    const path = join(scratch, "damaged.bin");
    const trace = createTrace({ path, capacityBytes: 1 << 20 });
    const { bytes } = traceBytes(records, 4096);
    bytes[4096 + 20] = 0xee;
    writeFileSync(path, bytes);
    trace.settle(() => ({ result: 0 }));
    expect(readFileSync(path)).toEqual(Buffer.from(bytes));
    trace.close();
  });
});

describe("an event", () => {
  it("has every member that its record has, and none that it has not", () => {
    const { bytes } = traceBytes([
      { kind: "write", phase: "begin", path: "a.log", data: text("hello"), offset: 7, size: 5, flags: 4 },
      { kind: "rename", phase: "begin", path: "b", otherPath: "a", number: 2, flags: 16 },
      { kind: "write", phase: "end", call: 0, result: -5, offset: 7, size: 3, effect: 8 },
      { kind: "send", phase: "begin", path: "", offset: 2 ** 40, size: 9, number: 5999 },
      { kind: "open", phase: "begin", path: "c", flags: 2 },
      { kind: "open", phase: "end", call: 4, path: "c", result: 12, flags: 3 },
      { kind: "sync", phase: "begin", path: ".", flags: 8, inode: 2n ** 63n + 1n },
      { kind: "enter", phase: "instant" },
    ]);
    const at = { pid: 41, tid: 42, atNs: 123_456_789_012_345, inode: "2049:77", offset: 0, size: 0 };
    const { events, faults } = parseTrace(bytes);
    expect(faults).toEqual([]);
    const write = { ...at, kind: "write", call: 0, path: "a.log", offset: 7 };
    expect(events).toEqual([
      { ...write, index: 0, phase: "begin", size: 5, data: Buffer.from("hello"), synchronous: true },
      { ...at, index: 1, call: 1, kind: "rename", phase: "begin", path: "b", otherPath: "a", mode: 2 },
      { ...write, index: 2, phase: "end", size: 3, result: -5, effect: "torn-error" },
      {
        ...at,
        ...{
          index: 3,
          call: 3,
          kind: "send",
          phase: "begin",
          path: "",
          offset: 2 ** 40,
          size: 9,
          port: 5999,
        },
      },
      { ...at, index: 4, call: 4, kind: "open", phase: "begin", path: "c", truncated: true },
      {
        ...at,
        ...{ index: 5, call: 4, kind: "open", phase: "end", path: "c", result: 12 },
        ...{ created: true, truncated: true },
      },
      {
        ...at,
        ...{ index: 6, call: 6, kind: "sync", phase: "begin", path: ".", directory: true },
        inode: "2049:9223372036854775809",
      },
      { ...at, index: 7, call: 7, kind: "enter", phase: "instant", path: "" },
    ]);
  });

  it("is missing where its record is damaged, and the fault says where", () => {
    const { bytes, offsets } = traceBytes([
      { kind: "write", phase: "begin", path: "a", data: text("one") },
      { kind: "sync", phase: "begin", path: "a" },
      { kind: "write", phase: "end", call: 0, path: "a" },
    ]);
    bytes[offsets[0]! + 97]! ^= 1;
    const { events, faults } = parseTrace(bytes);
    expect(events.map((event) => event.kind)).toEqual(["sync"]);
    expect(faults).toEqual([
      `the trace is damaged from byte ${offsets[0]} to ${offsets[1]}`,
      `the trace has the end of a call at byte ${offsets[2]}, and not its begin at ${offsets[0]}`,
    ]);
  });
});

describe("a trace that cannot be believed", () => {
  const whole = () => traceBytes([{ kind: "sync", phase: "begin", path: "a" }], 8192).bytes;
  const with64 = (at: number, value: number) => {
    const bytes = whole();
    new DataView(bytes.buffer).setBigUint64(at, BigInt(value), true);
    return parseTrace(bytes);
  };

  it("is named: of another version, overflowed, cut short, not a trace at all", () => {
    const other = whole();
    other[8] = 9;
    expect(parseTrace(other)).toMatchObject({ events: [], faults: [expect.stringMatching(/of version 9/)] });
    expect(with64(32, 3).faults.join()).toMatch(/overflowed: 3 events did not fit/);
    const path = join(scratch, "cut.bin");
    writeFileSync(path, whole());
    truncateSync(path, 4100);
    expect(readTrace(path).faults.join()).toMatch(/cut short: 4100 bytes of/);
    expect(parseTrace(text("hello")).faults.join()).toMatch(/cut short: 5 bytes/);
    expect(parseTrace(new Uint8Array(5000).fill(65)).faults.join()).toMatch(/not a trace/);
  });

  it("has a header that hides events, or promises more than there is", () => {
    expect(with64(24, 4096).faults.join()).toMatch(/bytes behind its end/);
    expect(with64(24, 4097).faults.join()).toMatch(/do not fit together/);
    expect(with64(16, 12).faults.join()).toMatch(/do not fit together/);
  });

  it("lists the first damaged places and counts the others", () => {
    const { bytes, offsets } = traceBytes(
      Array.from({ length: 50 }, () => ({ kind: "sync", phase: "begin", path: "a" }) as const),
    );
    for (let record = 0; record < 50; record += 2) bytes[offsets[record]! + 30]! ^= 1;
    const { events, faults } = parseTrace(bytes);
    expect(events).toHaveLength(25);
    expect(faults).toHaveLength(21);
    expect(faults.at(-1)).toBe("the trace is damaged in 5 more places");
  });
});

it("CRC-32C is the one everybody means", () => {
  expect(crc32c(text("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
});

it("reads a large trace at a known pace: printed, not judged", () => {
  const data = new Uint8Array(200).fill(7);
  const { bytes } = traceBytes(
    Array.from({ length: 100_000 }, (_, index) =>
      index % 2 === 0
        ? ({ kind: "write", phase: "begin", path: "wal/000001.log", data, size: 200 } as const)
        : ({ kind: "write", phase: "end", call: index - 1, path: "wal/000001.log", size: 200 } as const),
    ),
  );
  const path = join(scratch, "large.bin");
  writeFileSync(path, bytes);
  const from = performance.now();
  const trace = readTrace(path);
  const ms = performance.now() - from;
  expect(trace.events).toHaveLength(100_000);
  expect(readFileSync(path).length).toBe(bytes.length);
  console.info(`trace of 100,000 events, ${(bytes.length / 1e6).toFixed(1)} MB: read in ${ms.toFixed(0)} ms`);
});
