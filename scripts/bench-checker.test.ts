/** Of the checker's promises, those that hold on any machine: ratios within one run, and bytes that are counted. */
import { describe, expect, it } from "vitest";
import { analyseColumns } from "../harness/checkers/linearizability/register-key.ts";
import { columnBytes, type KeyColumns, nil } from "../harness/history/columns.ts";
import { bytesTaken, measureFiles } from "./bench-checker.ts";
import { type BusyKeyOptions, busyKey } from "./busy-key.ts";

const clients = 50;

/** CPU ms of the cheapest turn, so that what else the machine does counts little. */
function cpuMs(turns: number, run: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < turns; turn++) {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

function judge(columns: KeyColumns): void {
  const analysis = analyseColumns(columns, nil);
  if (analysis.verdict !== true) throw new Error(`the checker calls a correct history ${analysis.verdict}`);
}

/** ns an operation. */
function costOf(options: Omit<BusyKeyOptions, "clients">): number {
  const columns = busyKey({ ...options, clients });
  const rounds = Math.max(1, Math.round(200_000 / options.operations));
  const ms = cpuMs(3, () => {
    for (let round = 0; round < rounds; round++) judge(columns);
  });
  return (ms * 1e6) / (rounds * options.operations);
}

/** Something everyone can judge a machine by: a pass over as many numbers, each put somewhere else. */
function calibrationNs(): number {
  const count = 200_000;
  const from = Int32Array.from({ length: count }, (_, i) => (i * 7919) % count);
  const to = new Int32Array(count);
  const scatter = () => {
    for (let i = 0; i < count; i++) to[from[i]!] = i;
  };
  return (cpuMs(3, scatter) * 1e6) / count;
}

describe("the exact check of one busy key", () => {
  it("costs about the same an operation from 10^4 to 2·10^5 operations", () => {
    costOf({ operations: 10_000 });
    const costs = [10_000, 100_000, 200_000].map((operations) => costOf({ operations }));
    expect(Math.max(...costs) / Math.min(...costs)).toBeLessThan(6);
  });

  it("costs little more with chains and with lost answers, and less than a hundred stores to memory", () => {
    const plain = costOf({ operations: 200_000 });
    expect(costOf({ operations: 200_000, compareAndSets: 0.2, writes: 0.2 }) / plain).toBeLessThan(5);
    expect(costOf({ operations: 200_000, indeterminateWrites: 2000 }) / plain).toBeLessThan(4);
    expect(plain / calibrationNs()).toBeLessThan(100);
  });

  it("takes at most 40 bytes an operation beyond the columns, which take 17", () => {
    for (const options of [
      {},
      { writes: 1 },
      { compareAndSets: 0.5, writes: 0.5 },
      { indeterminateWrites: 1000 },
    ]) {
      const columns = busyKey({ operations: 50_000, clients, ...options });
      expect(columnBytes(columns)).toBe(17 * columns.count);
      expect(bytesTaken(() => analyseColumns(columns, nil)) / columns.count).toBeLessThanOrEqual(40);
    }
  });

  it("calls a busy key linearizable, and one where a read is moved to an older value not", () => {
    const columns = busyKey({ operations: 2000, clients, compareAndSets: 0.2, seed: 9 });
    judge(columns);
    const value = columns.value.slice();
    const late = columns.role.lastIndexOf(1);
    value[late] = value[columns.role.indexOf(1, 500)]!;
    expect(analyseColumns({ ...columns, value }, nil).verdict).toBe(false);
  });
});

describe("a history on disk", () => {
  it("is read at little more than the cost of JSON.parse, and as columns many times faster", () => {
    const { linesToParse, linesToColumns } = measureFiles(5_000);
    expect(linesToParse).toBeLessThan(3);
    expect(linesToColumns).toBeGreaterThan(4);
  });
});
