import { describe, expect, it } from "vitest";
import { drawn } from "../fixtures/diagram.ts";
import { strictContext } from "../fixtures/promise.ts";
import { randomHistory } from "../fixtures/random-history.ts";
import { checkRegisters } from "../registers.ts";
import { longestPrefix, prefixUpTo } from "./longest-prefix.ts";
import { judgeKey } from "./register-key.ts";

const judge = (operations: Parameters<typeof judgeKey>[0]) =>
  judgeKey(operations, null, Number.POSITIVE_INFINITY);

describe("the longest explainable prefix", () => {
  it("ends with the completion before the one that cannot be explained", () => {
    const { operations } = drawn(`
      c0: |-w a-| |-w b-|
      c1:                |-r b-| |-r a-| |-r b-|
    `);
    const ends = operations.map((operation) => operation.return).sort((x, y) => x - y);
    expect(longestPrefix(operations, judge, Number.POSITIVE_INFINITY)).toEqual({
      upTo: ends[2],
      placed: 3,
      of: 5,
    });
  });

  it("is everything where nothing is wrong, and nothing where the first answer is", () => {
    const fine = drawn("c0: |-w a-| |-r a-|").operations;
    expect(longestPrefix(fine, judge, Number.POSITIVE_INFINITY)).toMatchObject({ placed: 2, of: 2 });
    const wrong = drawn("c0: |-r z-|").operations;
    expect(longestPrefix(wrong, judge, Number.POSITIVE_INFINITY)).toEqual({ upTo: -1, placed: 0, of: 1 });
  });

  it("is shorter, and never too long, where the judge does not decide or the time is over", () => {
    const { operations } = drawn("c0: |-w a-| |-r a-| |-r z-|");
    expect(longestPrefix(operations, () => undefined, Number.POSITIVE_INFINITY)).toMatchObject({
      placed: 0,
      of: 3,
    });
    expect(longestPrefix(operations, judge, -1)).toMatchObject({ placed: 0, of: 3 });
  });

  it("is the longest of all prefixes that the judge accepts, and all shorter ones are accepted", () => {
    let violated = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const operations = randomHistory({
        seed,
        model: "register",
        operations: 12,
        clients: 3,
        deletes: seed % 2 === 0,
        compareAndSets: true,
        mutations: 2,
        loses: 0,
        timeouts: 0.1,
        crashes: 0,
      });
      const ends = operations.filter(({ outcome }) => outcome === "ok").map((operation) => operation.return);
      const accepted = ends.sort((x, y) => x - y).map((end) => judge(prefixUpTo(operations, end)));
      const first = accepted.indexOf(false);
      const { placed } = longestPrefix(operations, judge, Number.POSITIVE_INFINITY);
      expect(placed, `seed ${seed}`).toBe(first === -1 ? ends.length : first);
      if (first >= 0) {
        violated++;
        expect(accepted.slice(first)).not.toContain(true);
      }
    }
    expect(violated).toBeGreaterThan(40);
  });

  it("stands in every finding of the linear-time check of a key", () => {
    const { findings } = checkRegisters(
      drawn("c0: |-w a-| |-w b-|\nc1:                |-r b-| |-r a-| |-r b-|"),
      strictContext(),
    );
    expect(findings).toHaveLength(1);
    expect(findings[0]!.longest).toMatchObject({ placed: 3, of: 5 });
  });
});
