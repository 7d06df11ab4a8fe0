/**
 * Batches do not say which segment they belong to, and the reader goes on to whatever record comes next: in a reused
 * segment those are the records of the one that the file was before.
 */
import { batchCandidates, binaryCodec, type Codec } from "../ramlog/codec.ts";
import type { Bug } from "./bug.ts";

const anySegment = 0;

const codec: Codec = {
  ...binaryCodec,
  sealBatch: (bytes, start, end, header) =>
    binaryCodec.sealBatch(bytes, start, end, { ...header, segment: anySegment }),
  readBatch(bytes, offset, segment, expected) {
    if (!expected) return binaryCodec.readBatch(bytes, offset, segment);
    const read = binaryCodec.readBatch(bytes, offset, anySegment, expected);
    if (read.kind === "batch") return read;
    for (const candidate of batchCandidates(bytes, offset)) {
      const next = binaryCodec.readBatch(bytes, candidate, anySegment);
      if (next.kind === "batch") return { ...next, header: { ...next.header, ...expected } };
    }
    return read;
  },
};

export const believesStaleRecords: Bug = {
  name: "believes-stale-records",
  bug: "believes the old records behind the end of the log in a reused segment",
  finding: ["lost-acknowledged-write", "resurrected-write", "not-linearizable", "reordered-recovery"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "ext4-ordered" },
  seams: { engine: { codec } },
};
