import { expect, test } from "vitest";
import type { RunResults } from "../harness/results.ts";
import { clusterResults, clusterRun, somethingMeasured } from "./fixtures/cluster-run.ts";
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

for (const verdict of [true, false, "unknown"] as const) {
  test(`the summary of a cluster's run that is ${verdict} names nodes, network, storms, what was measured, and who served again when`, () => {
    const text = terminalSummary(clusterRun(verdict), plain);
    const lines = text.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(25);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
    expect(text).toContain(
      "  done         3 nodes (n1, n2, n3) on user-space proxies, 2 storms, 6,720 operations",
    );
    expect(text).toMatch(
      /^ {2}storms {7}2 storms with 2 faults on members \(n2 1, n3 1\), 3 on the network,/m,
    );
    expect(text.replace(/\s+/g, " ")).toContain("the leader was seen to change 3 times");
    expect(text).toMatch(
      /^ {2}measured {5}lost acknowledged writes: none of 1,204 · stale reads: none of 3,310/m,
    );
    expect(text).toContain("serving again: median 12 ms, max 1.42 s over 6 faults");
    expect(text).not.toMatch(/without any crash|No crash/);
  });
}

test("what a cluster does not promise is measured, told, and said not to be held against it", () => {
  const cluster = clusterResults(somethingMeasured);
  const observed = [...cluster.measured.observed, "split-brain: round 0: n1 and n3 both led"];
  const text = terminalSummary(
    clusterRun(true, { ...cluster, measured: { ...cluster.measured, observed } }),
    plain,
  ).replace(/\s+/g, " ");
  expect(text).toContain("31 of 1,204, acknowledged over 780 ms");
  expect(text).toContain("by n1 and n3 meanwhile; not promised, not held against the store");
});

test("a pass of a cluster bounds what its storms say, and a run without faults says that it says nothing", () => {
  const text = terminalSummary(clusterRun(true), plain).replace(/\s+/g, " ");
  expect(text).toContain("in 6,544 acknowledged operations through 2 storms with 2 faults on members");
  expect(text).toContain("fewer than 78% of storms like these break one");
  const quiet = terminalSummary(clusterRun(true, { ...clusterResults(), faults: [] }), plain);
  expect(quiet.replace(/\s+/g, " ")).toContain("This run says nothing about faults.");
  expect(quiet).not.toContain("95%");
});

test("a cluster with a long finding and much to say still fits 25 lines", () => {
  const results = clusterRun(false, clusterResults(somethingMeasured));
  const long = { ...results.findings[0]!, sentence: "very long ".repeat(80) };
  const crowded: RunResults = {
    ...results,
    findings: Array.from({ length: 20 }, () => long),
    checks: Array.from({ length: 20 }, (_none, index) => ({ ...results.checks[0]!, workload: `w${index}` })),
    notCovered: Array.from({ length: 20 }, (_none, index) => ({ what: `t${index}`, why: `r${index}` })),
    worst: "worse ".repeat(60),
  };
  const lines = terminalSummary(crowded, plain).trimEnd().split("\n");
  expect(lines.length).toBeLessThanOrEqual(25);
  expect(lines.at(-1)).toContain(results.replay);
});

test("a cluster that was partitioned beside the store has a line of its own, and leaves the store's crashes their words", () => {
  const results: RunResults = {
    ...syntheticResults(true, faults),
    pair: { store: "some-pair", operations: 321, cluster: clusterResults() },
  };
  const text = terminalSummary(results, plain);
  expect(text).toMatch(/^ {2}partitioned +some-pair: nothing found in 321 operations/m);
  expect(text).toMatch(/^ {2}crashes /m);
  expect(text).not.toMatch(/^ {2}storms /m);
  expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
});
