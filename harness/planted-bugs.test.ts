/**
 * A store with a planted bug is caught, by the kind of finding that names its bug, with a fixed plan. An exit code would not
 * do: a harness that finds something else by accident has not found the bug. Here is one bug of each way of being caught
 * (no crash, a crash, damaged files); the gate (scripts/gate.ts) catches every one there is.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { brokenStores } from "../stores/index.ts";
import { detectMachine } from "./machine.ts";
import type { RunResults } from "./results.ts";
import { run } from "./run.ts";
import { runDirectoryAt } from "./run-directory.ts";
import { resolveScenario, type Scenario } from "./scenario.ts";

const seed = 1;
let runsDir = "";

beforeAll(() => {
  runsDir = mkdtempSync(join(tmpdir(), "acked-planted-"));
});

afterAll(() => rmSync(runsDir, { recursive: true, force: true }));

async function runOnce(name: string, scenario: Scenario): Promise<RunResults> {
  const path = join(runsDir, name.replaceAll("/", "-"));
  mkdirSync(join(path, "data"), { recursive: true });
  return run(await resolveScenario(scenario), {
    directory: runDirectoryAt(path),
    runsDir,
    command: "test",
    replay: "",
    onProgress: () => {},
    signal: new AbortController().signal,
  });
}

const { compiler, platform } = detectMachine();
const withInterposer = platform === "linux" && compiler !== undefined;
if (!withInterposer && process.env.ACKED_REQUIRE?.includes("compiler")) {
  throw new Error("ACKED_REQUIRE asks for a compiler, and there is none");
}

/** The canary, one that needs no fault, one that a crash shows, and one that damage at rest shows. */
const examples = [
  "broken/never-syncs",
  "broken/non-atomic-cas",
  "broken/drops-last-record",
  "broken/skips-damaged",
];

describe("a planted bug is caught by the finding that names it", () => {
  for (const store of brokenStores) {
    if (!examples.includes(store.name)) continue;
    const { bug, finding, workloads, faults } = store.plantedBug!;
    test.skipIf(!withInterposer)(`${store.name}: ${bug}`, async () => {
      const results = await runOnce(store.name, {
        store: store.name,
        workloads,
        faults: faults.length > 0 ? faults : ["none"],
        seed,
        seconds: 25,
      });
      expect(results.verdict).toBe(false);
      expect(finding).toContain(results.findings.find((one) => finding.includes(one.kind))?.kind);
    });
  }
});

describe("and the opposite", () => {
  test("ramlog without faults passes", async () => {
    const results = await runOnce("fault-free", { store: "ramlog", faults: ["none"], seed, seconds: 4 });
    expect(results.reasons).toEqual([]);
    expect(results.verdict).toBe(true);
  });

  test.skipIf(!withInterposer)("ramlog passes an epoch of every kind of crash", async () => {
    const results = await runOnce("every-crash", { store: "ramlog", seed, seconds: 30, cycles: 8 });
    expect(results.reasons).toEqual([]);
    expect(results.verdict).toBe(true);
    expect(results.counts.crashes).toBeGreaterThanOrEqual(6);
  });

  test("interval and none are judged by what they promise", async () => {
    for (const durability of ["interval:200", "none"]) {
      const scenario = {
        store: "ramlog",
        durability,
        seed,
        seconds: 20,
        cycles: 3,
        faults: ["kill", "stop"],
      };
      const results = await runOnce(`mode-${durability.replace(":", "-")}`, scenario);
      expect(results.reasons).toEqual([]);
      expect(results.verdict).toBe(true);
    }
  });
});
