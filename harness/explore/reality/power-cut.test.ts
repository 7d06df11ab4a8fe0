import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ScenarioError } from "../../../stores/contract.ts";
import { resolveScenario } from "../../scenario.ts";
import { baseImage } from "../disk/base-image.ts";
import { DiskModel } from "../disk/disk-model.ts";
import { EventList } from "../fixtures/event-list.ts";
import { profileByName } from "../states/profiles/index.ts";
import { readTracedRun } from "../traced/traced-run-files.ts";
import { cutMoments } from "./cut-moments.ts";
import { type SeenDirectory, whyNotAllowed } from "./membership.ts";
import { cutPowerForReal, type RealityOptions, type RealityResults, type RealityStore } from "./power-cut.ts";

const seed = 20_260_103;
const runsDir = mkdtempSync(join(tmpdir(), "acked-reality-test-"));
afterAll(() => rmSync(runsDir, { recursive: true, force: true }));

const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("root");

describe("a directory that was seen after a power cut", () => {
  const list = new EventList({ a: "a*10" }).create("b").write("b", 0, "b*10").write("a", 0, "c*10");
  const why = (seen: Record<string, string>, profile = "ext4-ordered") => {
    const directory: SeenDirectory = new Map(
      Object.entries(seen).map(([path, text]) => [path, Buffer.from(text)]),
    );
    return whyNotAllowed(list.model(), profileByName(profile), directory);
  };

  it("is allowed when every name, size and page is", () => {
    expect(why({ a: "a".repeat(10) })).toBeUndefined();
    expect(why({ a: "c".repeat(10), b: "" })).toBeUndefined();
    expect(why({ a: "a".repeat(10), b: "b".repeat(10) })).toBeUndefined();
  });

  it("is not allowed otherwise, and the nearest allowed one is named", () => {
    expect(why({ a: "aaaaaccccc" })).toMatch(/^a: page 0 .* is none of its 2 possible versions/);
    expect(why({ a: "a".repeat(10), b: "bbb" })).toMatch(/^b: 3 bytes, and only 0, 10 are possible/);
    expect(why({ a: "a".repeat(10), ghost: "" })).toMatch(/ghost is there/);
    expect(why({ b: "" })).toMatch(/a is missing/);
  });
});

describe("a cut whose moment is known as an interval", () => {
  // Event n is stamped n: 0 and 1 create b, 2 and 3 write it, 4 and 5 sync it.
  const list = new EventList().create("b").write("b", 0, "b*10").sync("b");
  const differences = (before: number, after: number, seen: SeenDirectory) => {
    const model = new DiskModel(baseImage(list.base));
    const interval = { before, after };
    const moments = [...cutMoments(model, list.events, profileByName("ext4-ordered"), seen, interval)];
    return moments.map(({ event, difference }) => [event, difference === undefined ? "allowed" : "not"]);
  };
  const nothing: SeenDirectory = new Map();
  const whole: SeenDirectory = new Map([["b", Buffer.from("b".repeat(10))]]);

  it("is compared at every event of it, and at no other", () => {
    expect(differences(4, 4, nothing)).toEqual([
      [3, "allowed"],
      [4, "allowed"],
    ]);
    expect(differences(5, 9, nothing)).toEqual([
      [4, "allowed"],
      [5, "not"],
    ]);
    expect(differences(6, 9, nothing)).toEqual([[5, "not"]]);
    expect(differences(1, 2, whole)).toEqual([
      [0, "not"],
      [1, "not"],
      [2, "allowed"],
    ]);
  });
});

/** Cuts, or skips the test aloud. */
async function cut(skip: (why: string) => never, options: Partial<RealityOptions>): Promise<RealityResults> {
  const results = await cutPowerForReal({
    ...{ runsDir, runDir: join(runsDir, "run"), seed, cuts: 0, failingSyncs: false, seconds: 0 },
    ...options,
  });
  // Nothing is left mounted, and nothing is left to be healed.
  expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain("acked-reality-");
  expect(readdirSync(join(runsDir, ".active"))).toEqual([]);
  if (results.skipped === undefined) return results;
  if (required) throw new Error(results.skipped);
  return skip(results.skipped);
}

async function storeOf(name: string, cuts: number): Promise<RealityStore> {
  const { scenario } = await resolveScenario({ store: name, faults: ["none"], seed, seconds: 30 });
  return { scenario, cuts };
}

let once: Promise<RealityResults> | undefined;
/** One for two tests. */
function programAndRamlog(skip: (why: string) => never): Promise<RealityResults> {
  once ??= storeOf("ramlog", 1).then((store) => cut(skip, { cuts: 3, failingSyncs: true, store }));
  return once;
}

describe("the model of power loss", () => {
  it("allows everything that ext4 and XFS were really seen to leave behind", async ({ skip }) => {
    const results = await programAndRamlog(skip);
    expect(results.cuts.filter(({ verdict }) => verdict === "outside")).toEqual([]);
    expect(results.syncFailures.filter(({ verdict }) => verdict === "broken")).toEqual([]);
    expect(results.cuts.length).toBeGreaterThanOrEqual(3);
    expect(results.cuts.some(({ verdict, pending }) => verdict === "allowed" && pending > 0)).toBe(true);
  }, 120_000);
});

describe("a store whose power is really cut", () => {
  it("leaves a state that the model allows, and if it is right serves all it had acknowledged", async ({
    skip,
  }) => {
    const results = await programAndRamlog(skip);
    expect(results.storeCuts.length).toBeGreaterThanOrEqual(1);
    for (const one of results.storeCuts) {
      expect(one).toMatchObject({ verdict: "allowed", recovered: "right", findings: [] });
      expect(one.acknowledged).toBeGreaterThan(60);
    }
    expect(results).toMatchObject({ verdict: true, storeVerdict: true });
  }, 120_000);

  it("is caught if it never syncs, and the evidence can be explored again", async ({ skip }) => {
    const results = await cut(skip, { store: await storeOf("broken/never-syncs", 1) });
    expect(results.storeCuts.length).toBeGreaterThanOrEqual(1);
    for (const one of results.storeCuts) {
      expect(one).toMatchObject({ verdict: "allowed", recovered: "wrong" });
      expect(one.pending).toBeGreaterThan(0);
      expect(one.findings.map(({ kind }) => kind)).toContain("lost-acknowledged-write");
      const { trace, history, base } = readTracedRun(one.kept!);
      expect(trace.faults).toEqual([]);
      expect(trace.events.length).toBe(one.events);
      expect(history.operations.length).toBeGreaterThanOrEqual(one.acknowledged);
      expect(base.map(({ path }) => path)).toContain(".");
    }
    expect(results).toMatchObject({ verdict: true, storeVerdict: false });
  }, 120_000);

  it("is told apart from a store that does not start at all", async ({ skip }) => {
    const { scenario } = await storeOf("ramlog", 1);
    const store = { scenario: { ...scenario, store: "resp:false" }, cuts: 1 };
    const refused = await cut(skip, { store, fileSystems: ["ext4"] }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ScenarioError);
    expect((refused as Error).message).toMatch(/does not start|false/);
  }, 120_000);
});
