import { expect, test } from "vitest";
import { ClosedLoopPacer } from "./pacing.ts";

function sendsWithin(pacer: ClosedLoopPacer, fromMs: number, toMs: number): number {
  let sends = 0;
  for (let now = fromMs; now < toMs; sends++) now += pacer.delayMs(now);
  return sends;
}

test("a client sends at its share of the rate", () => {
  const sends = sendsWithin(new ClosedLoopPacer(100, 7), 0, 10_000);
  expect(sends).toBeGreaterThan(950);
  expect(sends).toBeLessThan(1050);
});

test("after a stall it goes on from now and does not send the backlog at once", () => {
  const pacer = new ClosedLoopPacer(100, 7);
  sendsWithin(pacer, 0, 1000);
  const delays = Array.from({ length: 5 }, () => pacer.delayMs(60_000));
  expect(delays.filter((delay) => delay === 0).length).toBeLessThanOrEqual(2);
});

test("the same seed gives the same times", () => {
  const [a, b] = [new ClosedLoopPacer(50, 3), new ClosedLoopPacer(50, 3)];
  for (let now = 0; now < 1000; now += 10) expect(a.delayMs(now)).toBe(b.delayMs(now));
});
