import { expect, test, vi } from "vitest";
import { MessageLog } from "./message-log.ts";

/** ns of CLOCK_MONOTONIC. */
const now = () => Number(process.hrtime.bigint());
const all = () => true;

test("a message is told with its link, its bytes and when it was sent; and when it arrived, if it did", async () => {
  const log = new MessageLog();
  const [there, back] = [log.link("n1>n2"), log.link("n2>n1")];
  const before = now();
  log.passed(there, 10);
  const held = log.sent(back, 20);
  log.sent(there, 30);
  await new Promise((resolve) => setTimeout(resolve, 20));
  log.arrived(held);
  const found = log.between(before, now(), all);
  expect(found.map(({ link, bytes }) => [link, bytes])).toEqual([
    ["n1>n2", 10],
    ["n2>n1", 20],
    ["n1>n2", 30],
  ]);
  const after = found.map(({ arrivedAfterNs }) => arrivedAfterNs);
  expect(after[0]).toBe(0);
  expect(after[1]).toBeGreaterThan(15e6);
  expect(after[2]).toBeUndefined();
  for (const { sentNs } of found) {
    expect(sentNs).toBeGreaterThan(before - 1e6);
    expect(sentNs).toBeLessThan(now() + 1e6);
  }
});

test("only the wanted links, and only what was sent or arrived in that time", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const log = new MessageLog();
    const zero = now();
    const [a, b] = [log.link("a>b"), log.link("b>a")];
    log.passed(a, 1);
    const late = log.sent(b, 2);
    vi.advanceTimersByTime(100);
    log.passed(a, 3);
    vi.advanceTimersByTime(100);
    log.arrived(late);
    log.passed(b, 4);
    const sizes = (fromMs: number, toMs: number, wanted = all as (link: string) => boolean) =>
      log.between(zero + fromMs * 1e6, zero + toMs * 1e6, wanted).map(({ bytes }) => bytes);
    expect(sizes(-50, 50)).toEqual([1, 2]);
    expect(sizes(50, 150)).toEqual([3]);
    expect(sizes(150, 250)).toEqual([2, 4]);
    expect(sizes(-50, 250, (link) => link === "a>b")).toEqual([1, 3]);
    expect(sizes(250, 300)).toEqual([]);
  } finally {
    vi.useRealTimers();
  }
});

test("of more than it remembers the oldest are forgotten, and it says from when on nothing is missing", () => {
  const log = new MessageLog(1);
  const link = log.link("a>b");
  const before = now();
  const first = log.sent(link, 1);
  for (let n = 1; n < log.most; n += 1) log.passed(link, 2);
  expect(log.forgot(before)).toBe(false);
  expect(log.between(before, now() + 1e9, all)).toHaveLength(log.most);
  log.passed(link, 3);
  expect(log.forgot(before)).toBe(true);
  expect(log.forgot(now())).toBe(false);
  log.arrived(first);
  const left = log.between(before, now() + 1e9, all);
  expect(left.length).toBeLessThan(log.most);
  expect(left.at(-1)!.bytes).toBe(3);
  expect(left.some(({ bytes }) => bytes === 1)).toBe(false);
});
