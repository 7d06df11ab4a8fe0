/**
 * The names in a data directory, and how a segment comes into being: preallocated with written zeros under a temporary
 * name, synced, renamed, its directory synced. So the name `segment-….log` always means a file of full size, and a
 * sync of it writes data only (measured: twice the sync rate of appending).
 *
 * Or out of a segment that nobody needs any more: renamed onto the new name, the directory synced. Such a file still
 * holds its old header and batches, which do not pass for new ones: their checksums are seeded with another id.
 */
import { type Disk, inDirectory, removeIfThere, syncFile, writeFully } from "./disk.ts";

export const formatFile = "format";
export const lockFile = "lock";
export const temporarySuffix = ".tmp";

const digits = 16;

export function segmentName(id: number): string {
  return `segment-${String(id).padStart(digits, "0")}.log`;
}

export function snapshotName(index: number): string {
  return `snapshot-${String(index).padStart(digits, "0")}.snap`;
}

/** The id in a segment's name, or `undefined`. */
export function segmentId(name: string): number | undefined {
  return numberIn(name, "segment-", ".log");
}

/** The log index in a snapshot's name, or `undefined`. */
export function snapshotIndex(name: string): number | undefined {
  return numberIn(name, "snapshot-", ".snap");
}

function numberIn(name: string, before: string, after: string): number | undefined {
  if (name.length !== before.length + digits + after.length) return undefined;
  if (!name.startsWith(before) || !name.endsWith(after)) return undefined;
  for (let at = before.length; at < before.length + digits; at += 1) {
    const code = name.charCodeAt(at);
    if (code < 48 || code > 57) return undefined;
  }
  return Number(name.slice(before.length, before.length + digits));
}

/** True for a file of ours that a crash left under its temporary name. */
export function isTemporary(name: string): boolean {
  if (!name.endsWith(temporarySuffix)) return false;
  const final = name.slice(0, -temporarySuffix.length);
  return final === formatFile || segmentId(final) !== undefined || snapshotIndex(final) !== undefined;
}

/** Zeros are written in pieces, so that a commit's sync never waits for a whole segment of them. */
const zeros = Buffer.alloc(256 * 1024);

/**
 * Makes segment `id`: `content`, then zeros up to `size`, durable under its name when this resolves. A failure leaves
 * no file behind and may be tried again under the same name.
 */
export async function createSegment(
  disk: Disk,
  dir: string,
  id: number,
  size: number,
  content: Buffer = Buffer.alloc(0),
): Promise<void> {
  const path = inDirectory(dir, segmentName(id));
  await writeNewFile(disk, path, async (fd) => {
    await writeFully(disk, fd, content, 0);
    for (let at = content.length; at < size; at += zeros.length) {
      await writeFully(disk, fd, zeros.subarray(0, Math.min(zeros.length, size - at)), at);
    }
  });
  await disk.syncDirectory(dir);
}

/**
 * Makes segment `id` out of segment `old`, which nobody needs: durable under its new name when this resolves. False
 * when it is not of the right size, and was removed instead.
 */
export async function reuseSegment(
  disk: Disk,
  dir: string,
  old: number,
  id: number,
  size: number,
): Promise<boolean> {
  const path = inDirectory(dir, segmentName(old));
  const fd = await disk.open(path, "read");
  let oldSize: number;
  try {
    oldSize = await disk.size(fd);
  } finally {
    await disk.close(fd);
  }
  if (oldSize !== size) {
    await removeIfThere(disk, path);
    return false;
  }
  await disk.rename(path, inDirectory(dir, segmentName(id)));
  await disk.syncDirectory(dir);
  return true;
}

/**
 * Writes a file under a temporary name, syncs it and renames it. The name itself is durable only after a sync of the
 * directory. On failure the temporary file is removed and never synced again.
 */
export async function writeNewFile(
  disk: Disk,
  path: string,
  write: (fd: number) => Promise<void>,
): Promise<void> {
  const temporary = path + temporarySuffix;
  const fd = await disk.open(temporary, "create");
  try {
    try {
      await write(fd);
      await syncFile(disk, fd);
    } finally {
      await disk.close(fd);
    }
    await disk.rename(temporary, path);
  } catch (error) {
    await removeIfThere(disk, temporary).catch(() => undefined);
    throw error;
  }
}
