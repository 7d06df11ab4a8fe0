import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { nodeDisk, readToEnd } from "./disk.ts";

/** Reads at most so many bytes at once. */
function shortReader(content: Buffer, most: number) {
  let at = 0;
  return async (into: Buffer, offset: number) => {
    const count = content.copy(into, offset, at, Math.min(content.length, at + most));
    at += count;
    return count;
  };
}

it.each([1, 2, 511, 4096, 100_000])("takes no read of %i bytes for the end of a file", async (most) => {
  const content = randomBytes(9000);
  expect(await readToEnd(shortReader(content, most), content.length)).toEqual(content);
});

it("reads a file whose size is told too small, as those of /proc are, and one that is empty", async () => {
  const content = randomBytes(5000);
  expect(await readToEnd(shortReader(content, 700), 0)).toEqual(content);
  expect(await readToEnd(shortReader(Buffer.alloc(0), 700), 0)).toHaveLength(0);
});

it("reads a whole file of the real disk, and tells that one is missing", async () => {
  const dir = mkdtempSync(join(tmpdir(), "acked-disk-test-"));
  try {
    const content = randomBytes(70_000);
    writeFileSync(join(dir, "a"), content);
    expect(await nodeDisk.readFile(join(dir, "a"))).toEqual(content);
    await expect(nodeDisk.readFile(join(dir, "b"))).rejects.toMatchObject({ code: "ENOENT" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
