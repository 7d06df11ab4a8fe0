/**
 * Each planted bug is really there, shown on the engine alone in milliseconds. That acked's checkers find and name them
 * is shown by the gate, which runs them under load.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { findingKinds } from "../../harness/checkers/contract.ts";
import { nodeDisk } from "../ramlog/disk.ts";
import { type Engine, openEngine, productionSeams } from "../ramlog/engine.ts";
import { contentsOf, crashCopy, remove, temporaryDirectory } from "../ramlog/fixtures/model.ts";
import type { Commands, Session } from "../ramlog/server/commands.ts";
import { makeCommands } from "../ramlog/server/commands.ts";
import type { Change } from "../ramlog/state.ts";
import { bugs } from "./bugs.ts";
import { brokenStores } from "./index.ts";

const cleanUps: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function bugNamed(name: string) {
  return bugs.find((bug) => bug.name === name)!;
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
    seams: { ...productionSeams, ...(name ? bugNamed(name).seams.engine : {}) },
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
      await write(engine, put("b", "2"));
      expect(engine.released).toBe(2);
      expect(failing.mock.results[0]!.type).toBe("throw");
      expect(failing).toHaveBeenCalledTimes(name === "retries-failed-sync" ? 3 : 2);
    },
  );
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

  test("what a bug has made of a log stays so: the next correct recovery sees it too", async () => {
    const { engine, dir } = await open("applies-twice", await crashedLog());
    await write(engine, put("after", "1"));
    const copy = crashCopy(dir);
    expect(contents((await open(undefined, copy)).engine)).toEqual(contents(engine));
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
