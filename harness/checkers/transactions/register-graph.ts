/**
 * The dependencies that registers show, and the anomalies that need no cycle.
 *
 * Writes are unique, so wr is exact. The order of a register's versions is known only in part (Elle, section 5.2):
 * nothing (nil) comes first, and a transaction that read or wrote one version and then wrote another put it after.
 * On request, one client's transactions, one after the other, are taken to see later versions of a key
 * (`sequentialKeys`). From `a` before `b`: ww from a's writer to b's; rw from whoever read a to b's writer (b need
 * not be the very next: who misses the next misses b, too, and the path through the versions between has the same
 * one anti-dependency). A register whose order has a cycle is reported and nothing more is inferred from it.
 *
 * Verified here: G1a, G1b, lost update, internal, phantom values, cyclic versions. Not verified: dirty updates,
 * which lists show and registers do not.
 */
import { inOrder } from "../findings.ts";
import { AllButSelf } from "./all-but-self.ts";
import type { Anomalies, PlainAnomaly } from "./anomalies.ts";
import type { Budget } from "./budget.ts";
import { components } from "./components.ts";
import { edge, GraphBuilder } from "./dependency-graph.ts";
import { type DependencyWords, type Ends, transactionBy } from "./explain.ts";
import { none, seenBy, type TransactionLog, textOf, writtenBy } from "./transaction.ts";

export interface RegisterOrderOptions {
  /** Assume that each client's transactions, in order, see ever later versions of a key. Default false. */
  readonly sequentialKeys?: boolean;
}

/**
 * Versions here are those of the log, then one nil for each key: number `versions.count + key`.
 */
export class RegisterDependencies implements DependencyWords {
  readonly #log: TransactionLog;
  readonly #anomalies: Anomalies;
  readonly #options: RegisterOrderOptions;
  /** By micro-operation: the version that a read saw; `none` for what nobody wrote. */
  readonly #seen: Int32Array;
  /** Pairs (reader, version) of reads of other transactions' versions. */
  readonly #readers: number[] = [];
  readonly #readVersions: number[] = [];
  /** What comes directly after a version, as far as is known. */
  readonly #successors = new Map<number, number[]>();
  readonly #isSuccessor: Uint8Array;
  readonly #versionOrder: GraphBuilder;
  readonly #cyclic = new Set<number>();
  /** Keys of which two versions are known to come after one, but not in which order. */
  readonly #partlyOrdered = new Set<number>();

  constructor(log: TransactionLog, anomalies: Anomalies, options: RegisterOrderOptions) {
    this.#log = log;
    this.#anomalies = anomalies;
    this.#options = options;
    this.#seen = new Int32Array(log.microKey.length).fill(none);
    this.#isSuccessor = new Uint8Array(log.versions.count);
    this.#versionOrder = new GraphBuilder(log.versions.count + log.keys.length);
  }

  addTo(builder: GraphBuilder, budget: Budget): void {
    const { operations, committed } = this.#log;
    for (let t = 0; t < operations.length; t++) {
      budget.spend("resolving the reads", t, operations.length);
      this.#resolve(t);
    }
    const access = new Access(this.#log);
    for (let t = 0; t < operations.length; t++) {
      budget.spend("relating the transactions", t, operations.length);
      if (committed[t]) this.#walk(t, access, builder);
    }
    if (this.#options.sequentialKeys) this.#orderByClients();
    this.#findCyclicVersions(budget);
    this.#addRoots();
    this.#addSuccessors(builder, budget);
  }

  /** What the result leaves open, in words. */
  notChecked(): string[] {
    const keys = this.#partlyOrdered.size;
    return keys === 0
      ? []
      : [`the order of all versions of ${keys} keys, which were written by some who had not read them`];
  }

  #resolve(t: number): void {
    const { microStart, microKey, microVersion, readable, versions, operations, committed, ambiguous } =
      this.#log;
    if (!readable[t]) return;
    for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
      const key = microKey[micro]!;
      if (microVersion[micro] !== none || ambiguous.has(key)) continue;
      const value = seenBy(this.#log, t, micro);
      const version = value === null ? this.#nil(key) : versions.numberOf(key, value);
      this.#seen[micro] = version;
      if (version === none) {
        this.#note("phantom-value", key, [t], () => `${this.#readText(t, micro)}, but nobody wrote that`);
      } else if (version < versions.count) {
        const writer = versions.writer[version]!;
        if (operations[writer]!.outcome === "info") committed[writer] = 1;
      }
    }
  }

  /** One transaction from its first micro-operation to its last. */
  #walk(t: number, access: Access, builder: GraphBuilder): void {
    const { microStart, microKey, microVersion, ambiguous } = this.#log;
    for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
      const key = microKey[micro]!;
      if (ambiguous.has(key)) continue;
      const written = microVersion[micro]!;
      if (written !== none) this.#walkWrite(t, key, written, access);
      else if (this.#seen[micro] !== none) this.#walkRead(t, micro, key, access, builder);
    }
  }

  #walkRead(t: number, micro: number, key: number, access: Access, builder: GraphBuilder): void {
    const version = this.#seen[micro]!;
    const expected = access.current(t, key);
    const isOwn = expected !== none && this.#writer(expected) === t;
    const readsOwn = this.#writer(version) === t;
    if (expected === version) return;
    if (isOwn || readsOwn) {
      this.#note("unseen own write", key, [t], () => {
        const why = isOwn
          ? `after it had written ${this.#valueText(expected)}`
          : "before it wrote that itself";
        return `${this.#readText(t, micro)} ${why}`;
      });
      return;
    }
    if (expected !== none) {
      this.#note(
        "internal",
        key,
        [t],
        () => `${this.#readText(t, micro)} after it had read ${this.#valueText(expected)}`,
      );
    }
    access.touch(t, key, version);
    this.#readers.push(t);
    this.#readVersions.push(version);
    const writer = this.#writer(version);
    if (writer === none) return;
    if (this.#log.operations[writer]!.outcome === "fail") {
      this.#note(
        "g1a",
        key,
        [writer, t],
        () =>
          `${this.#readText(t, micro)}, which ${this.#transactionText(writer)} wrote, and that was aborted`,
      );
      return;
    }
    builder.add(writer, t, edge.wr, key);
    if (!this.#log.versions.final[version]) {
      this.#note(
        "g1b",
        key,
        [writer, t],
        () =>
          `${this.#readText(t, micro)}, which ${this.#transactionText(writer)} wrote and then overwrote itself`,
      );
    }
  }

  #walkWrite(t: number, key: number, written: number, access: Access): void {
    const before = access.current(t, key);
    access.touch(t, key, written);
    if (before === none) return;
    this.#order(before, written);
    if (this.#writer(before) === t) return;
    const other = access.update(before, t);
    if (other === none) return;
    this.#note(
      "lost-update",
      key,
      [other, t],
      () =>
        `${this.#transactionText(other)} and ${this.#transactionText(t)} both read ${this.#keyText(key)} as ${this.#valueText(before)} and both wrote it`,
    );
  }

  #order(before: number, after: number): void {
    if (before === after || this.#isDead(before) || this.#isDead(after)) return;
    this.#versionOrder.add(before, after, edge.ww);
    if (after >= this.#log.versions.count) {
      // Nothing comes first, so whatever is before it closes a circle.
      this.#versionOrder.add(after, before, edge.ww);
      return;
    }
    const successors = this.#successors.get(before);
    if (successors) successors.push(after);
    else this.#successors.set(before, [after]);
    if (before < this.#log.versions.count) this.#isSuccessor[after] = 1;
  }

  /** The last version that a client touched, before the first that it touches in a later transaction. */
  #orderByClients(): void {
    const { operations, committed, microStart, microKey, microVersion } = this.#log;
    const latest = new Map<string, number>();
    for (let t = 0; t < operations.length; t++) {
      if (!committed[t] || operations[t]!.outcome !== "ok") continue;
      for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
        const version = microVersion[micro] === none ? this.#seen[micro]! : microVersion[micro]!;
        if (version === none) continue;
        const place = `${operations[t]!.process} ${microKey[micro]}`;
        const before = latest.get(place);
        if (before !== undefined) this.#order(before, version);
        latest.set(place, version);
      }
    }
  }

  #findCyclicVersions(budget: Budget): void {
    const order = this.#versionOrder.build();
    const { of } = components(order, edge.ww, budget);
    const count = this.#log.versions.count;
    const circles = new Map<number, number[]>();
    for (let version = 0; version < order.nodes; version++) {
      const circle = of[version]!;
      if (circle === -1) continue;
      const members = circles.get(circle);
      if (members) members.push(version);
      else circles.set(circle, [version]);
    }
    for (const members of circles.values()) {
      const key = members[0]! < count ? this.#keyOf(members[0]!) : members[0]! - count;
      this.#cyclic.add(key);
      const writers = members.map((version) => this.#writer(version)).filter((writer) => writer !== none);
      this.#note(
        "cyclic-versions",
        key,
        writers.slice(0, 4),
        () =>
          `the versions ${members
            .slice(0, 4)
            .map((version) => this.#valueText(version))
            .join(", ")} of ${this.#keyText(key)} each come before the next, and the last before the first`,
      );
    }
  }

  /** Nothing comes before every version of which no other predecessor is known. */
  #addRoots(): void {
    const { versions, ambiguous } = this.#log;
    for (let key = 0; key < this.#log.keys.length; key++) this.#successors.delete(this.#nil(key));
    for (let version = 0; version < versions.count; version++) {
      const key = this.#keyOf(version);
      if (this.#isSuccessor[version] || this.#isDead(version) || ambiguous.has(key)) continue;
      const nil = this.#nil(key);
      const roots = this.#successors.get(nil);
      if (roots) roots.push(version);
      else this.#successors.set(nil, [version]);
    }
  }

  /** ww and rw, from each version to those that come after it. */
  #addSuccessors(builder: GraphBuilder, budget: Budget): void {
    const junctions = new Map<number, AllButSelf>();
    for (const [version, successors] of this.#successors) {
      const writer = this.#writer(version);
      const key = this.#keyOf(successors[0]!);
      if (successors.length > 1) this.#partlyOrdered.add(key);
      if (writer === none || this.#cyclic.has(key)) continue;
      for (const after of successors) builder.add(writer, this.#writer(after), edge.ww, key);
    }
    for (let i = 0; i < this.#readers.length; i++) {
      budget.spend("relating the readers", i, this.#readers.length);
      const [reader, version] = [this.#readers[i]!, this.#readVersions[i]!];
      const successors = this.#successors.get(version);
      if (!successors || this.#cyclic.has(this.#keyOf(successors[0]!))) continue;
      this.#addReader(reader, version, successors, junctions, builder);
    }
  }

  #addReader(
    reader: number,
    version: number,
    successors: readonly number[],
    junctions: Map<number, AllButSelf>,
    builder: GraphBuilder,
  ): void {
    const key = this.#keyOf(successors[0]!);
    let next = junctions.get(version);
    if (next === undefined) {
      next = new AllButSelf(
        builder,
        successors.map((after) => this.#writer(after)),
      );
      junctions.set(version, next);
    }
    next.leadFrom(reader, edge.rw, key);
  }

  #note(name: PlainAnomaly, key: number, transactions: readonly number[], sentence: () => string): void {
    this.#anomalies.note(name, () => ({
      operations: inOrder(transactions.map((t) => this.#log.operations[t])),
      key: this.#keyText(key),
      sentence: sentence(),
    }));
  }

  ww({ from, to, fromName, toName, key }: Ends): string {
    const pair = this.#pair(key, to, (version) => this.#writer(version) === from);
    if (!pair) return `${fromName} wrote ${this.#keyText(key)} before ${toName} did`;
    return `${fromName} wrote ${this.#keyText(key)} = ${this.#valueText(pair.before)} before ${toName} wrote ${this.#valueText(pair.after)}, ${this.#whyAfter(toName)}`;
  }

  wr({ from, to, fromName, toName, key }: Ends): string {
    const version = this.#versionsSeen(to, key).find((seen) => this.#writer(seen) === from) ?? none;
    return `${toName} read ${this.#keyText(key)} = ${this.#valueText(version)}, which ${fromName} had written`;
  }

  rw({ from, to, fromName, toName, key }: Ends): string {
    const seen = new Set(this.#versionsSeen(from, key));
    const pair = this.#pair(key, to, (version) => seen.has(version));
    if (!pair) return `${fromName} read ${this.#keyText(key)} before ${toName} wrote it`;
    const why =
      pair.before === this.#nil(key) ? `${this.#keyText(key)} was nil at first` : this.#whyAfter(toName);
    return `${fromName} read ${this.#keyText(key)} = ${this.#valueText(pair.before)}, not ${this.#valueText(pair.after)}, which ${toName} wrote later: ${why}`;
  }

  #whyAfter(toName: string): string {
    return this.#options.sequentialKeys
      ? `which ${toName} had seen before it wrote, or its client in an earlier transaction`
      : `which ${toName} had seen before it wrote`;
  }

  #pair(
    key: number,
    to: number,
    fits: (version: number) => boolean,
  ): { before: number; after: number } | undefined {
    for (const [before, successors] of this.#successors) {
      if (this.#keyOf(successors[0]!) !== key || !fits(before)) continue;
      const after = successors.find((version) => this.#writer(version) === to);
      if (after !== undefined) return { before, after };
    }
    return undefined;
  }

  #versionsSeen(t: number, key: number): number[] {
    const { microStart, microKey, microVersion } = this.#log;
    const seen: number[] = [];
    for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++) {
      if (microKey[micro] === key && microVersion[micro] === none) seen.push(this.#seen[micro]!);
    }
    return seen;
  }

  #nil(key: number): number {
    return this.#log.versions.count + key;
  }

  /** `none` for nil, and for what nobody wrote. */
  #writer(version: number): number {
    return version >= 0 && version < this.#log.versions.count ? this.#log.versions.writer[version]! : none;
  }

  /** Its writer is not known to have committed. */
  #isDead(version: number): boolean {
    const writer = this.#writer(version);
    return writer !== none && !this.#log.committed[writer];
  }

  #keyOf(version: number): number {
    const { versions, microKey } = this.#log;
    return version < versions.count ? microKey[versions.micro[version]!]! : version - versions.count;
  }

  #keyText(key: number): string {
    return textOf(this.#log.keys[key]);
  }

  #valueText(version: number): string {
    if (version === none) return "a value";
    return version < this.#log.versions.count ? textOf(writtenBy(this.#log, version)) : "nil";
  }

  #transactionText(t: number): string {
    return transactionBy(this.#log.operations[t]!);
  }

  #readText(t: number, micro: number): string {
    const value = seenBy(this.#log, t, micro);
    const key = this.#keyText(this.#log.microKey[micro]!);
    return `${this.#transactionText(t)} read ${key} = ${value === null ? "nil" : textOf(value)}`;
  }
}

/** What the transaction being walked through knows of each key, and who has updated which version. */
class Access {
  readonly #transaction: Int32Array;
  readonly #version: Int32Array;
  /** By version, nils included: the first transaction that read it and then wrote its key. */
  readonly #updater: Int32Array;

  constructor({ keys, versions }: TransactionLog) {
    this.#transaction = new Int32Array(keys.length).fill(none);
    this.#version = new Int32Array(keys.length);
    this.#updater = new Int32Array(versions.count + keys.length).fill(none);
  }

  /** The version that the transaction last read or wrote. */
  current(t: number, key: number): number {
    return this.#transaction[key] === t ? this.#version[key]! : none;
  }

  touch(t: number, key: number, version: number): void {
    this.#transaction[key] = t;
    this.#version[key] = version;
  }

  /** Enters that `t` overwrites what it read; gives another transaction that did the same to the same version. */
  update(version: number, t: number): number {
    const other = this.#updater[version]!;
    if (other === none) this.#updater[version] = t;
    return other === t ? none : other;
  }
}
