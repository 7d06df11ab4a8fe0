/**
 * `bank`: transfers between eight accounts in transactions of several keys.
 *
 * Requests, all on the key `e<epoch>/bank`: `open` of {account: balance}; `transfer` of {id, from, to, amount}, which
 * fails without effect for lack of funds or a conflict; `read` of an array of accounts → {account: balance}; `audit` of
 * the same → {balances: {account: balance}, ledger: ["id:from:to:amount", …]}, read in one transaction. A transfer changes
 * both balances and appends to the ledger, together or not at all.
 * Must hold: the total is conserved, no balance is negative, every acknowledged transfer is in the ledger exactly once,
 * and the balances are what the ledger says, across crashes. Not covered: transactions over more than three keys.
 */
import fc from "fast-check";
import { checkBank, ledgerFates } from "../harness/checkers/bank.ts";
import type { Request } from "../stores/contract.ts";
import type { RequestStream, StreamOptions, Workload } from "./contract.ts";
import { indexes, templates, uniqueValue } from "./generation.ts";

const workload = "bank";
const accounts: readonly string[] = indexes(8).map((index) => `a${index}`);
const openingBalance = 100;
const keyOf = (epoch: number) => `e${epoch}/bank`;

interface Template {
  readonly f: "transfer" | "read";
  readonly from: number;
  /** How many accounts further on, so that it is never the same one. */
  readonly step: number;
  readonly amount: number;
}

const template: fc.Arbitrary<Template> = fc.record({
  f: fc.oneof(
    { weight: 85, arbitrary: fc.constant("transfer" as const) },
    { weight: 15, arbitrary: fc.constant("read" as const) },
  ),
  from: fc.nat(accounts.length - 1),
  step: fc.integer({ min: 1, max: accounts.length - 1 }),
  amount: fc.integer({ min: 1, max: 20 }),
});

function stream(options: StreamOptions): RequestStream {
  const next = templates(workload, template, options);
  let n = 0;
  return { next: () => bind(next(), options, n++), observe: () => {} };
}

/** The concrete request of a template: pure. */
function bind({ f, from, step, amount }: Template, options: StreamOptions, n: number): Request {
  const key = keyOf(options.epoch);
  if (f === "read") return { workload, f, key, value: accounts };
  const id = uniqueValue(workload, options, n);
  const to = accounts[(from + step) % accounts.length]!;
  return { workload, f, key, value: { id, from: accounts[from]!, to, amount } };
}

function openRequest(epoch: number): Request {
  const opening = Object.fromEntries(accounts.map((account) => [account, openingBalance]));
  return { workload, f: "open", key: keyOf(epoch), value: opening };
}

export const bank: Workload = {
  name: workload,
  summary:
    "transfers in transactions; the total is conserved and each acknowledged transfer happens exactly once",
  needs: ["registers", "lists", "transactions"],
  setUp: (epoch) => [openRequest(epoch)],
  stream,
  readBack: (epoch) => [{ workload, f: "audit", key: keyOf(epoch), value: accounts }],
  changes: ({ f }, reply) => reply.type === "ok" && (f === "transfer" || f === "open"),
  check: (history, context) => [checkBank(history, context)],
  fates: ledgerFates,
};
