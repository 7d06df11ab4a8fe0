import { expect, test } from "vitest";
import { kv } from "./kv.ts";

test("some keys are hot and every key is used", () => {
  const stream = kv.stream({ seed: 4, client: 0, epoch: 0 });
  const counts = new Map<string, number>();
  for (let n = 0; n < 6000; n++) {
    const { key } = stream.next();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  expect(counts.size).toBe(96);
  expect(counts.get("e0/k/0")!).toBeGreaterThan(400);
  expect(counts.get("e0/k/90")!).toBeLessThan(80);
});

test("a delete that removed nothing owes no sync", () => {
  const request = { workload: "kv", f: "delete", key: "e0/k/1" };
  expect(kv.changes(request, { type: "ok", value: 0 })).toBe(false);
  expect(kv.changes(request, { type: "ok", value: 1 })).toBe(true);
});
