/**
 * What this machine is and offers: detected once, stored with every run, shown by `acked doctor`. Nothing optional is
 * required; what is missing is named together with what it costs and how to get it.
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, statfsSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { delimiter, join } from "node:path";
import type { Machine } from "../faults/contract.ts";
import type { MachineRecord } from "./results.ts";

/** Looks a program up on PATH, without running it. */
export function findProgram(name: string): string | undefined {
  if (name.includes("/")) return isExecutable(name) ? name : undefined;
  const directories = (process.env.PATH ?? "").split(delimiter).filter((directory) => directory !== "");
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

/** The C compiler the interposer would be built with: `$CC`, cc, gcc or clang. */
export function findCompiler(): string | undefined {
  const candidates = [process.env.CC, "cc", "gcc", "clang"];
  for (const candidate of candidates) {
    const found = candidate ? findProgram(candidate) : undefined;
    if (found) return found;
  }
  return undefined;
}

/** What faults need to know to say whether they are available. */
export function detectMachine(): Machine {
  const compiler = findCompiler();
  return { platform: process.platform, root: process.getuid?.() === 0, ...(compiler ? { compiler } : {}) };
}

/** The machine as it is stored beside every figure. `directory` decides which file system is named. */
export function describeMachine(directory: string): MachineRecord {
  const compiler = findCompiler();
  const version = compiler ? compilerVersion(compiler) : undefined;
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: `${process.platform} ${release()}`,
    fileSystem: fileSystemOf(directory),
    node: process.version,
    ...(version ? { compiler: version } : {}),
  };
}

/** Names from statfs(2)'s f_type; a number where the name is not known. */
export function fileSystemOf(directory: string): string {
  const names: Record<number, string> = {
    61267: "ext4",
    1481003842: "xfs",
    2435016766: "btrfs",
    16914836: "tmpfs",
    2035054128: "overlayfs",
    801189825: "zfs",
    26985: "nfs",
  };
  try {
    const type = statfsSync(directory).type;
    return names[type] ?? `type 0x${type.toString(16)}`;
  } catch {
    return "unknown";
  }
}

/** The git commit of the checkout acked runs from, when it is one. */
export function gitCommit(directory: string): string | undefined {
  try {
    const options = {
      cwd: directory,
      stdio: ["ignore", "pipe", "ignore"] as ["ignore", "pipe", "ignore"],
      timeout: 2000,
    };
    return execFileSync("git", ["rev-parse", "--short=12", "HEAD"], options).toString().trim();
  } catch {
    return undefined;
  }
}

function compilerVersion(compiler: string): string | undefined {
  try {
    const options = { stdio: ["ignore", "pipe", "ignore"] as ["ignore", "pipe", "ignore"], timeout: 5000 };
    return execFileSync(compiler, ["--version"], options).toString().split("\n")[0];
  } catch {
    return undefined;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
