/**
 * The instrument check: before a store is judged, a store with a planted bug is broken by the same code on the same
 * machine. A harness that cannot find a bug known to be there has nothing to say about one that may be.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { findCompiler } from "./machine.ts";
import type { InstrumentCheck } from "./results.ts";
import { run } from "./run.ts";
import { runDirectoryAt } from "./run-directory.ts";
import { resolveScenario } from "./scenario.ts";

/** With an interposer an early acknowledgement is seen in the sync counters; without, a lost record after a kill. */
const withInterposer = { store: "broken/acknowledges-before-sync", workloads: ["register"], cycles: 3 };
const withoutInterposer = { store: "broken/drops-last-record", workloads: ["register", "append"], cycles: 8 };

/** Runs it inside the run's own directory. Takes 2 s on an idle machine, at most 12. `undefined`: it was interrupted. */
export async function checkInstrument(
  runPath: string,
  runsDir: string,
  seed: number,
  signal: AbortSignal,
): Promise<InstrumentCheck | undefined> {
  const began = performance.now();
  const { store, workloads, cycles } =
    process.platform === "linux" && findCompiler() ? withInterposer : withoutInterposer;
  const resolution = await resolveScenario({
    store,
    workloads,
    faults: ["kill"],
    seed,
    seconds: 12,
    cycles,
  });
  const path = join(runPath, "instrument-check");
  mkdirSync(join(path, "data"), { recursive: true });
  const results = await run(resolution, {
    directory: runDirectoryAt(path),
    runsDir,
    command: "instrument-check",
    replay: "",
    onProgress: () => {},
    signal,
  });
  const planted = resolution.store.plantedBug;
  const finding = results.findings.find((candidate) => planted?.finding.includes(candidate.kind));
  if (!finding && signal.aborted) return undefined;
  return {
    store,
    bug: planted?.bug ?? "",
    caught: finding !== undefined,
    ...(finding ? { finding: finding.kind } : {}),
    elapsedMs: Math.round(performance.now() - began),
  };
}
