/**
 * CRC-32 (IEEE 802.3, reflected polynomial 0xEDB88320), the checksum of every batch and snapshot block. It detects
 * torn writes and bit rot; it is not meant against an adversary. Eight tables ("slicing-by-8", Kounavis & Berry
 * 2005); long inputs go to zlib's native version where this Node has one (20.15 and later).
 */
import * as zlib from "node:zlib";

const tables = makeTables();
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
];
const native: ((data: Uint8Array, seed?: number) => number) | undefined = zlib.crc32;
const nativePays = 256;

/** CRC-32 of `bytes[start, end)`, continued from `seed` (0 to begin); unsigned. */
export function checksum(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  if (native && end - start >= nativePays) return native(bytes.subarray(start, end), seed);
  return portableChecksum(bytes, start, end, seed);
}

/** The same in plain JavaScript. */
export function portableChecksum(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let crc = ~seed;
  let at = start;
  for (const last = end - 7; at < last; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t7[crc & 255]! ^
      t6[(crc >>> 8) & 255]! ^
      t5[(crc >>> 16) & 255]! ^
      t4[crc >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!;
  }
  for (; at < end; at += 1) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 255]!;
  return ~crc >>> 0;
}

function makeTables(): Uint32Array[] {
  const made = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    made[0]![byte] = crc;
  }
  for (let slice = 1; slice < 8; slice += 1) {
    for (let byte = 0; byte < 256; byte += 1) {
      const before = made[slice - 1]![byte]!;
      made[slice]![byte] = (before >>> 8) ^ made[0]![before & 255]!;
    }
  }
  return made;
}
