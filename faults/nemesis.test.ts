import fc from "fast-check";
import { expect, test } from "vitest";
import type { Fault, FaultTarget } from "./contract.ts";
import { type FaultLife, Nemesis } from "./nemesis.ts";

const target = { node: { name: "n1" }, incarnation: 3, links: [] } as unknown as FaultTarget;

/** A fault whose evidence appears when the test says so. */
function fakeFault() {
  const state = {
    injected: 0,
    healed: 0,
    evidence: undefined as Readonly<Record<string, unknown>> | undefined,
  };
  const fault: Fault = {
    name: "fake",
    summary: "for this test",
    when: "passing",
    mechanism: "signal",
    unavailable: () => undefined,
    parameters: () => fc.constant({ durationMs: 20 }),
    inject: () => {
      state.injected++;
      return { fired: () => state.evidence, heal: () => state.healed++ };
    },
  };
  return { fault, state };
}

function nemesisOf(fault: Fault) {
  const events: string[] = [];
  let time = 0;
  const nemesis = new Nemesis({
    now: () => ++time,
    faults: [fault],
    onEvent: (event: string, life: FaultLife) => events.push(`${event} ${life.fault.name}`),
  });
  return { nemesis, events };
}

const plan = { fault: "fake", atMs: 0, parameters: { durationMs: 20 } };
const never = new AbortController().signal;

test("a fault with evidence is armed, fired and healed, once each and in this order", async () => {
  const { fault, state } = fakeFault();
  state.evidence = { seen: true };
  const { nemesis, events } = nemesisOf(fault);
  const [life] = await nemesis.runPassing([plan], target, never, 0);
  expect(events).toEqual(["armed fake", "fired fake", "healed fake"]);
  expect(life).toMatchObject({ cutShort: false, evidence: { seen: true }, incarnation: 3 });
  expect(state.healed).toBe(1);
});

test("a fault whose window passes without evidence has not fired, and was not cut short: the run is unknown", async () => {
  const { fault } = fakeFault();
  const { nemesis, events } = nemesisOf(fault);
  const [life] = await nemesis.runPassing([plan], target, never, 10);
  expect(events).toEqual(["armed fake", "healed fake"]);
  expect(life).toMatchObject({ firedAt: undefined, cutShort: false });
});

test("a fault whose cycle ends before its window has passed was cut short, and is healed all the same", async () => {
  const { fault, state } = fakeFault();
  const { nemesis } = nemesisOf(fault);
  const over = new AbortController();
  const long = { ...plan, parameters: { durationMs: 60_000 } };
  const running = nemesis.runPassing([long], target, over.signal, 1000);
  over.abort();
  const [life] = await running;
  expect(life?.cutShort).toBe(true);
  expect(state.healed).toBe(1);
  expect(nemesis.inForce()).toEqual([]);
});

test("a fault whose time has not come when the cycle ends is never armed", async () => {
  const { fault, state } = fakeFault();
  const { nemesis } = nemesisOf(fault);
  const over = new AbortController();
  const running = nemesis.runPassing([{ ...plan, atMs: 60_000 }], target, over.signal, 0);
  over.abort();
  expect(await running).toEqual([]);
  expect(state.injected).toBe(0);
});

test("evidence that appears later counts from when it is looked for", async () => {
  const { fault, state } = fakeFault();
  const { nemesis } = nemesisOf(fault);
  const life = nemesis.arm(plan, target);
  expect(await nemesis.untilFired(life, 5, never)).toBe(false);
  state.evidence = { late: true };
  expect(await nemesis.untilFired(life, 1000, never)).toBe(true);
  nemesis.heal(life);
  nemesis.heal(life);
  expect(state.healed).toBe(1);
});
