/**
 * Transactions of a history in columns: what a million of them need to be checked in bounded memory.
 *
 * An operation `txn` has the input `[["r", key, null], ["append", key, element], ["w", key, value], …]`, its
 * *micro-operations*; the output of one that is `ok` is the same with what the reads saw filled in. `fail`: it was
 * certainly aborted. `info`: it may have happened, and is counted as committed once a committed read shows one of
 * its writes.
 *
 * Keys become numbers, and so does each value written to a key (a *version*). What reads saw is not copied: it
 * stays in the operation. Verified here: the shape of every transaction; that it is told to have written what it was
 * asked to; that no value is written to a key twice, since then nobody could tell which write a read saw. What does
 * not hold becomes a *problem*, in words, and the verdict cannot be true. A value that was written again after its
 * first writer had certainly aborted (a client that tries again) names the one writer that did not.
 */
import type { Operation } from "../../history/operation.ts";
import type { Budget } from "./budget.ts";

/** Versions of a key that are written by nobody. */
export const none = -1;

const problemsKept = 3;

export interface TransactionLog {
  /** Transaction t is the t-th, in order of invocation. */
  readonly operations: readonly Operation[];
  /** 1: it is `ok`, or `info` and one of its writes was seen (filled in by the version order). */
  readonly committed: Uint8Array;
  /** 1: `ok`, with a well-formed output, so that what it read is known. */
  readonly readable: Uint8Array;
  /** Micro-operations of t are those from `microStart[t]` up to `microStart[t + 1]`. */
  readonly microStart: Int32Array;
  readonly microKey: Int32Array;
  /** The version that it writes; `none` for a read. */
  readonly microVersion: Int32Array;
  /** By number of the key, as it stands in the history. */
  readonly keys: readonly unknown[];
  /** Keys to which a value was written twice, or perhaps another than was asked for: nothing is inferred from them. */
  readonly ambiguous: ReadonlySet<number>;
  readonly versions: Versions;
  readonly problems: readonly string[];
}

export interface Versions {
  readonly count: number;
  /** The transaction that wrote it. */
  readonly writer: Int32Array;
  /** The micro-operation that wrote it. */
  readonly micro: Int32Array;
  /** 1: its transaction wrote nothing to the key after it. */
  readonly final: Uint8Array;
  /** The version of a key that has this value; `none` when nobody wrote it. */
  numberOf(key: number, value: unknown): number;
}

/**
 * Reads the transactions of a history; other operations are left out.
 *
 * @param write what a write is called: `append` for lists, `w` for registers.
 */
export function readTransactions(
  operations: readonly Operation[],
  write: "append" | "w",
  budget: Budget,
): TransactionLog {
  const isOther = operations.some((operation) => operation.f !== "txn");
  const transactions = isOther ? operations.filter((operation) => operation.f === "txn") : operations;
  return new Reading(transactions, write).finish(budget);
}

/** What a micro-operation of an `ok` transaction saw. */
export function seenBy(log: TransactionLog, transaction: number, micro: number): unknown {
  const output = log.operations[transaction]!.output as readonly (readonly unknown[])[];
  return output[micro - log.microStart[transaction]!]![2];
}

/** What a micro-operation writes. */
export function writtenBy(log: TransactionLog, version: number): unknown {
  const transaction = log.versions.writer[version]!;
  const input = log.operations[transaction]!.input as readonly (readonly unknown[])[];
  return input[log.versions.micro[version]! - log.microStart[transaction]!]![2];
}

/** Values as they can be compared and looked up: objects by their JSON, and texts that look like that. */
export function comparable(value: unknown): unknown {
  const isObject = typeof value === "object" && value !== null;
  const looksLikeOne = typeof value === "string" && value.startsWith("json ");
  return isObject || looksLikeOne ? `json ${JSON.stringify(value)}` : value;
}

export function sameValue(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === "object" && typeof b === "object" && comparable(a) === comparable(b));
}

class Reading {
  readonly #operations: readonly Operation[];
  readonly #write: string;
  readonly #committed: Uint8Array;
  readonly #readable: Uint8Array;
  readonly #microStart: Int32Array;
  readonly #microKey: Int32Array;
  readonly #microVersion: Int32Array;
  readonly #writer: Int32Array;
  readonly #micro: Int32Array;
  readonly #final: Uint8Array;
  readonly #keyNumbers = new Map<unknown, number>();
  readonly #keys: unknown[] = [];
  /** By key: its versions by value. */
  readonly #numbers: Map<unknown, number>[] = [];
  /** By key: the latest version written to it. */
  readonly #latest: number[] = [];
  readonly #ambiguous = new Set<number>();
  readonly #problems: string[] = [];
  #problemCount = 0;
  #versions = 0;

  constructor(operations: readonly Operation[], write: string) {
    this.#operations = operations;
    this.#write = write;
    let micros = 0;
    for (const { input } of operations) micros += Array.isArray(input) ? input.length : 0;
    this.#committed = new Uint8Array(operations.length);
    this.#readable = new Uint8Array(operations.length);
    this.#microStart = new Int32Array(operations.length + 1);
    this.#microKey = new Int32Array(micros);
    this.#microVersion = new Int32Array(micros);
    this.#writer = new Int32Array(micros);
    this.#micro = new Int32Array(micros);
    this.#final = new Uint8Array(micros);
  }

  finish(budget: Budget): TransactionLog {
    for (let t = 0; t < this.#operations.length; t++) {
      budget.spend("reading the transactions", t, this.#operations.length);
      this.#readTransaction(t);
    }
    if (this.#problemCount > problemsKept) {
      this.#problems.push(`and ${this.#problemCount - problemsKept} more of the kind`);
    }
    const numbers = this.#numbers;
    return {
      operations: this.#operations,
      committed: this.#committed,
      readable: this.#readable,
      microStart: this.#microStart,
      microKey: this.#microKey,
      microVersion: this.#microVersion,
      keys: this.#keys,
      ambiguous: this.#ambiguous,
      versions: {
        count: this.#versions,
        writer: this.#writer.subarray(0, this.#versions),
        micro: this.#micro.subarray(0, this.#versions),
        final: this.#final.subarray(0, this.#versions),
        numberOf: (key, value) => numbers[key]!.get(comparable(value)) ?? none,
      },
      problems: this.#problems,
    };
  }

  #readTransaction(t: number): void {
    const operation = this.#operations[t]!;
    const start = this.#microStart[t]!;
    const wrong = this.#whyMalformed(operation.input);
    const micros = wrong ? [] : (operation.input as readonly (readonly unknown[])[]);
    if (wrong) this.#problem(operation, wrong);
    for (let i = 0; i < micros.length; i++) this.#readMicro(t, start + i, micros[i]!);
    this.#microStart[t + 1] = start + micros.length;
    if (operation.outcome !== "ok") return;
    this.#committed[t] = 1;
    const unreadable = wrong ?? whyUnreadable(micros, operation.output);
    if (unreadable === undefined) this.#readable[t] = 1;
    else if (!wrong) {
      this.#problem(operation, unreadable);
      for (let i = 0; i < micros.length; i++) {
        if (micros[i]![0] !== "r") this.#ambiguous.add(this.#microKey[start + i]!);
      }
    }
  }

  #readMicro(t: number, micro: number, [f, name, value]: readonly unknown[]): void {
    const key = this.#keyNumber(name);
    this.#microKey[micro] = key;
    this.#microVersion[micro] = f === "r" ? none : this.#newVersion(t, micro, key, value);
  }

  #keyNumber(name: unknown): number {
    const known = this.#keyNumbers.get(comparable(name));
    if (known !== undefined) return known;
    const key = this.#keys.length;
    this.#keyNumbers.set(comparable(name), key);
    this.#keys.push(name);
    this.#numbers.push(new Map());
    this.#latest.push(none);
    return key;
  }

  #newVersion(t: number, micro: number, key: number, value: unknown): number {
    const version = this.#versions++;
    this.#writer[version] = t;
    this.#micro[version] = micro;
    this.#final[version] = 1;
    const before = this.#latest[key]!;
    if (before !== none && this.#writer[before] === t) this.#final[before] = 0;
    this.#latest[key] = version;
    const numbers = this.#numbers[key]!;
    const name = comparable(value);
    const known = numbers.get(name);
    if (known === undefined || this.#isAborted(this.#writer[known]!)) numbers.set(name, version);
    else if (!this.#isAborted(t)) {
      this.#ambiguous.add(key);
      this.#problem(
        this.#operations[t]!,
        `writes ${textOf(value)} to ${textOf(this.#keys[key])}, which another had written; values must be unique, so this key is not judged`,
      );
    }
    return version;
  }

  #isAborted(t: number): boolean {
    return this.#operations[t]!.outcome === "fail";
  }

  #whyMalformed(input: unknown): string | undefined {
    if (!Array.isArray(input)) return `has no list of micro-operations, but ${textOf(input)}`;
    for (const micro of input as unknown[]) {
      const [f, , value] = Array.isArray(micro) && micro.length >= 2 ? (micro as unknown[]) : [];
      if (f === "r") continue;
      const isWrite = f === this.#write && value !== undefined && value !== null;
      if (!isWrite)
        return `has ${textOf(micro)}, which is neither ["r", key, null] nor ["${this.#write}", key, value]`;
    }
    return undefined;
  }

  #problem(operation: Operation, what: string): void {
    this.#problemCount++;
    if (this.#problemCount > problemsKept) return;
    this.#problems.push(
      `the transaction that client ${operation.process} sent as event ${operation.call} ${what}`,
    );
  }
}

function whyUnreadable(micros: readonly (readonly unknown[])[], output: unknown): string | undefined {
  if (!Array.isArray(output) || output.length !== micros.length) {
    return `is ok, but its output is not its micro-operations with the reads filled in (${textOf(output)})`;
  }
  for (let i = 0; i < micros.length; i++) {
    const [micro, done] = [micros[i]!, output[i] as unknown];
    const fits =
      Array.isArray(done) && done.length === 3 && done[0] === micro[0] && sameValue(done[1], micro[1]);
    const isAsAsked = fits && (micro[0] === "r" || isUnsaid(done[2]) || sameValue(done[2], micro[2]));
    if (!isAsAsked) return `was asked for ${textOf(micro)}, and answered with ${textOf(done)}`;
  }
  return undefined;
}

/** A client need not repeat what it wrote. */
function isUnsaid(value: unknown): boolean {
  return value === null || value === undefined;
}

/** A key or value for a sentence. */
export function textOf(value: unknown): string {
  const text =
    typeof value === "string" && /^\w+$/.test(value) ? value : (JSON.stringify(value) ?? "nothing");
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
