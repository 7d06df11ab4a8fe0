/**
 * Compiles the C sources of faults/native/ on first use, into a cache of this user's: the interposer, the broker, and
 * the small programs beside them.
 *
 * A cached file is named by a hash of sources, compiler, flags and architecture, so it is never stale. It is compiled
 * under a temporary name and renamed into place: any number of processes may build at once, without a lock, and none
 * ever sees half a file. LD_PRELOAD splits its value at spaces and colons, silently; a cache path with either is not
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
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { nativeSource } from "../../harness/package-root.ts";

/** What the interposer and the broker share. */
export const coreUnits: readonly string[] = [
  "process.c",
  "files.c",
  "rules.c",
  "trace.c",
  "crc32c.c",
  "failures.c",
  "pages.c",
  "writes.c",
  "reads.c",
  "copies.c",
  "syncs.c",
  "names.c",
  "sizes.c",
  "sockets.c",
  "maps.c",
];
const commonFlags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE", "-pthread"];
const compileDeadlineMs = 60_000;
const howToGetOne = "install gcc (Debian, Ubuntu: apt-get install gcc libc6-dev) or set CC";

/** One file to be compiled. */
export interface NativeTarget {
  /** `interposer`: the cached file is named by it, and so are complaints. */
  readonly name: string;
  /** `.so`, or empty for a program. */
  readonly suffix: string;
  /** Sources in faults/native/. All headers there count as used. */
  readonly units: readonly string[];
  readonly flags: readonly string[];
}

/** A C compiler, as a command with its first arguments (`CC` may be "ccache gcc"), and what it says it is. */
export interface Compiler {
  readonly command: readonly [string, ...string[]];
  readonly version: string;
}

const building = new Map<string, Promise<string>>();

/**
 * Path of the compiled file, compiled if it is not in the cache.
 *
 * @throws Error with one sentence when there is no compiler here, or with the first line of what it said.
 */
export function buildNative(target: NativeTarget): Promise<string> {
  const known = building.get(target.name);
  if (known) return known;
  const built = build(target).catch((error: unknown) => {
    building.delete(target.name); // the next call may find a compiler
    throw error;
  });
  building.set(target.name, built);
  return built;
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

async function build(target: NativeTarget): Promise<string> {
  if (process.platform !== "linux")
    throw new Error(`the ${target.name} works on Linux only, and this is ${process.platform}`);
  const compiler = await findWorkingCompiler();
  if (!compiler) throw new Error(`the ${target.name} needs a C compiler, and none was found: ${howToGetOne}`);
  const file = join(
    cacheDirectory(target.name),
    `${target.name}-${fingerprint(target, compiler)}${target.suffix}`,
  );
  if (!existsSync(file)) await compile(target, compiler, file);
  return file;
}

async function compile(target: NativeTarget, { command }: Compiler, file: string): Promise<void> {
  const [program, ...args] = command;
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString("hex")}`;
  const inputs = target.units.map(nativeSource);
  const all = [...args, ...commonFlags, ...target.flags, "-o", temporary, ...inputs, "-ldl"];
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
      throw new Error(`the ${target.name} could not be compiled with ${command.join(" ")}: ${said}`);
    }
    chmodSync(temporary, 0o755); // a store that runs as another user loads it too
    renameSync(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function firstComplaint(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return (lines.find((line) => /error/i.test(line)) ?? lines[0] ?? "it said nothing").trim();
}

function fingerprint(target: NativeTarget, compiler: Compiler): string {
  const hash = createHash("sha256");
  const headers = readdirSync(nativeSource("")).filter((name) => name.endsWith(".h"));
  for (const name of [...target.units, ...headers.sort()]) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(nativeSource(name)))
      .update("\0");
  }
  hash.update(
    [...compiler.command, compiler.version, ...commonFlags, ...target.flags, process.arch].join("\0"),
  );
  return hash.digest("hex").slice(0, 16);
}

/** The user's cache; where that cannot be used, one below the temporary directory that nobody else can write to. */
function cacheDirectory(name: string): string {
  const home = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const user = process.getuid?.() ?? 0;
  const temporary = `acked-cache-${user}`;
  const places = [join(home, "acked"), join(tmpdir(), temporary), join("/tmp", temporary)];
  const usable = places.filter((directory) => !/[\s:]/.test(directory) && isPrivatelyOurs(directory));
  // Root's home is closed to the account that a server like Postgres becomes, and what cannot be loaded is ignored.
  const anyone = user === 0 && !process.env.XDG_CACHE_HOME ? usable.find(isOpenToAll) : undefined;
  const chosen = anyone ?? usable[0];
  if (chosen) return chosen;
  throw new Error(
    `the ${name} needs a directory of your own without spaces or colons in its path; neither ${home} nor ${tmpdir()} offers one: set XDG_CACHE_HOME`,
  );
}

/** Whether every user can enter it: all of its path is searchable by others. */
function isOpenToAll(directory: string): boolean {
  const open = (path: string): boolean => (statSync(path).mode & 0o001) !== 0;
  for (let path = directory; ; path = dirname(path)) {
    if (!open(path)) return false;
    if (path === dirname(path)) return true;
  }
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
