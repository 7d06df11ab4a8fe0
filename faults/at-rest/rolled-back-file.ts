/**
 * A rolled back file at rest: between stop and restart one log file has the content it had at an earlier stop, while the
 * others are as they were, as when a backup of one file is put back. Drawn among the files that have changed since.
 *
 * A correct store refuses to start, naming what does not fit. Where the file is the newest it looks like an older disk,
 * and an earlier state is allowed.
 */
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { fraction, pick, usedFiles } from "./log-files.ts";

export const rolledBackFile: Fault = {
  name: "rolled-back-file",
  summary: "while the store is stopped, one file of its log is put back to an older content",
  when: "at-rest",
  mechanism: "files",
  needsEarlierFiles: true,
  unavailable: () => undefined,
  parameters: () => fc.record({ fileFraction: fraction }),
  inject({ fileFraction }, target) {
    const { dataDir, earlierDir } = target;
    const changed = usedFiles(target).filter(({ file }) => {
      const earlier = earlierDir && join(earlierDir, file);
      return (
        earlier && existsSync(earlier) && !readFileSync(earlier).equals(readFileSync(join(dataDir, file)))
      );
    });
    const chosen = pick(changed, fileFraction);
    if (!chosen || !earlierDir) return { fired: () => undefined, heal: () => {} };
    copyFileSync(join(earlierDir, chosen.file), join(dataDir, chosen.file));
    const looksLike = chosen.newest ? { looksLike: "an older disk" } : {};
    const evidence = { file: chosen.file, offset: 0, bytes: chosen.used, ...looksLike };
    return { fired: () => evidence, heal: () => {} };
  },
};
