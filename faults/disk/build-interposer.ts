/**
 * Builds the interposer (faults/native/) on first use, into a cache of this user's.
 *
 * The cached file is named by a hash of sources, compiler, flags and architecture, so it is never stale. It is compiled
 * under a temporary name and renamed into place: any number of processes may build at once, without a lock, and none
 * ever sees half a library. LD_PRELOAD splits its value at spaces and colons, silently; a cache path with either is not
 * used.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { execa } from "execa";
import { nativeSource } from "../../harness/package-root.ts";

const translationUnits = ["interposer.c", "files.c", "rules.c"];
const headers = ["control.h", "files.h", "rules.h"];
const flags = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-U_FORTIFY_SOURCE", "-Wall"];
const libraries = ["-ldl"];
const compileDeadlineMs = 60_000;
const howToGetOne = "install gcc (Debian, Ubuntu: apt-get install gcc libc6-dev) or set CC";

/** A C compiler, as a command with its first arguments (`CC` may be "ccache gcc"), and what it says it is. */
export interface Compiler {
  readonly command: readonly [string, ...string[]];
  readonly version: string;
}

let building: Promise<string> | undefined;

/**
 * Path of the interposer's library, compiled if it is not in the cache.
 *
 * @throws Error with one sentence when there is no compiler here, or with the first line of what it said.
 */
export function buildInterposer(): Promise<string> {
  building ??= build().catch((error: unknown) => {
    building = undefined; // the next call may find a compiler
    throw error;
  });
  return building;
}

/** The first of `$CC`, cc, gcc and clang that runs; `undefined` when none does. */
export async function findWorkingCompiler(): Promise<Compiler | undefined> {
  const chosen = (process.env.CC ?? "").split(/\s+/).filter((word) => word !== "");
  for (const command of [chosen, ["cc"], ["gcc"], ["clang"]]) {
    const [program, ...args] = command;
    if (program === undefined) continue;
    const asked = await execa(program, [...args, "--version"], {
      reject: false,
      timeout: 10_000,
      stdin: "ignore",
    });
    if (asked.exitCode === 0) return { command: [program, ...args], version: asked.stdout };
  }
  return undefined;
}

async function build(): Promise<string> {
  if (process.platform !== "linux")
    throw new Error(`the interposer works on Linux only, and this is ${process.platform}`);
  const compiler = await findWorkingCompiler();
  if (!compiler) throw new Error(`the interposer needs a C compiler, and none was found: ${howToGetOne}`);
  const library = join(cacheDirectory(), `interposer-${fingerprint(compiler)}.so`);
  if (!existsSync(library)) await compile(compiler, library);
  return library;
}

async function compile({ command }: Compiler, library: string): Promise<void> {
  const [program, ...args] = command;
  const temporary = `${library}.${process.pid}-${randomBytes(4).toString("hex")}`;
  const inputs = translationUnits.map(nativeSource);
  const all = [...args, ...flags, "-o", temporary, ...inputs, ...libraries];
  try {
    const run = await execa(program, all, {
      reject: false,
      all: true,
      timeout: compileDeadlineMs,
      stdin: "ignore",
    });
    if (run.exitCode !== 0) {
      const said = run.timedOut
        ? `it took longer than ${compileDeadlineMs / 1000} s`
        : firstComplaint(run.all ?? "");
      throw new Error(`the interposer could not be compiled with ${command.join(" ")}: ${said}`);
    }
    chmodSync(temporary, 0o755); // a store that runs as another user loads it too
    renameSync(temporary, library);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function firstComplaint(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return (lines.find((line) => /error/i.test(line)) ?? lines[0] ?? "it said nothing").trim();
}

function fingerprint(compiler: Compiler): string {
  const hash = createHash("sha256");
  for (const name of [...translationUnits, ...headers]) {
    hash
      .update(`${basename(name)}\0`)
      .update(readFileSync(nativeSource(name)))
      .update("\0");
  }
  hash.update([...compiler.command, compiler.version, ...flags, process.arch].join("\0"));
  return hash.digest("hex").slice(0, 16);
}

/** The user's cache; where that cannot be used, one below the temporary directory that nobody else can write to. */
function cacheDirectory(): string {
  const home = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const user = process.getuid?.() ?? 0;
  const temporary = `acked-cache-${user}`;
  for (const directory of [join(home, "acked"), join(tmpdir(), temporary), join("/tmp", temporary)]) {
    if (!/[\s:]/.test(directory) && isPrivatelyOurs(directory)) return directory;
  }
  throw new Error(
    `the interposer needs a directory of your own without spaces or colons in its path; neither ${home} nor ${tmpdir()} offers one: set XDG_CACHE_HOME`,
  );
}

/** What is loaded into a store's processes must not be writable by others. */
function isPrivatelyOurs(directory: string): boolean {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const status = lstatSync(directory);
    accessSync(directory, constants.W_OK | constants.X_OK);
    return status.isDirectory() && status.uid === process.getuid?.() && (status.mode & 0o022) === 0;
  } catch {
    return false;
  }
}
