import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteWriter, binaryCodec, FormatError, type SnapshotRecord } from "./codec.ts";
import { remembering } from "./remembering.ts";
import { type Change, List } from "./state.ts";

const bytes = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
const value = fc.oneof(
  bytes,
  fc.array(bytes, { maxLength: 4 }).map((elements) => new List([], elements)),
);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("put" as const), table: bytes, key: bytes, value }),
  fc.record({ kind: fc.constant("delete" as const), table: bytes, key: bytes }),
  fc.record({
    kind: fc.constant("push-right" as const),
    table: bytes,
    key: bytes,
    at: fc.nat(),
    elements: fc.array(bytes, { maxLength: 3 }),
  }),
);

function encoded(entries: readonly (readonly Change[])[]): Buffer {
  const out = new ByteWriter();
  for (const changes of entries) binaryCodec.writeEntry(out, changes);
  return Buffer.from(out.bytes.subarray(0, out.length));
}

function block(records: readonly SnapshotRecord[]): Buffer {
  const out = new ByteWriter();
  for (const record of records) binaryCodec.writeRecord(out, record);
  return Buffer.from(out.bytes.subarray(0, out.length));
}

test("entries are decoded as without it, wherever their bytes lie, and again after lists were pushed to", () => {
  const codec = remembering(binaryCodec);
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 3 }), { maxLength: 3 }), fc.nat(50), (entries, at) => {
      const whole = encoded(entries);
      const moved = Buffer.concat([Buffer.alloc(at, 7), whole, Buffer.alloc(3, 9)]);
      for (let time = 0; time < 3; time += 1) {
        const read = codec.readEntries(moved, at, at + whole.length, entries.length);
        expect(read).toEqual(binaryCodec.readEntries(whole, 0, whole.length, entries.length));
        for (const one of read.flat()) {
          if (one.kind === "put" && one.value instanceof List) one.value.pushRight(["more"]);
        }
      }
    }),
  );
});

test("records of a snapshot are, too", () => {
  const codec = remembering(binaryCodec);
  const record = fc.record({ table: bytes, key: bytes, value, index: fc.nat() });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 4 }), (records) => {
      for (let time = 0; time < 3; time += 1) {
        const read = codec.readRecords(block(records));
        expect(read).toEqual(binaryCodec.readRecords(block(records)));
        for (const one of read) if (one.value instanceof List) one.value.pushLeft(["more"]);
      }
    }),
  );
});

test("bytes that differ in one place are other bytes, wherever that is", () => {
  const codec = remembering(binaryCodec);
  const long = encoded([[{ kind: "put", table: "", key: "k", value: "v".repeat(2000) }]]);
  for (let at = long.length - 2000; at < long.length; at += 1) {
    expect(codec.readEntries(long, 0, long.length, 1)[0]).toMatchObject([{ value: "v".repeat(2000) }]);
    const other = Buffer.from(long);
    other[at] = 0x77;
    expect(codec.readEntries(other, 0, other.length, 1)).toEqual(
      binaryCodec.readEntries(other, 0, other.length, 1),
    );
  }
});

test("bytes that are changed after they were decoded are decoded again", () => {
  const codec = remembering(binaryCodec);
  const changed = encoded([[{ kind: "put", table: "", key: "k", value: "before" }]]);
  codec.readEntries(changed, 0, changed.length, 1);
  changed.write("afters", changed.length - 6, "latin1");
  expect(codec.readEntries(changed, 0, changed.length, 1)).toMatchObject([[{ value: "afters" }]]);
});

test("what cannot be decoded cannot be the second time, either; nor with another count", () => {
  const codec = remembering(binaryCodec);
  const two = encoded([[], []]);
  for (let time = 0; time < 2; time += 1) {
    expect(() => codec.readEntries(two, 0, two.length, 3)).toThrow(FormatError);
    expect(codec.readEntries(two, 0, two.length, 2)).toEqual([[], []]);
    expect(() => codec.readRecords(Buffer.from([9, 9]))).toThrow(FormatError);
  }
});
