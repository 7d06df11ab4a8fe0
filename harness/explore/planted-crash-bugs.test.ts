/**
 * Planted bugs that only power loss shows are caught, by a kind of finding that names them: in the crash states of one
 * traced run under the profile that shows it, or in a sweep; and they are not seen under a profile, or with a fault, that
 * hides them. Here are those that something hides; the gate (scripts/gate.ts) catches every one there is. How many states or
 * trials and how many seconds that took is printed. ramlog itself, explored the same way, shows nothing.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { brokenStores } from "../../stores/index.ts";
import { detectMachine } from "../machine.ts";
import type { CrashStateFinding, ExplorationResults } from "../results.ts";
import { runDirectoryAt } from "../run-directory.ts";
import { resolveScenario } from "../scenario.ts";
import { choosePairs } from "../sweep/plan.ts";
import { sweep } from "../sweep/sweep.ts";
import { explore } from "./explore.ts";
import { tracedRun } from "./traced/traced-run.ts";

const firstSeed = 1;
/**
 * Traced runs that a bug has to show in. How clients and syncs interleave is the machine's, so a bug that shows in most
 * runs is absent from some; in which it was caught is printed.
 */
const runsAtMost = 3;
/** ms for one bug; a machine that does nothing else needs a tenth of it. */
const deadlineMs = 240_000;
let runsDir = "";

beforeAll(() => {
  runsDir = mkdtempSync(join(tmpdir(), "acked-crash-bugs-"));
});

afterAll(() => rmSync(runsDir, { recursive: true, force: true }));

function newDirectory(name: string): string {
  const path = join(runsDir, name.replaceAll(/[/: ]/g, "-"));
  mkdirSync(join(path, "data"), { recursive: true });
  return path;
}

/** A traced run of the store, and a function that explores it. */
async function traced(
  storeName: string,
  workloads?: readonly string[],
  durability = "always",
  seed = firstSeed,
) {
  const path = newDirectory(`${storeName}-${durability}-${seed}`);
  const resolution = await resolveScenario({
    store: storeName,
    ...(workloads ? { workloads } : {}),
    durability,
    faults: ["none"],
    seed,
    seconds: 30,
  });
  const signal = new AbortController().signal;
  const directory = runDirectoryAt(path);
  await tracedRun({ resolution, directory, runsDir, operations: 1000, loadMs: 8000, signal });
  return (profile: string, limits: { seconds: number; stopAtFirst?: boolean }): Promise<ExplorationResults> =>
    explore({ runDir: path, store: resolution.store, profile, seed, runsDir, signal, ...limits });
}

function oneOf(
  kinds: readonly string[],
  findings: readonly CrashStateFinding[],
): CrashStateFinding | undefined {
  return findings.find((one) => kinds.includes(one.kind));
}

const { compiler, platform } = detectMachine();
const traceable = platform === "linux" && compiler !== undefined;

describe.skipIf(!traceable)("a planted bug is caught in the crash states of a traced run", () => {
  const rows: string[] = [];
  afterAll(() => console.info(`caught by exploring:\n${rows.join("\n")}`));

  for (const store of brokenStores) {
    const bug = store.plantedBug!;
    const { profile, notUnder = [] } = bug.explore ?? {};
    if (profile === undefined || notUnder.length === 0) continue;
    const elsewhere = `and not under ${notUnder.join(" or ")}`;
    test(`${store.name}, under ${profile}, ${elsewhere}: ${bug.bug}`, { timeout: deadlineMs }, async () => {
      let found: CrashStateFinding | undefined;
      let run = 0;
      while (!found && ++run <= runsAtMost) {
        const exploreUnder = await traced(store.name, bug.workloads, "always", firstSeed + run - 1);
        for (const other of notUnder) {
          const { findings } = await exploreUnder(other, { seconds: 4 });
          expect(findings).toEqual([]);
        }
        const results = await exploreUnder(profile, { seconds: 45, stopAtFirst: true });
        found = oneOf(bug.finding, results.findings);
        // What is found must name the bug: another kind is wrong in any run.
        if (!found) expect(results.findings.map((one) => one.kind)).toEqual([]);
      }
      expect(bug.finding).toContain(found?.kind);
      rows.push(
        `${store.name}: ${found!.kind} under ${profile}, after ${found!.statesUntilFound} states, ${found!.secondsUntilFound.toFixed(2)} s, in run ${run}`,
      );
    });
  }
});

/** Sweeps one effect at one operation, until something is found or `seconds` are over. */
async function swept(storeName: string, operation: string, effect: string, seconds: number) {
  const found = new AbortController();
  const began = performance.now();
  const results = await sweep({
    resolution: await resolveScenario({
      store: storeName,
      workloads: ["register"],
      faults: ["none"],
      seed: firstSeed,
      seconds,
    }),
    pairs: choosePairs([operation], [effect]),
    directory: runDirectoryAt(newDirectory(`${storeName}-${effect}`)),
    runsDir,
    seconds,
    signal: found.signal,
    onProgress: ({ findings }) => findings > 0 && found.abort(),
  });
  return { ...results, seconds: (performance.now() - began) / 1000 };
}

describe.skipIf(!traceable)("a planted bug is caught in a sweep", () => {
  for (const store of brokenStores) {
    const bug = store.plantedBug!;
    if (!bug.sweep) continue;
    const { operation, effect, notWith } = bug.sweep;
    const elsewhere = notWith ? `, and not with ${notWith}` : "";
    test(`${store.name}, with ${effect}${elsewhere}: ${bug.bug}`, { timeout: deadlineMs }, async () => {
      if (notWith) expect((await swept(store.name, operation, notWith, 8)).findings).toEqual([]);
      const results = await swept(store.name, operation, effect, 25);
      const kinds = results.findings.map((one) => one.kind);
      expect(bug.finding).toContain(kinds.find((kind) => bug.finding.includes(kind)));
      console.info(
        `${store.name}: ${kinds[0]} with ${effect}, after ${results.trials} trials, ${results.seconds.toFixed(1)} s`,
      );
    });
  }
});

describe.skipIf(!traceable)("and the opposite", () => {
  const modes = ["always", "interval:50", "none"];
  test.each(modes)("ramlog in mode %s shows nothing", { timeout: deadlineMs }, async (durability) => {
    const exploreUnder = await traced("ramlog", undefined, durability);
    for (const profile of ["ext4-ordered", "posix-strict"]) {
      const { findings } = await exploreUnder(profile, { seconds: 4 });
      expect(findings).toEqual([]);
    }
  });
});
