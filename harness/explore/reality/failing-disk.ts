/**
 * Real failures of fsync: a file system whose device cannot take more, because the file below it lies in a memory file
 * system that is full. What the kernel does there is compared with the rules of fsyncgate that the disk model and the
 * interposer follow (Rebello et al., ATC 2020).
 *
 * Overwritten are blocks that the file system has given to the file already and that nothing backs any more, so that it is
 * the data that fails, and not the file system's own metadata.
 *
 * Not compared: blocks that were given out and never written (fallocate). On ext4 (Linux
 * 6.18) a failed write-back leaves those marked unwritten, and writing and syncing the page again brings its bytes to the
 * device and not into the file: after a remount it reads zeros. The model follows the milder rule of the paper there.
 */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type FileSystem, imageBytes, MountedImage, mountMemory, run } from "./mounted-image.ts";
import type { RealSyncFailure } from "./power-cut.ts";

/** Bytes beside the image. */
const memoryToSpare = 2 * 2 ** 20;
const page = 4096;
/** The memory file system may give out some pages more than it has, so one page would show nothing. */
const pagesOfEach = 256;
const half = pagesOfEach * page;

export async function failSyncs(fileSystem: FileSystem, scratch: string): Promise<RealSyncFailure[]> {
  const memory = join(scratch, `${fileSystem}-memory`);
  await mountMemory(memory, imageBytes[fileSystem] + memoryToSpare);
  let image: MountedImage | undefined;
  try {
    image = await MountedImage.make(fileSystem, memory, true);
    return await observed(image, join(memory, "filler"));
  } catch (error) {
    const why = (error as Error).message;
    return [{ fileSystem, rule: "syncs on a device that is full", verdict: "unknown", why }];
  } finally {
    await image?.unmount().catch(() => undefined);
    await run("umount", ["-l", memory]);
  }
}

async function observed(image: MountedImage, filler: string): Promise<RealSyncFailure[]> {
  const { fileSystem } = image;
  const results: RealSyncFailure[] = [];
  const rule = (text: string, holds: boolean, found: string) => {
    results.push({
      fileSystem,
      rule: text,
      verdict: holds ? "holds" : "broken",
      ...(holds ? {} : { why: found }),
    });
  };
  const path = join(image.root, "file");
  writeFileSync(path, Buffer.alloc(2 * half, "o"));
  await run("sync", []);
  await takeAway(image, path);
  fill(filler);

  const writer = openSync(path, "r+");
  const other = openSync(path, "r+");
  const written = Buffer.alloc(2 * half, "n");
  writeSync(writer, written, 0, written.length, 0);
  const failure = syncError(writer) ?? "it succeeded";
  rule("a sync of pages that the device does not take fails", /EIO|ENOSPC/.test(failure), failure);
  const again = syncError(writer);
  rule(
    "the failure is told once for each open file description",
    again === undefined,
    `it was told again: ${again}`,
  );
  const seen = Buffer.alloc(2 * half);
  readSync(writer, seen, 0, seen.length, 0);
  rule("reads still show the new data", seen.equals(written), "they show something else");
  rule("a description opened before it is told too", syncError(other) !== undefined, "its sync succeeded");
  const late = openSync(path, "r+");
  const told = syncError(late);
  rule("a description opened after somebody was told is not", told === undefined, `its sync failed: ${told}`);

  // There is room again, and one byte in each page of the second half is written once more.
  rmSync(filler);
  for (let at = half; at < 2 * half; at += page) writeSync(writer, Buffer.from("x"), 0, 1, at);
  const later = syncError(writer);
  rule("a later sync succeeds when there is room again", later === undefined, `it failed: ${later}`);
  for (const fd of [writer, other, late]) closeSync(fd);
  await image.unmount();
  await image.mount();
  const kept = readFileSync(path);
  const pagesOf = (start: number) =>
    Array.from({ length: pagesOfEach }, (_, at) => kept.subarray(start + at * page, start + (at + 1) * page));
  const old = pagesOf(0).filter((one) => one.every((byte) => byte === 0)).length;
  const fresh = pagesOf(0).filter((one) => one.equals(written.subarray(0, page))).length;
  rule(
    "no later sync brings the pages to the device: what it held is back",
    old > pagesOfEach / 2 && old + fresh === pagesOfEach,
    `of ${pagesOfEach} pages ${old} are as before and ${fresh} have the new data`,
  );
  const whole = Buffer.concat([Buffer.from("x"), written.subarray(1, page)]);
  const rewritten = pagesOf(half).filter((one) => one.equals(whole)).length;
  rule(
    "a page that was written and synced again is there, all of it",
    rewritten === pagesOfEach,
    `of ${pagesOfEach} pages ${rewritten} are`,
  );
  return results;
}

/** Makes holes in the image where the file's blocks are: the file system believes to have them, and reads zeros. */
async function takeAway(image: MountedImage, path: string): Promise<void> {
  const extents = (await run("filefrag", ["-b4096", "-v", path])).matchAll(
    /^\s*\d+:\s+\d+\.\.\s*\d+:\s+(\d+)\.\.\s*(\d+):/gm,
  );
  let taken = 0;
  for (const [, first, last] of extents) {
    const length = (Number(last) - Number(first) + 1) * page;
    const where = ["-o", String(Number(first) * page), "-l", String(length)];
    await run("fallocate", ["--punch-hole", ...where, image.path]);
    taken += length;
  }
  if (taken !== 2 * half) throw new Error(`filefrag told the places of ${taken} bytes of ${2 * half}`);
}

/** Takes all the memory that is left. */
function fill(path: string): void {
  const fd = openSync(path, "w");
  let size = 0;
  const piece = Buffer.alloc(page, "f");
  try {
    for (;;) size += writeSync(fd, piece, 0, page, size);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    ftruncateSync(fd, size);
  } finally {
    closeSync(fd);
  }
}

function syncError(fd: number): string | undefined {
  try {
    fsyncSync(fd);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
