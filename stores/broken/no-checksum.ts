/** Recovery believes whatever lies where a batch should be: a torn tail is replayed, its missing part as zeros. */
import {
  ByteReader,
  batchHeaderBytes,
  binaryCodec,
  type Codec,
  FormatError,
  readEntry,
} from "../ramlog/codec.ts";
import type { Change } from "../ramlog/state.ts";
import type { Bug } from "./bug.ts";

const codec: Codec = {
  ...binaryCodec,
  readBatch(bytes, offset, segment, expected) {
    const read = binaryCodec.readBatch(bytes, offset, segment, expected);
    const start = offset + batchHeaderBytes;
    if (read.kind !== "damaged" || !expected || start > bytes.length) return read;
    const length = bytes.readUInt32LE(offset + 8);
    const entries = bytes.readUInt32LE(offset + 24);
    if (length === 0 || entries === 0 || start + length > bytes.length || entries > length) return read;
    return {
      kind: "batch",
      header: { segment, ...expected, entries, synced: bytes.readUInt32LE(offset + 28) },
      checksum: bytes.readUInt32LE(offset + 4),
      start,
      end: start + length,
    };
  },
  readEntries(bytes, start, end, count) {
    const input = new ByteReader(bytes, start, end);
    const entries: Change[][] = [];
    try {
      while (entries.length < count) entries.push(readEntry(input));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
    return entries;
  },
};

export const noChecksum: Bug = {
  name: "no-checksum",
  bug: "ignores the checksums of its log, and so believes a torn tail",
  finding: ["phantom-value", "served-damaged-data", "did-not-recover"],
  workloads: ["register", "append"],
  faults: ["torn-write"],
  // One torn write rarely ends inside a value that is then read; crash states tear every write.
  explore: { profile: "ext4-ordered" },
  seams: { engine: { codec } },
};
