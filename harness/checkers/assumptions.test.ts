import { describe, expect, it } from "vitest";
import { checkAssumptions } from "./assumptions.ts";
import { historyOf } from "./fixtures/event-lines.ts";
import { strictContext } from "./fixtures/promise.ts";

const check = (text: string) => checkAssumptions(historyOf(text), strictContext());

describe("what the checkers take for granted", () => {
  it("is there when only increments changed something, and what they returned is all that was seen", () => {
    expect(check("0 increment 1\n0 ok 1").verdict).toBe(true);
    expect(check("0 increment 1\n0 ok 1\n1 read\n1 ok 1").verdict).toBe(true);
  });

  it("is missing where nothing was acknowledged, or nothing said what it found", () => {
    expect(check("0 increment 1\n0 info\n1 read\n1 ok 1").reasons).toEqual([
      "told: no change was acknowledged",
    ]);
    expect(check("0 increment 1\n0 ok").reasons).toEqual(["told: nothing was read with success"]);
    expect(check("").verdict).toBe("unknown");
  });
});
