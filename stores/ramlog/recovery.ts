/**
 * Recovery: from a data directory to the state it proves, and to the place where the log goes on.
 *
 * 1. The newest snapshot that reads back, else the one before it if the log still reaches back that far.
 * 2. The chain of segments: the newest segment with a valid header names the exact end (file, offset, checksum) of
 *    the one it continues, and so on back to the snapshot. What is not on the chain was superseded.
 * 3. Every batch in order, to the zeros that end the log. Damage is a *tail*, cut with a report, unless something valid claims that it was synced: a
 *    later batch, a later segment, or the segment's own header. Then the store refuses to start: file and offset.
 *
 * Nothing is changed on disk here, so recovery that was interrupted simply runs again. What lies behind the last
 * *proven synced* position comes back as `tail`: the log writes it again and syncs it before anything is served,
 * because after a crash the page cache shows records which the disk may not hold.
 *
 * Not detectable, by construction: damage to batches that nothing later claims (the last commit before a crash); a
 * newest segment that is missing, or rolled back together with everything after it. They look like an earlier end.
 */
import {
  type BatchHeader,
  batchCandidates,
  type Codec,
  FormatError,
  isZero,
  type LogPosition,
  type SegmentHeader,
  segmentHeaderBytes,
} from "./codec.ts";
import { type Disk, errorText, inDirectory, readFully } from "./disk.ts";
import { StartRefused } from "./errors.ts";
import { isTemporary, segmentId, segmentName, snapshotIndex, snapshotName } from "./segments.ts";
import { readSnapshot, SnapshotDamaged } from "./snapshot.ts";
import { type Change, ChangeError, type ReplaySink } from "./state.ts";

/** What recovery did, for the ready line. */
export interface RecoveryReport {
  /** Log entries replayed. */
  readonly records: number;
  /** Records read from a snapshot. */
  readonly fromSnapshot: number;
  /** The tail that was cut off the log, if any. */
  readonly cut: CutReport | null;
  /** Sentences about files that could not be used. */
  readonly discarded: readonly string[];
}

export interface CutReport {
  readonly file: string;
  readonly offset: number;
  /** Bytes from there to the last one that is not zero; in a reused segment, also what it held before. */
  readonly bytes: number;
  readonly reason: string;
}

/** A segment of the chain. */
export interface SegmentPlace {
  readonly id: number;
  readonly firstIndex: number;
}

export interface Recovered {
  readonly report: RecoveryReport;
  /** The last position that was certainly synced, and the last entry before it. */
  readonly proven: { readonly position: LogPosition; readonly index: number };
  /** The entries behind it, in order. */
  readonly tail: readonly (readonly Change[])[];
  /** Why a new snapshot must be made before serving, instead of continuing the chain; `undefined` normally. */
  readonly snapshotFirst?: string;
  /** Segments that hold proven entries, oldest first. */
  readonly segments: readonly SegmentPlace[];
  /** Log indexes of the snapshots that are worth keeping, oldest first. */
  readonly snapshots: readonly number[];
  /** Names that may be removed once the log goes on elsewhere. */
  readonly obsolete: readonly string[];
  /** A segment id that is greater than any in the directory. */
  readonly nextSegment: number;
}

export interface RecoveryOptions {
  readonly disk: Disk;
  readonly codec: Codec;
  readonly dir: string;
  /** Receives the state in order. */
  readonly sink: ReplaySink;
}

export interface Recovery {
  /** @throws StartRefused when the directory holds less than it proves to have held. */
  recover(options: RecoveryOptions): Promise<Recovered>;
}

/** Beyond this many segments a snapshot is made first: a chain that restarts made long would never get shorter. */
const chainLengthMax = 24;

/** Recovery as described above. */
export const provenRecovery: Recovery = {
  async recover(options) {
    const names = await options.disk.list(options.dir);
    const snapshot = await loadSnapshot(options, names);
    const files = await readHeaders(options, names);
    const chain = chainFrom(files, snapshot.index);
    const fallback = fallbackChain(files, chain[0], snapshot.usable[0] ?? 0);
    const log = await replayChain(options, chain, snapshot.index);
    const loose = await looseSegments(options, files, [...fallback, ...chain]);
    const lastIndex = Math.max(log.lastIndex, snapshot.index);
    if (snapshot.damagedIndex > lastIndex) {
      throw new StartRefused(
        `${snapshot.discarded.join("; ")}; the log ends at entry ${lastIndex}, before that snapshot's ${snapshot.damagedIndex}. Restore the snapshot from a copy`,
      );
    }
    const behind = log.lastIndex < snapshot.index;
    const proven = behind ? { position: origin, index: snapshot.index } : log.proven;
    const snapshotFirst = whySnapshotFirst(snapshot.discarded, chain.length);
    return {
      report: {
        records: log.records,
        fromSnapshot: snapshot.records,
        cut: log.cut ?? loose.cut,
        discarded: [...snapshot.discarded, ...loose.discarded],
      },
      proven,
      tail: behind ? [] : log.tail,
      ...(snapshotFirst ? { snapshotFirst } : {}),
      segments: [...fallback, ...chain]
        .map((file) => ({ id: file.id, firstIndex: file.header.firstIndex }))
        .filter((place) => behind || place.id <= proven.position.segment),
      snapshots: snapshot.usable,
      obsolete: [
        ...names.filter(isTemporary),
        ...loose.obsolete,
        ...chain
          .filter((file) => !behind && file.id > proven.position.segment)
          .map((file) => segmentName(file.id)),
        ...snapshot.unusable,
      ],
      nextSegment: Math.max(0, ...files.map((file) => file.id)) + 1,
    };
  },
};

/** Before the first segment. */
export const origin: LogPosition = { segment: 0, offset: 0, checksum: 0 };

function whySnapshotFirst(discarded: readonly string[], chainLength: number): string | undefined {
  if (discarded.length > 0) return "the newest snapshot could not be used";
  return chainLength > chainLengthMax ? `the log has ${chainLength} segments` : undefined;
}

interface LoadedSnapshot {
  readonly index: number;
  readonly records: number;
  readonly usable: readonly number[];
  readonly unusable: readonly string[];
  readonly discarded: readonly string[];
  /** Index of the newest snapshot that could not be used; 0 when none. */
  readonly damagedIndex: number;
}

async function loadSnapshot(options: RecoveryOptions, names: readonly string[]): Promise<LoadedSnapshot> {
  const indexes = names.map(snapshotIndex).filter((index) => index !== undefined);
  const discarded: string[] = [];
  const unusable: string[] = [];
  let damagedIndex = 0;
  for (const index of indexes.sort((a, b) => b - a)) {
    const name = snapshotName(index);
    options.sink.begin();
    try {
      const read = await readSnapshot(options, name, (table, key, value, at) =>
        options.sink.restore(table, key, value, at),
      );
      if (read.index !== index) throw new SnapshotDamaged(`it is the snapshot of entry ${read.index}`);
      options.sink.restored(index);
      const usable = indexes.filter((one) => one <= index).reverse();
      return { index, records: read.records, usable, unusable, discarded, damagedIndex };
    } catch (error) {
      if (!(error instanceof SnapshotDamaged)) throw error;
      discarded.push(`${name} cannot be used: ${error.message}`);
      unusable.push(name);
      damagedIndex = Math.max(damagedIndex, index);
    }
  }
  options.sink.begin();
  return { index: 0, records: 0, usable: [], unusable, discarded, damagedIndex };
}

/** `stale`: the header of the segment that the file was before it was reused; nothing has been written since. */
interface SegmentFile {
  readonly id: number;
  readonly header: SegmentHeader | "empty" | "stale" | "damaged";
}

interface ChainFile {
  readonly id: number;
  readonly header: SegmentHeader;
}

async function readHeaders(options: RecoveryOptions, names: readonly string[]): Promise<SegmentFile[]> {
  const found: SegmentFile[] = [];
  for (const name of names) {
    const id = segmentId(name);
    if (id === undefined) continue;
    const bytes = await readStart(options, name, segmentHeaderBytes);
    found.push({ id, header: options.codec.readSegmentHeader(bytes) });
  }
  const newest = found.findLast(({ id, header }) => typeof header === "object" && header.id === id)?.id ?? 0;
  return found.map(({ id, header }) => {
    if (typeof header !== "object" || header.id === id) return { id, header };
    if (!wasReused(header.id, id, newest, names)) {
      throw new StartRefused(
        `${segmentName(id)} says that it is segment ${header.id}: files were exchanged. ${remedy}`,
      );
    }
    return { id, header: "stale" };
  });
}

/**
 * True when segment `old` can have become segment `id`. It was renamed, so its own name is gone; and nobody needed it,
 * so the log was written on, and synced, behind it.
 */
function wasReused(old: number, id: number, newest: number, names: readonly string[]): boolean {
  return old < id && old < newest && !names.includes(segmentName(old));
}

const remedy = "Restore the data directory from a copy";

/** Oldest first: every segment that is needed to get from the snapshot to the newest entry. */
function chainFrom(files: readonly SegmentFile[], snapshot: number): ChainFile[] {
  const byId = new Map(files.map((file) => [file.id, file]));
  let file = files.filter((one): one is ChainFile => typeof one.header === "object").at(-1);
  const chain: ChainFile[] = [];
  while (file) {
    chain.unshift(file);
    const { previous, firstIndex } = file.header;
    if (firstIndex <= snapshot + 1) return chain;
    if (previous.segment === 0) {
      throw new StartRefused(
        `the log begins at entry ${firstIndex}, in ${segmentName(file.id)}, but the snapshot before it (of entry ${firstIndex - 1}) is missing or damaged. ${remedy}`,
      );
    }
    const before = byId.get(previous.segment);
    if (before?.header === "damaged") {
      throw damagedBeforeSync(previous.segment, 0, "its header does not match");
    }
    if (typeof before?.header !== "object") {
      throw new StartRefused(
        `${segmentName(previous.segment)} is ${before ? "empty" : "missing"}, but ${segmentName(file.id)} continues it. ${remedy}`,
      );
    }
    file = { id: before.id, header: before.header };
  }
  return chain;
}

/**
 * The segments before `first` by which the oldest snapshot that is kept could still be brought up to date, should the
 * newest be damaged some day. Not needed now, so whatever is missing there is simply where this ends.
 */
function fallbackChain(
  files: readonly SegmentFile[],
  first: ChainFile | undefined,
  snapshot: number,
): ChainFile[] {
  const chain: ChainFile[] = [];
  let after = first;
  while (after && after.header.firstIndex > snapshot + 1) {
    const { segment } = after.header.previous;
    const before = files.find((file) => file.id === segment);
    if (!before || typeof before.header !== "object") break;
    after = { id: before.id, header: before.header };
    chain.unshift(after);
  }
  return chain;
}

interface ReadBatch {
  readonly header: BatchHeader;
  readonly checksum: number;
  readonly start: number;
  readonly end: number;
}

interface ReplayedLog {
  readonly lastIndex: number;
  readonly records: number;
  readonly cut: CutReport | null;
  readonly proven: { readonly position: LogPosition; readonly index: number };
  readonly tail: readonly (readonly Change[])[];
}

async function replayChain(
  options: RecoveryOptions,
  chain: readonly ChainFile[],
  snapshot: number,
): Promise<ReplayedLog> {
  let records = 0;
  let lastIndex = 0;
  let cut: CutReport | null = null;
  let proven = { position: origin, index: snapshot };
  let tail: (readonly Change[])[] = [];
  for (const [place, file] of chain.entries()) {
    const name = segmentName(file.id);
    const bytes = await readWhole(options, name);
    const next = chain[place + 1]?.header.previous;
    const batches: ReadBatch[] = [];
    const stop = readBatches(options.codec, bytes, file, next?.offset, batches);
    if (next) requireEnd(file, stop, batches, next);
    else cut = endOfLog(options.codec, bytes, file, stop);
    const replayed = replayBatches(options, bytes, file, batches, snapshot);
    records += replayed.records;
    lastIndex = replayed.lastIndex;
    if (!next) {
      proven = provenPosition(file, batches);
      tail = batches
        .filter((batch) => batch.header.firstIndex > proven.index)
        .flatMap((batch) => decode(options.codec, bytes, file, batch));
    }
  }
  return { lastIndex, records, cut, proven, tail };
}

interface Stop {
  readonly offset: number;
  /** Why the batch there cannot be read; `undefined` at the end of the log, or at the given bound. */
  readonly reason?: string;
}

/** Reads batches in order into `batches`, up to `bound` if there is one, else to the end or to damage. */
function readBatches(
  codec: Codec,
  bytes: Buffer,
  file: ChainFile,
  bound: number | undefined,
  batches: ReadBatch[],
): Stop {
  let offset = segmentHeaderBytes;
  let previous = file.header.previous.checksum;
  let firstIndex = file.header.firstIndex;
  while (bound === undefined || offset < bound) {
    const read = codec.readBatch(bytes, offset, file.id, { previous, firstIndex });
    if (read.kind === "end") return { offset };
    if (read.kind === "damaged") return { offset, reason: read.reason };
    batches.push(read);
    offset = read.end;
    previous = read.checksum;
    firstIndex = read.header.firstIndex + read.header.entries;
  }
  return { offset };
}

/** A segment that another one continues was synced up to that place: it must be whole. */
function requireEnd(
  file: ChainFile,
  stop: Stop,
  batches: readonly ReadBatch[],
  bound: { offset: number; checksum: number },
): void {
  const sum = batches.at(-1)?.checksum ?? file.header.previous.checksum;
  if (stop.offset === bound.offset && sum === bound.checksum && !stop.reason) return;
  throw damagedBeforeSync(file.id, stop.offset, stop.reason ?? "its batches do not end where they ended");
}

/** Decides whether the end of the newest segment is an end, a tail to cut, or damage. */
function endOfLog(codec: Codec, bytes: Buffer, file: ChainFile, stop: Stop): CutReport | null {
  const behind = lookBehind(codec, bytes, file.id, stop.offset, file.header.firstIndex);
  const reason = stop.reason ?? whyNoEnd(bytes, file, stop.offset, behind.batches);
  if (Math.max(file.header.synced, behind.claimed) > stop.offset) {
    throw damagedBeforeSync(file.id, stop.offset, reason ?? "zeros where batches were");
  }
  if (!reason) return null;
  return { file: segmentName(file.id), offset: stop.offset, bytes: lastByte(bytes) - stop.offset, reason };
}

/** Why the zeros at `offset` are not the end of what was written here; `undefined` when they are. */
function whyNoEnd(bytes: Buffer, file: ChainFile, offset: number, batchesBehind: number): string | undefined {
  if (bytes.length < file.header.size) return "the file is shorter than it was made";
  const explained = file.header.reused ? batchesBehind === 0 : isZero(bytes, offset, bytes.length);
  return explained ? undefined : "zeros where a batch should begin";
}

/**
 * What of this segment can be read behind `offset`: how many batches, and the farthest position that they claim to have
 * been synced (0 when none does). What the file held before it was reused is not of this segment, whose entries are not
 * before `firstIndex`.
 */
function lookBehind(
  codec: Codec,
  bytes: Buffer,
  segment: number,
  offset: number,
  firstIndex: number,
): { batches: number; claimed: number } {
  let batches = 0;
  let claimed = 0;
  for (const candidate of batchCandidates(bytes, offset, firstIndex)) {
    const read = codec.readBatch(bytes, candidate, segment);
    if (read.kind !== "batch") continue;
    batches += 1;
    claimed = Math.max(claimed, read.header.synced);
  }
  return { batches, claimed };
}

/** The end of what is not zero; at least 0. */
function lastByte(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

function replayBatches(
  options: RecoveryOptions,
  bytes: Buffer,
  file: ChainFile,
  batches: readonly ReadBatch[],
  snapshot: number,
): { records: number; lastIndex: number } {
  let records = 0;
  let index = file.header.firstIndex - 1;
  for (const batch of batches) {
    index = batch.header.firstIndex + batch.header.entries - 1;
    if (index <= snapshot) continue;
    let at = batch.header.firstIndex;
    for (const changes of decode(options.codec, bytes, file, batch)) {
      if (at > snapshot) {
        replayEntry(options.sink, file, batch, at, changes);
        records += 1;
      }
      at += 1;
    }
  }
  return { records, lastIndex: index };
}

function replayEntry(
  sink: ReplaySink,
  file: ChainFile,
  batch: ReadBatch,
  index: number,
  changes: readonly Change[],
): void {
  try {
    sink.replay(index, changes);
  } catch (error) {
    if (!(error instanceof ChangeError)) throw error;
    throw damagedBeforeSync(file.id, batch.start, `entry ${index} does not fit: ${error.message}`);
  }
}

function decode(
  codec: Codec,
  bytes: Buffer,
  file: ChainFile,
  batch: ReadBatch,
): readonly (readonly Change[])[] {
  try {
    return codec.readEntries(bytes, batch.start, batch.end, batch.header.entries);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw damagedBeforeSync(file.id, batch.start, error.message);
  }
}

/** The farthest synced position that something in the newest segment claims. */
function provenPosition(
  file: ChainFile,
  batches: readonly ReadBatch[],
): { position: LogPosition; index: number } {
  const claimed = Math.max(file.header.synced, ...batches.map((batch) => batch.header.synced));
  if (claimed < segmentHeaderBytes) {
    return { position: file.header.previous, index: file.header.firstIndex - 1 };
  }
  const before = batches.filter((batch) => batch.end <= claimed).at(-1);
  return {
    position: {
      segment: file.id,
      offset: before?.end ?? segmentHeaderBytes,
      checksum: before?.checksum ?? file.header.previous.checksum,
    },
    index: before ? before.header.firstIndex + before.header.entries - 1 : file.header.firstIndex - 1,
  };
}

interface LooseSegments {
  readonly obsolete: readonly string[];
  readonly discarded: readonly string[];
  readonly cut: CutReport | null;
}

/**
 * Segments that are not on the chain. Newer than it: prepared and unused, or a first write that never completed,
 * unless a batch in it was followed by one that claims it. Older: superseded, and of no interest.
 */
async function looseSegments(
  options: RecoveryOptions,
  files: readonly SegmentFile[],
  chain: readonly ChainFile[],
): Promise<LooseSegments> {
  const newest = chain.at(-1)?.id ?? 0;
  const firstIndex = chain.at(-1)?.header.firstIndex ?? 0;
  const onChain = new Set(chain.map((file) => file.id));
  const discarded: string[] = [];
  let cut: CutReport | null = null;
  const loose = files.filter((file) => !onChain.has(file.id));
  for (const { id, header } of loose.filter((file) => file.id > newest)) {
    const name = segmentName(id);
    const bytes = await readWhole(options, name);
    const behind = lookBehind(options.codec, bytes, id, 0, firstIndex);
    if (behind.claimed > 0) throw damagedBeforeSync(id, 0, "its header does not match");
    const unused = header === "stale" ? behind.batches === 0 : isZero(bytes, 0, bytes.length);
    if (unused) continue;
    cut = { file: name, offset: 0, bytes: lastByte(bytes), reason: "its first write did not complete" };
    discarded.push(`${name}: ${cut.reason}`);
  }
  return { obsolete: loose.map((file) => segmentName(file.id)), discarded, cut };
}

function damagedBeforeSync(segment: number, offset: number, reason: string): StartRefused {
  return new StartRefused(
    `${segmentName(segment)} is damaged at offset ${offset}: ${reason}. That part of the log had been synced, so this is not a torn tail, and nothing was skipped. ${remedy}`,
  );
}

async function readStart(options: RecoveryOptions, name: string, length: number): Promise<Buffer> {
  const path = inDirectory(options.dir, name);
  try {
    const fd = await options.disk.open(path, "read");
    try {
      return await readFully(options.disk, fd, length, 0);
    } finally {
      await options.disk.close(fd);
    }
  } catch (error) {
    throw new StartRefused(`${name} cannot be read: ${errorText(error)}`, { cause: error });
  }
}

async function readWhole(options: RecoveryOptions, name: string): Promise<Buffer> {
  try {
    return await options.disk.readFile(inDirectory(options.dir, name));
  } catch (error) {
    throw new StartRefused(`${name} cannot be read: ${errorText(error)}`, { cause: error });
  }
}
