/**
 * Swapped files at rest: between stop and restart two log files have each other's names, as after a restore that mixed
 * them up. Drawn among pairs with different content; a log of a single file cannot be hit.
 *
 * A correct store refuses to start and says so, unless it needs neither file. It must not serve the records of one as if
 * they were the other's.
 */
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { fraction, pick, usedFiles } from "./log-files.ts";

export const swappedFiles: Fault = {
  name: "swapped-files",
  summary: "while the store is stopped, two files of its log exchange their names",
  when: "at-rest",
  mechanism: "files",
  unavailable: () => undefined,
  parameters: () => fc.record({ pairFraction: fraction }),
  inject({ pairFraction }, target) {
    const { dataDir } = target;
    const files = usedFiles(target).map((one) => ({
      ...one,
      content: readFileSync(join(dataDir, one.file)),
    }));
    const pairs = files.flatMap((a, place) =>
      files
        .slice(place + 1)
        .filter((b) => !a.content.equals(b.content))
        .map((b) => [a.file, b.file] as const),
    );
    const [file, other] = pick(pairs, pairFraction) ?? [];
    if (!file || !other) return { fired: () => undefined, heal: () => {} };
    const aside = join(dataDir, `${file}.swapping`);
    renameSync(join(dataDir, file), aside);
    renameSync(join(dataDir, other), join(dataDir, file));
    renameSync(aside, join(dataDir, other));
    const evidence = { file, other, offset: 0 };
    return { fired: () => evidence, heal: () => {} };
  },
};
