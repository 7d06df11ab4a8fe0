import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Request } from "../contract.ts";
import type { Engine } from "./engine.ts";
import { memoryDisk } from "./fixtures/memory-disk.ts";
import { crashCopy, openTestEngine, recoverOnly, remove, temporaryDirectory } from "./fixtures/model.ts";
import { recover } from "./recoverable.ts";
import { ramlog } from "./store.ts";

const sizes = ramlog.recoverable!.options;
const always = { ...sizes, durability: { mode: "always" as const } };
const directories: string[] = [];
const engines: Engine[] = [];

afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close().catch(() => undefined);
  for (const dir of directories.splice(0)) remove(dir);
});

function put(engine: Engine, key: string, value: string): void {
  engine.change({ kind: "put", table: "", key, value });
  engine.commit();
}

/** The files that a real store leaves when it is killed after some snapshots and segments, its lock included. */
async function killedStore(): Promise<{ dir: string; files: Map<string, Buffer> }> {
  const dir = temporaryDirectory();
  directories.push(dir);
  const engine = await openTestEngine(dir, { segmentBytes: 8192, snapshotBytes: 1 << 30 });
  engines.push(engine);
  engine.change({ kind: "push-right", table: "", key: "e0/l/0", at: 0, elements: ["one", "two"] });
  engine.commit();
  for (let i = 0; i < 400; i += 1) {
    put(engine, `e0/r/${i % 10}`, `${i} ${"x".repeat(60)}`);
    if (i % 100 === 99) await engine.snapshot();
    if (i % 7 === 0) await engine.flush();
  }
  put(engine, "e0/bank/a", "40");
  put(engine, "e0/bank/b", "much");
  engine.change({ kind: "push-right", table: "", key: "e0/bank/ledger", at: 0, elements: ["t1:a:b:60"] });
  engine.commit();
  await engine.flush();
  const copy = crashCopy(dir);
  directories.push(copy);
  return { dir: copy, files: filesOf(dir, copy) };
}

/** The files of the copy, and the lock of the store itself. */
function filesOf(dir: string, copy: string): Map<string, Buffer> {
  const files = new Map(readdirSync(copy).map((name) => [name, readFileSync(join(copy, name))]));
  return files.set("lock", readFileSync(join(dir, "lock")));
}

const ask = (workload: string, f: string, key: string, value?: unknown): Request => ({
  workload,
  f,
  key,
  value,
});

test("it recovers what the real store recovers, over a lock left by a process that may even be alive", async () => {
  const { dir, files } = await killedStore();
  const { contents } = await recoverOnly(dir);
  const recovered = await recover(memoryDisk(files), always);
  for (let i = 0; i < 10; i += 1) {
    expect(recovered.read(ask("register", "read", `e0/r/${i}`))).toBe(contents[`e0/r/${i}`]);
  }
  expect(recovered.report).toMatchObject({ cut: null, discarded: [] });
});

test("reads mean what they mean to a client", async () => {
  const { read } = await recover(memoryDisk((await killedStore()).files), always);
  expect(read(ask("register", "read", "e0/r/none"))).toBeNull();
  expect(read(ask("kv", "read", "e0/r/1"))).toMatch(/^391 /);
  expect(read(ask("append", "read", "e0/l/0"))).toEqual(["one", "two"]);
  expect(read(ask("append", "read", "e0/l/1"))).toEqual([]);
  const balances = { a: 40, b: "much", c: null };
  expect(read(ask("bank", "read", "e0/bank", ["a", "b", "c"]))).toEqual(balances);
  expect(read(ask("bank", "audit", "e0/bank", ["a", "b", "c"]))).toEqual({ balances, ledger: ["t1:a:b:60"] });
  expect(() => read(ask("append", "read", "e0/r/1"))).toThrow("does not hold a list");
  expect(() => read(ask("register", "write", "e0/r/1"))).toThrow('knows no read "write"');
});

test("the same files are recovered by the same calls, and a second time over its own lock", async () => {
  const { files } = await killedStore();
  const disks = [memoryDisk(new Map(files)), memoryDisk(new Map(files))] as const;
  for (const disk of disks) await recover(disk, always);
  expect(disks[0].calls).toEqual(disks[1].calls);
  expect(disks[0].calls.some((call) => call.startsWith("sync segment-"))).toBe(true);
  const again = memoryDisk(disks[0].files);
  const { report } = await recover(again, always);
  expect(report).toMatchObject({ cut: null });
});

test("killed at any of its own calls, it recovers the next time", async () => {
  const { files } = await killedStore();
  const whole = memoryDisk(new Map(files));
  const expected = await recover(whole, always);
  const register = ask("register", "read", "e0/r/3");
  let dead = 0;
  for (let ended = false; !ended; dead += 1) {
    const disk = memoryDisk(new Map(files), dead);
    ended = await recover(disk, always).then(
      () => true,
      () => false,
    );
    const { read } = await recover(memoryDisk(disk.files), always);
    expect(read(register)).toBe(expected.read(register));
  }
  // At each of them, and once at none.
  expect(dead).toBe(whole.calls.length + 1);
});

test.each(["always", "none"] as const)(
  "the first start in mode %s, killed at any of its calls however often, is followed by one that succeeds",
  async (mode) => {
    const options = { ...sizes, durability: { mode } };
    for (let first = 0; first < 30; first += 1) {
      const files = new Map<string, Buffer>();
      for (const stopAfter of [first, 14, 17, first + 3, 25]) {
        await recover(memoryDisk(files, stopAfter), options).catch(() => undefined);
      }
      const { read } = await recover(memoryDisk(files), options);
      expect(read(ask("register", "read", "e0/r/0"))).toBeNull();
      expect([...files.keys()].filter((name) => name.startsWith("lock"))).toEqual(["lock"]);
    }
  },
);
