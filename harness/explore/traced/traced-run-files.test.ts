import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTrace } from "../../../faults/index.ts";
import { runDirectoryAt, writeJson } from "../../run-directory.ts";
import {
  copyBase,
  isTracedRun,
  lacksOf,
  readTracedRun,
  type TracedRunFiles,
  type TraceRecord,
} from "./traced-run-files.ts";

let place = "";
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "acked-traced-"));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const record: TraceRecord = {
  formatVersion: 1,
  startNs: 5,
  store: "ramlog",
  durability: { mode: "always" },
  workloads: ["kv"],
  clients: 8,
  seed: 1,
  epoch: 0,
  logFiles: "segment-*.log",
  snapshotFiles: null,
  mechanism: "interposer",
};

/** A complete traced run in which nothing happened, on a data directory with a file, a folder and a link. */
function tracedRun(name = "run") {
  const data = join(place, `${name}-data`);
  mkdirSync(join(data, "sub", "empty"), { recursive: true });
  writeFileSync(join(data, "sub", "conf"), "hello");
  symlinkSync("/etc/hostname", join(data, "link"));
  const directory = runDirectoryAt(join(place, name));
  mkdirSync(directory.path);
  copyBase(data, directory);
  createTrace({ path: directory.traceFile, capacityBytes: 1 << 20 }).close();
  writeJson(directory.traceRecordFile, record);
  writeFileSync(directory.historyFile, "");
  return directory;
}

test("the base holds files and folders by path, with size and inode, and follows no link", () => {
  const { base, directory } = readTracedRun(tracedRun().path);
  expect(base.map(({ path, directory: isDirectory, size }) => [path, isDirectory, size])).toEqual([
    [".", true, 0],
    ["sub", true, 0],
    ["sub/conf", false, 5],
    ["sub/empty", true, 0],
  ]);
  expect(base.every(({ inode }) => /^\d+:\d+$/.test(inode))).toBe(true);
  expect(readFileSync(join(directory.baseDir, "sub/conf"), "utf8")).toBe("hello");
});

test("a run that was moved is read from its new place", () => {
  const { path } = tracedRun();
  const moved = join(place, "elsewhere");
  cpSync(path, moved, { recursive: true });
  rmSync(path, { recursive: true });
  expect(readTracedRun(moved).record).toEqual(record);
  expect(isTracedRun(moved)).toBe(true);
});

describe("what is missing or damaged is named", () => {
  const refusals: [string, (run: ReturnType<typeof tracedRun>) => void, RegExp][] = [
    ["no directory", ({ path }) => rmSync(path, { recursive: true }), /there is no run directory/],
    ["no trace.json", ({ traceRecordFile }) => rmSync(traceRecordFile), /holds no trace/],
    [
      "trace.json of another version",
      ({ traceRecordFile }) => writeJson(traceRecordFile, { ...record, formatVersion: 9 }),
      /has format version 9; this acked reads version 1/,
    ],
    [
      "trace.json without a member",
      ({ traceRecordFile }) => writeJson(traceRecordFile, { ...record, startNs: undefined }),
      /lacks startNs/,
    ],
    ["trace.json cut short", ({ traceRecordFile }) => writeFileSync(traceRecordFile, "{"), /cannot be read/],
    ["no base.json", ({ baseFile }) => rmSync(baseFile), /base\.json is missing/],
    [
      "a base file of another size",
      ({ baseDir }) => writeFileSync(join(baseDir, "sub/conf"), "hell"),
      /names 5 bytes of sub\/conf/,
    ],
    [
      "a base that points outside",
      ({ baseFile }) => writeJson(baseFile, [{ path: "../x", inode: "1:1", directory: false, size: 0 }]),
      /outside the data directory/,
    ],
    ["no trace.bin", ({ traceFile }) => rmSync(traceFile), /trace\.bin cannot be read/],
    ["a damaged history", ({ historyFile }) => writeFileSync(historyFile, "nonsense\n"), /line 1/],
  ];
  test.each(refusals)("%s", (_what, damage, sentence) => {
    const run = tracedRun();
    damage(run);
    expect(() => readTracedRun(run.path)).toThrow(sentence);
  });
});

test("a history that was cut short is named, and one of an earlier version is taken as it is", () => {
  const files = (historyEvents?: number) =>
    ({
      record: { startNs: 0, ended: { doubts: [], findings: [], recoveryMs: [], historyEvents } },
      ...{ trace: { events: [], faults: [] }, events: [{}, {}], history: { operations: [] } },
    }) as unknown as TracedRunFiles;
  expect(lacksOf(files(3))).toEqual(["history.jsonl has 2 events of 3: it is not the whole history"]);
  expect(lacksOf(files(2))).toEqual([]);
  expect(lacksOf(files())).toEqual([]);
});
