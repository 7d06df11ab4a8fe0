import { describe, expect, it } from "vitest";
import { drawn } from "../fixtures/diagram.ts";
import { strictContext } from "../fixtures/promise.ts";
import { type StoreKind, simulated } from "./fixtures/simulated-stores.ts";
import { checkSessions, type SessionOptions } from "./sessions.ts";

const context = strictContext();

function judged(diagram: string, options: SessionOptions = {}) {
  return checkSessions(drawn(diagram), context, options);
}

function kindsIn(diagram: string, options: SessionOptions = {}): string[] {
  return judged(diagram, options).findings.map(({ kind }) => kind);
}

describe("textbook histories", () => {
  it("a session that does not find its own write breaks read your writes alone", () => {
    const result = judged(`
      c0: |-w a-| |-r nil-|
    `);
    expect(result.findings.map(({ kind }) => kind)).toEqual(["read-your-writes"]);
    expect(result.findings[0]!.sentence).toBe('key k: client 0 wrote "a" and afterwards found nothing');
    expect(result.findings[0]!.operations).toHaveLength(2);
  });

  it("a session that reads old, new, old breaks monotonic reads alone", () => {
    const result = judged(`
      c0: |-w a-| |-w b-|
      c1:      |-r a-|    |-r b-| |-r a-|
    `);
    expect(result.findings.map(({ kind }) => kind)).toEqual(["monotonic-reads"]);
    expect(result.findings[0]!.sentence).toBe(
      'key k: client 1 read "a" and afterwards read "b"; but client 1 read "b" and afterwards read "a"',
    );
  });

  it("new before old is named monotonic reads, and the sentence names monotonic writes as well", () => {
    const result = judged(`
      c0: |-w a-| |-w b-|
      c1:                 |-r b-| |-r a-|
    `);
    expect(result.findings.map(({ kind }) => kind)).toEqual(["monotonic-reads"]);
    expect(result.findings[0]!.sentence).toMatch(/or else monotonic-writes does not hold$/);
  });

  it("a write seen without an earlier one of its session, on another key, breaks monotonic writes", () => {
    const result = judged(`
      c0@x: |-w 1-|
      c1@y:                   |-r 2-|
    `);
    expect(result.verdict).toBe(false); // the value 2 was written by nobody: a phantom
    const sessionOf = () => "one";
    const split = judged(
      `
      c0@x: |-w 1-|
      c1@y:         |-w 2-|
      c2@y:                  |-r 2-|
      c3@x:                          |-r nil-|
    `,
      { sessionOf: (operation) => (operation.process < 2 ? sessionOf() : "two") },
    );
    expect(split.findings.map(({ kind }) => kind)).toEqual(["monotonic-writes"]);
    expect(split.findings[0]!.operations).toHaveLength(4);
  });

  it("a write seen without what its session had read breaks writes follow reads", () => {
    const session = ["a", "b", "b", "c", "c"];
    const result = judged(
      `
      c0@x: |-w 1-|
      c1@x:        |-r 1-|
      c2@y:               |-w 2-|
      c3@y:                      |-r 2-|
      c4@x:                             |-r nil-|
    `,
      { sessionOf: ({ process }) => session[process]! },
    );
    expect(result.findings.map(({ kind }) => kind)).toEqual(["writes-follow-reads"]);
  });

  it("sessions that each see their own write last agree on no order, which breaks read your writes", () => {
    expect(
      kindsIn(`
      c0: |-w a-| |-r b-|
      c1: |-w b-| |-r a-|
    `),
    ).toEqual(["read-your-writes"]);
  });

  it("a stale read by a session that knew nothing newer breaks nothing", () => {
    const result = judged(`
      c0: |-w a-| |-w b-|
      c1:                 |-r a-| |-r b-|
      c2:                 |-r nil-|
    `);
    expect(result.verdict).toBe(true);
    expect(result.checked.readsPlaced).toBe(3);
  });

  it("sessions that see two independent writes in opposite orders break monotonic reads", () => {
    expect(
      kindsIn(`
      c0: |-w a-|
      c1: |-w b-|
      c2:        |-r a-| |-r b-|
      c3:        |-r b-| |-r a-|
    `),
    ).toEqual(["monotonic-reads"]);
  });
});

describe("what is demanded", () => {
  it("only the guarantees that the store promises are judged", () => {
    const diagram = `
      c0: |-w a-| |-r nil-|
    `;
    expect(judged(diagram, { guarantees: ["monotonic-reads", "monotonic-writes"] }).verdict).toBe(true);
    expect(judged(diagram, { guarantees: ["read-your-writes"] }).verdict).toBe(false);
  });

  it("a write of unknown outcome is owed to nobody", () => {
    expect(judged("c0: |-w a--?     |-r nil-|").verdict).toBe(true);
    const byClient: SessionOptions = { sessionOf: () => "one" };
    expect(judged("c0: |-w a--?     |-r nil-|", byClient).verdict).toBe(true);
    expect(judged("c0: |-w a--|     |-r nil-|", byClient).verdict).toBe(false);
  });

  it("a compare-and-set is newer than what it replaced, whoever saw it", () => {
    expect(
      kindsIn(
        `
      c0: |-w a-|
      c1:        |-cas a b-|
      c2:                   |-r b-| |-r a-|
    `,
        { guarantees: ["monotonic-reads"] },
      ),
    ).toEqual(["monotonic-reads"]);
  });

  it("a session with overlapping operations has no order and is unknown", () => {
    const result = judged("c0: |-w a----|\nc1:    |-r a-|", { sessionOf: () => "one" });
    expect(result.verdict).toBe("unknown");
    expect(result.reasons[0]).toMatch(/overlap/);
  });

  it("reads of nil on a key with deletes, and of a value written twice, are counted and not judged", () => {
    const result = judged(`
      c0: |-w a-| |-del 1-| |-w b-| |-r nil-| |-r b-|
    `);
    expect(result.verdict).toBe(true);
    expect(result.checked.readsOfAmbiguousValues).toBe(1);
    expect(result.notChecked).toHaveLength(1);
  });

  it("a value that nobody wrote, or that was written only later, is a phantom", () => {
    expect(kindsIn("c0: |-w a-| |-r z-|")).toEqual(["phantom-value"]);
    expect(kindsIn("c0:         |-w a-|\nc1: |-r a-|")).toEqual(["phantom-value"]);
  });

  it("a key's value before the first operation is the oldest version", () => {
    const initial = new Map([["k", "z"]]);
    expect(judged("c0: |-r z-| |-w a-| |-r a-|", { initial }).verdict).toBe(true);
    const result = judged("c0: |-w a-| |-r z-|", { initial });
    expect(result.findings[0]!.sentence).toBe(
      'key k: client 0 wrote "a" and afterwards read the initial value "z"',
    );
    expect(kindsIn("c0: |-r nil-|", { initial })).toEqual(["phantom-value"]);
  });

  it("a history in which nothing was read is unknown", () => {
    expect(judged("c0: |-w a-|").verdict).toBe("unknown");
  });

  it("out of time is unknown", () => {
    const history = simulated({ kind: "linearizable", seed: 1, operations: 400, clients: 4, keys: 2 });
    expect(checkSessions(history, { ...context, budgetMs: -1 }).verdict).toBe("unknown");
  });
});

const findings = (kind: StoreKind, seed: number) =>
  checkSessions(simulated({ kind, seed, operations: 120, clients: 4, keys: 2, timeouts: 0.05 }), context)
    .findings;

describe("simulated stores", () => {
  it("linearizable, sequentially consistent and causally consistent ones keep all four", () => {
    for (const kind of ["linearizable", "sequential", "causal"] as const) {
      for (let seed = 1; seed <= 12; seed++) expect(findings(kind, seed), `${kind} ${seed}`).toEqual([]);
    }
  });

  it("an eventually consistent one does not", () => {
    const found = Array.from({ length: 20 }, (_, seed) => findings("eventual", seed)).filter(
      (all) => all.length > 0,
    );
    expect(found.length).toBeGreaterThan(15);
  });

  it.each(["read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads"] as const)(
    "one without %s is found, and no finding claims for certain that another one failed",
    (guarantee) => {
      let named = 0;
      let found = 0;
      for (let seed = 1; seed <= 40; seed++) {
        for (const { kind, sentence, operations } of findings(`without ${guarantee}`, seed)) {
          const told = kind === guarantee || sentence.split("; or else ")[1]?.includes(guarantee);
          expect(told, `seed ${seed}: ${sentence}`).toBe(true);
          expect(operations.length).toBeLessThanOrEqual(8);
          found++;
          if (kind === guarantee) named++;
        }
      }
      expect(found).toBeGreaterThan(20);
      expect(named).toBeGreaterThan(found / 6);
    },
  );
});
