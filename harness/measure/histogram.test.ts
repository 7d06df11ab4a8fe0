import hdr from "hdr-histogram-js";
import { describe, expect, it } from "vitest";
import { formatHistogramLog, TimeHistogram } from "./histogram.ts";
import { seededRandom } from "./random.ts";

describe("a histogram of times", () => {
  it("finds the percentiles of the values themselves within 0.1%, over seven powers of ten", () => {
    const random = seededRandom(3);
    const values = Array.from({ length: 20_000 }, () => 10 ** (3 + 7 * random())).sort((a, b) => a - b);
    const times = new TimeHistogram();
    for (const value of values) times.record(value);
    for (const percentile of [50, 90, 99, 99.9]) {
      const exact = values[Math.ceil((percentile / 100) * values.length) - 1]!;
      expect(times.at(percentile) / exact).toBeGreaterThan(0.998);
      expect(times.at(percentile) / exact).toBeLessThan(1.002);
    }
    times.release();
  });

  it("is all zeros when empty, and survives times below 0 and beyond an hour", () => {
    const times = new TimeHistogram();
    expect(times.summary()).toEqual({ count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 });
    expect(times.curve()).toEqual([]);
    times.record(-5);
    times.record(1e15);
    expect(times.count).toBe(2);
    expect(times.summary().max).toBeGreaterThan(3500e9);
    times.release();
  });

  it("draws no point of the curve that its count cannot tell", () => {
    const times = new TimeHistogram();
    for (let value = 1; value <= 200; value++) times.record(value * 1000);
    expect(Math.max(...times.curve().map(({ percentile }) => percentile))).toBe(99.5);
    times.release();
  });

  it("comes back from its .hlog with the same counts, its tag and its maximum in ms", () => {
    const times = new TimeHistogram();
    for (let value = 1; value <= 1000; value++) times.record(value * 1e5);
    const startedAt = Date.UTC(2026, 0, 1);
    const entry = { tag: "upsert, 8 clients", startedAt, endedAt: startedAt + 1500, times };
    const text = formatHistogramLog([entry], "a test");
    expect(text).toContain("Tag=upsert-8-clients,0.000,1.500,100.0");
    const read = new hdr.HistogramLogReader(text, 32, true).nextIntervalHistogram()!;
    expect(read.tag).toBe("upsert-8-clients");
    expect(read.totalCount).toBe(1000);
    expect(read.getValueAtPercentile(99)).toBe(times.at(99));
    read.destroy();
    times.release();
  });

  it("holds after an addition what both held", () => {
    const [one, other] = [new TimeHistogram(), new TimeHistogram()];
    one.record(1e6);
    other.record(5e9);
    one.add(other);
    expect(one.count).toBe(2);
    expect(one.summary().max / 5e9).toBeCloseTo(1, 2);
    one.release();
    other.release();
  });
});
