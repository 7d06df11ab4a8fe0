import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ClusterInjection, type LinkCondition, linkName, type Network } from "../contract.ts";
import { findNetworkFaults, networkFaults } from "../index.ts";

const membersOf = (count: number) => Array.from({ length: count }, (_, i) => `n${i + 1}`);
const clients = ["c0", "c1"];
const everything: Network["can"] = new Set(["drop", "refuse", "delay", "limit", "cut"]);
const settings = { seed: 20_261_128, numRuns: 20 };

/** A network that writes down what is put on it. */
function recorder() {
  const puts: { links: string[]; condition: LinkCondition }[] = [];
  const injection: ClusterInjection = { fired: () => undefined, heal: async () => {} };
  const network = {
    put: async (links, condition) => {
      puts.push({ links: links.map(linkName), condition });
      return injection;
    },
  } as Partial<Network> as Network;
  return { puts, network, injection };
}

describe.each(networkFaults.map((fault) => [fault.name, fault] as const))("%s", (_name, fault) => {
  it("has parameters that are plain JSON with a duration, and strikes what its links say, some link at least", async () => {
    for (const count of [1, 2, 3, 4, 5, 7]) {
      if (fault.unavailable(count, "proxies", everything) !== undefined) continue;
      const members = membersOf(count);
      await fc.assert(
        fc.asyncProperty(
          fault.parameters(count),
          fc.option(fc.constantFrom(...members)),
          async (parameters, leads) => {
            expect(JSON.parse(JSON.stringify(parameters))).toEqual({ ...parameters });
            expect(parameters.durationMs).toBeGreaterThanOrEqual(200);
            const { puts, network, injection } = recorder();
            const target = { members, clients, leader: leads ?? undefined };
            const links = fault.links(parameters, target).map(linkName);
            expect(await fault.inject(parameters, { ...target, network })).toBe(injection);
            expect(puts).toEqual([{ links, condition: expect.anything() }]);
            expect(links.length).toBeGreaterThan(0);
            expect(new Set(links).size).toBe(links.length);
            for (const link of links) {
              const [from, to] = link.split(">");
              expect([...members, ...clients]).toEqual(expect.arrayContaining([from, to]));
              expect(from).not.toBe(to);
              expect([from, to].some((end) => members.includes(end!))).toBe(true);
            }
          },
        ),
        settings,
      );
    }
  });

  it("is available with five members, and not where the network cannot do it", () => {
    expect(fault.unavailable(5, "proxies", everything)).toBeUndefined();
    expect(fault.unavailable(5, "namespaces", new Set())).toMatch(/namespaces cannot/);
  });
});

it("only shapes that two members have are available to two", () => {
  const available = networkFaults.filter(
    (fault) => fault.unavailable(2, "proxies", everything) === undefined,
  );
  expect(available.map(({ name }) => name)).toEqual([
    "isolate",
    "isolate-leader",
    "one-way",
    "random-links",
    "client-partition",
    "slow-link",
    "limited-link",
    "cut-link",
    "refuse-links",
  ]);
});

it("isolate-leader strikes the leader and leaves it its clients, and somebody where no leader is known", () => {
  const [fault] = findNetworkFaults(["isolate-leader"]);
  const parameters = { member: "leader", otherwise: 2, durationMs: 2000 };
  const target = { members: membersOf(3), clients, leader: "n2" };
  const links = fault!.links(parameters, target).map(linkName);
  expect(links.sort()).toEqual(["n1>n2", "n2>n1", "n2>n3", "n3>n2"]);
  const without = fault!.links(parameters, { ...target, leader: undefined }).map(linkName);
  expect(without.sort()).toEqual(["n1>n3", "n2>n3", "n3>n1", "n3>n2"]);
});

it("a name that is not known is answered with those that are", () => {
  expect(() => findNetworkFaults(["isolat"])).toThrow(/isolate/);
  expect(findNetworkFaults(["ring", "ring"]).map(({ name }) => name)).toEqual(["ring"]);
});
