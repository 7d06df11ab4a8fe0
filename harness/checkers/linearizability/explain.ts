/**
 * Puts conflicts into words, and sorts them by what a person has to look for in the store. The kinds, by rule:
 *  - phantom-value: observed, but written by nobody (or only by a write that was refused).
 *  - lost-update: two compare-and-sets consumed one value; or one overwrote a write that ended while it was under way.
 *  - lost-acknowledged-write: acknowledged in one incarnation, missing in a later one.
 *  - resurrected-write: gone in one incarnation, back in a later one: deleted; or overwritten by a write that had survived a
 *    restart before; or in flight at a crash, absent after it, and there after the next.
 *  - read-of-unsynced-write: read in one incarnation, never acknowledged, missing in a later one.
 *  - stale-read: the newer value had been there in the same incarnation.
 *  - not-linearizable: everything else.
 */
import type { Operation } from "../../history/operation.ts";
import {
  compareAndSetOf,
  isRefusedCompare,
  quote,
  registerModel,
  registerValue,
  showValue,
} from "../../models/register.ts";
import type { Finding, FindingKind } from "../contract.ts";
import { inOrder, seconds } from "../findings.ts";
import type { Conflict, OrderConflict } from "./conflict.ts";

/** @param failed operations on this key that were refused, and so must not be seen. */
export function findingOf(key: string, conflict: Conflict, failed: readonly Operation[]): Finding {
  const { kind, operations, what } = told(conflict, failed);
  const workload = operations[0]?.workload;
  return {
    kind,
    ...(workload ? { workload } : {}),
    key,
    operations: inOrder(operations),
    sentence: key === "" ? what : `key ${key}: ${what}`,
  };
}

interface Told {
  readonly kind: FindingKind;
  readonly operations: readonly (Operation | undefined)[];
  readonly what: string;
}

function told(conflict: Conflict, failed: readonly Operation[]): Told & { operations: Operation[] } {
  const { kind, operations, what } = tell(conflict, failed);
  return { kind, operations: inOrder(operations), what };
}

function tell(conflict: Conflict, failed: readonly Operation[]): Told {
  switch (conflict.type) {
    case "phantom":
      return tellPhantom(conflict.operation, conflict.value, failed);
    case "consumed-twice":
      return tellConsumedTwice(conflict);
    case "refused-match":
      return {
        kind: "not-linearizable",
        operations: [conflict.operation],
        what: `the ${who(conflict.operation)} was refused, although it saw the value it expected`,
      };
    case "from-the-future":
      return {
        kind: "not-linearizable",
        operations: [conflict.operation, conflict.writer],
        what: `the ${who(conflict.operation)} had ended at ${seconds(conflict.operation.returnedAt)}, before the ${who(conflict.writer)}, on which its result depends, was sent at ${seconds(conflict.writer.calledAt)}`,
      };
    case "cycle":
      return {
        kind: "not-linearizable",
        operations: conflict.operations.slice(0, 6),
        what: `${conflict.operations.length} successful compare-and-sets consumed each other's values in a circle`,
      };
    case "overcounted":
      return tellOvercounted(conflict);
    case "stuck":
      return {
        kind: "not-linearizable",
        operations: [...conflict.operations, conflict.operation],
        what: `the ${who(conflict.operation)}, sent at ${seconds(conflict.operation.calledAt)}, ended with ${result(conflict.operation)}, which no order of the operations before it explains`,
      };
    case "order":
      return {
        kind: kindOfOrder(conflict),
        operations: orderOperations(conflict),
        what: tellOrder(conflict),
      };
  }
}

function tellPhantom(operation: Operation, value: string | null, failed: readonly Operation[]): Told {
  const refused = failed.find((candidate) => writtenBy(candidate) === value && value !== null);
  const origin = refused
    ? `which only the ${who(refused)} would have written, and that one was refused (${refused.error ?? "fail"})`
    : "which nobody wrote";
  return {
    kind: "phantom-value",
    operations: [refused, operation],
    what: `the ${who(operation)}, sent at ${seconds(operation.calledAt)}, saw ${showValue(value)}, ${origin}`,
  };
}

function tellConsumedTwice(conflict: Conflict & { type: "consumed-twice" }): Told {
  const { first, second, writer, value } = conflict;
  if (second.incarnation > first.incarnation && first.bound < second.call) {
    const order: OrderConflict = {
      type: "order",
      knew: first,
      later: second,
      newerWriter: first,
      olderWriter: writer,
      observers: () => [first],
    };
    return { kind: kindOfOrder(order), operations: [writer, first, second], what: tellOrder(order) };
  }
  return {
    kind: "lost-update",
    operations: [writer, first, second],
    what: `the ${who(first)} and the ${who(second)} both succeeded from the same value ${showValue(value)}, so one of them was lost`,
  };
}

/** More increments took effect than were sent: one was applied twice. Too early for those that were: any wrong answer. */
function tellOvercounted(conflict: Conflict & { type: "overcounted" }): Told {
  const { operation, reached, missing, base, sent } = conflict;
  const tooMany = reached - base > sent;
  const why = tooMany
    ? `only ${sent} increments were sent from ${base} on, so at least one took effect twice`
    : `no increment that was sent in time is left that could have made it ${missing}`;
  return {
    kind: tooMany ? "applied-twice" : "not-linearizable",
    operations: [operation],
    what: `the ${who(operation)}, sent at ${seconds(operation.calledAt)}, returned ${reached}, but ${why}`,
  };
}

function kindOfOrder(conflict: OrderConflict): FindingKind {
  const { knew, later, newerWriter, olderWriter, before, between } = conflict;
  if (cameBackAfterItsBound(conflict) && before === olderWriter && between) return "resurrected-write";
  const source = newerWriter ?? knew;
  if (
    later.incarnation > source.incarnation &&
    !seenIn(conflict, (incarnation) => incarnation === later.incarnation)
  ) {
    if (source.f === "delete" || !newerWriter) return "resurrected-write";
    if (isAcknowledgedBefore(newerWriter, later)) {
      const survived = seenIn(
        conflict,
        (incarnation) => incarnation > newerWriter.incarnation && incarnation < later.incarnation,
      );
      return survived ? "resurrected-write" : "lost-acknowledged-write";
    }
    if (knew.outcome === "ok") return "read-of-unsynced-write";
  }
  if (isOverwrittenByCompareAndSet(conflict)) return "lost-update";
  return later.f === "write" || later.f === "delete" ? "not-linearizable" : "stale-read";
}

/** In flight at a crash, absent after the restart, there again later. */
function cameBackAfterItsBound({ before, later }: OrderConflict): boolean {
  return before !== undefined && before.outcome === "info" && later.incarnation > before.incarnation;
}

/** The newer value was observed, before `later` was sent, in such an incarnation. */
function seenIn(conflict: OrderConflict, accepts: (incarnation: number) => boolean): boolean {
  return conflict
    .observers()
    .some(
      (observer) =>
        observer.outcome === "ok" && observer.return < conflict.later.call && accepts(observer.incarnation),
    );
}

function isAcknowledgedBefore(writer: Operation, later: Operation): boolean {
  return writer.outcome === "ok" && writer.return < later.call;
}

function isOverwrittenByCompareAndSet({ newerWriter, olderWriter }: OrderConflict): boolean {
  if (newerWriter?.f !== "write" || newerWriter.outcome !== "ok" || olderWriter?.f !== "cas") return false;
  return olderWriter.call < newerWriter.return && newerWriter.call < olderWriter.return;
}

function orderOperations(conflict: OrderConflict): (Operation | undefined)[] {
  const { knew, later, newerWriter, olderWriter, before, between } = conflict;
  return [olderWriter, newerWriter, before, between, knew, later];
}

function tellOrder(conflict: OrderConflict): string {
  const { knew, later, newerWriter, before, between } = conflict;
  if (cameBackAfterItsBound(conflict) && before === conflict.olderWriter && between) {
    return `the ${who(before!)} was in flight when incarnation ${before!.incarnation} ended, and was not there when the ${who(between)} was sent at ${seconds(between.calledAt)}; yet the ${who(later)}, sent at ${seconds(later.calledAt)}, ${saw(later)}`;
  }
  const known =
    newerWriter && isAcknowledgedBefore(newerWriter, later)
      ? `the ${who(newerWriter)} was acknowledged at ${seconds(newerWriter.returnedAt)}`
      : knew.outcome === "ok"
        ? `the ${who(knew)} had returned ${result(knew)} at ${seconds(knew.returnedAt)}`
        : `the ${who(knew)} could take effect no later than the next restart`;
  const restarted = later.incarnation > (newerWriter ?? knew).incarnation;
  const when = restarted ? `, sent after restart ${later.incarnation} at` : ", sent later at";
  return `${known}, but the ${who(later)}${when} ${seconds(later.calledAt)}, ${saw(later)}`;
}

function saw(operation: Operation): string {
  if (operation.f === "delete") return `removed ${quote(operation.output)} value(s) where none could be`;
  if (isSilentRefusal(operation)) return "was refused";
  const observed =
    operation.f === "cas" && !isRefusedCompare(operation) ? compareAndSetOf(operation)[0] : undefined;
  const value = observed === undefined ? registerValue(operation.output) : observed;
  return value === null ? "found nothing" : `returned the older ${showValue(value)}`;
}

function result(operation: Operation): string {
  if (operation.f === "write") return "success";
  if (operation.f === "cas" && !isRefusedCompare(operation)) return "success";
  return isSilentRefusal(operation) ? "a refusal" : quote(operation.output);
}

/** A refusal that does not say which other value it saw. */
function isSilentRefusal(operation: Operation): boolean {
  return isRefusedCompare(operation) && operation.output === undefined;
}

/** `write of "a" (client 3)`. */
function who(operation: Operation): string {
  return `${registerModel.describe(operation)} (client ${operation.process})`;
}

function writtenBy(operation: Operation): string | null {
  if (operation.f === "write") return registerValue(operation.input);
  if (operation.f === "cas" && Array.isArray(operation.input)) return registerValue(operation.input[1]);
  return null;
}
