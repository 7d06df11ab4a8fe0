/**
 * The dependencies that lists show, and the anomalies that need no cycle.
 *
 * ww: neighbours in a list's order. wr: from the writer of the last element a read shows. rw: to the writer of the
 * next one. Elements that no read shows were appended after all that the longest read shows, in an unknown order:
 * they hang from the list's *open end*, which whoever read the whole list, and the writer of its last element, come
 * before. That is how an acknowledged append that was lost becomes a cycle. Where a transaction both read the whole
 * list and appended such an element, its edges to the others are called rw although they may be ww: the weaker
 * claim. Not inferred: the order of unseen elements among each other; anything from lists whose reads contradict
 * each other beyond the longest.
 *
 * Verified here: G1a, G1b, dirty update, lost update, and reads that show their own transaction's later appends.
 */
import { inOrder } from "../findings.ts";
import { AllButSelf } from "./all-but-self.ts";
import type { Anomalies, Example, PlainAnomaly } from "./anomalies.ts";
import type { Budget } from "./budget.ts";
import { edge, type GraphBuilder } from "./dependency-graph.ts";
import { type DependencyWords, type Ends, listText, transactionBy } from "./explain.ts";
import { none, seenBy, type TransactionLog, textOf, writtenBy } from "./transaction.ts";
import { type ListOrders, listSeen } from "./version-order.ts";

/** Enters a list history's dependencies into the graph, and what it shows without one into the book. */
export class ListDependencies implements DependencyWords {
  readonly #log: TransactionLog;
  readonly #orders: ListOrders;
  readonly #anomalies: Anomalies;
  /** By position in `order`: the element there or after it in the same list whose writer committed. */
  readonly #live: Int32Array;
  /** By key: committed elements that no read shows; and the edges to them, made when needed. */
  readonly #unseen = new Map<number, number[]>();
  readonly #openEnds = new Map<number, AllButSelf>();
  readonly #forked: ReadonlySet<number>;
  /** Elements that committed transactions appended and no read shows. */
  unseenElements = 0;

  constructor(log: TransactionLog, orders: ListOrders, anomalies: Anomalies) {
    this.#log = log;
    this.#orders = orders;
    this.#anomalies = anomalies;
    this.#forked = new Set(orders.incompatible.map(({ key }) => key));
    this.#live = new Int32Array(orders.order.length);
    this.#collectUnseen();
  }

  addTo(builder: GraphBuilder, budget: Budget): void {
    this.#noteMisfits();
    const { keys, operations, committed, readable } = this.#log;
    for (let key = 0; key < keys.length; key++) {
      budget.spend("ordering the lists", key, keys.length);
      if (!this.#orders.broken.has(key)) this.#addOrder(key, builder);
    }
    const accesses = new Accesses(keys.length, this.#orders);
    for (let t = 0; t < operations.length; t++) {
      budget.spend("relating the transactions", t, operations.length);
      if (committed[t] && readable[t]) this.#addTransaction(t, builder, accesses);
    }
  }

  #collectUnseen(): void {
    const { versions, microKey, committed, ambiguous } = this.#log;
    for (let version = 0; version < versions.count; version++) {
      const key = microKey[versions.micro[version]!]!;
      const isSeen = this.#orders.position[version] !== none;
      if (isSeen || !committed[versions.writer[version]!] || ambiguous.has(key)) continue;
      this.unseenElements++;
      if (this.#forked.has(key) || this.#orders.broken.has(key)) continue;
      const unseen = this.#unseen.get(key);
      if (unseen) unseen.push(version);
      else this.#unseen.set(key, [version]);
    }
  }

  /** ww between neighbours, and what aborted transactions left in the order. */
  #addOrder(key: number, builder: GraphBuilder): void {
    const { order, start } = this.#orders;
    let next = none;
    for (let at = start[key + 1]! - 1; at >= start[key]!; at--) {
      if (this.#isLive(order[at]!)) next = order[at]!;
      this.#live[at] = next;
    }
    let before = none;
    let answered = none;
    let aborted = none;
    for (let at = start[key]!; at < start[key + 1]!; at++) {
      const version = order[at]!;
      if (version !== none && this.#isAborted(version)) {
        aborted = version;
        this.#noteAborted(version, this.#orders.longestReader[key]!, this.#orders.longest[key]!);
      }
      if (!this.#isLive(version)) continue;
      if (aborted !== none) this.#noteDirtyUpdate(aborted, version, key);
      aborted = none;
      if (before !== none) builder.add(this.#writer(before), this.#writer(version), edge.ww, key);
      if (this.#isAnswered(version)) {
        // Past elements of transactions that were never answered: those may turn out to have been aborted.
        const isPast = answered !== before;
        if (isPast && answered !== none)
          builder.add(this.#writer(answered), this.#writer(version), edge.ww, key);
        answered = version;
      }
      before = version;
    }
    if (before !== none) this.#addOpenEnd(this.#writer(before), key, edge.ww, builder);
  }

  #addTransaction(t: number, builder: GraphBuilder, accesses: Accesses): void {
    const { microStart, microKey, microVersion } = this.#log;
    for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
      const version = microVersion[micro]!;
      if (version !== none) accesses.place(t, microKey[micro]!, this.#orders.position[version]!);
    }
    for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
      const key = microKey[micro]!;
      if (this.#orders.broken.has(key)) continue;
      const version = microVersion[micro]!;
      if (version === none) this.#addRead(t, micro, key, builder, accesses);
      else this.#checkUpdate(t, key, accesses);
    }
  }

  #addRead(t: number, micro: number, key: number, builder: GraphBuilder, accesses: Accesses): void {
    const visible = this.#orders.visible[micro]!;
    if (visible < 0) return;
    const own = accesses.firstOwn(t, key);
    if (own !== none && own < visible) {
      this.#note("unseen own write", key, [t], () => {
        const version = this.#orders.order[this.#orders.start[key]! + own]!;
        return `${this.#readText(t, micro)}, with its own ${this.#valueText(version)} among what others had appended before`;
      });
      return;
    }
    const { order, start } = this.#orders;
    const end = start[key]! + visible;
    const last = visible === 0 ? none : order[end - 1]!;
    if (last !== none && this.#writer(last) !== t && !this.#isAborted(last)) {
      builder.add(this.#writer(last), t, edge.wr, key);
      if (!this.#log.versions.final[last]) this.#noteIntermediate(last, t, micro);
    }
    if (!this.#orders.afterOwn[micro]) accesses.read(t, key, micro);
    const next = end < start[key + 1]! ? this.#live[end]! : none;
    if (next !== none) builder.add(t, this.#writer(next), edge.rw, key);
    else this.#addOpenEnd(t, key, edge.rw, builder);
  }

  /** Leads to whoever appended what no read shows, save to itself. */
  #addOpenEnd(from: number, key: number, type: typeof edge.ww | typeof edge.rw, builder: GraphBuilder): void {
    const unseen = this.#unseen.get(key);
    if (!unseen) return;
    let openEnd = this.#openEnds.get(key);
    if (openEnd === undefined) {
      openEnd = new AllButSelf(
        builder,
        unseen.map((version) => this.#writer(version)),
      );
      this.#openEnds.set(key, openEnd);
    }
    openEnd.leadFrom(from, type, key);
  }

  #checkUpdate(t: number, key: number, accesses: Accesses): void {
    const read = accesses.firstRead(t, key);
    if (read === none) return;
    const other = accesses.update(t, key, read);
    if (other !== none) this.#noteLostUpdate(other, t, key, this.#orders.visible[read]!);
  }

  #noteMisfits(): void {
    const { internal, incompatible, phantoms, duplicates, strays } = this.#orders;
    for (const { transaction, micro, ownMissed, expected } of internal) {
      const key = this.#log.microKey[micro]!;
      if (this.#log.ambiguous.has(key)) continue;
      this.#note(ownMissed ? "unseen own write" : "internal", key, [transaction], () => {
        const after = ownMissed ? "after its own appends should end like" : "after an earlier read should be";
        return `${this.#transactionText(transaction)} read ${this.#keyText(key)} as ${this.#listAt(transaction, micro)}, which ${after} ${listText(expected)}`;
      });
    }
    for (const { transaction, micro, key, position } of incompatible) {
      const longest = this.#orders.longestReader[key]!;
      this.#note("incompatible-order", key, [longest, transaction], () => {
        const other = this.#listAt(longest, this.#orders.longest[key]!, position);
        return `${this.#transactionText(transaction)} read ${this.#keyText(key)} as ${this.#listAt(transaction, micro, position)}, ${this.#transactionText(longest)} as ${other}: they differ at position ${position + 1}, and neither is the beginning of the other`;
      });
    }
    for (const { transaction, micro, key, value } of phantoms) {
      if (this.#log.ambiguous.has(key)) continue;
      this.#note(
        "phantom-value",
        key,
        [transaction],
        () => `${this.#readText(transaction, micro)}, but nobody appended ${textOf(value)}`,
      );
    }
    for (const { transaction, micro, key, value } of duplicates) {
      this.#note(
        "duplicate-elements",
        key,
        [transaction],
        () => `${this.#readText(transaction, micro)}, with ${textOf(value)} twice; it was appended once`,
      );
    }
    for (const { transaction, micro, version } of strays) {
      if (this.#isAborted(version)) this.#noteAborted(version, transaction, micro);
    }
  }

  #noteAborted(version: number, reader: number, micro: number): void {
    const writer = this.#writer(version);
    this.#note(
      "g1a",
      this.#keyOf(version),
      [writer, reader],
      () =>
        `${this.#readText(reader, micro)}, but ${this.#valueText(version)} was appended by ${this.#transactionText(writer)}, which was aborted`,
    );
  }

  #noteDirtyUpdate(aborted: number, version: number, key: number): void {
    const [from, to, reader] = [
      this.#writer(aborted),
      this.#writer(version),
      this.#orders.longestReader[key]!,
    ];
    this.#note(
      "dirty-update",
      key,
      [from, to, reader],
      () =>
        `${this.#transactionText(to)} appended ${this.#valueText(version)} to ${this.#keyText(key)} after ${this.#valueText(aborted)} of ${this.#transactionText(from)}, which was aborted, as the read ${this.#listAt(reader, this.#orders.longest[key]!, this.#orders.position[version])} shows`,
    );
  }

  #noteIntermediate(version: number, reader: number, micro: number): void {
    const writer = this.#writer(version);
    this.#note(
      "g1b",
      this.#keyOf(version),
      [writer, reader],
      () =>
        `${this.#readText(reader, micro)}, which ends with ${this.#valueText(version)}; but ${this.#transactionText(writer)}, which appended it, appended more to that list`,
    );
  }

  #noteLostUpdate(first: number, second: number, key: number, visible: number): void {
    this.#note("lost-update", key, [first, second], () => {
      const read = this.#readWith(first, key, (micro) => this.#orders.visible[micro] === visible);
      return `${this.#transactionText(first)} and ${this.#transactionText(second)} both read ${this.#keyText(key)} as ${this.#listAt(first, read)} and both appended to it`;
    });
  }

  #note(name: PlainAnomaly, key: number, transactions: readonly number[], sentence: () => string): void {
    this.#anomalies.note(
      name,
      (): Example => ({
        operations: inOrder(transactions.map((t) => this.#log.operations[t])),
        key: this.#keyText(key),
        sentence: sentence(),
      }),
    );
  }

  ww({ from, to, fromName, toName, key }: Ends): string {
    const { position } = this.#orders;
    for (const before of this.#versionsOf(from, key).reverse()) {
      if (position[before] === none) continue;
      const isAfter = (version: number) => position[version]! > position[before]!;
      const version = this.#versionsOf(to, key).find(isAfter) ?? this.#unseenOf(to, key);
      if (version === none) continue;
      const shows =
        position[version] === none
          ? `which no read shows, so that it came after all that the longest, ${this.#longestText(key, position[before]!)}, shows`
          : `as the read ${this.#longestText(key, position[version]!)} shows`;
      return `${fromName} appended ${this.#valueText(before)} to ${this.#keyText(key)} before ${toName} appended ${this.#valueText(version)}, ${shows}`;
    }
    return `${fromName} appended to ${this.#keyText(key)} before ${toName} did`;
  }

  wr({ from, to, fromName, toName, key }: Ends): string {
    const { order, start, visible } = this.#orders;
    const writes = (micro: number) => {
      const length = visible[micro]!;
      return length > 0 && this.#writer(order[start[key]! + length - 1]!) === from;
    };
    const read = this.#readWith(to, key, writes);
    if (read === none) return `${toName} read ${this.#keyText(key)} with what ${fromName} appended`;
    const version = order[start[key]! + visible[read]! - 1]!;
    return `${toName} read ${this.#keyText(key)} as ${this.#listAt(to, read)}, with ${this.#valueText(version)}, which ${fromName} had appended`;
  }

  rw({ from, to, fromName, toName, key }: Ends): string {
    const { start, visible } = this.#orders;
    const nextOf = (micro: number) => {
      const at = start[key]! + visible[micro]!;
      return at < start[key + 1]! ? this.#live[at]! : none;
    };
    const misses = (micro: number) => {
      if (visible[micro]! < 0) return false;
      const next = nextOf(micro);
      return next === none ? this.#unseenOf(to, key) !== none : this.#writer(next) === to;
    };
    const read = this.#readWith(from, key, misses);
    if (read === none) return `${fromName} read ${this.#keyText(key)} before ${toName} appended to it`;
    const next = nextOf(read);
    const version = next === none ? this.#unseenOf(to, key) : next;
    const how = next === none ? "appended and no read shows" : "appended next";
    return `${fromName} read ${this.#keyText(key)} as ${this.#listAt(from, read)}, without ${this.#valueText(version)}, which ${toName} ${how}`;
  }

  #readWith(t: number, key: number, fits: (micro: number) => boolean): number {
    const { microStart, microKey, microVersion } = this.#log;
    for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
      if (microKey[micro] === key && microVersion[micro] === none && fits(micro)) return micro;
    }
    return none;
  }

  #versionsOf(t: number, key: number): number[] {
    const { microStart, microKey, microVersion } = this.#log;
    const versions: number[] = [];
    for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
      if (microKey[micro] === key && microVersion[micro] !== none) versions.push(microVersion[micro]!);
    }
    return versions;
  }

  #unseenOf(t: number, key: number): number {
    return this.#versionsOf(t, key).find((version) => this.#orders.position[version] === none) ?? none;
  }

  #isLive(version: number): boolean {
    return version !== none && this.#log.committed[this.#writer(version)] === 1;
  }

  #isAnswered(version: number): boolean {
    return this.#log.operations[this.#writer(version)]!.outcome === "ok";
  }

  #isAborted(version: number): boolean {
    return this.#log.operations[this.#writer(version)]!.outcome === "fail";
  }

  #writer(version: number): number {
    return this.#log.versions.writer[version]!;
  }

  #keyOf(version: number): number {
    return this.#log.microKey[this.#log.versions.micro[version]!]!;
  }

  #keyText(key: number): string {
    return textOf(this.#log.keys[key]);
  }

  #valueText(version: number): string {
    return textOf(writtenBy(this.#log, version));
  }

  #transactionText(t: number): string {
    return transactionBy(this.#log.operations[t]!);
  }

  #readText(t: number, micro: number): string {
    return `${this.#transactionText(t)} read ${this.#keyText(this.#log.microKey[micro]!)} as ${this.#listAt(t, micro)}`;
  }

  #listAt(t: number, micro: number, near?: number): string {
    return listText(listSeen(this.#log, t, micro) ?? [seenBy(this.#log, t, micro)], near);
  }

  #longestText(key: number, near: number): string {
    return this.#listAt(this.#orders.longestReader[key]!, this.#orders.longest[key]!, near);
  }
}

/** Which lists a transaction has read before writing them, and who has updated which version of each list. */
class Accesses {
  readonly #orders: ListOrders;
  readonly #reader: Int32Array;
  readonly #read: Int32Array;
  readonly #written: Int32Array;
  readonly #owner: Int32Array;
  readonly #firstOwn: Int32Array;
  /** By key and length read (a list of n elements has n + 1 versions): the first transaction that then appended. */
  readonly #updater: Int32Array;

  constructor(keys: number, orders: ListOrders) {
    this.#orders = orders;
    this.#reader = new Int32Array(keys).fill(none);
    this.#read = new Int32Array(keys);
    this.#written = new Int32Array(keys).fill(none);
    this.#owner = new Int32Array(keys).fill(none);
    this.#firstOwn = new Int32Array(keys);
    this.#updater = new Int32Array(orders.order.length + keys).fill(none);
  }

  /** The transaction appends an element that stands at this position of the list. */
  place(t: number, key: number, position: number): void {
    if (position === none) return;
    if (this.#owner[key] === t && this.#firstOwn[key]! <= position) return;
    this.#owner[key] = t;
    this.#firstOwn[key] = position;
  }

  /** The first position of an element that the transaction appends itself. */
  firstOwn(t: number, key: number): number {
    return this.#owner[key] === t ? this.#firstOwn[key]! : none;
  }

  /** The first read counts: what a transaction appends, it appends to what it saw first. */
  read(t: number, key: number, micro: number): void {
    if (this.#reader[key] === t) return;
    this.#reader[key] = t;
    this.#read[key] = micro;
  }

  firstRead(t: number, key: number): number {
    return this.#reader[key] === t ? this.#read[key]! : none;
  }

  /** Enters that `t` appends to what it read; gives another transaction that did the same to the same version. */
  update(t: number, key: number, read: number): number {
    if (this.#written[key] === t) return none;
    this.#written[key] = t;
    const slot = this.#orders.start[key]! + key + this.#orders.visible[read]!;
    const other = this.#updater[slot]!;
    if (other === none) this.#updater[slot] = t;
    return other;
  }
}
