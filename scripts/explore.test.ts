/** What `acked explore` and `acked replay` say to a person who asks for something that cannot be done. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Verdict } from "../harness/checkers/contract.ts";
import { childProgram } from "../harness/package-root.ts";
import type { RunResults } from "../harness/results.ts";
import { resolveScenario } from "../harness/scenario.ts";
import { saysMore } from "./explore.ts";

let place = "";
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "acked-explore-cli-"));
  const run = join(place, "run");
  mkdirSync(run);
  writeFileSync(join(run, "scenario.json"), "{}");
  writeFileSync(join(run, "trace.json"), JSON.stringify({ formatVersion: 2 }));
  mkdirSync(join(place, "chaos"));
  writeFileSync(join(place, "chaos", "scenario.json"), "{}");
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

function acked(...args: string[]) {
  return execa(process.execPath, [childProgram("scripts/acked.js"), ...args], {
    cwd: place,
    reject: false,
    stdin: "ignore",
    timeout: 20_000,
  });
}

describe("is refused in one sentence, with exit code 3 and nothing left behind", () => {
  const refusals: [string[], string][] = [
    [["explore", "nowhere"], "there is no run directory nowhere"],
    [["explore", "chaos"], "chaos holds no trace (no trace.json): only runs of acked explore are traced"],
    [["explore", "run", "--store", "ramlog"], "--store has no meaning here"],
    [["explore", "--profile", "ext5"], 'there is no profile "ext5"'],
    [["explore", "--seconds", "0"], "give a whole number"],
    [["explore", "--power-cut", "fake"], 'the only way is "real"'],
    [
      ["explore", "--power-cut", "real", "--profile", "xfs"],
      "--profile has no meaning with --power-cut real",
    ],
    [["explore", "--power-cut", "real", "--store", "ramlgo"], "did you mean ramlog?"],
    [["replay", "run"], "is not a scenario this version can replay"],
  ];
  test.concurrent.each(refusals)("%j", async (args, sentence) => {
    const { exitCode, stderr, stdout } = await acked(...args);
    expect(stderr).toContain(sentence);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(exitCode).toBe(3);
    expect(readdirSync(place).sort()).toEqual(["chaos", "run"]);
  });
});

test("a later exploration of a trace takes the place of an earlier one, unless that one had found more", () => {
  const results = (verdict: Verdict, inStates: number) =>
    ({ verdict, explorations: [{ findings: Array.from({ length: inStates }) }] }) as unknown as RunResults;
  expect(saysMore(results(false, 2), results(true, 0))).toBe(true);
  expect(saysMore(results(false, 2), results("unknown", 0))).toBe(true);
  expect(saysMore(results(false, 2), results(false, 0))).toBe(true);
  expect(saysMore(results(false, 2), results(false, 1))).toBe(false);
  expect(saysMore(results(false, 0), results(false, 0))).toBe(false);
  expect(saysMore(results(true, 0), results("unknown", 0))).toBe(false);
});

test("results that cannot be read are named by replay, and not taken for none", async () => {
  const damaged = join(place, "damaged");
  mkdirSync(damaged);
  try {
    const scenario = await resolveScenario({ faults: ["none"], seed: 1 });
    writeFileSync(join(damaged, "scenario.json"), JSON.stringify(scenario.scenario));
    writeFileSync(join(damaged, "trace.json"), JSON.stringify({ formatVersion: 1 }));
    writeFileSync(join(damaged, "results.json"), JSON.stringify({ formatVersion: 9 }));
    const { exitCode, stderr } = await acked("replay", "damaged");
    expect(stderr).toMatch(/results\.json has formatVersion 9; this version of acked reads formatVersion 1$/);
    expect(exitCode).toBe(3);
  } finally {
    rmSync(damaged, { recursive: true });
  }
});

test("without a compiler nothing is traced: it says how to get one, and is never a pass", async () => {
  const { exitCode, stderr } = await execa(process.execPath, [childProgram("scripts/acked.js"), "explore"], {
    cwd: place,
    reject: false,
    env: { PATH: "/nowhere", CC: "" },
    stdin: "ignore",
    timeout: 20_000,
  });
  expect(stderr).toContain("tracing needs a C compiler; install gcc, or set CC");
  expect(exitCode).toBe(3);
});
