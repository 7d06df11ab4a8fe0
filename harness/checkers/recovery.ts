/**
 * What survived each restart, across keys: compared are the last read-back before an incarnation's load and the first one
 * after the restart that ended it.
 *
 * Verified, whatever the promise: an operation that survived was not sent after one had been acknowledged that did not
 * survive (reordered recovery): a log is lost from its end.
 * Verified, where the promise is only "a prefix": what came back is what was there before or was written since, and no
 * acknowledgement older than the promised bound is lost; the loss is measured. (Under "everything acknowledged" the
 * checks over whole histories find all of that.)
 * Only certain fates count: an operation is lost when something that it followed in real time is the last thing there.
 * Not verified: keys that were not read back on both sides, and which of two overlapping operations came first.
 */
import type { History } from "../history/history.ts";
import { byKey } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import { quote, registerValue, removedBy, showValue } from "../models/register.ts";
import type { CheckContext, Finding } from "./contract.ts";
import { type Gathering, inOrder, seconds } from "./findings.ts";

/** What became of one key's operations of one incarnation. */
export interface Fates {
  /** Acknowledged, and certainly not there any more. */
  readonly lost: readonly Operation[];
  /** Certainly still there. */
  readonly survived: readonly Operation[];
  /** What came back and cannot have: neither there before, nor written since. */
  readonly impossible?: Pick<Finding, "kind" | "sentence">;
}

/**
 * Judges one key across one restart.
 *
 * @param before the key at the start of the incarnation: the output of its read-back; undefined for a new key.
 * @param operations of that incarnation, without the read-back.
 * @param after the first read-back after the restart.
 */
export type FatesOf = (before: unknown, operations: readonly Operation[], after: Operation) => Fates;

/** True when the store does not promise that everything acknowledged survives a process crash. */
export function losesByPromise(context: CheckContext): boolean {
  return context.promise.processCrash.survives === "a prefix";
}

/** Incarnations that occur in a history, ascending. */
function incarnationsOf(operations: Iterable<Operation>): number[] {
  const found = new Set<number>();
  for (const operation of operations) found.add(operation.incarnation);
  return [...found].sort((a, b) => a - b);
}

/** One key in one incarnation, and the state it begins with. */
export interface IncarnationPart<State> {
  readonly key: string;
  readonly operations: readonly Operation[];
  readonly initial: State;
}

/**
 * Cuts every key's history at the restarts, for promises that allow loss: each incarnation begins with what its first
 * read-back found. Keys that were not read back after a restart are left out of that incarnation, and counted.
 *
 * @param initialOf the state of a key before the first incarnation, given `undefined`; after that, given the output.
 */
export function* splitByIncarnation<State>(
  keys: ReadonlyMap<string, readonly Operation[]>,
  initialOf: (key: string, readBack: Operation | undefined) => State,
  gathering: Gathering,
): Generator<IncarnationPart<State>> {
  const first = incarnationsOf([...keys.values()].flat())[0];
  for (const [key, all] of keys) {
    for (const incarnation of incarnationsOf(all)) {
      const operations = all.filter((operation) => operation.incarnation === incarnation);
      const readBack = incarnation === first ? undefined : firstReadBack(operations);
      if (incarnation !== first && !readBack) {
        gathering.count("keysNotReadBack", 1);
        gathering.notChecked.push("keys in incarnations in which they were not read back after the restart");
        continue;
      }
      yield { key, operations, initial: initialOf(key, readBack) };
    }
  }
}

function firstReadBack(operations: readonly Operation[]): Operation | undefined {
  return operations.find((operation) => operation.readBack && operation.outcome === "ok");
}

/** Checks every restart of the history, and adds what it finds. The operations must all be of one workload. */
export function checkRecovery(
  history: History,
  context: CheckContext,
  gathering: Gathering,
  fatesOf: FatesOf,
): void {
  const incarnations = incarnationsOf(history.operations);
  const keys = byKey(history.operations);
  for (let i = 1; i < incarnations.length; i++) {
    const restart = new Restart(incarnations[i - 1]!, incarnations[i]!, i === 1);
    for (const operations of keys.values()) restart.add(operations, fatesOf);
    restart.report(context, gathering);
  }
}

/** One restart, with the fates of all keys. */
class Restart {
  readonly #before: number;
  readonly #after: number;
  readonly #isFirst: boolean;
  readonly #lost: { operation: Operation; readBack: Operation }[] = [];
  #lastSurvivor: { operation: Operation; readBack: Operation } | undefined;
  readonly #impossible: Finding[] = [];
  #lastAcknowledgedAt = 0;

  constructor(before: number, after: number, isFirst: boolean) {
    this.#before = before;
    this.#after = after;
    this.#isFirst = isFirst;
  }

  add(operations: readonly Operation[], fatesOf: FatesOf): void {
    const mine = operations.filter((operation) => operation.incarnation === this.#before);
    for (const { outcome, returnedAt } of mine) {
      if (outcome === "ok") this.#lastAcknowledgedAt = Math.max(this.#lastAcknowledgedAt, returnedAt);
    }
    const readBack = firstReadBack(operations.filter((operation) => operation.incarnation === this.#after));
    const baseline = firstReadBack(mine);
    if (!readBack || (!this.#isFirst && !baseline)) return;
    const fates = fatesOf(this.#isFirst ? undefined : baseline?.output, mine, readBack);
    for (const operation of fates.lost) this.#lost.push({ operation, readBack });
    for (const operation of fates.survived) {
      if (!this.#lastSurvivor || operation.call > this.#lastSurvivor.operation.call) {
        this.#lastSurvivor = { operation, readBack };
      }
    }
    if (fates.impossible) {
      const { workload, key } = readBack;
      this.#impossible.push({
        ...fates.impossible,
        workload,
        key,
        operations: inOrder([baseline, readBack]),
      });
    }
  }

  report(context: CheckContext, gathering: Gathering): void {
    gathering.count("restarts", 1);
    this.#reportReordering(gathering);
    const { processCrash } = context.promise;
    if (processCrash.survives !== "a prefix") return;
    gathering.findings.push(...this.#impossible);
    gathering.count("acknowledgedOperationsLost", this.#lost.length);
    this.#reportLoss(processCrash.lossMsMax, gathering);
  }

  #reportReordering(gathering: Gathering): void {
    const survivor = this.#lastSurvivor;
    if (!survivor) return;
    const overtaken = this.#lost.filter(({ operation }) => operation.return < survivor.operation.call);
    const first = overtaken.sort((a, b) => a.operation.return - b.operation.return)[0];
    if (!first) return;
    const { operation, readBack } = first;
    gathering.findings.push({
      kind: "reordered-recovery",
      workload: operation.workload,
      key: operation.key,
      operations: inOrder([operation, survivor.operation, readBack, survivor.readBack]),
      sentence: `after restart ${this.#after} the ${named(survivor.operation)} on key ${survivor.operation.key}, sent at ${seconds(survivor.operation.calledAt)}, is there, but the ${named(operation)} on key ${operation.key}, acknowledged before that at ${seconds(operation.returnedAt)}, is not`,
      count: overtaken.length,
    });
  }

  #reportLoss(lossMsMax: number, gathering: Gathering): void {
    const oldest = this.#lost.sort((a, b) => a.operation.returnedAt - b.operation.returnedAt)[0];
    if (!oldest) return;
    // The crash came after the last acknowledgement, so this is a lower bound of the loss.
    const lossMs = (this.#lastAcknowledgedAt - oldest.operation.returnedAt) / 1e6;
    gathering.checked.lossMsMeasured = Math.max(gathering.checked.lossMsMeasured ?? 0, lossMs);
    if (lossMs <= lossMsMax) return;
    const { operation, readBack } = oldest;
    gathering.findings.push({
      kind: "lost-acknowledged-write",
      workload: operation.workload,
      key: operation.key,
      operations: inOrder([operation, readBack]),
      sentence: `key ${operation.key}: the ${named(operation)} was acknowledged at ${seconds(operation.returnedAt)}, ${lossMs.toFixed(0)} ms before the last acknowledgement, and is gone after restart ${this.#after}; the promise allows a loss of ${lossMsMax} ms`,
      count: this.#lost.length,
    });
  }
}

function named(operation: Operation): string {
  return `${operation.f}${operation.input === undefined || operation.input === null ? "" : ` of ${quote(operation.input)}`} (client ${operation.process})`;
}

/** Registers and keys: the value that is there names the write that survived. */
export const registerFates: FatesOf = (before, operations, after) => {
  const base = registerValue(before);
  const found = registerValue(after.output);
  const writes = operations.filter(
    (operation) => operation.outcome !== "fail" && leaves(operation) !== undefined,
  );
  const acknowledged = writes.filter((operation) => operation.outcome === "ok");
  const deletes = writes.filter((operation) => operation.f === "delete");
  const candidates = found === null ? [] : writes.filter((operation) => leaves(operation) === found);
  // A number says nothing of which increments survived, nor a value written twice of which write did.
  if (candidates.length > 1 || operations.some(({ f }) => f === "increment"))
    return { lost: [], survived: [] };
  const [survivor] = candidates;
  if (survivor) {
    return {
      lost: acknowledged.filter((operation) => operation.call > survivor.bound),
      survived: [survivor],
    };
  }
  if (found === null && (base === null || deletes.length > 0)) {
    const undeleted = (operation: Operation) => deletes.every((other) => other.bound < operation.call);
    return { lost: acknowledged.filter((op) => op.f !== "delete" && undeleted(op)), survived: [] };
  }
  if (found === base) return { lost: acknowledged, survived: [] };
  return { lost: [], survived: [], impossible: impossibleValue(base, found, after) };
};

/** The value an operation leaves if it takes effect; undefined when it changes nothing. */
function leaves(operation: Operation): string | null | undefined {
  if (operation.f === "write") return registerValue(operation.input);
  if (operation.f === "cas" && operation.matched !== false) {
    return registerValue((operation.input as readonly unknown[])[1]);
  }
  if (operation.f !== "delete") return undefined;
  return operation.outcome === "ok" && removedBy(operation) === 0 ? undefined : null;
}

function impossibleValue(
  base: string | null,
  found: string | null,
  after: Operation,
): Fates["impossible"] & object {
  const where = `key ${after.key}: the read-back at ${seconds(after.calledAt)}, after restart ${after.incarnation},`;
  return found === null
    ? {
        kind: "lost-acknowledged-write",
        sentence: `${where} found nothing, but ${showValue(base)} had come back from the restart before and was not deleted since`,
      }
    : {
        kind: "resurrected-write",
        sentence: `${where} found ${showValue(found)}, which neither was there after the restart before nor was written since`,
      };
}
