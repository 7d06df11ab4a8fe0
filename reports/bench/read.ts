/** Reads a finished bench again: its `results.json`, checked as far as a page needs it to be what it says. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchResults } from "../../harness/measure/results.ts";

/**
 * The results in a bench's run directory.
 *
 * @throws Error with one sentence when there are none, or they are another command's or another format's.
 */
export function readBench(runDir: string): BenchResults {
  const path = join(runDir, "results.json");
  let results: Partial<BenchResults>;
  try {
    results = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (!isBench(results))
    throw new Error(`${path} is not of a bench or compare: its command is ${results?.command}`);
  if (results.formatVersion !== 1) {
    throw new Error(
      `${path} has format ${results.formatVersion}, and this acked reads format 1: use the acked that wrote it`,
    );
  }
  return results;
}

/** Whether a parsed `results.json` is of `bench` or `compare`. */
export function isBench(results: unknown): results is BenchResults {
  const { command, cells, ratios } = (results ?? {}) as Partial<BenchResults>;
  return (command === "bench" || command === "compare") && Array.isArray(cells) && Array.isArray(ratios);
}
