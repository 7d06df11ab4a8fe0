import fc from "fast-check";
import { expect, test } from "vitest";
import type { Operation } from "../harness/history/operation.ts";
import { brief, syntheticFaults, syntheticResults } from "./fixtures/synthetic-run.ts";
import { crashSentence, verdictLine, verdictSentence } from "./verdict-words.ts";
import { asked, count, duration, ended, visible } from "./wording.ts";

const passed = syntheticResults(true, syntheticFaults(brief));

test("durations carry a unit and three digits", () => {
  const of = [
    0,
    850,
    1e3,
    85_400,
    999_700,
    4.12e6,
    412e6,
    1.24e9,
    119e9,
    125e9,
    7.5e12,
    Number.POSITIVE_INFINITY,
  ];
  expect(of.map(duration)).toEqual([
    "0 ns",
    "850 ns",
    "1 µs",
    "85.4 µs",
    "1 ms",
    "4.12 ms",
    "412 ms",
    "1.24 s",
    "119 s",
    "2 min 5 s",
    "2 h 5 min",
    "for ever",
  ]);
  expect(duration(100e6)).toBe("100 ms");
  expect(duration(20e6)).toBe("20 ms");
  expect([51_234, 1e6, 0, 1.5, Number.NaN].map(count)).toEqual(["51,234", "1,000,000", "0", "1.5", "—"]);
});

test("what a store printed cannot move the cursor, change direction, or break a line", () => {
  expect(visible("\u001b[31mred\u001b[0m")).toBe("red");
  expect(visible("a\u001b]0;title\u0007b")).toBe("a␛]0;title␇b");
  expect(visible("a\u202eb\u2028c\ud800d\r")).toBe("a\\u{202e}b\\u{2028}c\ufffdd␍");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(visible(text)).not.toMatch(/(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }),
    { seed: 1 },
  );
});

test("a long text is cut and says by how much", () => {
  expect(visible("x".repeat(310))).toBe(`${"x".repeat(300)}… (10 more characters)`);
});

test("a pass is never bare when this machine lacked something, and is bare when nothing was lacking", () => {
  expect(verdictLine(passed)).toBe("PASS, without short-write, write-error, disk-full (no C compiler)");
  const complete = passed.notCovered.filter((entry) => entry.remedy === undefined);
  expect(verdictLine({ ...passed, notCovered: complete })).toBe("PASS");
  expect(verdictSentence(passed)).toBe(
    "ramlog kept its promise for mode always: no violation in 180,911 acknowledged operations and 4 crashes.",
  );
});

test("zero losses in n crashes is said as a bound, exactly below 30 and by the rule of three from there on", () => {
  const crashed = (crashes: number, verdict: true | false | "unknown" = true) =>
    crashSentence({ ...passed, verdict, counts: { crashes } });
  expect(crashed(300)).toContain("0 lost in 300 crashes: with 95% confidence fewer than 1 in 100 crashes");
  expect(crashed(5)).toContain("fewer than 46% of crashes of these kinds lose data");
  expect(crashed(1)).toContain("0 lost in 1 crash: with 95% confidence fewer than 95% of crashes");
  const interval = { ...passed, durability: "interval:1000", counts: { crashes: 90 } };
  expect(crashSentence(interval)).toContain("0 broken promises in 90 crashes");
  expect(crashed(0)).toBe("No crash: this run says nothing about crashes.");
  expect(crashed(300, "unknown")).not.toContain("0 lost");
});

test("operations read as what was asked and how it ended", () => {
  const operation: Operation = {
    process: 3,
    workload: "register",
    f: "cas",
    key: "e0/r/1",
    input: [1, 2],
    outcome: "ok",
    output: 7,
    matched: false,
    call: 0,
    return: 1,
    bound: 1,
    calledAt: 0,
    returnedAt: 1,
    node: "n1",
    incarnation: 0,
    readBack: false,
  };
  expect(`${asked(operation, true)} | ${ended(operation)}`).toBe("cas e0/r/1 1 → 2 | no match, saw 7");
  const read: Operation = { ...operation, f: "read", input: undefined, output: null, matched: true };
  expect(`${asked(read, false)} | ${ended(read)}`).toBe("read | → nil");
  const lost: Operation = { ...operation, f: "write", input: "v", outcome: "info", error: "timed out" };
  expect(`${asked(lost, false)} | ${ended(lost)}`).toBe('write "v" | outcome unknown: timed out');
});
