/**
 * Who read which version of which key: what the weaker promises are judged by.
 *
 * Every write makes a version; the value a key has before any write is its initial version. A value names the version
 * when only one write wrote it. Where it does not (a value written twice; nil on a key with deletes), every write that
 * could have made it is a candidate, and each checker says what it does with such a read.
 * A write of unknown outcome made a version exactly if somebody read its value; otherwise it is left out. Refused
 * operations (`fail`) are left out, and so is a refused compare-and-set that did not say what it saw.
 */
import type { Operation } from "../../history/operation.ts";
import {
  compareAndSetOf,
  isRefusedCompare,
  type RegisterState,
  registerModel,
  registerValue,
  removedBy,
  showValue,
} from "../../models/register.ts";
import type { Finding } from "../contract.ts";
import { inOrder, seconds } from "../findings.ts";

export interface Version {
  readonly key: string;
  readonly value: RegisterState;
  /** Undefined: the value before any write. */
  readonly writer: Operation | undefined;
}

/** An operation that took effect, and the versions it touched. */
export interface Access {
  readonly operation: Operation;
  /** The versions it may have seen: one when the value names it; undefined when it is no observation. */
  readonly candidates: readonly Version[] | undefined;
  /** The one version it certainly saw. */
  readonly reads: Version | undefined;
  readonly writes: Version | undefined;
}

export interface Versions {
  /** In order of invocation. */
  readonly accesses: readonly Access[];
  /** Values nobody wrote, or that were read before their only write was sent. */
  readonly phantoms: readonly Finding[];
  /** Observations with more than one candidate. */
  readonly ambiguous: number;
  /** Why an operation cannot be judged as one of a register; undefined when all can. */
  readonly refused: string | undefined;
}

/** Values before the first operation; keys that are not named have none. */
export type InitialValues = ReadonlyMap<string, string | null>;

/** @param realTime false: a value may have been written by an operation that was sent only after it had been read. */
export function versionsOf(
  operations: readonly Operation[],
  initial: InitialValues = new Map(),
  realTime = true,
): Versions {
  const refused = operations.map(refusal).find((reason) => reason);
  if (refused) return { accesses: [], phantoms: [], ambiguous: 0, refused };
  const observed = observedValues(operations);
  const table = new VersionTable(initial);
  const effective = operations.filter((operation) => tookEffect(operation, observed));
  const written = new Map(effective.map((operation) => [operation, table.write(operation)]));
  const phantoms: Finding[] = [];
  let ambiguous = 0;
  const accesses = effective.flatMap((operation): Access[] => {
    const saw = seenBy(operation);
    const writes = written.get(operation);
    if (saw === undefined) return [{ operation, candidates: undefined, reads: undefined, writes }];
    const all = table.versions(operation.key, saw);
    const candidates = all.filter(
      ({ writer }) => writer !== operation && !(realTime && isLater(writer, operation)),
    );
    if (candidates.length === 0) {
      phantoms.push(phantom(operation, saw, all[0]?.writer));
      return [];
    }
    if (candidates.length > 1) ambiguous++;
    const reads = candidates.length === 1 ? candidates[0] : undefined;
    return [{ operation, candidates, reads, writes }];
  });
  return { accesses, phantoms, ambiguous, refused: undefined };
}

/** A number does not name the increment that left it. */
function refusal(operation: Operation): string | undefined {
  return operation.f === "increment"
    ? "increments are judged by linearizability only"
    : registerModel.refuses(operation);
}

/**
 * Numbers the sessions: a process, up to an operation of it that never got an answer and may have changed something. What
 * it does after that (acked's own retire) is another session: nobody knows whether that change comes before or after it.
 */
export function sessionNumbers(operations: readonly Operation[]): (operation: Operation) => number {
  const numbers = new Map<Operation, number>();
  const current = new Map<number, number>();
  let sessions = 0;
  for (const operation of operations) {
    const session = current.get(operation.process) ?? sessions++;
    numbers.set(operation, session);
    const ends = operation.outcome === "info" && !registerModel.readOnly(operation);
    if (ends) current.delete(operation.process);
    else current.set(operation.process, session);
  }
  return (operation) => numbers.get(operation)!;
}

/** The value an operation found: undefined when it does not say. */
export function seenBy(operation: Operation): RegisterState | undefined {
  if (operation.f === "read") return operation.outcome === "ok" ? registerValue(operation.output) : undefined;
  if (operation.f === "delete")
    return operation.outcome === "ok" && removedBy(operation) === 0 ? null : undefined;
  if (operation.f !== "cas") return undefined;
  if (!isRefusedCompare(operation)) return compareAndSetOf(operation)[0];
  return operation.output === undefined ? undefined : registerValue(operation.output);
}

/** The value an operation leaves if it takes effect: undefined when it changes nothing. */
export function leftBy(operation: Operation): RegisterState | undefined {
  if (operation.f === "write") return registerValue(operation.input);
  if (operation.f === "cas") return isRefusedCompare(operation) ? undefined : compareAndSetOf(operation)[1];
  if (operation.f !== "delete") return undefined;
  return operation.outcome === "ok" && removedBy(operation) === 0 ? undefined : null;
}

/** `"a"`, or what nil is called. */
export function versionName({ value, writer }: Version): string {
  if (value !== null) return showValue(value);
  return writer ? "nothing (deleted)" : "nothing";
}

class VersionTable {
  readonly #byKey = new Map<string, Map<RegisterState, Version[]>>();
  readonly #initial: InitialValues;

  constructor(initial: InitialValues) {
    this.#initial = initial;
  }

  write(operation: Operation): Version | undefined {
    const value = leftBy(operation);
    if (value === undefined) return undefined;
    const version: Version = { key: operation.key, value, writer: operation };
    const of = this.#ofKey(operation.key);
    const same = of.get(value);
    if (same) same.push(version);
    else of.set(value, [version]);
    return version;
  }

  versions(key: string, value: RegisterState): readonly Version[] {
    return this.#ofKey(key).get(value) ?? [];
  }

  #ofKey(key: string): Map<RegisterState, Version[]> {
    const known = this.#byKey.get(key);
    if (known) return known;
    const value = registerValue(this.#initial.get(key));
    const made = new Map<RegisterState, Version[]>([[value, [{ key, value, writer: undefined }]]]);
    this.#byKey.set(key, made);
    return made;
  }
}

function observedValues(operations: readonly Operation[]): Map<string, Set<RegisterState>> {
  const observed = new Map<string, Set<RegisterState>>();
  const note = (operation: Operation): void => {
    const saw = seenBy(operation);
    if (saw === undefined) return;
    const ofKey = observed.get(operation.key);
    if (ofKey) ofKey.add(saw);
    else observed.set(operation.key, new Set([saw]));
  };
  for (const operation of operations) if (operation.outcome === "ok") note(operation);
  // A compare-and-set of unknown outcome whose value was seen has itself seen what it expected, and so on.
  let unknown = operations.filter(({ outcome, f }) => outcome === "info" && f === "cas");
  for (let before = -1; before !== unknown.length; ) {
    before = unknown.length;
    unknown = unknown.filter((operation) => {
      if (!tookEffect(operation, observed)) return true;
      note(operation);
      return false;
    });
  }
  return observed;
}

function tookEffect(
  operation: Operation,
  observed: ReadonlyMap<string, ReadonlySet<RegisterState>>,
): boolean {
  if (operation.outcome === "ok") return true;
  if (operation.outcome === "fail") return false;
  const left = leftBy(operation);
  return left !== undefined && observed.get(operation.key)?.has(left) === true;
}

/** The write was sent after the observation had ended, so it is not what was observed. */
function isLater(writer: Operation | undefined, observer: Operation): boolean {
  return writer !== undefined && writer.call > observer.bound;
}

function phantom(operation: Operation, saw: RegisterState, writer: Operation | undefined): Finding {
  const what = writer ? `which was not written before ${seconds(writer.calledAt)}` : "which nobody wrote";
  return {
    kind: "phantom-value",
    ...(operation.workload ? { workload: operation.workload } : {}),
    key: operation.key,
    operations: inOrder([operation, writer]),
    sentence: `key ${operation.key}: the ${registerModel.describe(operation)} (client ${operation.process}), which ended at ${seconds(operation.returnedAt)}, saw ${showValue(saw)}, ${what}`,
  };
}
