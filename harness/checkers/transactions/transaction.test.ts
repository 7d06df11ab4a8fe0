import { describe, expect, it } from "vitest";
import { comparable } from "./transaction.ts";

describe("a value in a transaction", () => {
  it("is the same as no other", () => {
    const values = [1, "1", [1], "[1]", "json [1]", 'json "json [1]"', "json", null, "null", { a: 1 }];
    expect(new Set(values.map(comparable)).size).toBe(values.length);
    expect(comparable([1])).toBe(comparable([1]));
  });
});
