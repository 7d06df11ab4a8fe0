/**
 * What every store must do for the workloads, whichever it is: the meaning of each request, how outcomes are told, where
 * replies end, that it comes back after SIGKILL and after a graceful stop with what it acknowledged, and that its promise
 * quotes its documentation. Every store runs in its default mode; what it does not offer (see its capabilities) is not
 * asked for. A store that cannot run here is skipped, with the reason, unless ACKED_REQUIRE names it.
 */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Capability, Client, Durability, Reply, Request, Store } from "./contract.ts";
import { type ServingStore, serve } from "./fixtures/serving.ts";
import { brokenStores, stores } from "./index.ts";

/** The word in ACKED_REQUIRE that makes a missing store a failure. */
const requirement = (store: Store) => store.name.split("-")[0]!;
const required = (process.env.ACKED_REQUIRE ?? "").split(",");
/** What a cluster does is tested beside it; one member of it is some other store here. */
const real = stores.filter((store) => !brokenStores.includes(store) && !store.clustered);

function durabilityOf(mode: Durability["mode"]): Durability {
  return mode === "interval" ? { mode, intervalMs: 1000 } : { mode };
}

for (const store of real) {
  const missing = await store.unavailable?.();
  const skipped = missing !== undefined && !required.includes(requirement(store));
  if (skipped) console.warn(`SKIPPED: store ${store.name}: ${missing}`);
  const offers = (capability: Capability) => store.capabilities.includes(capability);
  const durability = durabilityOf(store.durabilities[0]!);

  test(`store ${store.name} quotes its documentation in the promise of each mode`, () => {
    for (const mode of store.durabilities) {
      const { source } = store.promise(durabilityOf(mode));
      expect(source).toMatch(/^".{20,}" .+/s);
      expect(source).toMatch(/https:\/\/|ARCHITECTURE\.md/);
    }
  });

  describe.skipIf(skipped)(`store ${store.name}, ${durability.mode}`, () => {
    let serving: ServingStore;
    const clients: Client[] = [];

    beforeAll(async () => {
      serving = await serve(store, durability);
    });

    afterAll(async () => {
      for (const client of clients) client.close();
      await serving?.remove();
    });

    async function connect(workload: string): Promise<Client> {
      const client = await store.connect(serving.endpoint, workload, 5000);
      clients.push(client);
      return client;
    }

    async function clientFor(
      workload: string,
    ): Promise<(f: string, key: string, value?: unknown) => Promise<Reply>> {
      const client = await connect(workload);
      return (f, key, value) => client.execute({ workload, f, key, value } as Request, 5000);
    }

    test.runIf(offers("compare-and-set"))(
      "a register starts absent, is written, and is compared with its witness",
      async () => {
        const ask = await clientFor("register");
        expect(await ask("read", "e0/r/0")).toEqual({ type: "ok", value: null });
        expect(await ask("cas", "e0/r/0", ["x", "a"])).toEqual({ type: "ok", matched: false, value: null });
        expect(await ask("cas", "e0/r/0", [null, "a"])).toEqual({ type: "ok", matched: true });
        expect(await ask("cas", "e0/r/0", [null, "b"])).toEqual({ type: "ok", matched: false, value: "a" });
        expect(await ask("cas", "e0/r/0", ["x", "b"])).toEqual({ type: "ok", matched: false, value: "a" });
        expect(await ask("cas", "e0/r/0", ["a", "b"])).toEqual({ type: "ok", matched: true });
        expect(await ask("write", "e0/r/0", "c")).toEqual({ type: "ok" });
        expect(await ask("read", "e0/r/0")).toEqual({ type: "ok", value: "c" });
      },
    );

    test.runIf(offers("compare-and-set"))("of compares that race for one value, one wins", async () => {
      const asks = await Promise.all(Array.from({ length: 6 }, () => clientFor("register")));
      for (let round = 0; round < 10; round++) {
        const key = `e1/r/${round}`;
        await asks[0]!("write", key, "start");
        const replies = await Promise.all(asks.map((ask, i) => ask("cas", key, ["start", `won by ${i}`])));
        const winners = replies.flatMap((reply, i) => (reply.type === "ok" && reply.matched ? [i] : []));
        expect(winners).toHaveLength(1);
        expect(replies.filter(({ type }) => type === "info")).toEqual([]);
        expect(await asks[0]!("read", key)).toEqual({ type: "ok", value: `won by ${winners[0]}` });
      }
    });

    test("probing for compare-and-set writes nothing", async () => {
      await clientFor("register");
      const ask = await clientFor("kv");
      expect(await ask("read", "acked:probe")).toEqual({ type: "ok", value: null });
    });

    test.runIf(offers("deletes"))("a delete says how many keys it removed", async () => {
      const ask = await clientFor("kv");
      expect(await ask("delete", "e0/k/0")).toEqual({ type: "ok", value: 0 });
      await ask("write", "e0/k/0", "v");
      expect(await ask("delete", "e0/k/0")).toEqual({ type: "ok", value: 1 });
      expect(await ask("read", "e0/k/0")).toEqual({ type: "ok", value: null });
    });

    test.runIf(offers("lists"))(
      "an append says the new length, and a read gives the whole list in order",
      async () => {
        const ask = await clientFor("append");
        expect(await ask("read", "e0/l/0")).toEqual({ type: "ok", value: [] });
        expect(await ask("append", "e0/l/0", "one")).toEqual({ type: "ok", value: 1 });
        expect(await ask("append", "e0/l/0", "two")).toEqual({ type: "ok", value: 2 });
        expect(await ask("read", "e0/l/0")).toEqual({ type: "ok", value: ["one", "two"] });
      },
    );

    test.runIf(offers("lists"))(
      "appends that race are all there, each with a length of its own",
      async () => {
        const asks = await Promise.all(Array.from({ length: 4 }, () => clientFor("append")));
        const replies = await Promise.all(
          asks.map(async (ask, client) => {
            const lengths: unknown[] = [];
            for (let n = 0; n < 10; n++) lengths.push(await ask("append", "e0/l/1", `${client}.${n}`));
            return lengths as { value: number }[];
          }),
        );
        const lengths = replies.flat().map(({ value }) => value);
        expect(lengths.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
        const { value } = (await asks[0]!("read", "e0/l/1")) as { value: string[] };
        expect(new Set(value).size).toBe(40);
        const ofFirst = value.filter((element) => element.startsWith("0."));
        expect(ofFirst).toEqual(Array.from({ length: 10 }, (_, n) => `0.${n}`));
      },
    );

    test.runIf(offers("sets"))("a set shows each element that was added, and no other", async () => {
      const ask = await clientFor("set");
      expect(await ask("read", "e0/s/0")).toEqual({ type: "ok", value: [] });
      expect(await ask("add", "e0/s/0", "one")).toEqual({ type: "ok" });
      expect(await ask("add", "e0/s/0", "two")).toEqual({ type: "ok" });
      // Neither a neighbour nor one whose name begins alike.
      await ask("add", "e0/s/01", "three");
      await ask("add", "e0/s/0", "a");
      // Sorted, so that equal sets look equal.
      expect(await ask("read", "e0/s/0")).toEqual({ type: "ok", value: ["a", "one", "two"] });
    });

    test.runIf(offers("transactions"))(
      "transfers move money once, keep a ledger, and refuse without funds",
      async () => {
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
      },
    );

    test.runIf(offers("transactions"))(
      "transfers that race either happen once or fail, and the total is conserved",
      async () => {
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
      },
    );

    test.runIf(offers("lists"))("a key of the wrong type certainly changes nothing", async () => {
      const write = await clientFor("kv");
      const append = await clientFor("append");
      await write("write", "e0/mixed", "text");
      expect(await append("append", "e0/mixed", "x")).toMatchObject({ type: "fail" });
      expect(await write("read", "e0/mixed")).toEqual({ type: "ok", value: "text" });
    });

    test("a request that nobody knows certainly changes nothing", async () => {
      const client = await connect("kv");
      expect(await client.execute({ workload: "kv", f: "fly", key: "e0/k/1" }, 5000)).toMatchObject({
        type: "fail",
      });
      expect(client.closed ?? false).toBe(false);
    });

    test("a reply that does not come in time leaves the outcome unknown, and the client is closed", async () => {
      const client = await connect("kv");
      serving.pause();
      const reply = await client.execute({ workload: "kv", f: "write", key: "e0/k/2", value: "v" }, 50);
      serving.resume();
      expect(reply.type).toBe("info");
      const after = await client.execute({ workload: "kv", f: "read", key: "e0/k/2" }, 5000);
      expect(after).toMatchObject({ type: "fail" });
      expect(client.closed).toBe(true);
    });

    test("each reply ends further on in its own connection", async () => {
      const client = await connect("kv");
      const ends = [];
      for (let n = 0; n < 3; n++) {
        await client.execute({ workload: "kv", f: "write", key: "e0/k/3", value: `v${n}` }, 5000);
        ends.push(client.replyEnd!());
      }
      const [first, second, third] = ends as [End, End, End];
      expect(first.localPort).toBeGreaterThan(0);
      expect(new Set(ends.map(({ localPort }) => localPort)).size).toBe(1);
      expect(first.bytes).toBeGreaterThan(0);
      expect(second.bytes).toBeGreaterThan(first.bytes);
      // Equal requests have equal replies.
      expect(third.bytes - second.bytes).toBe(second.bytes - first.bytes);
    });

    const survives = store.promise(durability);
    test.runIf(survives.processCrash.survives === "everything acknowledged")(
      "what was acknowledged is there after SIGKILL, and the old client is closed",
      async () => {
        const before = await clientFor("kv");
        await before("write", "e0/k/9", "kept");
        await serving.kill();
        const after = await before("read", "e0/k/9");
        expect(after.type).not.toBe("ok");
        await serving.start();
        const ask = await clientFor("kv");
        expect(await ask("read", "e0/k/9")).toEqual({ type: "ok", value: "kept" });
      },
    );

    test("it ends when it is asked to while clients are connected, and keeps what it acknowledged", async () => {
      const before = await clientFor("kv");
      await before("write", "e0/k/10", "kept");
      expect(await serving.stop()).toBe(true);
      await serving.start();
      const ask = await clientFor("kv");
      expect(await ask("read", "e0/k/10")).toEqual({ type: "ok", value: "kept" });
      expect(readdirSync(serving.dir)).not.toEqual([]);
    });
  });
}

type End = ReturnType<NonNullable<Client["replyEnd"]>>;
