import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { BenchResults, RatioRecord } from "../../harness/measure/results.ts";
import { benchPage } from "./page.ts";
import { readBench } from "./read.ts";
import { benchTable } from "./table.ts";

const hostile = `<script>alert("x")</script>\u001b[31m`;
const times = { count: 100, p50: 1e5, p90: 2e5, p99: 1e6, p999: 2e6, max: 3e6 };
const estimate = { rounds: [1.4, 1.5, 1.6], median: 1.5, low: 1.4, high: 1.6 };
const same = { rounds: [1, 1.02, 0.99], median: 1, low: 0.99, high: 1.02 };

function ratio(
  metric: RatioRecord["metric"],
  difference: RatioRecord["difference"],
  cell = "upsert, 8 clients",
) {
  const names = { cell, metric, store: "ramlog", reference: hostile };
  return { ...names, ...estimate, sameAgainstSame: same, noiseFloor: 1.02, difference } satisfies RatioRecord;
}

function cell(store: string): BenchResults["cells"][number] {
  return {
    ...{ cell: "upsert, 8 clients", operation: "upsert", clients: 8, store },
    ...{ throughput: [900, 1000, 1100], serviceTime: times, p50: [1e5], p99: [1e6] },
    ...{ recordsPerSync: 3.2, syncsPerSecond: 312, logBytesPerUserByte: 1.2 },
    ...{ generatorCpu: 0.4, diskProbe: 1.2e5, disturbedRounds: store === "ramlog" ? 1 : 0 },
  };
}

function openLoop(store: string): BenchResults["openLoop"][number] {
  const curve = [0, 50, 90, 99].map((percentile, at) => ({ percentile, ns: 10 ** (5 + at * 0.5) }));
  return {
    ...{ store, operation: "upsert", connections: 8, arrivals: "poisson", offeredPerSecond: 500 },
    ...{ achievedPerSecond: 499, offered: 500, completed: 499, late: 3, dropped: 1, unfinished: 0 },
    ...{ responseTime: times, serviceTime: times, responseCurve: curve, serviceCurve: curve },
    ...{ generatorLag: times, generatorCpu: 0.9 },
  };
}

const results: BenchResults = {
  ...{ formatVersion: 1, command: "compare", verdict: "unknown", exitCode: 2, indicative: true },
  reasons: [`${hostile} was interrupted`],
  ...{ durability: "always", seed: 1, rounds: 3, measureMs: 400, keys: 1000, keyBytes: 50, valueBytes: 100 },
  ...{
    runDir: "runs/compare/x",
    replay: `npm run compare -- --stores 'resp:${hostile}'`,
    startedAt: "2026-01-01T00:00:00Z",
  },
  ...{ elapsedMs: 40_000, fileSystem: "ext4" },
  machine: {
    cpu: hostile,
    cores: 2,
    memoryBytes: 2 ** 33,
    kernel: "linux 6",
    fileSystem: "ext4",
    node: "v20",
  },
  versions: { node: "v20", [hostile]: hostile },
  stores: ["ramlog", hostile].map((name) => {
    return { name, version: hostile, settings: { [hostile]: hostile }, deviations: [], data: "ext4" };
  }),
  cells: [cell("ramlog"), cell(hostile)],
  ratios: [
    ratio("throughput", "better"),
    ratio("p99", "none"),
    ratio("throughput", "worse", "upsert, 50 clients, against the other's best (8 clients)"),
    ratio("response p99", "worse", "upsert, open loop at 500/s"),
  ],
  openLoop: [openLoop("ramlog"), openLoop(hostile)],
  pieces: [{ name: "record encoding", operationsPerSecond: 1e6, p50: 500, p99: 900, samples: 100 }],
  validity: { ceiling: [{ clients: 8, perSecond: 50_000 }], diskProbe: times, warnings: [hostile] },
  notCovered: [{ what: hostile, why: hostile, remedy: hostile }],
  conclusion: [`ramlog loses to ${hostile}: response time`],
};

describe("the page of a bench", () => {
  const page = benchPage(results);

  it("asks the network for nothing, runs nothing, and stays small", () => {
    expect(page).not.toMatch(/https?:\/\//);
    expect(page).not.toMatch(/<script|javascript:|\son[a-z]+=/i);
    expect(page).toContain("default-src 'none'");
    expect(page.length).toBeLessThan(200_000);
  });

  it("escapes whatever a store or a person called itself", () => {
    expect(page).not.toContain("<script>");
    expect(page).not.toContain("\u001b");
    expect(page).toContain("&lt;script&gt;");
  });

  it("has dark and light, the ratio with its interval and its floor, and says where the store loses", () => {
    expect(page).toContain("prefers-color-scheme: dark");
    expect(page).toContain("1.400 – 1.600");
    expect(page).toContain("±2.0%");
    expect(page).toContain("ramlog loses to");
    expect(page).toContain("UNKNOWN");
  });

  it("holds no figure that is not a number", () => {
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("can be made of a bench that was interrupted before it had measured anything", () => {
    const nothing = { ...results, cells: [], ratios: [], openLoop: [], pieces: [] };
    expect(benchPage(nothing)).not.toMatch(/NaN|Infinity|undefined/);
    expect(benchTable(nothing, "page.html")).toContain("UNKNOWN");
  });
});

describe("the table of a bench", () => {
  const table = benchTable(results, "runs/compare/x/bench.html");

  it("has the ratio beside its interval and noise, and a word only beyond the noise", () => {
    expect(table).toContain("1.50 [1.40 1.60] (±2%) better");
    expect(table).toContain("(±2%) no difference");
    expect(table).toContain("runs/compare/x/bench.html");
  });

  it("holds nothing that a terminal would obey", () => {
    expect(table).not.toContain("\u001b");
  });
});

describe("reading a bench again", () => {
  const read = (text: string) => {
    const directory = mkdtempSync(join(tmpdir(), "acked-readbench-"));
    try {
      writeFileSync(join(directory, "results.json"), text);
      return readBench(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };

  it("gives what was written", () => {
    expect(read(JSON.stringify(results))).toEqual(results);
  });

  it.each([
    ["{", /cannot be read/],
    ['{"command":"chaos"}', /its command is chaos/],
    [JSON.stringify({ ...results, formatVersion: 2 }), /format 2/],
  ])("refuses %.20s with one sentence", (text, sentence) => {
    expect(() => read(text)).toThrow(sentence);
  });
});
