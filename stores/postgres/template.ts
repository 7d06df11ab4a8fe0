/**
 * A small Postgres cluster, made once for each version and user and copied for every run: initdb takes a second or two,
 * a copy some hundredths. It is small because every crash state is a copy of it: log segments of 1 MB, and the two
 * template databases are dropped, so that about 10 MB in 300 files are left.
 *
 * A copy is a directory with `pgdata` and `password` in it; the password is random, and the same in all copies of one
 * template, so that a copy tells itself how to connect.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
} from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { ScenarioError } from "../contract.ts";
import {
  bundledNative,
  bundledPostgresMissing,
  identityOf,
  type PostgresPrograms,
  runnable,
  serverAccount,
} from "./package.ts";

const deadlineMs = 60_000;
export const user = "acked";
export const database = "postgres";

/** What the workloads need. A key holds a string or a list; sets and transfers are in tables of their own. */
const schema = [
  `CREATE TABLE entries (k text COLLATE "C" PRIMARY KEY, v text, items text[], CHECK ((v IS NULL) <> (items IS NULL)))`,
  `CREATE TABLE sets (k text COLLATE "C", member text COLLATE "C", PRIMARY KEY (k, member))`,
  `CREATE TABLE accounts (bank text COLLATE "C", name text COLLATE "C", balance bigint NOT NULL, PRIMARY KEY (bank, name))`,
  `CREATE TABLE ledger (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, bank text COLLATE "C" NOT NULL, entry text NOT NULL)`,
];

/** One a line, for `postgres --single`. */
const shrink = [
  "UPDATE pg_database SET datistemplate = false",
  "DROP DATABASE template0",
  "DROP DATABASE template1",
  "CHECKPOINT",
];

const initdbOptions = [
  "--locale=C",
  "--encoding=UTF8",
  "--auth=password",
  "--wal-segsize=1",
  "--no-sync",
  // Fewer segments that are empty and copied all the same.
  ...["-c", "min_wal_size=2MB", "-c", "max_wal_size=2MB"],
];

let making: Promise<Template> | undefined;

export interface Template {
  readonly programs: PostgresPrograms;
  /** Holds `pgdata` and `password`; to be copied, never used itself. */
  readonly directory: string;
}

/**
 * The template of this version, made if it is not in the cache.
 *
 * @throws ScenarioError when the package is missing, there is no account to run as, or initdb fails.
 */
export function postgresTemplate(): Promise<Template> {
  making ??= make().catch((error: unknown) => {
    making = undefined;
    throw error;
  });
  return making;
}

/** Copies the template into `dir`, which exists. */
export async function copyTemplate({ directory }: Template, dir: string): Promise<void> {
  await succeed("cp", ["-a", "--reflink=auto", join(directory, "pgdata"), join(directory, "password"), dir]);
}

async function make(): Promise<Template> {
  const native = bundledNative();
  if (!native) throw new ScenarioError(`Postgres cannot be run: ${bundledPostgresMissing()}`);
  const programs = await cachedPrograms(native);
  const directory = join(
    cacheDirectory(join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "acked")),
    name(native, "template"),
  );
  if (!existsSync(directory)) await makeCluster(programs, directory);
  return { programs, directory };
}

/** In place where that works, otherwise copied once to where the server's account can read it. */
async function cachedPrograms(native: string): Promise<PostgresPrograms> {
  const account = serverAccount();
  const cache = cacheDirectory(join(tmpdir(), `acked-cache-${process.getuid?.() ?? 0}`));
  const copy = join(cache, name(native, "programs"));
  const of = (root: string): PostgresPrograms => ({
    initdb: join(root, "bin", "initdb"),
    postgres: join(root, "bin", "postgres"),
    account,
  });
  if (existsSync(copy)) return of(join(copy, "postgres", "native"));
  const making = mkdtempSync(`${copy}.`);
  chmodSync(making, 0o755);
  try {
    if ((await runnable(native, making, account)) === native) return of(native);
    moveInto(making, copy);
    return of(join(copy, "postgres", "native"));
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

async function makeCluster(programs: PostgresPrograms, directory: string): Promise<void> {
  const { account } = programs;
  // Where the server's account can write; the cache may be in a home that it cannot enter.
  const scratch = mkdtempSync(join(tmpdir(), "acked-pgtemplate-"));
  const making = `${directory}.${process.pid}-${randomBytes(4).toString("hex")}`;
  try {
    if (account) chownSync(scratch, account.uid, account.gid);
    const password = join(scratch, "password");
    await writeFile(password, randomBytes(18).toString("base64url"), { mode: 0o600 });
    if (account) chownSync(password, account.uid, account.gid);
    const data = join(scratch, "pgdata");
    const run = { ...identityOf(account), cwd: scratch, env: { LC_ALL: "C" } };
    await succeed(programs.initdb, ["-D", data, "-U", user, `--pwfile=${password}`, ...initdbOptions], run);
    const input = [...schema, ...shrink].map((statement) => `${statement};\n`).join("");
    const single = ["--single", "-j", "-D", data, "-c", "fsync=off", database];
    const said = await succeed(programs.postgres, single, { ...run, input: input.replaceAll("\n", "\n\n") });
    if (/ERROR|FATAL|PANIC/.test(said))
      throw new ScenarioError(`Postgres's template cannot be made: ${worst(said)}`);
    await succeed("cp", ["-a", scratch, making]);
    moveInto(making, directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(making, { recursive: true, force: true });
  }
}

/** Somebody else may have been faster, which is as good. */
function moveInto(made: string, place: string): void {
  try {
    renameSync(made, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
  }
}

/** Named by everything it depends on, so that it is never stale. */
function name(native: string, what: string): string {
  const hash = createHash("sha256").update(readFileSync(join(dirname(native), "package.json")));
  hash.update(JSON.stringify([native, process.arch, schema, shrink, initdbOptions, serverAccount()?.uid]));
  return `postgres-${what}-${hash.digest("hex").slice(0, 16)}`;
}

/** The wanted directory, or one below the temporary directory; nobody else may write to it. */
function cacheDirectory(wanted: string): string {
  const temporary = join(tmpdir(), `acked-cache-${process.getuid?.() ?? 0}`);
  const found = [wanted, temporary].find(isPrivatelyOurs);
  if (found) return found;
  throw new ScenarioError(
    `Postgres needs a directory of your own to keep its template in, and neither ${wanted} nor ${temporary} is one: set XDG_CACHE_HOME or TMPDIR`,
  );
}

function isPrivatelyOurs(directory: string): boolean {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const status = lstatSync(directory);
    return status.isDirectory() && status.uid === process.getuid?.() && (status.mode & 0o022) === 0;
  } catch {
    return false;
  }
}

interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly gid?: number;
  readonly input?: string;
}

/** Everything it said. */
async function succeed(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const run = await execa(program, [...args], {
    ...options,
    reject: false,
    all: true,
    timeout: deadlineMs,
    cleanup: true,
  });
  const said = String(run.all ?? "");
  if (run.exitCode === 0) return said;
  throw new ScenarioError(`${program.split("/").at(-1)} failed: ${worst(said) || run.shortMessage}`);
}

function worst(said: string): string {
  const lines = said.split("\n").filter((line) => line.trim() !== "");
  return (lines.find((line) => /ERROR|FATAL|PANIC|error/.test(line)) ?? lines.at(-1) ?? "").trim();
}
