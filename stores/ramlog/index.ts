/**
 * ramlog inside an application: `import { openStore } from "acked/ramlog"`.
 *
 * ```ts
 * const store = await openStore<{ users: User }>({ dir: "data", tables: { users: {} } });
 * await store.transact((tx) => tx.put("users", "ada", { name: "Ada" }));
 * store.get("users", "ada"); // a function call; the last durable version
 * await store.close();
 * ```
 *
 * `transact` runs one function at a time and resolves when its changes are durable (in the chosen mode); a throw rolls
 * everything back. Only a transaction sees what is not durable yet; all other reads see the last durable version.
 * Objects are JSON and come back frozen. After a failed write or sync of the log every call rejects with
 * `StoreFailed`; the process goes on. Indexes and constraints are not here yet.
 */
import { deepFreeze, fromByteString, toByteString } from "./codec.ts";
import { type Engine, openEngine, productionSeams, type Seams } from "./engine.ts";
import { StoreFailed } from "./errors.ts";
import type { DurabilityMode } from "./log.ts";
import type { RecoveryReport } from "./recovery.ts";
import { Document, type Slot } from "./state.ts";
import { DurableView } from "./versions.ts";

export { encodeBatch } from "./codec.ts";
export type { Seams } from "./engine.ts";
export { StartRefused, StoreFailed } from "./errors.ts";
export type { DurabilityMode } from "./log.ts";
export type { RecoveryReport } from "./recovery.ts";
export type { Change } from "./state.ts";

/** The objects of each table, by table name. */
export type Schema = Record<string, unknown>;

export interface StoreOptions<S extends Schema> {
  /** The data directory; made when it does not exist. */
  readonly dir: string;
  /** Default: `always`. */
  readonly durability?: DurabilityMode;
  readonly tables: { readonly [Name in keyof S]: Readonly<Record<string, never>> };
  /** Size of a log segment; default 8 MiB. */
  readonly segmentBytes?: number;
  /** Bytes of log between snapshots; default 64 MiB. */
  readonly snapshotBytes?: number;
  /** Sentences about things that did not stop the store; default: `process.emitWarning`. */
  readonly report?: (sentence: string) => void;
  /** Replacements of the parts below the engine, for tests. */
  readonly seams?: Partial<Seams>;
}

/** Inside `transact`. Keys are any strings. */
export interface Transaction<S extends Schema> {
  /** What this transaction, and all before it, have written. */
  get<Name extends keyof S & string>(table: Name, key: string): Readonly<S[Name]> | undefined;
  /** The object is copied as JSON. Throws a TypeError when it cannot be. */
  put<Name extends keyof S & string>(table: Name, key: string, value: S[Name]): void;
  /** True when it was there. */
  delete<Name extends keyof S & string>(table: Name, key: string): boolean;
}

export interface TableReader<Row> {
  readonly size: number;
  get(key: string): Readonly<Row> | undefined;
  entries(): IterableIterator<[string, Readonly<Row>]>;
}

export interface RamlogStore<S extends Schema> {
  /** What opening it found. */
  readonly recovery: RecoveryReport;
  /**
   * Runs `work` at once and resolves with its result when everything it changed or read is durable. `work` must not
   * be async. When it throws, nothing has happened, and the promise rejects with what it threw.
   */
  transact<Result>(work: (tx: Transaction<S>) => Result): Promise<Result>;
  /** The last durable version. */
  get<Name extends keyof S & string>(table: Name, key: string): Readonly<S[Name]> | undefined;
  table<Name extends keyof S & string>(name: Name): TableReader<S[Name]>;
  /** Makes a snapshot now; rejects when that failed, which costs nothing but the snapshot. */
  snapshot(): Promise<void>;
  /** Syncs everything, then gives the directory free. */
  close(): Promise<void>;
}

/**
 * Opens a store.
 *
 * @throws StartRefused with one sentence: the directory is in use, damaged, not writable, or of a newer format.
 */
export async function openStore<S extends Schema>(options: StoreOptions<S>): Promise<RamlogStore<S>> {
  const engine = await openEngine({
    dir: options.dir,
    durability: options.durability ?? { mode: "always" },
    segmentBytes: options.segmentBytes ?? 8 << 20,
    snapshotBytes: options.snapshotBytes ?? 64 << 20,
    seams: { ...productionSeams, ...options.seams },
    report: options.report ?? ((sentence) => process.emitWarning(`ramlog: ${sentence}`)),
  });
  return new Store<S>(engine, Object.keys(options.tables));
}

interface Waiting {
  readonly index: number;
  readonly resolve: () => void;
  readonly reject: (failure: StoreFailed) => void;
}

class Store<S extends Schema> implements RamlogStore<S> {
  readonly recovery: RecoveryReport;
  private readonly engine: Engine;
  private readonly tables: ReadonlySet<string>;
  private readonly durable: DurableView;
  private waiting: Waiting[] = [];
  private ended: StoreFailed | undefined;
  private inTransaction = false;

  constructor(engine: Engine, tables: readonly string[]) {
    this.engine = engine;
    this.recovery = engine.recovery;
    this.tables = new Set(tables);
    this.durable = new DurableView(engine);
    engine.onReleased = () => this.settle();
    engine.onFailed = (failure) => this.end(failure);
  }

  transact<Result>(work: (tx: Transaction<S>) => Result): Promise<Result> {
    if (this.ended) return Promise.reject(this.ended);
    if (this.inTransaction) return Promise.reject(new Error("a transaction cannot begin inside another"));
    const writes = new Writes(this.engine, (table) => this.requireTable(table));
    let result: Result;
    try {
      this.inTransaction = true;
      result = work(writes as unknown as Transaction<S>);
      if (result instanceof Promise) throw new TypeError("the function given to transact must not be async");
      writes.apply();
    } catch (thrown) {
      if (thrown instanceof StoreFailed) return Promise.reject(thrown);
      // What it threw may tell of state that is not durable yet.
      return this.whenReleased(this.engine.lastIndex).then(() => {
        throw thrown;
      });
    } finally {
      this.inTransaction = false;
    }
    return this.whenReleased(this.engine.lastIndex).then(() => result);
  }

  get<Name extends keyof S & string>(table: Name, key: string): Readonly<S[Name]> | undefined {
    this.requireTable(table);
    if (this.ended) throw this.ended;
    return json(this.durable.get(tableKey(table), toByteString(key))) as S[Name] | undefined;
  }

  table<Name extends keyof S & string>(name: Name): TableReader<S[Name]> {
    this.requireTable(name);
    const store = this;
    return {
      get size() {
        return store.durable.size(tableKey(name));
      },
      get: (key) => store.get(name, key),
      *entries() {
        for (const [key, value] of store.durable.entries(tableKey(name))) {
          yield [fromByteString(key), json(value) as Readonly<S[Name]>];
        }
      },
    };
  }

  snapshot(): Promise<void> {
    return this.ended ? Promise.reject(this.ended) : this.engine.snapshot();
  }

  async close(): Promise<void> {
    if (this.ended) {
      await this.engine.close().catch(() => undefined);
      return;
    }
    const closing = this.engine.close();
    this.ended = new StoreFailed("the store has been closed");
    await closing;
    this.settle();
  }

  private whenReleased(index: number): Promise<void> {
    if (index <= this.engine.released) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.waiting.push({ index, resolve, reject });
    });
  }

  private settle(): void {
    const { released } = this.engine;
    this.durable.forget(released);
    let count = 0;
    while (count < this.waiting.length && this.waiting[count]!.index <= released) {
      this.waiting[count]!.resolve();
      count += 1;
    }
    this.waiting = this.waiting.slice(count);
  }

  private end(failure: StoreFailed): void {
    this.ended = failure;
    for (const waiting of this.waiting.splice(0)) waiting.reject(failure);
  }

  private requireTable(name: string): void {
    if (this.tables.has(name)) return;
    throw new TypeError(`there is no table "${name}"; declared: ${[...this.tables].join(", ")}`);
  }
}

/** The writes of one transaction, kept apart until it has succeeded: a throw leaves nothing to undo. */
class Writes {
  private readonly engine: Engine;
  private readonly requireTable: (name: string) => void;
  /** By table and key; `undefined`: deleted. */
  private readonly written = new Map<string, Map<string, Document | undefined>>();

  constructor(engine: Engine, requireTable: (name: string) => void) {
    this.engine = engine;
    this.requireTable = requireTable;
  }

  get(table: string, key: string): unknown {
    this.requireTable(table);
    const written = this.written.get(table);
    const bytes = toByteString(key);
    return json(written?.has(bytes) ? written.get(bytes) : this.slot(table, bytes)?.value);
  }

  put(table: string, key: string, value: unknown): void {
    this.requireTable(table);
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`the value for ${table}/${key} is not JSON`);
    this.of(table).set(toByteString(key), new Document(deepFreeze(JSON.parse(text))));
  }

  delete(table: string, key: string): boolean {
    const there = this.get(table, key) !== undefined;
    this.of(table).set(toByteString(key), undefined);
    return there;
  }

  /** One entry with every change; deleting what was never there is none. */
  apply(): void {
    for (const [name, writes] of this.written) {
      const table = tableKey(name);
      for (const [key, value] of writes) {
        if (value) this.engine.change({ kind: "put", table, key, value });
        else if (this.slot(name, key)) this.engine.change({ kind: "delete", table, key });
      }
    }
    this.engine.commit();
  }

  private of(table: string): Map<string, Document | undefined> {
    const writes = this.written.get(table) ?? new Map<string, Document | undefined>();
    this.written.set(table, writes);
    return writes;
  }

  private slot(table: string, key: string): Slot | undefined {
    return this.engine.table(tableKey(table)).get(key);
  }
}

/** Tables of the library and the keyspace of the server live side by side in one directory. */
function tableKey(name: string): string {
  return toByteString(name);
}

function json(value: unknown): unknown {
  return value instanceof Document ? value.json : undefined;
}
