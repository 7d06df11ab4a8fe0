/**
 * An empty Postgres cluster, made for one run and started as a child process of acked: initdb, configuration, command
 * line. Tuned as its users would tune it, with nothing that its durability rests on turned off in mode `always`;
 * every setting that matters is read back from the server and shown beside the figures.
 */
import { randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { appendFile, chmod, chown, mkdir, rm, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import type { Durability, Launch, NodeSettings } from "../contract.ts";
import { ScenarioError } from "../contract.ts";
import { type Account, bundledPostgres, canRead, identityOf } from "./package.ts";

const initdbDeadlineMs = 60_000;
/** `sun_path` holds 108 bytes with its terminating zero. */
const socketPathBytesMax = 107;

/** How to reach a cluster; trusts nobody without its random password. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** A cluster that has never been started. */
export interface Cluster {
  readonly launch: Launch;
  readonly credentials: Credentials;
}

/**
 * Creates a cluster below `node.dir`, or below `scratchDir` when Postgres's account cannot enter `node.dir` and both
 * are on one file system.
 *
 * @throws ScenarioError with what to do, when that is impossible or initdb fails.
 */
export async function createCluster(node: NodeSettings, scratchDir: string): Promise<Cluster> {
  const programs = await bundledPostgres(scratchDir);
  const { account } = programs;
  const home = await placeFor(node.dir, scratchDir, account);
  const sockets = join(scratchDir, "s");
  const data = join(home, "pgdata");
  refuseLongSocketPath(join(sockets, `.s.PGSQL.${node.port}`));
  for (const directory of [sockets, data]) await ownedDirectory(directory, account);
  const credentials = {
    user: "acked",
    password: randomBytes(18).toString("base64url"),
    database: "postgres",
  };
  const passwordFile = join(scratchDir, "password");
  await writeFile(passwordFile, credentials.password, { mode: 0o600 });
  if (account) await chown(passwordFile, account.uid, account.gid);
  // The password crosses loopback in the clear; scram would cost 50 connections a second of key derivation.
  const options = ["--locale=C", "--encoding=UTF8", "--auth=password", `--pwfile=${passwordFile}`];
  const made = await execa(programs.initdb, ["-D", data, "-U", credentials.user, "--no-sync", ...options], {
    ...identityOf(account),
    cwd: scratchDir,
    env: { LC_ALL: "C" },
    reject: false,
    all: true,
    timeout: initdbDeadlineMs,
    cleanup: true,
  });
  await rm(passwordFile, { force: true });
  if (made.exitCode !== 0) {
    const said = (made.all ?? "").trim().split("\n").at(-1) ?? "";
    throw new ScenarioError(`Postgres's initdb failed: ${said || made.shortMessage}`);
  }
  await appendFile(join(data, "postgresql.conf"), configuration(node, sockets));
  return { launch: launchAs(account, programs.postgres, data), credentials };
}

/** As PostgreSQL's own documentation and its users' tuning guides have it for a small dedicated machine. */
function configuration(node: NodeSettings, sockets: string): string {
  const sharedMegabytes = Math.max(128, Math.min(1024, Math.floor(totalmem() / 4 / 2 ** 20)));
  const settings: Record<string, string | number> = {
    listen_addresses: "127.0.0.1",
    port: node.port,
    unix_socket_directories: sockets,
    max_connections: 200,
    // in the cluster's own directory, so that a killed server leaves nothing in /dev/shm; never used at run time,
    // because what is needed fits into the reserve
    dynamic_shared_memory_type: "mmap",
    min_dynamic_shared_memory: "16MB",
    shared_buffers: `${sharedMegabytes}MB`,
    wal_buffers: "16MB",
    min_wal_size: "1GB",
    max_wal_size: "8GB",
    checkpoint_timeout: "60min",
    checkpoint_completion_target: 0.9,
    random_page_cost: 1.1,
    full_page_writes: "on",
    autovacuum: "on",
    jit: "off",
    logging_collector: "off",
    log_checkpoints: "on",
    ...durabilitySettings(node.durability),
  };
  return `\n${Object.entries(settings)
    .map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`)
    .join("")}`;
}

/**
 * `interval`: the WAL writer syncs at that interval, and at most three of them may be lost (PostgreSQL manual,
 * "Asynchronous Commit"). `none` has no honest counterpart short of switching the log's syncs off.
 */
function durabilitySettings(durability: Durability): Record<string, string> {
  switch (durability.mode) {
    case "always":
      return { fsync: "on", synchronous_commit: "on" };
    case "interval":
      return {
        fsync: "on",
        synchronous_commit: "off",
        wal_writer_delay: `${Math.min(10_000, durability.intervalMs)}ms`,
      };
    case "none":
      return { fsync: "off", synchronous_commit: "off" };
  }
}

function launchAs(account: Account | undefined, postgres: string, data: string): Launch {
  const environment = { LC_ALL: "C" };
  const arguments_ = ["-D", data];
  if (!account)
    return { program: postgres, args: arguments_, env: environment, cwd: data, ready: { by: "port" } };
  const setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].find(existsSync);
  const become = setpriv
    ? [
        setpriv,
        `--reuid=${account.uid}`,
        `--regid=${account.gid}`,
        "--clear-groups",
        "--pdeathsig=QUIT",
        "--",
      ]
    : ["su", "-s", "/bin/sh", "-c", 'exec "$0" "$@"', account.name];
  const [program, ...args] = [...become, postgres, ...arguments_] as [string, ...string[]];
  return { program, args, env: environment, cwd: data, ready: { by: "port" } };
}

async function ownedDirectory(path: string, account: Account | undefined): Promise<void> {
  await mkdir(path, { mode: 0o700, recursive: true });
  await chmod(path, 0o700);
  if (account) await chown(path, account.uid, account.gid);
}

async function placeFor(wanted: string, scratchDir: string, account: Account | undefined): Promise<string> {
  if (await canRead(wanted, account)) return wanted;
  if (statSync(wanted).dev === statSync(scratchDir).dev) return scratchDir;
  throw new ScenarioError(
    `Postgres runs as ${account?.name}, who cannot enter ${wanted}, and ${scratchDir} is on another file system: give a directory that everybody can enter with --out`,
  );
}

function refuseLongSocketPath(path: string): void {
  if (Buffer.byteLength(path) <= socketPathBytesMax) return;
  throw new ScenarioError(
    `${path} is too long for a Unix socket (${socketPathBytesMax} bytes): set TMPDIR to a shorter directory`,
  );
}
