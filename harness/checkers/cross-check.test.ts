import { describe, expect, it } from "vitest";
import type { CheckResult, Finding } from "./contract.ts";
import { confirmedBy } from "./cross-check.ts";
import { CheckerDisagreement } from "./disagreement.ts";
import { historyOf } from "./fixtures/event-lines.ts";
import { strictContext } from "./fixtures/promise.ts";
import { byName } from "./index.ts";

const { operations } = historyOf("0 write 1\n0 ok\n1 read\n1 ok 1");

function result(verdict: CheckResult["verdict"], ...kinds: Finding["kind"][]): CheckResult {
  return {
    checker: "some checker",
    verdict,
    reasons: verdict === "unknown" ? ["out of time"] : [],
    findings: kinds.map((kind) => ({ kind, operations, sentence: kind })),
    checked: {},
    notChecked: [],
    elapsedMs: 0,
  };
}

describe("a second opinion", () => {
  it("ends the check when one says true and the other false", () => {
    for (const [first, second] of [
      [result(true), result(false, "not-linearizable")],
      [result(false, "stale-read"), result(true)],
    ] as const) {
      expect(() => confirmedBy(first, second, operations)).toThrow(CheckerDisagreement);
    }
  });

  it("is counted when it is the same, and said to be missing when it is not decided", () => {
    for (const same of [result(true), result(false, "stale-read")]) {
      expect(confirmedBy(same, same, operations)).toMatchObject({ checked: { operationsCheckedTwice: 2 } });
    }
    const open = confirmedBy(result(true), result("unknown"), operations);
    expect(open.notChecked).toEqual(["a second time, by another algorithm (out of time)"]);
    expect(open.checked.operationsCheckedTwice).toBeUndefined();
  });

  it("does not contradict what was found across keys", () => {
    const across = result(false, "reordered-recovery");
    expect(confirmedBy(across, result(true), operations).verdict).toBe(false);
    const both = result(false, "reordered-recovery", "stale-read");
    expect(() => confirmedBy(both, result(true), operations)).toThrow(CheckerDisagreement);
  });

  it("is given on registers, keys and lists", async () => {
    const asked = { context: strictContext(), crossCheck: true };
    for (const [name, text] of [
      ["register", "0 write 1\n0 ok\n1 read\n1 ok 1"],
      ["register", "0 write 1\n0 ok\n1 read\n1 ok 2"],
      ["kv", "0 write 1\n0 ok\n0 delete\n0 ok\n1 read\n1 ok null"],
      ["append", "0 append 1\n0 ok 1\n1 read\n1 ok [1]"],
      ["append", "0 append 1\n0 ok 1\n1 read\n1 ok []"],
    ] as const) {
      const check = byName(name);
      expect(check.takesCrossCheck).toBe(true);
      const results = await check.check(historyOf(text, name), asked);
      expect(
        results.some(({ checked }) => checked.operationsCheckedTwice! > 0),
        text,
      ).toBe(true);
    }
    for (const name of ["bank", "set", "list-append"]) expect(byName(name).takesCrossCheck).toBe(false);
  });
});
