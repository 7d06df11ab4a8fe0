/**
 * Each planted bug is really there, shown on the engine alone in milliseconds. That acked's checkers find and name them
 * is shown by the gate, which runs them under load.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { findingKinds } from "../../harness/checkers/contract.ts";
import { type Disk, nodeDisk } from "../ramlog/disk.ts";
import { type Engine, openEngine, productionSeams, type Seams } from "../ramlog/engine.ts";
import { memoryDisk } from "../ramlog/fixtures/memory-disk.ts";
import { contentsOf, crashCopy, remove, temporaryDirectory } from "../ramlog/fixtures/model.ts";
import type { ProgramSeams } from "../ramlog/program.ts";
import { recover as recoverRamlog } from "../ramlog/recoverable.ts";
import type { Commands, Session } from "../ramlog/server/commands.ts";
import { makeCommands } from "../ramlog/server/commands.ts";
import type { Change } from "../ramlog/state.ts";
import { bugs } from "./bugs.ts";
import { brokenStores } from "./index.ts";
import { recover } from "./recoverable.ts";

const cleanUps: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function bugNamed(name: string) {
  return bugs.find((bug) => bug.name === name)!;
}

function seamsOf(name: string | undefined, real = nodeDisk): Seams {
  const { disk, engine } = name ? bugNamed(name).seams : ({} as ProgramSeams);
  return { ...productionSeams, ...engine, disk: disk?.(real) ?? real };
}

async function open(
  name: string | undefined,
  dir = temporaryDirectory(),
): Promise<{ engine: Engine; dir: string }> {
  const engine = await openEngine({
    dir,
    durability: { mode: "always" },
    segmentBytes: 1 << 16,
    snapshotBytes: 1 << 30,
    seams: seamsOf(name),
    report: () => undefined,
  });
  cleanUps.push(async () => {
    await engine.close().catch(() => undefined);
    remove(dir);
  });
  return { engine, dir };
}

async function write(engine: Engine, ...changes: Change[]): Promise<void> {
  for (const change of changes) engine.change(change);
  engine.commit();
  await engine.flush();
}

const put = (key: string, value: string): Change => ({ kind: "put", table: "", key, value });
const push = (key: string, at: number, element: string): Change => ({
  kind: "push-right",
  table: "",
  key,
  at,
  elements: [element],
});

const contents = (engine: Engine) => contentsOf(engine.table("").entries());

/** A log of five writes, left by a correct ramlog that crashed. */
async function crashedLog(): Promise<string> {
  const { engine, dir } = await open(undefined);
  await write(engine, put("a", "1"));
  await write(engine, put("b", "2"));
  await write(engine, { kind: "delete", table: "", key: "a" });
  await write(engine, push("l", 0, "x"));
  await write(engine, push("l", 1, "y"));
  return crashCopy(dir);
}

async function recoveredBy(name: string, dir: string) {
  return contents((await open(name, dir)).engine);
}

/** The path of the segment in use, and the offsets of its batches. */
function logOf(dir: string): { path: string; batches: number[]; bytes: Buffer } {
  const path = readdirSync(dir)
    .filter((name) => name.startsWith("segment-"))
    .map((name) => join(dir, name))
    .find((file) => readFileSync(file).some((byte) => byte !== 0))!;
  const bytes = readFileSync(path);
  const batches: number[] = [];
  for (let at = bytes.indexOf("RLB1"); at >= 0; at = bytes.indexOf("RLB1", at + 1)) batches.push(at);
  return { path, batches, bytes };
}

function ioError(): never {
  throw Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO" });
}

test("the registry holds every bug, each naming kinds of findings that exist", () => {
  expect(brokenStores.map((store) => store.name)).toEqual(bugs.map((bug) => `broken/${bug.name}`));
  expect(new Set(bugs.map((bug) => bug.name)).size).toBe(bugs.length);
  for (const bug of bugs) for (const kind of bug.finding) expect(findingKinds).toContain(kind);
});

test("without a bug the same log comes back as it was", async () => {
  const { engine } = await open(undefined, await crashedLog());
  expect(contents(engine)).toEqual({ b: "2", l: ["x", "y"] });
});

describe("syncs", () => {
  test("never-syncs: released, and no sync is ever begun", async () => {
    const begun = [
      vi.spyOn(nodeDisk, "syncData"),
      vi.spyOn(nodeDisk, "syncDataNow"),
      vi.spyOn(nodeDisk, "sync"),
    ];
    const { engine } = await open("never-syncs");
    await write(engine, put("a", "1"));
    await engine.close();
    expect(engine.released).toBe(1);
    for (const sync of begun) expect(sync).not.toHaveBeenCalled();
  });

  test("acknowledges-before-sync: released before any sync has begun, which comes later", async () => {
    const { engine } = await open("acknowledges-before-sync");
    const begun = vi.spyOn(nodeDisk, "syncData");
    await write(engine, put("a", "1"));
    expect(engine.released).toBe(1);
    expect(begun).not.toHaveBeenCalled();
    await expect.poll(() => begun.mock.calls.length).toBeGreaterThan(0);
  });

  test.each(["ignores-failed-sync", "retries-failed-sync"])(
    "%s: goes on after a failed sync",
    async (name) => {
      const { engine } = await open(name);
      const failing = vi.spyOn(nodeDisk, "syncDataNow").mockImplementationOnce(ioError);
      await write(engine, put("a", "1"));
      expect(failing.mock.results[0]!.type).toBe("throw");
      expect(failing).toHaveBeenCalledTimes(name === "retries-failed-sync" ? 2 : 1);
      await write(engine, put("b", "2"));
      expect(engine.released).toBe(2);
    },
  );
});

test("ignores-failed-name: goes on after a failed sync of its directory", async () => {
  vi.spyOn(nodeDisk, "syncDirectory").mockImplementation(() => Promise.reject(new Error("EIO")));
  const { engine } = await open("ignores-failed-name");
  await write(engine, put("a", "1"));
  expect(engine.released).toBe(1);
});

describe("recovery", () => {
  test("no-checksum: a torn tail becomes a value nobody wrote", async () => {
    const { engine, dir } = await open(undefined);
    await write(engine, put("a", "1"));
    await write(engine, put("a", "a-long-value"));
    const copy = crashCopy(dir);
    const { path, bytes } = logOf(copy);
    bytes.fill(0, bytes.lastIndexOf("long"));
    writeFileSync(path, bytes);
    expect(await recoveredBy("no-checksum", copy)).toEqual({ a: `a-${"\0".repeat(10)}` });
  });

  test("drops-last-record: the last entry is gone", async () => {
    expect(await recoveredBy("drops-last-record", await crashedLog())).toEqual({ b: "2", l: ["x"] });
  });

  test("applies-twice: pushes at the end of the log are there twice", async () => {
    expect(await recoveredBy("applies-twice", await crashedLog())).toEqual({
      b: "2",
      l: ["x", "y", "x", "y"],
    });
  });

  test("resurrects-deleted: a deleted key is back", async () => {
    expect(await recoveredBy("resurrects-deleted", await crashedLog())).toEqual({
      a: "1",
      b: "2",
      l: ["x", "y"],
    });
  });

  test("skips-damaged: serves what is behind a damaged batch, where ramlog refuses", async () => {
    const dir = await crashedLog();
    const { path, batches, bytes } = logOf(dir);
    bytes[batches[1]! + 40]! ^= 1;
    writeFileSync(path, bytes);
    await expect(open(undefined, dir)).rejects.toThrow(/is damaged at offset/);
    expect(await recoveredBy("skips-damaged", dir)).toEqual({ l: ["x", "y"] });
  });

  test("truncates-anywhere: serves what was before a damaged batch, where ramlog refuses", async () => {
    const dir = await crashedLog();
    const { path, batches, bytes } = logOf(dir);
    bytes[batches[1]! + 40]! ^= 1;
    writeFileSync(path, bytes);
    await expect(open(undefined, dir)).rejects.toThrow(/is damaged at offset/);
    expect(await recoveredBy("truncates-anywhere", dir)).toEqual({ a: "1" });
  });

  test("truncates-anywhere: and forgets the segments behind the damaged one, for good", async () => {
    const dir = crashCopy((await rotating(undefined, 300)).dir);
    const first = join(dir, readdirSync(dir).find((name) => name.startsWith("segment-"))!);
    const bytes = readFileSync(first);
    bytes[bytes.indexOf("RLB1", 2000) + 40]! ^= 1;
    writeFileSync(first, bytes);
    const { engine } = await open("truncates-anywhere", dir);
    expect(engine.lastIndex).toBeGreaterThan(0);
    expect(engine.lastIndex).toBeLessThan(100);
    const { engine: next } = await open(undefined, crashCopy(dir));
    expect(next.lastIndex).toBe(engine.lastIndex);
  });

  test("trusts-zeros: a batch whose last page is zeros becomes a value nobody wrote", async () => {
    const { engine, dir } = await open(undefined);
    await write(engine, put("a", "1"));
    await write(engine, put("a", `a-${"long".repeat(10)}`));
    const copy = crashCopy(dir);
    const { path, bytes } = logOf(copy);
    bytes.fill(0, bytes.lastIndexOf("longlonglonglonglong"));
    writeFileSync(path, bytes);
    const twin = crashCopy(copy);
    expect(contents((await open(undefined, twin)).engine)).toEqual({ a: "1" });
    expect((await recoveredBy("trusts-zeros", copy)).a).toMatch(/^a-(long)+\0+$/);
  });

  test("believes-stale-records: what a reused segment held before is there again", async () => {
    const run = await rotating("believes-stale-records", 600, { snapshotEvery: 60 });
    expect(run.reused).toBeGreaterThan(0);
    const { engine } = await open("believes-stale-records", crashCopy(run.dir));
    expect(engine.lastIndex).toBeGreaterThan(run.engine.lastIndex);
    expect(contents(engine)).not.toEqual(contents(run.engine));
  });

  test("recovered in process, a store has its bug as well", async () => {
    const dir = await crashedLog();
    const files = () => new Map(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name))]));
    const options = { durability: { mode: "always" }, segmentBytes: 8192, snapshotBytes: 8192 } as const;
    const deleted = { workload: "kv", f: "read", key: "a" };
    const right = await recoverRamlog(memoryDisk(files()), options);
    expect(right.read(deleted)).toBeNull();
    const wrong = await recover(memoryDisk(files()), { ...options, bug: "resurrects-deleted" });
    expect(wrong.read(deleted)).toBe("1");
    await expect(recover(memoryDisk(files()), { ...options, bug: "none" })).rejects.toThrow(
      'there is no planted bug "none"',
    );
  });

  test("what a bug has made of a log stays so: the next correct recovery sees it too", async () => {
    const { engine, dir } = await open("applies-twice", await crashedLog());
    await write(engine, put("after", "1"));
    const copy = crashCopy(dir);
    expect(contents((await open(undefined, copy)).engine)).toEqual(contents(engine));
  });
});

/** A store whose log has gone through some segments of 8 KiB, and what became of its files. */
async function rotating(
  name: string | undefined,
  writes: number,
  { snapshotEvery = Number.POSITIVE_INFINITY, real = nodeDisk }: { snapshotEvery?: number; real?: Disk } = {},
) {
  const dir = temporaryDirectory();
  let reused = 0;
  const counting: Disk = {
    ...real,
    rename: async (from, to) => {
      if (from.endsWith(".log")) reused += 1;
      await real.rename(from, to);
    },
  };
  const seams = seamsOf(name, counting);
  const durability = { mode: "always" } as const;
  const sizes = { segmentBytes: 8192, snapshotBytes: 1 << 30 };
  const engine = await openEngine({ dir, durability, ...sizes, seams, report: () => undefined });
  cleanUps.push(async () => {
    await engine.close().catch(() => undefined);
    remove(dir);
  });
  for (let n = 1; n <= writes; n += 1) {
    await write(engine, put(`k${n % 7}`, `${n}-${"v".repeat(40)}`));
    if (n % snapshotEvery === 0) await engine.snapshot();
  }
  return { engine, dir, reused };
}

/** A disk that writes down what happens to names, and to which file; descriptors as the paths they were opened by. */
function recordedDisk(): { real: Disk; calls: string[] } {
  const calls: string[] = [];
  const paths = new Map<number, string>();
  const short = (path: string) => path.slice(path.lastIndexOf("/") + 1).replace(/-0+/, "-");
  const real: Disk = {
    ...nodeDisk,
    open: async (path, how) => {
      const fd = await nodeDisk.open(path, how);
      paths.set(fd, short(path));
      return fd;
    },
    rename: async (from, to) => {
      calls.push(`name ${short(to)}`);
      await nodeDisk.rename(from, to);
    },
    unlink: async (path) => {
      calls.push(`unlink ${short(path)}`);
      await nodeDisk.unlink(path);
    },
    sync: async (fd) => {
      calls.push(`sync ${paths.get(fd)}`);
      await nodeDisk.sync(fd);
    },
    syncDirectory: async (dir) => {
      calls.push("sync .");
      await nodeDisk.syncDirectory(dir);
    },
    writeNow: (fd, ...rest) => {
      calls.push(`write ${paths.get(fd)}`);
      return nodeDisk.writeNow(fd, ...rest);
    },
    syncDataNow: (fd) => {
      calls.push(`sync ${paths.get(fd)}`);
      nodeDisk.syncDataNow(fd);
    },
    syncData: (fd, done) => {
      calls.push(`sync ${paths.get(fd)}`);
      nodeDisk.syncData(fd, done);
    },
  };
  return { real, calls };
}

describe("names and files", () => {
  async function callsOf(name: string | undefined, snapshotEvery = 100): Promise<string[]> {
    const { real, calls } = recordedDisk();
    await rotating(name, 300, { snapshotEvery, real });
    return calls;
  }
  /** What comes after each call that matches. */
  const followers = (calls: readonly string[], match: RegExp) =>
    calls.filter((_call, at) => at > 0 && match.test(calls[at - 1]!));

  test("without a bug, a new name is followed by a sync of the directory before anything uses it", async () => {
    const calls = await callsOf(undefined);
    for (const name of ["name snapshot-100.snap", "name segment-2.log"]) {
      const rest = calls.slice(calls.indexOf(name));
      expect(rest.indexOf("sync .")).toBeGreaterThan(0);
      expect(rest.slice(0, rest.indexOf("sync ."))).not.toContain("write segment-2.log");
    }
  });

  test("forgets-segment-name: no sync of the directory follows", async () => {
    const calls = await callsOf("forgets-segment-name", 1000);
    const named = calls.indexOf("name segment-2.log");
    expect(named).toBeGreaterThan(0);
    expect(calls.slice(named)).toContain("write segment-2.log");
    expect(calls.slice(named)).not.toContain("sync .");
  });

  test("forgets-reused-name: a new segment's name is synced, a reused one's is not", async () => {
    const calls = await callsOf("forgets-reused-name", 1000);
    const named = calls.indexOf("name segment-2.log");
    expect(named).toBeGreaterThan(0);
    expect(calls.slice(named)).toContain("sync .");
  });

  test("forgets-snapshot-name: no sync of the directory comes before what it replaces goes", async () => {
    const calls = await callsOf("forgets-snapshot-name");
    const named = calls.indexOf("name snapshot-200.snap");
    const gone = calls.indexOf("unlink snapshot-100.snap");
    expect(gone).toBeGreaterThan(named);
    expect(calls.slice(named, gone)).not.toContain("sync .");
  });

  test("names-snapshot-early: its data is not synced", async () => {
    expect(await callsOf(undefined)).toContain("sync snapshot-100.snap.tmp");
    const calls = await callsOf("names-snapshot-early");
    expect(calls).toContain("name snapshot-100.snap");
    expect(calls).not.toContain("sync snapshot-100.snap.tmp");
  });

  test("deletes-log-early: segments go before the snapshot is synced", async () => {
    const calls = await callsOf("deletes-log-early", 250);
    const synced = calls.indexOf("sync snapshot-250.snap.tmp");
    expect(calls.indexOf("unlink segment-1.log")).toBeGreaterThan(0);
    expect(calls.indexOf("unlink segment-1.log")).toBeLessThan(synced);
  });

  test("syncs-wrong-file: what is written to the second segment is never synced", async () => {
    const calls = await callsOf("syncs-wrong-file", 1000);
    expect(calls).toContain("write segment-2.log");
    expect(calls).not.toContain("sync segment-2.log");
  });

  test("loses-first-batch: the first write of a segment is not followed by its sync, the second is", async () => {
    const calls = await callsOf("loses-first-batch", 1000);
    expect(followers(calls, /^write segment-2\.log$/).slice(0, 2)).toEqual([
      "write segment-2.log",
      "sync segment-2.log",
    ]);
    expect(followers(await callsOf(undefined, 1000), /^write segment-2\.log$/)[0]).toBe("sync segment-2.log");
  });
});

describe("transactions", () => {
  async function commandsOf(name: string): Promise<{ commands: Commands; session: () => Session }> {
    const { engine } = await open(undefined);
    const facts = {
      version: "",
      startedAtMs: 0,
      connections: () => 0,
      port: () => 0,
      shutDown: () => undefined,
    };
    const commands = (bugNamed(name).seams.commands ?? makeCommands)(engine, facts);
    const session = (): Session => ({
      id: 1,
      name: "",
      seen: 0,
      wrote: 0,
      queued: undefined,
      queueBroken: false,
      watched: undefined,
      watchBroken: false,
      quit: false,
    });
    return { commands, session };
  }

  test("shows-unsynced: a read waits for nothing", () => {
    const visibility = bugNamed("shows-unsynced").seams.engine!.visibility!;
    expect(visibility.holdUntil(7, 0)).toBe(0);
    expect(productionSeams.visibility.holdUntil(7, 0)).toBe(7);
  });

  test("partial-transaction: another client sees half of it", async () => {
    const { commands, session } = await commandsOf("partial-transaction");
    const [one, two] = [session(), session()];
    for (const args of [["MULTI"], ["SET", "a", "1"], ["SET", "b", "1"]]) commands.run(one, args);
    const result = commands.run(one, ["EXEC"]);
    await Promise.resolve();
    await Promise.resolve();
    expect(commands.run(two, ["MGET", "a", "b"])).toBe("*2\r\n$1\r\n1\r\n$-1\r\n");
    expect(await result).toBe("*2\r\n+OK\r\n+OK\r\n");
  });

  test("non-atomic-cas: two compare-and-sets consume one value", async () => {
    const { commands, session } = await commandsOf("non-atomic-cas");
    const [one, two] = [session(), session()];
    commands.run(one, ["SET", "a", "0"]);
    const both = [
      ["SET", "a", "1", "IFEQ", "0", "GET"],
      ["SET", "a", "2", "IFEQ", "0", "GET"],
    ] as const;
    const replies = await Promise.all([commands.run(one, [...both[0]]), commands.run(two, [...both[1]])]);
    expect(replies).toEqual(["$1\r\n0\r\n", "$1\r\n0\r\n"]);
  });
});
