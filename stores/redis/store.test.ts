import { appendFileSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Durability, NodeSettings, Store } from "../contract.ts";
import { type ServingStore, serve } from "../fixtures/serving.ts";
import { redis, redisUnrepaired } from "./store.ts";

const node = (durability: Durability): NodeSettings => ({ name: "n1", dir: "/d", port: 7001, durability });

test.each([
  [{ mode: "always" }, "--appendonly yes --appendfsync always"],
  [{ mode: "interval", intervalMs: 1000 }, "--appendonly yes --appendfsync everysec"],
  [{ mode: "none" }, "--appendonly no"],
] as const)("mode %j is configured as %s", async (durability, expected) => {
  const { args } = await redis.launch(node(durability));
  expect(args.join(" ")).toContain(expected);
});

test("an interval that redis does not have is refused with the one it has", async () => {
  const launched = redis.launch(node({ mode: "interval", intervalMs: 50 }));
  await expect(launched).rejects.toThrow(/only every second/);
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

const missing = await redis.unavailable?.();
const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("redis");

describe.skipIf(missing !== undefined && !required)("a log that a power loss has left", () => {
  let serving: ServingStore | undefined;
  afterEach(async () => {
    await serving?.remove();
    serving = undefined;
  });

  /** Three writes, SIGKILL, then what `damage` does to the file. */
  async function damaged(store: Store, damage: (path: string) => void): Promise<ServingStore> {
    serving = await serve(store, { mode: "always" });
    const client = await store.connect(serving.endpoint, "kv", 5000);
    for (const key of ["a", "b", "c"]) {
      await client.execute({ workload: "kv", f: "write", key, value: `value of ${key}` }, 5000);
    }
    client.close();
    await serving.kill();
    damage(join(serving.dir, "appendonlydir", "appendonly.aof.1.incr.aof"));
    return serving;
  }

  async function values({ endpoint }: ServingStore): Promise<unknown[]> {
    const client = await redis.connect(endpoint, "kv", 5000);
    const replies = [];
    for (const key of ["a", "b", "c"])
      replies.push(await client.execute({ workload: "kv", f: "read", key }, 5000));
    client.close();
    return replies.map((reply) => (reply.type === "ok" ? reply.value : reply));
  }

  const all = ["value of a", "value of b", "value of c"];
  const zeros = (path: string) => appendFileSync(path, Buffer.alloc(60));

  test("with zeros at its end stops Redis alone, and not one that is repaired as its manual says", async () => {
    await expect((await damaged(redisUnrepaired, zeros)).start()).rejects.toThrow(/redis-check-aof --fix/);
    await serving!.remove();
    const repaired = await damaged(redis, zeros);
    await repaired.start();
    expect(await values(repaired)).toEqual(all);
  });

  test("that is cut short is put right by Redis itself, and left alone by the repair", async () => {
    let before = 0;
    const cut = (path: string) => {
      before = readFileSync(path).length - 5;
      truncateSync(path, before);
    };
    const repaired = await damaged(redis, cut);
    await redis.launch({ ...node({ mode: "always" }), dir: repaired.dir });
    const path = join(repaired.dir, "appendonlydir", "appendonly.aof.1.incr.aof");
    expect(readFileSync(path).length).toBe(before);
    await repaired.start();
    expect(await values(repaired)).toEqual(["value of a", "value of b", null]);
  });

  test("that is whole is not touched", async () => {
    const repaired = await damaged(redis, () => {});
    await repaired.start();
    expect(await values(repaired)).toEqual(all);
  });
});
