/**
 * A deleted file at rest: between stop and restart one log file is gone.
 *
 * A correct store refuses to start, naming what is missing, unless it did not need the file any more. Without its newest
 * file the directory looks like an older disk, and an earlier state is allowed.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { fraction, pick, usedFiles } from "./log-files.ts";

export const deletedFile: Fault = {
  name: "deleted-file",
  summary: "while the store is stopped, one file of its log disappears",
  when: "at-rest",
  mechanism: "files",
  unavailable: () => undefined,
  parameters: () => fc.record({ fileFraction: fraction }),
  inject({ fileFraction }, target) {
    const chosen = pick(usedFiles(target), fileFraction);
    if (!chosen) return { fired: () => undefined, heal: () => {} };
    rmSync(join(target.dataDir, chosen.file));
    const looksLike = chosen.newest ? { looksLike: "an older disk, from before that file" } : {};
    const evidence = { file: chosen.file, offset: 0, bytes: chosen.used, ...looksLike };
    return { fired: () => evidence, heal: () => {} };
  },
};
