import { expect, test } from "vitest";
import { set } from "./set.ts";

const stream = (client: number) => set.stream({ seed: 4, client, epoch: 0 });

test("sets stay small: with 8 clients none gets over 200 elements in an epoch", () => {
  const sizes = new Map<string, number>();
  for (let client = 0; client < 8; client++) {
    const requests = stream(client);
    for (let n = 0; n < 5000; n++) {
      const { f, key } = requests.next();
      if (f === "add") sizes.set(key, (sizes.get(key) ?? 0) + 1);
    }
  }
  expect(sizes.size).toBe(128);
  expect(Math.max(...sizes.values())).toBeLessThan(200);
});

test("a client that has used up its sets only reads", () => {
  const requests = stream(0);
  const fs = Array.from({ length: 3500 }, () => requests.next().f);
  expect(fs.slice(2900, 3072)).toContain("add");
  expect(new Set(fs.slice(3072))).toEqual(new Set(["read"]));
});
