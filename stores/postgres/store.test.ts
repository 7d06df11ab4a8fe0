/** What is special about Postgres as a store: its account, its settings, what it leaves behind. See also ../conformance.test.ts. */
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import pg from "pg";
import { afterEach, describe, expect, test } from "vitest";
import type { Durability, NodeSettings } from "../contract.ts";
import { type ServingStore, serve } from "../fixtures/serving.ts";
import { bundledPostgresMissing } from "./package.ts";
import { postgres, postgresFsyncOff } from "./store.ts";

const missing = bundledPostgresMissing();
if (missing) console.warn(`SKIPPED: Postgres: ${missing}`);
const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("postgres");
const always: Durability = { mode: "always" };
const none: Durability = { mode: "none" };

let serving: ServingStore | undefined;
afterEach(async () => {
  await serving?.remove();
  serving = undefined;
});

test.each([0, 10_001])("an interval of %d ms is refused with what is possible", async (intervalMs) => {
  const node: NodeSettings = { name: "n1", dir: "/d", port: 1, durability: { mode: "interval", intervalMs } };
  await expect(postgres.launch(node)).rejects.toThrow(/wal_writer_delay is 1 to 10000 ms/);
});

describe.skipIf(missing !== undefined && !required)("the bundled Postgres as a store", () => {
  test.each([
    { store: postgres, durability: always, expected: { fsync: "on", synchronous_commit: "on" } },
    {
      store: postgres,
      durability: { mode: "interval", intervalMs: 50 } as Durability,
      expected: { fsync: "on", synchronous_commit: "off", wal_writer_delay: "50ms" },
    },
    { store: postgresFsyncOff, durability: none, expected: { fsync: "off", synchronous_commit: "on" } },
  ])("$store.name, mode $durability.mode, runs with $expected", async ({ store, durability, expected }) => {
    serving = await serve(store, durability);
    const shown = await settings(serving, Object.keys(expected));
    expect(shown).toEqual(expected);
    expect(await settings(serving, ["wal_segment_size", "io_method"])).toEqual({
      wal_segment_size: "1MB",
      io_method: "sync",
    });
  });

  test("starts on a copy of its files that belongs to somebody else, as a crash state does", async () => {
    serving = await serve(postgres, always);
    const client = await postgres.connect(serving.endpoint, "kv", 5000);
    await client.execute({ workload: "kv", f: "write", key: "k", value: "kept" }, 5000);
    client.close();
    await serving.kill();
    const data = join(serving.dir, "pgdata");
    const copy = join(serving.dir, "copy");
    cpSync(data, copy, { recursive: true });
    rmSync(data, { recursive: true });
    cpSync(copy, data, { recursive: true });
    chmodSync(data, 0o755);
    if (process.getuid?.() === 0) chownSync(data, 0, 0);
    await serving.start();
    const again = await postgres.connect(serving.endpoint, "kv", 5000);
    expect(await again.execute({ workload: "kv", f: "read", key: "k" }, 5000)).toEqual({
      type: "ok",
      value: "kept",
    });
    again.close();
  });

  test("is small, so that a crash state is: a few hundred files, 11 MB", async () => {
    serving = await serve(postgres, always);
    await serving.kill();
    const names = readdirSync(serving.dir, { recursive: true, encoding: "utf8" });
    const files = names.map((name) => statSync(join(serving!.dir, name))).filter((status) => status.isFile());
    expect(files.length).toBeLessThan(500);
    expect(files.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(12 * 2 ** 20);
  });

  test("leaves no process behind when it is killed, and no shared memory", async () => {
    serving = await serve(postgres, always);
    const client = await postgres.connect(serving.endpoint, "kv", 5000);
    const { dir } = serving;
    const processes = processesOf(dir);
    expect(processes.length).toBeGreaterThan(1);
    await serving.kill();
    client.close();
    expect(processesOf(dir)).toEqual([]);
    const { exitCode } = await execa("unshare", ["--ipc", "--", "true"], { reject: false });
    if (exitCode === 0) expect(creatorsOfSharedMemory().filter((pid) => processes.includes(pid))).toEqual([]);
  });

  test("does not run untraced when its account cannot read what is to be preloaded", async () => {
    serving = await serve(postgres, always);
    await serving.kill();
    const node = { name: "n1", dir: serving.dir, port: 1, durability: always };
    const { program, args, cwd } = await postgres.launch(node);
    const env = { LD_PRELOAD: "/nowhere/interposer.so" };
    const { exitCode, stderr } = await execa(program, args, { cwd: cwd!, env, reject: false, timeout: 5000 });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("FATAL: Postgres's account cannot read /nowhere/interposer.so");
  });
});

/** Settings as the server itself tells them. */
async function settings(
  { dir, endpoint }: ServingStore,
  names: readonly string[],
): Promise<Record<string, string>> {
  const password = readFileSync(join(dir, "password"), "utf8");
  const client = new pg.Client({ ...endpoint, user: "acked", password, database: "postgres" });
  await client.connect();
  try {
    const { rows } = await client.query(
      "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY($1)",
      [names],
    );
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  } finally {
    await client.end();
  }
}

/** Pids that made the System V segments there are, those of other tests' servers among them. */
function creatorsOfSharedMemory(): string[] {
  if (!existsSync("/proc/sysvipc/shm")) return [];
  const [header, ...segments] = readFileSync("/proc/sysvipc/shm", "utf8").trim().split("\n");
  const column = header!.trim().split(/\s+/).indexOf("cpid");
  return segments.map((segment) => segment.trim().split(/\s+/)[column]!);
}

/** Pids of the processes at home in the cluster, which is where every Postgres process works. */
function processesOf(dir: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readlinkSync(`/proc/${pid}/cwd`).startsWith(dir);
    } catch {
      return false; // gone meanwhile
    }
  });
}
