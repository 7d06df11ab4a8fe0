import { expect, test } from "vitest";
import type { HistoryEvent } from "../harness/history/operation.ts";
import type { FaultRecord } from "../harness/results.ts";
import { densityRows, TimelineScan } from "./timeline.ts";

/** An operation of process 0 as two events; times in ms. */
function operation(
  index: number,
  f: string,
  fromMs: number,
  tookMs: number,
  type: "ok" | "fail" | "info" = "ok",
) {
  const base = { process: 0, f, workload: "register", key: "e0/r/1" };
  return [
    { ...base, index, time: fromMs * 1e6, type: "invoke" },
    { ...base, index: index + 1, time: (fromMs + tookMs) * 1e6, type },
  ] as const satisfies readonly HistoryEvent[];
}

function scanned(events: Iterable<HistoryEvent>, faults: readonly FaultRecord[] = []) {
  const scan = new TimelineScan(faults);
  for (const event of events) scan.add(event);
  return scan.finish();
}

const kill: FaultRecord = {
  name: "kill",
  target: "n1",
  epoch: 0,
  cycle: 0,
  parameters: {},
  armedAt: 90e6,
  firedAt: 100e6,
  healedAt: 200e6,
};

test("an interval's percentiles are those of its operations, by the second of their invocation", () => {
  const events = Array.from({ length: 1000 }, (_none, index) =>
    operation(2 * index, "write", index * 2, 0.001 * (index + 1)),
  ).flat();
  const { intervals, intervalNs } = scanned(events);
  expect(intervalNs).toBe(1e9);
  expect(intervals.writes).toHaveLength(2);
  expect(intervals.writes[0]!.count).toBe(500);
  expect(intervals.writes[0]!.p50 / 250e3).toBeCloseTo(1, 1);
  expect(intervals.writes[1]!.p99 / 995e3).toBeCloseTo(1, 1);
  expect(intervals.writes[1]!.max / 1000e3).toBeCloseTo(1, 1);
  expect(intervals.reads).toEqual([]);
});

test("response times of hours are counted, not wrapped or refused", () => {
  const { intervals, curves } = scanned(operation(0, "read", 0, 7_200_000));
  expect(intervals.all[0]!.max / 7.2e12).toBeCloseTo(1, 1);
  expect(curves[0]!.points.at(-1)![1] / 7.2e12).toBeCloseTo(1, 1);
});

test("an operation counts as during faults when any part of it overlaps a fault that fired", () => {
  const events = [
    ...operation(0, "write", 50, 49),
    ...operation(2, "write", 99, 2),
    ...operation(4, "write", 150, 10),
    ...operation(6, "write", 199, 50),
    ...operation(8, "write", 250, 5),
  ];
  const counts = (faults: FaultRecord[]) =>
    Object.fromEntries(scanned(events, faults).curves.map((curve) => [curve.during, curve.count]));
  expect(counts([kill])).toEqual({ quiet: 2, faults: 3 });
  const { firedAt, ...neverFired } = kill;
  expect(firedAt).toBeDefined();
  expect(counts([neverFired])).toEqual({ quiet: 5 });
});

test("read-backs, failures and unknown outcomes are in no percentile and no cell", () => {
  const readBack = operation(0, "read", 1, 1).map((event) => ({ ...event, readBack: true }));
  const events = [
    ...readBack,
    ...operation(2, "read", 5, 1, "fail"),
    ...operation(4, "read", 8, 1, "info"),
    operation(6, "write", 20, 1)[0],
  ];
  const { intervals, density, dots, failed, unknown } = scanned(events);
  expect(intervals.all).toEqual([]);
  expect(density.reads.cells.every((cell) => cell === 0)).toBe(true);
  expect([failed, unknown]).toEqual([1, 2]);
  expect(dots.reads.map((dot) => dot.as)).toEqual(["failed", "unknown"]);
  expect(dots.writes).toMatchObject([{ as: "unknown", responseNs: Number.POSITIVE_INFINITY }]);
});

test("no operation is lost from the density when columns double, and half an hour of them stays bounded", () => {
  const scan = new TimelineScan([]);
  const operations = 500_000;
  const spacing = 4e6;
  for (let n = 0; n < operations; n++) {
    const process = n % 8;
    const time = n * spacing;
    const returned = time + 1e5 + (n % 977) * 1e4;
    scan.add({
      index: 2 * n,
      time,
      process,
      type: "invoke",
      f: "write",
      workload: "register",
      key: "e0/r/1",
    });
    scan.add({ index: 2 * n + 1, time: returned, process, type: n % 50 === 0 ? "info" : "ok", f: "write" });
  }
  const timeline = scan.finish();
  const { cells, columns, columnNs } = timeline.density.writes;
  expect(columns * densityRows.count).toBeLessThanOrEqual(cells.length);
  expect(columns * columnNs).toBeGreaterThanOrEqual(operations * spacing * 0.99);
  expect(cells.reduce((sum, cell) => sum + cell, 0)).toBe(operations * 0.98);
  expect(timeline.intervals.all.length).toBeLessThanOrEqual(600);
  expect(timeline.intervals.all.reduce((sum, interval) => sum + (interval?.count ?? 0), 0)).toBe(
    operations * 0.98,
  );
  expect(timeline.unknown).toBe(operations * 0.02);
  expect(timeline.dots.writes.length).toBeLessThanOrEqual(120 + 501);
});

test("the slowest operations are kept whatever their order", () => {
  const events = Array.from({ length: 3000 }, (_none, index) =>
    operation(2 * index, "read", index * 100, 1 + ((index * 7919) % 3000) / 100),
  ).flat();
  const { dots, slowest } = scanned(events);
  expect(dots.reads).toHaveLength(120);
  expect(Math.min(...dots.reads.map((dot) => dot.responseNs))).toBeGreaterThanOrEqual((1 + 28.8) * 1e6);
  expect((slowest!.returnedAt - slowest!.calledAt) / 1e6).toBeCloseTo(30.99, 5);
});
