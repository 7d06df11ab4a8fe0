/**
 * Three real members of etcd, on a network that only forwards. Skipped aloud where etcd is not installed, unless
 * ACKED_REQUIRE names it. Nothing is asserted about how long anything takes.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Client, Reply } from "../contract.ts";
import { ServingCluster } from "../fixtures/serving-cluster.ts";
import { etcd, etcdSerializable } from "./store.ts";

const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("etcd");
const missing = await etcd.unavailable!();
if (missing && required) throw new Error(`ACKED_REQUIRE names etcd, but ${missing}`);
if (missing) console.warn(`SKIPPED: a cluster of etcd: ${missing}`);

const set = (client: Client, f: "add" | "read", value?: string): Promise<Reply> =>
  client.execute({ workload: "set", f, key: "e0/s/0", value }, 8000);

describe.skipIf(missing !== undefined)("three members of etcd", () => {
  let cluster: ServingCluster;

  beforeAll(async () => {
    cluster = await ServingCluster.form(etcd, 3, { mode: "always" });
  }, 120_000);

  afterAll(() => cluster?.remove());

  async function clientOf(home: string): Promise<Client> {
    return (await cluster.connect(home, "set")).client;
  }

  test("elect one leader, in one term, and every member knows its name", async () => {
    const leader = await cluster.leader();
    const statuses = await Promise.all(cluster.names.map((name) => cluster.status(name)));
    expect(statuses.map((status) => status.leader)).toEqual([leader, leader, leader]);
    expect(statuses.filter(({ role }) => role === "follower")).toHaveLength(2);
    expect(new Set(statuses.map(({ term }) => term)).size).toBe(1);
    expect(statuses[0]!.term).toBeGreaterThan(0);
  });

  test("what is written through one is read through another", async () => {
    const [one, other] = [await clientOf("n1"), await clientOf("n3")];
    expect(await set(one, "add", "a")).toEqual({ type: "ok" });
    expect(await set(other, "read")).toEqual({ type: "ok", value: ["a"] });
    for (const value of ["z", "y"])
      await one.execute({ workload: "append", f: "append", key: "l", value }, 8000);
    const together = [
      { workload: "append", f: "read", key: "l" },
      { workload: "set", f: "read", key: "e0/s/0" },
      { workload: "kv", f: "read", key: "absent" },
    ];
    expect(await other.readAll!(together, 8000)).toEqual([
      { type: "ok", value: ["z", "y"] },
      { type: "ok", value: ["a"] },
      { type: "ok", value: null },
    ]);
  });

  test("a client stays at home while home answers, and goes to another member when it does not", async () => {
    expect((await cluster.connect("n2", "set")).member).toBe("n2");
    cluster.cutOff("n2", true);
    const { member, client } = await cluster.connect("n2", "set");
    expect(member).toBe("n1");
    client.close();
    cluster.cutOff("n2", false);
  });

  test("when the leader is killed another leads, in a later term; it comes back where it listens now", async () => {
    const leader = await cluster.leader();
    const { term } = await cluster.status(leader);
    await cluster.kill(leader);
    const rest = cluster.names.filter((name) => name !== leader);
    const next = await cluster.leader(rest);
    expect((await cluster.status(next)).term).toBeGreaterThan(term!);
    const client = await clientOf(next);
    expect(await set(client, "add", "b")).toEqual({ type: "ok" });
    await expect(cluster.status(leader)).rejects.toThrow();
    await cluster.start(leader, "again");
    // It has read its log, and serves once it has heard from the others.
    await expect
      .poll(() => cluster.status(leader).catch(() => undefined), { timeout: 10_000 })
      .toMatchObject({
        role: "follower",
        leader: next,
      });
    const back = await clientOf(leader);
    // A read that waited while the leader was found is refused ("leader changed"): nothing was read, so it is asked again.
    await expect.poll(() => set(back, "read")).toEqual({ type: "ok", value: ["a", "b"] });
  });

  test("a member without its quorum starts again, serves nobody, and says so by not answering", async () => {
    for (const name of cluster.names) await cluster.kill(name);
    await cluster.start("n1", "again");
    await expect(cluster.connect("n1", "set", 500)).rejects.toThrow(/no member of etcd answered: n1: /);
    await Promise.all(["n2", "n3"].map((name) => cluster.start(name, "again")));
    await cluster.leader();
    const client = await clientOf("n2");
    expect(await set(client, "read")).toEqual({ type: "ok", value: ["a", "b"] });
  });

  test("a member whose disk is gone is replaced, and the new one has what the cluster has", async () => {
    const leader = await cluster.leader();
    const [lost, through] = cluster.names.filter((name) => name !== leader);
    await cluster.kill(lost!);
    await etcd.clustered!.replace!(cluster.settings(lost!), cluster.endpoints(through!), 15_000);
    cluster.wipe(lost!);
    await cluster.start(lost!, "joining");
    await expect
      .poll(() => cluster.status(lost!).catch(() => undefined), { timeout: 10_000 })
      .toMatchObject({
        role: "follower",
      });
    const held = await cluster.connectTo(lost!, "set");
    await expect.poll(() => set(held, "read")).toEqual({ type: "ok", value: ["a", "b"] });
  });
});

test("what a cluster promises names where it is written, and serializable reads are not promised to be new", () => {
  const promises = [etcd, etcdSerializable].map((store) => store.clustered!.promise({ mode: "always" }));
  expect(promises.map(({ linearizable }) => linearizable)).toEqual([true, false]);
  for (const { source } of promises) expect(source).toMatch(/^".{40,}" https:\/\/etcd\.io\//);
});
