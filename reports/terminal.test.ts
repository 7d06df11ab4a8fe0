import { expect, test } from "vitest";
import type { RunResults } from "../harness/results.ts";
import { brief, syntheticFaults, syntheticResults } from "./fixtures/synthetic-run.ts";
import { summaryOptions, terminalSummary } from "./terminal.ts";

const plain = { colour: false, width: 100 };
const faults = syntheticFaults(brief);

for (const verdict of [true, false, "unknown"] as const) {
  test(`the summary of a run that is ${verdict} fits 25 lines of 100 columns and ends with the replay line`, () => {
    const results = syntheticResults(verdict, faults);
    const lines = terminalSummary(results, plain).trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(25);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
    expect(lines.at(-1)).toContain(results.replay);
    expect(lines.at(-2)).toContain("report.html");
    for (const name of ["done", "fired", "checked", "not covered", "worst", "crashes", "recovery"]) {
      expect(lines.some((line) => line.startsWith(`  ${name}`))).toBe(true);
    }
  });
}

test("the first line is the verdict in words, and the second is one sentence of what", () => {
  const [first, second] = terminalSummary(syntheticResults(false, faults), plain).split("\n");
  expect(first).toBe("VIOLATION: lost-acknowledged-write");
  expect(second).toMatch(/^write \d+ of e0\/r\/3 was acknowledged/);
  expect(terminalSummary(syntheticResults("unknown", faults), plain)).toMatch(/^UNKNOWN\n/);
});

test("a run with far too much to say still fits, and says how much was left out", () => {
  const results = syntheticResults(false, faults);
  const crowded: RunResults = {
    ...results,
    findings: Array.from({ length: 40 }, () => results.findings[0]!),
    checks: Array.from({ length: 30 }, (_none, index) => ({
      ...results.checks[0]!,
      workload: `workload${index}`,
    })),
    faults: Array.from({ length: 60 }, (_none, index) => ({ ...results.faults[0]!, name: `fault-${index}` })),
    notCovered: Array.from({ length: 30 }, (_none, index) => ({
      what: `thing-${index}`,
      why: `reason ${index}`,
    })),
    worst: "very ".repeat(100),
  };
  const text = terminalSummary(crowded, plain);
  expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
  expect(text).toContain("more: see the report");
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
});

test("a path or a command that is longer than the line is not broken", () => {
  const replay = `npx acked replay ${"deep/".repeat(40)}`;
  expect(terminalSummary({ ...syntheticResults(true, faults), replay }, plain)).toContain(replay);
});

test("what a store said cannot write terminal sequences", () => {
  const results = {
    ...syntheticResults("unknown", faults),
    reasons: ["\u001b]0;gotcha\u0007\u001b[2J done"],
  };
  expect(terminalSummary(results, plain)).not.toMatch(/(?!\n)\p{Cc}/u);
});

test("colours appear only on a terminal without NO_COLOR", () => {
  expect(summaryOptions({ isTTY: true, columns: 80 }, {})).toEqual({ colour: true, width: 80 });
  expect(summaryOptions({ isTTY: true, columns: 300 }, { NO_COLOR: "1" })).toEqual({
    colour: false,
    width: 100,
  });
  expect(summaryOptions({}, {})).toEqual({ colour: false, width: 100 });
  expect(terminalSummary(syntheticResults(true, faults), { colour: true, width: 100 })).toContain(
    "\u001b[1;32mPASS",
  );
});
