/** How an exploration and a sweep appear in every report. */
import { expect, test } from "vitest";
import type { RunResults } from "../harness/results.ts";
import { coverageTable } from "./coverage-table.ts";
import { crashStateFinding, exploration, sweep } from "./fixtures/explored.ts";
import { brief, syntheticFaults, syntheticResults } from "./fixtures/synthetic-run.ts";
import { crashStateOf, explorations, smallestOf } from "./html/exploration.ts";
import { firstScreen } from "./html/first-screen.ts";
import { sweepMatrix } from "./html/sweep.ts";
import { jsonDocument } from "./json.ts";
import { junitXml } from "./junit.ts";
import { terminalSummary } from "./terminal.ts";
import { verdictSentence } from "./verdict-words.ts";

const passed = syntheticResults(true, syntheticFaults(brief));
const finding = crashStateFinding();
const found: RunResults = {
  ...passed,
  verdict: false,
  findings: [finding],
  explorations: [exploration(false, [finding])],
  sweep,
};

const none = { faults: [], starts: [] };

test("the first screen shows the smallest run that shows the finding, and what was not on the disk", () => {
  const { markup } = smallestOf(found);
  expect(markup).toContain("2 operations from 1 client, out of 1,012");
  expect(markup).toContain("In that run's trace, under posix-strict");
  expect(crashStateOf(found).markup).toContain("creation of segment-0000000002.log (event 640)");
  const screen = firstScreen(found, none).markup;
  expect(screen.indexOf("The smallest run")).toBeLessThan(screen.indexOf("Counterexample"));
});

test("a finding that no crash state shows leaves the first screen as it was", () => {
  expect(crashStateOf(passed).markup + smallestOf(passed).markup).toBe("");
  const live = { ...finding, sentence: "seen by a client" };
  expect(crashStateOf({ ...found, findings: [live] }).markup).toBe("");
});

test("the table of crash states tells possible, distinct, recovered, judged and what was left out", () => {
  const { markup } = explorations(found);
  for (const part of ["more than 2^53", "81,000", "12,010", "12,000", "36,000", "4,120 of 4,120"]) {
    expect(markup).toContain(part);
  }
  expect(markup).toContain("1,200: subsets beyond the sample of 8 a crash point");
  expect(markup).toContain("npm run replay -- runs/broken-x/1");
  expect(explorations(passed).markup).toBe("");
});

test("an exploration that found nothing and came to part of the crash points says so, and not PASS", () => {
  const { scenes, ...whole } = exploration(true, []);
  const [first, ...others] = scenes;
  const partly = { ...whole, scenes: [{ ...first!, crashPoints: 1290, crashPointsExplored: 57 }, ...others] };
  const words = "nothing found in 57 of 1,290 crash points";
  const inTerminal = (one: ReturnType<typeof exploration>) =>
    terminalSummary({ ...passed, explorations: [one] }, { colour: false, width: 100 }).replaceAll(
      /\s+/g,
      " ",
    );
  expect(inTerminal(partly)).toContain(`${words}, `);
  expect(inTerminal(partly)).toContain("states at 57 crash points and at some of the others in");
  expect(coverageTable([partly])).toContain(words);
  expect(explorations({ ...passed, explorations: [partly] }).markup).toContain(`unknown-word">${words}`);
  expect(inTerminal({ ...whole, scenes })).not.toContain("nothing found in");
});

test("a scene that came to part of the crash points is named with how far it came", () => {
  const { scenes, ...whole } = exploration(true, []);
  const served = {
    ...scenes[0]!,
    name: "crash, restart, reads, power loss",
    crashPoints: 1243,
    crashPointsExplored: 370,
  };
  const results = { ...passed, explorations: [{ ...whole, scenes: [scenes[0]!, served] }] };
  const text = terminalSummary(results, { colour: false, width: 100 }).replaceAll(/\s+/g, " ");
  expect(text).toContain('"crash, restart, reads, power loss" reached 370 of 1,243 crash points');
});

test("the matrix counts outcomes by letter, and names the worst first", () => {
  const { markup } = sweepMatrix(found);
  expect(markup).toContain("F 1 · R 39");
  expect(markup).toContain("S 4");
  expect(markup).toContain("first at n = 7");
  expect(markup).toContain("Cut short by the time: sync error EIO (n = 41)");
  expect(sweepMatrix(passed).markup).toBe("");
});

test("file names and values of the store are text, never markup", () => {
  const hostile = "<img src=x onerror=alert(1)>\u202e";
  const bad = crashStateFinding(hostile);
  const results = { ...found, findings: [bad], explorations: [exploration(false, [bad])] };
  for (const text of [explorations(results).markup, firstScreen(results, none).markup, junitXml(results)]) {
    expect(text).not.toContain("<img");
    expect(text).not.toContain("\u202e");
  }
});

test("the terminal says how many states, what was found and how small it was made, in 25 lines", () => {
  const text = terminalSummary(found, { colour: false, width: 100 });
  expect(text.replace(/\s+/g, " ")).toContain("made smaller to 2 operations");
  expect(text).toMatch(/^ {2}found +in 2 operations: /m);
  expect(text).toContain("posix-strict: VIOLATION, 12,000 states at 4,120 crash points");
  expect(text).toContain("swept");
  expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
});

test("a pass names the crash states it rests on", () => {
  expect(verdictSentence({ ...passed, explorations: [exploration(true)] })).toContain("12,000 crash states");
});

test("JUnit has a case a scene, failed where something was found, and an error for an unknown profile", () => {
  const xml = junitXml(found);
  expect(xml).toContain('classname="acked.explore.posix-strict" name="power loss (12,000 states)"');
  expect(xml).toContain('<failure type="lost-acknowledged-write"');
  expect(xml).toContain("not on disk: creation of segment-0000000002.log");
  expect(xml).toContain('classname="acked.sweep" name="sync segment-#.log: error EIO (40)"');
  const unknown = junitXml({ ...passed, explorations: [exploration("unknown")] });
  expect(unknown).toContain('<error type="unknown" message="5 rotations of the log are wanted');
});

test("a finding that is only a warning for this store is no failure in JUnit", () => {
  const xml = junitXml({ ...passed, explorations: [exploration(true, [finding])] });
  expect(xml).not.toContain("<failure");
  expect(xml).toContain('<skipped type="lost-acknowledged-write"');
});

test("the coverage table lines up, and says of each scene what was left out", () => {
  const [head, first, second, ...left] = coverageTable([exploration(true)]).split("\n");
  expect(head).toMatch(/^profile +scene +crash points +possible +distinct +recovered +judged$/);
  expect(first).toMatch(
    /^posix-strict PASS {2}power loss +4,120\/4,120 +more than 2\^53 +12,010 +12,000 +36,000$/,
  );
  expect(second!.length).toBe(first!.length);
  expect(left.slice(0, 2)).toEqual([
    'left out under posix-strict, "power loss": 1,200: subsets beyond the sample of 8 a crash point',
    'left out under posix-strict, "recovered twice": 1,200: subsets beyond the sample of 8 a crash point',
  ]);
});

test("the JSON document carries explorations and sweep, and is silent without them", () => {
  expect(jsonDocument(found)).toMatchObject({
    explorations: [{ profile: "posix-strict" }],
    sweep: { trials: 44 },
  });
  expect(Object.keys(jsonDocument(passed))).not.toContain("explorations");
});
