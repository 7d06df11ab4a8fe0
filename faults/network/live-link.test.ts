import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LiveLink, meets, newCondition } from "./live-link.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Bytes that pass in so many ms when there is always more to send, in portions of so many. */
function passedIn(link: LiveLink, ms: number, portion: number): number {
  let passed = 0;
  for (let elapsed = 0; elapsed < ms; elapsed++) {
    vi.advanceTimersByTime(1);
    passed += link.pass(link.withinLimits(portion).bytes);
  }
  return passed;
}

describe("a limit", () => {
  it.each([50, 1000, 123_456, 50_000_000])(
    "of %d bytes a second lets that pass in a second, and 2%% more at most",
    (rate) => {
      for (const portion of [1, 1500, 65_536]) {
        const link = new LiveLink("n1>n2");
        link.add(newCondition({ does: "limit", bytesPerSecond: rate }));
        const passed = passedIn(link, 1000, portion);
        expect(passed).toBeLessThanOrEqual(1.02 * rate + 1);
        if (portion * 1000 > rate) expect(passed).toBeGreaterThan(0.97 * rate);
      }
    },
  );

  it("is smooth: no tenth of a second carries more than its share and what the bucket holds", () => {
    const link = new LiveLink("n1>n2");
    link.add(newCondition({ does: "limit", bytesPerSecond: 100_000 }));
    vi.advanceTimersByTime(60_000); // an idle minute saves nothing up
    for (let i = 0; i < 10; i++) expect(passedIn(link, 100, 65_536)).toBeLessThanOrEqual(12_000);
  });

  it("says when to ask again: then at least a byte may pass", () => {
    const link = new LiveLink("n1>n2");
    link.add(newCondition({ does: "limit", bytesPerSecond: 3 }));
    link.add(newCondition({ does: "limit", bytesPerSecond: 1000 }));
    for (let i = 0; i < 20; i++) {
      const { bytes, waitMs } = link.withinLimits(100);
      link.pass(bytes);
      if (bytes > 0) continue;
      expect(waitMs).toBeGreaterThan(0);
      vi.advanceTimersByTime(Math.max(1, Math.ceil(waitMs)));
    }
    expect(link.bytes).toBeGreaterThanOrEqual(5);
  });
});

describe("delays", () => {
  it("add up, with jitter drawn from the seed", () => {
    const drawn = (seed: number) => {
      const link = new LiveLink("n1>n2");
      link.add(newCondition({ does: "delay", delayMs: 5, jitterMs: 10, seed }));
      link.add(newCondition({ does: "delay", delayMs: 7, jitterMs: 0, seed: 1 }));
      return Array.from({ length: 50 }, () => link.receive(1));
    };
    expect(drawn(3)).toEqual(drawn(3));
    expect(drawn(3)).not.toEqual(drawn(4));
    for (const delayMs of drawn(3)) {
      expect(delayMs).toBeGreaterThanOrEqual(12);
      expect(delayMs).toBeLessThan(22);
    }
    expect(Math.max(...drawn(3)) - Math.min(...drawn(3))).toBeGreaterThan(5);
  });
});

describe("cuts", () => {
  it("fire each once, the nearest first, and only when a byte more would pass", () => {
    const link = new LiveLink("n1>n2");
    const [near, far] = [
      newCondition({ does: "cut", afterBytes: 5 }),
      newCondition({ does: "cut", afterBytes: 8 }),
    ];
    link.add(far);
    link.add(near);
    expect(link.pass(5)).toBe(5);
    expect([near.connections, far.connections]).toEqual([0, 0]);
    expect(link.pass(10)).toBe(0);
    expect([near.connections, far.connections]).toEqual([1, 0]);
    expect(link.pass(10)).toBe(3);
    expect([near.connections, far.connections, link.clear]).toEqual([1, 1, true]);
    expect(link.pass(10)).toBe(10);
  });
});

it("a condition in force in both directions counts a connection once", () => {
  const [forth, back] = [new LiveLink("n1>n2"), new LiveLink("n2>n1")];
  const both = newCondition({ does: "drop" });
  forth.add(both);
  back.add(both);
  expect(meets(forth, back, "drop")).toBe(true);
  expect(meets(forth, back, "refuse")).toBe(false);
  expect(both.connections).toBe(1);
});
