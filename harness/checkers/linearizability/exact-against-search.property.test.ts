/**
 * The exact linear-time methods against the search, and the search against trying every order, on random small histories:
 * correct ones, ones of a store that loses, and changed ones. `ACKED_FUZZ=700000` sets how many; `ACKED_FUZZ_SEED` where
 * they begin.
 */
import { describe, expect, it } from "vitest";
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { listModel } from "../../models/list.ts";
import { registerModel } from "../../models/register.ts";
import { type RandomOptions, randomFrom, randomHistory } from "../fixtures/random-history.ts";
import { analyseList } from "./list-key.ts";
import { analyseKey, explainViolation } from "./register-key.ts";
import { Search } from "./search.ts";
import { refuteWitness } from "./witness.ts";

const rounds = Number(process.env.ACKED_FUZZ ?? 50_000);
const firstSeed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const searchMs = 3000;
const timeoutMs = 60_000 + rounds * 2;

function optionsFor(seed: number, model: RandomOptions["model"]): RandomOptions {
  const random = randomFrom(seed * 7919);
  const one = (values: readonly number[]) => values[Math.floor(random() * values.length)]!;
  return {
    seed,
    model,
    operations: one([3, 5, 7, 9, 12, 16]),
    clients: one([2, 3, 4, 5]),
    deletes: model === "register" && random() < 0.5,
    compareAndSets: random() < 0.6,
    mutations: one([0, 0, 1, 1, 2]),
    loses: one([0, 0, 0.5]),
    timeouts: one([0, 0.1, 0.3]),
    crashes: one([0, 0, 1, 2]),
  };
}

/** Tries every order: right by definition, and affordable for a handful of operations. */
function tryEveryOrder<State>(model: Model<State>, operations: readonly Operation[]): boolean {
  const begun = operations.filter((operation) => operation.outcome !== "fail");
  const extend = (left: readonly Operation[], state: State, latestCall: number): boolean => {
    if (left.every((operation) => operation.outcome === "info")) return true;
    return left.some((operation) => {
      if (operation.bound < latestCall) return false;
      const after = model.step(state, operation);
      if (after === undefined) return false;
      const rest = left.filter((other) => other !== operation);
      return extend(rest, after, Math.max(latestCall, operation.call));
    });
  };
  return extend(begun, model.init(), -1);
}

/** Undefined when the search takes too long: lists with many lost answers can need every order of them. */
function searchVerdict<State>(model: Model<State>, operations: readonly Operation[]): boolean | undefined {
  const search = new Search(model, operations);
  const verdict = search.advance(performance.now() + searchMs);
  if (verdict === "more") return undefined;
  if (verdict) expectWitness(model, operations, search.witness());
  return verdict;
}

function expectWitness<State>(
  model: Model<State>,
  operations: readonly Operation[],
  witness: readonly Operation[],
): void {
  const wrong = refuteWitness(model, operations, witness);
  if (wrong) throw new Error(wrong);
}

function exactRegisterVerdict(operations: readonly Operation[]): boolean | undefined {
  const analysis = analyseKey(operations, null);
  if (analysis.verdict === "refused" || (analysis.verdict === "open" && analysis.uncovered)) return undefined;
  if (analysis.verdict === false) return false;
  if (analysis.verdict === true) {
    expectWitness(registerModel, operations, analysis.witness());
    return true;
  }
  const verdict = analysis.search.advance(Number.POSITIVE_INFINITY) as boolean;
  if (verdict) expectWitness(registerModel, operations, analysis.search.witness());
  return verdict;
}

function exactListVerdict(operations: readonly Operation[]): boolean | undefined {
  const analysis = analyseList(operations, []);
  if (analysis.verdict === true) expectWitness(listModel, operations, analysis.witness);
  return typeof analysis.verdict === "boolean" ? analysis.verdict : undefined;
}

interface Tally {
  true: number;
  false: number;
  /** Left by the exact method to the search. */
  uncovered: number;
  /** Judged by the exact method only. */
  notSearched: number;
}

function compare<State>(
  model: Model<State>,
  kind: RandomOptions["model"],
  count: number,
  exact: (operations: readonly Operation[]) => boolean | undefined,
): Tally {
  const tally: Tally = { true: 0, false: 0, uncovered: 0, notSearched: 0 };
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const options = optionsFor(seed, kind);
    const operations = randomHistory(options);
    const verdict = exact(operations);
    if (verdict === undefined) {
      tally.uncovered++;
      continue;
    }
    tally[`${verdict}`]++;
    const searched = searchVerdict(model, operations);
    if (searched === undefined) tally.notSearched++;
    else if (verdict !== searched) {
      throw new Error(`seed ${seed}: the exact method says ${verdict}, the search ${!verdict}`);
    }
    const isKnownGood = options.mutations === 0 && options.loses === 0;
    if (isKnownGood && !verdict) throw new Error(`seed ${seed}: a correct store was condemned`);
  }
  return tally;
}

describe("the exact methods", () => {
  it(
    "agree with the search on keys with compare-and-set, deletes, crashes and lost answers",
    () => {
      const tally = compare(registerModel, "register", Math.ceil(rounds * 0.7), exactRegisterVerdict);
      console.log(`registers from seed ${firstSeed}: ${JSON.stringify(tally)}`);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThan(rounds * 0.1);
      expect(tally.uncovered + tally.notSearched).toBeLessThan(rounds * 0.01);
    },
    timeoutMs,
  );

  it(
    "agree with the search on lists",
    () => {
      const tally = compare(listModel, "list", Math.floor(rounds * 0.3), exactListVerdict);
      console.log(`lists from seed ${firstSeed}: ${JSON.stringify(tally)}`);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThan(rounds * 0.05);
      expect(tally.notSearched).toBeLessThan(rounds * 0.001);
    },
    timeoutMs,
  );

  it(
    "name, for each violation that the zones do not show, an acknowledged operation",
    () => {
      const wanted = rounds / 500;
      let explained = 0;
      for (let seed = firstSeed; explained < wanted && seed < firstSeed + rounds; seed++) {
        const operations = randomHistory({ ...optionsFor(seed, "register"), deletes: true });
        const analysis = analyseKey(operations, null);
        if (analysis.verdict !== "open" || analysis.search.advance(Number.POSITIVE_INFINITY) !== false)
          continue;
        explained++;
        const conflict = explainViolation(operations, null, Number.POSITIVE_INFINITY);
        const culprit =
          conflict.type === "order"
            ? conflict.later
            : conflict.type === "stuck"
              ? conflict.operation
              : undefined;
        expect(culprit?.outcome, `seed ${seed}`).toBe("ok");
      }
      expect(explained).toBeGreaterThanOrEqual(wanted);
    },
    timeoutMs,
  );
});

describe("the search", () => {
  it(
    "comes to the same verdict when it forgets most of what it has seen",
    () => {
      for (let seed = firstSeed; seed < firstSeed + rounds / 50; seed++) {
        const operations = randomHistory({ ...optionsFor(seed, "register"), operations: 8 });
        const forgetful = new Search(registerModel, operations, 1000);
        const verdict = forgetful.advance(performance.now() + searchMs);
        expect(verdict, `seed ${seed}`).toBe(searchVerdict(registerModel, operations));
      }
    },
    timeoutMs,
  );

  it(
    "agrees with trying every order, for both models",
    () => {
      for (let seed = firstSeed; seed < firstSeed + rounds / 10; seed++) {
        const small = (model: RandomOptions["model"]) =>
          randomHistory({ ...optionsFor(seed, model), operations: 3 + (seed % 4) });
        const [keys, lists] = [small("register"), small("list")];
        expect(searchVerdict(registerModel, keys), `seed ${seed}`).toBe(tryEveryOrder(registerModel, keys));
        expect(searchVerdict(listModel, lists), `seed ${seed}`).toBe(tryEveryOrder(listModel, lists));
      }
    },
    timeoutMs,
  );
});
