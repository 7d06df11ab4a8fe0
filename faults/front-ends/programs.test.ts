/**
 * Real programs under the interposer: what they did to their files is in the trace to the last byte, with the syncs that
 * make it durable. Each is skipped aloud where it is not installed, unless ACKED_REQUIRE names it.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import pg from "pg";
import { afterEach, describe, expect, it } from "vitest";
import { createCluster } from "../../stores/postgres/cluster.ts";
import { bundledPostgresMissing } from "../../stores/postgres/package.ts";
import { findWorkingCompiler } from "./build-interposer.ts";
import { InterposedDirectory } from "./fixtures/interposed.ts";
import { type EarlierFile, earlierFiles, filesIn, rebuild } from "./fixtures/rebuild.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;

/** Whether the tests of a program can run; says so when not. */
function available(program: string, missing: string | undefined): boolean {
  const reason = compiler ? missing : "no C compiler (gcc), so no interposer";
  if (reason) console.warn(`SKIPPED: ${program} under the interposer: ${reason}`);
  if (reason && (process.env.ACKED_REQUIRE ?? "").split(/[\s,]+/).includes(program)) {
    throw new Error(`ACKED_REQUIRE wants ${program}: ${reason}`);
  }
  return reason === undefined;
}

function notInstalled(command: string): string | undefined {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore", timeout: 10_000 });
    return undefined;
  } catch {
    return `${command} is not installed`;
  }
}

const directories: InterposedDirectory[] = [];
const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  for (const one of directories.splice(0)) one.remove();
});

async function directory(): Promise<InterposedDirectory> {
  const made = await InterposedDirectory.create("**", { traced: true });
  directories.push(made);
  return made;
}

/** A server as a child; ended by the test, or after it. */
function serve(
  disk: InterposedDirectory,
  program: string,
  args: readonly string[],
  cwd = disk.path,
): ChildProcess {
  const env = { ...process.env, ...disk.environment, LC_ALL: "C" };
  const [command = program, ...words] = [...disk.launcher, program, ...args];
  const child = spawn(command, words, { cwd, env, stdio: "ignore" });
  children.push(child);
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Files whose bytes differ from what the trace tells, or that only one of both knows; [] is the promise. */
function untold(disk: InterposedDirectory, earlier: readonly EarlierFile[] = []): string[] {
  const trace = disk.trace();
  expect(trace.faults).toEqual([]);
  const rebuilt = rebuild(trace.events, earlier);
  const real = filesIn(disk.path);
  const different = [...real]
    .filter(([path, bytes]) => !rebuilt.get(path)?.equals(bytes))
    .map(([path]) => path);
  return [...different, ...[...rebuilt.keys()].filter((path) => !real.has(path))];
}

describe.skipIf(!available("node", undefined))("Node", () => {
  it("reaches the disk by no way that the trace does not have", async () => {
    const disk = await directory();
    const program = `
      const fs = require("fs"), fsp = require("fs/promises");
      (async () => {
        fs.writeFileSync("a", "hello"); fs.appendFileSync("a", " world"); fs.writeFileSync("e", "1", { flush: true });
        const h = await fsp.open("b", "w");
        const parts = Array.from({ length: 20 }, (_, i) => h.write(Buffer.alloc(5000, 65 + i), 0, 5000, i * 5000));
        await Promise.all(parts); await h.writev([Buffer.from("x"), Buffer.from("yz")], 9); await h.datasync();
        await h.truncate(77777); await h.close();
        fs.copyFileSync("b", "c"); await fsp.copyFile("b", "d", fs.constants.COPYFILE_FICLONE);
        fs.mkdirSync("x/y", { recursive: true }); fs.renameSync("c", "x/y/c"); fs.linkSync("a", "x/l");
        const s = fs.createWriteStream("s");
        for (let i = 0; i < 200; i++) s.write(Buffer.alloc(1000, i));
        await new Promise((done) => s.end(done));
        const appended = await fsp.open("ap", "a");
        await Promise.all(Array.from({ length: 50 }, (_, i) => appended.write(Buffer.alloc(100 + i, i))));
        await appended.sync(); await appended.close();
        fs.rmSync("d"); fs.mkdirSync("z"); fs.renameSync("x/y", "z/y"); fs.mkdtempSync("tmp-");
        fs.cpSync("z", "w", { recursive: true });
        fs.fsyncSync(fs.openSync(".", "r"));
      })();`;
    const ended = await disk.run(process.execPath, ["-e", program]);
    expect([ended.exitCode, ended.stderr]).toEqual([0, ""]);
    expect(untold(disk)).toEqual([]);
    expect(filesIn(disk.path).size).toBe(8);
    expect(disk.events("datasync").map(({ path }) => path)).toEqual(["b"]);
    expect(disk.events("sync").map(({ path }) => path)).toEqual(["e", "ap", "."]);
  });
});

describe.skipIf(!available("sqlite3", notInstalled("sqlite3")))("SQLite", () => {
  it.each(["wal", "delete"])("in journal mode %s", async (mode) => {
    const disk = await directory();
    const rows = "with recursive c(i) as (select 1 union all select i + 1 from c where i < 500)";
    const statements = [
      `pragma journal_mode=${mode}; pragma synchronous=full; create table t(a, b);`,
      `${rows} insert into t select i, hex(randomblob(200)) from c; update t set b = 'y' where a % 7 = 0;`,
      "vacuum; insert into t values(1, 2);",
    ];
    const ended = await disk.run("sqlite3", ["t.db", statements.join(" ")]);
    expect([ended.exitCode, ended.stderr]).toEqual([0, ""]);
    expect(untold(disk)).toEqual([]);
    expect(disk.events("datasync").length + disk.events("sync").length).toBeGreaterThan(4);
  });
});

/** Sends one command; resolves with what came within the first piece of the answer. */
async function redis(port: number, command: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${command}\r\n`);
  try {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    return String(bytes).trim();
  } finally {
    socket.destroy();
  }
}

describe.skipIf(!available("redis-server", notInstalled("redis-server")))("Redis", () => {
  it("logs, rewrites its log in a child, and dumps through a C stream", async () => {
    const disk = await directory();
    const port = await freePort();
    const options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", disk.path];
    const server = serve(disk, "redis-server", ["--port", String(port), ...options]);
    await expect.poll(() => redis(port, "ping").catch(() => ""), { timeout: 10_000 }).toBe("+PONG");
    for (let one = 0; one < 20; one++) await redis(port, `set k${one} ${"v".repeat(one * 10)}`);
    expect(await redis(port, "bgrewriteaof")).toMatch(/^\+Background/);
    await expect
      .poll(async () => /aof_rewrite_in_progress:0/.test(await redis(port, "info persistence")), {
        timeout: 10_000,
      })
      .toBe(true);
    expect(await redis(port, "save")).toBe("+OK");
    expect(await redis(port, "set after 1")).toBe("+OK");
    server.kill("SIGTERM");
    await once(server, "exit");
    expect(untold(disk)).toEqual([]);
    expect([...filesIn(disk.path).keys()]).toContain("dump.rdb");
    const syncs = disk.events("datasync").filter(({ path }) => path.endsWith(".incr.aof"));
    expect(syncs.length).toBeGreaterThanOrEqual(20);
    // Every command had a connection of its own, and its answer began there.
    const answers = disk.events("send", "begin").filter((event) => event.offset === 0);
    expect(answers.length).toBeGreaterThanOrEqual(24);
    for (const { port: peer } of answers) expect(peer).toBeGreaterThan(0);
  });
});

describe.skipIf(!available("postgres", bundledPostgresMissing()))("Postgres", () => {
  it("with all its processes, as its own user", async () => {
    const disk = await directory();
    const scratch = join(disk.path, "..", "scratch");
    for (const place of [disk.path, scratch]) {
      mkdirSync(place, { recursive: true });
      chmodSync(place, 0o755);
    }
    const port = await freePort();
    const settings = { name: "n1", dir: disk.path, port, durability: { mode: "always" } as const };
    const { launch, credentials } = await createCluster(settings, scratch);
    const earlier = earlierFiles(disk.path);
    const server = serve(disk, launch.program, launch.args, launch.cwd);
    const session = async (): Promise<pg.Client> => {
      const client = new pg.Client({ host: "127.0.0.1", port, ...credentials });
      client.on("error", () => {});
      await client.connect();
      return client;
    };
    const accepts = async (): Promise<boolean> => {
      const client = await session().catch(() => undefined);
      await client?.end();
      return client !== undefined;
    };
    await expect.poll(accepts, { timeout: 15_000 }).toBe(true);
    const client = await session();
    await client.query("create table t(a serial primary key, b text)");
    const others = await Promise.all([session(), session(), session()]);
    const insert = (one: pg.Client): Promise<unknown> =>
      one.query("insert into t(b) values($1)", ["x".repeat(500)]);
    for (let round = 0; round < 10; round++) await Promise.all(others.map(insert));
    await client.query("checkpoint");
    await client.query("create index on t(b)");
    await client.query("drop table t");
    await Promise.all([client, ...others].map((one) => one.end()));
    server.kill("SIGINT");
    await once(server, "exit");
    expect(untold(disk, earlier)).toEqual([]);
    expect(disk.control.blindSpots()).toEqual([]);
    const log = disk.events("datasync").filter(({ path }) => path.includes("pg_wal/"));
    expect(log.length).toBeGreaterThanOrEqual(10);
    expect(new Set(disk.trace().events.map(({ pid }) => pid)).size).toBeGreaterThan(5);
  }, 120_000);
});
