/** A good network passes; one with a planted bug, a proxy that reorders or loses, is named. */
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Network } from "../../faults/contract.ts";
import { createNetwork } from "../../faults/index.ts";
import type { Endpoint } from "../../stores/contract.ts";
import { checkNetwork } from "./network-check.ts";

let network: Network | undefined;
let planted: Server | undefined;

afterEach(async () => {
  planted?.close();
  planted = undefined;
  await network?.close();
});

async function made() {
  network = await createNetwork("proxies", { processesOf: () => [] });
  const members = new Map([["n1", await network.addMember("n1", ["client", "peer"])]]);
  for (const client of ["c0", "c1"]) await network.addClient(client);
  return { network, members };
}

/** A proxy before the link that does something to what it carries forth. */
async function buggy(to: Endpoint, carry: (chunks: Buffer[]) => Buffer[]): Promise<Endpoint> {
  planted = createServer((socket) => {
    const node = connect(to);
    let chunks: Buffer[] = [];
    socket.on("data", (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += 512) chunks.push(bytes.subarray(at, at + 512));
      setImmediate(() => {
        for (const chunk of carry(chunks)) node.write(chunk);
        chunks = [];
      });
    });
    node.pipe(socket);
    for (const end of [socket, node]) end.on("error", () => {});
  });
  await new Promise<void>((resolve) => planted!.listen(0, "127.0.0.1", resolve));
  return { host: "127.0.0.1", port: (planted.address() as AddressInfo).port };
}

function through(whole: Network, endpoint: Endpoint): Network {
  return Object.create(whole, {
    clientEndpoint: {
      value: (client: string, member: string, purpose: string) =>
        client === "c1" && purpose === "client" ? endpoint : whole.clientEndpoint(client, member, purpose),
    },
  }) as Network;
}

describe("the check of a network", () => {
  it("finds nothing where every byte arrives once and in order", async () => {
    const { network, members } = await made();
    expect(await checkNetwork(network, ["c0", "c1"], members)).toEqual([]);
    expect(network.traffic().get("c0>n1")!.bytes).toBeGreaterThan(100_000);
  });

  it("names the link of a proxy that reorders", async () => {
    const { network, members } = await made();
    const endpoint = await buggy(network.clientEndpoint("c1", "n1", "client"), (chunks) => [
      ...chunks.slice(1, 2),
      ...chunks.slice(0, 1),
      ...chunks.slice(2),
    ]);
    const faults = await checkNetwork(through(network, endpoint), ["c0", "c1"], members);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/^the link c1>n1 \(client\) brought bytes in another order/);
  });

  it("names the link of a proxy that loses bytes", async () => {
    const { network, members } = await made();
    const endpoint = await buggy(network.clientEndpoint("c1", "n1", "client"), (chunks) => chunks.slice(1));
    const faults = await checkNetwork(through(network, endpoint), ["c0", "c1"], members);
    expect(faults[0]).toMatch(/^the link c1>n1 \(client\) brought back \d+ of \d+ bytes/);
  });
});
