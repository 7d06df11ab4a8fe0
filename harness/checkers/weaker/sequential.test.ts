import { describe, expect, it } from "vitest";
import { drawn } from "../fixtures/diagram.ts";
import { strictContext } from "../fixtures/promise.ts";
import { checkRegisters } from "../registers.ts";
import { simulated } from "./fixtures/simulated-stores.ts";
import { checkSequential, refuteSequential } from "./sequential.ts";

const context = strictContext();
const judged = (diagram: string) => checkSequential(drawn(diagram), context);

describe("textbook histories", () => {
  it("a stale read that one order explains is sequentially consistent, and not linearizable", () => {
    const diagram = `
      c0: |-w a-| |-w b-|
      c1:                |-r a-| |-r b-|
    `;
    expect(judged(diagram).verdict).toBe(true);
    expect(judged(diagram).checked.operationsInWitness).toBe(4);
    expect(checkRegisters(drawn(diagram), context).verdict).toBe(false);
  });

  it("store buffering: each process misses the other's write, on two keys", () => {
    const result = checkSequential(
      twoKeys([
        ["w x 1", "r y nil"],
        ["w y 1", "r x nil"],
      ]),
      context,
    );
    expect(result.verdict).toBe(false);
    const [finding] = result.findings;
    expect(finding!.kind).toBe("not-sequentially-consistent");
    expect(finding!.operations).toHaveLength(4);
    expect(finding!.cycle!.steps.map(({ edge }) => edge).sort()).toEqual(["process", "process", "rw", "rw"]);
    expect(finding!.sentence).toContain('client 0 wrote "1" to key x before it found nothing in key y');
  });

  it("two readers that see two independent writes in opposite orders", () => {
    const result = judged(`
      c0: |-w a-|
      c1: |-w b-|
      c2:        |-r a-| |-r b-|
      c3:        |-r b-| |-r a-|
    `);
    expect(result.verdict).toBe(false);
    expect(result.findings[0]!.operations.length).toBeLessThanOrEqual(6);
  });

  it("two readers that see writes to two keys in opposite orders", () => {
    const result = checkSequential(
      twoKeys([["w x 1"], ["w y 1"], ["r x 1", "r y nil"], ["r y 1", "r x nil"]]),
      context,
    );
    expect(result.verdict).toBe(false);
    expect(result.findings[0]!.operations).toHaveLength(6);
  });

  it("a session that does not find its own write", () => {
    expect(judged("c0: |-w a-| |-r nil-|").verdict).toBe(false);
  });

  it("a value that was there at the beginning is read before any write", () => {
    const initial = new Map([["k", "z"]]);
    const at = (diagram: string) => checkSequential(drawn(diagram), context, { initial }).verdict;
    expect(at("c0: |-w a-|\nc1:        |-r z-| |-r a-|")).toBe(true);
    expect(at("c0: |-w a-|\nc1:        |-r a-| |-r z-|")).toBe(false);
    expect(at("c0: |-cas z a-| |-r a-|")).toBe(true);
  });

  it("two compare-and-sets of one value", () => {
    expect(judged("c0: |-w a-|\nc1: |-cas a b-|\nc2: |-cas a c-|").verdict).toBe(false);
  });
});

/** One process after the other in the list, all of them overlapping: only each one's own order counts. */
function twoKeys(processes: readonly (readonly string[])[]) {
  const lines = processes.flatMap((steps, process) => steps.map((step, i) => ({ process, step, i })));
  const operations = lines.map(({ process, step, i }) => {
    const [f, key, value] = step.split(" ");
    const history = drawn(`c0@${key}: |-${f} ${value}-|`);
    const call = 10 * i + process;
    return { ...history.operations[0]!, process, call, return: 1000 + call, bound: 1000 + call };
  });
  return { operations: operations.sort((a, b) => a.call - b.call), readiness: [] };
}

describe("what the graph does not decide", () => {
  it("deletes and nil are searched", () => {
    expect(judged("c0: |-w a-| |-del 1-| |-r nil-|\nc1: |-r a-| |-r nil-|").verdict).toBe(true);
    expect(judged("c0: |-w a-| |-del 1-| |-r nil-| |-r a-|").verdict).toBe(false);
  });

  it("a value written twice is searched", () => {
    expect(judged("c0: |-w a-| |-w b-| |-w a-| |-r a-|").verdict).toBe(true);
    expect(judged("c0: |-w a-| |-w a-| |-w b-| |-r a-|").verdict).toBe(false);
  });

  it("a write of unknown outcome happens at any time, or never", () => {
    expect(judged("c0: |-w a--?\nc1: |-r nil-|    |-r a-|").verdict).toBe(true);
    expect(judged("c0: |-w a--?\nc1: |-r nil-|    |-r nil-|").verdict).toBe(true);
    expect(judged("c0: |-w a--?\nc1: |-r a-|    |-r nil-|").verdict).toBe(false);
  });

  it("a refused compare-and-set that did not say what it saw is searched", () => {
    const history = drawn("c0: |-w a-| |-cas b c-|");
    const refused = history.operations.map((operation) =>
      operation.f === "cas" ? { ...operation, matched: false, output: undefined } : operation,
    );
    expect(checkSequential({ ...history, operations: refused }, context).verdict).toBe(true);
  });

  it("out of time is unknown, and says how far it came", () => {
    const history = simulated({ kind: "sequential", seed: 3, operations: 400, clients: 6, keys: 3 });
    const result = checkSequential(history, { ...context, budgetMs: -1 });
    expect(result.verdict).toBe("unknown");
    expect(result.reasons[0]).toMatch(/had placed \d+ of \d+ operations/);
  });
});

describe("simulated stores", () => {
  it.each(["linearizable", "sequential"] as const)("%s ones pass, with a replayed order", (kind) => {
    for (let seed = 1; seed <= 12; seed++) {
      const history = simulated({ kind, seed, operations: 200, clients: 5, keys: 3, timeouts: 0.03 });
      const result = checkSequential(history, context);
      expect(result.verdict, `seed ${seed}: ${result.reasons} ${result.findings[0]?.sentence}`).toBe(true);
    }
  });

  it("a sequentially consistent one is not linearizable", () => {
    const history = simulated({ kind: "sequential", seed: 1, operations: 200, clients: 5, keys: 3 });
    expect(checkRegisters(history, context).verdict).toBe(false);
  });

  it.each([
    "causal",
    "eventual",
    "without read-your-writes",
    "without monotonic-reads",
    "without monotonic-writes",
    "without writes-follow-reads",
  ] as const)("a %s one is refuted", (kind) => {
    let refuted = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const history = simulated({ kind, seed, operations: 200, clients: 5, keys: 3 });
      const { verdict } = checkSequential(history, context);
      expect(verdict).not.toBe("unknown");
      if (verdict === false) refuted++;
    }
    expect(refuted).toBeGreaterThanOrEqual(4);
  });
});

describe("the replay of an order", () => {
  const { operations } = drawn("c0: |-w a-| |-w b-|\nc1:           |-r a-|");
  const [a, b, r] = [operations[0]!, operations[1]!, operations[2]!];

  it("accepts one that stands and says what is wrong with others", () => {
    const [w1, w2, read] = [a, b, r].sort(
      (x, y) => Number(x.f === "read") - Number(y.f === "read") || x.call - y.call,
    ) as [typeof a, typeof a, typeof a];
    expect(refuteSequential(operations, [w1, read, w2])).toBeUndefined();
    expect(refuteSequential(operations, [w1, w2, read])).toMatch(/cannot have ended/);
    expect(refuteSequential(operations, [w2, w1, read])).toMatch(/out of the order/);
    expect(refuteSequential(operations, [w1, w2])).toMatch(/missing/);
    expect(refuteSequential(operations, [w1, w1, read, w2])).toMatch(/out of the order/);
  });
});

it("a process that goes on after an operation without an answer waits for it no longer", () => {
  const history = drawn(`
    c0@x: |-w 1-?
    c1@x:         |-r 1-|
    c1@x:                  |-r nil-|
  `);
  const sameProcess = history.operations.map((operation) => ({ ...operation, process: operation.process }));
  const [write, first, second] = sameProcess;
  // Read 1, then nothing, by the process whose write never got an answer: the write may come between, but not go back.
  const goesOn = [
    { ...write!, process: 7 },
    { ...second!, process: 7, call: first!.call, return: first!.return, bound: first!.bound },
  ];
  expect(checkSequential({ operations: goesOn, readiness: [] }, strictContext()).verdict).toBe(true);
  const readsBoth = [write!, { ...first!, process: 1 }, { ...second!, process: 1 }];
  expect(checkSequential({ operations: readsBoth, readiness: [] }, strictContext()).verdict).toBe(false);
});

it("increments are not judged, since a number does not name what left it", () => {
  const history = drawn("c0@x: |-w 1-|  |-r 1-|");
  const increment = { ...history.operations[0]!, f: "increment", input: null, output: 1 };
  const { verdict, reasons } = checkSequential({ operations: [increment], readiness: [] }, strictContext());
  expect(verdict).toBe("unknown");
  expect(reasons.join()).toContain("increments are judged by linearizability only");
});
