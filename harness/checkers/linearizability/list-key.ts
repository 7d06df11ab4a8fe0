/**
 * One list that grows at its end, exactly and in linear time: every append is a read-modify-write, so the whole key is one
 * chain (blocks.ts, rule 4). The longest read gives the order of the elements; every other read must be a prefix of it;
 * the lengths that appends returned say where the elements stand that no read saw, and gaps between those are filled by
 * indeterminate appends, the earliest invoked first. Then one walk along the chain compares that order with real time.
 *
 * Why the earliest invoked: whoever fills a gap must still be able to take effect after all that precedes it was sent, and
 * must have been sent before anything that follows ended. Bounds rise with invocations (each is the next restart), so of
 * those that are not too late already, the earliest invoked is the first to become so, and the last to be sent too late:
 * what any other could fill it can, and the other stays for later gaps at least as long.
 *
 * Not covered, sent to search: an element appended twice; an acknowledged append that returned no length and was never
 * read; indeterminate appends whose bounds do not rise with their invocations.
 *
 * Time: linear in the operations and in all elements that were read.
 */
import type { Operation } from "../../history/operation.ts";
import { elementOf, elementsOf, listModel } from "../../models/list.ts";

/** Two operations that cannot both have ended as they did, or one alone. */
export interface ListConflict {
  readonly what: string;
  readonly operations: readonly Operation[];
}

export type ListAnalysis =
  | { readonly verdict: true; readonly witness: readonly Operation[] }
  | { readonly verdict: false; readonly conflicts: readonly ListConflict[] }
  | { readonly verdict: "uncovered"; readonly reason: string }
  | { readonly verdict: "refused"; readonly reason: string };

/** @param initial the elements at the beginning. */
export function analyseList(operations: readonly Operation[], initial: readonly string[]): ListAnalysis {
  const refused = operations.map((operation) => listModel.refuses(operation)).find((reason) => reason);
  if (refused) return { verdict: "refused", reason: refused };
  const chain = new ListChain(operations, initial);
  if (chain.conflicts.length === 0) chain.placeTail();
  if (chain.conflicts.length === 0 && !chain.uncovered) chain.walk();
  if (chain.uncovered) return { verdict: "uncovered", reason: chain.uncovered };
  if (chain.conflicts.length > 0) return { verdict: false, conflicts: chain.conflicts };
  return { verdict: true, witness: chain.witness };
}

interface Read {
  readonly operation: Operation;
  readonly elements: readonly string[];
}

class ListChain {
  readonly conflicts: ListConflict[] = [];
  readonly witness: Operation[] = [];
  uncovered: string | undefined;
  readonly #initial: readonly string[];
  /** The order of the elements, as far as it was read. */
  #order: readonly string[];
  readonly #reads: Read[] = [];
  readonly #appends = new Map<string, Operation>();
  /** By position (from 1), beyond what was read. */
  readonly #tail = new Map<number, Operation>();
  #length: number;

  constructor(operations: readonly Operation[], initial: readonly string[]) {
    this.#initial = initial;
    this.#order = initial;
    const known = new Set(initial);
    for (const operation of operations) {
      if (operation.outcome === "fail") continue;
      if (operation.f === "append") this.#addAppend(operation, known);
      else if (operation.outcome === "ok") this.#addRead(operation);
    }
    this.#length = this.#order.length;
    if (!this.uncovered) this.#comparePrefixes();
  }

  #addAppend(operation: Operation, known: Set<string>): void {
    const element = elementOf(operation.input);
    if (known.has(element)) this.uncovered = "an element was appended twice";
    known.add(element);
    this.#appends.set(element, operation);
  }

  #addRead(operation: Operation): void {
    const elements = elementsOf(operation.output) ?? [];
    this.#reads.push({ operation, elements });
    if (elements.length > this.#order.length) this.#order = elements;
  }

  #comparePrefixes(): void {
    const longest = this.#reads.find((read) => read.elements === this.#order);
    const before = new Set<string>();
    for (const [i, element] of this.#order.entries()) {
      const isKnown = i < this.#initial.length ? element === this.#initial[i] : this.#appends.has(element);
      if (!isKnown || before.has(element)) {
        this.#conflict(`the element at position ${i + 1} cannot be there`, longest?.operation);
        return;
      }
      before.add(element);
    }
    for (const { operation, elements } of this.#reads) {
      const at = elements.findIndex((element, i) => element !== this.#order[i]);
      if (at !== -1)
        this.#conflict(`two reads disagree about position ${at + 1}`, operation, longest?.operation);
      if (elements.length < this.#initial.length)
        this.#conflict("elements from before are missing", operation);
    }
  }

  /** Gives every acknowledged append its place, by the length it returned or by the order that was read. */
  placeTail(): void {
    const position = new Map(this.#order.map((element, i) => [element, i + 1]));
    for (const [element, operation] of this.#appends) {
      if (operation.outcome !== "ok") continue;
      const read = position.get(element);
      const told = typeof operation.output === "number" ? operation.output : read;
      if (told === undefined) {
        this.uncovered = "an acknowledged append returned no length and was never read";
        return;
      }
      const other = read === undefined ? this.#tail.get(told) : undefined;
      if (read === undefined ? told <= this.#order.length || other !== undefined : told !== read) {
        const holder = other ?? this.#appends.get(this.#order[told - 1] ?? "");
        this.#conflict(`an append returned length ${told}, where another element stands`, operation, holder);
      }
      if (read === undefined) this.#tail.set(told, operation);
      this.#length = Math.max(this.#length, told);
    }
  }

  /** Walks along the chain; each operation must return after everything that precedes it was invoked. */
  walk(): void {
    const readsOf = new Map<number, Operation[]>();
    for (const { operation, elements } of this.#reads) {
      const same = readsOf.get(elements.length);
      if (same) same.push(operation);
      else readsOf.set(elements.length, [operation]);
    }
    const fillers = this.#fillers();
    let nextFiller = 0;
    const takeFiller = (rank: number): Operation | undefined => {
      // What is too late for this gap is too late for every later one.
      while (nextFiller < fillers.length && fillers[nextFiller]!.bound <= rank) nextFiller++;
      return fillers[nextFiller++];
    };
    let latest: Operation | undefined;
    const place = (operation: Operation) => {
      if (latest && operation.bound < latest.call) {
        this.#conflict("real time contradicts the order of the list", operation, latest);
      }
      this.witness.push(operation);
    };
    for (let position = this.#initial.length; position <= this.#length; position++) {
      if (position > this.#initial.length) {
        const writer = this.#writerAt(position) ?? takeFiller(latest?.call ?? -1);
        if (!writer) {
          const next = [...this.#tail].find(([tailPosition]) => tailPosition > position)?.[1];
          this.#conflict(`nothing was sent that could be the element at position ${position}`, next);
          return;
        }
        place(writer);
        latest = laterCalled(latest, writer);
      }
      const readers = readsOf.get(position) ?? [];
      for (const reader of readers) place(reader);
      for (const reader of readers) latest = laterCalled(latest, reader);
    }
  }

  /** Indeterminate appends that no read saw, in order of invocation. */
  #fillers(): Operation[] {
    const seen = new Set(this.#order);
    const fillers = [...this.#appends.values()]
      .filter((operation) => operation.outcome === "info" && !seen.has(elementOf(operation.input)))
      .sort((a, b) => a.call - b.call);
    if (fillers.some((operation, i) => i > 0 && operation.bound < fillers[i - 1]!.bound)) {
      this.uncovered = "appends without an answer whose bounds do not rise with their invocations";
    }
    return fillers;
  }

  #writerAt(position: number): Operation | undefined {
    const element = this.#order[position - 1];
    return element === undefined ? this.#tail.get(position) : this.#appends.get(element);
  }

  #conflict(what: string, ...operations: (Operation | undefined)[]): void {
    if (this.conflicts.length < 100) {
      this.conflicts.push({ what, operations: operations.filter((operation) => operation !== undefined) });
    }
  }
}

function laterCalled(a: Operation | undefined, b: Operation): Operation {
  return a && a.call > b.call ? a : b;
}
