/**
 * A truncated tail at rest: between stop and restart one log file loses its end, somewhere in the part in use, as after
 * a file system check that cut it. The file is shorter; nothing else is touched.
 *
 * A correct store refuses to start or says what it cut. In the newest file the cut looks like a torn tail or an earlier
 * end, and an earlier state is allowed there; anywhere else it is not, and invented data never is.
 */
import { truncateSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { fraction, pick, usedFiles } from "./log-files.ts";

export const truncatedTail: Fault = {
  name: "truncated-tail",
  summary: "while the store is stopped, one file of its log loses its end",
  when: "at-rest",
  mechanism: "files",
  unavailable: () => undefined,
  parameters: () => fc.record({ fileFraction: fraction, byteFraction: fraction }),
  inject({ fileFraction, byteFraction }, target) {
    const chosen = pick(usedFiles(target), fileFraction);
    if (!chosen) return { fired: () => undefined, heal: () => {} };
    const offset = Math.floor(Number(byteFraction) * chosen.used);
    truncateSync(join(target.dataDir, chosen.file), offset);
    const looksLike = chosen.newest ? { looksLike: "a log that ends there" } : {};
    const evidence = { file: chosen.file, offset, bytesCut: chosen.used - offset, ...looksLike };
    return { fired: () => evidence, heal: () => {} };
  },
};
