/** A bank's books as the checker reads them: balances, ledger entries, and the balances after each of them. */
import type { Operation } from "../history/operation.ts";

export type Balances = ReadonlyMap<string, number>;

/** One line of the ledger, `id:from:to:amount`. */
export interface Entry {
  readonly text: string;
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

/** {account: balance}; `undefined` when it is not that. */
export function balancesOf(value: unknown): Balances | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value);
  if (!entries.every(([, balance]) => Number.isSafeInteger(balance))) return undefined;
  return new Map(entries as [string, number][]);
}

/** What an audit found, or what is wrong with it. */
export function auditOf(
  audit: Operation,
): { readonly balances: Balances; readonly ledger: readonly Entry[] } | string {
  const output = audit.output as { balances?: unknown; ledger?: unknown } | null | undefined;
  const balances = balancesOf(output?.balances);
  if (!balances) return "it shows an account without a balance, or with one that is no number";
  if (!Array.isArray(output?.ledger)) return "it shows no ledger";
  const ledger: Entry[] = [];
  for (const line of output.ledger) {
    const entry = entryOf(line);
    if (!entry) return `the ledger has the line ${JSON.stringify(line).slice(0, 80)}, which is no transfer`;
    ledger.push(entry);
  }
  return { balances, ledger };
}

function entryOf(line: unknown): Entry | undefined {
  if (typeof line !== "string") return undefined;
  // The id may hold colons itself; accounts do not.
  const [, id, from, to, amount] = /^(.+):([^:]+):([^:]+):(\d{1,15})$/s.exec(line) ?? [];
  return id && from && to && amount ? { text: line, id, from, to, amount: Number(amount) } : undefined;
}

/** Balances in one text, by which they are compared. */
export function balancesText(balances: Balances): string {
  return [...balances]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([account, balance]) => `${JSON.stringify(account)}=${balance}`)
    .join();
}

/** The balances after each transfer of a ledger: version p is the state after the first p of them. */
export class Books {
  readonly length: number;
  /** The balances after all of them. */
  readonly last: Balances;
  readonly #opening: Balances;
  readonly #ledger: readonly Entry[];
  readonly #texts: string[];
  readonly #versions = new Map<string, number[]>();

  constructor(opening: Balances, ledger: readonly Entry[]) {
    this.#opening = opening;
    this.#ledger = ledger;
    this.length = ledger.length;
    const balances = new Map(opening);
    this.#texts = [balancesText(balances)];
    for (const entry of ledger) {
      apply(balances, entry);
      this.#texts.push(balancesText(balances));
    }
    this.last = balances;
    for (const [version, text] of this.#texts.entries()) {
      const same = this.#versions.get(text);
      if (same) same.push(version);
      else this.#versions.set(text, [version]);
    }
  }

  textAt(version: number): string {
    return this.#texts[version]!;
  }

  /** The least version not below `low` with exactly these balances. */
  versionFrom(balances: Balances, low: number): number | undefined {
    return this.#versions.get(balancesText(balances))?.find((version) => version >= low);
  }

  /** The fewest of these transfers that, applied to a version, give exactly these balances. */
  explainedBy(
    balances: Balances,
    version: number,
    candidates: readonly Operation[],
  ): Operation[] | undefined {
    const base = new Map(this.#opening);
    for (const entry of this.#ledger.slice(0, version)) apply(base, entry);
    const wanted = balancesText(balances);
    for (let chosen = 1; chosen < 1 << candidates.length; chosen++) {
      const transfers = candidates.filter((_, i) => chosen & (1 << i));
      const result = new Map(base);
      for (const transfer of transfers) apply(result, transfer.input as Entry);
      if (balancesText(result) === wanted) return transfers;
    }
    return undefined;
  }
}

function apply(
  balances: Map<string, number>,
  { from, to, amount }: Pick<Entry, "from" | "to" | "amount">,
): void {
  balances.set(from, (balances.get(from) ?? 0) - amount);
  balances.set(to, (balances.get(to) ?? 0) + amount);
}
