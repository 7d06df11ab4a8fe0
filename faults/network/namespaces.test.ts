/** What the network of namespaces leaves behind, and what it does not; what every network does is in networks.test.ts. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../harness/package-root.ts";
import { namespacesUnavailable } from "./iproute.ts";
import { namespaceNames, namespacePrefix } from "./namespace-names.ts";
import { createNamespaceNetwork, removeLeftNamespaces } from "./namespaces.ts";

const why = namespacesUnavailable();
const of = (pid: number | undefined) => namespaceNames().filter((name) => name.startsWith(`acked-${pid}-`));
const interfaceOf = (pid: number | undefined) =>
  Object.keys(networkInterfaces()).filter((name) => name.startsWith(`acked-${pid}-`));

describe.skipIf(why !== undefined)(`namespaces${why ? ` (skipped: ${why})` : ""}`, () => {
  it("that a killed acked left are removed by the next start, and those of a living one are not", async () => {
    const mine = await createNamespaceNetwork();
    await mine.addMember("n1", ["data"]);
    const program = join(packageRoot, "dist/faults/network/fixtures/abandons-network.js");
    const abandons = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(abandons.stdout!, "data");
      expect(await removeLeftNamespaces()).toEqual([]);
      expect(of(abandons.pid)).toHaveLength(2);
      expect(interfaceOf(abandons.pid)).toHaveLength(1);
      abandons.kill("SIGKILL");
      await once(abandons, "exit");
      const sentences = await removeLeftNamespaces();
      expect(sentences).toContainEqual(expect.stringContaining(`pid ${abandons.pid}`));
      expect(of(abandons.pid)).toEqual([]);
      await expect.poll(() => interfaceOf(abandons.pid), { timeout: 10_000 }).toEqual([]);
      expect(of(process.pid)).toHaveLength(2);
    } finally {
      abandons.kill("SIGKILL");
      await mine.close();
    }
    expect(of(process.pid)).toEqual([]);
    expect(interfaceOf(process.pid)).toEqual([]);
  });

  it("are one a member, in a network of addresses that no other network has", async () => {
    const networks = [await createNamespaceNetwork(), await createNamespaceNetwork()];
    try {
      const hosts = [];
      for (const network of networks) {
        for (const name of ["n1", "n2"]) {
          const { data, peer } = await network.addMember(name, ["data", "peer"]);
          expect(data!.listen).toEqual(data!.reach);
          expect(data!.listen.port).not.toBe(peer!.listen.port);
          hosts.push(data!.listen.host);
          expect(await network.moved(name)).toEqual({ data, peer });
        }
      }
      expect(new Set(hosts).size).toBe(4);
      const launch = { program: "node", args: ["x"], ready: { by: "line" as const } };
      const { args, ready } = networks[0]!.launchAs("n2", launch);
      expect(args.slice(0, 2)).toEqual(["netns", "exec"]);
      expect(args[2]).toMatch(new RegExp(`^${namespacePrefix()}.*n2$`));
      expect([args.slice(3), ready]).toEqual([["node", "x"], launch.ready]);
      await expect(
        networks[0]!.put([{ from: "n1", to: "n2" }], { does: "cut", afterBytes: 1 }),
      ).rejects.toThrow(/cut/);
    } finally {
      await Promise.all(networks.map((network) => network.close()));
    }
  });
});

it("whose name is not one that acked gives are nobody's to remove", () => {
  expect(namespacePrefix()).toMatch(/^acked-\d+-\d+-$/);
});
