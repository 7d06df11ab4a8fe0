/**
 * Does a bank keep its books, across crashes? Transfers move money between accounts in transactions and leave a line in a
 * ledger; an audit reads all balances and the ledger in one transaction.
 *
 * Operations, on one key per bank: `open` {account: balance} · `transfer` {id, from, to, amount} (`fail`: certainly not
 * applied) · `read` of accounts → {account: balance} · `audit` → {balances, ledger: ["id:from:to:amount", …]}.
 * Verified: the total is conserved and no balance is negative in every read and audit; an audit's balances are the opening
 * ones plus its ledger; each transfer is in it at most once, every one acknowledged before the audit is, and none that
 * nobody asked for or that was refused; a later audit extends an earlier one; the ledger's order agrees with real time;
 * every read shows the balances after some prefix of the final ledger that real time allows, and later reads later ones.
 * With one sequence of transfers that is strict serializability, exactly and in nearly linear time.
 * Where the store promises only a prefix, each incarnation begins with what its first audit found.
 * Not verified: that a refusal for lack of funds was right; reads that may show transfers no audit has confirmed (counted).
 */
import { byKey, type History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import {
  auditOf,
  type Balances,
  Books,
  balancesOf,
  type Entry,
  type Statement,
  sameBalances,
} from "./books.ts";
import type { CheckContext, CheckResult, Finding, FindingKind } from "./contract.ts";
import { Gathering, inOrder, seconds } from "./findings.ts";
import { checkRecovery, type FatesOf, losesByPromise, splitByIncarnation } from "./recovery.ts";

/** Checks every bank of the history; the operations must all be of one workload. */
export function checkBank(history: History, context: CheckContext): CheckResult {
  const gathering = new Gathering("bank", context);
  const keys = byKey(history.operations);
  if (losesByPromise(context)) {
    const initialOf = (key: string, readBack: Operation | undefined) =>
      readBack ? foundBy(readBack) : openingOf(keys.get(key)!);
    for (const { key, operations, initial } of splitByIncarnation(keys, initialOf, gathering)) {
      if (initial === "nothing") gathering.notChecked.push("a start whose bank was lost with its opening");
      else judge(key, operations, initial, gathering);
    }
  } else {
    for (const [key, operations] of keys) judge(key, operations, openingOf(operations), gathering);
  }
  checkRecovery(history, context, gathering, ledgerFates);
  gathering.count("operations", history.operations.length);
  gathering.count("banks", keys.size);
  return gathering.result(history.operations[0]?.workload);
}

/** What a restart found. Where loss is allowed, the opening itself may be gone: then there is no bank to judge. */
function foundBy(readBack: Operation): Statement | string {
  const output = readBack.output as { balances?: unknown; ledger?: unknown } | null | undefined;
  const balances = Object.values(output?.balances ?? {});
  const empty = Array.isArray(output?.ledger) && output.ledger.length === 0;
  return empty && balances.length > 0 && balances.every((one) => one === null)
    ? "nothing"
    : auditOf(readBack);
}

function openingOf(operations: readonly Operation[]): Statement | string {
  const open = operations.find((operation) => operation.f === "open" && operation.outcome === "ok");
  const balances = open && balancesOf(open.input);
  return balances ? { balances, ledger: [] } : "its accounts were never opened with success";
}

function judge(
  key: string,
  operations: readonly Operation[],
  initial: Statement | string,
  gathering: Gathering,
): void {
  if (typeof initial === "string") {
    gathering.reasons.push(`bank ${key}: ${initial}`);
    return;
  }
  const inspection = new Inspection(key, operations, initial, gathering);
  inspection.checkStatements();
  inspection.checkLedgers();
  inspection.checkOrder();
}

interface Audit extends Statement {
  readonly operation: Operation;
}

class Inspection {
  readonly #key: string;
  readonly #initial: Statement;
  readonly #gathering: Gathering;
  readonly #total: number;
  readonly #opened: number;
  readonly #transfers = new Map<string, Operation>();
  readonly #audits: Audit[] = [];
  readonly #reads: { readonly operation: Operation; readonly balances: Balances }[] = [];
  readonly #found = new Map<FindingKind, { finding: Finding; count: number }>();

  constructor(key: string, operations: readonly Operation[], initial: Statement, gathering: Gathering) {
    this.#key = key;
    this.#initial = initial;
    this.#gathering = gathering;
    this.#total = sum(initial.balances);
    this.#opened = operations.find((op) => op.f === "open" && op.outcome === "ok")?.return ?? -1;
    for (const operation of operations) this.#sort(operation);
    gathering.count("transfers", this.#transfers.size);
    gathering.count("reads", this.#reads.length);
    gathering.count("audits", this.#audits.length);
  }

  #sort(operation: Operation): void {
    if (operation.f === "transfer") {
      const id = (operation.input as { id?: unknown } | null)?.id;
      if (typeof id !== "string") this.#gathering.reasons.push(`bank ${this.#key}: a transfer has no id`);
      else if (this.#transfers.has(id)) {
        this.#gathering.reasons.push(`bank ${this.#key}: the id ${id} was used twice`);
      } else this.#transfers.set(id, operation);
      return;
    }
    if (operation.outcome !== "ok" || operation.call < this.#opened) return;
    if (operation.f === "audit") this.#sortAudit(operation);
    if (operation.f === "read") {
      const balances = balancesOf(operation.output);
      if (balances) this.#reads.push({ operation, balances });
      else this.#damaged(operation);
    }
  }

  #sortAudit(operation: Operation): void {
    const statement = auditOf(operation);
    if (typeof statement === "string") this.#damaged(operation, statement);
    else this.#audits.push({ operation, ...statement });
  }

  #damaged(
    operation: Operation,
    what = "it shows an account without a balance, or with one that is no number",
  ): void {
    this.#find("phantom-value", [operation], `${at(operation)}: ${what}`);
  }

  /** The total, signs, and each audit's balances against its own ledger. */
  checkStatements(): void {
    for (const { operation, balances } of [...this.#reads, ...this.#audits]) {
      const total = sum(balances);
      if (balances.size === this.#initial.balances.size && total !== this.#total) {
        this.#find(
          "total-not-conserved",
          [operation],
          `${at(operation)}: the total is ${total}, not ${this.#total}`,
        );
      }
      const negative = [...balances].find(([, balance]) => balance < 0);
      if (negative) {
        this.#find("negative-balance", [operation], `${at(operation)}: ${negative[0]} holds ${negative[1]}`);
      }
    }
    for (const { operation, balances, ledger } of this.#audits) {
      const books = new Books(this.#initial.balances, ledger.slice(this.#initial.ledger.length));
      if (sameBalances(books.last, balances)) continue;
      const shown = [...balances].find(([account, balance]) => books.last.get(account) !== balance);
      const [account, balance] = shown ?? ["", 0];
      this.#find(
        "partial-transaction",
        [operation],
        `${at(operation)}: ${account} holds ${balance}, but the opening balances and the ${ledger.length} transfers in the ledger read with it make ${books.last.get(account)}`,
      );
    }
  }

  /** Each ledger against the transfers that were asked for, and against the one before it. */
  checkLedgers(): void {
    for (const [i, audit] of this.#audits.entries()) {
      this.#checkEntries(audit);
      this.#checkAcknowledged(audit);
      const earlier = this.#audits
        .slice(0, i)
        .findLast((other) => other.operation.return < audit.operation.call);
      if (earlier) this.#checkExtends(earlier, audit);
    }
  }

  #checkEntries({ operation, ledger }: Audit): void {
    const seen = new Set<string>();
    for (const [i, entry] of ledger.entries()) {
      const transfer = this.#transfers.get(entry.id);
      if (seen.has(entry.id)) {
        this.#find(
          "applied-twice",
          [transfer, operation],
          `${at(operation)}: transfer ${entry.id} is in the ledger twice`,
        );
      }
      seen.add(entry.id);
      const fromBefore = i < this.#initial.ledger.length && this.#initial.ledger[i]!.text === entry.text;
      if (fromBefore) continue;
      const wrong = whyImpossible(entry, transfer);
      if (wrong) this.#find("phantom-value", [transfer, operation], `${at(operation)}: ${wrong}`);
    }
  }

  #checkAcknowledged({ operation, ledger }: Audit): void {
    const ids = new Set(ledger.map((entry) => entry.id));
    for (const [id, transfer] of this.#transfers) {
      if (transfer.outcome !== "ok" || transfer.return > operation.call || ids.has(id)) continue;
      const across = operation.incarnation > transfer.incarnation;
      this.#find(
        across ? "lost-acknowledged-write" : "stale-read",
        [transfer, operation],
        `transfer ${id} (client ${transfer.process}) was acknowledged at ${seconds(transfer.returnedAt)}, but ${at(operation)}${across ? `, after restart ${operation.incarnation},` : ""} does not have it in the ledger`,
      );
    }
  }

  #checkExtends(earlier: Audit, later: Audit): void {
    const diverges = earlier.ledger.findIndex((entry, i) => later.ledger[i]?.text !== entry.text);
    if (diverges === -1) return;
    const entry = earlier.ledger[diverges]!;
    const transfer = this.#transfers.get(entry.id);
    const shown = [transfer, earlier.operation, later.operation];
    const across = later.operation.incarnation > earlier.operation.incarnation;
    const isThere = later.ledger.some((other) => other.id === entry.id);
    if (isThere) {
      this.#find(
        across ? "reordered-recovery" : "not-linearizable",
        shown,
        `transfer ${entry.id} is number ${diverges + 1} in the ledger of ${at(earlier.operation)}, and elsewhere in that of ${at(later.operation)}`,
      );
    } else if (transfer?.outcome !== "ok" || transfer.return > later.operation.call) {
      this.#find(
        across ? "read-of-unsynced-write" : "stale-read",
        shown,
        `${at(earlier.operation)} shows transfer ${entry.id} in the ledger, which was never acknowledged; ${at(later.operation)} does not`,
      );
    }
  }

  /** Real time against the order of the ledger, and every read against the balances along it. */
  checkOrder(): void {
    const final = this.#audits.at(-1);
    if (this.#found.size > 0 || !final) {
      const why = final ? "a bank whose ledgers are wrong" : "a bank without an audit";
      if (this.#reads.length > 0) {
        this.#gathering.notChecked.push(`reads of ${why}, against the order of the transfers`);
      }
    } else {
      const ledger = final.ledger.slice(this.#initial.ledger.length);
      const order = new Order(this.#initial.balances, ledger, this.#transfers, final.operation);
      const whole = this.#reads.filter(({ balances }) => balances.size === this.#initial.balances.size);
      if (whole.length < this.#reads.length) {
        this.#gathering.notChecked.push("reads of some accounts only, against the order of the transfers");
      }
      order.check(whole, this.#audits, this.#initial.ledger.length, (kind, operations, what) =>
        this.#find(kind, operations, what),
      );
      if (order.unconfirmed > 0) {
        this.#gathering.count("readsUnconfirmed", order.unconfirmed);
        this.#gathering.notChecked.push(
          "reads of balances that may show transfers which no audit has confirmed",
        );
      }
    }
    this.#report();
  }

  #find(kind: FindingKind, operations: readonly (Operation | undefined)[], what: string): void {
    const known = this.#found.get(kind);
    if (known) {
      known.count++;
      return;
    }
    const shown = inOrder(operations);
    const workload = shown[0]?.workload;
    const sentence = `bank ${this.#key}: ${what}`;
    const finding: Finding = {
      kind,
      ...(workload ? { workload } : {}),
      key: this.#key,
      operations: shown,
      sentence,
    };
    this.#found.set(kind, { finding, count: 1 });
  }

  #report(): void {
    for (const { finding, count } of this.#found.values())
      this.#gathering.findings.push({ ...finding, count });
  }
}

type Find = (kind: FindingKind, operations: readonly (Operation | undefined)[], what: string) => void;

/** The transfers of the final ledger in order, as a chain: version p is the state after the first p of them. */
class Order {
  readonly #books: Books;
  readonly #writers: readonly (Operation | undefined)[];
  readonly #transfers: ReadonlyMap<string, Operation>;
  readonly #lastAudit: Operation;
  /** Reads that show no known version, but may show transfers that no audit has confirmed. */
  unconfirmed = 0;

  constructor(
    opening: Balances,
    ledger: readonly Entry[],
    transfers: ReadonlyMap<string, Operation>,
    lastAudit: Operation,
  ) {
    this.#books = new Books(opening, ledger);
    this.#writers = ledger.map((entry) => transfers.get(entry.id));
    this.#transfers = transfers;
    this.#lastAudit = lastAudit;
  }

  /**
   * Walks through all events by rank. `floor` is the version that whatever is sent from here on must see. A read is
   * given the least version that fits: a greater one would only bind later reads more.
   */
  check(
    reads: readonly { readonly operation: Operation; readonly balances: Balances }[],
    audits: readonly Audit[],
    ledgerBefore: number,
    find: Find,
  ): void {
    this.#checkWriters(find);
    const floors = new Floors(this.#writers);
    const seen = [
      ...reads.map(({ operation, balances }) => ({ operation, balances, version: undefined })),
      ...audits.map(({ operation, ledger }) => ({
        operation,
        balances: undefined,
        version: ledger.length - ledgerBefore,
      })),
    ].sort((a, b) => a.operation.return - b.operation.return);
    const firstCall = this.#leastCalls();
    for (const { operation, balances, version: exact } of seen) {
      const low = floors.at(operation.call);
      const high = firstCall(operation.return);
      const version = exact ?? this.#books.versionFrom(balances!, low.version);
      if (version !== undefined && version >= low.version && version <= high) {
        floors.raise(operation, version);
      } else if (balances && this.#mayShowUnconfirmed(operation)) this.unconfirmed++;
      else this.#explain(operation, balances, exact, low, high, find);
    }
  }

  #checkWriters(find: Find): void {
    let latest: Operation | undefined;
    for (const writer of this.#writers) {
      if (!writer) continue;
      if (latest && writer.bound < latest.call) {
        const ended =
          writer.outcome === "ok"
            ? `was acknowledged at ${seconds(writer.returnedAt)}`
            : `could take effect until incarnation ${writer.incarnation} had ended`;
        find(
          "not-linearizable",
          [latest, writer],
          `transfer ${idOf(writer)} ${ended}, before transfer ${idOf(latest)} was sent at ${seconds(latest.calledAt)}, but comes after it in the ledger`,
        );
      }
      if (!latest || writer.call > latest.call) latest = writer;
    }
  }

  /** For a rank: how many transfers at the front of the ledger had all been sent by then. */
  #leastCalls(): (rank: number) => number {
    const greatest: number[] = [];
    let call = -1;
    for (const writer of this.#writers) {
      call = Math.max(call, writer?.call ?? -1);
      greatest.push(call);
    }
    return (rank) => {
      let [low, high] = [0, greatest.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (greatest[middle]! < rank) low = middle + 1;
        else high = middle;
      }
      return low;
    };
  }

  #mayShowUnconfirmed(read: Operation): boolean {
    const known = new Set(this.#writers);
    for (const transfer of this.#transfers.values()) {
      const isOpen = transfer.outcome !== "fail" && transfer.bound > this.#lastAudit.call;
      if (isOpen && !known.has(transfer) && transfer.call < read.return) return true;
    }
    return false;
  }

  #explain(
    operation: Operation,
    balances: Balances | undefined,
    exact: number | undefined,
    low: Floor,
    high: number,
    find: Find,
  ): void {
    const seen = balances ? this.#books.versionFrom(balances, 0) : exact;
    const across = low.source !== undefined && operation.incarnation > low.source.incarnation;
    if (seen !== undefined && seen < low.version) {
      const source =
        low.source &&
        (low.source.f === "transfer" ? `transfer ${idOf(low.source)} had ended` : at(low.source));
      find(
        across ? "lost-acknowledged-write" : "stale-read",
        [low.source, operation],
        `${at(operation)} shows a state before the one that ${source} at ${seconds(low.source?.returnedAt ?? 0)}`,
      );
      return;
    }
    const unsynced = balances && this.#unsyncedIn(operation, balances, low.version, high);
    if (unsynced) {
      find(
        "read-of-unsynced-write",
        [...unsynced, operation],
        `${at(operation)} shows ${unsynced.map((transfer) => `transfer ${idOf(transfer)}`).join(", ")}, never acknowledged, and no later audit does`,
      );
    } else if (seen !== undefined) {
      find("not-linearizable", [operation], `${at(operation)} shows transfers that had not been sent yet`);
    } else {
      find(
        "partial-transaction",
        [operation],
        `${at(operation)} shows balances that the bank never had: not after any of the ${this.#books.length} transfers in the ledger`,
      );
    }
  }

  /** Transfers that left no trace, but whose effect on some allowed version gives exactly these balances. */
  #unsyncedIn(read: Operation, balances: Balances, low: number, high: number): Operation[] | undefined {
    const known = new Set(this.#writers);
    const candidates = [...this.#transfers.values()].filter(
      (transfer) =>
        transfer.outcome === "info" &&
        !known.has(transfer) &&
        transfer.call < read.return &&
        transfer.bound > read.call,
    );
    for (let version = low; version <= high; version++) {
      const found = this.#books.explainedBy(balances, version, candidates.slice(0, 10));
      if (found) return found;
    }
    return undefined;
  }
}

interface Floor {
  readonly version: number;
  /** The operation whose end made it so. */
  readonly source: Operation | undefined;
}

/** The least version that an operation sent at a rank must see: queried and raised in order of returns. */
class Floors {
  /** Ranks ascending, versions ascending. */
  readonly #ranks: number[] = [];
  readonly #floors: Floor[] = [];

  constructor(writers: readonly (Operation | undefined)[]) {
    const ended = writers.map((source, i) => ({ source, version: i + 1, rank: source?.bound ?? -1 }));
    ended.sort((a, b) => a.rank - b.rank);
    for (const { source, version, rank } of ended) {
      if (version <= (this.#floors.at(-1)?.version ?? 0)) continue;
      this.#ranks.push(rank);
      this.#floors.push({ version, source });
    }
  }

  at(rank: number): Floor {
    let [low, high] = [0, this.#ranks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ranks[middle]! < rank) low = middle + 1;
      else high = middle;
    }
    const byTransfers = this.#floors[low - 1] ?? { version: 0, source: undefined };
    const byReads = this.#readFloor(rank);
    return byReads && byReads.version > byTransfers.version ? byReads : byTransfers;
  }

  readonly #readRanks: number[] = [];
  readonly #readFloors: Floor[] = [];

  /** Called in order of returns. */
  raise(read: Operation, version: number): void {
    if (version <= (this.#readFloors.at(-1)?.version ?? 0)) return;
    this.#readRanks.push(read.return);
    this.#readFloors.push({ version, source: read });
  }

  #readFloor(rank: number): Floor | undefined {
    let at = this.#readRanks.length - 1;
    while (at >= 0 && this.#readRanks[at]! > rank) at--;
    return this.#readFloors[at];
  }
}

function whyImpossible(entry: Entry, transfer: Operation | undefined): string | undefined {
  if (!transfer) return `the ledger has transfer ${entry.id}, which nobody asked for`;
  if (transfer.outcome === "fail") {
    return `the ledger has transfer ${entry.id}, which was refused (${transfer.error ?? "fail"})`;
  }
  const { from, to, amount } = transfer.input as Entry;
  if (entry.from === from && entry.to === to && entry.amount === amount) return undefined;
  return `the ledger says "${entry.text}", but ${amount} from ${from} to ${to} was asked for`;
}

function at(operation: Operation): string {
  return `the ${operation.f} by client ${operation.process} at ${seconds(operation.calledAt)}`;
}

function idOf(transfer: Operation): string {
  return (transfer.input as { id: string }).id;
}

function sum(balances: Balances): number {
  let total = 0;
  for (const balance of balances.values()) total += balance;
  return total;
}

/** Transfers: in the ledger or not. Without any account the opening is gone, and everything after it. */
export const ledgerFates: FatesOf = (before, operations, after) => {
  if (foundBy(after) === "nothing") {
    const acknowledged = operations.filter(
      (op) => op.outcome === "ok" && ["open", "transfer"].includes(op.f),
    );
    return { lost: acknowledged, survived: [] };
  }
  const statement = auditOf(after);
  if (typeof statement === "string") return { lost: [], survived: [] };
  const ids = new Set(statement.ledger.map((entry) => entry.id));
  const transfers = operations.filter((op) => op.f === "transfer" && op.outcome !== "fail");
  const isThere = (operation: Operation) => ids.has(idOf(operation));
  const fates = {
    lost: transfers.filter((operation) => operation.outcome === "ok" && !isThere(operation)),
    survived: transfers.filter(isThere),
  };
  const earlier = before === undefined ? undefined : auditOf({ ...after, output: before });
  const gone = typeof earlier === "object" ? earlier.ledger.find((entry) => !ids.has(entry.id)) : undefined;
  if (!gone) return fates;
  const sentence = `bank ${after.key}: ${at(after)}, after restart ${after.incarnation}, does not have transfer ${gone.id}, which had come back from the restart before`;
  return { ...fates, impossible: { kind: "lost-acknowledged-write", sentence } };
};
