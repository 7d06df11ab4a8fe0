/**
 * What every mechanism of a cluster's network promises, tested on members in processes of their own: each condition, that
 * it happens and that it happens nowhere else, on connections that stand and on new ones, and that it ends.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { DirectedLink, LinkCondition, Network } from "../contract.ts";
import { type End, TestedCluster } from "./fixtures/tested-cluster.ts";
import { namespacesUnavailable } from "./iproute.ts";
import { createNamespaceNetwork } from "./namespaces.ts";
import { createProxyNetwork } from "./proxy-network.ts";
import type { ProcessesOf } from "./socket-owner.ts";

interface Mechanism {
  readonly name: Network["mechanism"];
  readonly why: string | undefined;
  readonly make: (processesOf: ProcessesOf) => Promise<Network>;
}

const mechanisms: readonly Mechanism[] = [
  { name: "proxies", why: undefined, make: (processesOf) => createProxyNetwork({ processesOf }) },
  { name: "namespaces", why: whyNoNamespaces(), make: () => createNamespaceNetwork() },
];

/** @throws Error when ACKED_REQUIRE names root: there they are not to be skipped. */
function whyNoNamespaces(): string | undefined {
  const why = namespacesUnavailable();
  const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("root");
  if (why !== undefined && required) throw new Error(`ACKED_REQUIRE names root, but ${why}`);
  return why;
}

/** Long enough for bytes to pass loopback many times over; used only where nothing may arrive. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 80));
/** TCP retransmits what was dropped after 0.2, 0.6, 1.4 s …; a lost SYN after 1 and 3 s. */
const soon = { timeout: 10_000, interval: 5 } as const;

const link = (from: string, to: string): DirectedLink => ({ from, to });
const both = (one: string, other: string) => [link(one, other), link(other, one)];
const seed = 20_261_128;

for (const { name, why, make } of mechanisms) {
  describe.skipIf(why !== undefined)(`a network of ${name}${why ? ` (skipped: ${why})` : ""}`, () => {
    let cluster: TestedCluster;
    let network: Network;
    const put = (links: readonly DirectedLink[], condition: LinkCondition) => network.put(links, condition);

    beforeAll(async () => {
      cluster = await TestedCluster.start(make);
      network = cluster.network;
    });
    afterEach(async () => {
      await network.heal();
      expect(network.failures()).toEqual([]);
    });
    afterAll(async () => {
      await cluster?.stop();
      await cluster?.network.close();
      expect(cluster?.network.failures()).toEqual([]);
    });

    /** Both directions of this connection work. */
    async function expectWhole({ near, far }: { near: End; far: End }): Promise<void> {
      const [toFar, toNear] = [far.received.length, near.received.length];
      near.send("there ");
      await expect.poll(() => far.received.length, soon).toBe(toFar + 6);
      far.send("back ");
      await expect.poll(() => near.received.length, soon).toBe(toNear + 5);
    }

    it("carries bytes and ends in both directions, and counts them on the link that carried them", async () => {
      const before = network.traffic();
      const between = await cluster.open("n1", "n2");
      const fromClient = await cluster.open("c0", "n3");
      await expectWhole(between);
      await expectWhole(fromClient);
      between.near.end();
      await expect.poll(() => between.far.ended, soon).toBe(true);
      between.far.send("still ");
      await expect.poll(() => between.near.received, soon).toBe("back still ");
      const after = network.traffic();
      const carried = [...after]
        .filter(([one, { bytes }]) => bytes > before.get(one)!.bytes)
        .map(([one]) => one);
      expect(carried.sort()).toEqual(["c0>n3", "n1>n2", "n2>n1", "n3>c0"]);
      expect(after.size).toBe(3 * 2 + 2 * 3 * 2);
      const more = (one: string) => after.get(one)!.connections - before.get(one)!.connections;
      expect(after.get("n1>n2")!.bytes).toBeGreaterThanOrEqual(6);
      expect([more("n1>n2"), more("n2>n1"), more("c0>n3")]).toEqual([1, 0, 1]);
    });

    it("a member reaches itself, and a process that is no member reaches every member", async () => {
      await expectWhole(await cluster.open("n1", "n1"));
      const before = cluster.peer("n2").incoming().length;
      const near = cluster.callFromHere(cluster.port("n2").reach);
      await expect.poll(() => cluster.peer("n2").incoming().length, soon).toBe(before + 1);
      await put([...both("n1", "n2"), ...both("n3", "n2"), link("c0", "n2")], { does: "drop" });
      await expectWhole({ near, far: cluster.peer("n2").incoming()[before]! });
    });

    it("drop: holds one direction of a standing connection, no other link, and delivers after the heal", async () => {
      const between = await cluster.open("n1", "n2");
      const [other, third] = [await cluster.open("n3", "n2"), await cluster.open("c0", "n2")];
      const fault = await put([link("n1", "n2")], { does: "drop" });
      expect(fault.fired()).toBeUndefined();
      between.near.send("held");
      between.far.send("passes");
      await expect.poll(() => between.near.received, soon).toBe("passes");
      await expect.poll(() => fault.fired(), soon).toMatchObject({ does: "drop", links: ["n1>n2"] });
      await expectWhole(other);
      await expectWhole(third);
      expect(between.far.received).toBe("");
      await fault.heal();
      await fault.heal();
      expect(fault.fired()).toMatchObject({ does: "drop", links: ["n1>n2"] });
      await expect.poll(() => between.far.received, soon).toBe("held");
      expect(fault.fired()).toMatchObject({ links: ["n1>n2"] });
      await expectWhole(between);
    });

    it("drop: what one direction of a connection carries obeys the link of its sender, whoever connected", async () => {
      const between = await cluster.open("n2", "n1");
      const fault = await put([link("n1", "n2")], { does: "drop" });
      between.far.send("held");
      between.near.send("passes");
      await expect.poll(() => between.far.received, soon).toBe("passes");
      await expect.poll(() => fault.fired(), soon).toBeDefined();
      await aWhile();
      expect(between.near.received).toBe("");
      await network.heal();
      await expect.poll(() => between.near.received, soon).toBe("held");
    });

    it.each([
      ["forth", link("n1", "n2")],
      ["back", link("n2", "n1")],
    ])("drop %s: a new connection hangs until the heal, from nowhere else", async (_direction, dropped) => {
      const before = cluster.peer("n2").incoming().length;
      const fault = await put([dropped], { does: "drop" });
      const near = cluster.call("n1", "n2");
      near.send("hello");
      await expect
        .poll(() => fault.fired(), soon)
        .toMatchObject({ links: [`${dropped.from}>${dropped.to}`] });
      await aWhile();
      expect(cluster.peer("n2").incoming()).toHaveLength(before);
      await expectWhole(await cluster.open("n3", "n1"));
      await expectWhole(await cluster.open("c1", "n1"));
      await fault.heal();
      const arrived = () => cluster.peer("n2").incoming().slice(before);
      await expect.poll(() => arrived().map((end) => end.received), soon).toEqual(["hello"]);
    });

    it("drop: cuts one client off one member, and no other client", async () => {
      const [mine, theirs] = [await cluster.open("c0", "n1"), await cluster.open("c1", "n1")];
      const fault = await put(both("c0", "n1"), { does: "drop" });
      mine.near.send("request");
      await expectWhole(theirs);
      await expectWhole(await cluster.open("c0", "n2"));
      await expect.poll(() => fault.fired(), soon).toMatchObject({ links: ["c0>n1"] });
      expect(mine.far.received).toBe("");
      await fault.heal();
      await expect.poll(() => mine.far.received, soon).toBe("request");
    });

    it("refuse: resets what stands and refuses what is new, in both directions of that pair only", async () => {
      const [mine, reverse] = [await cluster.open("n1", "n2"), await cluster.open("n2", "n1")];
      const [other, client] = [await cluster.open("n3", "n2"), await cluster.open("c0", "n2")];
      const fault = await put([link("n1", "n2")], { does: "refuse" });
      for (const { near, far } of [mine, reverse]) {
        await expect.poll(() => near.closed !== undefined && near.closed !== "clean", soon).toBe(true);
        await expect.poll(() => far.closed !== undefined || far.ended, soon).toBe(true);
      }
      await expect.poll(() => fault.fired(), soon).toMatchObject({ does: "refuse" });
      const reached = cluster.peer("n2").incoming().length;
      const [late, lateBack] = [cluster.call("n1", "n2"), cluster.call("n2", "n1")];
      await expect.poll(() => late.closed ?? "open", soon).toMatch(/ECONNRESET|ECONNREFUSED|EHOSTUNREACH/);
      await expect
        .poll(() => lateBack.closed ?? "open", soon)
        .toMatch(/ECONNRESET|ECONNREFUSED|EHOSTUNREACH/);
      await expectWhole(other);
      await expectWhole(client);
      expect(cluster.peer("n2").incoming()).toHaveLength(reached);
      await fault.heal();
      await expectWhole(await cluster.open("n1", "n2"));
    });

    it("refuse: between a client and a member, and nobody else", async () => {
      const [mine, theirs] = [await cluster.open("c0", "n1"), await cluster.open("c1", "n1")];
      const fault = await put([link("c0", "n1")], { does: "refuse" });
      await expect.poll(() => mine.near.closed, soon).toBe("ECONNRESET");
      await expect.poll(() => mine.far.closed !== undefined || mine.far.ended, soon).toBe(true);
      const late = cluster.call("c0", "n1");
      await expect.poll(() => late.closed, soon).toBe("ECONNRESET");
      expect(fault.fired()).toMatchObject({ does: "refuse", links: ["c0>n1"] });
      expect(fault.fired()?.connections).toBeGreaterThanOrEqual(2);
      await expectWhole(theirs);
      await expectWhole(await cluster.open("c0", "n2"));
      await expectWhole(await cluster.open("n2", "n1"));
      await fault.heal();
      await expectWhole(await cluster.open("c0", "n1"));
    });

    it("delay: everything on that link arrives later, in order, and nothing else does", async ({ skip }) => {
      skip(!network.can.has("delay"), `no delay here with ${name}`);
      const between = await cluster.open("n1", "n2");
      const other = await cluster.open("n3", "n2");
      const fault = await put([link("n1", "n2")], { does: "delay", delayMs: 120, jitterMs: 60, seed });
      const startedAt = performance.now();
      for (const letter of "abcdefghij") between.near.send(letter);
      await expect.poll(() => between.far.received, { ...soon, interval: 1 }).toBe("abcdefghij");
      expect(performance.now() - startedAt).toBeGreaterThanOrEqual(120);
      await expect.poll(() => fault.fired(), soon).toMatchObject({ does: "delay", links: ["n1>n2"] });
      // The fastest of several round trips, which no noise makes faster: it has not met the delay.
      let fastestMs = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 10; i++) {
        const from = performance.now();
        await expectWhole(other);
        fastestMs = Math.min(fastestMs, performance.now() - from);
      }
      expect(fastestMs).toBeLessThan(100);
      await fault.heal();
      await expectWhole(between);
    });

    it("limit: no more than the rate passes, in order, and all of it arrives", async ({ skip }) => {
      skip(!network.can.has("limit"), `no limit here with ${name}`);
      const between = await cluster.open("n1", "n2");
      const fault = await put([link("n1", "n2")], { does: "limit", bytesPerSecond: 200_000 });
      const startedAt = performance.now();
      between.near.send("0123456789", 10_000);
      await expect.poll(() => between.far.received.length, soon).toBeGreaterThan(100);
      between.far.send("back is quick");
      await expect.poll(() => between.near.received, soon).toBe("back is quick");
      await expect.poll(() => between.far.received.length, soon).toBe(100_000);
      // 0.5 s at this rate, less what the bucket had in store.
      expect(performance.now() - startedAt).toBeGreaterThan(350);
      expect(between.far.received).toBe("0123456789".repeat(10_000));
      await expect.poll(() => fault.fired(), soon).toMatchObject({ does: "limit", links: ["n1>n2"] });
      await fault.heal();
      await expectWhole(between);
    });

    it("cut: so many bytes pass, then both ends are reset; the next connection is whole", async ({
      skip,
    }) => {
      skip(!network.can.has("cut"), `no cut here with ${name}`);
      const between = await cluster.open("n1", "n2");
      const fault = await put([link("n1", "n2")], { does: "cut", afterBytes: 7 });
      between.far.send("back is not counted");
      await expect.poll(() => between.near.received, soon).toBe("back is not counted");
      expect(fault.fired()).toBeUndefined();
      between.near.send("0123456789");
      await expect.poll(() => between.near.closed, soon).toBe("ECONNRESET");
      await expect.poll(() => between.far.ended || between.far.closed === "ECONNRESET", soon).toBe(true);
      expect(between.far.received).toBe("0123456");
      expect(fault.fired()).toMatchObject({ does: "cut", links: ["n1>n2"], connections: 1 });
      const next = await cluster.open("n1", "n2");
      next.near.send("0123456789");
      await expect.poll(() => next.far.received, soon).toBe("0123456789");
    });

    it("conditions overlap: each is counted and healed on its own", async () => {
      const between = await cluster.open("n1", "n2");
      const wide = await put([link("n1", "n2"), link("n1", "n3"), link("n2", "n1")], { does: "drop" });
      const narrow = await put([link("n1", "n2")], { does: "drop" });
      between.near.send("abc");
      await expect
        .poll(() => [wide.fired()?.links, narrow.fired()?.links], soon)
        .toEqual([["n1>n2"], ["n1>n2"]]);
      await wide.heal();
      between.far.send("back");
      await expect.poll(() => between.near.received, soon).toBe("back");
      await aWhile();
      expect(between.far.received).toBe("");
      await narrow.heal();
      await expect.poll(() => between.far.received, soon).toBe("abc");
    });

    it("heal ends everything, and a link that is not there is refused", async () => {
      const between = await cluster.open("n1", "n2");
      const faults = await Promise.all(
        [...network.can]
          .filter((does) => does !== "refuse" && does !== "cut")
          .map((does) => put(both("n1", "n2"), conditionOf(does))),
      );
      between.near.send("x");
      await network.heal();
      await expect.poll(() => between.far.received, soon).toBe("x");
      await expectWhole(between);
      for (const fault of faults) await fault.heal();
      await expect(put([link("n1", "n9")], { does: "drop" })).rejects.toThrow(/n1>n9/);
      await expect(put([link("c0", "c1")], { does: "drop" })).rejects.toThrow(/c0>c1/);
    });

    it("a member that has moved is reached where it was, and what was held for its earlier life is not for it", async () => {
      const { near } = await cluster.open("c0", "n1");
      await put([link("c0", "n1")], { does: "drop" });
      near.send("to the first");
      await aWhile();
      const { reach } = cluster.port("n1");
      await cluster.restart("n1");
      expect(cluster.port("n1").reach).toEqual(reach);
      await network.heal();
      await expectWhole(await cluster.open("n2", "n1"));
      await expectWhole(await cluster.open("c0", "n1"));
      expect(
        cluster
          .peer("n1")
          .incoming()
          .map((end) => end.received),
      ).not.toContain("to the first");
    });
  });
}

function conditionOf(does: LinkCondition["does"]): LinkCondition {
  if (does === "delay") return { does, delayMs: 30, jitterMs: 10, seed };
  if (does === "limit") return { does, bytesPerSecond: 100 };
  return does === "cut" ? { does, afterBytes: 1 } : { does };
}
