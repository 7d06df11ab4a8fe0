/**
 * The laws that the search takes on trust, for every built-in model, on random states and operations: `ACKED_FUZZ` sets how
 * many histories. (docs in contract.ts)
 */
import { describe, expect, it } from "vitest";
import { askedOf, modelHistory, tryEveryOrder } from "../checkers/fixtures/model-histories.ts";
import type { Operation } from "../history/operation.ts";
import type { Model } from "./contract.ts";
import { findModel, models } from "./index.ts";

const rounds = Number(process.env.ACKED_FUZZ ?? 4000) / 20;
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);

/** Operations of some histories, and states that they lead to. */
function sample(model: Model<unknown>, name: string): { operations: Operation[]; states: unknown[] } {
  const operations: Operation[] = [];
  const states: unknown[] = [model.init()];
  for (let seed = firstSeed; seed < firstSeed + 12; seed++) {
    const some = modelHistory(model, askedOf[name]!, seed, 7).filter(({ outcome }) => outcome !== "fail");
    let state = model.init();
    for (const operation of some) {
      state = model.step(state, operation) ?? state;
      if (!states.some((known) => model.equal(known, state))) states.push(state);
    }
    operations.push(...some);
  }
  return { operations, states };
}

function unanswered(operation: Operation): Operation {
  const { matched: _, ...rest } = operation;
  return { ...rest, outcome: "info", output: undefined };
}

describe.each(Object.entries(models))("the model %s", (name, model) => {
  const { operations, states } = sample(model, name);

  it("has a hash that equal states share, and more than one state", () => {
    expect(states.length).toBeGreaterThan(2);
    const again = sample(model, name).states; // equal states, made anew
    for (const a of states) {
      expect(again.some((b) => model.equal(a, b))).toBe(true);
      for (const b of again) {
        if (model.equal(a, b)) expect(model.hash(a) | 0).toBe(model.hash(b) | 0);
        expect(model.equal(a, b)).toBe(model.equal(b, a));
      }
    }
  });

  it("changes no state by what it calls read-only", () => {
    for (const operation of operations.filter((one) => model.readOnly(one))) {
      for (const state of states) {
        const after = model.step(state, operation);
        if (after !== undefined) expect(model.equal(after, state)).toBe(true);
      }
    }
  });

  it("leads an operation without its answer to where the answer says, when that is possible", () => {
    for (const operation of operations.filter(({ outcome }) => outcome === "ok")) {
      for (const state of states) {
        const after = model.step(state, operation);
        const without = model.step(state, unanswered(operation));
        if (after !== undefined) expect(without !== undefined && model.equal(after, without)).toBe(true);
        expect(without).toBeDefined();
      }
    }
  });

  it("treats states alike that it says an operation cannot tell apart", () => {
    if (!model.observes) return;
    for (const operation of operations) {
      const named = model.observes(operation);
      if (named === undefined) continue;
      const others = states.filter((state) => !named.some((one) => model.equal(one, state)));
      for (const a of others) {
        for (const b of others) {
          const [after, afterB] = [model.step(a, operation), model.step(b, operation)];
          expect(after === undefined).toBe(afterB === undefined);
          if (after === undefined || afterB === undefined) continue;
          const bothStay = model.equal(after, a) && model.equal(afterB, b);
          expect(bothStay || model.equal(after, afterB)).toBe(true);
        }
      }
    }
  });

  it("leads from every state to one by what it calls overwriting", () => {
    for (const operation of operations.filter((one) => model.overwrites?.(one))) {
      const after = states.map((state) => model.step(state, operation));
      for (const state of after) expect(state !== undefined && model.equal(state, after[0])).toBe(true);
    }
  });

  it("remains linearizable without a group of operations that it calls separable", () => {
    if (!model.separable) return;
    let leftOut = 0;
    for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
      const whole = modelHistory(model, askedOf[name]!, seed, 2 + (seed % 5));
      if (!tryEveryOrder(model, whole)) continue;
      for (const group of new Set(whole.map((operation) => model.separable!(operation)))) {
        if (group === undefined) continue;
        leftOut++;
        expect(
          tryEveryOrder(
            model,
            whole.filter((operation) => model.separable!(operation) !== group),
          ),
        ).toBe(true);
      }
    }
    expect(leftOut).toBeGreaterThan(rounds);
  });

  it("says in words what it refuses, what was done, and what state it is in", () => {
    const strange = { ...operations[0]!, f: "frobnicate" };
    expect(model.refuses(strange)).toContain("frobnicate");
    if (model.observes) expect(() => model.observes!(strange)).toThrow("frobnicate");
    for (const operation of operations) {
      expect(model.refuses(operation)).toBeUndefined();
      expect(model.describe(operation).length).toBeGreaterThan(0);
    }
    for (const state of states) expect(model.show?.(state)).not.toBe("");
  });
});

describe("the registry", () => {
  it("finds each model by its own name, and says which there are", () => {
    for (const name of Object.keys(models)) expect(findModel(name).name).toBe(name);
    expect(() => findModel("toString")).toThrow(
      "register, list, kv-strings, counter, set, queue, stack, mutex",
    );
  });
});
