/**
 * PostgreSQL, the one that comes with acked, as a store under test: a real server of several processes, as its own user
 * when acked is root, in a small cluster that is copied into each data directory (template.ts).
 *
 * `postgres` keeps its defaults where durability is concerned; mode `interval:<ms>` is `synchronous_commit = off`.
 * `postgres-fsync-off` is the same server with `fsync = off`, in mode `none`: it acknowledges what is only written, and
 * its log is written before the data, but synced neither before nor after. A loss is what its manual says; a database
 * that does not start, or whose parts are of different times, is not even "a prefix".
 *
 * Segments of the log are 1 MB; an explored run checkpoints after 2 MB of log, so that segments are recycled in it. A
 * backend that dies takes the whole server with it (`restart_after_crash = off`): restarting is acked's part.
 */
import { chmodSync, existsSync, lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import pg from "pg";
import type { Durability, Endpoint, Launch, NodeSettings, Store, StorePromise } from "../contract.ts";
import { RefusedToServe, ScenarioError } from "../contract.ts";
import { connectPostgres } from "./client.ts";
import { type Account, bundledPostgresMissing, canRead } from "./package.ts";
import { copyTemplate, database, postgresTemplate, user } from "./template.ts";

const manual = "https://www.postgresql.org/docs/current";
const everything = { survives: "everything acknowledged" } as const;
/** One sync of the log writer that takes long may be part of the loss, in ms. */
const oneSyncMs = 1000;
const probeMs = 5000;

/** The password of the cluster that was started last; all copies of one template have the same. */
let password = "";

function promise(durability: Durability, fsync: boolean): StorePromise {
  const common = {
    processCrash: everything,
    gracefulStop: everything,
    failStop: false,
    detectsDamageAtRest: false,
  };
  if (!fsync) {
    return {
      ...common,
      powerLoss: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
      syncsBeforeAcknowledging: false,
      source: `"While turning off fsync is often a performance benefit, this can result in unrecoverable data corruption in the event of a power failure or system crash." ${manual}/runtime-config-wal.html`,
    };
  }
  if (durability.mode === "interval") {
    return {
      ...common,
      powerLoss: { survives: "a prefix", lossMsMax: 3 * durability.intervalMs + oneSyncMs },
      syncsBeforeAcknowledging: false,
      source: `"The duration of the risk window is limited because a background process (the “WAL writer”) flushes unwritten WAL records to disk every wal_writer_delay milliseconds. The actual maximum duration of the risk window is three times wal_writer_delay" ${manual}/wal-async-commit.html`,
    };
  }
  return {
    ...common,
    powerLoss: everything,
    syncsBeforeAcknowledging: true,
    source: `"the server waits for the transaction's WAL records to be flushed to permanent storage before returning a success indication to the client. The client is therefore guaranteed that a transaction reported to be committed will be preserved, even in the event of a server crash immediately after." ${manual}/wal-async-commit.html`,
  };
}

function settingsOf(
  node: NodeSettings,
  fsync: boolean,
  sharedMemory: string,
): Record<string, string | number> {
  const { durability } = node;
  return {
    port: node.port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: 64,
    shared_buffers: "16MB",
    dynamic_shared_memory_type: sharedMemory,
    // Everything that reads and writes files does it by plain system calls of its own: no io_uring, no workers.
    io_method: "sync",
    max_logical_replication_workers: 0,
    min_wal_size: "2MB",
    max_wal_size: node.explored ? "2MB" : "64MB",
    jit: "off",
    restart_after_crash: "off",
    logging_collector: "off",
    // Its last line is what acked tells of a server that ends: the reason, not "database system is shut down".
    log_min_messages: "fatal",
    log_error_verbosity: "terse",
    fsync: fsync ? "on" : "off",
    synchronous_commit: durability.mode === "interval" ? "off" : "on",
    ...(durability.mode === "interval" ? { wal_writer_delay: `${durability.intervalMs}ms` } : {}),
  };
}

async function launch(node: NodeSettings, fsync: boolean): Promise<Launch> {
  const { durability } = node;
  if (durability.mode === "interval" && (durability.intervalMs < 1 || durability.intervalMs > 10_000)) {
    throw new ScenarioError(
      `Postgres cannot sync its log every ${durability.intervalMs} ms: wal_writer_delay is 1 to 10000 ms, so use for example --durability interval:200`,
    );
  }
  const template = await postgresTemplate();
  const { account, postgres } = template.programs;
  const data = join(node.dir, "pgdata");
  if (!existsSync(data)) await copyTemplate(template, node.dir);
  removeUselessLock(data);
  await giveTo(account, node.dir, data);
  password = readFileSync(join(node.dir, "password"), "utf8");
  const { prefix, sharedMemory } = await isolation(account);
  const settings = Object.entries(settingsOf(node, fsync, sharedMemory)).flatMap(([name, value]) => [
    "-c",
    `${name}=${value}`,
  ]);
  const [program, ...args] = [
    ...prefix,
    "sh",
    "-c",
    onlyWithPreload,
    "sh",
    postgres,
    "-D",
    data,
    ...settings,
  ] as [string, ...string[]];
  return {
    program,
    args,
    env: { LC_ALL: "C" },
    cwd: data,
    // SIGTERM is its "smart" shutdown, which waits until every client has gone.
    stopSignal: "SIGINT",
    ready: { by: "port", probe },
  };
}

/** A server that starts says so (57P03); one that lets nobody in for another reason, damage for example, stays so. */
async function probe(endpoint: Endpoint): Promise<void> {
  try {
    (await connect(endpoint, probeMs)).close();
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof pg.DatabaseError && cause.code !== "57P03") throw new RefusedToServe(cause.message);
    throw error;
  }
}

function connect(endpoint: Endpoint, deadlineMs: number) {
  return connectPostgres(endpoint, { user, password, database }, deadlineMs);
}

/**
 * Postgres refuses to start beside a lock file that is empty or damaged, as a power loss during a start leaves it, and
 * beside one that names a process that lives. An operator who knows that no server runs removes it; acked knows, and in
 * a crash state the number may by now be anybody's.
 */
function removeUselessLock(data: string): void {
  const path = join(data, "postmaster.pid");
  if (!existsSync(path)) return;
  const pid = /^(\d+)\n/.exec(readFileSync(path, "latin1"))?.[1];
  if (pid === undefined || existsSync(`/proc/${pid}`)) rmSync(path);
}

/** A data directory rebuilt by acked belongs to acked; Postgres wants its own, readable by nobody else. */
async function giveTo(account: Account | undefined, dir: string, data: string): Promise<void> {
  chmodSync(data, 0o700);
  if (!account) return;
  chmodSync(dir, 0o755);
  if (!(await canRead(dir, account))) {
    throw new ScenarioError(
      `Postgres runs as ${account.name}, who cannot enter ${dir}: give a directory that everybody can enter with --out`,
    );
  }
  const { uid, gid } = lstatSync(join(data, "PG_VERSION"), { throwIfNoEntry: false }) ?? {};
  if (uid === account.uid && gid === account.gid) return;
  await execa("chown", ["-R", "--no-dereference", `${account.uid}:${account.gid}`, data]);
}

/**
 * What the loader cannot read it leaves out, with a message that nobody sees: the server would run untraced, and
 * be blamed for syncs that were not counted.
 */
const onlyWithPreload = `
for library in $(echo "$LD_PRELOAD" | tr : " "); do
  [ -r "$library" ] || { echo "FATAL: Postgres's account cannot read $library (set XDG_CACHE_HOME to a directory that everybody can enter)" >&2; exit 1; }
done
exec "$@"`;

interface Isolation {
  /** Programs that start the server and become it. */
  readonly prefix: readonly string[];
  readonly sharedMemory: "sysv" | "mmap";
}

let isolating: Promise<Isolation> | undefined;

/**
 * A Postgres that is killed leaves System V shared memory behind, which the next server in the same directory removes;
 * a crash state has no next one. In an IPC namespace of its own it ends with the last process. Where none can be had,
 * 56 bytes for each killed server stay until `ipcrm` or a reboot.
 */
function isolation(account: Account | undefined): Promise<Isolation> {
  isolating ??= (async () => {
    const become = account
      ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, "--clear-groups", "--pdeathsig=QUIT", "--"]
      : ["--pdeathsig=QUIT", "--"];
    const setpriv = ["setpriv", ...become];
    const identity = (await works(setpriv)) ? setpriv : account ? undefined : [];
    if (!identity) {
      throw new ScenarioError(
        "Postgres does not run as root, and setpriv is missing: apt-get install util-linux",
      );
    }
    for (const namespace of [
      ["unshare", "--ipc", "--"],
      ["unshare", "--user", "--map-current-user", "--ipc", "--"],
    ]) {
      const prefix = [...namespace, ...identity];
      if (await works(prefix)) return { prefix, sharedMemory: "sysv" as const };
    }
    return { prefix: identity, sharedMemory: "mmap" as const };
  })();
  return isolating;
}

async function works([program, ...args]: readonly string[]): Promise<boolean> {
  const { exitCode } = await execa(program!, [...args, "true"], { reject: false, timeout: 5000 });
  return exitCode === 0;
}

function postgresStore(
  options: Pick<Store, "name" | "summary" | "durabilities"> & { fsync: boolean },
): Store {
  const { fsync, ...described } = options;
  return {
    ...described,
    capabilities: ["registers", "compare-and-set", "deletes", "lists", "transactions"],
    promise: (durability) => promise(durability, fsync),
    launch: (node) => launch(node, fsync),
    connect: (endpoint, _workload, deadlineMs) => connect(endpoint, deadlineMs),
    unavailable: async () => bundledPostgresMissing(),
    logFiles: "pgdata/pg_wal/*",
    performs: fsync ? ["write", "sync"] : ["write"],
  };
}

export const postgres: Store = postgresStore({
  name: "postgres",
  summary: "the bundled PostgreSQL 18, with its defaults for durability",
  durabilities: ["always", "interval"],
  fsync: true,
});

export const postgresFsyncOff: Store = postgresStore({
  name: "postgres-fsync-off",
  summary: "the bundled PostgreSQL 18 with fsync = off: fast, and not to be trusted after a power loss",
  durabilities: ["none"],
  fsync: false,
});
