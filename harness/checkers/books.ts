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

/**
 * What has been read already, by the very object that was read: histories do not change, and the same ones are checked
 * again and again, cut at one event after the other. What is read depends on that object alone.
 */
const knownBalances = new WeakMap<object, Balances | "none">();
const knownStatements = new WeakMap<object, Statement | string>();

/** {account: balance}; `undefined` when it is not that. */
export function balancesOf(value: unknown): Balances | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  let balances = knownBalances.get(value);
  if (balances === undefined) {
    balances = readBalances(value) ?? "none";
    knownBalances.set(value, balances);
  }
  return balances === "none" ? undefined : balances;
}

function readBalances(value: object): Balances | undefined {
  const entries = Object.entries(value);
  if (!entries.every(([, balance]) => Number.isSafeInteger(balance))) return undefined;
  return new Map(entries as [string, number][]);
}

/** Balances and ledger at some moment. */
export interface Statement {
  readonly balances: Balances;
  readonly ledger: readonly Entry[];
}

/** What an audit found, or what is wrong with it. */
export function auditOf({ output }: Pick<Operation, "output">): Statement | string {
  if (typeof output !== "object" || output === null) return statementOf({});
  let statement = knownStatements.get(output);
  if (statement === undefined) {
    statement = statementOf(output);
    knownStatements.set(output, statement);
  }
  return statement;
}

function statementOf(output: { balances?: unknown; ledger?: unknown }): Statement | string {
  const balances = balancesOf(output.balances);
  if (!balances) return "it shows an account without a balance, or with one that is no number";
  if (!Array.isArray(output.ledger)) return "it shows no ledger";
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

/** The same accounts with the same balances. */
export function sameBalances(a: Balances, b: Balances): boolean {
  if (a.size !== b.size) return false;
  for (const [account, balance] of a) if (b.get(account) !== balance) return false;
  return true;
}

/** The balances after each transfer of a ledger: version p is the state after the first p of them. */
export class Books {
  readonly length: number;
  /** The balances after all of them. */
  readonly last: Balances;
  readonly #opening: Balances;
  readonly #ledger: readonly Entry[];
  #versions: VersionIndex | undefined;

  constructor(opening: Balances, ledger: readonly Entry[]) {
    this.#opening = opening;
    this.#ledger = ledger;
    this.length = ledger.length;
    const balances = new Map(opening);
    for (const entry of ledger) apply(balances, entry);
    this.last = balances;
  }

  /** The least version not below `low` with exactly these balances. */
  versionFrom(balances: Balances, low: number): number | undefined {
    this.#versions ??= new VersionIndex(this.#opening, this.#ledger);
    return this.#versions.leastFrom(balances, low);
  }

  /** The fewest of these transfers that, applied to a version, give exactly these balances. */
  explainedBy(
    balances: Balances,
    version: number,
    candidates: readonly Operation[],
  ): Operation[] | undefined {
    const base = new Map(this.#opening);
    for (const entry of this.#ledger.slice(0, version)) apply(base, entry);
    for (let chosen = 1; chosen < 1 << candidates.length; chosen++) {
      const transfers = candidates.filter((_, i) => chosen & (1 << i));
      const result = new Map(base);
      for (const transfer of transfers) apply(result, transfer.input as Entry);
      if (sameBalances(result, balances)) return transfers;
    }
    return undefined;
  }
}

/**
 * The versions of a ledger by their balances. The accounts are in one order, which the first version that has them gives
 * them, so that a version's name is its balances in that order: two versions with the same accounts have the same name
 * exactly when they have the same balances.
 */
class VersionIndex {
  /** Place of each account in a name. */
  readonly #places = new Map<string, number>();
  readonly #balances: number[] = [];
  readonly #versions = new Map<string, number[]>();

  constructor(opening: Balances, ledger: readonly Entry[]) {
    for (const [account, balance] of opening) this.#set(account, balance);
    this.#add(0);
    for (const [i, { from, to, amount }] of ledger.entries()) {
      this.#set(from, this.#balanceOf(from) - amount);
      this.#set(to, this.#balanceOf(to) + amount);
      this.#add(i + 1);
    }
  }

  leastFrom(balances: Balances, low: number): number | undefined {
    // As many places as accounts: a version that did not have all of them yet has another, shorter name.
    const wanted = new Array<number>(balances.size);
    for (const [account, balance] of balances) {
      const place = this.#places.get(account);
      if (place === undefined || place >= balances.size) return undefined;
      wanted[place] = balance;
    }
    return this.#versions.get(wanted.join())?.find((version) => version >= low);
  }

  #balanceOf(account: string): number {
    const place = this.#places.get(account);
    return place === undefined ? 0 : this.#balances[place]!;
  }

  #set(account: string, balance: number): void {
    let place = this.#places.get(account);
    if (place === undefined) {
      place = this.#balances.length;
      this.#places.set(account, place);
    }
    this.#balances[place] = balance;
  }

  #add(version: number): void {
    const name = this.#balances.join();
    const same = this.#versions.get(name);
    if (same) same.push(version);
    else this.#versions.set(name, [version]);
  }
}

function apply(
  balances: Map<string, number>,
  { from, to, amount }: Pick<Entry, "from" | "to" | "amount">,
): void {
  balances.set(from, (balances.get(from) ?? 0) - amount);
  balances.set(to, (balances.get(to) ?? 0) + amount);
}
