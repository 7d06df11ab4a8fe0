/**
 * How entries, batches and segments look on disk. Binary, little-endian, byte strings as raw bytes.
 *
 * A segment is a 64-byte header, then batches, then zeros: at least as many as a batch's header has, or up to the end of
 * the file. Behind them lie zeros, or what the file held before it was reused for this segment:
 *
 *     segment header   magic "ACKEDLOG", crc, version, id, previous {id, end, checksum}, first index, synced, size,
 *                      reused
 *     batch            magic, crc, length, previous checksum, first index, entries, synced | entries
 *     entry            number of changes, then changes
 *
 * Each batch's checksum is seeded with its segment's id and covers the checksum of the batch before it, so a stale or
 * moved batch does not pass for a new one. `synced` is the position in this segment that was known synced when the
 * batch was written: a claim which recovery needs to tell a torn tail from damage.
 */
import { checksum } from "./checksum.ts";
import { type Change, Document, List, type Value } from "./state.ts";

/**
 * 2: segments may be reused; an older ramlog would take what lies behind their end for damage. A directory of version
 * 1 is read as it is, and named 2 from then on.
 */
export const formatVersion = 2;
export const segmentHeaderBytes = 64;
export const batchHeaderBytes = 32;
/** "RLB1", and no byte of it is zero: the end of a log is zeros. */
const batchMagic = 0x31424c52;
const batchMark = Buffer.from("RLB1", "latin1");
const segmentMagic = Buffer.from("ACKEDLOG", "latin1");

/** A place in the log: the end of a batch. */
export interface LogPosition {
  /** Segment id; 0: before the first segment. */
  readonly segment: number;
  /** Byte offset in that segment. */
  readonly offset: number;
  /** Checksum of the batch that ends there. */
  readonly checksum: number;
}

export interface SegmentHeader {
  readonly id: number;
  /** Where the log continues from. Everything up to there was synced before this header was written. */
  readonly previous: LogPosition;
  /** Index of the first entry of this segment. */
  readonly firstIndex: number;
  /** Position in this segment that was synced before it got its name. */
  readonly synced: number;
  /** Bytes the file was made with; a shorter one has been truncated. */
  readonly size: number;
  /** The file had been another segment: what lies behind the end may be left from it. */
  readonly reused: boolean;
}

export interface BatchHeader {
  readonly segment: number;
  /** Checksum of the batch before. */
  readonly previous: number;
  readonly firstIndex: number;
  readonly entries: number;
  readonly synced: number;
}

export type BatchRead =
  | {
      readonly kind: "batch";
      readonly header: BatchHeader;
      readonly checksum: number;
      /** Where the entries begin, and where the next batch begins. */
      readonly start: number;
      readonly end: number;
    }
  /** Zeros where a batch's header would be. What lies behind them is for the caller to judge. */
  | { readonly kind: "end" }
  | { readonly kind: "damaged"; readonly reason: string };

/** What must come next when a log is read in order. */
export interface Expectation {
  readonly previous: number;
  readonly firstIndex: number;
}

export interface Codec {
  /** Appends one entry. */
  writeEntry(out: ByteWriter, changes: readonly Change[]): void;
  /** Decodes the entries of a batch. Throws `FormatError`. */
  readEntries(bytes: Buffer, start: number, end: number, count: number): readonly (readonly Change[])[];
  /** Fills in the header of the batch whose entries are `bytes[start + batchHeaderBytes, end)`; its checksum. */
  sealBatch(bytes: Buffer, start: number, end: number, header: BatchHeader): number;
  /** Reads the batch at `offset`; without `expected`, one that stands by itself. Never throws. */
  readBatch(bytes: Buffer, offset: number, segment: number, expected?: Expectation): BatchRead;
  writeSegmentHeader(bytes: Buffer, start: number, header: SegmentHeader): void;
  /** `"empty"`: only zeros there, a segment that was prepared and never used. Never throws. */
  readSegmentHeader(bytes: Buffer): SegmentHeader | "empty" | "damaged";
  /** Appends one record of a snapshot. */
  writeRecord(out: ByteWriter, record: SnapshotRecord): void;
  /** Decodes the records of one block of a snapshot. Throws `FormatError`. */
  readRecords(block: Buffer): readonly SnapshotRecord[];
}

/** What a snapshot holds of one key. */
export interface SnapshotRecord {
  readonly table: string;
  readonly key: string;
  readonly value: Value;
  /** The log index that wrote it. */
  readonly index: number;
}

/** Bytes that cannot be what this version wrote. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** A growing buffer. */
export class ByteWriter {
  bytes: Buffer;
  length: number;

  constructor(capacity = 1 << 16, start = 0) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
    this.length = start;
  }

  /** Makes room for `more` bytes. */
  reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    putU32(this.bytes, this.length, value);
    this.length += 4;
  }

  /** An integer below 2^53 in 8 bytes. */
  u53(value: number): void {
    this.u32(value >>> 0);
    this.u32(Math.floor(value / 0x1_0000_0000));
  }

  /** A byte string with its length before it. */
  string(value: string): void {
    const size = value.length;
    this.reserve(size + 4);
    putU32(this.bytes, this.length, size);
    const at = this.length + 4;
    if (size < 24) for (let i = 0; i < size; i += 1) this.bytes[at + i] = value.charCodeAt(i);
    else this.bytes.write(value, at, size, "latin1");
    this.length = at + size;
  }
}

/** Bytes that a reader turns into text at once. */
const textBytes = 4096;
/** A part of a text this long would share its memory, and keep all of the text alive for as long as the part. */
const sharedFrom = 13;

/** Reads what `ByteWriter` wrote; throws `FormatError` at the end of its range. */
export class ByteReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
  /** The bytes from `textStart` on as one text, `textBytes` of them at most. */
  private text = "";
  private textStart = 0;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  byte(): number {
    this.need(1);
    return this.bytes[this.at++]!;
  }

  u32(): number {
    this.need(4);
    const { bytes, at } = this;
    this.at = at + 4;
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  }

  u53(): number {
    const low = this.u32();
    return this.u32() * 0x1_0000_0000 + low;
  }

  string(): string {
    const size = this.u32();
    if (size === 0) return "";
    this.need(size);
    const { at } = this;
    this.at = at + size;
    if (size >= sharedFrom) return this.bytes.toString("latin1", at, at + size);
    // One call into native code for many short strings; each is copied out of the text.
    if (at < this.textStart || at + size > this.textStart + this.text.length) {
      this.text = this.bytes.toString("latin1", at, Math.min(this.end, at + textBytes));
      this.textStart = at;
    }
    return this.text.slice(at - this.textStart, at - this.textStart + size);
  }

  private need(count: number): void {
    if (this.at + count > this.end) throw new FormatError("it ends in the middle of a record");
  }
}

const kinds = { put: 1, delete: 2, "push-right": 3, "push-left": 4, clear: 5 } as const;
/** By code. */
const kindNames: (keyof typeof kinds | undefined)[] = [];
for (const [name, code] of Object.entries(kinds)) kindNames[code] = name as keyof typeof kinds;
const valueKinds = { bytes: 1, list: 2, document: 3 } as const;

/** The format of version 2. */
export const binaryCodec: Codec = {
  writeEntry(out, changes) {
    out.u32(changes.length);
    for (const change of changes) writeChange(out, change);
  },

  readEntries(bytes, start, end, count) {
    const input = new ByteReader(bytes, start, end);
    const entries: Change[][] = [];
    for (let i = 0; i < count; i += 1) entries.push(readEntry(input));
    if (input.at !== end) throw new FormatError("a batch is longer than its entries");
    return entries;
  },

  sealBatch(bytes, start, end, header) {
    putU32(bytes, start, batchMagic);
    putU32(bytes, start + 8, end - start - batchHeaderBytes);
    putU32(bytes, start + 12, header.previous);
    putU32(bytes, start + 16, header.firstIndex);
    putU32(bytes, start + 20, Math.floor(header.firstIndex / 0x1_0000_0000));
    putU32(bytes, start + 24, header.entries);
    putU32(bytes, start + 28, header.synced);
    const sum = checksum(bytes, start + 8, end, segmentSeed(header.segment));
    putU32(bytes, start + 4, sum);
    return sum;
  },

  readBatch(bytes, offset, segment, expected) {
    const headerEnd = offset + batchHeaderBytes;
    if (headerEnd > bytes.length || bytes.readUInt32LE(offset) !== batchMagic) {
      const zeros = isZero(bytes, offset, Math.min(headerEnd, bytes.length));
      return zeros ? { kind: "end" } : damaged("no batch begins here");
    }
    const start = headerEnd;
    const end = start + bytes.readUInt32LE(offset + 8);
    if (end > bytes.length) return damaged("the batch reaches beyond the end of the file");
    const sum = checksum(bytes, offset + 8, end, segmentSeed(segment));
    if (sum !== bytes.readUInt32LE(offset + 4)) return damaged("the batch's checksum does not match");
    const header: BatchHeader = {
      segment,
      previous: bytes.readUInt32LE(offset + 12),
      firstIndex: bytes.readUInt32LE(offset + 16) + bytes.readUInt32LE(offset + 20) * 0x1_0000_0000,
      entries: bytes.readUInt32LE(offset + 24),
      synced: bytes.readUInt32LE(offset + 28),
    };
    if (expected && header.previous !== expected.previous)
      return damaged("the batch does not continue the log");
    if (expected && header.firstIndex !== expected.firstIndex) {
      return damaged(`the batch begins at entry ${header.firstIndex} instead of ${expected.firstIndex}`);
    }
    return { kind: "batch", header, checksum: sum, start, end };
  },

  writeSegmentHeader(bytes, start, header) {
    bytes.fill(0, start, start + segmentHeaderBytes);
    segmentMagic.copy(bytes, start);
    bytes.writeUInt32LE(formatVersion, start + 12);
    putU53(bytes, start + 16, header.id);
    putU53(bytes, start + 24, header.previous.segment);
    bytes.writeUInt32LE(header.previous.offset, start + 32);
    bytes.writeUInt32LE(header.previous.checksum, start + 36);
    putU53(bytes, start + 40, header.firstIndex);
    bytes.writeUInt32LE(header.synced, start + 48);
    bytes.writeUInt32LE(header.size, start + 52);
    bytes[start + 56] = Number(header.reused);
    bytes.writeUInt32LE(checksum(bytes, start + 12, start + segmentHeaderBytes), start + 8);
  },

  readSegmentHeader(bytes) {
    if (bytes.length < segmentHeaderBytes || segmentMagic.compare(bytes, 0, 8) !== 0)
      return isZero(bytes, 0, bytes.length) ? "empty" : "damaged";
    if (checksum(bytes, 12, segmentHeaderBytes) !== bytes.readUInt32LE(8)) return "damaged";
    return {
      id: getU53(bytes, 16),
      previous: {
        segment: getU53(bytes, 24),
        offset: bytes.readUInt32LE(32),
        checksum: bytes.readUInt32LE(36),
      },
      firstIndex: getU53(bytes, 40),
      synced: bytes.readUInt32LE(48),
      size: bytes.readUInt32LE(52),
      reused: bytes[56] === 1,
    };
  },

  writeRecord(out, { table, key, value, index }) {
    out.string(table);
    out.string(key);
    out.u53(index);
    writeValue(out, value);
  },

  readRecords(block) {
    const input = new ByteReader(block, 0, block.length);
    const records: SnapshotRecord[] = [];
    while (input.at < input.end) {
      const table = input.string();
      const key = input.string();
      const index = input.u53();
      records.push({ table, key, value: readValue(input), index });
    }
    return records;
  },
};

/**
 * The places in `bytes` after `from` where a batch of entries from the index `least` on might begin. A batch that says to
 * be of earlier ones is either that, or damaged: its checksum need not be computed to know that it is no such batch.
 */
export function* batchCandidates(bytes: Buffer, from: number, least = 0): IterableIterator<number> {
  for (let at = bytes.indexOf(batchMark, from); at >= 0; at = bytes.indexOf(batchMark, at + 1)) {
    if (at + batchHeaderBytes <= bytes.length && getU53(bytes, at + 16) >= least) yield at;
  }
}

/** True when `bytes[from, to)` holds nothing but zeros. */
export function isZero(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at += zeros.length) {
    const end = Math.min(to, at + zeros.length);
    if (bytes.compare(zeros, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}

const zeros = Buffer.alloc(1 << 16);

function writeChange(out: ByteWriter, change: Change): void {
  out.byte(kinds[change.kind]);
  out.string(change.table);
  if (change.kind === "clear") return;
  out.string(change.key);
  if (change.kind === "put") writeValue(out, change.value);
  else if (change.kind !== "delete") {
    out.u53(change.at);
    out.u32(change.elements.length);
    for (const element of change.elements) out.string(element);
  }
}

/** One entry: its changes. Exported for a reader that wants entries one by one. */
export function readEntry(input: ByteReader): Change[] {
  const changes: Change[] = [];
  for (let left = input.u32(); left > 0; left -= 1) changes.push(readChange(input));
  return changes;
}

function readChange(input: ByteReader): Change {
  const code = input.byte();
  const kind = kindNames[code];
  if (!kind) throw new FormatError(`unknown kind of change ${code}`);
  const table = input.string();
  if (kind === "clear") return { kind, table };
  const key = input.string();
  if (kind === "delete") return { kind, table, key };
  if (kind === "put") return { kind, table, key, value: readValue(input) };
  const at = input.u53();
  return { kind, table, key, at, elements: readStrings(input) };
}

function writeValue(out: ByteWriter, value: Value): void {
  if (typeof value === "string") {
    out.byte(valueKinds.bytes);
    out.string(value);
  } else if (value instanceof List) {
    out.byte(valueKinds.list);
    out.u32(value.length);
    for (const element of value.slice(0, value.length)) out.string(element);
  } else {
    out.byte(valueKinds.document);
    out.string(toByteString(JSON.stringify(value.json)));
  }
}

function readValue(input: ByteReader): Value {
  const code = input.byte();
  if (code === valueKinds.bytes) return input.string();
  if (code === valueKinds.list) return new List([], readStrings(input));
  if (code !== valueKinds.document) throw new FormatError(`unknown kind of value ${code}`);
  const text = fromByteString(input.string());
  try {
    return new Document(deepFreeze(JSON.parse(text)));
  } catch {
    throw new FormatError("a document is not JSON");
  }
}

function readStrings(input: ByteReader): string[] {
  const strings: string[] = [];
  for (let left = input.u32(); left > 0; left -= 1) strings.push(input.string());
  return strings;
}

/** The UTF-8 bytes of `text`, as a byte string. */
export function toByteString(text: string): string {
  if (isAscii(text)) return text;
  return Buffer.from(text, "utf8").toString("latin1");
}

/** Such a text is its own byte string; most keys are. Looked at only while that is cheaper than converting. */
function isAscii(text: string): boolean {
  if (text.length > 64) return false;
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) > 127) return false;
  return true;
}

/** The text whose UTF-8 bytes these are. */
export function fromByteString(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** Freezes a JSON value and everything in it, so that nobody can change what the log does not know of. */
export function deepFreeze<T>(json: T): T {
  if (typeof json === "object" && json !== null && !Object.isFrozen(json)) {
    Object.freeze(json);
    for (const member of Object.values(json)) deepFreeze(member);
  }
  return json;
}

/** A batch by itself, as it would be written at the start of segment 1: for measuring the encoding alone. */
export function encodeBatch(entries: readonly (readonly Change[])[], out = new ByteWriter()): Buffer {
  out.length = batchHeaderBytes;
  for (const changes of entries) binaryCodec.writeEntry(out, changes);
  binaryCodec.sealBatch(out.bytes, 0, out.length, {
    segment: 1,
    previous: 0,
    firstIndex: 1,
    entries: entries.length,
    synced: 0,
  });
  return out.bytes.subarray(0, out.length);
}

let seedOf = { segment: -1, seed: 0 };

function segmentSeed(segment: number): number {
  if (seedOf.segment !== segment) {
    const id = Buffer.alloc(8);
    putU53(id, 0, segment);
    seedOf = { segment, seed: checksum(id, 0, 8) };
  }
  return seedOf.seed;
}

function damaged(reason: string): BatchRead {
  return { kind: "damaged", reason };
}

function putU32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function putU53(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % 0x1_0000_0000, at);
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

function getU53(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}
