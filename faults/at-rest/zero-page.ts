/**
 * A lost page at rest: between stop and restart one 4 KiB page of one log file, in the part in use, reads as zeros, as
 * after an unreadable block was remapped. The file keeps its length.
 *
 * A correct store refuses to start or reports the damage. Only where the page held the end of the newest file it looks
 * like a log that ends there, and an earlier state is allowed.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { fraction, nextContent, pick, usedFiles } from "./log-files.ts";

const pageBytes = 4096;

export const zeroPage: Fault = {
  name: "zero-page",
  summary: "while the store is stopped, one page of its log becomes zeros",
  when: "at-rest",
  mechanism: "files",
  unavailable: () => undefined,
  parameters: () => fc.record({ fileFraction: fraction, byteFraction: fraction }),
  inject({ fileFraction, byteFraction }, target) {
    const chosen = pick(usedFiles(target), fileFraction);
    if (!chosen) return { fired: () => undefined, heal: () => {} };
    const descriptor = openSync(join(target.dataDir, chosen.file), "r+");
    try {
      // A page of zeros would not be changed by it: the first one with content from the drawn place on.
      const place =
        nextContent(descriptor, Math.floor(Number(byteFraction) * chosen.used)) ?? chosen.used - 1;
      const offset = place - (place % pageBytes);
      const page = Buffer.alloc(pageBytes);
      const length = readSync(descriptor, page, 0, pageBytes, offset);
      writeSync(descriptor, Buffer.alloc(length), 0, length, offset);
      const atEnd = chosen.newest && offset + pageBytes >= chosen.used;
      const looksLike = atEnd ? { looksLike: "a log that ends there" } : {};
      const evidence = { file: chosen.file, offset, bytes: length, ...looksLike };
      return { fired: () => evidence, heal: () => {} };
    } finally {
      closeSync(descriptor);
    }
  },
};
