/**
 * `--power-cut real`: holds the model of power loss to the kernel. A program works on a real ext4 and a real XFS (loop
 * mounts) under the tracing interposer; at a random moment the file system is stopped by its own shutdown request, with
 * nothing flushed; it is mounted again, and what is on it must be a state that the profile allows at that moment of the
 * trace. Any other state is a failure of acked's model, and is kept. The same is done with a store under load, which is
 * then started on what is there: what it lost of what it had acknowledged is a finding about the store. A third
 * experiment fills the device below a file system, for real failures of fsync.
 *
 * What it does not show: caches and torn sectors of real devices, ext4's other modes, and everything the kernel was not
 * caught doing. Needs root, loop devices, mkfs, mount and unshare, and a C compiler; else it is skipped, with the reason.
 *
 * Nothing is left behind: all mounts are in a mount namespace that ends with the last process in it, and the directory
 * of the images is written down (harness/supervisor/active.ts) before it is made.
 */

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { buildInterposer, buildPowerCut } from "../../../faults/index.ts";
import { ScenarioError } from "../../../stores/contract.ts";
import type { Finding } from "../../checkers/contract.ts";
import { childProgram } from "../../package-root.ts";
import type { ResolvedScenario } from "../../scenario.ts";
import { openActiveRecord } from "../../supervisor/active.ts";
import { killTreeAndWait, ownStartTime } from "../../supervisor/process-tree.ts";
import type { Loss } from "../judge/judge-state.ts";
import type { FileSystem } from "./mounted-image.ts";

export interface RealityOptions {
  /** Where `.active/` is. */
  readonly runsDir: string;
  /** States outside the model are kept in `reality/` below it, with trace, base image and files. */
  readonly runDir: string;
  readonly seed: number;
  /** Power cuts under a program that works on files, for each file system. */
  readonly cuts: number;
  /** Power cuts under a store. */
  readonly store?: RealityStore;
  /** No further power cut under the store begins later than that after the beginning. */
  readonly seconds: number;
  /** Try the rules of failed syncs, too. Default true. */
  readonly failingSyncs?: boolean;
  /** Default: every one that this machine can make. */
  readonly fileSystems?: readonly FileSystem[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (sentence: string) => void;
}

export interface RealityStore {
  /** From `resolveScenario`, with no faults. */
  readonly scenario: ResolvedScenario;
  /** At most so many for each file system, and at least two. */
  readonly cuts: number;
}

/** One power cut. */
export interface RealCut {
  readonly fileSystem: FileSystem;
  readonly profile: string;
  readonly seed: number;
  /** Events traced, and the first and last at which the cut may have happened. */
  readonly events: number;
  readonly from: number;
  readonly to: number;
  /** Calls that were pending at the cut under the profile. */
  readonly pending: number;
  readonly verdict: "allowed" | "outside" | "unknown";
  /** outside: how the nearest allowed state differs. unknown: why. */
  readonly why?: string;
  /** outside: where the evidence is. */
  readonly kept?: string;
}

/** One power cut under a store: it, and what it served afterwards, are judged apart. */
export interface RealStoreCut extends RealCut {
  /** Operations that had been acknowledged when the power was cut. */
  readonly acknowledged: number;
  /** How often the store had been killed and restarted before. */
  readonly restarts: number;
  /** wrong: a finding about the store. */
  readonly recovered: "right" | "wrong" | "unknown";
  /** unknown: why. */
  readonly unsure?: string;
  readonly findings: readonly Finding[];
  /** What was lost and may be lost under the store's promise. */
  readonly loss: Loss;
}

/** One rule of failed syncs, tried on a device that was full. */
export interface RealSyncFailure {
  readonly fileSystem: FileSystem;
  /** The rule, in words. */
  readonly rule: string;
  readonly verdict: "holds" | "broken" | "unknown";
  readonly why?: string;
}

export interface RealityResults {
  /** False: a state outside the model was seen, which is a failure of acked's own (exit 4). */
  readonly verdict: boolean | "unknown";
  /** Why it was not done here, and how to get it; absent when it was. */
  readonly skipped?: string;
  /** What was left out here and how to get it, one sentence each. */
  readonly leftOut: readonly string[];
  readonly cuts: readonly RealCut[];
  /** Of the store. False: it lost, or showed, what it must not. Absent when no store was asked for. */
  readonly storeVerdict?: boolean | "unknown";
  readonly storeCuts: readonly RealStoreCut[];
  readonly syncFailures: readonly RealSyncFailure[];
  readonly kernel: string;
  readonly elapsedMs: number;
}

/** What the child in the mount namespace is told, as JSON in its argument. */
export interface RealityOrder {
  readonly scratch: string;
  readonly keep: string;
  readonly seed: number;
  readonly cuts: number;
  readonly store?: RealityStore;
  readonly seconds: number;
  readonly failingSyncs: boolean;
  readonly library: string;
  readonly powerCut: string;
  readonly fileSystems: readonly FileSystem[];
}

/** What it answers, one JSON document a line. */
export type RealityLine =
  | { readonly cut: RealCut }
  | { readonly storeCut: RealStoreCut }
  | { readonly syncFailure: RealSyncFailure }
  /** What is asked for cannot be done. */
  | { readonly refused: string }
  | { readonly progress: string };

const allFileSystems: readonly FileSystem[] = ["ext4", "xfs"];
const packageOf: Readonly<Record<FileSystem, string>> = { ext4: "e2fsprogs", xfs: "xfsprogs" };
/** ms for one cut, for one under a store (two are made even if the time is over), and for everything else. */
const cutDeadlineMs = 20_000;
const storeCutDeadlineMs = 60_000;
const restDeadlineMs = 120_000;

/**
 * Cuts the power of real file systems and compares.
 *
 * @throws ScenarioError when the store cannot be traced here or does not start; Error with one sentence when a program
 * fails that had been found. Nothing is left mounted.
 */
export async function cutPowerForReal(options: RealityOptions): Promise<RealityResults> {
  const startedAt = performance.now();
  const empty = { cuts: [], storeCuts: [], syncFailures: [], leftOut: [], kernel: release() };
  const skipped = await whySkipped();
  if (skipped !== undefined) return { ...empty, verdict: "unknown", skipped, elapsedMs: 0 };
  const wanted = options.fileSystems ?? allFileSystems;
  const fileSystems = wanted.filter((name) => programPath(`mkfs.${name}`) !== undefined);
  const leftOut = wanted
    .filter((name) => !fileSystems.includes(name))
    .map((name) => `${name}: there is no mkfs.${name} here; install ${packageOf[name]}`);
  const [library, powerCut] = await Promise.all([buildInterposer(), buildPowerCut()]);
  const record = openActiveRecord(options.runsDir);
  const scratch = join(tmpdir(), `acked-reality-${process.pid}-${randomBytes(4).toString("hex")}`);
  try {
    record.addTemporary(scratch);
    mkdirSync(scratch, { mode: 0o755 });
    const order: RealityOrder = {
      scratch,
      keep: join(resolve(options.runDir), "reality"),
      seed: options.seed,
      cuts: options.cuts,
      ...(options.store ? { store: options.store } : {}),
      seconds: options.seconds,
      failingSyncs: options.failingSyncs ?? true,
      library,
      powerCut,
      fileSystems,
    };
    const { cuts, storeCuts, syncFailures } = await inNamespace(order, record.runId, options);
    return {
      ...empty,
      leftOut,
      verdict: verdictOf([...cuts, ...storeCuts], syncFailures),
      cuts,
      ...(options.store ? { storeVerdict: storeVerdictOf(storeCuts) } : {}),
      storeCuts,
      syncFailures,
      elapsedMs: performance.now() - startedAt,
    };
  } finally {
    record.close();
  }
}

function verdictOf(cuts: readonly RealCut[], failures: readonly RealSyncFailure[]): boolean | "unknown" {
  if (cuts.some((cut) => cut.verdict === "outside") || failures.some((one) => one.verdict === "broken"))
    return false;
  const known = cuts.some((cut) => cut.verdict === "allowed");
  const unknown =
    cuts.some((cut) => cut.verdict === "unknown") || failures.some((one) => one.verdict === "unknown");
  return known && !unknown ? true : "unknown";
}

function storeVerdictOf(cuts: readonly RealStoreCut[]): boolean | "unknown" {
  if (cuts.some(({ recovered }) => recovered === "wrong")) return false;
  return cuts.length > 0 && cuts.every(({ recovered }) => recovered === "right") ? true : "unknown";
}

async function inNamespace(order: RealityOrder, runId: string, { signal, onProgress }: RealityOptions) {
  const cuts: RealCut[] = [];
  const storeCuts: RealStoreCut[] = [];
  const syncFailures: RealSyncFailure[] = [];
  let refused: string | undefined;
  let broken: string | undefined;
  const deadlineMs =
    (order.cuts * cutDeadlineMs + (order.store ? 2 * storeCutDeadlineMs : 0)) * order.fileSystems.length +
    order.seconds * 1000 +
    restDeadlineMs;
  const args = ["--mount", "--propagation", "private", "--kill-child", "--fork", "--pid", "--mount-proc"];
  const program = childProgram("harness/explore/reality/namespace.js");
  const child = execa("unshare", [...args, process.execPath, program, JSON.stringify(order)], {
    reject: false,
    timeout: deadlineMs,
    stdin: "ignore",
    // It takes no notice of the polite ones.
    killSignal: "SIGKILL",
    // By this mark the next start finds its processes, should this one be killed.
    // What it makes below a temporary directory goes away with this one's.
    env: { ACKED_RUN: runId, TMPDIR: order.scratch },
    ...(signal ? { cancelSignal: signal } : {}),
  });
  try {
    for await (const text of child) {
      const line = lineOf(text);
      // The last one of a process that was killed may be half a line.
      if (line === undefined) {
        broken = text;
        break;
      }
      if ("cut" in line) cuts.push(line.cut);
      else if ("storeCut" in line) storeCuts.push(line.storeCut);
      else if ("syncFailure" in line) syncFailures.push(line.syncFailure);
      else if ("refused" in line) refused ??= line.refused;
      else onProgress?.(line.progress);
    }
  } finally {
    // The process in the new namespace ends a moment after the one that made it, and its files are removed next.
    await killTreeAndWait({ roots: [], mark: `ACKED_RUN=${runId}`, since: ownStartTime() });
  }
  const ended = await child;
  if (refused !== undefined) throw new ScenarioError(refused);
  if ((ended.exitCode !== 0 || broken !== undefined) && !signal?.aborted) {
    const said = ended.timedOut ? `it took longer than ${deadlineMs / 1000} s` : ended.stderr.split("\n")[0];
    throw new Error(
      `the real power cuts did not come to their end: ${said || ended.shortMessage || `it said ${broken}`}`,
    );
  }
  return { cuts, storeCuts, syncFailures };
}

function lineOf(text: string): RealityLine | undefined {
  try {
    return JSON.parse(text) as RealityLine;
  } catch {
    return undefined;
  }
}

/** Why real power cuts are impossible here and how to get them; `undefined` when they are possible. */
async function whySkipped(): Promise<string | undefined> {
  if (process.platform !== "linux") return `real power cuts need Linux, and this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "real power cuts need root (mounting file systems): run it as root";
  for (const program of ["mount", "umount", "unshare"]) {
    if (programPath(program) === undefined)
      return `real power cuts need ${program}: install util-linux and mount`;
  }
  if (!existsSync("/dev/loop-control"))
    return "real power cuts need loop devices: modprobe loop, or a container with --privileged";
  if (programPath("mkfs.ext4") === undefined && programPath("mkfs.xfs") === undefined) {
    return "real power cuts need a file system to cut: install e2fsprogs (mkfs.ext4) or xfsprogs (mkfs.xfs)";
  }
  const tried = await execa("unshare", ["--mount", "--pid", "--fork", "true"], {
    reject: false,
    timeout: 10_000,
  });
  if (tried.exitCode !== 0)
    return "real power cuts need a mount namespace, and this kernel or container refuses one";
  try {
    await Promise.all([buildPowerCut(), buildInterposer()]);
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}

function programPath(name: string): string | undefined {
  const directories = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path));
}
