import { expect, test } from "vitest";
import { faults as allFaults } from "../faults/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { expandSchedule, type ResolvedScenario, resolveSaved, resolveScenario } from "./scenario.ts";

const plans = (scenario: ResolvedScenario) =>
  scenario.schedule.flatMap(({ cycles }) =>
    cycles.flatMap(({ passing, ending, atRest }) =>
      [...passing, ending, atRest].filter((plan) => plan !== undefined),
    ),
  );

test("the same seed expands into the same plan, another seed into another", async () => {
  const schedule = async (seed: number) =>
    (await resolveScenario({ seed, seconds: 10, faults: ["kill", "pause"] })).scenario.schedule;
  expect(await schedule(7)).toEqual(await schedule(7));
  expect(await schedule(7)).not.toEqual(await schedule(8));
});

test("every chosen fault is dealt early and about equally often", async () => {
  const { scenario } = await resolveScenario({
    seed: 3,
    seconds: 45,
    faults: ["kill", "stop", "pause", "partition", "cut"],
  });
  const count = (name: string) => plans(scenario).filter((plan) => plan.fault === name).length;
  for (const name of scenario.faults) expect(count(name)).toBeGreaterThan(20);
  expect(Math.abs(count("kill") - count("stop"))).toBeLessThanOrEqual(1);
});

test("a saved scenario, through JSON, is found again without deriving anything", async () => {
  const { scenario } = await resolveScenario({ seed: -5, seconds: 5, faults: ["kill", "delay"] });
  const again = await resolveSaved(JSON.parse(JSON.stringify(scenario)));
  expect(again.scenario).toEqual(scenario);
  expect(again.faults.map((fault) => fault.name)).toEqual(["kill", "delay"]);
});

test("a short write never hides a write error in the same cycle", async () => {
  const { scenario } = await resolveScenario({ seed: 1, seconds: 5, faults: ["kill"] });
  const chosen = allFaults.filter((fault) => ["short-write", "write-error"].includes(fault.name));
  const { store } = await resolveScenario({ seed: 1, faults: ["kill"] });
  const schedule = expandSchedule({
    seed: 1,
    seconds: 20,
    clients: 8,
    faults: chosen,
    store,
    durability: scenario.durability,
    cycles: undefined,
  });
  for (const { passing, ending } of schedule.flatMap((epoch) => epoch.cycles)) {
    expect(ending?.fault).toBe("write-error");
    expect(passing.map((plan) => plan.fault)).not.toContain("short-write");
  }
});

test("in mode interval a fault at the n-th sync comes at the first, or it would not come in time", async () => {
  const { scenario } = await resolveScenario({
    seed: 2,
    seconds: 20,
    durability: "interval:500",
    faults: ["kill"],
  });
  const atSync = plans(scenario).filter((plan) => plan.parameters.at === "sync");
  for (const plan of atSync) expect(plan.parameters.nth).toBe(1);
});

test("in mode none kills are timed", async () => {
  const { scenario } = await resolveScenario({ seed: 2, seconds: 20, durability: "none", faults: ["kill"] });
  for (const plan of plans(scenario)) expect(plan.parameters.at).toBe("time");
});

test("a planted bug is run with what reveals it, unless something else is asked for", async () => {
  const byDefault = await resolveScenario({ store: "broken/resurrects-deleted", seed: 1 });
  expect(byDefault.scenario.workloads).toEqual(["kv"]);
  const asked = await resolveScenario({ store: "broken/resurrects-deleted", faults: ["kill"], seed: 1 });
  expect(asked.scenario.workloads.length).toBeGreaterThan(1);
});

test.each([
  [{ store: "ramlgo" }, "ramlog"],
  [{ workloads: ["bnak"] }, "bank"],
  [{ faults: ["kil"] }, "kill"],
  [{ durability: "sometimes" }, "interval:<ms>"],
  [{ clients: 2 }, "--clients 2"],
])("%j is refused in one sentence that says what to do", async (asked, hint) => {
  const refused = resolveScenario({ seed: 1, ...asked });
  await expect(refused).rejects.toThrow(ScenarioError);
  await expect(refused).rejects.toThrow(hint);
});
