/**
 * Snapshots: the whole state at one log index, in one file, so that the log before it need not be replayed.
 *
 * Written while changes go on, in slices of about a millisecond; under a temporary name, synced, renamed, its
 * directory synced, read back and verified. Only after that may anything older go. A failure abandons the file.
 *
 *     header   "ACKEDSNP", crc, version, log index          (32 bytes)
 *     block    length, crc chained to the block before, records
 *     end      length 0xFFFFFFFF, crc, number of records
 *
 * The crc of every block, and of the end, is seeded with the one before it: a missing, repeated or exchanged block
 * does not pass. Verifying reads through the page cache: it proves what was handed to the disk, not what is on it.
 */
import { checksum } from "./checksum.ts";
import { ByteReader, ByteWriter, type Codec, FormatError, formatVersion } from "./codec.ts";
import { type Disk, errorCode, inDirectory, readFully, removeIfThere, writeFully } from "./disk.ts";
import { snapshotName, writeNewFile } from "./segments.ts";
import type { Frozen, Value } from "./state.ts";

const headerBytes = 32;
const blockHeaderBytes = 8;
const endMark = 0xffff_ffff;
const magic = "ACKEDSNP";
/** A block is written when it is this long, or when its slice has taken this many ms. */
const blockBytesMax = 256 * 1024;
const sliceMs = 1;

export interface SnapshotOptions {
  readonly disk: Disk;
  readonly codec: Codec;
  readonly dir: string;
}

/** Thrown inside a snapshot that is no longer wanted, because the store closes. */
export class SnapshotAborted extends Error {
  override readonly name = "SnapshotAborted";
}

/**
 * Writes, names, syncs and verifies the snapshot of `frozen`. `durable` is awaited before the file gets its name: a
 * snapshot never holds what the log could still lose. Returns its size in bytes.
 */
export async function writeSnapshot(
  options: SnapshotOptions,
  frozen: Frozen,
  durable: () => Promise<void>,
  aborted: () => boolean,
): Promise<number> {
  const { disk, dir } = options;
  const path = inDirectory(dir, snapshotName(frozen.index));
  let size = 0;
  await writeNewFile(disk, path, async (fd) => {
    size = await writeBlocks(options, fd, frozen, aborted);
    await durable();
  });
  try {
    await disk.syncDirectory(dir);
    await readSnapshot(options, snapshotName(frozen.index), () => undefined);
  } catch (error) {
    await removeIfThere(disk, path).catch(() => undefined);
    throw error;
  }
  return size;
}

async function writeBlocks(
  options: SnapshotOptions,
  fd: number,
  frozen: Frozen,
  aborted: () => boolean,
): Promise<number> {
  const { disk, codec } = options;
  const header = snapshotHeader(frozen.index);
  await writeFully(disk, fd, header, 0);
  let position = headerBytes;
  let crc = header.readUInt32LE(8);
  let records = 0;
  const out = new ByteWriter(blockBytesMax * 2, blockHeaderBytes);
  const all = frozen.records();
  for (let done = false; !done; ) {
    if (aborted()) throw new SnapshotAborted("the store is closing");
    out.length = blockHeaderBytes;
    const began = performance.now();
    while (out.length < blockBytesMax) {
      const next = all.next();
      done = next.done === true;
      if (next.done) break;
      codec.writeRecord(out, next.value);
      records += 1;
      if (records % 64 === 0 && performance.now() - began > sliceMs) break;
    }
    if (out.length > blockHeaderBytes) {
      crc = sealBlock(out, crc);
      await writeFully(disk, fd, out.bytes.subarray(0, out.length), position);
      position += out.length;
    }
  }
  const end = new ByteWriter(32);
  end.u32(endMark);
  end.u32(0);
  end.u53(records);
  end.bytes.writeUInt32LE(checksum(end.bytes, 8, 16, crc), 4);
  await writeFully(disk, fd, end.bytes.subarray(0, 16), position);
  return position + 16;
}

function sealBlock(out: ByteWriter, previous: number): number {
  const crc = checksum(out.bytes, blockHeaderBytes, out.length, previous);
  out.bytes.writeUInt32LE(out.length - blockHeaderBytes, 0);
  out.bytes.writeUInt32LE(crc, 4);
  return crc;
}

function snapshotHeader(index: number): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.write(magic, 0, "latin1");
  bytes.writeUInt32LE(formatVersion, 12);
  bytes.writeUInt32LE(index % 0x1_0000_0000, 16);
  bytes.writeUInt32LE(Math.floor(index / 0x1_0000_0000), 20);
  bytes.writeUInt32LE(checksum(bytes, 12, headerBytes), 8);
  return bytes;
}

/** A snapshot that is not what was written: with the offset of the damage. */
export class SnapshotDamaged extends Error {
  override readonly name = "SnapshotDamaged";
}

/**
 * Reads a snapshot block by block; returns its log index and the number of records.
 *
 * @throws SnapshotDamaged naming the offset, or a system error.
 */
export async function readSnapshot(
  options: SnapshotOptions,
  name: string,
  restore: (table: string, key: string, value: Value, index: number) => void,
): Promise<{ index: number; records: number }> {
  const { disk, codec, dir } = options;
  const fd = await disk.open(inDirectory(dir, name), "read");
  try {
    // Each read ends with the header of the block that comes next.
    let read = await readFully(disk, fd, headerBytes + blockHeaderBytes, 0);
    const header = read.subarray(0, headerBytes);
    const index = readHeader(header);
    let position = headerBytes;
    let crc = header.readUInt32LE(8);
    let records = 0;
    const fileBytes = await disk.size(fd);
    for (let at = headerBytes; ; ) {
      if (read.length < at + blockHeaderBytes) throw damagedAt(position, "it ends before its last block");
      const length = read.readUInt32LE(at);
      const sum = read.readUInt32LE(at + 4);
      const bytesWanted = length === endMark ? 8 : length;
      if (position + blockHeaderBytes + bytesWanted > fileBytes) {
        throw damagedAt(position, "a block reaches beyond the end of the file");
      }
      const next = length === endMark ? 0 : blockHeaderBytes;
      read = await readFully(disk, fd, bytesWanted + next, position + blockHeaderBytes);
      at = bytesWanted;
      const block = read.subarray(0, at);
      crc = checksum(block, 0, block.length, crc);
      if (crc !== sum) throw damagedAt(position, "a checksum does not match");
      if (length === endMark) {
        if (new ByteReader(block, 0, 8).u53() !== records) throw damagedAt(position, "records are missing");
        return { index, records };
      }
      try {
        const read = codec.readRecords(block);
        for (const one of read) restore(one.table, one.key, one.value, one.index);
        records += read.length;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        throw damagedAt(position, error.message);
      }
      position += blockHeaderBytes + length;
    }
  } catch (error) {
    if (errorCode(error) !== "EIO") throw error;
    throw new SnapshotDamaged(`the disk cannot read it (${(error as Error).message})`, { cause: error });
  } finally {
    await disk.close(fd);
  }
}

function readHeader(header: Buffer): number {
  if (header.length < headerBytes || header.toString("latin1", 0, 8) !== magic) {
    throw damagedAt(0, "it does not begin like a snapshot");
  }
  if (checksum(header, 12, headerBytes) !== header.readUInt32LE(8)) {
    throw damagedAt(0, "its header's checksum does not match");
  }
  return header.readUInt32LE(16) + header.readUInt32LE(20) * 0x1_0000_0000;
}

function damagedAt(offset: number, what: string): SnapshotDamaged {
  return new SnapshotDamaged(`damaged at offset ${offset}: ${what}`);
}
