/** Textbook histories of lists that grow at their end, drawn as timing diagrams (fixtures/diagram.ts). */
import { describe, expect, it } from "vitest";
import { drawn } from "./fixtures/diagram.ts";
import { lossyContext, strictContext } from "./fixtures/promise.ts";
import { checkLists } from "./lists.ts";

function check(diagram: string) {
  return checkLists(drawn(diagram, "append"), strictContext());
}

describe("lists that are in order pass", () => {
  const good: Record<string, string> = {
    "appends and reads": `
      c0: |-app a 1-| |-app b 2-| |-list a,b-|
      c1:                |----list a-----|`,
    "overlapping appends in either order": `
      c0: |----app a 2----| |-list b,a-|
      c1:    |-app b 1-|`,
    "an append without an answer, seen after the restart": `
      c0: |-app a 1-| |-app b--?
      c1:                          |-listb a,b-|
      n1:                        ^`,
    "an append without an answer, never seen": `
      c0: |-app a 1-| |-app b--?
      c1:                          |-listb a-| |-app c 2-| |-list a,c-|
      n1:                        ^`,
    "nobody read the end, and a gap is left by an append without an answer": `
      c0: |-app a 1-| |-app b--?
      c1:                        |-app c 3-|`,
    "an acknowledged append without a length, read later": `
      c0: |-app a-| |-list a-|`,
  };
  for (const [name, diagram] of Object.entries(good)) {
    it(name, () => {
      const result = check(diagram);
      expect(result.findings).toEqual([]);
      expect(result.verdict).toBe(true);
      expect(result.checked.keysSearched).toBeUndefined();
    });
  }
});

describe("violations are found and named", () => {
  const bad: Record<string, readonly [string, string]> = {
    "an element twice": ["applied-twice", "c0: |-app a 1-| |-list a,a-|"],
    "an element that nobody appended": ["phantom-value", "c0: |-app a 1-| |-list a,z-|"],
    "an element whose append was refused": ["phantom-value", "c0: |-app a 1-| |-app b--x |-list a,b-|"],
    "an acknowledged element is missing after the restart": [
      "lost-acknowledged-write",
      `
      c0: |-app a 1-| |-app b 2-|
      c1:                            |-listb a-|
      n1:                          ^`,
    ],
    "an acknowledged element is missing, and its place is taken": [
      "lost-acknowledged-write",
      `
      c0: |-app a 1-| |-app b 2-|
      c1:                            |-listb a-| |-app c 2-| |-list a,c-|
      n1:                          ^`,
    ],
    "an acknowledged element is missing at once": ["stale-read", "c0: |-app a 1-| |-app b 2-| |-list a-|"],
    "an element that was read is gone after the restart": [
      "read-of-unsynced-write",
      `
      c0: |-app a 1-| |-app b-----------------?
      c1:                  |-list a,b-|
      c2:                                           |-listb a-|
      n1:                                        ^`,
    ],
    "an append in flight at a crash is absent after it, and there after the next": [
      "resurrected-write",
      `
      c0: |-app a 1-| |-app b--?
      c1:                          |-listb a-|   |-listb a,b-|
      n1:                        ^             ^`,
    ],
    "two orders": [
      "not-linearizable",
      `
      c0: |----app a 1----| |-list a,b-|
      c1:   |-app b 1-|     |-list b,a-|`,
    ],
    "an order against real time": ["not-linearizable", "c0: |-app a 1-| |-app b 2-| |-list b,a-|"],
    "a length that two elements have": ["not-linearizable", "c0: |-app a 1-| |-app b 1-|"],
    "a length that no append explains": ["not-linearizable", "c0: |-app a 1-| |-app b 3-|"],
    "a read from the future": [
      "not-linearizable",
      `
      c0:             |-app a 1-|
      c1: |-list a-|`,
    ],
  };
  for (const [name, [kind, diagram]] of Object.entries(bad)) {
    it(`${name}: ${kind}`, () => {
      const result = check(diagram);
      expect(result.verdict).toBe(false);
      expect(result.findings.map((finding) => finding.kind)).toContain(kind);
    });
  }

  it("tells the story in one sentence", () => {
    const [finding] = check(`
      c0: |-app a 1-| |-app b 2-|
      c1:                            |-listb a-|
      n1:                          ^`).findings;
    expect(finding?.sentence).toBe(
      'key k: the append of "b" (client 0) was acknowledged at 0.033 s, but the read (client 1), sent after restart 1 at 0.038 s, does not show it',
    );
    expect(finding?.operations).toHaveLength(2);
  });
});

describe("what the exact method does not cover is searched", () => {
  it("decides an acknowledged append whose place nobody knows", () => {
    const result = check("c0: |-app a-| |-app b 2-|");
    expect(result.verdict).toBe(true);
    expect(result.checked.keysSearched).toBe(1);
    expect(check("c0: |-app a-| |-app b 3-|").verdict).toBe(false);
  });

  it("is unknown for a read that is no list", () => {
    const result = check("c0: |-app a 1-| |-r a-|");
    expect(result.verdict).toBe("unknown");
    expect(result.reasons[0]).toContain("must return an array");
  });
});

describe("across keys and restarts", () => {
  const reordered = `
      c0@i: |-app a 1-|                       |-listb .-|
      c0@j:             |-app b 1-|           |-listb b-|
      n1:                               ^`;

  it("names a later append that survived while an earlier acknowledged one did not", () => {
    const { findings } = check(reordered);
    expect(findings.map(({ kind }) => kind)).toEqual(["lost-acknowledged-write", "reordered-recovery"]);
  });

  it("says so, too, where the store promises only a prefix", () => {
    const { findings } = checkLists(drawn(reordered, "append"), lossyContext(Number.POSITIVE_INFINITY));
    expect(findings.map(({ kind }) => kind)).toEqual(["reordered-recovery"]);
  });

  it("allows the end of a list to be lost where the promise does", () => {
    const lost = `
      c0: |-app a 1-| |-app b 2-|
      c1:                            |-listb a-| |-app c 2-| |-list a,c-|
      n1:                          ^`;
    const result = checkLists(drawn(lost, "append"), lossyContext(Number.POSITIVE_INFINITY));
    expect(result.verdict).toBe(true);
    expect(result.checked.acknowledgedOperationsLost).toBe(1);
  });
});
