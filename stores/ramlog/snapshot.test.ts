import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Disk, nodeDisk } from "./disk.ts";
import type { Engine } from "./engine.ts";
import {
  applyStep,
  crashCopy,
  openTestEngine,
  type Recorded,
  recoverOnly,
  remove,
  temporaryDirectory,
} from "./fixtures/model.ts";

const directories: string[] = [];
const engines: Engine[] = [];

async function recordedEngine(options: Parameters<typeof openTestEngine>[1] = {}) {
  const dir = temporaryDirectory();
  directories.push(dir);
  const engine = await openTestEngine(dir, options);
  engines.push(engine);
  return { dir, engine, states: [{}] } as Recorded & { dir: string };
}

afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close().catch(() => undefined);
  for (const dir of directories.splice(0)) remove(dir);
});

function put(recorded: Recorded, key: string, value: string): void {
  applyStep(recorded, [{ kind: "put", key, value }]);
}

test("a snapshot is one point in time although every key changes, appears and vanishes meanwhile", async () => {
  let midway: () => void = () => undefined;
  const disk: Disk = {
    ...nodeDisk,
    write: async (...args) => {
      midway();
      return nodeDisk.write(...args);
    },
  };
  const recorded = await recordedEngine({ replace: { disk }, segmentBytes: 1 << 20 });
  for (let i = 0; i < 500; i += 1) put(recorded, `k${i}`, `${i}`);
  applyStep(recorded, [{ kind: "push-right", key: "list", value: "before" }]);
  await recorded.engine.flush();
  const index = recorded.engine.lastIndex;
  let changed = 0;
  midway = () => {
    for (let i = 0; i < 20; i += 1) {
      const key = `k${(changed * 37) % 500}`;
      applyStep(recorded, [{ kind: changed % 3 === 0 ? "delete" : "put", key, value: `after${changed}` }]);
      put(recorded, `new${changed}`, "x");
      applyStep(recorded, [{ kind: "push-left", key: "list", value: `${changed}` }]);
      changed += 1;
    }
  };
  await recorded.engine.snapshot();
  midway = () => undefined;
  expect(changed).toBeGreaterThan(20);
  await recorded.engine.flush();
  const copy = crashCopy(recorded.dir);
  directories.push(copy);
  expect((await recoverOnly(copy)).contents).toEqual(recorded.states.at(-1));
  // The snapshot alone: as if the log had ended with it.
  for (const name of readdirSync(copy)) if (name.startsWith("segment-")) remove(join(copy, name));
  const alone = await recoverOnly(copy);
  expect(alone.index).toBe(index);
  expect(alone.contents).toEqual(recorded.states[index]);
});

test("old segments and snapshots go only after two newer snapshots, and a damaged newest one is made up for", async () => {
  const recorded = await recordedEngine();
  for (let round = 0; round < 5; round += 1) {
    for (let i = 0; i < 60; i += 1) put(recorded, `k${i % 7}`, `${round}-${i}-${"x".repeat(40)}`);
    await recorded.engine.flush();
    await recorded.engine.snapshot();
  }
  const copy = crashCopy(recorded.dir);
  directories.push(copy);
  const snapshots = readdirSync(copy).filter((name) => name.startsWith("snapshot-"));
  expect(snapshots).toHaveLength(2);
  const newest = join(copy, snapshots[1]!);
  const bytes = readFileSync(newest);
  bytes[100]! ^= 4;
  writeFileSync(newest, bytes);
  const fallback = await recoverOnly(copy);
  expect(fallback.contents).toEqual(recorded.states.at(-1));
  expect(fallback.recovered.report.discarded[0]).toMatch(
    /snapshot-\d+\.snap cannot be used: damaged at offset/,
  );
  const engine = await openTestEngine(copy);
  await engine.close();
  const healed = await recoverOnly(copy);
  expect(healed.recovered.report.discarded).toEqual([]);
  expect(healed.contents).toEqual(recorded.states.at(-1));
});

test("a snapshot gets its name when the log holds all that is in it, and not before", async () => {
  const calls: string[] = [];
  const disk: Disk = {
    ...nodeDisk,
    syncData: (fd, done) => {
      calls.push("sync of the log");
      nodeDisk.syncData(fd, done);
    },
    rename: (from, to) => {
      calls.push(`rename to ${basename(to).replace(/\d+/, "#")}`);
      return nodeDisk.rename(from, to);
    },
  };
  const durability = { mode: "interval", intervalMs: 60_000 } as const;
  const recorded = await recordedEngine({ replace: { disk }, durability, segmentBytes: 1 << 20 });
  put(recorded, "a", "1");
  await new Promise(setImmediate);
  calls.length = 0;
  await recorded.engine.snapshot();
  expect(calls.filter((call) => !call.includes("segment"))).toEqual([
    "sync of the log",
    "rename to snapshot-#.snap",
  ]);
});

test("the fallback survives a restart", async () => {
  const recorded = await recordedEngine();
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 60; i += 1) put(recorded, `k${i % 7}`, `${round}-${i}-${"x".repeat(40)}`);
    await recorded.engine.snapshot();
  }
  await recorded.engine.close();
  const again = await openTestEngine(recorded.dir);
  await again.close();
  const newest = readdirSync(recorded.dir).filter((name) => name.startsWith("snapshot-"))[1]!;
  const bytes = readFileSync(join(recorded.dir, newest));
  bytes[20]! ^= 1;
  writeFileSync(join(recorded.dir, newest), bytes);
  expect((await recoverOnly(recorded.dir)).contents).toEqual(recorded.states.at(-1));
});

test.each(["write", "sync", "rename"] as const)(
  "a snapshot whose %s fails is abandoned, every segment is kept, and the store goes on",
  async (operation) => {
    let failing = false;
    const attempts: string[] = [];
    const disk: Disk = {
      ...nodeDisk,
      [operation]: async (...args: never[]) => {
        if (failing) {
          attempts.push(operation);
          throw Object.assign(new Error(`EIO: i/o error, ${operation}`), { code: "EIO" });
        }
        return (nodeDisk[operation] as (...all: never[]) => unknown)(...args);
      },
    };
    const recorded = await recordedEngine({ replace: { disk }, segmentBytes: 1 << 20 });
    put(recorded, "a", "1");
    await recorded.engine.flush();
    await new Promise((resolve) => setTimeout(resolve, 100));
    failing = true;
    await expect(recorded.engine.snapshot()).rejects.toThrow("EIO");
    failing = false;
    expect(attempts).toHaveLength(1);
    expect(readdirSync(recorded.dir).filter((name) => /snapshot|tmp/.test(name))).toEqual([]);
    put(recorded, "b", "2");
    await recorded.engine.flush();
    await recorded.engine.snapshot();
    await recorded.engine.close();
    expect((await recoverOnly(recorded.dir)).contents).toEqual({ a: "1", b: "2" });
  },
);

test("mode none keeps what the closing snapshot holds, and a crash falls back to the last one", async () => {
  const recorded = await recordedEngine({ durability: { mode: "none" } });
  put(recorded, "a", "1");
  await recorded.engine.snapshot();
  put(recorded, "b", "2");
  const copy = crashCopy(recorded.dir);
  directories.push(copy);
  await recorded.engine.close();
  expect((await recoverOnly(copy)).contents).toEqual({ a: "1" });
  expect((await recoverOnly(recorded.dir)).contents).toEqual({ a: "1", b: "2" });
  const always = await openTestEngine(recorded.dir);
  put({ engine: always, states: [] }, "c", "3");
  await always.close();
  expect((await recoverOnly(recorded.dir)).contents).toEqual({ a: "1", b: "2", c: "3" });
});

test("a snapshot when nothing has changed since the last one keeps both files that are there", async () => {
  const recorded = await recordedEngine();
  const snapshots = () => readdirSync(recorded.dir).filter((name) => name.endsWith(".snap"));
  for (const key of ["first", "second"]) {
    put(recorded, key, "x");
    await recorded.engine.snapshot();
  }
  const before = snapshots();
  expect(before).toHaveLength(2);
  await recorded.engine.snapshot();
  await recorded.engine.snapshot();
  expect(snapshots()).toEqual(before);
});
