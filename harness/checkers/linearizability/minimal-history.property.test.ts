/**
 * Counterexamples of random violated histories of every model, judged by trying every order. `ACKED_FUZZ=200000` sets how
 * many histories; `ACKED_FUZZ_SEED` where they begin.
 */
import { describe, expect, it } from "vitest";
import type { Operation } from "../../history/operation.ts";
import { models } from "../../models/index.ts";
import { askedOf, modelHistory, tryEveryOrder } from "../fixtures/model-histories.ts";
import { conflictSentences } from "./conflict-sentences.ts";
import { minimalHistory, upTo } from "./minimal-history.ts";
import { refuteWitness } from "./witness.ts";

const rounds = Number(process.env.ACKED_FUZZ ?? 4000);
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const timeoutMs = 60_000 + rounds * 10;

function relaxed(operation: Operation): Operation {
  const { matched: _, ...rest } = operation;
  return { ...rest, outcome: "info", output: undefined };
}

function stillOpen(operation: Operation): Operation {
  return { ...relaxed(operation), bound: Number.POSITIVE_INFINITY };
}

describe("a counterexample", () => {
  for (const [name, model] of Object.entries(models)) {
    it(
      `of the model ${name} is a violation in itself and of the whole history, and none of it can be spared`,
      () => {
        let violated = 0;
        let remedied = 0;
        for (let seed = firstSeed; seed < firstSeed + rounds / 24; seed++) {
          const operations = modelHistory(model, askedOf[name]!, seed, 2 + (seed % 5), 2 + (seed % 3));
          if (tryEveryOrder(model, operations)) continue;
          violated++;
          const { core, longest, minimal, remedy, stuck } = minimalHistory(
            model,
            operations,
            Number.POSITIVE_INFINITY,
          );
          const where = `${name}, seed ${seed}`;
          const prefix = upTo(operations, longest.culprit.return);
          const rest = prefix.filter((other) => !core.some((one) => one.call === other.call));
          const isLeftOut = (other: Operation) => model.separable?.(other) !== undefined;
          const optional = rest.filter((other) => other.outcome !== "fail" && !isLeftOut(other)).map(relaxed);
          const standing = core.map((one) => prefix.find((other) => other.call === one.call)!);
          expect(minimal && longest.exact, where).toBe(true);
          expect(tryEveryOrder(model, core), where).toBe(false);
          expect(tryEveryOrder(model, [...standing, ...optional]), where).toBe(false);
          if (!model.separable) {
            for (const one of standing) {
              const others = standing.filter((other) => other !== one);
              expect(tryEveryOrder(model, [...others, relaxed(one), ...optional]), where).toBe(true);
            }
          }
          if (remedy && !model.separable) {
            const late = optional.map((other) => (other.call < remedy.call ? other : stillOpen(other)));
            expect(tryEveryOrder(model, [...standing, ...late]), where).toBe(true);
            remedied++;
          }
          // The prefix before has an order, which is the one given; the prefix has none.
          const { culprit } = longest;
          const before = prefix.map((other) => (other.call === culprit.call ? stillOpen(other) : other));
          expect(tryEveryOrder(model, prefix), where).toBe(false);
          const order = longest.order!.map((one) => before.find((other) => other.call === one.call)!);
          expect(refuteWitness(model, before, order), where).toBeUndefined();
          expect(stuck!.states.length, where).toBeGreaterThan(0);
          expect(conflictSentences(model, core, longest.culprit, remedy, stuck)[0]).toContain(` ms`);
        }
        expect(violated).toBeGreaterThan(rounds / 24 / 30);
        if (name === "register") expect(remedied).toBeGreaterThan(0);
      },
      timeoutMs,
    );
  }
});
