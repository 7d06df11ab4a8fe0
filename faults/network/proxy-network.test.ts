/** What the network of proxies does to tell whose connection it is; what every network does is in networks.test.ts. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type End, TestedCluster } from "./fixtures/tested-cluster.ts";
import { createProxyNetwork } from "./proxy-network.ts";
import type { ProcessesOf } from "./socket-owner.ts";

const soon = { timeout: 10_000, interval: 5 } as const;

let cluster: TestedCluster;
/** Which processes the network is told that a member has. */
let processesOf: ProcessesOf | undefined;

beforeEach(async () => {
  processesOf = undefined;
  cluster = await TestedCluster.start(
    (all) => createProxyNetwork({ processesOf: (member) => (processesOf ?? all)(member) }),
    ["n1", "n2"],
    ["c0"],
  );
});
afterEach(() => cluster.stop());

const connectionsOf = (link: string) => cluster.network.traffic().get(link)?.connections ?? 0;

describe("a connection between members", () => {
  it("that a grandchild of the member made, is on the member's link", async () => {
    cluster.peer("n1").order({ do: "fork" });
    await cluster.open("n1", "n2");
    await expect.poll(() => connectionsOf("n1>n2"), soon).toBe(1);
  });

  it("is attributed each on its own when many come at once", async () => {
    const [from1, from2] = ["n1", "n2"].map((from) =>
      Array.from({ length: 30 }, () => cluster.call(from, from === "n1" ? "n2" : "n1")),
    ) as [End[], End[]];
    await expect.poll(() => cluster.peer("n1").incoming().length, soon).toBe(30);
    await expect.poll(() => cluster.peer("n2").incoming().length, soon).toBe(30);
    await expect
      .poll(() => [connectionsOf("n1>n2"), connectionsOf("n2>n1")], soon)
      .toEqual([from1.length, from2.length]);
    expect(cluster.network.failures()).toEqual([]);
  });

  it("from acked itself passes and is counted as outside", async () => {
    const near = cluster.callFromHere(cluster.port("n1").reach);
    await expect.poll(() => cluster.peer("n1").incoming().length, soon).toBe(1);
    near.send("hello");
    await expect.poll(() => cluster.peer("n1").incoming()[0]!.received, soon).toBe("hello");
    expect(cluster.network.traffic().get("outside>n1")).toEqual({ bytes: 5, connections: 1 });
  });

  it("from a process that is nobody's passes and is counted as outside", async () => {
    processesOf = (member) => (member === "n1" ? [] : cluster.processesOf(member));
    await cluster.open("n1", "n2");
    await expect.poll(() => [connectionsOf("outside>n2"), connectionsOf("n1>n2")], soon).toEqual([1, 0]);
  });

  it("that its caller closed before it could be attributed never reaches the node, and is no failure", async () => {
    const near = cluster.callFromHere(cluster.port("n1").reach);
    let asked = 0;
    processesOf = () => {
      asked++;
      near.destroy();
      return [];
    };
    await expect.poll(() => asked, soon).toBeGreaterThanOrEqual(2); // each member
    processesOf = undefined;
    await cluster.open("c0", "n1");
    await cluster.open("n2", "n1");
    expect(cluster.peer("n1").incoming()).toHaveLength(2);
    expect(cluster.network.failures()).toEqual([]);
  });

  it("whose owner cannot be looked for is closed, and the network says so", async () => {
    processesOf = () => {
      throw new Error("no list of processes");
    };
    const near = cluster.call("n1", "n2");
    await expect.poll(() => near.closed, soon).toBe("ECONNRESET");
    expect(cluster.network.failures()).toEqual([
      expect.stringMatching(/n2 was closed: .*no list of processes/),
    ]);
    expect(cluster.peer("n2").incoming()).toEqual([]);
  });
});

it("messages are told link by link: what passed at once, what a fault held for a while, and what never arrived", async () => {
  const from = Number(process.hrtime.bigint());
  const { near, far } = await cluster.open("n1", "n2");
  near.send("at once");
  await expect.poll(() => far.received, soon).toBe("at once");
  const link = { from: "n1", to: "n2" };
  const held = await cluster.network.put([link], { does: "drop" });
  near.send("held");
  await expect.poll(() => held.fired()?.bytes, soon).toBe(4);
  await held.heal();
  await expect.poll(() => far.received, soon).toBe("at onceheld");
  const lost = await cluster.network.put([link], { does: "drop" });
  near.send("never");
  await expect.poll(() => lost.fired()?.bytes, soon).toBe(5);
  const messages = cluster.network
    .messages()
    .between(from, Number(process.hrtime.bigint()), (name) => name === "n1>n2");
  expect(messages.map(({ bytes }) => bytes)).toEqual([7, 4, 5]);
  expect(messages[0]!.arrivedAfterNs).toBe(0);
  expect(messages[1]!.arrivedAfterNs).toBeGreaterThan(0);
  expect(messages[2]!.arrivedAfterNs).toBeUndefined();
});

it("a member that is not up resets whoever calls", async () => {
  await cluster.peer("n2").kill();
  const [fromMember, fromClient] = [cluster.call("n1", "n2"), cluster.call("c0", "n2")];
  await expect.poll(() => [fromMember.closed, fromClient.closed], soon).toEqual(["ECONNRESET", "ECONNRESET"]);
  expect(cluster.network.failures()).toEqual([]);
});

it("names are used once, and closing twice is closing", async () => {
  await expect(cluster.network.addMember("n1", ["data"])).rejects.toThrow(/n1/);
  await expect(cluster.network.addClient("outside")).rejects.toThrow(/outside/);
  const { near } = await cluster.open("n1", "n2");
  await cluster.network.close();
  await cluster.network.close();
  await expect.poll(() => near.closed, soon).toBe("ECONNRESET");
  expect(cluster.network.failures()).toEqual([]);
});
