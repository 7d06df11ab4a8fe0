/**
 * A power cut under a store: it runs on the mounted file system under the real load of a traced run, and the file system
 * is stopped while requests are in flight. In half of the cuts the store has been killed and restarted before, so that
 * what was pending then may be pending still.
 *
 * Two questions. Is what was found on the disk a state that the model allows at that moment of the trace? That judges
 * acked. And the store is started on it, twice: does it serve what it had acknowledged by then? That judges the store,
 * with the checks of any power loss (judge-state.ts), and needs no model.
 *
 * Both are asked at every event at which the power may have been lost; one at which all is well is enough. What the store
 * acknowledged after the cut, on a disk that had stopped, is not asked for.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../../../stores/contract.ts";
import { findWorkloads } from "../../../workloads/index.ts";
import type { FindingKind } from "../../checkers/contract.ts";
import { seededRandom } from "../../measure/random.ts";
import { type RunDirectory, runDirectoryAt, writeJson } from "../../run-directory.ts";
import type { Resolution } from "../../scenario.ts";
import { DiskModel } from "../disk/disk-model.ts";

import { type Judgement, nothingLost, readBackRequests, StateJudge } from "../judge/judge-state.ts";
import { RecoveredValues } from "../judge/judge-state-values.ts";
import { type Obligations, placeOperations } from "../judge/obligations.ts";
import { ProcessRecovery } from "../recover/recover-process.ts";
import { profileByName } from "../states/profiles/index.ts";
import { tracedRun } from "../traced/traced-run.ts";
import {
  imageOfBase,
  readTracedRun,
  readTraceRecord,
  type TracedRunFiles,
} from "../traced/traced-run-files.ts";
import {
  type CutInterval,
  type CutMoment,
  cutMoments,
  keepEvidence,
  profileOf,
  stopFileSystem,
  takeDown,
} from "./cut-moments.ts";
import { type FileSystem, lookAt, type MountedImage, run } from "./mounted-image.ts";
import type { RealityOrder, RealStoreCut } from "./power-cut.ts";

/** Requests before the kill (if there is one), and from there to the cut: at least, and at most so many more. */
const requests = { least: 60, more: 700 } as const;
/** ms of load after which the power is cut all the same: a slow store gets fewer requests. */
const loadMs = 4000;
/** ms: the clients stand still while the program that cuts is started, and must be at full load again. */
const cutDelayMs = { least: 15, more: 60 } as const;
const syncDeadlineMs = 30_000;
/** On the mounted file system; the cluster of a traced run makes the second part. */
const [storeDirectory, dataDirectory] = ["store", join("store", "e0-n1")];

/** One store, one power cut. The image is mounted before and after. */
export async function cutStore(
  order: RealityOrder,
  image: MountedImage,
  resolution: Resolution,
  seed: number,
): Promise<RealStoreCut> {
  const { root, fileSystem } = image;
  const random = seededRandom(seed);
  const some = () => requests.least + Math.floor(random() * requests.more);
  const delayMs = cutDelayMs.least + Math.floor(random() * cutDelayMs.more);
  const killAfter = random() < 0.5 ? some() : undefined;
  const place = join(order.scratch, `${fileSystem}-store`);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  const data = join(root, storeDirectory);
  rmSync(data, { recursive: true, force: true });
  mkdirSync(data);
  await run("sync", ["-f", root]);
  const directory: RunDirectory = { ...runDirectoryAt(place), dataDir: data };
  const scenario = { ...resolution.scenario, seed };
  writeJson(directory.scenarioFile, scenario);
  let interval: CutInterval | undefined;
  await tracedRun({
    resolution: { ...resolution, scenario },
    directory,
    runsDir: join(order.scratch, "runs"),
    loadMs,
    powerCut: {
      ...(killAfter === undefined ? {} : { killAfter }),
      after: (killAfter ?? 0) + some(),
      makeDurable: () => void execFileSync("sync", ["-f", root], { timeout: syncDeadlineMs }),
      cut: async () => {
        interval = await stopFileSystem(order.powerCut, root, delayMs);
      },
    },
    signal: new AbortController().signal,
  });
  if (interval === undefined) return notCut(order, image, seed, place);
  await image.unmount();
  await image.mount();
  return judged(order, image, resolution.store, { seed, place, interval });
}

/** The store did not live until the cut: if it had no reason to stop, that is a finding, too. */
function notCut(
  order: RealityOrder,
  { fileSystem }: MountedImage,
  seed: number,
  place: string,
): RealStoreCut {
  const { ended, store } = readTraceRecord(runDirectoryAt(place));
  const { findings = [], doubts = [] } = ended ?? {};
  const why = findings[0]?.sentence ?? doubts[0] ?? "the store was not running";
  const cut: RealStoreCut = {
    ...{ fileSystem, profile: profileOf[fileSystem], seed, events: 0, from: -1, to: -1, pending: 0 },
    ...{ acknowledged: 0, restarts: 0, findings, loss: nothingLost },
    verdict: "unknown",
    why: `the power was not cut: ${why}`,
    recovered: findings.length > 0 ? "wrong" : "unknown",
  };
  if (findings.length === 0) return cut;
  return { ...cut, kept: keepEvidence(place, evidenceOf(order, fileSystem, store, seed), cut) };
}

function evidenceOf({ keep }: RealityOrder, fileSystem: FileSystem, store: string, seed: number): string {
  return join(keep, `${fileSystem}-${store.replaceAll(/[^\w.-]+/g, "-").slice(0, 60)}-${seed}`);
}

interface CutDone {
  readonly seed: number;
  /** Where the files of the traced run are. */
  readonly place: string;
  readonly interval: CutInterval;
}

/** What is on the disk after the cut, and what the store makes of it. */
async function judged(
  order: RealityOrder,
  { fileSystem, root }: MountedImage,
  store: Store,
  { seed, place, interval }: CutDone,
): Promise<RealStoreCut> {
  const data = join(root, dataDirectory);
  const files = readTracedRun(place);
  const { trace, record, history } = files;
  const profile = profileByName(profileOf[fileSystem]);
  const model = new DiskModel(imageOfBase(files.base, files.directory.baseDir));
  const moments = [...cutMoments(model, trace.events, profile, lookAt(data), interval)];
  const allowed = moments.filter(({ difference }) => difference === undefined);
  const doubt = trace.faults[0] ?? record.ended?.doubts[0];
  const chosen = allowed.length > 0 ? allowed : moments;
  const first = moments[0]!;
  const obligations = placeOperations(history, trace, record.startNs);
  takeDown(data, place);
  const about = {
    ...{ fileSystem, profile: profile.name, seed, events: trace.events.length },
    ...{ from: first.event, to: moments.at(-1)!.event, pending: chosen[0]!.pending },
    acknowledged: obligations.operations.filter(
      ({ acknowledgedAt, operation }) => acknowledgedAt <= first.event && operation.outcome === "ok",
    ).length,
    restarts: history.readiness.length - 1,
    ...comparison(allowed.length > 0 ? undefined : first.difference, doubt ?? model.faults[0]),
  };
  const judgement = await served(order, store, files, obligations, data, chosen);
  const cut: RealStoreCut = { ...about, ...judgement };
  if (cut.verdict !== "outside" && cut.recovered !== "wrong") return cut;
  if (existsSync(startLogOf(data))) cpSync(startLogOf(data), join(place, startLog));
  return { ...cut, kept: keepEvidence(place, evidenceOf(order, fileSystem, store.name, seed), cut) };
}

function comparison(
  difference: string | undefined,
  doubt: string | undefined,
): Pick<RealStoreCut, "verdict" | "why"> {
  if (doubt !== undefined) return { verdict: "unknown", why: doubt };
  return difference === undefined ? { verdict: "allowed" } : { verdict: "outside", why: difference };
}

/** What the store said when it was started after the cut: beside its directory (recover-start.ts), and in the evidence. */
const startLog = "after-the-cut.log";
const startLogOf = (data: string) => join(data, "..", "n1.log");

type Served = Pick<RealStoreCut, "recovered" | "findings" | "loss" | "unsure">;

/** Starts the store on what is there, and again on what that start left, and judges what it serves. */
async function served(
  order: RealityOrder,
  store: Store,
  { record, history, trace }: TracedRunFiles,
  obligations: Obligations,
  data: string,
  moments: readonly CutMoment[],
): Promise<Served> {
  const { durability, epoch } = record;
  const workloads = findWorkloads(record.workloads);
  const values = new RecoveredValues(readBackRequests(workloads, epoch, history));
  const recovery = new ProcessRecovery({ store, durability, values, runsDir: join(order.scratch, "runs") });
  const said = (refusal: string) => refusal.replaceAll(startLogOf(data), startLog);
  const wrong = (kind: FindingKind, sentence: string): Served => ({
    ...{ recovered: "wrong", loss: nothingLost },
    findings: [{ kind, operations: [], sentence }],
  });
  try {
    const first = await recovery.recoverThere(data);
    if (first.refused !== undefined)
      return wrong("did-not-recover", `the store did not come back: ${said(first.refused)}`);
    const second = await recovery.recoverThere(data);
    if (second.refused !== undefined)
      return wrong("did-not-recover", `the store came back once, and not again: ${said(second.refused)}`);
    const other = values.firstDifference(first.recovered, second.recovered);
    if (other >= 0) {
      const { f, key } = values.requests[other]!;
      return wrong("recovery-not-repeatable", `${f} of key ${key} shows something else after a second start`);
    }
    const judge = new StateJudge({
      ...{ workloads, promise: store.promise(durability), obligations, values, epoch, crash: "powerLoss" },
    });
    const judgements = moments.map(({ event }) => judge.judge(first.recovered, event));
    const { findings, unknown, loss } = judgements.reduce((best, one) => (isBetter(one, best) ? one : best));
    if (findings.length > 0) return { recovered: "wrong", findings, loss };
    const unsure = unknown[0] ?? trace.faults[0] ?? record.ended?.doubts[0];
    return {
      recovered: unsure === undefined ? "right" : "unknown",
      findings,
      loss,
      ...(unsure ? { unsure } : {}),
    };
  } finally {
    await recovery.close();
  }
}

/** The moment of the cut is not known: one at which all is well is enough. */
function isBetter(a: Judgement, b: Judgement): boolean {
  return (a.findings.length - b.findings.length || a.unknown.length - b.unknown.length) < 0;
}
