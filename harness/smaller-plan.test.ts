import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Finding } from "./checkers/contract.ts";
import { detectMachine } from "./machine.ts";
import { createRunDirectory, type RunDirectory } from "./run-directory.ts";
import { type ResolvedScenario, resolveScenario } from "./scenario.ts";
import { makePlanSmaller } from "./smaller-plan.ts";

const runs = mkdtempSync(join(tmpdir(), "acked-smaller-"));
afterAll(() => rmSync(runs, { recursive: true, force: true }));

let scenario: ResolvedScenario;
let directory: RunDirectory;
beforeAll(async () => {
  const asked = { store: "broken/never-syncs", workloads: ["register", "kv"], faults: ["pause", "delay"] };
  ({ scenario } = await resolveScenario({ ...asked, seed: 4, seconds: 6 }));
  directory = createRunDirectory(runs, "smaller", 4, new Date());
});

const found = (kind: Finding["kind"]): Finding => ({
  kind,
  workload: "register",
  key: "e1/r/2",
  operations: [],
  sentence: "as recorded",
});

function smaller(finding: Finding, budgetMs: number) {
  return makePlanSmaller({
    ...{ scenario, finding, directory, budgetMs },
    epochs: 2,
    runsDir: runs,
    replayOf: (path) => `acked replay ${path}`,
    signal: new AbortController().signal,
  });
}

// A bug that shows in every run: what is tested is the making smaller, not the luck of a live run.
test.skipIf(!detectMachine().compiler)(
  "a finding that needs no fault is left with none, one workload, and a run that can be replayed",
  async () => {
    const plan = await smaller(found("acknowledged-without-sync"), 40_000);
    expect(plan!.faultsBefore).toBeGreaterThan(5);
    expect(plan!.faults).toBe(0);
    expect(plan!.scenario).toMatchObject({
      workloads: ["register"],
      schedule: [{ cycles: [{ passing: [] }] }],
    });
    expect(plan!.results.findings.map(({ kind }) => kind)).toContain("acknowledged-without-sync");
    expect(plan!.results.replay).toBe(`acked replay ${join(directory.path, "smaller")}`);
    expect(existsSync(plan!.directory.scenarioFile)).toBe(true);
  },
  120_000,
);

test("a finding that never comes back is not made smaller, and no trial is left behind", async () => {
  expect(await smaller(found("negative-balance"), 1500)).toBeUndefined();
  expect(readdirSync(directory.path).filter((name) => name.includes("trial"))).toEqual([]);
}, 120_000);
