import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Measurable, MeasuredConnection, MeasuredDone, MeasuredSession } from "../../stores/contract.ts";
import { type BenchPlan, runBench } from "./bench.ts";
import { benchKeys, keyBytes, requestSource, valueBytes } from "./dataset.ts";

let out: string;

beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), "acked-benchtest-"));
});
afterEach(() => rmSync(out, { recursive: true, force: true }));

interface Behaviour {
  /** ms a request takes. */
  readonly delayMs?: number;
  readonly failAfter?: number;
  readonly deviations?: readonly string[];
}

/** A store inside this process: real enough to be measured, and known to be slow or to fail. */
function fakeStore(name: string, { delayMs = 0, failAfter = Infinity, deviations = [] }: Behaviour = {}) {
  const entries = new Map<string, string>();
  const seen = { closed: 0, connections: 0, syncs: 0, requests: 0 };
  const later = (done: () => void): void => {
    if (delayMs > 0) setTimeout(done, delayMs);
    else setImmediate(done);
  };
  const answer = (act: () => string | undefined, done: MeasuredDone): void =>
    later(() => {
      if (++seen.requests > failAfter) done(new Error("the disk is gone"));
      else done(undefined, act());
    });
  const connection: MeasuredConnection = {
    upsert: (key, value, done) =>
      answer(() => {
        seen.syncs++;
        entries.set(key, value);
        return undefined;
      }, done),
    read: (key, done) => answer(() => entries.get(key), done),
    close: async () => {
      seen.connections--;
    },
  };
  const session: MeasuredSession = {
    version: "1",
    settings: { fsync: "on" },
    deviations,
    connect: async () => {
      seen.connections++;
      return connection;
    },
    preload: async (all) => {
      for (const [key, value] of all) entries.set(key, value);
    },
    logCounters: async () => ({ syncs: seen.syncs, bytes: seen.syncs * 300 }),
    close: async () => {
      seen.closed++;
    },
  };
  const store: Measurable = { name, durabilities: ["always"], open: async () => session };
  return { store, seen };
}

function planFor(stores: readonly Measurable[], more: Partial<BenchPlan> = {}): BenchPlan {
  return {
    ...{ command: "bench", stores, durability: { mode: "always" }, durabilityText: "always" },
    ...{ clients: [2], rounds: 2, measureMs: 30, indicative: true, seed: 5, out, allowTmpfs: true },
    ...{ replay: "npm run bench -- --seed 5", notCovered: [], onProgress: () => {} },
    connectThin: async () =>
      fakeStore("nothing")
        .store.open({ host: "", port: 0 }, { mode: "always" })
        .then((session) => session.connect()),
    interrupted: new AbortController().signal,
    ...more,
  };
}

describe("a bench", () => {
  it("measures every cell in every round, compares, and names where the first store loses", async () => {
    // So much slower that no noise of a busy machine is as large.
    const slow = fakeStore("slow", { delayMs: 20 });
    const fast = fakeStore("fast");
    const { results, runDir } = await runBench(
      planFor([slow.store, fast.store], { clients: [1, 2], rounds: 3, measureMs: 150 }),
    );
    expect(results.verdict).toBe(true);
    expect(results.cells.map(({ cell, store }) => `${cell}: ${store}`)).toEqual([
      "upsert, 1 client: slow",
      "upsert, 1 client: fast",
      "upsert, 2 clients: slow",
      "upsert, 2 clients: fast",
      "read, 1 client: slow",
      "read, 1 client: fast",
      "read, 2 clients: slow",
      "read, 2 clients: fast",
    ]);
    for (const cell of results.cells) expect(cell.throughput).toHaveLength(3);
    const ratio = results.ratios.find(
      ({ cell, metric }) => cell === "read, 2 clients" && metric === "throughput",
    )!;
    expect(ratio).toMatchObject({ store: "slow", reference: "fast", difference: "worse" });
    expect(ratio.rounds).toHaveLength(3);
    expect(results.conclusion.join("\n")).toContain("slow loses to fast: throughput of upsert");
    expect(results.openLoop.map(({ store }) => store)).toEqual(["slow", "fast"]);
    expect(results.cells[0]!.recordsPerSync).toBeCloseTo(1, 1);
    expect(results.cells[0]!.logBytesPerUserByte).toBeCloseTo(2, 1);
    expect([slow.seen.connections, fast.seen.connections]).toEqual([0, 0]);
    expect(slow.seen.closed).toBeGreaterThan(0);
    expect(readdirSync(runDir).sort()).toEqual([
      "fast.hlog",
      "results.json",
      "scenario.json",
      "slow.hlog",
      "store.log",
    ]);
    expect(JSON.parse(readFileSync(join(runDir, "results.json"), "utf8"))).toEqual(results);
    expect(readdirSync(join(out, ".active"))).toEqual([]);
  });

  it("is unknown, with what was measured, when a store fails on the way", async () => {
    const good = fakeStore("good");
    const failing = fakeStore("failing", { failAfter: 200 });
    const { results } = await runBench(planFor([good.store, failing.store]));
    expect(results).toMatchObject({ verdict: "unknown", exitCode: 2 });
    expect(results.reasons[0]).toMatch(/^failing failed during (upsert|read), .*: the disk is gone$/);
    expect(good.seen.connections).toBe(0);
  });

  it("is unknown when a store does not sync as was asked, whatever the figures", async () => {
    const cheat = fakeStore("cheat", { deviations: ["cheat runs with fsync = off"] });
    const { results } = await runBench(planFor([cheat.store, fakeStore("honest").store]));
    expect(results).toMatchObject({ verdict: "unknown", reasons: ["cheat runs with fsync = off"] });
  });

  it("is unknown, not a pass, when only one store could be measured", async () => {
    const { results } = await runBench(planFor([fakeStore("alone").store]));
    expect(results.verdict).toBe("unknown");
    expect(results.conclusion).toEqual(["Only one store was measured, so there is nothing to compare."]);
  });

  it("stops when interrupted, keeps what it has, and closes its sessions", async () => {
    const interrupt = new AbortController();
    const one = fakeStore("one");
    const onProgress = (line: string): void => {
      if (line.startsWith("round 1/2: upsert")) interrupt.abort();
    };
    const plan = planFor([one.store, fakeStore("other").store], {
      onProgress,
      interrupted: interrupt.signal,
    });
    const { results } = await runBench(plan);
    expect(results).toMatchObject({
      verdict: "unknown",
      exitCode: 2,
      reasons: ["it was interrupted"],
      rounds: 0,
    });
    expect(results.cells.length).toBeGreaterThan(0);
    expect(one.seen.closed).toBeGreaterThan(0);
  });

  it("keeps to its budget by making measurements shorter", async () => {
    const plan = planFor([fakeStore("one").store, fakeStore("other").store], {
      ...{ measureMs: 60_000, rounds: 1, clients: [1], budgetMs: 4000 },
    });
    const { results } = await runBench(plan);
    expect(results.measureMs).toBeLessThan(1000);
    expect(results.elapsedMs).toBeLessThan(20_000);
  });

  it("leaves no run directory behind when it cannot begin", async () => {
    const never: Measurable = { ...fakeStore("never").store, durabilities: ["none"] };
    await expect(runBench(planFor([never]))).rejects.toThrow(
      'store never has no durability mode "always": it offers none',
    );
    expect(existsSync(join(out, "bench")) ? readdirSync(join(out, "bench")) : []).toEqual([]);
  });
});

describe("the data that stores are measured with", () => {
  it("has keys of 50 bytes that differ, and values of 100 that differ, the same for the same seed", () => {
    const keys = benchKeys(1000);
    expect(new Set(keys).size).toBe(1000);
    expect(keys.every((key) => Buffer.byteLength(key) === keyBytes)).toBe(true);
    const [one, other] = [requestSource(keys, 9), requestSource(keys, 9)];
    const values = Array.from({ length: 1000 }, () => one.value());
    expect(new Set(values).size).toBe(1000);
    expect(values.every((value) => Buffer.byteLength(value) === valueBytes)).toBe(true);
    expect(Array.from({ length: 1000 }, () => other.value())).toEqual(values);
    expect(keys).toContain(one.key());
  });
});
