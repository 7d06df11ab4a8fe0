/** Textbook histories of registers and keys, drawn as timing diagrams (fixtures/diagram.ts). */
import { describe, expect, it } from "vitest";
import { buildHistory } from "../history/history.ts";
import type { HistoryEvent } from "../history/operation.ts";
import type { CheckResult } from "./contract.ts";
import { drawn } from "./fixtures/diagram.ts";
import { lossyContext, strictContext } from "./fixtures/promise.ts";
import { checkRegisters } from "./registers.ts";

const context = strictContext();

function check(diagram: string): CheckResult {
  return checkRegisters(drawn(diagram), context);
}

function kindsOf(diagram: string): string[] {
  const result = check(diagram);
  expect(result.reasons).toEqual([]);
  return result.findings.map((finding) => finding.kind);
}

describe("linearizable histories pass", () => {
  const good: Record<string, string> = {
    "one client, one value": `
      c0: |-w a-| |-r a-|`,
    "a read that overlaps a write sees the old value or the new one": `
      c0: |-w a-| |------w b------|
      c1:            |-r a-| |-r b-|`,
    "two overlapping writes take effect in either order": `
      c0: |----w a----|
      c1:   |---w b-----|
      c2:                 |-r a-|`,
    "a write without an answer took effect before the restart": `
      c0: |-w a-| |-w b---?
      c1:                         |-rb b-|
      n1:                     ^`,
    "a write without an answer never took effect": `
      c0: |-w a-| |-w b---?
      c1:                         |-rb a-|   |-r a-|
      n1:                     ^`,
    "a refused write that is not seen": `
      c0: |-w a-| |-w b---x |-r a-|`,
    "compare-and-set chains": `
      c0: |-w a-| |-cas a b-|           |-cas c d-|
      c1:              |----cas b c----|           |-r d-|`,
    "a refused compare that says what it saw": `
      c0: |-w a-| |-cas x b !a-| |-r a-|`,
    "a compare-and-set from nothing": `
      c0: |-cas nil a-| |-r a-|`,
    "put, delete, put": `
      c0: |-w a-| |-del 1-| |-r nil-| |-del 0-| |-w b-| |-r b-|`,
    "a compare-and-set from nothing after a delete": `
      c0: |-w a-| |-del 1-| |-cas nil b-| |-del 1-| |-cas nil c-| |-r c-|`,
    "a delete without an answer": `
      c0: |-w a-| |-del---?
      c1:                       |-rb nil-|
      n1:                     ^`,
    "a delete that removed a write nobody was told of": `
      c0: |-w a--?
      c1:           |-del 1-|  |-r nil-|`,
    "legal only if the write without an answer happened (2 is never seen)": `
      c0: |-w 1-|  |-w 2-----?
      c1:              |-del 1-| |-del 1-| |-r nil-|`,
    "a read without an answer says nothing": `
      c0: |-w a-| |-r nil--?
      c1:                       |-r a-|`,
  };
  for (const [name, diagram] of Object.entries(good)) {
    it(name, () => {
      const result = check(diagram);
      expect(result.findings).toEqual([]);
      expect(result.verdict).toBe(true);
      expect(result.checked.operationsInWitness).toBeGreaterThan(0);
    });
  }
});

describe("violations are found and named", () => {
  const bad: Record<string, readonly [string, string]> = {
    "an overwritten value is read later": [
      "stale-read",
      `
      c0: |-w a-| |-w b-|
      c1:                  |-r a-|`,
    ],
    "a new value is seen, then the old one": [
      "stale-read",
      `
      c0: |-w a-| |------------w b-------------|
      c1:             |-r b-|
      c2:                       |-r a-|`,
    ],
    "nothing is read after a write": [
      "stale-read",
      `
      c0: |-w a-|
      c1:          |-r nil-|`,
    ],
    "an acknowledged write is missing after the restart": [
      "lost-acknowledged-write",
      `
      c0: |-w a-| |-w b-|
      c1:                     |-rb a-|
      n1:                  ^`,
    ],
    "the first write is missing after the restart": [
      "lost-acknowledged-write",
      `
      c0: |-w a-|
      c1:              |-rb nil-|
      n1:          ^`,
    ],
    "an acknowledged write to a key with deletes is missing after the restart": [
      "lost-acknowledged-write",
      `
      c0: |-w a-| |-del 1-| |-w b-|
      c1:                               |-rb nil-|
      n1:                           ^`,
    ],
    "a compare-and-set is missing after the restart, and succeeds again": [
      "lost-acknowledged-write",
      `
      c0: |-w a-| |-cas a b-|
      c1:                         |-cas a c-|
      n1:                      ^`,
    ],
    "a deleted key is back after the restart": [
      "resurrected-write",
      `
      c0: |-w a-| |-del 1-|
      c1:                      |-rb a-|
      n1:                   ^`,
    ],
    "a deleted key, seen to be gone after one restart, is back after the next": [
      "resurrected-write",
      `
      c0: |-w a-| |-del 1-|
      c1:                      |-rb nil-|    |-rb a-|
      n1:                   ^             ^`,
    ],
    "an overwritten value is back, though the new one had survived a restart": [
      "resurrected-write",
      `
      c0: |-w a-| |-w b-|
      c1:                     |-rb b-|     |-rb a-|
      n1:                  ^            ^`,
    ],
    "a write in flight at a crash is absent after it, and there after the next": [
      "resurrected-write",
      `
      c0: |-w a-| |-w b---?
      c1:                     |-rb a-|     |-rb b-|
      n1:                   ^           ^`,
    ],
    "a value that was read is gone after the restart, though nobody was told that it was written": [
      "read-of-unsynced-write",
      `
      c0: |-w a-| |-w b------------?
      c1:             |-r b-|
      c2:                               |-rb a-|
      n1:                            ^`,
    ],
    "a value that nobody wrote": [
      "phantom-value",
      `
      c0: |-w a-| |-r z-|`,
    ],
    "a value whose write was refused": [
      "phantom-value",
      `
      c0: |-w a-| |-w b---x |-r b-|`,
    ],
    "two compare-and-sets from one value": [
      "lost-update",
      `
      c0: |-w a-|  |-cas a b-|
      c1:           |-cas a c-|`,
    ],
    "a compare-and-set overwrites a write that ended while it was under way": [
      "lost-update",
      `
      c0: |-w a-| |--------cas a b---------|
      c1:            |-w c-|
      c2:                   |-r c-|
      c3:                                     |-r b-|`,
    ],
    "a read that ended before its write was sent": [
      "not-linearizable",
      `
      c0:          |-w a-|
      c1: |-r a-|`,
    ],
    "a key is removed twice": [
      "not-linearizable",
      `
      c0: |-w a-| |-del 1-| |-del 1-|`,
    ],
    "a compare is refused though it saw what it expected": [
      "not-linearizable",
      `
      c0: |-w a-| |-cas a b !a-|`,
    ],
    "a value found by a refused compare is stale": [
      "stale-read",
      `
      c0: |-w a-| |-w b-| |-cas x c !a-|`,
    ],
  };
  for (const [name, [kind, diagram]] of Object.entries(bad)) {
    it(`${name}: ${kind}`, () => {
      expect(kindsOf(diagram)).toContain(kind);
    });
  }

  it("tells the story in one sentence, with at most six operations in order of invocation", () => {
    const [finding] = check(`
      c4: |-w a-| |-w b-|
      c2:                     |-rb a-|
      n1:                  ^`).findings;
    expect(finding?.sentence).toBe(
      'key k: the write of "b" (client 0) was acknowledged at 0.025 s, but the read (client 1), sent after restart 1 at 0.031 s, returned the older "a"',
    );
    expect(finding?.operations.map((operation) => operation.call)).toEqual([1, 3, 6]);
    expect(finding?.count).toBe(1);
  });

  it("cuts a violation of a key with deletes down to the operation that shows it", () => {
    const [finding] = check(`
      c0: |-w a-| |-del 1-| |-w b-| |-r b-| |-del 1-|           |-w c-| |-r c-|
      c1:                                            |-r b-|`).findings;
    expect(finding?.kind).toBe("stale-read");
    expect(finding?.sentence).toContain("the delete (client 0) was acknowledged");
    expect(finding?.sentence).toContain('returned the older "b"');
  });

  it("reports every violated key, the worst first, and goes on after the first", () => {
    const findings = check(`
      c0@i: |-w a-| |-w b-| |-r a-|
      c0@j: |-w c-|                      |-rb nil-|
      n1:                              ^`).findings;
    expect(findings.map(({ key, kind }) => [key, kind])).toEqual([
      ["j", "lost-acknowledged-write"],
      ["i", "stale-read"],
    ]);
  });

  it("names a later write that survived while an earlier acknowledged one did not", () => {
    expect(
      kindsOf(`
      c0@i: |-w a-|                       |-rb nil-|
      c0@j:         |-w b-|               |-rb b-|
      n1:                        ^`),
    ).toEqual(["lost-acknowledged-write", "reordered-recovery"]);
  });
});

describe("what the exact method does not cover is searched", () => {
  it("decides a value that was written twice", () => {
    const good = check("c0: |-w a-| |-w b-| |-w a-| |-r a-|");
    expect(good.verdict).toBe(true);
    expect(good.checked.keysSearched).toBe(1);
    expect(kindsOf("c0: |-w a-| |-w b-| |-w a-| |-w c-| |-r a-|")).toEqual(["stale-read"]);
  });

  it("decides deletes without a count", () => {
    expect(check("c0: |-w a-| |-del-| |-del-| |-r nil-|").verdict).toBe(true);
    expect(check("c0: |-w a-| |-del-| |-r a-|").verdict).toBe(false);
  });

  it("decides a refused compare that does not say what it saw", () => {
    const events: HistoryEvent[] = [];
    const add = (type: "invoke" | "ok" | "info", f: string, value: unknown, process = 0, matched?: boolean) =>
      events.push({
        index: events.length,
        time: events.length,
        process,
        type,
        f,
        key: "k",
        ...(value === undefined ? {} : { value }),
        ...(matched === undefined ? {} : { matched }),
      });
    add("invoke", "write", "1");
    add("ok", "write", null);
    add("invoke", "write", "2", 1);
    add("info", "write", undefined, 1);
    add("invoke", "cas", ["1", "3"]);
    add("ok", "cas", undefined, 0, false);
    expect(checkRegisters(buildHistory(events), context).verdict).toBe(true);
    expect(checkRegisters(buildHistory(events.filter(({ process }) => process === 0)), context).verdict).toBe(
      false,
    );
  });

  it("is unknown, with the reason, for an operation that no register knows", () => {
    const history = drawn("c0: |-w a-| |-app b 1-|");
    const result = checkRegisters(history, context);
    expect(result.verdict).toBe("unknown");
    expect(result.reasons[0]).toContain('knows no operation "append"');
  });

  it("is unknown, with the reason, when the search runs out of time", () => {
    const writes = Array.from(
      { length: 26 },
      (_, i) => `c${i}: |-w v${i % 25}${" ".repeat(i < 10 ? 1 : 0)}-----------------|`,
    );
    const contradiction = `d: ${" ".repeat(30)}|-r v3-| |-r v7-| |-r v3-|`;
    const result = checkRegisters(drawn([...writes, contradiction].join("\n")), strictContext(1));
    expect(result.verdict).toBe("unknown");
    expect(result.reasons[0]).toContain("ran out of time");
  });
});

describe("where the store promises only that a prefix survives", () => {
  const kinds = (diagram: string) => {
    const result = checkRegisters(drawn(diagram), lossyContext(20));
    return { kinds: result.findings.map((finding) => finding.kind), checked: result.checked };
  };

  it("the latest writes may be lost, and the loss is measured", () => {
    const { kinds: found, checked } = kinds(`
      c0: |-w a-| |-w b-|
      c1:                     |-rb a-|  |-r a-|
      n1:                  ^`);
    expect(found).toEqual([]);
    expect(checked).toMatchObject({ acknowledgedOperationsLost: 1, lossMsMeasured: 0 });
  });

  it("more than the promised time may not be lost", () => {
    const found = kinds(`
      c0@i: |-w a-|                                         |-rb nil-|
      c0@j:                        |-w b-| |-w c-|          |-rb b-|
      n1:                                             ^`).kinds;
    expect(found).toEqual(["lost-acknowledged-write", "reordered-recovery"]);
  });

  it("a prefix has no holes: an earlier write is not lost while a later one survives", () => {
    const found = kinds(`
      c0@i: |-w a-|                    |-rb nil-|
      c0@j:         |-w b-|            |-rb b-|
      n1:                     ^`).kinds;
    expect(found).toEqual(["reordered-recovery"]);
  });

  it("what had come back from one restart is not lost at the next", () => {
    const found = kinds(`
      c0@i: |-w a-|         |-rb a-|       |-rb nil-|
      n1:             ^               ^`).kinds;
    expect(found).toEqual(["lost-acknowledged-write"]);
  });

  it("what an earlier restart had lost does not come back", () => {
    const found = kinds(`
      c0@i: |-w a-| |-w b-|         |-rb a-|       |-rb b-|
      n1:                      ^               ^`).kinds;
    expect(found).toEqual(["resurrected-write"]);
  });

  it("reads within one incarnation must still be linearizable", () => {
    const found = kinds(`
      c0: |-w a-| |-w b-| |-r a-|    |-rb nil-|
      n1:                          ^`).kinds;
    expect(found).toEqual(["stale-read"]);
  });
});

describe("speed", () => {
  it("checks 200,000 operations on one key in well under the time it takes to read them", () => {
    const result = checkRegisters(buildHistory(busyKey(200_000)), strictContext(60_000));
    expect(result.verdict).toBe(true);
    expect(result.checked.keysSearched).toBeUndefined();
    console.log(`200,000 operations on one key: ${result.elapsedMs.toFixed(0)} ms, witness replayed`);
  });
});

/** Fifty clients on one key: every fourth operation writes, the others read what the last write wrote. */
function* busyKey(operations: number): Generator<HistoryEvent> {
  const clients = 50;
  let index = 0;
  let value = "v0";
  for (let done = 0; done < operations; done += clients) {
    for (let c = 0; c < clients; c++) {
      const f = c % 4 === 0 ? "write" : "read";
      yield {
        index,
        time: index,
        process: c,
        type: "invoke",
        f,
        key: "k",
        value: f === "write" ? `v${done + c}` : null,
      };
      index++;
    }
    for (let c = 0; c < clients; c++) {
      const f = c % 4 === 0 ? "write" : "read";
      if (f === "write") value = `v${done + c}`;
      yield { index, time: index, process: c, type: "ok", f, key: "k", value: f === "write" ? null : value };
      index++;
    }
  }
}
