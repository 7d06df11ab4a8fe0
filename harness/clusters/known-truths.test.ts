/**
 * What is known of real clusters comes out of a run of them, each by one scenario: `acked chaos --store … --fault …`. Those
 * whose servers are not installed are skipped aloud, unless ACKED_REQUIRE names them.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findStore } from "../../stores/index.ts";
import type { RunResults } from "../results.ts";
import { runDirectoryAt } from "../run-directory.ts";
import { type Resolution, resolveScenario, type Scenario } from "../scenario.ts";
import { runCluster } from "./cluster-run.ts";
import type { StormStep } from "./storm.ts";

let runsDir = "";
let runs = 0;
beforeAll(() => {
  runsDir = mkdtempSync(join(tmpdir(), "acked-clusters-"));
  chmodSync(runsDir, 0o755); // Postgres runs as another user
});
afterAll(() => rmSync(runsDir, { recursive: true, force: true }));

const deadlineMs = 120_000;
/** Runs that a loss has to show in: what was on its way when the leader died is the machine's. */
const runsAtMost = 4;

async function runOf(scenario: Scenario, storm?: readonly StormStep[], stormMs = 5000): Promise<RunResults> {
  const path = join(runsDir, String(runs++));
  mkdirSync(join(path, "data"), { recursive: true });
  const resolution = await resolveScenario({ cycles: 1, seconds: 30, seed: 1, ...scenario });
  const began = performance.now();
  const results = await runCluster(storm ? stormed(resolution, storm, stormMs) : resolution, {
    ...{ directory: runDirectoryAt(path), runsDir, command: "test", replay: "", onProgress: () => {} },
    signal: new AbortController().signal,
  });
  const { lostAcknowledged, staleReads, splitBrain } = results.cluster!.measured;
  console.info(
    `${scenario.store} under ${(scenario.faults ?? []).join(", ")}: ${results.verdict}, ${lostAcknowledged.count} of ${lostAcknowledged.of} acknowledged insertions lost, ${staleReads.count} stale reads (oldest ${Math.round(staleReads.oldestMs)} ms), ${splitBrain.length} times of two leaders, in ${Math.round(performance.now() - began)} ms`,
  );
  rmSync(path, { recursive: true, force: true });
  return results;
}

/** The same run with one storm of exactly these faults. */
function stormed(resolution: Resolution, steps: readonly StormStep[], stormMs: number): Resolution {
  const cluster = { ...resolution.scenario.cluster!, rounds: [{ stormMs, calmMs: 700, steps }] };
  return { ...resolution, scenario: { ...resolution.scenario, cluster } };
}

/** The first of some runs, each with another seed, of which `holds` is true; the last one otherwise. */
async function firstOf(scenario: Scenario, holds: (results: RunResults) => boolean): Promise<RunResults> {
  for (let seed = 1; ; seed++) {
    const results = await runOf({ ...scenario, seed });
    if (holds(results) || seed === runsAtMost) return results;
  }
}

const lost = ({ cluster }: RunResults) => cluster!.measured.lostAcknowledged.count;
const stale = ({ cluster }: RunResults) => cluster!.measured.staleReads.count;

const missing = new Map<string, string | undefined>();
for (const name of ["postgres-replica", "etcd", "redis-sentinel"]) {
  const why = await (await findStore(name)).unavailable?.();
  missing.set(name, why);
  const required = (process.env.ACKED_REQUIRE ?? "")
    .split(",")
    .some((one) => one !== "" && name.startsWith(one));
  if (why !== undefined && required) throw new Error(`ACKED_REQUIRE asks for ${name}, and ${why}`);
  if (why !== undefined) console.info(`skipped: ${name}: ${why}`);
}

describe.skipIf(missing.get("postgres-replica"))("a failover of PostgreSQL", () => {
  const failover = { workloads: ["set", "register"], faults: ["failover"] };

  test(
    "asynchronous, loses the acknowledged tail, which is measured and not held against it",
    async () => {
      const results = await firstOf({ store: "postgres-replica-async", ...failover }, (one) => lost(one) > 0);
      expect(lost(results)).toBeGreaterThan(0);
      expect(results).toMatchObject({ verdict: true, findings: [] });
    },
    deadlineMs,
  );

  test(
    "synchronous, loses nothing",
    async () => {
      const results = await runOf({ store: "postgres-replica", ...failover });
      expect(results).toMatchObject({ verdict: true, reasons: [] });
      expect(results.cluster!.measured.lostAcknowledged).toMatchObject({ count: 0 });
      expect(results.cluster!.measured.lostAcknowledged.of).toBeGreaterThan(20);
    },
    deadlineMs,
  );

  test(
    "whose old primary comes back as it was: it serves stale data, and two lead",
    async () => {
      const results = await runOf({
        store: "postgres-replica-async",
        workloads: ["set", "register"],
        faults: ["resurrect-leader"],
      });
      expect(stale(results)).toBeGreaterThan(0);
      expect(lost(results)).toBeGreaterThan(0);
      expect(results.cluster!.measured.splitBrain.length).toBeGreaterThan(0);
    },
    deadlineMs,
  );
});

describe.skipIf(missing.get("postgres-replica"))("a run of a cluster", () => {
  test(
    "without faults passes, and every link between members and to the leader carries something",
    async () => {
      const results = await runOf({ store: "postgres-replica", faults: ["none"] });
      expect(results).toMatchObject({ verdict: true, reasons: [] });
      const { traffic, leaders } = results.cluster!;
      for (const link of ["n1>n2", "n2>n1", "c0>n1", "n1>c0"])
        expect(traffic[link]?.bytes).toBeGreaterThan(1000);
      expect(new Set(leaders.map(({ member }) => member))).toEqual(new Set(["n1"]));
    },
    deadlineMs,
  );
});

describe.skipIf(missing.get("redis-sentinel"))("Redis with Sentinel", () => {
  test(
    "loses acknowledged writes in a partition",
    async () => {
      const partition: StormStep = {
        fault: "isolate-leader",
        atMs: 300,
        parameters: { member: "leader", otherwise: 0, durationMs: 4000 },
      };
      const results = await runOf(
        { store: "redis-sentinel", workloads: ["set"], faults: ["isolate-leader"] },
        [partition],
      );
      expect(lost(results)).toBeGreaterThan(0);
      expect(results).toMatchObject({ verdict: true, findings: [] });
    },
    deadlineMs,
  );
});

describe.skipIf(missing.get("etcd"))("etcd", () => {
  const workloads = ["register", "set"];

  test(
    "stays linearizable while its leader is cut off, and again while it is paused",
    async () => {
      const storm: StormStep[] = [
        {
          fault: "isolate-leader",
          atMs: 200,
          parameters: { member: "leader", otherwise: 0, durationMs: 2000 },
        },
        { fault: "pause", atMs: 2600, member: "leader", parameters: { durationMs: 2200 } },
      ];
      const results = await runOf({ store: "etcd", workloads, faults: ["isolate-leader", "pause"] }, storm);
      expect(results).toMatchObject({ verdict: true, reasons: [] });
      expect(results.faults.map(({ name, fired }) => [name, fired])).toEqual(
        expect.arrayContaining([
          ["isolate-leader", 1],
          ["pause", 1],
        ]),
      );
      expect(new Set(results.cluster!.leaders.map(({ term }) => term)).size).toBeGreaterThan(1);
      expect(stale(results)).toBe(0);
    },
    deadlineMs,
  );

  test(
    "stays linearizable under every shape",
    async () => {
      const leader = { member: "leader", otherwise: 0 };
      const shapes: readonly (readonly [fault: string, parameters: StormStep["parameters"]])[] = [
        ["isolate", { ...leader, clients: true }],
        ["isolate-leader", leader],
        ["halves", { pick: 1 }],
        ["ring", { pick: 2 }],
        ["bridge", { pick: 3 }],
        ["one-way", { ...leader, is: "mute" }],
        ["one-way", { ...leader, is: "deaf" }],
        ["random-links", { pick: 5 }],
        ["client-partition", { ...leader, client: "all", direction: "back" }],
      ];
      const storm = shapes.map(([fault, parameters], index): StormStep => {
        return { fault, atMs: 200 + index * 1500, parameters: { ...parameters, durationMs: 1100 } };
      });
      const faults = [...new Set(shapes.map(([fault]) => fault))];
      const results = await runOf(
        { store: "etcd", nodes: 4, workloads, faults },
        storm,
        shapes.length * 1500,
      );
      expect(results.findings).toEqual([]);
      expect(stale(results)).toBe(0);
      expect(lost(results)).toBe(0);
      const fired = results.faults.filter((fault) => fault.fired > 0).map(({ name }) => name);
      // Those that cut the leader off from somebody: it speaks to all others, and they to nobody else.
      expect(fired).toEqual(
        expect.arrayContaining(["isolate", "isolate-leader", "halves", "ring", "one-way"]),
      );
      expect(results.cluster!.measured.staleReads.of).toBeGreaterThan(50);
    },
    deadlineMs,
  );

  test(
    "answers serializable reads from the past",
    async () => {
      const results = await firstOf(
        { store: "etcd-serializable", workloads: ["register"], faults: ["isolate"] },
        (one) => stale(one) > 0,
      );
      expect(stale(results)).toBeGreaterThan(0);
      expect(results).toMatchObject({ verdict: true, findings: [] });
    },
    deadlineMs,
  );
});
