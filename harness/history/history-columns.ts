/**
 * A whole history as columns, a row for each operation in order of invocation: what `columnar-file.ts` keeps on disk. It
 * says everything `Operation` says, and gives the operations back one by one; texts and values are kept once each, as JSON,
 * and decoded when they are asked for.
 *
 * About 57 bytes an operation, and its texts. (The columns of one key that the checks work on are another, smaller thing:
 * columns.ts.)
 */
import { type History, HistoryError } from "./history.ts";
import type { Operation, Outcome, Readiness } from "./operation.ts";

/** In `returned` and `bound`: never. */
export const neverIndex = 0xffffffff;

const outcomes: readonly Outcome[] = ["ok", "fail", "info"];

/** Bits of `flags` above the outcome. */
const flag = { outcome: 3, readBack: 4, hasMatched: 8, matched: 16, all: 31 } as const;

/** Columns that every history has, and the length of an element in bytes. */
const requiredColumns = {
  /** Index of the outcome, and bits. */
  flags: Uint8Array,
  process: Uint32Array,
  /** Indexes of events of the history. */
  call: Uint32Array,
  returned: Uint32Array,
  bound: Uint32Array,
  incarnation: Uint32Array,
  /** Numbers of texts, each the JSON of a string. */
  f: Uint32Array,
  workload: Uint32Array,
  key: Uint32Array,
  node: Uint32Array,
  /** Numbers of texts, plus one; 0 for undefined. */
  input: Uint32Array,
  output: Uint32Array,
  error: Uint32Array,
  /** ns since the run's start. */
  calledAt: Float64Array,
  returnedAt: Float64Array,
} as const;

/** Columns that are there when an operation has such a member; NaN for one that has not. */
const optionalColumns = {
  syncsBegun: Float64Array,
  syncCompleted: Float64Array,
  replyPort: Float64Array,
  replyBytes: Float64Array,
} as const;

/** In the order in which a file has them. */
export const columnTypes = { ...requiredColumns, ...optionalColumns };

export type ColumnName = keyof typeof columnTypes;

export function isOptional(name: ColumnName): boolean {
  return name in optionalColumns;
}

type Required = {
  readonly [Name in keyof typeof requiredColumns]: InstanceType<(typeof requiredColumns)[Name]>;
};
type Optional = { readonly [Name in keyof typeof optionalColumns]?: Float64Array };

export type TableColumns = Required & Optional;

/** Distinct JSON texts, by number. */
export interface Texts {
  readonly count: number;
  /** The JSON of one. */
  at(number: number): string;
}

/** A history of columns. */
export class HistoryColumns {
  readonly count: number;
  readonly columns: TableColumns;
  readonly texts: Texts;
  readonly readiness: readonly Readiness[];
  /** Decoded so far. */
  readonly #values: unknown[] = [];

  /** @throws HistoryError when the columns contradict themselves, as those of a damaged file may. */
  constructor(columns: TableColumns, texts: Texts, readiness: readonly Readiness[]) {
    this.count = columns.flags.length;
    this.columns = columns;
    this.texts = texts;
    this.readiness = readiness;
    this.#validate();
  }

  /** One operation, made anew. @throws HistoryError when a value of it is not JSON. */
  operationAt(row: number): Operation {
    const { columns: c } = this;
    const flags = c.flags[row]!;
    const [output, error] = [c.output[row]!, c.error[row]!];
    return {
      process: c.process[row]!,
      workload: this.#value(c.workload[row]!) as string,
      f: this.#value(c.f[row]!) as string,
      key: this.#value(c.key[row]!) as string,
      input: c.input[row] === 0 ? undefined : this.#value(c.input[row]! - 1),
      outcome: outcomes[flags & flag.outcome]!,
      output: output === 0 ? undefined : this.#value(output - 1),
      ...(flags & flag.hasMatched ? { matched: (flags & flag.matched) !== 0 } : {}),
      ...(error === 0 ? {} : { error: this.#value(error - 1) as string }),
      call: c.call[row]!,
      return: indexOrNever(c.returned[row]!),
      bound: indexOrNever(c.bound[row]!),
      calledAt: c.calledAt[row]!,
      returnedAt: c.returnedAt[row]!,
      node: this.#value(c.node[row]!) as string,
      incarnation: c.incarnation[row]!,
      readBack: (flags & flag.readBack) !== 0,
      ...this.#optionalMembers(row),
    };
  }

  /** All of them. */
  toHistory(): History {
    const operations = Array.from({ length: this.count }, (_, row) => this.operationAt(row));
    return { operations, readiness: this.readiness };
  }

  #optionalMembers(row: number): Partial<Operation> {
    const members: Record<string, number> = {};
    for (const name of Object.keys(optionalColumns) as (keyof typeof optionalColumns)[]) {
      const value = this.columns[name]?.[row];
      if (value !== undefined && !Number.isNaN(value)) members[name] = value;
    }
    return members;
  }

  #value(number: number): unknown {
    if (number in this.#values) return this.#values[number];
    try {
      this.#values[number] = JSON.parse(this.texts.at(number));
    } catch (error) {
      throw new HistoryError(`text ${number} of the columnar history is not JSON`, { cause: error });
    }
    return this.#values[number];
  }

  #validate(): void {
    const { columns: c, texts } = this;
    const names = new Uint8Array(texts.count);
    const bad = (row: number, what: string) =>
      new HistoryError(`row ${row} of the columnar history: ${what}`);
    for (let row = 0; row < this.count; row++) {
      const flags = c.flags[row]!;
      if (flags > flag.all || (flags & flag.outcome) === flag.outcome) throw bad(row, "it has no outcome");
      if (row > 0 && c.call[row]! <= c.call[row - 1]!) throw bad(row, "it was not sent after the one before");
      if (c.returned[row]! <= c.call[row]! || c.bound[row]! <= c.call[row]!)
        throw bad(row, "it ended before it was sent");
      for (const number of [c.f[row]!, c.workload[row]!, c.key[row]!, c.node[row]!]) {
        if (number >= texts.count) throw bad(row, "it names a text that is not there");
        names[number] = 1;
      }
      if (c.input[row]! > texts.count || c.output[row]! > texts.count || c.error[row]! > texts.count)
        throw bad(row, "it names a text that is not there");
      if (c.error[row]! > 0) names[c.error[row]! - 1] = 1;
      if (!(c.calledAt[row]! >= 0 && c.returnedAt[row]! >= 0)) throw bad(row, "it has no time");
    }
    names.forEach((used, number) => {
      if (used && typeof this.#value(number) !== "string")
        throw new HistoryError(`text ${number} of the columnar history is used as a name, and is no string`);
    });
  }
}

function indexOrNever(index: number): number {
  return index === neverIndex ? Number.POSITIVE_INFINITY : index;
}

/**
 * The columns of a history.
 *
 * @throws HistoryError for what has no place in them: events beyond the first four billion, values that are no JSON.
 */
export function historyColumns(history: History): HistoryColumns {
  const { operations } = history;
  const table = new TextTable();
  const columns = Object.fromEntries(
    Object.entries(columnTypes)
      .filter(
        ([name]) => !isOptional(name as ColumnName) || operations.some((operation) => name in operation),
      )
      .map(([name, Type]) => [name, new Type(operations.length)]),
  ) as unknown as TableColumns;
  for (const [row, operation] of operations.entries()) fill(columns, row, operation, table);
  return new HistoryColumns(columns, table, history.readiness);
}

function fill(c: TableColumns, row: number, operation: Operation, texts: TextTable): void {
  const matched =
    operation.matched === undefined ? 0 : flag.hasMatched | (operation.matched ? flag.matched : 0);
  c.flags[row] = outcomes.indexOf(operation.outcome) | (operation.readBack ? flag.readBack : 0) | matched;
  c.process[row] = whole(operation.process, row);
  c.call[row] = whole(operation.call, row);
  c.returned[row] = operation.return === Number.POSITIVE_INFINITY ? neverIndex : whole(operation.return, row);
  c.bound[row] = operation.bound === Number.POSITIVE_INFINITY ? neverIndex : whole(operation.bound, row);
  c.incarnation[row] = whole(operation.incarnation, row);
  c.f[row] = texts.numberOf(operation.f) - 1;
  c.workload[row] = texts.numberOf(operation.workload) - 1;
  c.key[row] = texts.numberOf(operation.key) - 1;
  c.node[row] = texts.numberOf(operation.node) - 1;
  c.input[row] = texts.numberOf(operation.input);
  c.output[row] = texts.numberOf(operation.output);
  c.error[row] = texts.numberOf(operation.error);
  c.calledAt[row] = operation.calledAt;
  c.returnedAt[row] = operation.returnedAt;
  for (const name of Object.keys(optionalColumns) as (keyof typeof optionalColumns)[]) {
    const column = c[name];
    if (column) column[row] = operation[name] ?? Number.NaN;
  }
}

function whole(value: number, row: number): number {
  if (Number.isInteger(value) && value >= 0 && value < neverIndex) return value;
  throw new HistoryError(`row ${row} has ${value}, for which a columnar history has no place`);
}

/** Texts, each kept once. */
class TextTable implements Texts {
  readonly #numbers = new Map<string, number>();
  readonly #texts: string[] = [];

  get count(): number {
    return this.#texts.length;
  }

  at(number: number): string {
    return this.#texts[number]!;
  }

  /** The number of a value's JSON, plus one; 0 for undefined. */
  numberOf(value: unknown): number {
    if (value === undefined) return 0;
    const text = JSON.stringify(value);
    if (text === undefined) throw new HistoryError(`a ${typeof value} has no JSON`);
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#texts.push(text);
    this.#numbers.set(text, this.#texts.length);
    return this.#texts.length;
  }
}
