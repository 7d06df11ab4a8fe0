import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ClusterInjection, DirectedLink, LinkCondition, Network } from "../contract.ts";
import { createProxyNetwork } from "./proxy-network.ts";

const numRuns = Number(process.env.ACKED_FUZZ ?? 25);
const seed = Number(process.env.ACKED_FUZZ_SEED ?? 20_261_128);
if (process.env.ACKED_FUZZ) console.log(`ACKED_FUZZ=${numRuns} ACKED_FUZZ_SEED=${seed}`);

const forth: DirectedLink = { from: "c0", to: "n1" };
const back: DirectedLink = { from: "n1", to: "c0" };

/** What may happen to two connections on one pair of links that hold, delay and limit; `heal` ends one that was put before. */
type Step =
  | {
      readonly do: "send";
      readonly from: "client" | "node";
      readonly connection: 0 | 1;
      readonly bytes: number;
    }
  | { readonly do: "put"; readonly links: readonly DirectedLink[]; readonly condition: LinkCondition }
  | { readonly do: "heal"; readonly which: number }
  | { readonly do: "wait" };

const condition: fc.Arbitrary<LinkCondition> = fc.oneof(
  fc.constant<LinkCondition>({ does: "drop" }),
  fc.record({
    does: fc.constant("delay" as const),
    delayMs: fc.integer({ min: 0, max: 8 }),
    jitterMs: fc.integer({ min: 0, max: 8 }),
    seed: fc.nat(999),
  }),
  fc.record({ does: fc.constant("limit" as const), bytesPerSecond: fc.integer({ min: 1, max: 10_000_000 }) }),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      from: fc.constantFrom("client" as const, "node" as const),
      connection: fc.constantFrom(0 as const, 1 as const),
      bytes: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 400_000 })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("put" as const),
      links: fc.constantFrom([forth], [back], [forth, back]),
      condition,
    }),
  },
  fc.record({ do: fc.constant("heal" as const), which: fc.nat(9) }),
  { weight: 2, arbitrary: fc.constant<Step>({ do: "wait" }) },
);

it("whatever is dropped, delayed and limited, every byte arrives once, in order, and is counted", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const { sent, received, traffic } = await play(steps);
      for (const connection of [0, 1] as const) {
        expect(received.node[connection] === sent.client[connection]).toBe(true);
        expect(received.client[connection] === sent.node[connection]).toBe(true);
      }
      expect(traffic.get("c0>n1")).toEqual({ connections: 2, bytes: sent.client.join("").length });
      expect(traffic.get("n1>c0")).toEqual({ connections: 0, bytes: sent.node.join("").length });
    }),
    { seed, numRuns },
  );
});

it("what a limit holds back is bounded, and the sender waits", async () => {
  const { network, clients, nodes, close } = await twoConnections();
  const fault = await network.put([forth], { does: "limit", bytesPerSecond: 1000 });
  const bytes = 64 * 1024 * 1024;
  clients[0].write(Buffer.alloc(bytes, "x"));
  const arrived = gather(nodes[0]);
  await expect.poll(() => fault.fired(), { timeout: 10_000 }).toBeDefined();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(Number(fault.fired()!.bytes)).toBeLessThan(2 * 1024 * 1024);
  await network.heal();
  clients[0].end();
  expect((await arrived).length).toBe(bytes);
  await close();
});

/** Plays the steps, heals everything, ends all streams, and tells what was sent and received. */
async function play(steps: readonly Step[]) {
  const { network, clients, nodes, close } = await twoConnections();
  const received = { client: clients.map(gather), node: nodes.map(gather) };
  const sent = { client: ["", ""], node: ["", ""] };
  const put: ClusterInjection[] = [];
  for (const [index, one] of steps.entries()) {
    if (one.do === "wait") await new Promise((resolve) => setTimeout(resolve, 3));
    else if (one.do === "heal") await put[one.which % Math.max(1, put.length)]?.heal();
    else if (one.do === "put") put.push(await network.put(one.links, one.condition));
    else {
      const text = `${index}.`.repeat(Math.ceil(one.bytes / 3));
      sent[one.from][one.connection] += text;
      (one.from === "client" ? clients : nodes)[one.connection].write(text);
    }
  }
  await network.heal();
  for (const socket of [...clients, ...nodes]) socket.end();
  const whole = { client: await Promise.all(received.client), node: await Promise.all(received.node) };
  const traffic = network.traffic();
  expect(network.failures()).toEqual([]);
  await close();
  return { sent, received: whole, traffic };
}

type Pair = readonly [Socket, Socket];

async function twoConnections(): Promise<{
  network: Network;
  clients: Pair;
  nodes: Pair;
  close: () => Promise<void>;
}> {
  const network = await createProxyNetwork({ processesOf: () => [] });
  const { data } = await network.addMember("n1", ["data"]);
  await network.addClient("c0");
  const server = createServer({ allowHalfOpen: true });
  server.listen(data!.listen.port, data!.listen.host);
  await once(server, "listening");
  const open = async (): Promise<[Socket, Socket]> => {
    const client = connect({ ...network.clientEndpoint("c0", "n1", "data"), allowHalfOpen: true });
    const [node] = (await once(server, "connection")) as [Socket];
    for (const socket of [client, node]) socket.on("error", () => {}); // at the close
    return [client, node];
  };
  const [first, second] = [await open(), await open()];
  const close = async () => {
    await network.close();
    server.close();
  };
  return { network, clients: [first[0], second[0]], nodes: [first[1], second[1]], close };
}

/** Everything a socket receives until its end. */
function gather(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.once("error", reject);
  });
}
