/**
 * Redis with Sentinel: three real members on a network that only forwards (skipped aloud where redis-server is not
 * installed, unless ACKED_REQUIRE names it), and a client against scripted ones. Nothing is asserted about how long
 * anything takes.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type ScriptedServer, scriptedServer } from "../clients/fixtures/scripted-server.ts";
import type { ClusterView } from "../cluster-contract.ts";
import type { Client, Reply } from "../contract.ts";
import { ServingCluster } from "../fixtures/serving-cluster.ts";
import { redisSentinel } from "./sentinel.ts";
import { connectToPrimary } from "./sentinel-client.ts";

const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("redis");
const missing = await redisSentinel.unavailable!();
if (missing && required) throw new Error(`ACKED_REQUIRE names redis, but ${missing}`);
if (missing) console.warn(`SKIPPED: Redis with Sentinel: ${missing}`);

const ask = (client: Client, f: "add" | "read", value?: string): Promise<Reply> =>
  client.execute({ workload: "set", f, key: "e0/s/0", value }, 5000);

describe.skipIf(missing !== undefined)("three members of Redis with Sentinel", () => {
  let cluster: ServingCluster;

  beforeAll(async () => {
    cluster = await ServingCluster.form(redisSentinel, 3, { mode: "always" });
  }, 120_000);

  afterAll(() => cluster?.remove());

  test("the first is the primary, and every client is led to it", async () => {
    expect(await cluster.leader()).toBe("n1");
    const connections = await Promise.all(cluster.names.map((home) => cluster.connect(home, "set")));
    expect(connections.map(({ member }) => member)).toEqual(["n1", "n1", "n1"]);
    expect(await ask(connections[1]!.client, "add", "a")).toEqual({ type: "ok" });
    expect(await ask(connections[2]!.client, "read")).toEqual({ type: "ok", value: ["a"] });
    for (const { client } of connections) client.close();
  });

  test("a replica shows what it holds, and certainly writes nothing", async () => {
    const replica = await cluster.connectTo("n2", "set");
    await expect.poll(() => ask(replica, "read")).toEqual({ type: "ok", value: ["a"] });
    expect(await ask(replica, "add", "b")).toMatchObject({
      type: "fail",
      error: expect.stringMatching(/^READONLY/),
    });
    replica.close();
  });

  test("when the primary is killed a replica takes its place, in a later epoch; it comes back as a replica", async () => {
    const before = await cluster.status("n2");
    await cluster.kill("n1");
    const next = await cluster.leader(["n2", "n3"]);
    const epoch = async () => (await cluster.status(next)).term;
    await expect.poll(epoch, { timeout: 10_000 }).toBeGreaterThan(before.term!);
    const { client, member } = await cluster.connect("n1", "set", 10_000);
    expect(member).not.toBe("n1");
    expect(await ask(client, "read")).toEqual({ type: "ok", value: ["a"] });
    expect(await ask(client, "add", "c")).toEqual({ type: "ok" });
    client.close();
    await cluster.start("n1", "again");
    // Until the sentinels have told it, it takes itself for the primary.
    const role = async () => (await cluster.status("n1")).role;
    await expect.poll(role, { timeout: 25_000, interval: 100 }).toBe("follower");
    expect(await cluster.leader()).not.toBe("n1");
  });

  test("all that are killed come back as one cluster, wherever they listen now", async () => {
    for (const name of cluster.names) await cluster.kill(name);
    await Promise.all(cluster.names.map((name) => cluster.start(name, "again")));
    const { client, member } = await cluster.connect("n3", "set", 15_000);
    expect(await cluster.leader()).toBe(member);
    expect(await ask(client, "read")).toEqual({ type: "ok", value: expect.arrayContaining(["a"]) });
    client.close();
    for (const name of cluster.names) {
      const { dir, ports } = cluster.settings(name);
      const server = readFileSync(join(dir, "redis.conf"), "utf8");
      expect(server.match(/^port .*$/gm)).toEqual([`port ${ports.redis!.listen.port}`]);
      const sentinel = readFileSync(join(dir, "sentinel/sentinel.conf"), "utf8");
      expect(sentinel.match(/^port .*$/gm)).toEqual([`port ${ports.sentinel!.listen.port}`]);
      expect(sentinel.match(/^sentinel known-sentinel /gm)).toHaveLength(2);
    }
  });
});

describe("a client", () => {
  const open: ScriptedServer[] = [];

  afterEach(async () => {
    for (const server of open.splice(0)) await server.close();
  });

  type Script = (words: readonly string[]) => string | "silence" | "reset";

  const bulk = (...words: string[]) =>
    `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
  const names =
    (member: string): Script =>
    () =>
      bulk("10.0.0.1", member.slice(1));
  const says =
    (role: string): Script =>
    (words) =>
      words[0] === "PING" ? "+PONG\r\n" : words[0] === "ROLE" ? bulk(role) : ":1\r\n";

  /** A network of scripted members whose announced address is 10.0.0.1 and their number. */
  async function view(sentinels: readonly Script[], servers: readonly Script[]) {
    const started = {
      sentinel: await Promise.all(sentinels.map((script) => scriptedServer(script))),
      redis: await Promise.all(servers.map((script) => scriptedServer(script))),
    };
    open.push(...started.sentinel, ...started.redis);
    const members = sentinels.map((_, i) => `n${i + 1}`);
    const seen: ClusterView = {
      home: "n1",
      members,
      leader: "n1",
      endpoint: (member, purpose) =>
        started[purpose as "sentinel" | "redis"][Number(member.slice(1)) - 1]!.endpoint,
      memberAt: ({ host, port }) => (host === "10.0.0.1" ? members[port - 1] : undefined),
    };
    return { seen, ...started };
  }

  test("goes where the sentinel at home points, whatever the others say", async () => {
    const { seen, sentinel } = await view(
      [names("n2"), names("n1"), names("n1")],
      [says("master"), says("master"), says("slave")],
    );
    expect((await connectToPrimary(seen, "set", 3000)).member).toBe("n2");
    expect(sentinel.map(({ received }) => received.length)).toEqual([1, 0, 0]);
  });

  test.each([
    ["knows no primary", () => "*-1\r\n"],
    ["names an address that is nobody's", () => bulk("10.0.0.9", "1")],
    ["answers with an error", () => "-ERR No such master with that name\r\n"],
    ["breaks", () => "reset" as const],
    ["is silent", () => "silence" as const],
  ])("asks the next when the sentinel at home %s", async (_, script) => {
    const { seen } = await view(
      [script, names("n3"), names("n1")],
      [says("slave"), says("slave"), says("master")],
    );
    expect((await connectToPrimary(seen, "set", 3000)).member).toBe("n3");
  });

  test("does not take a member at its sentinel's word: it must say itself that it is the primary", async () => {
    const { seen } = await view([names("n2"), names("n2")], [says("master"), says("slave")]);
    await expect(connectToPrimary(seen, "set", 400)).rejects.toThrow(/says that it is a slave/);
  });

  test("begins again until the sentinel points to the one that has become the primary", async () => {
    let asked = 0;
    const { seen, redis } = await view(
      [() => bulk("10.0.0.1", ++asked < 3 ? "1" : "2"), names("n1")],
      [says("slave"), says("master")],
    );
    expect((await connectToPrimary(seen, "set", 5000)).member).toBe("n2");
    expect(redis[0]!.received.filter((command) => command === "ROLE")).toHaveLength(2);
  });

  test("gives up by the deadline, with what each sentinel said", async () => {
    const { seen } = await view([() => "*-1\r\n", () => "reset"], [says("master"), says("master")]);
    await expect(connectToPrimary(seen, "set", 300)).rejects.toThrow(
      /no sentinel named the primary: the sentinel of n1 names no member; the sentinel of n2: /,
    );
  });
});

test("the promise is what the documentation says: a failover may lose what was acknowledged", () => {
  const promise = redisSentinel.clustered!.promise({ mode: "always" });
  expect(promise).toMatchObject({
    linearizable: false,
    oneLeader: false,
    failover: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
  });
  expect(promise.source).toMatch(/does not guarantee that acknowledged writes.*https:\/\/redis\.io\//);
});
