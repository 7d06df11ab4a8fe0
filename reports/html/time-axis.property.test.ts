import fc from "fast-check";
import { expect, test } from "vitest";
import { roundTicks, tickLabel, timeAxis } from "./time-axis.ts";

/** Disjoint windows in order of time, ns. */
const windows = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 1, max: 1e9 })), {
    minLength: 1,
    maxLength: 5,
  })
  .map((pairs) => {
    let at = 0;
    return pairs.map(([gap, length]) => {
      const from = at + gap;
      at = from + length;
      return { from, to: at };
    });
  });

test("a later time is never to the left of an earlier one, and all stay inside", () => {
  fc.assert(
    fc.property(windows, fc.array(fc.integer({ min: -1e9, max: 12e9 })), (parts, times) => {
      const axis = timeAxis(parts, 100, 1100);
      const xs = [...times].sort((a, b) => a - b).map((time) => axis.x(time));
      for (const [index, x] of xs.entries()) {
        expect(x).toBeGreaterThanOrEqual(99.999);
        expect(x).toBeLessThanOrEqual(1100.001);
        if (index > 0) expect(x).toBeGreaterThanOrEqual(xs[index - 1]! - 1e-9);
      }
    }),
    { seed: 4 },
  );
});

test("ticks are round, inside, and every label has a unit and differs from its neighbour", () => {
  fc.assert(
    fc.property(windows, fc.integer({ min: 1, max: 12 }), ([window], wanted) => {
      const ticks = roundTicks(window!, wanted);
      expect(ticks.length).toBeLessThanOrEqual(wanted + 1);
      const step = ticks.length > 1 ? ticks[1]! - ticks[0]! : 1;
      const labels = ticks.map((tick) => tickLabel(tick, step));
      expect(new Set(labels).size).toBe(labels.length);
      for (const [index, label] of labels.entries()) {
        expect(label).toMatch(/ s$/);
        expect(ticks[index]).toBeGreaterThanOrEqual(window!.from);
        expect(ticks[index]).toBeLessThanOrEqual(window!.to);
      }
    }),
    { seed: 5 },
  );
});
