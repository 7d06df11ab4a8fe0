/** Which files of a data directory are the store's log, and how much of each is in use. */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join, sep } from "node:path";

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
