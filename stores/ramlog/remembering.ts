/**
 * A codec that decodes equal bytes once, for recovering thousands of directories that differ in a few bytes
 * (recoverable.ts). What bytes mean depends on nothing but the bytes, so that a recovery comes to the same with it; that
 * they *are* equal is compared byte by byte, and checksums are computed each time. The server does not use it.
 */
import type { Codec, SnapshotRecord } from "./codec.ts";
import { type Change, List } from "./state.ts";

/** Of encoded bytes, in all: then everything is forgotten. Far more than one run has. */
const rememberedBytesMax = 32 * 2 ** 20;

/** @throws FormatError as the codec does: what cannot be decoded is not remembered. */
export function remembering(codec: Codec): Codec {
  const entries = new Memory<readonly Change[]>(ownChanges);
  const records = new Memory<SnapshotRecord>(ownRecord);
  return {
    ...codec,
    readEntries(bytes, start, end, count) {
      return (
        entries.find(bytes, start, end, count) ??
        entries.keep(bytes, start, end, count, codec.readEntries(bytes, start, end, count))
      );
    },
    readRecords(block) {
      const { length } = block;
      return records.find(block, 0, length, 0) ?? records.keep(block, 0, length, 0, codec.readRecords(block));
    },
  };
}

/** Lists are pushed to: everybody gets one of their own. Nothing else is changed in place. */
function ownList(list: List): List {
  return new List([], list.slice(0, list.length));
}

function ownChanges(changes: readonly Change[]): readonly Change[] {
  return changes.some(holdsList) ? changes.map(ownChange) : changes;
}

function holdsList(change: Change): boolean {
  return change.kind === "put" && change.value instanceof List;
}

function ownChange(change: Change): Change {
  return change.kind === "put" && change.value instanceof List
    ? { ...change, value: ownList(change.value) }
    : change;
}

function ownRecord(record: SnapshotRecord): SnapshotRecord {
  return record.value instanceof List ? { ...record, value: ownList(record.value) } : record;
}

interface Remembered<T> {
  readonly bytes: Buffer;
  readonly count: number;
  readonly decoded: readonly T[];
}

/** By a few words of the bytes; of two that have the same, the later one is remembered. */
class Memory<T> {
  readonly #own: (part: T) => T;
  readonly #known = new Map<number, Remembered<T>>();
  #bytes = 0;

  /** @param own a copy for somebody who may change it. */
  constructor(own: (part: T) => T) {
    this.#own = own;
  }

  find(bytes: Buffer, start: number, end: number, count: number): readonly T[] | undefined {
    const known = this.#known.get(sampled(bytes, start, end));
    if (known === undefined || known.count !== count || known.bytes.length !== end - start) return undefined;
    if (known.bytes.compare(bytes, start, end) !== 0) return undefined;
    return known.decoded.map(this.#own);
  }

  /** What was decoded, for who decoded it. */
  keep(bytes: Buffer, start: number, end: number, count: number, decoded: readonly T[]): readonly T[] {
    this.#bytes += end - start;
    if (this.#bytes > rememberedBytesMax) {
      this.#known.clear();
      this.#bytes = end - start;
    }
    const copy = Buffer.from(bytes.subarray(start, end));
    this.#known.set(sampled(bytes, start, end), { bytes: copy, count, decoded: decoded.map(this.#own) });
    return decoded;
  }
}

/** Bytes looked at from each end, and evenly in between. */
const sampledAtEnds = 24;
const sampledBetween = 16;

function sampled(bytes: Buffer, start: number, end: number): number {
  let hash = end - start;
  const head = Math.min(end, start + sampledAtEnds);
  for (let at = start; at < head; at += 1) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  for (let at = Math.max(head, end - sampledAtEnds); at < end; at += 1)
    hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  const step = Math.max(1, Math.floor((end - start) / sampledBetween));
  for (let at = head; at < end; at += step) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash;
}
