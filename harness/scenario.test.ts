import { expect, test } from "vitest";
import { faults as allFaults, networkUnavailable } from "../faults/index.ts";
import { ScenarioError } from "../stores/contract.ts";
import { detectMachine } from "./machine.ts";
import { type ResolvedScenario, resolveSaved, resolveScenario } from "./scenario.ts";
import { expandSchedule } from "./schedule.ts";

const plans = (scenario: ResolvedScenario) =>
  scenario.schedule.flatMap(({ cycles }) =>
    cycles.flatMap(({ passing, ending, powerLoss, atRest, recovery }) =>
      [...passing, ending, powerLoss, atRest, recovery].filter((plan) => plan !== undefined),
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

const scheduleOf = async (names: readonly string[], seconds = 60) => {
  const { store, scenario } = await resolveScenario({ seed: 1, faults: ["kill"] });
  const faults = allFaults.filter((fault) => names.includes(fault.name));
  const options = { seed: 4, seconds, clients: 8, faults, store, cycles: undefined };
  return expandSchedule({ ...options, durability: scenario.durability });
};

test("damage, lying hardware and faults of recovery come in an epoch's last cycle only, one at a time", async () => {
  const schedule = await scheduleOf(["kill", "at-rest", "lying-write", "read-error", "deleted-file"]);
  const dealt = new Set<string>();
  for (const { cycles } of schedule) {
    for (const [place, { ending, atRest, recovery }] of cycles.entries()) {
      const damage = [ending?.fault === "lying-write" ? ending : undefined, atRest, recovery].filter(Boolean);
      expect(damage.length).toBe(place === cycles.length - 1 ? 1 : 0);
      for (const one of damage) dealt.add(one!.fault);
    }
  }
  expect([...dealt].sort()).toEqual(["at-rest", "deleted-file", "lying-write", "read-error"]);
});

test("power is lost after a failed sync whose lost pages show only then, if power loss is chosen", async () => {
  const cycles = (schedule: Awaited<ReturnType<typeof scheduleOf>>) => schedule.flatMap((one) => one.cycles);
  for (const { ending, powerLoss } of cycles(await scheduleOf(["fsyncgate", "kill", "power-loss"]))) {
    expect(powerLoss?.fault).toBe(ending?.fault === "fsyncgate" ? "power-loss" : undefined);
  }
  for (const { powerLoss } of cycles(await scheduleOf(["fsyncgate"]))) expect(powerLoss).toBeUndefined();
});

test("a whole run divides its seconds; one of chosen faults, of so many cycles or of a planted bug does not", async () => {
  const { scenario } = await resolveScenario({ store: "ramlog", seed: 1, seconds: 40 });
  expect(scenario.pair).toBeUndefined();
  if (detectMachine().compiler) {
    expect(scenario).toMatchObject({ seconds: 24, exploreSeconds: 10, sweepSeconds: 6 });
  } else expect(scenario.notCovered.map(({ what }) => what)).toContain("exploring crash states");
  for (const more of [{ faults: ["kill"] }, { cycles: 3 }, { store: "broken/never-syncs" }]) {
    const chosen = (await resolveScenario({ seed: 1, seconds: 40, ...more })).scenario;
    expect(chosen).toMatchObject({ seconds: 40, exploreSeconds: 0, sweepSeconds: 0 });
  }
});

test("a run that names no store partitions a cluster, too, unless it is too short", async () => {
  const { scenario } = await resolveScenario({ seed: 1, seconds: 49 });
  const { pair } = scenario;
  expect(pair).toMatchObject({ store: "postgres-replica", seconds: 9, cycles: 1 });
  expect(pair?.cluster?.rounds[0]?.steps.length).toBeGreaterThan(0);
  expect(scenario.seconds + scenario.exploreSeconds! + scenario.sweepSeconds! + pair!.seconds).toBe(49);
  const short = (await resolveScenario({ seed: 1, seconds: 20 })).scenario;
  expect(short.pair).toBeUndefined();
  expect(short.notCovered.map(({ what }) => what)).toContain("partitions of a cluster (postgres-replica)");
});

test("a share too short to say anything is left out aloud, and its seconds are spent on live faults", async () => {
  const { scenario } = await resolveScenario({ seed: 1, seconds: 4 });
  expect(scenario).toMatchObject({ seconds: 4, exploreSeconds: 0, sweepSeconds: 0 });
  const left = scenario.notCovered.map(({ what }) => what);
  expect(left).toContain("exploring crash states");
  expect(left).toContain("sweeping the n-th call");
});

test("a saved scenario, through JSON, is found again without deriving anything", async () => {
  const { scenario } = await resolveScenario({ seed: -5, seconds: 5, faults: ["kill", "delay"] });
  const again = await resolveSaved(JSON.parse(JSON.stringify(scenario)));
  expect(again.scenario).toEqual(scenario);
  expect(again.faults.map((fault) => fault.name)).toEqual(["kill", "delay"]);
});

test("a short write never hides a write error in the same cycle", async () => {
  const { scenario } = await resolveScenario({ seed: 1, seconds: 5, faults: ["kill"] });
  const chosen = allFaults.filter((fault) =>
    ["short-write", "write-error", "torn-write-error"].includes(fault.name),
  );
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
    expect(ending?.fault).toMatch(/write-error$/);
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

test("more clients than a network of namespaces has room for are refused, and as many as it has are not", async ({
  skip,
}) => {
  const missing = networkUnavailable("namespaces");
  if (missing) return skip(missing);
  const asked = (clients: number, network: string) =>
    resolveScenario({ store: "postgres-replica", seed: 1, seconds: 5, clients, network });
  await expect(asked(121, "namespaces")).rejects.toThrow(/has room for 120 clients, not for 121: .*proxies/);
  await expect(asked(121, "namespaces")).rejects.toBeInstanceOf(ScenarioError);
  expect((await asked(120, "namespaces")).scenario.clients).toBe(120);
  expect((await asked(121, "proxies")).scenario.clients).toBe(121);
});
