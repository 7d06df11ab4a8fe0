import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openHistory } from "./formats/index.ts";
import { careOf } from "./json-values.ts";

const directory = mkdtempSync(join(tmpdir(), "acked-values-"));
const path = join(directory, "history.jsonl");

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What a line of ours with this JSON as its value gives. */
function inputOf(json: string, member = "value"): unknown {
  const base = '"index":0,"time":0,"process":0,"type":"invoke","f":"write","workload":"w"';
  writeFileSync(path, `{${base},"${member}":${json}}\n`);
  return openHistory(path, { format: "acked" }).history.operations[0]?.input;
}

describe("a value of our own lines", () => {
  it("is never rounded: a whole number beyond 2^53 is another value than its neighbours", () => {
    expect(inputOf("9007199254740993")).toEqual({ "#edn": "9007199254740993" });
    expect(inputOf("9007199254740992")).toBe(9007199254740992);
    expect(inputOf('[1,{"b":-12345678901234567890,"a":"9007199254740993"}]')).toEqual([
      1,
      { a: "9007199254740993", b: { "#edn": "-12345678901234567890" } },
    ]);
    expect(inputOf("1e300")).toBe(1e300);
  });

  it("has one text, in whatever order its members were written", () => {
    const texts = ['{"a":1,"b":[{"c":1,"d":2}]}', '{"b":[{"d":2,"c":1}],"a":1}'];
    const [first, second] = texts.map((text) => JSON.stringify(inputOf(text)));
    expect(first).toBe(second);
  });

  it("may have the depth that all formats allow, and no more, in a member of any name", () => {
    const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
    expect(inputOf(nested(199))).toBeDefined();
    for (const member of ["value", "key", "f", "unknown"]) {
      for (const levels of [200, 150_000]) {
        expect(() => inputOf(nested(levels), member)).toThrow(
          "line 1 of the history: it is nested deeper than 200 levels",
        );
      }
    }
  });
});

it("nothing is done about ordinary values", () => {
  const nothing = { tooDeep: false, inexact: false, unsorted: false };
  for (const value of [null, "x", 3, 1.5, true, [1, "a", [2]], { a: 1 }])
    expect(careOf(value, 9)).toEqual(nothing);
});
