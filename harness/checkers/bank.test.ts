/** Histories of a bank with two or three accounts, drawn as timing diagrams (fixtures/diagram.ts). */
import { describe, expect, it } from "vitest";
import { checkBank } from "./bank.ts";
import { drawn } from "./fixtures/diagram.ts";
import { lossyContext, strictContext } from "./fixtures/promise.ts";

function check(diagram: string) {
  return checkBank(drawn(diagram, "bank"), strictContext());
}

function kindsOf(diagram: string): string[] {
  const result = check(diagram);
  expect(result.reasons).toEqual([]);
  return result.findings.map((finding) => finding.kind);
}

describe("books that are in order pass", () => {
  const good: Record<string, string> = {
    "transfers, reads and an audit": `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-bal a=7,b=13-| |-tx t2 b a 1-| |-audit a=8,b=12 t1:a:b:3;t2:b:a:1-|
      c1:                       |-bal a=10,b=10-|`,
    "a read that overlaps a transfer sees it or not": `
      c0: |-open a=10,b=10-| |-----------tx t1 a b 3-------------| |-audit a=7,b=13 t1:a:b:3-|
      c1:                       |-bal a=10,b=10-| |-bal a=7,b=13-|`,
    "a refused transfer": `
      c0: |-open a=10,b=10-| |-tx t1 a b 30--x |-audit a=10,b=10-|`,
    "a transfer without an answer, applied": `
      c0: |-open a=10,b=10-| |-tx t1 a b 3---?
      c1:                                        |-audit a=7,b=13 t1:a:b:3-|
      n1:                                     ^`,
    "a transfer without an answer, not applied": `
      c0: |-open a=10,b=10-| |-tx t1 a b 3---?
      c1:                                        |-audit a=10,b=10-| |-bal a=10,b=10-|
      n1:                                     ^`,
    "balances that recur": `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-tx t2 b a 3-| |-bal a=10,b=10-| |-audit a=10,b=10 t1:a:b:3;t2:b:a:3-|`,
  };
  for (const [name, diagram] of Object.entries(good)) {
    it(name, () => {
      const result = check(diagram);
      expect(result.findings).toEqual([]);
      expect(result.verdict).toBe(true);
    });
  }
});

describe("violations are found and named", () => {
  const bad: Record<string, readonly [string, string]> = {
    "money appears in a read": [
      "total-not-conserved",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-bal a=10,b=13-| |-audit a=7,b=13 t1:a:b:3-|`,
    ],
    "money appears in an audit": [
      "total-not-conserved",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-audit a=10,b=13 t1:a:b:3-|`,
    ],
    "a negative balance": [
      "negative-balance",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 13-| |-audit a=-3,b=23 t1:a:b:13-|`,
    ],
    "balances that the ledger does not explain": [
      "partial-transaction",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-audit a=10,b=10 t1:a:b:3-|`,
    ],
    "half of a transfer in a read of three accounts": [
      "partial-transaction",
      `
      c0: |-open a=9,b=9,c=9-| |-tx t1 a b 3-| |-tx t2 b c 3-| |-audit a=6,b=9,c=12 t1:a:b:3;t2:b:c:3-|
      c1:                                       |-bal a=9,b=6,c=12-|`,
    ],
    "one transfer twice": [
      "applied-twice",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-audit a=4,b=16 t1:a:b:3;t1:a:b:3-|`,
    ],
    "an acknowledged transfer is missing after the restart": [
      "lost-acknowledged-write",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-|
      c1:                                        |-audit a=10,b=10-|
      n1:                                     ^`,
    ],
    "an acknowledged transfer is missing at once": [
      "stale-read",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-audit a=10,b=10-|`,
    ],
    "a transfer that nobody asked for": [
      "phantom-value",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-audit a=6,b=14 t1:a:b:3;t9:a:b:1-|`,
    ],
    "a transfer of another amount": [
      "phantom-value",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-audit a=6,b=14 t1:a:b:4-|`,
    ],
    "a transfer that was refused": [
      "phantom-value",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3--x |-audit a=7,b=13 t1:a:b:3-|`,
    ],
    "a line in the ledger that is no transfer": [
      "phantom-value",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-audit a=7,b=13 garbage-|`,
    ],
    "an audit that later audits contradict": [
      "reordered-recovery",
      `
      c0: |-open a=10,b=10-| |------tx t1 a b 3-------| |-audit a=6,b=14 t1:a:b:3;t2:a:b:1-|
      c1:                      |------tx t2 a b 1------|
      c2:                                                                                      |-audit a=6,b=14 t2:a:b:1;t1:a:b:3-|
      n1:                                                                                    ^`,
    ],
    "a transfer that an audit showed is gone after the restart": [
      "read-of-unsynced-write",
      `
      c0: |-open a=10,b=10-| |------tx t1 a b 3-------------------------------?
      c1:                       |-audit a=7,b=13 t1:a:b:3-|
      c2:                                                                          |-audit a=10,b=10-|
      n1:                                                                       ^`,
    ],
    "a transfer that a read showed is gone after the restart": [
      "read-of-unsynced-write",
      `
      c0: |-open a=10,b=10-| |------tx t1 a b 3-------------------------------?
      c1:                       |-bal a=7,b=13-|
      c2:                                                                          |-audit a=10,b=10-|
      n1:                                                                       ^`,
    ],
    "the ledger against real time": [
      "not-linearizable",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-tx t2 a b 1-| |-audit a=6,b=14 t2:a:b:1;t1:a:b:3-|`,
    ],
    "a read of an old state": [
      "stale-read",
      `
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-bal a=10,b=10-| |-audit a=7,b=13 t1:a:b:3-|`,
    ],
    "a read of the new state, then one of the old": [
      "stale-read",
      `
      c0: |-open a=10,b=10-| |-----------------------tx t1 a b 3-----------| |-audit a=7,b=13 t1:a:b:3-|
      c1:                       |-bal a=7,b=13-| |-bal a=10,b=10-|`,
    ],
    "a read from the future": [
      "not-linearizable",
      `
      c0: |-open a=10,b=10-| |-bal a=7,b=13-| |-tx t1 a b 3-| |-audit a=7,b=13 t1:a:b:3-|`,
    ],
  };
  for (const [name, [kind, diagram]] of Object.entries(bad)) {
    it(`${name}: ${kind}`, () => {
      expect(kindsOf(diagram)).toContain(kind);
    });
  }

  it("tells the story in one sentence", () => {
    const [finding] = check(`
      c0: |-open a=10,b=10-| |-tx t1 a b 3-|
      c1:                                        |-audit a=10,b=10-|
      n1:                                     ^`).findings;
    expect(finding?.sentence).toBe(
      "bank k: transfer t1 (client 0) was acknowledged at 0.044 s, but the audit by client 1 at 0.050 s, after restart 1, does not have it in the ledger",
    );
  });
});

describe("what cannot be judged is said", () => {
  it("is unknown when the accounts were never opened", () => {
    const result = check("c0: |-tx t1 a b 3-|");
    expect(result.verdict).toBe("unknown");
    expect(result.reasons[0]).toContain("never opened");
  });

  it("counts reads that may show transfers which no audit has confirmed", () => {
    const result = check("c0: |-open a=10,b=10-| |-audit a=10,b=10-| |-tx t1 a b 3-| |-bal a=7,b=13-|");
    expect(result.verdict).toBe(true);
    expect(result.checked.readsUnconfirmed).toBe(1);
    expect(result.notChecked).toHaveLength(1);
  });

  it("does not fall over bytes that are no balances", () => {
    const history = drawn("c0: |-open a=10,b=10-| |-bal a=x,b=10-| |-audit a=10,b=10-|", "bank");
    expect(checkBank(history, strictContext()).findings[0]?.kind).toBe("phantom-value");
  });
});

describe("where the store promises only that a prefix survives", () => {
  const kinds = (diagram: string) =>
    checkBank(drawn(diagram, "bank"), lossyContext(1000)).findings.map((finding) => finding.kind);

  it("the last transfers may be lost, and each incarnation is judged from its first audit", () => {
    expect(
      kinds(`
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-tx t2 a b 1-|
      c1:                                                      |-audit a=7,b=13 t1:a:b:3-| |-tx t3 a b 2-| |-bal a=5,b=15-| |-audit a=5,b=15 t1:a:b:3;t3:a:b:2-|
      n1:                                                    ^`),
    ).toEqual([]);
  });

  it("an earlier transfer is not lost while a later one survives", () => {
    expect(
      kinds(`
      c0: |-open a=10,b=10-| |-tx t1 a b 3-| |-tx t2 a b 1-|
      c1:                                                      |-audit a=9,b=11 t2:a:b:1-|
      n1:                                                    ^`),
    ).toEqual(["reordered-recovery"]);
  });

  it("the opening itself may be lost with everything else", () => {
    const history = drawn(
      `
      c0: |-open a=10,b=10-|
      c1:                      |-audit a=0,b=0-|
      n1:                    ^`,
      "bank",
    );
    const lost = { balances: { a: null, b: null }, ledger: [] };
    const operations = history.operations.map((one) => (one.f === "audit" ? { ...one, output: lost } : one));
    expect(checkBank({ ...history, operations }, lossyContext(1000)).verdict).toBe(true);
    expect(checkBank({ ...history, operations }, strictContext()).verdict).toBe(false);
  });
});
