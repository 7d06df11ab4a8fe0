import { expect, test } from "vitest";
import type { Durability, NodeSettings } from "./contract.ts";
import { redis } from "./redis.ts";

const node = (durability: Durability): NodeSettings => ({ name: "n1", dir: "/d", port: 7001, durability });

test.each([
  [{ mode: "always" }, "--appendonly yes --appendfsync always"],
  [{ mode: "interval", intervalMs: 1000 }, "--appendonly yes --appendfsync everysec"],
  [{ mode: "none" }, "--appendonly no"],
] as const)("mode %j is configured as %s", async (durability, expected) => {
  const { args } = await redis.launch(node(durability));
  expect(args.join(" ")).toContain(expected);
});

test("an interval that redis does not have is refused with the one it has", () => {
  expect(() => redis.launch(node({ mode: "interval", intervalMs: 50 }))).toThrow(/only every second/);
});

test("every mode's promise quotes the documentation", () => {
  for (const mode of [
    { mode: "always" },
    { mode: "interval", intervalMs: 1000 },
    { mode: "none" },
  ] as const) {
    expect(redis.promise(mode).source).toContain("https://redis.io/docs/");
  }
});
