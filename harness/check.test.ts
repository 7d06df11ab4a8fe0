import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import {
  CheckerDisagreement,
  type CheckOptions,
  checkLinearizable,
  checkLinearizableInWorkers,
  type HandWritten,
  HistoryError,
  history,
  type Model,
  queueModel,
  refuteWitness,
  registerModel,
  stringKvModel,
  type Violation,
} from "./check.ts";
import { askedOf, modelHistory } from "./checkers/fixtures/model-histories.ts";
import { packageRoot } from "./package-root.ts";

/** One process per line: [f, input, output, from, to]. */
type Line = readonly (readonly [string, unknown, unknown, number, number?])[];

function lines(key: string, ...processes: readonly Line[]): HandWritten[] {
  return processes.flatMap((line, process) =>
    line.map(([f, input, output, from, to]) => ({
      process: process + key.charCodeAt(0) * 100,
      f,
      key,
      input,
      output,
      from,
      ...(to === undefined ? {} : { to }),
    })),
  );
}

const fine = lines("x", [["write", 1, null, 0, 10]], [["read", null, 1, 5, 20]]);
const stale = lines(
  "y",
  [
    ["write", 7, null, 0, 10],
    ["write", 9, null, 100, 120],
  ],
  [["read", null, 7, 125, 132]],
);
/** Concurrent writes of which every order has to be tried, and a value that nobody wrote. */
function hard(key: string, width = 14): HandWritten[] {
  const writes = Array.from({ length: width }, (_, i): Line => [["append", `${i},`, null, 0, 50]]);
  return lines(key, ...writes, [["get", null, "none of these", 60, 70]]);
}

describe("checkLinearizable", () => {
  it("explains a history by an order that stands", () => {
    const seen = history(fine);
    const result = checkLinearizable(seen, registerModel);
    if (result.verdict !== true) throw new Error("it must be true");
    const witness = result.witness.get("x")!;
    expect(witness).toHaveLength(2);
    expect(witness.every((operation) => seen.operations.includes(operation))).toBe(true);
    expect(refuteWitness(registerModel, seen.operations, witness)).toBeUndefined();
    expect(result.checked).toEqual({ operations: 2, partitions: 1 });
  });

  it("names the violated partition, its operations, and the longest prefix that can be explained", () => {
    const result = checkLinearizable(history([...fine, ...stale]), registerModel);
    if (result.verdict !== false) throw new Error("it must be false");
    expect(result.partition).toBe("y");
    expect(result.counterexample.map(({ f, input }) => [f, input])).toEqual([
      ["write", 7],
      ["write", 9],
      ["read", null],
    ]);
    expect(result.longest.culprit.f).toBe("read");
    expect(result.longest.order?.map(({ input }) => input)).toEqual([7, 9]);
    expect(result.undecided).toEqual([]);
  });

  it("says in one sentence what a searched history contradicts", () => {
    const seen = lines(
      "x",
      [
        ["put", "7", null, 0, 10],
        ["put", "9", null, 100, 120],
      ],
      [["get", null, "7", 125, 132]],
    );
    const result = checkLinearizable(history(seen), stringKvModel);
    if (result.verdict !== false) throw new Error("it must be false");
    expect(result.minimal).toBe(true);
    expect(result.sentences).toEqual([
      'get of x (process 12001, event 4) returned "7" at 132 ms, but put of "9" to x (process 12000, event 2) had been acknowledged at 120 ms',
      'put of "7" to x (process 12000, event 0) had ended at 10 ms, too early to explain that',
      'it could meet only the state "9", and would have returned "9"',
    ]);
  });

  it("cuts a queue down to the elements that came out in the wrong order", () => {
    const many = Array.from({ length: 30 }, (_, i): Line[number] => ["enqueue", i, null, 10 * i, 10 * i + 5]);
    const seen = history(
      lines("q", many, [
        ["dequeue", null, 0, 400, 405],
        ["dequeue", null, 7, 410, 415],
      ]),
    );
    const result = checkLinearizable(seen, queueModel);
    if (result.verdict !== false) throw new Error("it must be false");
    expect(result.minimal).toBe(true);
    expect(result.counterexample.length).toBeLessThanOrEqual(4);
    expect(result.counterexample.at(-1)?.output).toBe(7);
  });

  it("reports an easy violation although a hard key comes first, and still says how far the hard one got", () => {
    const easy = lines("y", [["put", "a", null, 0, 10]], [["get", null, "b", 20, 30]]);
    const found: Violation[] = [];
    const options: CheckOptions = { budgetMs: 1500, onViolation: (violation) => found.push(violation) };
    const result = checkLinearizable(history([...hard("x"), ...easy]), stringKvModel, options);
    if (result.verdict !== false) throw new Error("it must be false");
    expect(found.map(({ partition }) => partition)).toEqual(["y"]);
    expect(result.undecided.map(({ partition }) => partition)).toEqual(["x"]);
    expect(result.undecided[0]?.reason).toMatch(
      /^key x: the search ran out of time: at most \d+ of 15 operations placed, everything that ended before \d+ ms explained, \d+ configurations seen$/,
    );
    expect(result.undecided[0]?.progress.placed).toBeGreaterThanOrEqual(14);
  });

  it("is unknown, never true, out of time, for what the model refuses, and for no operations at all", () => {
    const outOfTime = checkLinearizable(history(hard("x")), stringKvModel, { budgetMs: 50 });
    expect(outOfTime.verdict).toBe("unknown");
    expect(checkLinearizable(history(fine), registerModel, { budgetMs: 0 }).verdict).toBe("unknown");
    const refused = checkLinearizable(history(fine), stringKvModel);
    expect(refused.verdict === "unknown" && refused.reasons[0]).toContain("knows no operation");
    expect(checkLinearizable(history([]), registerModel).verdict).toBe("unknown");
  });

  it("decides everything twice when asked, with one result, for every built-in model", () => {
    const rounds = 25;
    const models = { register: registerModel, queue: queueModel, "kv-strings": stringKvModel };
    const tally = { true: 0, false: 0, unknown: 0 };
    for (const [name, model] of Object.entries(models)) {
      for (let seed = 1; seed <= rounds; seed++) {
        const operations = modelHistory(model as Model<unknown>, askedOf[name]!, seed, 8);
        const once = checkLinearizable({ operations }, model as Model<unknown>);
        const twice = checkLinearizable({ operations }, model as Model<unknown>, { crossCheck: true });
        expect(twice.verdict).toBe(once.verdict);
        tally[`${once.verdict}`]++;
      }
    }
    expect(tally.unknown).toBe(0);
    expect(Math.min(tally.true, tally.false)).toBeGreaterThan(3);
  });

  it("ends with a disagreement that carries the operations when a model contradicts itself", () => {
    let calls = 0;
    const fickle: Model<string> = {
      ...stringKvModel,
      step: (state, operation) => (calls++ < 2 ? "any" : stringKvModel.step(state, operation)),
    };
    const seen = history(lines("x", [["put", "a", null, 0, 10]], [["get", null, "b", 20, 30]]));
    const check = () => checkLinearizable(seen, fickle);
    expect(check).toThrow(CheckerDisagreement);
    calls = 0;
    try {
      check();
    } catch (error) {
      expect((error as CheckerDisagreement).operations).toHaveLength(2);
    }
  });

  it("refuses a model that looks at what no step may depend on", () => {
    const clockwise: Model<string> = {
      ...stringKvModel,
      step: (state, operation) => (operation.call > 3 ? undefined : stringKvModel.step(state, operation)),
    };
    const seen = history(lines("x", [["put", "a", null, 0, 10]]));
    expect(() => checkLinearizable(seen, clockwise)).toThrow("must not look at operation.call");
  });
});

describe("checkLinearizableInWorkers", () => {
  const own = (name: string) => ({
    module: pathToFileURL(join(packageRoot, "harness/checkers/fixtures/own-models.mjs")),
    name,
  });

  it("comes to the same results as on one thread, with the caller's own operations", async () => {
    const seen = history([...fine, ...stale]);
    const result = await checkLinearizableInWorkers(seen, "register");
    const onOneThread = checkLinearizable(seen, registerModel);
    expect(result).toEqual(onOneThread);
    if (result.verdict !== false) throw new Error("it must be false");
    expect(result.counterexample.every((operation) => seen.operations.includes(operation))).toBe(true);
    expect((await checkLinearizableInWorkers(history(fine), "register")).verdict).toBe(true);
  });

  it("ends a thread that stays inside one call of a model, and still decides the other keys", async () => {
    const stuck = lines("s", [["put", "stop", null, 0, 10]]);
    const bad = lines("y", [["put", "a", null, 0, 10]], [["get", null, "b", 20, 30]]);
    const good = lines("z", [["put", "a", null, 0, 10]], [["get", null, "a", 20, 30]]);
    const options = { budgetMs: 20_000, turnMsMax: 700, threads: 1 };
    const result = await checkLinearizableInWorkers(
      history([...stuck, ...bad, ...good]),
      own("endless"),
      options,
    );
    if (result.verdict !== false) throw new Error("it must be false");
    expect(result.violations.map(({ partition }) => partition)).toEqual(["y"]);
    expect(result.undecided.map(({ partition }) => partition)).toEqual(["s"]);
    expect(result.undecided[0]?.reason).toContain(
      "stayed in one step for too long: at most 0 of 1 operations",
    );
  });

  it("ends a thread that takes too much memory, and says so", async () => {
    const greedy = lines("g", [["put", "grow", null, 0, 10]]);
    const good = lines("z", [["put", "a", null, 0, 10]]);
    const options = { budgetMs: 60_000, turnMsMax: 50_000, memoryBytes: 64 * 2 ** 20, threads: 1 };
    const result = await checkLinearizableInWorkers(history([...greedy, ...good]), own("greedy"), options);
    if (result.verdict !== "unknown") throw new Error("it must be unknown");
    expect(result.undecided.map(({ partition }) => partition)).toEqual(["g"]);
    expect(result.reasons[0]).toContain("ran out of memory");
  });

  it("passes on what a model throws, and says which model there is not", async () => {
    const seen = history(lines("x", [["put", "throw", null, 0, 10]]));
    await expect(checkLinearizableInWorkers(seen, own("throwing"))).rejects.toThrow("thrown by the model");
    await expect(checkLinearizableInWorkers(seen, own("absent"))).rejects.toThrow('no model as "absent"');
    await expect(checkLinearizableInWorkers(seen, "regsiter")).rejects.toThrow("there are: register, list");
  });
});

describe("a history written by hand", () => {
  it("takes intervals as closed, and operations without an end as never answered", () => {
    const { operations } = history([
      { process: 0, f: "write", input: 1, from: 0, to: 10 },
      { process: 1, f: "read", output: null, from: 10, to: 20 },
      { process: 2, f: "write", input: 2, from: 5 },
    ]);
    expect(operations.map(({ f, outcome, call, bound }) => [f, outcome, call, bound])).toEqual([
      ["write", "ok", 0, 3],
      ["write", "info", 1, Number.POSITIVE_INFINITY],
      ["read", "ok", 2, 4],
    ]);
  });

  it("refuses a process that does two things at once, and an operation that ends before it begins", () => {
    const twice = [
      { process: 0, f: "read", from: 0, to: 10 },
      { process: 0, f: "read", from: 5, to: 20 },
    ];
    expect(() => history(twice)).toThrow(HistoryError);
    expect(() => history([{ process: 0, f: "read", from: 5, to: 4 }])).toThrow("ends before it begins");
  });
});
