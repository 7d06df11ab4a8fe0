/**
 * The experiments of power-cut.ts, in a mount namespace of their own: this program is started by it with `unshare`, and
 * answers one JSON document a line. Whatever becomes of it, the kernel unmounts everything when it ends.
 */
import { existsSync, mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ScenarioError } from "../../../stores/contract.ts";
import { resolveSaved } from "../../scenario.ts";
import { failSyncs } from "./failing-disk.ts";
import { MountedImage, run } from "./mounted-image.ts";
import type { RealityLine, RealityOrder, RealityStore } from "./power-cut.ts";
import { cutProgram } from "./program-cut.ts";
import { cutStore } from "./store-cut.ts";

/** Under a store, in each file system, even if the time is over. */
const leastCuts = 2;
const sharedMemory = "/dev/shm";
const order = JSON.parse(process.argv[2]!) as RealityOrder;

// Control files lie in memory: in one of this namespace's own, which ends with it.
if (existsSync(sharedMemory)) await run("mount", ["-t", "tmpfs", "tmpfs", sharedMemory]);
// What has been compiled lies below the temporary directory, which is another one here: there it is looked for.
const compiled = join(order.scratch, basename(dirname(order.library)));
mkdirSync(compiled, { mode: 0o755 });
await run("mount", ["--bind", dirname(order.library), compiled]);
const images: MountedImage[] = [];
for (const fileSystem of order.fileSystems) images.push(await MountedImage.make(fileSystem, order.scratch));
for (let number = 0; number < order.cuts; number++) {
  for (const image of images) {
    answer({ progress: `${image.fileSystem}: power cut ${number + 1} of ${order.cuts} under a program` });
    answer({ cut: await cutProgram(order, image, seedOf(number)) });
  }
}
if (order.failingSyncs) {
  for (const fileSystem of order.fileSystems) {
    answer({ progress: `${fileSystem}: syncs on a device that is full` });
    for (const syncFailure of await failSyncs(fileSystem, order.scratch)) answer({ syncFailure });
  }
}
if (order.store) {
  try {
    await cutUnderStore(order.store);
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    answer({ refused: error.message });
  }
}
for (const image of images) await image.unmount();

/** Until there were enough cuts or the time is over. */
async function cutUnderStore({ scenario, cuts }: RealityStore): Promise<void> {
  const resolution = await resolveSaved(scenario);
  for (let number = 0; number < cuts; number++) {
    if (number >= leastCuts && performance.now() > order.seconds * 1000) return;
    for (const image of images) {
      answer({ progress: `${image.fileSystem}: power cut ${number + 1} under ${resolution.store.name}` });
      answer({ storeCut: await cutStore(order, image, resolution, seedOf(number)) });
    }
  }
}

function seedOf(number: number): number {
  return (order.seed + Math.imul(number + 1, 0x01000193)) | 0;
}

function answer(line: RealityLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
