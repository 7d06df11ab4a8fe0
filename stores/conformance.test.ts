/**
 * What every registered store must do for the workloads, whichever it is: the meaning of each request, and that it
 * comes back after SIGKILL with what it acknowledged. A store that cannot run here is skipped, with the reason.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Client, Reply, Request } from "./contract.ts";
import { type ServingStore, serve } from "./fixtures/serving.ts";
import { ramlog } from "./ramlog/store.ts";
import { redis } from "./redis.ts";

const required = (process.env.ACKED_REQUIRE ?? "").split(",");

for (const store of [ramlog, redis]) {
  const missing = await store.unavailable?.();
  if (missing) console.warn(`skipped: ${store.name}: ${missing}`);
  const skipped = missing !== undefined && !required.includes(store.name);

  describe.skipIf(skipped)(`store ${store.name}`, () => {
    let serving: ServingStore;
    const clients: Client[] = [];

    beforeAll(async () => {
      serving = await serve(store, { mode: "always" });
    });

    afterAll(async () => {
      for (const client of clients) client.close();
      await serving?.remove();
    });

    async function clientFor(
      workload: string,
    ): Promise<(f: string, key: string, value?: unknown) => Promise<Reply>> {
      const client = await store.connect(serving.endpoint, workload, 5000);
      clients.push(client);
      return (f, key, value) => client.execute({ workload, f, key, value } as Request, 5000);
    }

    test("a register starts absent, is written, and is compared with its witness", async () => {
      const ask = await clientFor("register");
      expect(await ask("read", "e0/r/0")).toEqual({ type: "ok", value: null });
      expect(await ask("cas", "e0/r/0", ["x", "a"])).toEqual({ type: "ok", matched: false, value: null });
      expect(await ask("cas", "e0/r/0", [null, "a"])).toEqual({ type: "ok", matched: true });
      expect(await ask("cas", "e0/r/0", [null, "b"])).toEqual({ type: "ok", matched: false, value: "a" });
      expect(await ask("cas", "e0/r/0", ["x", "b"])).toEqual({ type: "ok", matched: false, value: "a" });
      expect(await ask("cas", "e0/r/0", ["a", "b"])).toEqual({ type: "ok", matched: true });
      expect(await ask("write", "e0/r/0", "c")).toEqual({ type: "ok" });
      expect(await ask("read", "e0/r/0")).toEqual({ type: "ok", value: "c" });
    });

    test("probing for compare-and-set writes nothing", async () => {
      await clientFor("register");
      const ask = await clientFor("kv");
      expect(await ask("read", "acked:probe")).toEqual({ type: "ok", value: null });
    });

    test("a delete says how many keys it removed", async () => {
      const ask = await clientFor("kv");
      expect(await ask("delete", "e0/k/0")).toEqual({ type: "ok", value: 0 });
      await ask("write", "e0/k/0", "v");
      expect(await ask("delete", "e0/k/0")).toEqual({ type: "ok", value: 1 });
      expect(await ask("read", "e0/k/0")).toEqual({ type: "ok", value: null });
    });

    test("an append says the new length, and a read gives the whole list in order", async () => {
      const ask = await clientFor("append");
      expect(await ask("read", "e0/l/0")).toEqual({ type: "ok", value: [] });
      expect(await ask("append", "e0/l/0", "one")).toEqual({ type: "ok", value: 1 });
      expect(await ask("append", "e0/l/0", "two")).toEqual({ type: "ok", value: 2 });
      expect(await ask("read", "e0/l/0")).toEqual({ type: "ok", value: ["one", "two"] });
    });

    test("transfers move money once, keep a ledger, and refuse without funds", async () => {
      const ask = await clientFor("bank");
      expect(await ask("open", "e0/bank", { a: 100, b: 0 })).toEqual({ type: "ok" });
      const move = (id: string, amount: number) =>
        ask("transfer", "e0/bank", { id, from: "a", to: "b", amount });
      expect(await move("t1", 60)).toEqual({ type: "ok" });
      expect(await move("t2", 60)).toEqual({ type: "fail", error: "insufficient funds" });
      expect(await ask("read", "e0/bank", ["a", "b"])).toEqual({ type: "ok", value: { a: 40, b: 60 } });
      expect(await ask("audit", "e0/bank", ["a", "b"])).toEqual({
        type: "ok",
        value: { balances: { a: 40, b: 60 }, ledger: ["t1:a:b:60"] },
      });
    });

    test("transfers that race either happen once or fail, and the total is conserved", async () => {
      const asks = await Promise.all([1, 2, 3, 4].map(() => clientFor("bank")));
      await asks[0]!("open", "e1/bank", { a: 1000, b: 0 });
      const replies = await Promise.all(
        asks.map(async (ask, client) => {
          const own: [string, Reply][] = [];
          for (let n = 0; n < 25; n++) {
            const id = `${client}.${n}`;
            own.push([id, await ask("transfer", "e1/bank", { id, from: "a", to: "b", amount: 1 })]);
          }
          return own;
        }),
      );
      const all = replies.flat();
      const applied = all.filter(([, reply]) => reply.type === "ok").map(([id]) => `${id}:a:b:1`);
      expect(all.filter(([, reply]) => reply.type === "info")).toEqual([]);
      const audited = await asks[0]!("audit", "e1/bank", ["a", "b"]);
      const { balances, ledger } = (audited as { value: { balances: object; ledger: string[] } }).value;
      expect([...ledger].sort()).toEqual(applied.sort());
      expect(balances).toEqual({ a: 1000 - applied.length, b: applied.length });
    });

    test("a key of the wrong type certainly changes nothing", async () => {
      const write = await clientFor("kv");
      const append = await clientFor("append");
      await write("write", "e0/mixed", "text");
      expect(await append("append", "e0/mixed", "x")).toMatchObject({ type: "fail" });
      expect(await write("read", "e0/mixed")).toEqual({ type: "ok", value: "text" });
    });

    test("what was acknowledged is there after SIGKILL, and the old client is closed", async () => {
      const before = await clientFor("kv");
      await before("write", "e0/k/9", "kept");
      await serving.kill();
      const after = await before("read", "e0/k/9");
      expect(after.type).not.toBe("ok");
      await serving.start();
      const ask = await clientFor("kv");
      expect(await ask("read", "e0/k/9")).toEqual({ type: "ok", value: "kept" });
    });
  });
}
