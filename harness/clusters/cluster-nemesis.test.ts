import { describe, expect, test } from "vitest";
import type { ClusterInjection, NetworkFault, NetworkTarget } from "../../faults/contract.ts";
import { ClusterNemesis, type StormLife } from "./cluster-nemesis.ts";

/** A nemesis over three members that do nothing, with one fault of their network. */
function staged(leader: () => string | undefined) {
  const struck: (string | undefined)[] = [];
  const injection: ClusterInjection = { fired: () => ({ bytes: 1 }), heal: async () => undefined };
  const fault: NetworkFault = {
    ...{ name: "isolate-leader", summary: "", unavailable: () => undefined },
    parameters: () => {
      throw new Error("the plan is given");
    },
    links: ({ member }, target) => {
      if (member === "leader") struck.push(target.leader);
      return [{ from: "n1", to: "n2" }];
    },
    inject: async (_parameters, _target: NetworkTarget) => injection,
  };
  const members = { names: ["n1", "n2", "n3"], all: () => [], leadsByHand: false };
  const events: string[] = [];
  const nemesis = new ClusterNemesis({
    ...{
      now: () => performance.now() * 1e6,
      clients: ["c0"],
      faults: { network: [fault], node: [], cluster: [] },
    },
    members: members as never,
    network: { heal: async () => undefined } as never,
    watch: { current: leader } as never,
    onEvent: (event) => events.push(event),
  });
  const play = (member: "leader" | number, stormMs: number): Promise<StormLife[]> => {
    const step = { fault: "isolate-leader", atMs: 0, parameters: { member, durationMs: 20 } };
    return nemesis.play({ stormMs, calmMs: 0, steps: [step] }, new AbortController().signal);
  };
  return { play, struck, events };
}

describe("a fault of the leader", () => {
  test("waits until one is known, and strikes that one", async () => {
    const began = performance.now();
    const stage = staged(() => (performance.now() - began > 120 ? "n3" : undefined));
    const [life] = await stage.play("leader", 400);
    expect(stage.struck).toEqual(["n3"]);
    expect(life).toMatchObject({ cutShort: false, evidence: { bytes: 1 } });
    expect(stage.events).toEqual(["armed", "fired", "healed"]);
  });

  test("is not reached when nobody leads as long as the storm lasts: it strikes no other", async () => {
    const stage = staged(() => undefined);
    const [life] = await stage.play("leader", 100);
    expect(stage.struck).toEqual([]);
    expect(life).toMatchObject({ cutShort: true, firedAt: undefined, links: [] });
    expect(stage.events).toEqual(["armed", "healed"]);
  });

  test("of a member by its number waits for nobody", async () => {
    const [life] = await staged(() => undefined).play(1, 100);
    expect(life).toMatchObject({ cutShort: false, evidence: { bytes: 1 } });
  });
});
