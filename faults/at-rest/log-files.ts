/** Which files of a data directory are the store's log, and how much of each is in use. */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import fc from "fast-check";
import type { FaultTarget } from "../contract.ts";

const chunkBytes = 64 * 1024;

/** Paths relative to `dataDir`, with `/`, sorted. `*` matches within one segment, `**` across segments. */
export function filesMatching(dataDir: string, glob: string): string[] {
  const pattern = globPattern(glob);
  return readdirSync(dataDir, { recursive: true, encoding: "utf8" })
    .filter((path) => statSync(join(dataDir, path)).isFile())
    .map((path) => path.split(sep).join("/"))
    .filter((path) => pattern.test(path))
    .sort();
}

/** A log file with content. */
export interface UsedFile {
  /** Relative to the data directory. */
  readonly file: string;
  /** Where the last byte that is not zero ends. */
  readonly used: number;
  /** Last by name, or the one written to last: damage to its end looks like an earlier end of the log. */
  readonly newest: boolean;
}

/** [0, 1) in steps of a millionth: `fc.double` would mostly draw the two ends. */
export const fraction = fc.nat(999_999).map((n) => n / 1_000_000);

/** The element at this fraction of a list. */
export function pick<T>(list: readonly T[], at: unknown): T | undefined {
  return list[Math.floor(Number(at) * list.length)];
}

/** The log files that have content, by name; none while the store runs: damage under a live store is another fault. */
export function usedFiles({ node, dataDir, logFiles }: FaultTarget): UsedFile[] {
  if (node.running()) return [];
  const found = filesMatching(dataDir, logFiles)
    .map((file) => ({ file, used: usedBytes(join(dataDir, file)) }))
    .filter(({ used }) => used > 0);
  const modified = found.map(({ file }) => statSync(join(dataDir, file)).mtimeMs);
  const latest = Math.max(...modified);
  const written = modified.filter((time) => time === latest).length === 1 ? modified.indexOf(latest) : -1;
  return found.map((one, place) => ({ ...one, newest: place === found.length - 1 || place === written }));
}

/**
 * Where the last byte that is not zero ends: logs are preallocated with zeros, which are nobody's data. 0 when there is
 * no such byte.
 */
export function usedBytes(file: string): number {
  const descriptor = openSync(file, "r");
  try {
    for (let end = fstatSync(descriptor).size; end > 0; ) {
      const start = Math.max(0, end - chunkBytes);
      const chunk = readAt(descriptor, start, end - start);
      for (let i = chunk.length - 1; i >= 0; i--) if (chunk[i] !== 0) return start + i + 1;
      end = start;
    }
    return 0;
  } finally {
    closeSync(descriptor);
  }
}

/** The offset of the first byte that is not zero, from `from` on; `undefined` when only zeros follow. */
export function nextContent(descriptor: number, from: number): number | undefined {
  for (let start = from; ; start += chunkBytes) {
    const chunk = readAt(descriptor, start, chunkBytes);
    const found = chunk.findIndex((byte) => byte !== 0);
    if (found >= 0) return start + found;
    if (chunk.length < chunkBytes) return undefined;
  }
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, readSync(descriptor, buffer, 0, length, position));
}

function globPattern(glob: string): RegExp {
  const source = glob
    .split(/(\*\*\/|\*\*|\*)/)
    .map((part) => globParts.get(part) ?? part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"))
    .join("");
  return new RegExp(`^${source}$`, "s");
}

const globParts = new Map([
  ["**/", "(?:.*/)?"],
  ["**", ".*"],
  ["*", "[^/]*"],
]);
