/** Versions of a ledger are found by their balances exactly as by comparing all of them one after the other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Balances, Books, balancesOf, type Entry, sameBalances } from "./books.ts";

const account = fc.constantFrom("a", "b", "c", "0", "1");
const opening = fc.dictionary(account, fc.nat(3), { minKeys: 1 }).map((all) => new Map(Object.entries(all)));
const entry: fc.Arbitrary<Entry> = fc.record({
  text: fc.constant(""),
  id: fc.uuid(),
  from: account,
  to: account,
  amount: fc.nat(2),
});

/** The balances after the first `count` transfers. */
function balancesAfter(start: Balances, ledger: readonly Entry[], count: number): Map<string, number> {
  const balances = new Map(start);
  for (const { from, to, amount } of ledger.slice(0, count)) {
    balances.set(from, (balances.get(from) ?? 0) - amount);
    balances.set(to, (balances.get(to) ?? 0) + amount);
  }
  return balances;
}

test("the least version with some balances is the first that has them, whatever order its accounts are in", () => {
  fc.assert(
    fc.property(
      opening,
      fc.array(entry, { maxLength: 8 }),
      fc.nat(8),
      fc.nat(8),
      (start, ledger, of, low) => {
        const books = new Books(start, ledger);
        const wanted = new Map([...balancesAfter(start, ledger, of)].reverse());
        const versions = Array.from({ length: ledger.length + 1 }, (_, count) =>
          balancesAfter(start, ledger, count),
        );
        const first = versions.findIndex((balances, at) => at >= low && sameBalances(balances, wanted));
        expect(books.versionFrom(wanted, low)).toBe(first === -1 ? undefined : first);
        expect(sameBalances(books.last, versions.at(-1)!)).toBe(true);
      },
    ),
  );
});

test("balances that no version had are not found, with one account more or fewer neither", () => {
  const books = new Books(new Map([["a", 3]]), [{ text: "", id: "t", from: "a", to: "b", amount: 1 }]);
  expect(books.versionFrom(new Map([["a", 3]]), 0)).toBe(0);
  expect(books.versionFrom(new Map([["a", 2]]), 0)).toBeUndefined();
  expect(books.versionFrom(new Map([["b", 1]]), 0)).toBeUndefined();
  expect(books.versionFrom(new Map([["a", 3]]).set("b", 0), 0)).toBeUndefined();
  expect(books.versionFrom(new Map([["b", 1]]).set("a", 2), 0)).toBe(1);
});

test("the same object is read once, and one that holds no balances is remembered as such", () => {
  const shown = { a: 1, b: 2 };
  expect(balancesOf(shown)).toBe(balancesOf(shown));
  const damaged = { a: "much" };
  expect(balancesOf(damaged)).toBeUndefined();
  expect(balancesOf(damaged)).toBeUndefined();
});
