import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shownKey } from "./shown-text.ts";

describe("a key in a sentence", () => {
  it("is itself when it is ordinary text of any language", () => {
    for (const key of ["x", "a b", "é🙂", "ключ", '"3"', "\\u001b"]) expect(shownKey(key)).toBe(key);
  });

  it("has no character that a terminal obeys or that nobody sees", () => {
    expect(shownKey("\u001b[2Jk\u0007\n")).toBe("\\u001b[2Jk\\u0007\\u000a");
    expect(shownKey("\u009b31m\u202e\u200b\u2028\ud800")).toBe("\\u009b31m\\u202e\\u200b\\u2028\\ud800");
    expect(shownKey("\u{e0041}")).toBe("\\u{e0041}");
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (key) => {
        expect(shownKey(key)).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  it("is shortened to 80 characters, and shows that it was", () => {
    expect(shownKey("k".repeat(80))).toBe("k".repeat(80));
    expect(shownKey("k".repeat(81))).toBe(`${"k".repeat(80)}…`);
    expect(shownKey(`${"k".repeat(79)}🙂`)).toBe(`${"k".repeat(79)}\\ud83d…`);
  });
});
