/**
 * Does a unique index keep values unique? One key per table.
 *
 * Operations: `insert` of {id, unique}, `ok` when accepted, `fail` when refused · `delete` of {id} · `read` → all
 * rows, as [{id, unique}, …]. Ids are given once. Verified:
 * - two acknowledged inserts of one unique value: a delete of either row must have been sent before the other insert ended, since
 *   otherwise both held the value at once;
 * - no read shows two rows with one unique value, a row twice, or a row that nobody inserted with that value.
 * A table with other operations (an update) is not judged. A delete that failed removed nothing; one that was never answered may have. Not verified: that a refusal was
 * right; three or more holders whose deletes fit pairwise only; rows that are missing (sets.ts).
 */
import { byKey, type History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import type { CheckContext, CheckResult, Finding, FindingKind } from "./contract.ts";
import { Gathering, inOrder, seconds } from "./findings.ts";
import { unknownOperation } from "./known-operations.ts";
import { comparable, textOf } from "./transactions/transaction.ts";

interface Row {
  readonly id: unknown;
  readonly unique: unknown;
}

/** Holders of one value that are compared with each other; more are compared with their neighbours only. */
const comparedAtOnce = 500;

/** Checks every table of the history. */
export function checkUniqueIndex(history: History, context: CheckContext): CheckResult {
  const gathering = new Gathering("unique index", context);
  const keys = byKey(history.operations);
  for (const [key, operations] of keys) {
    if (performance.now() > gathering.endsAt) {
      gathering.reasons.push(`the time was up after ${gathering.checked.tables ?? 0} of ${keys.size} tables`);
      break;
    }
    gathering.count("tables", 1);
    const unknown = unknownOperation(operations, ["insert", "delete", "read"], "a table here");
    if (unknown) gathering.reasons.push(`table ${key}: ${unknown}`);
    else new Inspection(key, operations, gathering).run();
  }
  gathering.count("operations", history.operations.length);
  if (!gathering.checked.accepted) gathering.reasons.push("no insert was accepted");
  return gathering.result(history.operations[0]?.workload);
}

class Inspection {
  readonly #key: string;
  readonly #operations: readonly Operation[];
  readonly #gathering: Gathering;
  /** By id. */
  readonly #inserts = new Map<unknown, Operation>();
  readonly #deletes = new Map<unknown, Operation>();
  readonly #found = new Map<FindingKind, Finding>();

  constructor(key: string, operations: readonly Operation[], gathering: Gathering) {
    this.#key = key;
    this.#operations = operations;
    this.#gathering = gathering;
  }

  run(): void {
    for (const operation of this.#operations) this.#sort(operation);
    for (const holders of this.#holders().values()) this.#compareHolders(holders);
    for (const operation of this.#operations) {
      if (operation.f === "read" && operation.outcome === "ok") this.#checkRead(operation);
    }
    this.#gathering.findings.push(...this.#found.values());
  }

  #sort(operation: Operation): void {
    if (operation.f === "read") return;
    const row = rowOf(operation.input);
    if (!row) {
      this.#gathering.reasons.push(
        `table ${this.#key}: ${operation.f} of ${textOf(operation.input)}, which has no id`,
      );
      return;
    }
    const id = comparable(row.id);
    if (operation.f === "delete") {
      // The first that may have removed the row: the earlier, the more it excuses.
      if (operation.outcome !== "fail" && !this.#deletes.has(id)) this.#deletes.set(id, operation);
      return;
    }
    if (operation.outcome === "ok") this.#gathering.count("accepted", 1);
    if (operation.outcome === "fail") this.#gathering.count("refused", 1);
    const before = this.#inserts.get(id);
    if (before && before.outcome !== "fail" && operation.outcome !== "fail") {
      this.#gathering.reasons.push(`table ${this.#key}: the id ${textOf(row.id)} was inserted twice`);
    } else if (!before || operation.outcome !== "fail") this.#inserts.set(id, operation);
  }

  /** Acknowledged inserts by unique value, in order of their ends. */
  #holders(): Map<unknown, Operation[]> {
    const holders = new Map<unknown, Operation[]>();
    for (const insert of this.#inserts.values()) {
      if (insert.outcome !== "ok") continue;
      const value = comparable(rowOf(insert.input)!.unique);
      const others = holders.get(value);
      if (others) others.push(insert);
      else holders.set(value, [insert]);
    }
    for (const same of holders.values()) same.sort((a, b) => a.return - b.return);
    return holders;
  }

  #compareHolders(holders: readonly Operation[]): void {
    if (holders.length > comparedAtOnce) {
      this.#gathering.notChecked.push(`holders of one value that are more than ${comparedAtOnce} apart`);
    }
    for (const [i, first] of holders.entries()) {
      for (const second of holders.slice(i + 1, i + comparedAtOnce)) {
        if (this.#mayBeGone(first, second) || this.#mayBeGone(second, first)) continue;
        const value = textOf(rowOf(first.input)!.unique);
        this.#find(
          "unique-violated",
          [first, second, this.#deleteOf(first), this.#deleteOf(second)],
          `${rowText(first)} and ${rowText(second)} were both accepted with ${value}, and no delete of either was sent before the other had been accepted`,
        );
      }
    }
  }

  /** Could `holder`'s row have been removed before the other insert took effect? */
  #mayBeGone(holder: Operation, other: Operation): boolean {
    const removal = this.#deleteOf(holder);
    return removal !== undefined && removal.call < other.return;
  }

  #deleteOf(insert: Operation): Operation | undefined {
    return this.#deletes.get(comparable(rowOf(insert.input)!.id));
  }

  #checkRead(read: Operation): void {
    if (!Array.isArray(read.output)) {
      this.#gathering.reasons.push(
        `table ${this.#key}: ${at(read)} is no list of rows (${textOf(read.output)})`,
      );
      return;
    }
    this.#gathering.count("reads", 1);
    const ids = new Set<unknown>();
    const holders = new Map<unknown, unknown>();
    for (const shown of read.output as unknown[]) {
      const row = rowOf(shown);
      const [id, unique] = [comparable(row?.id), comparable(row?.unique)];
      const insert = this.#inserts.get(id);
      if (!row || !isFrom(insert, unique)) {
        const why = insert?.outcome === "fail" ? "whose insert was refused" : "which nobody inserted";
        this.#find("phantom-value", [insert, read], `${at(read)} shows the row ${textOf(shown)}, ${why}`);
        continue;
      }
      if (ids.has(id)) {
        this.#find("duplicate-elements", [insert, read], `${at(read)} shows the row ${textOf(row.id)} twice`);
      } else if (holders.has(unique)) {
        const other = this.#inserts.get(holders.get(unique));
        this.#find(
          "unique-violated",
          [other, insert, read],
          `${at(read)} shows the rows ${textOf(holders.get(unique))} and ${textOf(row.id)}, both with ${textOf(row.unique)}`,
        );
      }
      ids.add(id);
      holders.set(unique, id);
    }
  }

  #find(kind: FindingKind, operations: readonly (Operation | undefined)[], what: string): void {
    const known = this.#found.get(kind);
    const shown = known?.operations ?? inOrder(operations);
    const workload = shown[0]?.workload;
    this.#found.set(kind, {
      kind,
      ...(workload ? { workload } : {}),
      key: this.#key,
      operations: shown,
      sentence: known?.sentence ?? `table ${this.#key}: ${what}`,
      count: (known?.count ?? 0) + 1,
    });
  }
}

function isFrom(insert: Operation | undefined, unique: unknown): boolean {
  return (
    insert !== undefined && insert.outcome !== "fail" && comparable(rowOf(insert.input)?.unique) === unique
  );
}

function rowOf(value: unknown): Row | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { id, unique } = value as Partial<Row>;
  return id === undefined || id === null ? undefined : { id, unique };
}

function rowText(insert: Operation): string {
  return `row ${textOf(rowOf(insert.input)!.id)} (client ${insert.process}, at ${seconds(insert.returnedAt)})`;
}

function at(operation: Operation): string {
  return `the read by client ${operation.process} sent at ${seconds(operation.calledAt)}`;
}
