import { describe, expect, it } from "vitest";
import { calibrationMs, measureSearch, repeatingHistory, searchBenches } from "./bench-search.ts";

const named = (name: string) => searchBenches.find((one) => one.name === name)!;

describe("a workload without unique values", () => {
  // A loop of 20 million rounds; on a 3 GHz core about 50 ms. Measured: 2 to 6 loops for each history.
  const loopsMax = 40;

  for (const [name, verdict] of [
    ["register, 10 keys", "true"],
    ["register, 10 keys, each violated", "false"],
    ["kv strings, 10 keys", "true"],
    ["kv strings, 10 keys, each violated", "false"],
    ["register, 10 keys, 1% unanswered", "true"],
  ] as const) {
    it(`of 20,000 operations by 10 clients is decided in the time of ${loopsMax} calibration loops: ${name}`, () => {
      const measured = measureSearch(named(name), Number.POSITIVE_INFINITY);
      expect(measured.verdict).toBe(verdict);
      expect(measured.operations).toBe(20_000);
      expect(measured.loops).toBeLessThan(loopsMax);
    });
  }

  it("is not said to be decided when it is not, and then says how far it got", () => {
    const measured = measureSearch(named("hard: register, one key, 50 clients"), 0);
    expect(measured.verdict).toBe("undecided");
    expect(measured.placed).toBeLessThan(measured.operations);
  });
});

describe("the bench", () => {
  it("makes the same history from the same seed, and measures against a loop that takes time", () => {
    const one = { ...searchBenches[0]!, operations: 50 };
    expect(repeatingHistory(one, 7)).toEqual(repeatingHistory(one, 7));
    expect(repeatingHistory(one, 7)).not.toEqual(repeatingHistory(one, 8));
    expect(calibrationMs()).toBeGreaterThan(1);
  });
});
