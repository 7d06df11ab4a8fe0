/**
 * Comes to a finding's crash state again, from the files of the run directory alone: follows the trace to the event, makes
 * the state that was chosen, recovers it and judges what came back. The state is compared file by file (size and SHA-256)
 * with what was recorded when it was found, so that *reproduced* means the same bytes, on this machine or another.
 *
 * Recoveries are the store's own, so a store that recovers differently from the same bytes is *not reproduced*, and the
 * sentence says that the bytes were the same.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Store } from "../../../stores/contract.ts";
import { findWorkloads } from "../../../workloads/index.ts";
import type { Finding } from "../../checkers/contract.ts";
import type { CrashStateFinding } from "../../results.ts";
import { sceneNames } from "../coverage.ts";
import type { DiskImage, DiskModel } from "../disk/disk-model.ts";
import { rootDirectory } from "../disk/disk-names.ts";

import type { StatePath } from "../explore-findings.ts";
import { readBackRequests, StateJudge } from "../judge/judge-state.ts";
import { type Recovered, RecoveredValues } from "../judge/judge-state-values.ts";
import { placeOperations } from "../judge/obligations.ts";
import {
  inProcess,
  type Recovery,
  type StateRecoverer,
  UndecidedRecovery,
} from "../recover/explore-recovery.ts";
import { ProcessRecovery } from "../recover/recover-process.ts";
import { TracedStart } from "../recover/traced-start.ts";
import {
  type CrashChoice,
  type CrashState,
  crashStateOf,
  liveImage,
  modelAt,
} from "../states/crash-state.ts";
import { CrashStates } from "../states/enumerate.ts";
import { profileByName } from "../states/profiles/index.ts";
import { promiseInTrace } from "../traced/promise-in-trace.ts";
import { imageOfBase, type TracedRunFiles } from "../traced/traced-run-files.ts";

/** One file of a crash state. */
export interface StateFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: string;
}

/** What a finding keeps of its state: how to come there, and what must be found there. */
export interface RecordedState extends StatePath {
  /** Every file that a name leads to, sorted by path; absent when there are too many to list. */
  readonly files?: readonly StateFile[];
  /** SHA-256 over all of them. */
  readonly sha256: string;
}

export interface ReplayedFinding {
  readonly finding: CrashStateFinding;
  readonly reproduced: boolean;
  /** What was compared, or the first difference. */
  readonly sentence: string;
}

/** More files than this are kept as one digest. */
const filesListed = 64;

/** Follows findings to their states. Holds a recoverer: close it. */
export class StateReplayer {
  readonly #files: TracedRunFiles;
  readonly #base: DiskImage;
  readonly #values: RecoveredValues;
  readonly #recoverer: StateRecoverer;
  readonly #powerLoss: StateJudge;
  readonly #processCrash: StateJudge;
  readonly #close: () => Promise<void>;

  /** @param runsDir where processes that must be cleaned up are written down. */
  static async open(files: TracedRunFiles, store: Store, runsDir: string): Promise<StateReplayer> {
    const { record } = files;
    const workloads = findWorkloads(record.workloads);
    const values = new RecoveredValues(readBackRequests(workloads, record.epoch, files.history));
    const { durability } = record;
    if (store.recoverable) {
      const recoverer = await inProcess(store.recoverable, durability, values);
      return new StateReplayer(files, store, values, recoverer, async () => {});
    }
    const recoverer = new ProcessRecovery({ store, durability, values, runsDir });
    return new StateReplayer(files, store, values, recoverer, () => recoverer.close());
  }

  private constructor(
    files: TracedRunFiles,
    store: Store,
    values: RecoveredValues,
    recoverer: StateRecoverer,
    close: () => Promise<void>,
  ) {
    const { record, history, trace } = files;
    this.#files = files;
    this.#base = imageOfBase(files.base, files.directory.baseDir);
    this.#values = values;
    this.#recoverer = recoverer;
    this.#close = close;
    const common = {
      workloads: findWorkloads(record.workloads),
      promise: promiseInTrace(store, files),
      obligations: placeOperations(history, trace, record.startNs),
      values,
      epoch: record.epoch,
    };
    this.#powerLoss = new StateJudge({ ...common, crash: "powerLoss" });
    this.#processCrash = new StateJudge({ ...common, crash: "processCrash" });
  }

  close(): Promise<void> {
    return this.#close();
  }

  /** The path to a state, with what is found there. @throws Error when the trace does not lead there. */
  async recorded(path: StatePath): Promise<RecordedState> {
    const { image } = await this.#stateAt(path);
    const files = manifest(image);
    const sha256 = digest(files.map((file) => `${file.path} ${file.size} ${file.sha256}\n`).join(""));
    return { ...path, ...(files.length <= filesListed ? { files } : {}), sha256 };
  }

  /**
   * The same kind of finding at the same moment, with as little lost as possible, and nothing torn if that will do. The
   * finding itself when no state of that crash point shows it with less, or the time (ms) is over first.
   */
  async simplest(finding: CrashStateFinding, budgetMs: number): Promise<CrashStateFinding> {
    const { scene, event, choice, crashedAt } = finding.state as StatePath;
    if (scene !== sceneNames.powerLoss || !choice || crashedAt !== undefined) return finding;
    const endsAt = performance.now() + budgetMs;
    const model = modelAt(this.#base, this.#files.trace.events, choice.event);
    const { states } = new CrashStates(model, profileByName(choice.profile), this.#files.record.seed).now();
    const before = { lost: finding.notOnDisk.length, torn: isTorn(choice) };
    const candidates = states
      .map((state) => ({ state, ...state.describe(), torn: isTorn(state.choice) }))
      .map((candidate) => ({ ...candidate, lost: candidate.notOnDisk.length }))
      .filter((candidate) => bySimplicity(candidate, before) < 0)
      .sort(bySimplicity);
    for (const { state, onDisk, notOnDisk } of candidates) {
      if (performance.now() > endsAt) break;
      const recoveries = await this.#recoverer.recoverTwice(state.image).catch((error: unknown) => {
        if (error instanceof UndecidedRecovery) return undefined;
        throw error;
      });
      if (!recoveries) break;
      const { first } = recoveries;
      const found = this.#judged(first, this.#powerLoss, event).find(({ kind }) => kind === finding.kind);
      if (!found) continue;
      const sentence = `power loss after event ${event}: ${found.sentence}`;
      const path: StatePath = { formatVersion: 1, scene, event, choice: state.choice };
      return { ...finding, ...found, sentence, onDisk, notOnDisk, state: path };
    }
    return finding;
  }

  async replay(finding: CrashStateFinding): Promise<ReplayedFinding> {
    const not = (why: string) => ({ finding, reproduced: false, sentence: `not reproduced: ${why}` });
    const recorded = finding.state as RecordedState | undefined;
    if (recorded?.formatVersion !== 1) {
      return not(
        recorded === undefined
          ? "the finding does not say which crash state it was made at"
          : `its crash state has format version ${recorded.formatVersion}, and this acked reads version 1`,
      );
    }
    let now: RecordedState;
    let findings: readonly Finding[];
    try {
      now = await this.recorded(recorded);
      findings = await this.#judge(recorded);
    } catch (error) {
      return not((error as Error).message);
    }
    const difference = firstDifference(recorded, now);
    if (difference) return not(`first difference in the crash state: ${difference}`);
    // A program's last words hold times and process numbers.
    const same = findings.find(
      ({ kind, sentence }) =>
        kind === finding.kind && (kind === "did-not-recover" || finding.sentence.endsWith(sentence)),
    );
    if (same) {
      const { size, bytes } = { size: now.files?.length ?? 0, bytes: totalOf(now) };
      const what = now.files ? `${size} files of ${bytes} bytes, ` : "";
      return {
        finding,
        reproduced: true,
        sentence: `reproduced: the same crash state (${what}sha256 ${now.sha256.slice(0, 16)}) after event ${finding.event}, and the same ${finding.kind}`,
      };
    }
    const instead = findings[0] ? `${findings[0].kind}: ${findings[0].sentence}` : "nothing wrong";
    return not(`the crash state has the same bytes, and recovering it showed ${instead}`);
  }

  async #judge(path: StatePath): Promise<readonly Finding[]> {
    const { scene, event } = path;
    const { image, served } = await this.#stateAt(path);
    if (scene === sceneNames.served && path.again === undefined) {
      const { recovery } = await this.#recoverer.follow(this.#live(path));
      return this.#judged(recovery, this.#processCrash, event);
    }
    const { first, second } = await this.#recoverer.recoverTwice(image);
    if (scene === sceneNames.twice && first.recovered && second) {
      if (second.refused !== undefined) return [refusal(second.refused)];
      return this.#values.firstDifference(first.recovered, second.recovered) < 0 ? [] : [notRepeatable];
    }
    if (served && first.recovered)
      return this.#powerLoss.judgeServed(served, first.recovered, event).findings;
    return this.#judged(first, this.#powerLoss, event);
  }

  #judged(recovery: Recovery, judge: StateJudge, event: number): readonly Finding[] {
    if (recovery.refused !== undefined) return [refusal(recovery.refused)];
    return judge.judge(recovery.recovered, event).findings;
  }

  /** The disk in which the path ends, and what a restart on the way served. */
  async #stateAt(path: StatePath): Promise<{ image: DiskImage; served?: Recovered }> {
    if (path.crashedAt !== undefined) return this.#afterServing(path);
    if (path.choice === undefined) throw new Error("it does not say what the power loss left on the disk");
    const model = modelAt(this.#base, this.#files.trace.events, path.choice.event);
    const state = crashStateOf(model, path.choice);
    return { image: path.again ? await this.#interrupted(state, path) : state.image };
  }

  async #afterServing(path: StatePath): Promise<{ image: DiskImage; served?: Recovered }> {
    const { recovery, model } = await this.#recoverer.follow(this.#live(path));
    const ended = this.#startOf(path)?.follow(this.#live(path)) ?? model;
    const image = path.again ? crashStateOf(ended, path.again).image : liveImage(ended);
    return { image, ...(recovery.recovered ? { served: recovery.recovered } : {}) };
  }

  /** The start that was traced when the finding was made; undefined where recovery in process does the same again. */
  #startOf({ start }: StatePath): TracedStart | undefined {
    if (start === undefined) return undefined;
    if (!/^\d+$/.test(start)) throw new Error(`it names a start "${start}", which is no number`);
    return TracedStart.read(join(this.#files.directory.startsDir, start));
  }

  #live(path: StatePath): DiskModel {
    return modelAt(this.#base, this.#files.trace.events, path.crashedAt!).fork(path.inFlight ?? "happened");
  }

  /** What the second power loss left while the first state was being recovered. */
  async #interrupted(state: CrashState, path: StatePath): Promise<DiskImage> {
    const { again } = path;
    let found: CrashState | undefined;
    let why = `the recovery does not come to its disk call ${again!.event}`;
    const lookIn = (model: DiskModel) => {
      if (found || model.event !== again!.event) return;
      try {
        found = crashStateOf(model, again!);
        // The model goes on: what is needed of the state is made now.
        void found.image;
      } catch (error) {
        why = (error as Error).message;
      }
    };
    const start = this.#startOf(path);
    if (start) start.follow(undefined, lookIn);
    else await this.#recoverer.follow(state.image, lookIn);
    if (!found) throw new Error(why);
    return found.image;
  }
}

interface Simplicity {
  /** Pending operations that are not on the disk. */
  readonly lost: number;
  readonly torn: boolean;
}

function bySimplicity(a: Simplicity, b: Simplicity): number {
  return Number(a.torn) - Number(b.torn) || a.lost - b.lost;
}

function isTorn({ files }: CrashChoice): boolean {
  return files.some(({ tear }) => tear !== undefined);
}

/** Which key differed, and how, is in the recorded sentence. */
const notRepeatable: Finding = { kind: "recovery-not-repeatable", operations: [], sentence: "" };

function refusal(sentence: string): Finding {
  return { kind: "did-not-recover", operations: [], sentence: `the store did not come back: ${sentence}` };
}

/** The files that names lead to, sorted by path. */
export function manifest({ files, directories }: DiskImage): StateFile[] {
  const listed: StateFile[] = [];
  const visit = (folder: number, path: string): void => {
    for (const [name, id] of directories.get(folder) ?? []) {
      const file = files.get(id)!;
      const place = path === "" ? name : `${path}/${name}`;
      if (file.directory) {
        listed.push({ path: `${place}/`, size: 0, sha256: "" });
        visit(id, place);
      } else {
        const bytes = file.content.whole();
        listed.push({ path: place, size: bytes.length, sha256: digest(bytes) });
      }
    }
  };
  visit(rootDirectory, "");
  return listed.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** `undefined` when the state is the same. */
function firstDifference(recorded: RecordedState, now: RecordedState): string | undefined {
  if (recorded.sha256 === now.sha256) return undefined;
  const were = new Map((recorded.files ?? []).map((file) => [file.path, file]));
  const are = new Map((now.files ?? []).map((file) => [file.path, file]));
  for (const path of [...new Set([...were.keys(), ...are.keys()])].sort()) {
    const [was, is] = [were.get(path), are.get(path)];
    if (was?.sha256 === is?.sha256 && was?.size === is?.size) continue;
    return `${path} was ${describe(was)}, and is ${describe(is)} now`;
  }
  return `its digest was ${recorded.sha256.slice(0, 16)}, and is ${now.sha256.slice(0, 16)} now`;
}

function describe(file: StateFile | undefined): string {
  return file ? `${file.size} bytes with sha256 ${file.sha256.slice(0, 16)}` : "not there";
}

function totalOf({ files = [] }: RecordedState): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

function digest(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
