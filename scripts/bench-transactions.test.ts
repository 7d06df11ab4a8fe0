import { describe, expect, it } from "vitest";
import { benchTransactions } from "./bench-transactions.ts";

describe("bench transactions", () => {
  it("checks the history as it is, and finds the stale read that it put in", () => {
    const lines: string[] = [];
    const [correct, stale] = benchTransactions((line) => lines.push(line), { transactions: 3000, seed: 3 });
    expect(correct).toMatchObject({ transactions: 3000, verdict: true, found: [] });
    expect(stale).toMatchObject({
      transactions: 3001,
      verdict: false,
      found: ["g-single-realtime (2 steps)"],
    });
    expect(correct!.elementsRead).toBeGreaterThan(10_000);
    expect(lines.at(-1)).toContain("peak");
  });
});
