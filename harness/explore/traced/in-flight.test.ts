/** What the files tell of calls that were in flight at a kill. */
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { TraceEvent, TraceKind } from "../../../faults/contract.ts";
import type { CallEnd, TraceFile } from "../../../faults/index.ts";
import { settleInFlight } from "./in-flight.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "acked-in-flight-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const inodeOf = (path: string) => {
  const { dev, ino } = lstatSync(join(dir, path), { bigint: true });
  return `${dev}:${ino}`;
};
const notThere = "0:0";
const notDone = { result: -4, size: 0 };

/** A call that began when `path` had this inode. */
function call(kind: TraceKind, path: string, inode: string, more: Partial<TraceEvent> = {}): TraceEvent {
  const at = { index: 5, call: 5, pid: 1, tid: 1, atNs: 1, phase: "begin", offset: 0, size: 0 } as const;
  return { ...at, kind, path, inode, ...more };
}

function endsOf(begins: readonly TraceEvent[], events: readonly TraceEvent[] = [], base: string[] = []) {
  const ends: (CallEnd | undefined)[] = [];
  const settle: TraceFile["settle"] = (endOf) => {
    for (const begin of begins) ends.push(endOf(begin, { events, faults: [] }));
  };
  settleInFlight({ settle } as TraceFile, dir, new Set(base));
  return ends;
}

test("of a write the first part that is in the file is there, and the program was told nothing", () => {
  writeFileSync(join(dir, "log"), "....hel");
  const write = (text: string, offset: number, inode = inodeOf("log")) =>
    call("write", "log", inode, { offset, size: text.length, data: Buffer.from(text) });
  expect(endsOf([write("hello", 4), write("....", 0), write("x", 0), write("x", 99)])).toEqual([
    { result: -4, size: 3 },
    { result: -4, size: 4 },
    notDone,
    notDone,
  ]);
  const inode = inodeOf("log");
  renameSync(join(dir, "log"), join(dir, "renamed"));
  expect(endsOf([write("....h", 0, inode)])).toEqual([{ result: -4, size: 5 }]);
  rmSync(join(dir, "renamed"));
  expect(endsOf([write("....h", 0, inode)])).toEqual([undefined]);
});

test("a truncation was made when the file has its size; an allocation when it reaches that far, or is zero there", () => {
  writeFileSync(join(dir, "log"), "abcd");
  const inode = inodeOf("log");
  const truncate = call("truncate", "log", inode, { offset: 2 });
  const extend = call("allocate", "log", inode, { offset: 0, size: 8, mode: 0 });
  const punch = call("allocate", "log", inode, { offset: 2, size: 2, mode: 3 });
  const collapse = call("allocate", "log", inode, { offset: 0, size: 2, mode: 8 });
  expect(endsOf([truncate, extend, punch, collapse])).toEqual([notDone, notDone, notDone, undefined]);
  truncateSync(join(dir, "log"), 2);
  truncateSync(join(dir, "log"), 8);
  expect(endsOf([truncate, extend, punch])).toEqual([notDone, { result: 0 }, { result: 0 }]);
  truncateSync(join(dir, "log"), 2);
  expect(endsOf([truncate])).toEqual([{ result: 0 }]);
});

test("a rename, a link and an unlink were made when the name leads there, or no longer does", () => {
  writeFileSync(join(dir, "t"), "new");
  writeFileSync(join(dir, "s"), "old");
  const [t, s] = [inodeOf("t"), inodeOf("s")];
  const calls = [
    call("rename", "s", t, { otherPath: "t" }),
    call("link", "l", t, { otherPath: "t" }),
    call("unlink", "s", s),
  ];
  expect(endsOf(calls)).toEqual([notDone, notDone, notDone]);
  expect(endsOf([call("unlink", "missing", notThere), call("rename", "u", notThere)])).toEqual([
    notDone,
    notDone,
  ]);
  linkSync(join(dir, "t"), join(dir, "l"));
  renameSync(join(dir, "t"), join(dir, "s"));
  expect(endsOf(calls)).toEqual([{ result: 0 }, { result: 0 }, { result: 0 }]);
});

test("an open made the file that is there now, unless another call did; a mkdir likewise", () => {
  const open = call("open", "t", notThere);
  const mkdir = call("mkdir", "d", notThere, { directory: true });
  expect(endsOf([open, mkdir])).toEqual([notDone, notDone]);
  writeFileSync(join(dir, "t"), "");
  mkdirSync(join(dir, "d"));
  const made = (path: string) => ({ result: 0, inode: inodeOf(path), created: true });
  expect(endsOf([open, mkdir])).toEqual([made("t"), made("d")]);
  expect(endsOf([open, open])).toEqual([made("t"), notDone]);
  const byAnother = call("open", "t", inodeOf("t"), { index: 9, phase: "end", created: true, result: 3 });
  expect(endsOf([open], [byAnother])).toEqual([notDone]);
  expect(endsOf([open], [{ ...byAnother, result: -24 }])).toEqual([made("t")]);
  expect(endsOf([mkdir], [], [inodeOf("d")])).toEqual([notDone]);
});

test("an open of what was there changes nothing, and one that empties a file has emptied it", () => {
  writeFileSync(join(dir, "log"), "ab");
  const inode = inodeOf("log");
  const empties = call("open", "log", inode, { truncated: true });
  expect(endsOf([call("open", "log", inode), empties])).toEqual([undefined, undefined]);
  truncateSync(join(dir, "log"), 0);
  expect(endsOf([empties])).toEqual([{ result: 0, truncated: true }]);
});

test("syncs and messages stay in flight", () => {
  writeFileSync(join(dir, "log"), "");
  const calls = (["sync", "datasync", "syncfs", "send"] as const).map((kind) => call(kind, "log", "1:1"));
  expect(endsOf(calls)).toEqual([undefined, undefined, undefined, undefined]);
});
