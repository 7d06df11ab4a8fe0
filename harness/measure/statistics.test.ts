import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { poissonArrivals, seededRandom } from "./random.ts";
import { bootstrapMedian, compareRounds, estimateRatio, judge, median, noiseFloor } from "./statistics.ts";

const seeded = { seed: 20261123, numRuns: 200 };
const positive = fc.double({ min: 1e-3, max: 1e6, noNaN: true });

describe("the median", () => {
  it("is the middle value, or the mean of the two in the middle", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });
});

describe("the bootstrap", () => {
  it("gives the same interval for the same seed, and one that holds the median", () => {
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1, maxLength: 12 }), fc.integer(), (values, seed) => {
        const interval = bootstrapMedian(values, seed, 0.95, 200);
        expect(bootstrapMedian(values, seed, 0.95, 200)).toEqual(interval);
        expect(interval.low).toBeLessThanOrEqual(median(values));
        expect(interval.high).toBeGreaterThanOrEqual(median(values));
        expect(interval.low).toBeGreaterThanOrEqual(Math.min(...values));
        expect(interval.high).toBeLessThanOrEqual(Math.max(...values));
      }),
      seeded,
    );
  });

  it("covers the true median in most of many experiments of six rounds", () => {
    const random = seededRandom(5);
    const experiments = 300;
    let covered = 0;
    for (let experiment = 0; experiment < experiments; experiment++) {
      const values = Array.from({ length: 6 }, () => random() + random() + random());
      const { low, high } = bootstrapMedian(values, experiment, 0.95, 400);
      if (low <= 1.5 && 1.5 <= high) covered++;
    }
    // six values cannot do better than about 94%, and the percentile method is known to be a little short of it
    expect(covered / experiments).toBeGreaterThan(0.85);
  });
});

describe("a ratio", () => {
  it("is the median of the pairs' ratios, each round its own", () => {
    const ratio = estimateRatio([20, 40, 90], [10, 20, 30], 1);
    expect(ratio.rounds.map((value) => Number(value.toFixed(9)))).toEqual([2, 2, 3]);
    expect(ratio.median).toBeCloseTo(2);
    expect(ratio.low).toBeCloseTo(2);
    expect(ratio.high).toBeCloseTo(3);
  });

  it("turned around is its own inverse", () => {
    const rounds = fc.array(fc.tuple(positive, positive), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(rounds, (pairs) => {
        const [a, b] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)];
        expect(estimateRatio(a, b, 3).median * estimateRatio(b, a, 3).median).toBeCloseTo(1, 6);
      }),
      seeded,
    );
  });

  it("is finite even when a round completed nothing", () => {
    expect(JSON.stringify(estimateRatio([0, 5], [5, 0], 1))).not.toContain("null");
  });

  it("needs pairs", () => {
    expect(() => estimateRatio([1, 2], [1], 1)).toThrow("2 numerators, 1 denominators");
  });
});

describe("a difference", () => {
  const clear = estimateRatio([150, 152, 149, 151, 150, 153], [100, 100, 100, 100, 100, 100], 1);
  const same = estimateRatio([101, 99, 100, 98, 102, 100], [100, 100, 100, 100, 100, 100], 1);

  it("is named when the interval excludes 1 and the median lies beyond the noise", () => {
    expect(judge(clear, noiseFloor(same), "better")).toBe("better");
    expect(judge(clear, noiseFloor(same), "worse")).toBe("worse");
  });

  it("inside the noise floor is reported as none, however narrow its interval", () => {
    expect(judge(clear, 1.6, "better")).toBe("none");
  });

  it("is not named from fewer than three rounds", () => {
    const difference = (rounds: number) => {
      const list = (value: number): number[] => Array.from({ length: rounds }, () => value);
      return compareRounds({ mine: list(9), others: list(1), again: list(9) }, "better", 1)?.difference;
    };
    expect([0, 1, 2, 3].map(difference)).toEqual([undefined, "none", "none", "better"]);
  });

  it("is none between a store and itself", () => {
    expect(judge(same, noiseFloor(same), "better")).toBe("none");
    expect(noiseFloor(same)).toBeGreaterThanOrEqual(1);
    expect(noiseFloor(same)).toBeLessThan(1.05);
  });
});

describe("Poisson arrivals", () => {
  it("come in order, at the wanted rate, with a standard deviation as large as their mean gap", () => {
    const arrivals = poissonArrivals(1000, seededRandom(11));
    const times = Array.from({ length: 20_000 }, () => arrivals.next().value);
    const gaps = times.map((time, index) => time - (times[index - 1] ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
    expect(mean / 1e6).toBeCloseTo(1, 1);
    expect(Math.sqrt(variance) / mean).toBeCloseTo(1, 1);
  });
});
