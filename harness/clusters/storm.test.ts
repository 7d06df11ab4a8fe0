import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ClusterFault, Fault, NetworkFault } from "../../faults/contract.ts";
import type { Store } from "../../stores/contract.ts";
import { planStorms, type StormFaults } from "./storm.ts";

const parameters = () => fc.record({ durationMs: fc.integer({ min: 100, max: 900 }) });
const named = (name: string, more: object = {}) => ({ name, parameters, ...more });

const faults = {
  network: ["isolate", "halves"].map((name) => named(name) as unknown as NetworkFault),
  node: [
    named("pause", { when: "passing" }),
    named("slow-sync", { when: "passing" }),
    named("kill", { when: "crash" }),
  ].map((one) => one as unknown as Fault),
  cluster: ["kill-all", "failover"].map((name) => named(name) as unknown as ClusterFault),
} satisfies StormFaults;

const plan = (seed: number, chosen: StormFaults = faults, rounds = 8) =>
  planStorms({ seed, rounds, members: 3, store: {} as Store, faults: chosen });

describe("the plan of a cluster's storms", () => {
  it("is the same for the same seed, plain JSON, and another for another seed", () => {
    expect(plan(7)).toEqual(plan(7));
    expect(JSON.parse(JSON.stringify(plan(7)))).toEqual(plan(7));
    expect(plan(7)).not.toEqual(plan(8));
  });

  it("has every chosen fault early, in each kind of storm", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const names = new Set(plan(seed, faults, 6).flatMap(({ steps }) => steps.map(({ fault }) => fault)));
        expect([...names].sort()).toEqual(
          ["failover", "halves", "isolate", "kill", "kill-all", "pause", "slow-sync"].sort(),
        );
      }),
      { numRuns: 50, seed: 20_261_128 },
    );
  });

  it("gives a fault of the whole cluster a storm of its own, and other shapes faults of nodes beside them", () => {
    for (const { steps } of plan(3)) {
      const whole = steps.filter(({ fault }) => ["kill-all", "failover"].includes(fault));
      if (whole.length > 0) expect(steps).toHaveLength(1);
      else expect(new Set(steps.map(({ fault }) => fault)).size).toBeGreaterThan(2);
    }
  });

  it("ends every fault that ends a member with a time to be down, and strikes the leader now and then", () => {
    const ofNodes = plan(5, faults, 40)
      .flatMap(({ steps }) => steps)
      .filter(({ member }) => member !== undefined);
    expect(ofNodes.every(({ downMs }) => downMs !== undefined && downMs >= 100)).toBe(true);
    const leaders = ofNodes.filter(({ member }) => member === "leader").length;
    expect(leaders).toBeGreaterThan(ofNodes.length / 4);
    expect(leaders).toBeLessThan(ofNodes.length);
  });

  it("heals every fault of the network before the storm is over", () => {
    for (const { steps, stormMs } of plan(11, faults, 30)) {
      for (const { atMs, parameters } of steps.filter(({ fault }) => ["isolate", "halves"].includes(fault))) {
        expect(atMs + Number(parameters.durationMs)).toBeLessThan(stormMs);
        expect(Number(parameters.durationMs)).toBeGreaterThan(0);
      }
    }
  });

  it("is calm where no fault was chosen", () => {
    expect(plan(1, { network: [], node: [], cluster: [] }, 2).map(({ steps }) => steps)).toEqual([[], []]);
  });
});
