/**
 * The exact linear-time methods against the search, and the search against trying every order, on random small histories:
 * correct ones, ones of a store that loses, and changed ones; with chains, deletes, increments, appends, refused compares,
 * lost answers and crashes mixed.
 *
 * How long: `ACKED_FUZZ_SECONDS` (6) of it, shared by all tests here; or `ACKED_FUZZ=500000` histories for each of the
 * methods. Where it begins: `ACKED_FUZZ_SEED`, else `FC_SEED`, else by chance, and printed; a mismatch names its own seed,
 * and `ACKED_FUZZ_SEED=<it> ACKED_FUZZ=1` meets it first.
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

/** Histories for each method, when it is a number that decides, and not time. */
const asked = process.env.ACKED_FUZZ === undefined ? undefined : Number(process.env.ACKED_FUZZ);
const seconds = Number(process.env.ACKED_FUZZ_SECONDS ?? 6);
const firstSeed = Number(
  process.env.ACKED_FUZZ_SEED ?? process.env.FC_SEED ?? Math.floor(Math.random() * 2 ** 31),
);
const searchMs = 3000;
const timeoutMs = 120_000 + seconds * 2000 + (asked ?? 0) * 10;

console.log(`fuzz of the exact methods: ACKED_FUZZ_SEED=${firstSeed}`);

/** Seeds for one test: as many as asked for, or at least `least`, and more until its share of the time is over. */
function* seedsFor(share: number, least: number, partOfAsked = 1): Generator<number> {
  const endsAt = performance.now() + seconds * 1000 * share;
  const isOver = (done: number) =>
    asked === undefined ? done >= least && performance.now() >= endsAt : done >= asked * partOfAsked;
  for (let done = 0; !isOver(done); done++) yield firstSeed + done;
}

type Kind = "register" | "register with deletes" | "counter" | "list";

function optionsFor(seed: number, kind: Kind): RandomOptions {
  const random = randomFrom(seed * 7919);
  const one = (values: readonly number[]) => values[Math.floor(random() * values.length)]!;
  return {
    seed,
    model: kind === "list" || kind === "counter" ? kind : "register",
    operations: one([3, 5, 7, 9, 12, 16]),
    clients: one([2, 3, 4, 5]),
    deletes: kind === "register with deletes" || (kind === "counter" && random() < 0.1),
    compareAndSets: random() < (kind === "counter" ? 0.2 : 0.6),
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
  if (analysis.verdict === false) {
    expect(analysis.conflicts.length).toBeGreaterThan(0);
    return false;
  }
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
  kind: Kind,
  seeds: Iterable<number>,
  exact: (operations: readonly Operation[]) => boolean | undefined,
): Tally & { readonly histories: number } {
  const tally: Tally = { true: 0, false: 0, uncovered: 0, notSearched: 0 };
  let histories = 0;
  for (const seed of seeds) {
    histories++;
    const options = optionsFor(seed, kind);
    const operations = randomHistory(options);
    let verdict: boolean | undefined;
    try {
      verdict = exact(operations);
    } catch (error) {
      throw new Error(`seed ${seed} (${kind}): ${(error as Error).message}`, { cause: error });
    }
    if (verdict === undefined) {
      tally.uncovered++;
      continue;
    }
    tally[`${verdict}`]++;
    const searched = searchVerdict(model, operations);
    if (searched === undefined) tally.notSearched++;
    else if (verdict !== searched) {
      throw new Error(`seed ${seed} (${kind}): the exact method says ${verdict}, the search ${!verdict}`);
    }
    const isKnownGood = options.mutations === 0 && options.loses === 0;
    if (isKnownGood && !verdict) throw new Error(`seed ${seed} (${kind}): a correct store was condemned`);
  }
  console.log(`${kind}, ${histories} histories from seed ${firstSeed}: ${JSON.stringify(tally)}`);
  return { ...tally, histories };
}

describe("the exact methods", () => {
  it(
    "agree with the search on keys with compare-and-set chains, crashes and lost answers",
    () => {
      const tally = compare(registerModel, "register", seedsFor(0.2, 500), exactRegisterVerdict);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThanOrEqual(Math.floor(tally.histories * 0.05));
      expect(tally.uncovered + tally.notSearched).toBeLessThanOrEqual(tally.histories * 0.02);
    },
    timeoutMs,
  );

  it(
    "agree with the search where keys are deleted, too",
    () => {
      const kind = "register with deletes";
      const tally = compare(registerModel, kind, seedsFor(0.2, 500), exactRegisterVerdict);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThanOrEqual(Math.floor(tally.histories * 0.05));
      expect(tally.uncovered + tally.notSearched).toBeLessThanOrEqual(tally.histories * 0.02);
    },
    timeoutMs,
  );

  it(
    "agree with the search on counters, and leave few of those with other changes to it",
    () => {
      const tally = compare(registerModel, "counter", seedsFor(0.2, 500), exactRegisterVerdict);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThanOrEqual(Math.floor(tally.histories * 0.05));
      expect(tally.uncovered).toBeLessThanOrEqual(tally.histories * 0.4);
      expect(tally.notSearched).toBeLessThanOrEqual(tally.histories * 0.02);
    },
    timeoutMs,
  );

  it(
    "agree with the search on lists",
    () => {
      const tally = compare(listModel, "list", seedsFor(0.2, 500), exactListVerdict);
      expect(Math.min(tally.true, tally.false)).toBeGreaterThanOrEqual(Math.floor(tally.histories * 0.05));
      expect(tally.notSearched).toBeLessThanOrEqual(tally.histories * 0.02);
    },
    timeoutMs,
  );

  it(
    "name, for each violation that the zones do not show, an acknowledged operation",
    () => {
      let explained = 0;
      for (const seed of seedsFor(0.05, 2000, 0.1)) {
        const operations = randomHistory(optionsFor(seed, "register with deletes"));
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
      if (asked === undefined) expect(explained).toBeGreaterThan(0);
    },
    timeoutMs,
  );
});

describe("the search", () => {
  it(
    "comes to the same verdict when it forgets most of what it has seen",
    () => {
      for (const seed of seedsFor(0.05, 100, 0.02)) {
        const operations = randomHistory({ ...optionsFor(seed, "register with deletes"), operations: 8 });
        const forgetful = new Search(registerModel, operations, 1000);
        const verdict = forgetful.advance(performance.now() + searchMs);
        expect(verdict, `seed ${seed}`).toBe(searchVerdict(registerModel, operations));
      }
    },
    timeoutMs,
  );

  it(
    "agrees with trying every order, for all models",
    () => {
      for (const seed of seedsFor(0.1, 200, 0.1)) {
        const small = (kind: Kind) =>
          randomHistory({ ...optionsFor(seed, kind), operations: 3 + (Math.abs(seed) % 4) });
        for (const kind of ["register with deletes", "counter"] as const) {
          const operations = small(kind);
          const every = tryEveryOrder(registerModel, operations);
          expect(searchVerdict(registerModel, operations), `seed ${seed} (${kind})`).toBe(every);
        }
        const list = small("list");
        expect(searchVerdict(listModel, list), `seed ${seed} (list)`).toBe(tryEveryOrder(listModel, list));
      }
    },
    timeoutMs,
  );
});
