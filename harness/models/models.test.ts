import { describe, expect, it } from "vitest";
import type { Operation } from "../history/operation.ts";
import { elementOf, elementsOf, listModel, listOf } from "./list.ts";
import { quote, registerModel, registerValue, showValue } from "./register.ts";

function operation(f: string, rest: Partial<Operation>): Operation {
  return {
    process: 0,
    workload: "w",
    f,
    key: "k",
    input: null,
    outcome: "ok",
    output: null,
    call: 0,
    return: 1,
    bound: 1,
    calledAt: 0,
    returnedAt: 1,
    node: "n1",
    incarnation: 0,
    readBack: false,
    ...rest,
  };
}

describe("a register", () => {
  const step = (state: string | null, f: string, rest: Partial<Operation>) =>
    registerModel.step(state, operation(f, rest));

  it("shows what was written last", () => {
    expect(step(null, "write", { input: "a" })).toBe("a");
    expect(step("a", "read", { output: "a" })).toBe("a");
    expect(step("a", "read", { output: "b" })).toBeUndefined();
    expect(step(null, "read", { output: null })).toBeNull();
  });

  it("compares and sets, and refuses with the value it saw", () => {
    expect(step("a", "cas", { input: ["a", "b"] })).toBe("b");
    expect(step("c", "cas", { input: ["a", "b"] })).toBeUndefined();
    expect(step(null, "cas", { input: [null, "b"] })).toBe("b");
    expect(step("c", "cas", { input: ["a", "b"], matched: false, output: "c" })).toBe("c");
    expect(step("d", "cas", { input: ["a", "b"], matched: false, output: "c" })).toBeUndefined();
    expect(step("d", "cas", { input: ["a", "b"], matched: false, output: undefined })).toBe("d");
    expect(step("a", "cas", { input: ["a", "b"], matched: false, output: undefined })).toBeUndefined();
  });

  it("deletes, and says how many", () => {
    expect(step("a", "delete", { output: 1 })).toBeNull();
    expect(step("a", "delete", { output: 0 })).toBeUndefined();
    expect(step(null, "delete", { output: 0 })).toBeNull();
    expect(step(null, "delete", { output: 1 })).toBeUndefined();
    expect(step("a", "delete", { output: null })).toBeNull();
  });

  it("counts, from zero where there is nothing, and returns the sum", () => {
    const one = registerValue(1);
    expect(step(null, "increment", { output: 1 })).toBe(one);
    expect(step(null, "increment", { output: 2 })).toBeUndefined();
    expect(step(one, "increment", { input: 4, output: 5 })).toBe(registerValue(5));
    expect(step("7", "increment", { output: null })).toBe(registerValue(8));
    expect(step("a", "increment", { output: 1 })).toBeUndefined();
    expect(step("a", "increment", { outcome: "info", output: undefined })).toBe("a");
    expect(step(one, "increment", { outcome: "info", output: undefined })).toBe(registerValue(2));
    expect(step(registerValue(Number.MAX_SAFE_INTEGER), "increment", { output: null })).toBeUndefined();
  });

  it("lets an operation without an answer take effect as far as it can", () => {
    const lost = { outcome: "info", output: undefined } as const;
    expect(step("a", "cas", { input: ["a", "b"], ...lost })).toBe("b");
    expect(step("c", "cas", { input: ["a", "b"], ...lost })).toBe("c");
    expect(step("c", "delete", lost)).toBeNull();
  });

  it("says what it cannot judge", () => {
    expect(registerModel.refuses(operation("cas", { input: "a" }))).toContain("[expected, new]");
    expect(registerModel.refuses(operation("push", {}))).toContain('"push"');
    expect(registerModel.refuses(operation("increment", { input: "x" }))).toContain("whole number");
    expect(registerModel.refuses(operation("increment", { output: "x" }))).toContain("whole number");
  });

  it("keeps 1 and the text 1 apart, and quotes a hostile value on one short line", () => {
    expect(registerValue(1)).not.toBe(registerValue("1"));
    const values = [
      1,
      "1",
      "\u00001",
      '\u0000"1"',
      [1],
      "[1]",
      "\u0000[1]",
      "",
      null,
      "nil",
      "\u0000nil",
      "null",
    ];
    expect(new Set(values.map(registerValue)).size).toBe(values.length);
    expect(new Set(values.map(elementOf)).size).toBe(values.length);
    expect(values.slice(0, 4).map(quote)).toEqual(["1", '"1"', '"\\u00001"', '"\\u0000\\"1\\""']);
    for (const value of values) expect(showValue(registerValue(value))).toBe(quote(value));
    expect(quote("a\nb")).toBe('"a\\nb"');
    expect(quote("x".repeat(1000)).length).toBeLessThan(60);
  });
});

describe("a list", () => {
  it("grows at its end and is read whole", () => {
    const one = listModel.step(listModel.init(), operation("append", { input: "a", output: 1 }))!;
    const two = listModel.step(one, operation("append", { input: "b", output: 2 }))!;
    expect(listModel.step(two, operation("read", { output: ["a", "b"] }))).toBe(two);
    expect(listModel.step(two, operation("read", { output: ["b", "a"] }))).toBeUndefined();
    expect(listModel.step(two, operation("read", { output: ["a"] }))).toBeUndefined();
    expect(listModel.step(two, operation("append", { input: "c", output: 4 }))).toBeUndefined();
    expect(listModel.equal(two, listOf(["a", "b"]))).toBe(true);
    expect(listModel.hash(two)).toBe(listModel.hash(listOf(["a", "b"])));
    expect(listModel.equal(two, listOf(["a", "c"]))).toBe(false);
  });

  it("is empty when there is none, and is no text", () => {
    expect(elementsOf(null)).toEqual([]);
    expect(elementsOf("ab")).toBeUndefined();
    expect(listModel.refuses(operation("read", { output: "ab" }))).toContain("array");
  });
});
