/**
 * Builds the server that puts the installed SQLite behind RESP (server.c, database.c) on first use, into a cache of
 * this user's. The library is loaded at run time, so that no header and no SQLite of acked's own is needed.
 *
 * The cached program is named by a hash of sources, compiler, flags and architecture, so it is never stale; it is
 * compiled under a temporary name and renamed into place, so that any number of processes may build at once.
 */
import { createHash, randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { packageRoot } from "../../harness/package-root.ts";
import { ScenarioError } from "../contract.ts";
import { findProgram } from "../resp.ts";

const sources = ["server.c", "database.c"];
const hashed = [...sources, "database.h"];
const flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra"];
const libraries = ["-ldl"];
const compileDeadlineMs = 60_000;
const versionDeadlineMs = 5_000;
const getLibrary = "install SQLite, for example with: apt-get install sqlite3";
const getCompiler = "install one, for example with: apt-get install gcc libc6-dev, or set CC";

const source = (name: string) => join(packageRoot, "stores", "sqlite", name);

/** The server, and the version of the SQLite it loads. */
export interface SqliteServer {
  readonly program: string;
  readonly version: string;
}

let building: Promise<SqliteServer> | undefined;

/**
 * The server, compiled if it is not in the cache, and tried.
 *
 * @throws ScenarioError with what is missing here and how to get it.
 */
export function buildServer(): Promise<SqliteServer> {
  building ??= build().catch((error: unknown) => {
    building = undefined; // the next call may find what was missing
    throw error;
  });
  return building;
}

async function build(): Promise<SqliteServer> {
  if (process.platform !== "linux") {
    throw new ScenarioError(`the SQLite store works on Linux only, and this is ${process.platform}`);
  }
  const compiler = findCompiler();
  if (!compiler)
    throw new ScenarioError(`the SQLite store needs a C compiler, and none was found; ${getCompiler}`);
  const program = join(cacheDirectory(), `sqlite-server-${fingerprint(compiler)}`);
  if (!isFile(program)) await compile(compiler, program);
  const asked = await execa(program, ["--version"], { reject: false, all: true, timeout: versionDeadlineMs });
  if (asked.exitCode !== 0) {
    throw new ScenarioError(`SQLite cannot be used: ${firstLine(asked.all ?? "")}; ${getLibrary}`);
  }
  return { program, version: asked.stdout.trim() };
}

/** `$CC` (which may be "ccache gcc"), cc, gcc or clang: the first that is there. */
function findCompiler(): readonly string[] | undefined {
  const chosen = (process.env.CC ?? "").split(/\s+/).filter((word) => word !== "");
  return [chosen, ["cc"], ["gcc"], ["clang"]].find(([program]) => program && findProgram(program));
}

async function compile(compiler: readonly string[], program: string): Promise<void> {
  const temporary = `${program}.${process.pid}-${randomBytes(4).toString("hex")}`;
  const [command, ...args] = compiler;
  const inputs = sources.map(source);
  try {
    const run = await execa(command!, [...args, ...flags, "-o", temporary, ...inputs, ...libraries], {
      reject: false,
      all: true,
      timeout: compileDeadlineMs,
      stdin: "ignore",
    });
    if (run.exitCode !== 0) {
      const said = run.timedOut
        ? `it took longer than ${compileDeadlineMs / 1000} s`
        : firstLine(run.all ?? "");
      throw new ScenarioError(`the SQLite store could not be compiled with ${compiler.join(" ")}: ${said}`);
    }
    renameSync(temporary, program);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function fingerprint(compiler: readonly string[]): string {
  const hash = createHash("sha256");
  for (const name of hashed)
    hash
      .update(`${name}\0`)
      .update(readFileSync(source(name)))
      .update("\0");
  const { mtimeMs, size } = statSync(findProgram(compiler[0]!)!);
  hash.update([...compiler, mtimeMs, size, ...flags, process.arch].join("\0"));
  return hash.digest("hex").slice(0, 16);
}

/** The user's cache; where that cannot be used, one below the temporary directory. Nobody else may write to it. */
function cacheDirectory(): string {
  const home = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  for (const directory of [join(home, "acked"), join(tmpdir(), `acked-cache-${process.getuid?.() ?? 0}`)]) {
    if (isPrivatelyOurs(directory)) return directory;
  }
  throw new ScenarioError(
    `the SQLite store needs a directory of your own to compile into, and neither ${home} nor ${tmpdir()} offers one: set XDG_CACHE_HOME`,
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

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function firstLine(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return (lines.find((line) => /error/i.test(line)) ?? lines[0] ?? "it said nothing").trim();
}
