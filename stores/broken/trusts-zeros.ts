/**
 * A batch whose checksum does not match is believed if it ends in zeros, which are taken for room that was
 * preallocated: but so does a batch of which a page never reached the disk.
 */
import { batchHeaderBytes, binaryCodec, type Codec, isZero } from "../ramlog/codec.ts";
import type { Bug } from "./bug.ts";
import { noChecksum } from "./no-checksum.ts";

const lenient = noChecksum.seams.engine!.codec!;

const codec: Codec = {
  ...binaryCodec,
  readEntries: lenient.readEntries,
  readBatch(bytes, offset, segment, expected) {
    const read = binaryCodec.readBatch(bytes, offset, segment, expected);
    if (read.kind !== "damaged" || !expected || offset + batchHeaderBytes > bytes.length) return read;
    const end = offset + batchHeaderBytes + bytes.readUInt32LE(offset + 8);
    const endsInZeros = end <= bytes.length && isZero(bytes, Math.max(offset, end - 16), end);
    return endsInZeros ? lenient.readBatch(bytes, offset, segment, expected) : read;
  },
};

export const trustsZeros: Bug = {
  name: "trusts-zeros",
  bug: "believes a batch at the end of the log of which a part is zeros",
  finding: ["phantom-value", "did-not-recover"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "ext4-ordered" },
  seams: { engine: { codec } },
};
