import { expect, test } from "vitest";
import { append } from "./append.ts";

const stream = (client: number) => append.stream({ seed: 4, client, epoch: 0 });

test("lists stay short: with 8 clients none gets over 200 appends in an epoch", () => {
  const lengths = new Map<string, number>();
  for (let client = 0; client < 8; client++) {
    const requests = stream(client);
    for (let n = 0; n < 5000; n++) {
      const { f, key } = requests.next();
      if (f === "append") lengths.set(key, (lengths.get(key) ?? 0) + 1);
    }
  }
  expect(lengths.size).toBe(128);
  expect(Math.max(...lengths.values())).toBeLessThan(200);
});

test("clients work on the same lists at the same time", () => {
  const keysOf = (client: number) => {
    const requests = stream(client);
    return new Set(Array.from({ length: 90 }, () => requests.next().key));
  };
  expect(keysOf(0)).toEqual(new Set(["e0/l/0", "e0/l/1", "e0/l/2", "e0/l/3"]));
  expect(keysOf(1)).toEqual(keysOf(0));
});

test("a client that has used up its lists only reads", () => {
  const requests = stream(0);
  const fs = Array.from({ length: 3500 }, () => requests.next().f);
  expect(fs.slice(2900, 3072)).toContain("append");
  expect(new Set(fs.slice(3072))).toEqual(new Set(["read"]));
});
