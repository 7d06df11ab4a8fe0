/**
 * One key of a register or key-value workload: which method judges it, and what is wrong with it.
 *
 * The operations become columns (register-columns.ts, which also says which keys leave the exact method). Without deletes
 * the rule over zones decides (zones.ts); with deletes it is followed by the schedule of nil (deletes.ts); what neither
 * covers is searched (search.ts). A violation found by either of the latter two is cut down to the shortest prefix of the
 * history that shows it: linearizability is prefix-closed, so that is a bisection.
 */
import type { KeyColumns } from "../../history/columns.ts";
import type { Operation } from "../../history/operation.ts";
import { incrementedTo, registerModel, registerValue, removedBy } from "../../models/register.ts";
import { searchedRegister } from "../../models/searched-register.ts";
import { KeyBlocks } from "./blocks.ts";
import { type Conflict, type RowConflict, resolved } from "./conflict.ts";
import { NilSchedule } from "./deletes.ts";
import { prefixUpTo } from "./longest-prefix.ts";
import { registerColumns } from "./register-columns.ts";
import { Search, type SearchProgress } from "./search.ts";
import { conflictingZones, witnessOfZones } from "./zones.ts";

/** A check that can be advanced in slices of time. */
export interface KeySearch {
  advance(untilMs: number): SearchProgress;
  witness(): Operation[];
}

export type KeyAnalysis =
  | { readonly verdict: true; readonly witness: () => Operation[] }
  | { readonly verdict: false; readonly conflicts: readonly Conflict[]; readonly count: number }
  /** `uncovered`: why the exact method does not apply; undefined for a key with deletes, which it does cover. */
  | { readonly verdict: "open"; readonly search: KeySearch; readonly uncovered: string | undefined }
  /** Not even a search can judge it. */
  | { readonly verdict: "refused"; readonly reason: string };

/** What the exact method says of columns; rows and values by their numbers. */
export type ColumnsAnalysis =
  | { readonly verdict: true; readonly witness: () => Int32Array }
  | { readonly verdict: false; readonly conflicts: readonly RowConflict[]; readonly count: number }
  | { readonly verdict: "open"; readonly schedule: NilSchedule }
  | { readonly verdict: "uncovered"; readonly reason: string };

/**
 * The exact method alone, on columns alone: linear in the rows.
 *
 * @param initial number of the value at the beginning; `nil` for none.
 */
export function analyseColumns(columns: KeyColumns, initial: number): ColumnsAnalysis {
  const blocks = new KeyBlocks(columns, initial);
  if (blocks.uncovered) return { verdict: "uncovered", reason: blocks.uncovered };
  const zones = conflictingZones(blocks);
  const count = blocks.conflictCount + zones.count;
  if (count > 0) return { verdict: false, conflicts: [...blocks.conflicts, ...zones.conflicts], count };
  if (!blocks.hasDeletes) return { verdict: true, witness: () => witnessOfZones(blocks) };
  return { verdict: "open", schedule: new NilSchedule(blocks) };
}

/** @param initial the key's value at the beginning; null for none. */
export function analyseKey(operations: readonly Operation[], initial: string | null): KeyAnalysis {
  const refused = firstRefusal(operations);
  if (refused) return { verdict: "refused", reason: refused };
  const ordered = inOrderOfCalls(operations);
  const rows = registerColumns(ordered, initial);
  if (rows.uncovered) return searched(operations, initial, rows.uncovered);
  const analysis = analyseColumns(rows.columns, rows.initial);
  const found = [...rows.conflicts, ...(analysis.verdict === false ? analysis.conflicts : [])];
  if (found.length > 0) {
    const conflicts = found.map((conflict) => resolved(conflict, ordered, rows.texts));
    const count = rows.conflicts.length + (analysis.verdict === false ? analysis.count : 0);
    return { verdict: false, conflicts, count };
  }
  const operationsOf = (witness: Int32Array) => Array.from(witness, (row) => ordered[row]!);
  switch (analysis.verdict) {
    case "uncovered":
      return searched(operations, initial, analysis.reason);
    case "open": {
      const { schedule } = analysis;
      const search: KeySearch = {
        advance: (untilMs) => schedule.advance(untilMs),
        witness: () => operationsOf(schedule.witness()),
      };
      return { verdict: "open", search, uncovered: undefined };
    }
    case true:
      return { verdict: true, witness: () => operationsOf(analysis.witness()) };
    default:
      throw new Error("a violation without a contradiction");
  }
}

function searched(operations: readonly Operation[], initial: string | null, uncovered: string): KeyAnalysis {
  return {
    verdict: "open",
    search: new Search({ ...searchedRegister, init: () => initial }, operations),
    uncovered,
  };
}

/** Why the key cannot be judged at all; undefined when it can. */
function firstRefusal(operations: readonly Operation[]): string | undefined {
  let increments = false;
  let isText = false;
  for (const operation of operations) {
    const reason = registerModel.refuses(operation);
    if (reason) return reason;
    if (operation.f === "increment") increments = true;
    else if (operation.f === "read" && typeof operation.output === "string") {
      isText ||= /^-?[0-9]+$/.test(operation.output);
    }
  }
  return increments && isText
    ? "its reads returned numbers as text and its increments as numbers; both must be recorded as numbers"
    : undefined;
}

/** Histories are in order of invocation; one that is not (made by hand) is put into it. */
function inOrderOfCalls(operations: readonly Operation[]): readonly Operation[] {
  for (let i = 1; i < operations.length; i++) {
    if (operations[i]!.call < operations[i - 1]!.call) return [...operations].sort((a, b) => a.call - b.call);
  }
  return operations;
}

/** The verdict on one key, within a time; undefined when there was too little of it, or the key cannot be judged. */
export function judgeKey(
  operations: readonly Operation[],
  initial: string | null,
  untilMs: number,
): boolean | undefined {
  const analysis = analyseKey(operations, initial);
  if (analysis.verdict === "refused") return undefined;
  if (analysis.verdict !== "open") return analysis.verdict;
  const progress = analysis.search.advance(untilMs);
  return typeof progress === "boolean" ? progress : undefined;
}

/**
 * Explains a key that a search found to be violated: the operation whose completion made it so, and what it contradicts.
 *
 * @param untilMs `performance.now()` at which the cutting stops; the conflict then names a later operation than it might.
 */
export function explainViolation(
  operations: readonly Operation[],
  initial: string | null,
  untilMs: number,
): Conflict {
  const completed = operations
    .filter((operation) => operation.outcome === "ok")
    .sort((a, b) => a.return - b.return);
  let [low, high] = [0, completed.length - 1];
  while (low < high && performance.now() < untilMs) {
    const middle = (low + high) >> 1;
    const prefix = prefixUpTo(operations, completed[middle]!.return);
    if (judgeKey(prefix, initial, untilMs) === false) high = middle;
    else low = middle + 1;
  }
  const culprit = completed[high]!;
  const before = operations.filter(
    (operation) => operation.call < culprit.return && operation.outcome !== "fail",
  );
  return (
    contradiction(before, culprit) ?? {
      type: "stuck",
      operation: culprit,
      operations: around(before, culprit),
    }
  );
}

/** The writer of what the culprit saw, and whatever ended last before it. */
function around(before: readonly Operation[], culprit: Operation): Operation[] {
  const seen = shown(culprit).saw;
  const writer = before.find((operation) => seen && shown(operation).left === seen);
  const others = before.filter((operation) => operation !== culprit && operation !== writer);
  const latest = others.sort((a, b) => a.bound - b.bound).slice(-4);
  return [...(writer ? [writer] : []), ...latest];
}

/** What an operation found and what it left, where null means nil and undefined means that it does not say. */
interface Shown {
  readonly saw?: string | null;
  readonly left?: string | null;
  /** It found some value, whichever it was. */
  readonly sawSome?: true;
}

function shown(operation: Operation): Shown {
  const isOk = operation.outcome === "ok";
  switch (operation.f) {
    case "write":
      return { left: registerValue(operation.input) };
    case "cas": {
      const [expected, next] = operation.input as readonly [unknown, unknown];
      if (operation.matched !== false) return { saw: registerValue(expected), left: registerValue(next) };
      return operation.output === undefined ? {} : sawAndLeft(registerValue(operation.output));
    }
    case "increment":
      return isOk ? incremented(incrementedTo(operation)) : {};
    case "read":
      return isOk ? sawAndLeft(registerValue(operation.output)) : {};
    default:
      if (!isOk || removedBy(operation) === undefined) return { left: null };
      return removedBy(operation) === 0 ? { saw: null, left: null } : { sawSome: true, left: null };
  }
}

function sawAndLeft(value: string | null): Shown {
  return { saw: value, left: value };
}

/** From one number to the next; where it may have begun from nothing, or by how much is not known, only what it left. */
function incremented(to: number | undefined): Shown {
  return to === undefined ? { sawSome: true } : { left: registerValue(to) };
}

function changes(operation: Operation): boolean {
  return shown(operation).left !== undefined && shown(operation).saw !== shown(operation).left;
}

/**
 * Two operations that contradict each other whatever else happened: one that left the key in a state, and the culprit,
 * sent after that one had ended, which found the key in another, with nothing in between that could have changed it.
 */
function contradiction(before: readonly Operation[], culprit: Operation): Conflict | undefined {
  const { saw, sawSome } = shown(culprit);
  if (typeof saw === "string") return overwrittenYetSeen(before, culprit, saw);
  const makesItSo = (operation: Operation) =>
    changes(operation) && (sawSome ? shown(operation).left !== null : shown(operation).left === null);
  const contrary = (operation: Operation) =>
    operation.outcome === "ok" &&
    operation !== culprit &&
    shown(operation).left !== undefined &&
    (shown(operation).left === null) === (sawSome === true);
  const knew = latest(
    before.filter(
      (operation) =>
        contrary(operation) &&
        operation.return < culprit.call &&
        !before.some(
          (other) =>
            other !== culprit &&
            makesItSo(other) &&
            other.bound > operation.call &&
            other.call < culprit.return,
        ),
    ),
  );
  if (!knew) return undefined;
  const left = shown(knew).left;
  const newerWriter = changes(knew)
    ? knew
    : before.find((op) => changes(op) && shown(op).left === left && left !== null);
  return order(before, knew, culprit, newerWriter, undefined);
}

function overwrittenYetSeen(
  before: readonly Operation[],
  culprit: Operation,
  saw: string,
): Conflict | undefined {
  const writer = before.find((operation) => changes(operation) && shown(operation).left === saw);
  if (!writer) return undefined;
  const knew = latest(
    before.filter(
      (operation) =>
        operation.outcome === "ok" &&
        changes(operation) &&
        shown(operation).left !== saw &&
        writer.bound < operation.call &&
        operation.return < culprit.call,
    ),
  );
  return knew && order(before, knew, culprit, knew, writer);
}

/** Changes before observations, then the one sent last. */
function latest(operations: readonly Operation[]): Operation | undefined {
  const changing = operations.filter(changes);
  return (changing.length > 0 ? changing : operations).reduce<Operation | undefined>(
    (best, operation) => (best && best.call > operation.call ? best : operation),
    undefined,
  );
}

function order(
  before: readonly Operation[],
  knew: Operation,
  later: Operation,
  newerWriter: Operation | undefined,
  olderWriter: Operation | undefined,
): Conflict {
  const { left } = shown(knew);
  const observers = () =>
    before.filter(
      (operation) =>
        operation !== later &&
        (operation === knew || (operation.call > knew.call && shown(operation).saw === left)),
    );
  return {
    type: "order",
    knew,
    later,
    newerWriter,
    olderWriter,
    ...(olderWriter ? { before: firstSightOf(olderWriter, before, knew), between: knew } : {}),
    observers,
  };
}

/** An acknowledged observation of what an indeterminate write wrote, if there is one; else the write itself. */
function firstSightOf(writer: Operation, before: readonly Operation[], until: Operation): Operation {
  if (writer.outcome === "ok") return writer;
  const { left } = shown(writer);
  return (
    before.find((seen) => seen.outcome === "ok" && seen.return < until.call && shown(seen).saw === left) ??
    writer
  );
}
