/**
 * The instrument check of an exploration: a store that never syncs is traced and explored first, in the same run on the
 * same machine. An explorer that does not find its losses has nothing to say about another store.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { InstrumentCheck } from "../results.ts";
import { runDirectoryAt } from "../run-directory.ts";
import { resolveScenario } from "../scenario.ts";
import { explore } from "./explore.ts";
import { tracedRun } from "./traced/traced-run.ts";

const storeName = "broken/never-syncs";
const profile = "ext4-ordered";
const seconds = 6;
const loadMs = 3000;

/** A few writes by two clients; what the disk then lacks is all of them. */
const requests = Array.from({ length: 12 }, (_, n) => ({
  client: n % 2,
  request: { workload: "register", f: "write", key: `e0/r/${n % 3}`, value: `check.${n}.0123456789abcdef` },
}));

/** Runs it inside the run's own directory and removes it again when the bug was caught. Takes 1 s on an idle machine. */
export async function checkExplorer(
  runPath: string,
  runsDir: string,
  seed: number,
  signal: AbortSignal,
): Promise<InstrumentCheck | undefined> {
  const began = performance.now();
  const resolution = await resolveScenario({
    store: storeName,
    workloads: ["register"],
    faults: ["none"],
    seed,
    seconds,
    clients: 2,
  });
  const { store } = resolution;
  const directory = runDirectoryAt(join(runPath, "instrument-check"));
  mkdirSync(directory.dataDir, { recursive: true });
  await tracedRun({ resolution, directory, runsDir, loadMs, script: { requests }, signal });
  const { findings } = await explore({
    runDir: directory.path,
    store,
    profile,
    seed,
    seconds,
    stopAtFirst: true,
    runsDir,
    signal,
  });
  const finding = findings.find(({ kind }) => kind === "lost-acknowledged-write");
  if (finding) rmSync(directory.path, { recursive: true, force: true });
  else if (signal.aborted) return undefined;
  return {
    store: storeName,
    bug: store.plantedBug?.bug ?? "",
    caught: finding !== undefined,
    ...(finding ? { finding: finding.kind } : {}),
    elapsedMs: Math.round(performance.now() - began),
  };
}
