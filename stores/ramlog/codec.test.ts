import { expect, test } from "vitest";
import { batchCandidates, batchHeaderBytes, binaryCodec } from "./codec.ts";

/** A batch of one empty entry at each of these indexes, one after the other. */
function batches(indexes: readonly number[]): { bytes: Buffer; places: number[] } {
  const size = batchHeaderBytes + 4;
  const bytes = Buffer.alloc(size * indexes.length);
  const places = indexes.map((firstIndex, place) => {
    const start = place * size;
    const header = { segment: 7, previous: 0, firstIndex, entries: 1, synced: 0 };
    binaryCodec.sealBatch(bytes, start, start + size, header);
    return start;
  });
  return { bytes, places };
}

test("where a batch might begin is where its mark is, unless it says to be of entries before those looked for", () => {
  const { bytes, places } = batches([3, 12, 11, 2 ** 40]);
  expect([...batchCandidates(bytes, 0)]).toEqual(places);
  expect([...batchCandidates(bytes, 1)]).toEqual(places.slice(1));
  expect([...batchCandidates(bytes, 0, 12)]).toEqual([places[1], places[3]]);
  expect([...batchCandidates(bytes, 0, 2 ** 40 + 1)]).toEqual([]);
});

test("a mark so near the end that no batch fits behind it is none", () => {
  const { bytes, places } = batches([1, 2]);
  expect([...batchCandidates(bytes.subarray(0, places[1]! + batchHeaderBytes - 1), 0)]).toEqual([0]);
});
