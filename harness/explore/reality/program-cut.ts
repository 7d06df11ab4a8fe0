/** A power cut under a program that does everything a program may do with files (exercise.ts), and knows no promises. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createDiskControl, createTrace, readTrace } from "../../../faults/index.ts";
import { seededRandom } from "../../measure/random.ts";
import { childProgram } from "../../package-root.ts";
import { baseImage } from "../disk/base-image.ts";
import { DiskModel } from "../disk/disk-model.ts";
import { profileByName } from "../states/profiles/index.ts";
import {
  type CutInterval,
  cutMoments,
  keepEvidence,
  profileOf,
  stopFileSystem,
  takeDown,
} from "./cut-moments.ts";
import { lookAt, type MountedImage, run } from "./mounted-image.ts";
import type { RealCut, RealityOrder } from "./power-cut.ts";

const lanes = 3;
const traceBytes = 256 * 2 ** 20;
/** ms of work before the power is cut: at least, and at most so much more. */
const workMs = { least: 60, more: 400 } as const;
const readyDeadlineMs = 10_000;

/** One program, one power cut, one comparison. The image is mounted before and after. */
export async function cutProgram(order: RealityOrder, image: MountedImage, seed: number): Promise<RealCut> {
  const { fileSystem, root } = image;
  const random = seededRandom(seed);
  const place = join(order.scratch, `${fileSystem}-trace`);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  const data = join(root, "data");
  rmSync(data, { recursive: true, force: true });
  mkdirSync(data);
  // The base image is empty and durable; old files of the image are gone from the journal too.
  await run("sync", ["-f", root]);
  const trace = createTrace({ path: join(place, "trace.bin"), capacityBytes: traceBytes });
  const disk = createDiskControl({ dataDir: data, logGlob: "**" });
  const child = spawn(
    process.execPath,
    [childProgram("harness/explore/reality/exercise.js"), data, String(seed), String(lanes)],
    {
      env: { ...process.env, ...disk.environment(order.library), ...trace.environment() },
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  try {
    await ready(child);
    await new Promise((wake) => setTimeout(wake, workMs.least + random() * workMs.more));
    const interval = await stopFileSystem(order.powerCut, root);
    await ended(child);
    trace.close();
    await image.unmount();
    await image.mount();
    return compared(order, image, place, seed, interval);
  } finally {
    await ended(child);
    disk.remove();
  }
}

function compared(
  order: RealityOrder,
  { fileSystem, root }: MountedImage,
  place: string,
  seed: number,
  interval: CutInterval,
): RealCut {
  const profile = profileByName(profileOf[fileSystem]);
  const data = join(root, "data");
  const { events, faults } = readTrace(join(place, "trace.bin"));
  const model = new DiskModel(baseImage([]));
  const about = { fileSystem, profile: profile.name, seed, events: events.length };
  let from: number | undefined;
  let why: string | undefined;
  let last = { to: -1, pending: 0 };
  for (const { event, pending, difference } of cutMoments(model, events, profile, lookAt(data), interval)) {
    from ??= event;
    last = { to: event, pending };
    why = difference === undefined ? undefined : (why ?? difference);
    if (why === undefined) break;
  }
  const unsure = faults[0] ?? model.faults[0];
  const cut = { ...about, from: from!, ...last };
  if (unsure !== undefined) return { ...cut, verdict: "unknown", why: unsure };
  if (why === undefined) return { ...cut, verdict: "allowed" };
  writeFileSync(join(place, "base.json"), `${JSON.stringify([])}\n`);
  takeDown(data, place);
  const kept = keepEvidence(place, join(order.keep, `${fileSystem}-${seed}`), cut);
  return { ...cut, verdict: "outside", why, kept };
}

/** @throws Error when the program did not begin by the deadline. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("the program to be cut did not begin")), readyDeadlineMs);
    child.once("error", reject);
    child.once("exit", () => reject(new Error("the program to be cut ended before the cut")));
    child.stdout?.once("data", () => {
      clearTimeout(late);
      resolve();
    });
  });
}

/** Kills the program, and waits until it is gone: an open file would keep the file system mounted. */
function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  return gone;
}
