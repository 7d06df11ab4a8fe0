/**
 * Garbage at rest: between stop and restart, bytes that nobody wrote stand behind the used part of one log file: at its
 * end, or where preallocated zeros began. A journal replayed onto the wrong block leaves that.
 *
 * Nothing was lost: a correct store serves everything it had acknowledged, or refuses to start with a sentence that says
 * what is wrong. It must not read the garbage as records.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { fraction, pick, usedFiles } from "./log-files.ts";

export const garbageAppended: Fault = {
  name: "garbage-appended",
  summary: "while the store is stopped, bytes that nobody wrote appear behind the end of its log",
  when: "at-rest",
  mechanism: "files",
  unavailable: () => undefined,
  parameters: () =>
    fc.record({
      fileFraction: fraction,
      bytes: fc.integer({ min: 1, max: 2048 }),
      gapBytes: fc.constantFrom(0, 1, 8, 512),
      salt: fc.nat(),
    }),
  inject({ fileFraction, bytes, gapBytes, salt }, target) {
    const chosen = pick(usedFiles(target), fileFraction);
    if (!chosen) return { fired: () => undefined, heal: () => {} };
    const offset = chosen.used + Number(gapBytes);
    const descriptor = openSync(join(target.dataDir, chosen.file), "r+");
    try {
      writeSync(descriptor, garbage(Number(salt), Number(bytes)), 0, Number(bytes), offset);
    } finally {
      closeSync(descriptor);
    }
    const evidence = { file: chosen.file, offset, bytes: Number(bytes) };
    return { fired: () => evidence, heal: () => {} };
  },
};

/** The same bytes for the same salt, none of them zero, so that every one is content. */
function garbage(salt: number, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, block) =>
    createHash("sha256").update(`${salt}/${block}`).digest(),
  );
  return Buffer.concat(blocks)
    .subarray(0, length)
    .map((byte) => byte || 1) as Buffer;
}
