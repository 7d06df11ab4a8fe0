import { describe, expect, test } from "vitest";
import type { TraceEvent } from "../../../faults/contract.ts";
import {
  aimedContent,
  fileContent,
  globMatcher,
  minimumContent,
  missingContent,
} from "./traced-run-content.ts";

const names = { logFiles: "segment-*.log", snapshotFiles: "snapshot-*.snap" };

/** End events of calls that succeeded, unless they say otherwise. */
function events(...calls: Partial<TraceEvent>[]): TraceEvent[] {
  return calls.map((call, index) => ({
    index,
    kind: "open",
    phase: "end",
    call: index,
    pid: 1,
    tid: 1,
    atNs: index,
    inode: "1:1",
    path: "",
    offset: 0,
    size: 0,
    result: 0,
    ...call,
  }));
}

describe("what happened to the files", () => {
  test("every log file's name that appears after the first is a rotation", () => {
    const content = fileContent(
      events(
        { path: "segment-1.log", created: true, inode: "1:1" },
        { path: "segment-1.log", inode: "1:1" },
        { path: "segment-2.log", created: true, inode: "1:2" },
        { kind: "rename", path: "segment-3.log", otherPath: "new.tmp", inode: "1:3" },
      ),
      names,
    );
    expect(content).toMatchObject({ rotations: 2, recycledSegments: 0, snapshots: 0 });
  });

  test("a log file renamed onto another log name and then written to is a recycled segment, also by way of a spare name", () => {
    const write = { kind: "write", path: "segment-9.log", inode: "1:1", size: 10, result: 10 } as const;
    const direct = {
      kind: "rename",
      path: "segment-9.log",
      otherPath: "segment-1.log",
      inode: "1:1",
    } as const;
    expect(fileContent(events(direct), names).recycledSegments).toBe(0);
    expect(fileContent(events(direct, write, write), names).recycledSegments).toBe(1);
    const spare = events(
      { path: "segment-1.log", created: true, inode: "1:1" },
      { kind: "rename", path: "spare", otherPath: "segment-1.log", inode: "1:1" },
      { kind: "rename", path: "segment-9.log", otherPath: "spare", inode: "1:1" },
      write,
    );
    expect(fileContent(spare, names)).toMatchObject({ rotations: 1, recycledSegments: 1 });
  });

  test("a new file with the inode of a removed segment is no recycled one", () => {
    const reused = events(
      { path: "segment-1.log", created: true, inode: "1:1" },
      { kind: "unlink", path: "segment-1.log", inode: "1:1" },
      { path: "new.tmp", created: true, inode: "1:1" },
      { kind: "rename", path: "segment-2.log", otherPath: "new.tmp", inode: "1:1" },
    );
    expect(fileContent(reused, names)).toMatchObject({ rotations: 1, recycledSegments: 0 });
  });

  test("a snapshot counts when its final name appears, not while it is written", () => {
    const content = fileContent(
      events(
        { path: "snapshot-5.tmp", created: true },
        { kind: "rename", path: "snapshot-5.snap", otherPath: "snapshot-5.tmp" },
      ),
      names,
    );
    expect(content.snapshots).toBe(1);
  });

  test("only successful syncs of log files count, a synchronous write as one", () => {
    const content = fileContent(
      events(
        { kind: "sync", path: "segment-1.log" },
        { kind: "datasync", path: "segment-1.log" },
        { kind: "sync", path: "segment-1.log", result: -5 },
        { kind: "sync", path: ".", directory: true },
        { kind: "sync", path: "snapshot-1.snap" },
        { kind: "write", path: "segment-1.log", synchronous: true, result: 10 },
        { kind: "write", path: "segment-1.log", result: 10 },
      ),
      names,
    );
    expect(content.logSyncs).toBe(3);
  });

  test("what failed did not happen", () => {
    expect(
      fileContent(
        events({ kind: "rename", path: "segment-9.log", otherPath: "segment-1.log", result: -28 }),
        names,
      ),
    ).toMatchObject({ rotations: 0, recycledSegments: 0 });
  });
});

describe("what is missing to the minimum", () => {
  const enough = { ...minimumContent, recordsPerSync: 1.5 };

  test("a run with the minimum lacks nothing", () => {
    expect(missingContent(enough, names, { mode: "always" })).toEqual([]);
  });

  test("each thing that is too little is named with what was wanted and what there was", () => {
    for (const name of [
      "operations",
      "clients",
      "rotations",
      "snapshots",
      "recycledSegments",
      "recoveries",
    ]) {
      const counts = { ...enough, [name]: minimumContent[name as "rotations"] - 1 };
      const [sentence, ...others] = missingContent(counts, names, { mode: "always" });
      expect(sentence).toContain(`the run had ${counts[name as "rotations"]}`);
      expect(others).toEqual([]);
    }
    const [alone] = missingContent({ ...enough, recordsPerSync: 1 }, names, { mode: "always" });
    expect(alone).toContain("nothing was committed in groups");
  });

  test("a run goes on for more than the minimum: several recycled segments", () => {
    const lacking = missingContent(enough, names, { mode: "always" }, aimedContent);
    expect(lacking).toEqual([
      `${aimedContent.recycledSegments} recycled segments are wanted, and the run had 1`,
    ]);
    expect(
      missingContent({ ...enough, recycledSegments: 3 }, names, { mode: "always" }, aimedContent),
    ).toEqual([]);
  });

  test("a store without snapshots is not asked for segments, and mode none not for a log", () => {
    const bare = { ...enough, rotations: 0, snapshots: 0, recycledSegments: 0, recordsPerSync: 0 };
    expect(missingContent(bare, { ...names, snapshotFiles: null }, { mode: "always" })).toEqual([]);
    expect(missingContent({ ...bare, snapshots: 3 }, names, { mode: "none" })).toEqual([]);
    expect(missingContent(bare, names, { mode: "none" })).toHaveLength(1);
  });
});

test("a glob's * stays within a directory, ** does not", () => {
  expect(globMatcher("a/*.log")("a/b.log")).toBe(true);
  expect(globMatcher("a/*.log")("a/b/c.log")).toBe(false);
  expect(globMatcher("**")("a/b/c.log")).toBe(true);
  expect(globMatcher("**/x.log")("x.log")).toBe(true);
  expect(globMatcher("a.log")("aXlog")).toBe(false);
});
