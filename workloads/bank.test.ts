import { expect, test } from "vitest";
import { bank } from "./bank.ts";

test("the accounts are opened in one request, and audited with the ledger", () => {
  const [open, ...more] = bank.setUp(2);
  expect(more).toEqual([]);
  expect(open).toMatchObject({ f: "open", key: "e2/bank", value: { a0: 100, a7: 100 } });
  expect(Object.keys(open!.value as object)).toHaveLength(8);
  expect(bank.readBack(2)).toEqual([
    { workload: "bank", f: "audit", key: "e2/bank", value: Object.keys(open!.value as object) },
  ]);
});

test("transfers go between two different accounts of the bank, 1 to 20 at a time", () => {
  const stream = bank.stream({ seed: 4, client: 0, epoch: 0 });
  const accounts = Object.keys(bank.setUp(0)[0]!.value as object);
  const amounts = new Set<number>();
  for (let n = 0; n < 2000; n++) {
    const { f, value } = stream.next();
    if (f !== "transfer") continue;
    const { id, from, to, amount } = value as { id: string; from: string; to: string; amount: number };
    expect(from).not.toBe(to);
    expect(accounts).toContain(from);
    expect(accounts).toContain(to);
    // The ledger's entries are split at colons.
    expect(id).not.toContain(":");
    amounts.add(amount);
  }
  expect([...amounts].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
});
