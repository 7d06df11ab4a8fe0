/**
 * Does a set keep what was added to it? After Jepsen's `set-full`: each element's fate, with how long reads went
 * without it.
 *
 * Operations, on one key per set: `add` of an element · `read` → all elements, as a list. An element is *known*
 * from the moment its add was acknowledged or a read that shows it returned, whichever was first. Verified, exactly
 * for each element alone:
 * - a read sent after that shows it. Missing for good is *lost*, missing for a while is *stale*, with the time it took;
 * - no read shows what nobody added, what was refused, what had not been sent yet, or an element twice;
 * - on one node: what was in flight at a restart and is absent after it is in no read that ended later (resurrected).
 * Across keys and restarts: recovery.ts. Where the store promises only that a prefix survives a crash, each incarnation is
 * judged alone, and begins with what its first read-back found.
 * A set with other operations (a removal), or an element that was added twice, is not judged. Not verified: two elements against each other (one read with only the one, a concurrent read with only the
 * other). Elements that no read could show are counted.
 */
import { byKey, type History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import type { CheckContext, CheckResult, Finding } from "./contract.ts";
import { Gathering, inOrder, seconds } from "./findings.ts";
import { unknownOperation } from "./known-operations.ts";
import { checkRecovery, type FatesOf, losesByPromise, splitByIncarnation } from "./recovery.ts";
import { Budget, OutOfTime } from "./transactions/budget.ts";
import { comparable, textOf } from "./transactions/transaction.ts";

export interface SetOptions {
  /** False: a set that may serve old states; stale elements are counted, and lost ones still found. Default true. */
  readonly linearizable?: boolean;
  /** False: a history without reads is fine, since whether a whole run read enough is asked elsewhere. Default true. */
  readonly needsReads?: boolean;
}

/** Checks every set of the history. */
export function checkSet(history: History, context: CheckContext, options: SetOptions = {}): CheckResult {
  const gathering = new Gathering("sets", context);
  const budget = new Budget(gathering.endsAt);
  const keys = byKey(history.operations);
  gathering.count("sets", keys.size);
  gathering.count("operations", history.operations.length);
  const parts = losesByPromise(context)
    ? splitByIncarnation(keys, (_key, readBack) => elementsOf(readBack?.output), gathering)
    : [...keys].map(([key, operations]) => ({ key, operations, initial: [] }));
  try {
    for (const { key, operations, initial } of parts) {
      const unknown = unknownOperation(operations, ["add", "read"], "a set here", (f) =>
        f === "remove" || f === "contains" ? "--model model:set" : undefined,
      );
      if (unknown) {
        gathering.reasons.push(`set ${key}: ${unknown}`);
        continue;
      }
      const inspection = new Inspection(key, operations, initial, gathering, budget);
      inspection.run(options.linearizable ?? true);
    }
  } catch (error) {
    if (!(error instanceof OutOfTime)) throw error;
    gathering.reasons.push(error.message);
  }
  checkRecovery(history, context, gathering, setFates);
  if ((options.needsReads ?? true) && !gathering.checked.reads)
    gathering.reasons.push("no read of a set was answered");
  return gathering.result(history.operations[0]?.workload);
}

/** The elements that a read shows; none when it shows no set. */
function elementsOf(output: unknown): readonly unknown[] {
  return Array.isArray(output) ? output : [];
}

/** Sets: an element is there or it is not. */
export const setFates: FatesOf = (before, operations, after) => {
  const found = new Set(elementsOf(after.output).map(comparable));
  const isThere = ({ input }: Operation) => found.has(comparable(input));
  const adds = operations.filter((operation) => operation.f === "add" && operation.outcome !== "fail");
  const fates = {
    lost: adds.filter((operation) => operation.outcome === "ok" && !isThere(operation)),
    survived: adds.filter(isThere),
  };
  const gone = elementsOf(before).find((element) => !found.has(comparable(element)));
  if (gone === undefined) return fates;
  const sentence = `set ${after.key}: the read-back at ${seconds(after.calledAt)}, after restart ${after.incarnation}, does not show ${textOf(gone)}, which had come back from the restart before`;
  return { ...fates, impossible: { kind: "lost-acknowledged-write", sentence } };
};

interface Element {
  readonly value: unknown;
  readonly add: Operation;
  /** The rank from which every read must show it, and what made it so. */
  known: number;
  knownBy: Operation | undefined;
  lastPresent: Operation | undefined;
  /** The first and the last read that had to show it and did not. */
  firstAbsent: Operation | undefined;
  lastAbsent: Operation | undefined;
  /** A read that shows that it never took effect: it was sent after the add's bound. Of several, the first to end. */
  refuted: Operation | undefined;
}

class Inspection {
  readonly #key: string;
  readonly #gathering: Gathering;
  readonly #budget: Budget;
  /** What was there when the incarnation began, as a read back found it. */
  readonly #initial: ReadonlyMap<unknown, unknown>;
  readonly #elements = new Map<unknown, Element>();
  readonly #refused = new Map<unknown, Operation>();
  /** Elements that were added more than once, so that nobody can tell which add a read saw. */
  readonly #ambiguous = new Set<unknown>();
  /** In order of invocation. */
  readonly #reads: { readonly operation: Operation; readonly values: ReadonlySet<unknown> }[] = [];
  readonly #found = new Map<Finding["kind"], Finding>();

  constructor(
    key: string,
    operations: readonly Operation[],
    initial: readonly unknown[],
    gathering: Gathering,
    budget: Budget,
  ) {
    this.#key = key;
    this.#initial = new Map(initial.map((element) => [comparable(element), element]));
    this.#gathering = gathering;
    this.#budget = budget;
    for (const operation of operations) if (operation.f === "add") this.#sortAdd(operation);
    for (const name of this.#ambiguous) this.#elements.delete(name);
    for (const operation of operations) {
      if (operation.f === "read" && operation.outcome === "ok") this.#sortRead(operation);
    }
  }

  run(linearizable: boolean): void {
    for (const [i, { operation, values }] of this.#reads.entries()) {
      this.#tick("absent", i);
      for (const [name, element] of this.#elements)
        if (!values.has(name)) this.#noteAbsent(element, operation);
      this.#checkInitial(operation, values);
    }
    for (const [i, { operation, values }] of this.#reads.entries()) {
      this.#tick("resurrected", i);
      for (const name of values) this.#checkResurrected(this.#elements.get(name), operation, linearizable);
    }
    this.#judge(linearizable);
    for (const finding of this.#found.values()) this.#gathering.findings.push(finding);
  }

  /** One read costs as many steps as the set has elements, so the clock is read for each. */
  #tick(what: string, done: number): void {
    if (!this.#budget.isUsedUp()) return;
    throw new OutOfTime(
      `set ${this.#key}: the time was up while looking for ${what} elements, after ${done} of ${this.#reads.length} reads`,
    );
  }

  #sortAdd(operation: Operation): void {
    const name = comparable(operation.input);
    if (operation.outcome === "fail") {
      this.#refused.set(name, operation);
      return;
    }
    this.#gathering.count("elements", 1);
    if (this.#elements.has(name)) {
      this.#ambiguous.add(name);
      this.#gathering.reasons.push(
        `set ${this.#key}: ${textOf(operation.input)} was added more than once; elements must be unique`,
      );
      return;
    }
    const isKnown = operation.outcome === "ok";
    this.#gathering.count("acknowledged", isKnown ? 1 : 0);
    this.#elements.set(name, {
      value: operation.input,
      add: operation,
      known: isKnown ? operation.return : Number.POSITIVE_INFINITY,
      knownBy: isKnown ? operation : undefined,
      lastPresent: undefined,
      firstAbsent: undefined,
      lastAbsent: undefined,
      refuted: undefined,
    });
  }

  #sortRead(operation: Operation): void {
    const { output } = operation;
    if (output !== null && !Array.isArray(output)) {
      this.#gathering.reasons.push(
        `set ${this.#key}: ${at(operation)} is no list of elements (${textOf(output)})`,
      );
      return;
    }
    this.#gathering.count("reads", 1);
    const values = new Set<unknown>();
    for (const value of (output ?? []) as unknown[]) {
      const name = comparable(value);
      if (values.has(name)) {
        this.#find("duplicate-elements", [operation], `${at(operation)} shows ${textOf(value)} twice`);
      } else this.#notePresent(name, value, operation);
      values.add(name);
    }
    this.#reads.push({ operation, values });
  }

  #notePresent(name: unknown, value: unknown, operation: Operation): void {
    if (this.#ambiguous.has(name)) return;
    const element = this.#elements.get(name);
    const refused = this.#refused.get(name);
    if (!element && this.#initial.has(name)) return;
    if (!element) {
      const why = refused ? `whose add by client ${refused.process} was refused` : "which nobody added";
      this.#find("phantom-value", [refused, operation], `${at(operation)} shows ${textOf(value)}, ${why}`);
      return;
    }
    if (element.add.call > operation.return) {
      this.#find(
        "phantom-value",
        [operation, element.add],
        `${at(operation)} shows ${textOf(value)}, which was added only at ${seconds(element.add.calledAt)}`,
      );
    }
    element.lastPresent = operation;
    if (operation.return >= element.known) return;
    element.known = operation.return;
    element.knownBy = operation;
  }

  /** Every read of an incarnation follows its first read-back. */
  #checkInitial(operation: Operation, values: ReadonlySet<unknown>): void {
    const gone = [...this.#initial].find(([name]) => !values.has(name));
    if (!gone) return;
    const what = `${at(operation)} does not show ${textOf(gone[1])}, which this incarnation's first read-back had found`;
    this.#find("stale-read", [operation], what);
  }

  #noteAbsent(element: Element, read: Operation): void {
    if (read.call > element.known) {
      element.firstAbsent ??= read;
      element.lastAbsent = read;
    }
    const isOver = element.add.outcome === "info" && read.call > element.add.bound;
    if (isOver && !(element.refuted && element.refuted.return < read.return)) element.refuted = read;
  }

  /**
   * A read that shows what never took effect contradicts the read that shows this, even where both are under way at once.
   * Had it ended before, the element would be known, and the other read a stale one. A set that may serve old states must
   * only not bring it back later.
   */
  #checkResurrected(element: Element | undefined, read: Operation, linearizable: boolean): void {
    const refuted = element?.refuted;
    if (!element || !refuted) return;
    const isKnownBefore = read.return < refuted.call;
    if (isKnownBefore || (!linearizable && read.call < refuted.return)) return;
    const { value, add } = element;
    this.#find(
      "resurrected-write",
      [add, refuted, read],
      `${textOf(value)} was in flight when incarnation ${add.incarnation} ended, and ${at(refuted)} does not show it; yet ${at(read)} does`,
    );
  }

  /** Each element's fate. */
  #judge(linearizable: boolean): void {
    let staleNsMax = 0;
    for (const element of this.#elements.values()) {
      const { firstAbsent, lastAbsent, lastPresent, knownBy } = element;
      if (!knownBy || !firstAbsent || !lastAbsent) {
        this.#gathering.count(lastPresent ? "stable" : "neverRead", 1);
      } else if (!lastPresent || lastPresent.call < lastAbsent.call)
        this.#noteLost(element, knownBy, lastAbsent);
      else {
        this.#gathering.count("stale", 1);
        staleNsMax = Math.max(staleNsMax, lastAbsent.calledAt - knownBy.returnedAt);
        if (linearizable) this.#noteStale(element, knownBy, firstAbsent, lastPresent);
      }
    }
    const known = this.#gathering.checked.staleMsMax ?? 0;
    if (staleNsMax > 0) this.#gathering.checked.staleMsMax = Math.max(known, Math.ceil(staleNsMax / 1e6));
  }

  #noteLost({ value, add, lastPresent }: Element, knownBy: Operation, absent: Operation): void {
    this.#gathering.count("lost", 1);
    const acknowledged = add.outcome === "ok" && add.return < absent.call;
    const across = absent.incarnation > knownBy.incarnation;
    const kind = acknowledged ? "lost-acknowledged-write" : across ? "read-of-unsynced-write" : "stale-read";
    const since = lastPresent ? "; no later read does" : "; no read ever does";
    this.#find(
      kind,
      [add, knownBy, absent],
      `${textOf(value)} ${howKnown(add, knownBy)}, but ${at(absent)} does not show it${since}`,
    );
  }

  #noteStale({ value, add }: Element, knownBy: Operation, absent: Operation, present: Operation): void {
    this.#find(
      "stale-read",
      [add, knownBy, absent, present],
      `${textOf(value)} ${howKnown(add, knownBy)}, but ${at(absent)} does not show it, and ${at(present)} does`,
    );
  }

  #find(kind: Finding["kind"], operations: readonly (Operation | undefined)[], what: string): void {
    const known = this.#found.get(kind);
    if (known) {
      this.#found.set(kind, { ...known, count: (known.count ?? 1) + 1 });
      return;
    }
    const shown = inOrder(operations);
    const workload = shown[0]?.workload;
    this.#found.set(kind, {
      kind,
      ...(workload ? { workload } : {}),
      key: this.#key,
      operations: shown,
      sentence: `set ${this.#key}: ${what}`,
      count: 1,
    });
  }
}

function howKnown(add: Operation, knownBy: Operation): string {
  return add === knownBy
    ? `was acknowledged at ${seconds(add.returnedAt)}`
    : `had been shown by ${at(knownBy)}, answered at ${seconds(knownBy.returnedAt)}`;
}

function at(operation: Operation): string {
  return `the read by client ${operation.process} sent at ${seconds(operation.calledAt)}`;
}
