/** A proxy that dies is named: a run on a network with a failure is no pass. */
import { Server } from "node:net";
import { expect, test } from "vitest";
import { createProxyNetwork } from "./proxy-network.ts";

test("a proxy that stops listening is a failure of the network, and one that is closed with it is not", async () => {
  const network = await createProxyNetwork({ processesOf: () => [] });
  const { client } = await network.addMember("n1", ["client"]);
  await network.addClient("c0");
  expect(network.failures()).toEqual([]);
  // Node's own list of what is open: nothing else leads to a listener of the network from outside.
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  const ofLink = handles.find((handle): handle is Server => {
    const address = handle instanceof Server ? handle.address() : null;
    return typeof address === "object" && address?.port === network.clientEndpoint("c0", "n1", "client").port;
  });
  await new Promise((resolve) => ofLink!.close(resolve));
  expect(network.failures()).toEqual([expect.stringMatching(/c0.*n1 has stopped listening/)]);
  await network.close();
  expect(network.failures()).toHaveLength(1);
  expect(client!.reach.port).toBeGreaterThan(0);
});
