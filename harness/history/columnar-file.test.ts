import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readColumnarFile, writeColumnarFile } from "./columnar-file.ts";
import { buildHistory, type History, HistoryError } from "./history.ts";
import { historyColumns } from "./history-columns.ts";
import type { HistoryEvent } from "./operation.ts";

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-columnar-"));
  path = join(directory, "history.columns");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function written(history: History): Buffer {
  writeColumnarFile(path, historyColumns(history));
  return readFileSync(path);
}

function complaint(): string {
  try {
    readColumnarFile(path).toHistory();
  } catch (error) {
    expect(error).toBeInstanceOf(HistoryError);
    expect((error as Error).message).not.toContain("\n");
    return (error as Error).message;
  }
  return "no complaint";
}

const ready: HistoryEvent = { index: 0, time: 0, process: "nemesis", type: "info", f: "ready", node: "n1" };

/** Histories with everything an operation can have. */
const histories = fc
  .array(
    fc.record({
      f: fc.constantFrom("read", "write", "cas"),
      key: fc.string({ unit: "grapheme", maxLength: 4 }),
      input: fc.option(fc.jsonValue({ maxDepth: 1 }), { nil: undefined }),
      output: fc.option(fc.jsonValue({ maxDepth: 1 }), { nil: undefined }),
      type: fc.constantFrom("ok", "fail", "info", "open"),
      more: fc.record(
        { matched: fc.boolean(), error: fc.string(), syncCompleted: fc.nat(), replyBytes: fc.nat() },
        { requiredKeys: [] },
      ),
      readBack: fc.boolean(),
      syncsBegun: fc.option(fc.nat(), { nil: undefined }),
      restart: fc.boolean(),
    }),
    { maxLength: 12 },
  )
  .map((asked): History => {
    const events: HistoryEvent[] = [{ ...ready, incarnation: 0, value: { recoveredEntries: 3 } }];
    let incarnation = 0;
    const next = () => ({ index: events.length, time: events.length * 7 });
    asked.forEach(({ f, key, input, output, type, more, readBack, syncsBegun, restart }, process) => {
      const common = { process, f, workload: "w", key };
      events.push({
        ...{ ...next(), ...common, type: "invoke", value: input, node: "n1", incarnation, readBack },
        ...(syncsBegun === undefined ? {} : { syncsBegun }),
      } as HistoryEvent);
      if (type !== "open")
        events.push({ ...next(), ...common, type, value: output, ...more } as HistoryEvent);
      if (restart) events.push({ ...ready, ...next(), incarnation: ++incarnation });
    });
    return buildHistory(events);
  });

describe("a columnar history", () => {
  it("gives back the same operations and restarts", () => {
    fc.assert(
      fc.property(histories, (history) => {
        written(history);
        expect(readColumnarFile(path).toHistory()).toEqual(history);
      }),
      { seed: 21, numRuns: 60 },
    );
  });

  it("is refused in one sentence, whichever byte of it is wrong, and wherever it was cut", () => {
    const bytes = written(fc.sample(histories, { seed: 5, numRuns: 8 }).at(-1)!);
    for (let at = 0; at < bytes.length; at += 5) {
      const damaged = Buffer.from(bytes);
      damaged[at] = damaged[at]! ^ 0x41;
      writeFileSync(path, damaged);
      expect(complaint(), `byte ${at}`).not.toBe("no complaint");
      writeFileSync(path, bytes);
      truncateSync(path, at);
      expect(complaint(), `cut at ${at}`).not.toBe("no complaint");
    }
  });

  it("is refused in one sentence when it was forged, checksum included", () => {
    const bytes = written(fc.sample(histories, { seed: 6, numRuns: 8 }).at(-1)!);
    for (let at = 16; at < bytes.length - 20; at += 5) {
      const forged = Buffer.from(bytes);
      forged[at] = forged[at]! ^ 0xff;
      createHash("sha1")
        .update(forged.subarray(0, -20))
        .digest()
        .copy(forged, forged.length - 20);
      writeFileSync(path, forged);
      complaint(); // whatever it says, it is a HistoryError, or the history is another one
    }
  });

  it("compares the sizes it asks for with the file's before it allocates them", () => {
    const bytes = written(buildHistory([ready]));
    const header = JSON.parse(bytes.toString("utf8", 16, 16 + bytes.readUInt32LE(12))) as { rows: number };
    const huge = Buffer.from(JSON.stringify({ ...header, rows: 2 ** 31 }));
    const head = Buffer.from(bytes.subarray(0, 16));
    head.writeUInt32LE(huge.length, 12);
    writeFileSync(path, Buffer.concat([head, huge, bytes.subarray(16 + huge.length)]));
    expect(complaint()).toMatch(/its header asks for \d+ bytes, and it has \d+/);
  });

  it("of another version, or something else altogether, says so", () => {
    const bytes = written(buildHistory([ready]));
    bytes.writeUInt32LE(9, 8);
    writeFileSync(path, bytes);
    expect(complaint()).toContain("format version 9");
    writeFileSync(path, '{"index":0}\n');
    expect(complaint()).toBe("this is no columnar history: it does not begin as one does");
    writeFileSync(path, "");
    expect(complaint()).toContain("does not begin");
    path = join(directory, "none");
    expect(complaint()).toContain("cannot be read: ENOENT");
  });

  it("has no place for a value that is no JSON, or an index beyond its numbers", () => {
    const [operation] = buildHistory([{ ...ready, process: 0, type: "invoke", f: "read" }]).operations;
    const of = (member: object) => () =>
      historyColumns({ operations: [{ ...operation!, ...member }], readiness: [] });
    expect(of({ output: () => 1 })).toThrow("a function has no JSON");
    expect(of({ call: 2 ** 33 })).toThrow(HistoryError);
  });
});
