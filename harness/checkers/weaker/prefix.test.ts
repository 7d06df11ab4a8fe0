import { describe, expect, it } from "vitest";
import type { Operation } from "../../history/operation.ts";
import { drawn } from "../fixtures/diagram.ts";
import { strictContext } from "../fixtures/promise.ts";
import { randomFrom } from "../fixtures/random-history.ts";
import { checkPrefix, type PrefixOptions } from "./prefix.ts";

const judged = (diagram: string, options: PrefixOptions = {}) =>
  checkPrefix(drawn(diagram), strictContext(), options);

describe("prefix consistency after a loss", () => {
  it("a lost suffix is allowed and measured", () => {
    const result = judged(`
      c0@x: |-w 1-|       |-w 2-|
      c1@y:        |-w 3-|
      n1:                          ^
      c0@x:                           |-rb 1-|
      c1@y:                           |-rb nil-|
    `);
    expect(result.verdict).toBe(true);
    expect(result.checked).toMatchObject({
      restarts: 1,
      acknowledgedOperationsLost: 2,
      lossMsMeasured: 6 + 1,
    });
  });

  it("an earlier write lost where a later one on another key survived is a reordered recovery", () => {
    const result = judged(`
      c0@x: |-w 1-|
      c1@y:        |-w 3-|
      n1:                   ^
      c0@x:                   |-rb nil-|
      c1@y:                   |-rb 3-|
    `);
    expect(result.findings.map(({ kind }) => kind)).toEqual(["reordered-recovery"]);
    expect(result.findings[0]!.operations).toHaveLength(4);
  });

  it("a write that was read, but acknowledged too late or never, comes before what was sent after the read", () => {
    const diagram = (end: string) => `
      c0@x: |-w 1--------------------${end}
      c1@x:      |-r 1-|
      c2@y:               |-w 3-|
      n1:                                 ^
      c3@x:                                 |-rb nil-|
      c4@y:                                 |-rb 3-|
    `;
    for (const end of ["|", "?"]) {
      const result = judged(diagram(end));
      expect(result.findings.map(({ kind }) => kind)).toEqual(["reordered-recovery"]);
      expect(result.findings[0]!.sentence).toMatch(
        /counts as acknowledged from .* when client \d had read it/,
      );
      expect(result.findings[0]!.operations.map(({ f }) => f)).toEqual([
        "write",
        "read",
        "write",
        "read",
        "read",
      ]);
      expect(result.findings[0]!.operations[0]!.outcome).toBe(end === "|" ? "ok" : "info");
    }
  });

  it("the same without the read is no violation", () => {
    expect(
      judged(`
      c0@x: |-w 1--------------------|
      c2@y:               |-w 3-|
      n1:                                 ^
      c3@x:                                 |-rb nil-|
      c4@y:                                 |-rb 3-|
    `).verdict,
    ).toBe(true);
  });

  it("more lost than the bound allows is a finding, and without a bound it is not", () => {
    const diagram = `
      c0: |-w a-| |-w b-|           |-w c-|
      n1:                                  ^
      c1:                                    |-rb a-|
    `;
    expect(judged(diagram).verdict).toBe(true);
    expect(judged(diagram, { lossMsMax: 30 }).verdict).toBe(true);
    expect(judged(diagram, { lossMsMax: 10 }).findings.map(({ kind }) => kind)).toEqual([
      "lost-acknowledged-write",
    ]);
  });

  it("a value that came back after a later restart is resurrected", () => {
    expect(
      judged(`
      c0: |-w a-| |-w b-|
      n1:                 ^                  ^
      c1:                   |-rb a-|
      c2:                                      |-rb b-|
    `).findings.map(({ kind }) => kind),
    ).toEqual(["resurrected-write"]);
  });

  it("without a read-back the verdict is unknown", () => {
    expect(judged("c0: |-w a-|\nn1:        ^\nc0:           |-r a-|").verdict).toBe("unknown");
  });
});

/** A log of writes to a few keys, cut at a place; what comes back is that prefix, or one with a hole in it. */
function cutLog(seed: number, hole: boolean): { lines: string; isPrefix: boolean } {
  const random = randomFrom(seed);
  const writes = Array.from({ length: 8 }, (_, i) => ({
    key: `k${Math.floor(random() * 4)}`,
    value: `v${i}`,
  }));
  const kept = writes.slice(0, 2 + Math.floor(random() * 6));
  const lost = hole ? kept.splice(Math.floor(random() * (kept.length - 1)), 1)[0]! : undefined;
  const column = (i: number) => 10 + i * 10;
  const lines = writes.map(
    ({ key, value }, i) => `c${i}@${key}:${" ".repeat(column(i) - key.length - 4)}|-w ${value}-|`,
  );
  const ends = column(writes.length);
  lines.push(`n1:${" ".repeat(ends)}^`);
  for (const key of ["k0", "k1", "k2", "k3"]) {
    const value = kept.filter((write) => write.key === key).at(-1)?.value ?? "nil";
    lines.push(`r@${key}:${" ".repeat(ends)}|-rb ${value}-|`);
  }
  // A hole shows only if nothing later on its key survived, and something later on another key did.
  const after = lost ? kept.slice(kept.findIndex((write) => write.value > lost.value)) : [];
  const later = lost ? kept.filter((write) => write.value > lost.value) : after;
  const shows = lost !== undefined && later.length > 0 && !later.some(({ key }) => key === lost.key);
  const visible = later.some((write) => kept.filter(({ key }) => key === write.key).at(-1) === write);
  return { lines: lines.join("\n"), isPrefix: !(shows && visible) };
}

describe("random logs", () => {
  it("a log cut at its end passes, and one with a hole that shows does not", () => {
    let holes = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const { lines, isPrefix } = cutLog(seed, seed % 2 === 0);
      if (!isPrefix) holes++;
      const { verdict } = judged(lines);
      expect(verdict, `seed ${seed}\n${lines}`).toBe(isPrefix);
    }
    expect(holes).toBeGreaterThan(40);
  });
});

it("does not change the history it is given", () => {
  const history = drawn("c0: |-w 1-----?\nc1:   |-r 1-|\nn1:               ^\nc2:                 |-rb 1-|");
  const before: readonly Operation[] = structuredClone(history.operations) as Operation[];
  checkPrefix(history, strictContext());
  expect(history.operations).toEqual(before);
});

it("a value that was written twice is not taken for the first write of it", () => {
  const result = judged(
    `
    c0: |-w a-|  |-w b-|  |-w a-|      |-rb a-|
    n1:                            ^
  `,
    { lossMsMax: 0 },
  );
  expect(result.findings).toEqual([]);
  expect(result.verdict).toBe(true);
});
