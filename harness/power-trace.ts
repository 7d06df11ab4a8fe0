/**
 * Power loss in a live run: everything that happens in one data directory is traced from its beginning, and when nothing
 * runs any more the directory is replaced by a crash state, one of those that a file system's rules (a profile) allow at
 * the end of that trace. Which one is drawn from a number; the choice is written down beside the trace, so that the same
 * state can be built again, byte for byte (`rebuild`).
 *
 * What it does not do: explore other states or other moments (explore/explore.ts does, from a trace of its own), keep modes of files (owners become that of the directory), or decide whether what comes back is right (judge.ts).
 */
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import type { FaultParameters, Trace } from "../faults/contract.ts";
import { createTrace, readTrace, type TraceFile } from "../faults/index.ts";
import type { DiskModel } from "./explore/disk/disk-model.ts";
import {
  type CrashChoice,
  type CrashState,
  crashStateOf,
  modelAt,
  writeImage,
} from "./explore/states/crash-state.ts";
import { CrashStates, type Effort } from "./explore/states/enumerate.ts";
import { profileByName } from "./explore/states/profiles/index.ts";
import { settleInFlight } from "./explore/traced/in-flight.ts";
import { copyBase, imageOfBase, readBase } from "./explore/traced/traced-run-files.ts";
import { runDirectoryAt, writeJson } from "./run-directory.ts";

export type PowerLossOutcome =
  | { readonly lost: true; readonly evidence: Readonly<Record<string, unknown>> }
  | { readonly lost: false; readonly why: string };

/** Sparse: space is taken as it is used. */
const traceBytesMax = 256 * 2 ** 20;
/** Sentences about pending calls that the evidence keeps. */
const sentencesKept = 8;

export class PowerTrace {
  readonly #path: string;
  readonly #dataDir: string;
  readonly #trace: TraceFile;

  /** Nothing may be running in the data directory. What it holds is copied to `path`, and the trace is written there. */
  static begin(path: string, dataDir: string): PowerTrace {
    mkdirSync(path, { recursive: true });
    copyBase(dataDir, runDirectoryAt(path));
    const trace = createTrace({ path: runDirectoryAt(path).traceFile, capacityBytes: traceBytesMax });
    return new PowerTrace(path, dataDir, trace);
  }

  private constructor(path: string, dataDir: string, trace: TraceFile) {
    this.#path = path;
    this.#dataDir = dataDir;
    this.#trace = trace;
  }

  /** What the store's processes need to write the trace. */
  environment(): Readonly<Record<string, string>> {
    return this.#trace.environment();
  }

  /**
   * Replaces the directory. Nothing may be running in it, and what it holds from then on belongs to a new trace.
   *
   * @param parameters `profile`; `state`: any number, which draws one of the states; `keep: "durable"`: what was not
   *   synced is gone, all of it.
   * @param about `untraced`: names in the directory that a process writes to which is not traced; they stay as they are.
   *   `unseen`: what the front end could not see; a state that lacks it is none that the disk could be in.
   */
  lose(
    parameters: FaultParameters,
    about: { readonly untraced?: readonly string[]; readonly unseen?: readonly string[] } = {},
  ): PowerLossOutcome {
    const { untraced = [], unseen = [] } = about;
    const trace = this.#trace.read();
    const model = modelOf(this.#path, trace);
    const why = unseen[0] ?? trace.faults[0] ?? model.faults[0];
    if (why !== undefined) return { lost: false, why };
    const drawn = parameters.keep === "durable" ? "durable" : Number(parameters.state);
    const state = chosenState(model, String(parameters.profile), drawn);
    writeJson(join(this.#path, "crash-state.json"), state.choice);
    const aside = join(this.#path, "untraced");
    const kept = untraced.filter((name) => existsSync(join(this.#dataDir, name)));
    mkdirSync(aside, { recursive: true });
    for (const name of kept) renameSync(join(this.#dataDir, name), join(aside, name));
    replaceDirectory(state, this.#dataDir);
    for (const name of untraced) rmSync(join(this.#dataDir, name), { recursive: true, force: true });
    for (const name of kept) renameSync(join(aside, name), join(this.#dataDir, name));
    rmSync(aside, { recursive: true });
    const { onDisk, notOnDisk } = state.describe();
    const counts = { pending: onDisk.length + notOnDisk.length, notOnDisk: notOnDisk.length };
    const evidence = {
      ...{ event: state.point.event, ...counts, missing: notOnDisk.slice(0, sentencesKept) },
      ...(kept.length > 0 ? { untraced: kept } : {}),
    };
    return { lost: true, evidence };
  }

  /** To be called when the store was killed and is to run on in this directory: see in-flight.ts. */
  settle(): void {
    const base = readBase(runDirectoryAt(this.#path)).map(({ inode }) => inode);
    settleInFlight(this.#trace, this.#dataDir, new Set(base));
  }

  close(): void {
    this.#trace.close();
  }
}

/** Builds the state that a power loss left into an empty directory, from the files beside its trace alone. */
export function rebuild(path: string, target: string): void {
  const choice = JSON.parse(readFileSync(join(path, "crash-state.json"), "utf8")) as CrashChoice;
  const trace = readTrace(runDirectoryAt(path).traceFile);
  writeImage(crashStateOf(modelAt(imageOf(path), trace.events, choice.event), choice).image, target);
}

function modelOf(path: string, trace: Trace): DiskModel {
  return modelAt(imageOf(path), trace.events, Number.POSITIVE_INFINITY);
}

function imageOf(path: string) {
  const directory = runDirectoryAt(path);
  return imageOfBase(readBase(directory), directory.baseDir);
}

/** Few are listed, of each kind: prefixes, all but one, only one, random ones, torn pages. */
const effort: Effort = { exhaustive: 128, single: 24, random: 24, tears: 8 };

/** @param drawn chooses one of those listed; "durable": the first, in which nothing of what was pending is there. */
function chosenState(model: DiskModel, profile: string, drawn: number | "durable"): CrashState {
  const { states } = new CrashStates(model, profileByName(profile), 1, effort).now();
  return states[drawn === "durable" ? 0 : drawn % states.length]!;
}

/** The directory itself stays, with its owner and mode. */
function replaceDirectory(state: CrashState, dataDir: string): void {
  for (const name of readdirSync(dataDir)) rmSync(join(dataDir, name), { recursive: true, force: true });
  writeImage(state.image, dataDir);
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(dataDir);
  for (const name of readdirSync(dataDir, { recursive: true, encoding: "utf8" })) {
    chownSync(join(dataDir, name), uid, gid);
  }
}
