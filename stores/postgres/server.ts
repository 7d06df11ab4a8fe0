/**
 * One PostgreSQL server on a data directory of its own, started for a test: as the account that it may run as, with
 * settings that let every call be seen, in an IPC namespace that ends with it. What both a single store (store.ts) and a
 * member of a replicated pair (replica.ts) are launched by.
 *
 * It does not make the data directory: that is a copy of the template (template.ts), or of another member.
 */
import { chmodSync, existsSync, lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import pg from "pg";
import type { Client, Endpoint, Launch, NodeSettings } from "../contract.ts";
import { RefusedToServe, ScenarioError } from "../contract.ts";
import { connectPostgres } from "./client.ts";
import { type Account, canRead } from "./package.ts";
import { copyTemplate, database, postgresTemplate, user } from "./template.ts";

const probeMs = 5000;

/** The password of the cluster that was started last; all copies of one template have the same. */
let password = "";

/** A setting's name and what it is set to on the command line, where no file can change it. */
export type ServerSettings = Readonly<Record<string, string | number>>;

function settingsOf(node: NodeSettings, sharedMemory: string): ServerSettings {
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
  };
}

/**
 * How to start the server on `node.dir`, which gets a copy of the template when it has no data yet.
 *
 * @param special settings beyond those that every server of acked has, or other than they are.
 * @throws ScenarioError with what to do, when it cannot run here.
 */
export async function launchServer(node: NodeSettings, special: ServerSettings): Promise<Launch> {
  const template = await postgresTemplate();
  const { account, postgres } = template.programs;
  const data = join(node.dir, "pgdata");
  if (!existsSync(data)) await copyTemplate(template, node.dir);
  removeUselessLock(data);
  await giveTo(account, node.dir, data);
  password = readFileSync(join(node.dir, "password"), "utf8");
  const { prefix, sharedMemory } = await isolation(account);
  const settings = Object.entries({ ...settingsOf(node, sharedMemory), ...special }).flatMap(
    ([name, value]) => ["-c", `${name}=${value}`],
  );
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
    (await connectServer(endpoint, probeMs)).close();
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof pg.DatabaseError && cause.code !== "57P03") throw new RefusedToServe(cause.message);
    throw error;
  }
}

/** Opens a client of the server that is there, of any or only of one that leads; rejects by the deadline (ms). */
export function connectServer(
  endpoint: Endpoint,
  deadlineMs: number,
  only: "any server" | "a leader" = "any server",
): Promise<Client> {
  return connectPostgres(endpoint, credentials(), deadlineMs, only);
}

/** What lets a superuser in on every server that this process has launched. */
export function credentials(): {
  readonly user: string;
  readonly password: string;
  readonly database: string;
} {
  return { user, password, database };
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
