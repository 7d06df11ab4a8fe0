/**
 * Every built-in model, on small random histories without unique values: the search and the frontiers against trying every
 * order. `ACKED_FUZZ=200000` sets how many; `ACKED_FUZZ_SEED` where they begin.
 */
import { describe, expect, it } from "vitest";
import { models } from "../../models/index.ts";
import { askedOf, modelHistory, tryEveryOrder } from "../fixtures/model-histories.ts";
import { Frontier } from "./frontier.ts";
import { Search } from "./search.ts";
import { refuteWitness } from "./witness.ts";

const rounds = Number(process.env.ACKED_FUZZ ?? 4000);
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const timeoutMs = 60_000 + rounds * 10;

describe("the search and the frontiers agree with trying every order", () => {
  for (const [name, model] of Object.entries(models)) {
    it(
      `for the model ${name}`,
      () => {
        const tally = { true: 0, false: 0 };
        for (let seed = firstSeed; seed < firstSeed + rounds / 8; seed++) {
          const operations = modelHistory(model, askedOf[name]!, seed, 2 + (seed % 6), 2 + (seed % 3));
          const right = tryEveryOrder(model, operations);
          tally[`${right}`]++;
          const search = new Search(model, operations);
          const forgetful = new Search(model, operations, 400);
          const frontier = new Frontier(model, operations);
          expect(search.advance(Number.POSITIVE_INFINITY), `${name}, seed ${seed}`).toBe(right);
          expect(forgetful.advance(Number.POSITIVE_INFINITY), `${name}, seed ${seed}`).toBe(right);
          expect(frontier.advance(Number.POSITIVE_INFINITY), `${name}, seed ${seed}`).toBe(right);
          if (right) expect(refuteWitness(model, operations, search.witness())).toBeUndefined();
          else expect(frontier.statesTried.length).toBeGreaterThan(0);
        }
        console.log(`${name} from seed ${firstSeed}: ${JSON.stringify(tally)}`);
        expect(Math.min(tally.true, tally.false)).toBeGreaterThan(rounds / 8 / 20);
      },
      timeoutMs,
    );
  }
});
