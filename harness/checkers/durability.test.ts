/** The checks by counters, the assumptions, and the way checkers are run. */
import { describe, expect, it } from "vitest";
import type { History } from "../history/history.ts";
import { checkAssumptions } from "./assumptions.ts";
import { runChecker } from "./compose.ts";
import { checkCoveringSync, checkFailStop } from "./durability.ts";
import { worstFindings } from "./findings.ts";
import { drawn } from "./fixtures/diagram.ts";
import { strictContext } from "./fixtures/promise.ts";

const context = strictContext();
const writes = (operation: { readonly f: string }) => operation.f === "write";

/** Gives each operation, in order of invocation, its counts [begun at invocation, completed at reply]. */
function counted(diagram: string, counts: readonly (readonly [number, number])[]): History {
  const history = drawn(diagram);
  const operations = history.operations.map((operation, i) =>
    counts[i] ? { ...operation, syncsBegun: counts[i][0], syncCompleted: counts[i][1] } : operation,
  );
  return { ...history, operations };
}

describe("an acknowledgement without a sync", () => {
  it("is found when no sync began after the invocation and completed before the reply", () => {
    const history = counted("c0: |-w a-| |-w b-| |-w c-|", [
      [0, 1],
      [1, 1],
      [2, 2],
    ]);
    const result = checkCoveringSync(history, writes, context);
    expect(result.verdict).toBe(false);
    expect(result.findings[0]).toMatchObject({ kind: "acknowledged-without-sync", count: 2, key: "k" });
    expect(result.findings[0]?.operations[0]?.input).toBe("b");
    expect(result.findings[0]?.sentence).toContain("no sync of the log began after it was sent");
  });

  it("is not found when one sync covers several writes", () => {
    const history = counted("c0: |-w a-|\nc1: |-w b-|\nc2: |-r a-|", [
      [4, 5],
      [4, 5],
      [4, 4],
    ]);
    const result = checkCoveringSync(history, writes, context);
    expect(result.verdict).toBe(true);
    expect(result.checked.acknowledgements).toBe(2);
  });

  it("is not looked for in operations without an acknowledgement", () => {
    const history = counted("c0: |-w a--?\nc1: |-w b--x", [
      [4, 4],
      [4, 4],
    ]);
    expect(checkCoveringSync(history, writes, context).checked.acknowledgements).toBe(0);
  });

  it("says how many acknowledgements carry no counts", () => {
    const result = checkCoveringSync(counted("c0: |-w a-| |-w b-|", [[0, 1]]), writes, context);
    expect(result.notChecked).toEqual(["covering sync: 1 of 2 acknowledgements carry no counts of syncs"]);
  });

  it("is not a violation of a promise that was not made", () => {
    const promise = { ...context.promise, syncsBeforeAcknowledging: false };
    const result = checkCoveringSync(counted("c0: |-w a-|", [[1, 1]]), writes, { ...context, promise });
    expect(result.findings).toEqual([]);
    expect(result.notChecked).toHaveLength(1);
  });
});

describe("an acknowledgement after a failed sync", () => {
  const history = drawn("c0: |-w a-| |-w b-|    |-w c-|\nn1:                   ^");

  it("is found when the write was invoked after the failure, in the same incarnation", () => {
    const failedAtRank = history.operations[1]!.call;
    const result = checkFailStop(history, [{ incarnation: 0, failedAtRank }], writes, context);
    expect(result.findings[0]).toMatchObject({ kind: "acknowledged-after-failed-sync" });
    expect(result.findings[0]?.operations[0]?.input).toBe("b");
  });

  it("is not found for what was under way, nor for the next incarnation", () => {
    const failedAtRank = history.operations[1]!.call + 1;
    const result = checkFailStop(history, [{ incarnation: 0, failedAtRank }], writes, context);
    expect(history.operations[2]?.incarnation).toBe(1);
    expect(result.verdict).toBe(true);
  });
});

describe("assumptions", () => {
  it("hold for a history with a change before each restart and a read after it", () => {
    const result = checkAssumptions(drawn("c0: |-w a-|       |-rb a-|\nn1:         ^"), context);
    expect(result.verdict).toBe(true);
    expect(result.checked).toMatchObject({ operations: 2, restarts: 1, valuesWritten: 1 });
  });

  const tooLittle: Record<string, readonly [string, string]> = {
    "no operations at all": ["c0:", "no operations"],
    "nothing acknowledged": ["c0: |-w a--? |-r nil-|", "no change was acknowledged"],
    "nothing read": ["c0: |-w a-|", "nothing was read"],
    "nothing acknowledged before a restart": [
      "c0: |-r nil-|      |-w a-| |-r a-|\nn1:            ^",
      "no change had been acknowledged before any restart",
    ],
    "nothing read after a restart": [
      "c0: |-w a-| |-r a-|    |-w b-|\nn1:                  ^",
      "nothing was read after any restart",
    ],
  };
  for (const [name, [diagram, reason]] of Object.entries(tooLittle)) {
    it(`do not hold with ${name}`, () => {
      const result = checkAssumptions(drawn(diagram), context);
      expect(result.verdict).toBe("unknown");
      expect(result.reasons.join()).toContain(reason);
    });
  }

  it("count values that were written again", () => {
    const result = checkAssumptions(drawn("c0: |-w a-| |-w a-| |-r a-|"), context);
    expect(result.checked.valuesWrittenAgain).toBe(1);
  });
});

describe("running a checker", () => {
  const one = (overrides: object) => ({
    checker: "x",
    verdict: true as const,
    reasons: [],
    findings: [],
    checked: {},
    notChecked: [],
    elapsedMs: 0,
    ...overrides,
  });

  it("makes unknown of one that throws, with its error", () => {
    const [result] = runChecker("bank", context, () => {
      throw new TypeError("it broke");
    });
    expect(result?.verdict).toBe("unknown");
    expect(result?.reasons[0]).toContain("TypeError: it broke");
  });

  it("makes unknown of one that returns nothing, and of one without time", () => {
    expect(runChecker("bank", context, () => [])[0]?.verdict).toBe("unknown");
    expect(runChecker("bank", strictContext(0), () => [one({})])[0]?.verdict).toBe("unknown");
  });

  it("never lets a finding pass, nor a violation without one", () => {
    const finding = { kind: "stale-read", operations: [], sentence: "" };
    expect(runChecker("x", context, () => [one({ findings: [finding] })])[0]?.verdict).toBe(false);
    expect(runChecker("x", context, () => [one({ verdict: false })])[0]?.verdict).toBe("unknown");
  });

  it("keeps the worst findings and every kind", () => {
    const finding = (kind: "stale-read" | "lost-acknowledged-write", key: string) => ({
      kind,
      key,
      operations: [],
      sentence: "",
    });
    const many = Array.from({ length: 40 }, (_, i) => finding("lost-acknowledged-write", `k${i}`));
    const kept = worstFindings([finding("stale-read", "s"), ...many]);
    expect(kept).toHaveLength(20);
    expect(kept[0]?.key).toBe("k0");
    expect(kept.at(-1)?.kind).toBe("stale-read");
  });
});
