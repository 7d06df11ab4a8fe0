import { expect, test } from "vitest";
import type { HistoryEvent } from "../harness/history/operation.ts";
import { brief, syntheticEvents, syntheticFaults, syntheticResults } from "./fixtures/synthetic-run.ts";
import { chooseFocus, NeighbourhoodScan } from "./neighbourhood.ts";
import { TimelineScan } from "./timeline.ts";

const faults = syntheticFaults(brief);
const events: readonly HistoryEvent[] = [...syntheticEvents(brief, faults)];

function timelineOf(some: readonly HistoryEvent[]) {
  const scan = new TimelineScan(faults);
  for (const event of some) scan.add(event);
  return scan.finish();
}

test("with a finding, the windows hold its operations, its crash and the restart, and they are marked", () => {
  const { findings } = syntheticResults(false, faults);
  const focus = chooseFocus(findings, faults, timelineOf(events))!;
  const kill = faults.find((fault) => fault.name === "kill" && fault.firedAt! > 10e9)!;
  const inside = (time: number) => focus.windows.some((window) => time >= window.from && time <= window.to);
  for (const operation of findings[0]!.operations) expect(inside(operation.calledAt)).toBe(true);
  expect(inside(kill.firedAt!) && inside(kill.healedAt)).toBe(true);
  expect(focus.windows.length).toBeLessThanOrEqual(5);
  const scan = new NeighbourhoodScan(focus);
  for (const event of events) scan.add(event);
  const { operations, leftOut } = scan.finish();
  const shown = new Set(operations.map((operation) => operation.call));
  expect([...focus.highlighted].every((call) => shown.has(call))).toBe(true);
  expect(leftOut).toBe(0);
});

test("without a finding it is the first crash, and without a crash the slowest operation", () => {
  const firstCrash = faults.find((fault) => fault.name === "kill")!;
  const focus = chooseFocus([], faults, timelineOf(events))!;
  expect(focus.title).toBe("What a crash looks like here");
  expect(focus.windows[0]!.from).toBeLessThan(firstCrash.firedAt!);
  expect(focus.windows.at(-1)!.to).toBeGreaterThan(firstCrash.healedAt);
  const calm = timelineOf(events.filter((event) => event.time < 2e9));
  expect(chooseFocus([], [], calm)!.title).toBe("Around the slowest acknowledged operation");
  expect(chooseFocus([], [], timelineOf([]))).toBeUndefined();
});

test("a counterexample spread over the whole run gets at most five windows, in order and disjoint", () => {
  const { findings } = syntheticResults(false, faults);
  const first = findings[0]!.operations[0]!;
  const operations = Array.from({ length: 12 }, (_none, index) => ({
    ...first,
    calledAt: 1e9 * (index + 1),
    returnedAt: index === 3 ? Number.POSITIVE_INFINITY : 1e9 * (index + 1) + 1e6,
  }));
  const { windows } = chooseFocus([{ ...findings[0]!, operations }], faults, timelineOf(events))!;
  expect(windows).toHaveLength(5);
  for (const [index, window] of windows.entries()) {
    expect(window.to).toBeGreaterThan(window.from);
    if (index > 0) expect(window.from).toBeGreaterThan(windows[index - 1]!.to);
  }
});
