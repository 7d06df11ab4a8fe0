import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Durability, Endpoint, Launch, MeasuredConnection } from "../contract.ts";
import { createCluster } from "./cluster.ts";
import { bundledPostgresMeasurable, parsePostgresUrl, postgresAt } from "./measured.ts";
import { bundledNative, bundledPostgresMissing, runnable } from "./package.ts";

const missing = bundledPostgresMissing();
const always: Durability = { mode: "always" };
let directory: string;
let server: ReturnType<typeof run> | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-pgtest-"));
  chmodSync(directory, 0o755); // Postgres runs as another account when this test runs as root
  for (const name of ["data", "scratch"]) mkdirSync(join(directory, name));
});

afterEach(async () => {
  server?.kill("SIGQUIT");
  await server;
  server = undefined;
  rmSync(directory, { recursive: true, force: true });
});

describe.skipIf(missing)(`the bundled Postgres${missing ? ` (skipped: ${missing})` : ""}`, () => {
  it("starts, stores what it is given, counts its syncs, and leaves no process behind", async () => {
    const postgres = bundledPostgresMeasurable();
    const endpoint = await start(postgres);
    const session = await postgres.open(endpoint, always);
    expect(session.version).toMatch(/^\d+\.\d+/);
    expect(session.settings).toMatchObject({ fsync: "on", synchronous_commit: "on", full_page_writes: "on" });
    expect(session.deviations).toEqual([]);
    await session.preload([["a", "1"]]);

    const before = await session.logCounters();
    const connection = await session.connect();
    await upsert(connection, "a", "2");
    await upsert(connection, "b", "3");
    expect(await read(connection, "a")).toBe("2");
    expect(await read(connection, "b")).toBe("3");
    expect(await read(connection, "c")).toBeUndefined();
    await connection.close();
    const after = await session.logCounters();
    expect(after!.syncs - before!.syncs).toBeGreaterThanOrEqual(2);

    await session.close();
    server!.kill("SIGTERM");
    await server;
    expect(processesIn(directory)).toEqual([]);
  });

  it("leaves only what was there in a server that is not its own", async () => {
    const { launch, credentials } = await createCluster(
      settings(await freePort()),
      join(directory, "scratch"),
    );
    server = run(launch);
    const port = portOf(directory);
    const url = `postgres://${credentials.user}:${credentials.password}@127.0.0.1:${port}/postgres`;
    await accepting({ host: "127.0.0.1", port });
    const session = await retried(() => postgresAt(url).open({ host: "", port: 0 }, always));
    await session.preload([["a", "1"]]);
    expect(await session.logCounters()).toBeUndefined();
    await session.close();

    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'acked%'");
    await client.end();
    expect(rows).toEqual([]);
  });

  it("is copied out and given its links, when it is installed without them", async () => {
    const unlinked = join(directory, "native");
    await execa("cp", ["-a", bundledNative()!, unlinked]);
    for (const name of readdirSync(join(unlinked, "lib"))) {
      const path = join(unlinked, "lib", name);
      if (lstatSync(path).isSymbolicLink()) rmSync(path);
    }
    const native = await runnable(unlinked, join(directory, "scratch"), undefined);
    expect(native).not.toBe(unlinked);
    const { stdout } = await execa(join(native, "bin", "postgres"), ["--version"]);
    expect(stdout).toContain("PostgreSQL");
  });

  it.skipIf(process.getuid?.() !== 0)("is copied out of a home that its account cannot enter", async () => {
    const home = join(directory, "home");
    mkdirSync(home, { mode: 0o700 });
    await execa("cp", ["-a", bundledNative()!, join(home, "native")]);
    const nobody = { name: "nobody", uid: 65534, gid: 65534 };
    const native = await runnable(join(home, "native"), join(directory, "scratch"), nobody);
    const { stdout } = await execa(join(native, "bin", "postgres"), ["--version"], { uid: 65534, cwd: "/" });
    expect(stdout).toContain("PostgreSQL");
  });
});

describe("a database that cannot be used", () => {
  it.each([
    ["nonsense", /not a URL/],
    ["http://127.0.0.1/x", /begins with http:/],
    ["postgres:///database", /names no host/],
  ])("%s is refused with one sentence", (url, sentence) => {
    expect(() => parsePostgresUrl(url)).toThrow(sentence);
  });

  it("a server that is not there is named without its password", async () => {
    const url = `postgres://somebody:secret@127.0.0.1:${await freePort()}/nothing`;
    const opened = postgresAt(url).open({ host: "", port: 0 }, always);
    await expect(opened).rejects.toThrow(
      /no connection to Postgres at 127\.0\.0\.1:\d+\/nothing: .*ECONNREFUSED/,
    );
    await expect(opened).rejects.not.toThrow(/secret/);
  });
});

function run(launch: Launch) {
  return execa(launch.program, launch.args, { cwd: launch.cwd!, reject: false, all: true, buffer: false });
}

function settings(port: number) {
  return { name: "postgres", dir: join(directory, "data"), port, durability: always };
}

async function start(postgres: ReturnType<typeof bundledPostgresMeasurable>): Promise<Endpoint> {
  const endpoint = { host: "127.0.0.1", port: await freePort() };
  const launch = await postgres.prepare!(settings(endpoint.port), join(directory, "scratch"));
  server = run(launch);
  if (launch.ready.by === "port") await retried(() => (launch.ready as { probe: Probe }).probe(endpoint));
  return endpoint;
}

type Probe = (endpoint: Endpoint) => Promise<void>;

async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + 15_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function accepting(endpoint: Endpoint): Promise<void> {
  return retried(
    () =>
      new Promise<void>((resolve, reject) => {
        const socket = net.connect(endpoint.port, endpoint.host, () => {
          socket.destroy();
          resolve();
        });
        socket.once("error", reject);
      }),
  );
}

function portOf(below: string): number {
  const configuration = readFileSync(join(below, "data", "pgdata", "postgresql.conf"), "utf8");
  return Number(/^port = '(\d+)'$/m.exec(configuration)![1]);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

function upsert(connection: MeasuredConnection, key: string, value: string): Promise<void> {
  return new Promise((resolve, reject) =>
    connection.upsert(key, value, (error) => (error ? reject(error) : resolve())),
  );
}

function read(connection: MeasuredConnection, key: string): Promise<string | undefined> {
  return new Promise((resolve, reject) =>
    connection.read(key, (error, value) => (error ? reject(error) : resolve(value))),
  );
}

/** Pids of processes whose working directory lies below a directory. */
function processesIn(path: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(path);
    } catch {
      return false;
    }
  });
}
