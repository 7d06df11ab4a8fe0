/**
 * The search for one order of all operations that agrees with each process's order: depth first, with a memo of
 * configurations (how far each process is, and what each key holds). NP-complete (Gibbons & Korach 1997), so it is
 * advanced in slices of time and says how far it came.
 *
 * What keeps it short, all of it exact:
 *  - what must come before an operation (sequential-graph.ts) is placed before it;
 *  - a read that is legal is placed at once, and so is a write that nobody reads and that hides nothing still to be read;
 *  - on keys where every value names its write, a version is not overwritten while a read of it is still to come.
 * An `info` operation is optional: it takes effect at any time after what its process did before, or never. It is the
 * last of its session (versions.ts, `sessionNumbers`).
 */
import type { Operation } from "../../history/operation.ts";
import { hashString } from "../../models/contract.ts";
import { type RegisterState, registerModel, registerValue } from "../../models/register.ts";
import type { SequentialGraph } from "./sequential-graph.ts";
import { type Access, type InitialValues, leftBy, seenBy, type Version } from "./versions.ts";

interface Item {
  readonly operation: Operation;
  readonly session: number;
  readonly key: number;
  /** Items that must be placed before; those of the same process are, anyway. */
  readonly after: readonly Item[];
  readonly reads: Version | undefined;
  readonly writes: Version | undefined;
  readonly mustHappen: boolean;
  placed: boolean;
}

interface Move {
  readonly item: Item;
  readonly held: RegisterState;
  readonly version: Version | undefined;
  readonly forced: boolean;
  /** What else could have been placed, in order. */
  readonly others: readonly Item[];
}

interface Key {
  held: RegisterState;
  version: Version | undefined;
  /** Every value names its write here. */
  readonly named: boolean;
}

/** Characters of memo kept before it is emptied: 200 MB. */
const memoMax = 100_000_000;

export class SequentialSearch {
  readonly #sessions: Item[][] = [];
  readonly #at: number[] = [];
  readonly #keys: Key[] = [];
  readonly #readersLeft = new Map<Version, number>();
  readonly #moves: Move[] = [];
  readonly #seen = new Set<string>();
  readonly #versionNumber = new Map<Version, number>();
  #seenSize = 0;
  #left = 0;
  #exhausted = false;
  /** Operations that have to be placed, and the most that ever were. */
  readonly total: number;
  deepest = 0;
  /** At the deepest place: each process's next operation. */
  stuckAt: readonly Operation[] = [];

  constructor(
    operations: readonly Operation[],
    graph: SequentialGraph,
    initial: InitialValues,
    sessionOf: (operation: Operation) => number,
  ) {
    const accessOf = new Map(graph.accesses.map((access, node) => [access.operation, { access, node }]));
    const ambiguous = keysWithoutNames(operations, graph.accesses);
    const numbers = new Map<string, number>();
    const keyOf = (key: string) => {
      const known = numbers.get(key);
      if (known !== undefined) return known;
      numbers.set(key, this.#keys.length);
      const held = registerValue(initial.get(key));
      return this.#keys.push({ held, version: undefined, named: !ambiguous.has(key) }) - 1;
    };
    const items = new Map<number, Item>();
    const sessions = new Map<number, number>();
    for (const operation of operations) {
      const known = accessOf.get(operation);
      // A read without an answer tells nothing, and what its process did next need not wait for it.
      if (operation.outcome === "info" && registerModel.readOnly(operation)) continue;
      if (
        !known &&
        (operation.outcome !== "info" || !ambiguous.has(operation.key)) &&
        operation.outcome !== "ok"
      )
        continue;
      const session = sessions.get(sessionOf(operation)) ?? sessions.size;
      sessions.set(sessionOf(operation), session);
      const { reads, writes } = known?.access ?? { reads: undefined, writes: undefined };
      const after: Item[] = [];
      const mustHappen = operation.outcome === "ok";
      const item: Item = {
        operation,
        session,
        key: keyOf(operation.key),
        after,
        reads,
        writes,
        mustHappen,
        placed: false,
      };
      if (known) items.set(known.node, item);
      this.#sessions[session] ??= [];
      this.#sessions[session].push(item);
      if (mustHappen) this.#left++;
      if (writes) this.#versionNumber.set(writes, this.#versionNumber.size + 1);
      if (reads) this.#readersLeft.set(reads, (this.#readersLeft.get(reads) ?? 0) + 1);
      if (reads && !reads.writer) this.#keys[item.key]!.version = reads;
    }
    for (const [node, item] of items) {
      for (const { from, kind } of graph.before(node)) {
        if (kind !== "process") (item.after as Item[]).push(items.get(from)!);
      }
    }
    this.#at = this.#sessions.map(() => 0);
    this.total = this.#left;
  }

  /** Goes on until there is a verdict, or `performance.now()` reaches `untilMs`. */
  advance(untilMs: number): boolean | "more" {
    for (let turn = 1; this.#left > 0; turn++) {
      if (this.#exhausted) return false;
      if (turn % 64 === 0 && performance.now() >= untilMs) return "more";
      const forced = this.#forced();
      if (forced) this.#place(forced, true, []);
      else this.#choose();
    }
    return true;
  }

  /** After `true`. */
  witness(): Operation[] {
    return this.#moves.map(({ item }) => item.operation);
  }

  #next(session: number): Item | undefined {
    return this.#sessions[session]![this.#at[session]!];
  }

  /** The state after it, or undefined when it cannot be placed here. */
  #after(item: Item): RegisterState | undefined {
    const key = this.#keys[item.key]!;
    if (item.after.some((other) => !other.placed)) return undefined;
    if (key.named && item.writes && key.version) {
      const left = this.#readersLeft.get(key.version) ?? 0;
      if (left > (item.reads === key.version ? 1 : 0)) return undefined;
    }
    const state = registerModel.step(key.held, item.operation);
    return item.mustHappen || state !== key.held ? state : undefined;
  }

  #forced(): Item | undefined {
    for (let session = 0; session < this.#at.length; session++) {
      const item = this.#next(session);
      if (!item || !this.#hidesNothing(item)) continue;
      if (this.#after(item) !== undefined) return item;
    }
    return undefined;
  }

  /** Placing it now cannot be wrong. */
  #hidesNothing(item: Item): boolean {
    if (!item.mustHappen) return false;
    if (registerModel.readOnly(item.operation)) return true;
    const { named } = this.#keys[item.key]!;
    return named && item.operation.f === "write" && !this.#readersLeft.get(item.writes!);
  }

  #choose(): void {
    const choices: Item[] = [];
    for (let session = 0; session < this.#at.length; session++) {
      const item = this.#next(session);
      if (item && this.#after(item) !== undefined) choices.push(item);
    }
    choices.sort(
      (a, b) => Number(b.mustHappen) - Number(a.mustHappen) || a.operation.call - b.operation.call,
    );
    this.#noteDepth();
    const [first, ...others] = choices;
    if (!first || (others.length > 0 && this.#wasHere())) this.#backtrack();
    else this.#place(first, false, others);
  }

  #noteDepth(): void {
    const placed = this.total - this.#left;
    if (placed < this.deepest && this.stuckAt.length > 0) return;
    this.deepest = placed;
    this.stuckAt = this.#sessions.flatMap((_items, session) => this.#next(session)?.operation ?? []);
  }

  #wasHere(): boolean {
    const keys = this.#keys.map(({ named, held, version }) =>
      named ? (version ? (this.#versionNumber.get(version) ?? 0) : -1) : `${hashString(held ?? "")}${held}`,
    );
    const configuration = `${this.#at.join(",")}|${keys.join(",")}`;
    if (this.#seen.has(configuration)) return true;
    if (this.#seenSize > memoMax) {
      this.#seen.clear();
      this.#seenSize = 0;
    }
    this.#seen.add(configuration);
    this.#seenSize += configuration.length;
    return false;
  }

  #place(item: Item, forced: boolean, others: readonly Item[]): void {
    const key = this.#keys[item.key]!;
    const after = this.#after(item)!;
    this.#moves.push({ item, held: key.held, version: key.version, forced, others });
    item.placed = true;
    this.#at[item.session]!++;
    if (item.mustHappen) this.#left--;
    if (item.reads) this.#readersLeft.set(item.reads, this.#readersLeft.get(item.reads)! - 1);
    key.held = after;
    if (item.writes) key.version = item.writes;
  }

  #backtrack(): void {
    for (let move = this.#moves.pop(); move; move = this.#moves.pop()) {
      const { item } = move;
      const key = this.#keys[item.key]!;
      item.placed = false;
      this.#at[item.session]!--;
      if (item.mustHappen) this.#left++;
      if (item.reads) this.#readersLeft.set(item.reads, this.#readersLeft.get(item.reads)! + 1);
      key.held = move.held;
      key.version = move.version;
      const [next, ...others] = move.others;
      if (next) {
        this.#place(next, false, others);
        return;
      }
    }
    this.#exhausted = true;
  }
}

/** Keys on which a value may not name its write, or which something was asked that says less than a value. */
function keysWithoutNames(operations: readonly Operation[], accesses: readonly Access[]): Set<string> {
  const found = new Set<string>();
  for (const { operation, candidates, reads } of accesses) {
    if (candidates && !reads) found.add(operation.key);
  }
  for (const operation of operations) {
    if (operation.outcome === "fail") continue;
    const says = seenBy(operation) !== undefined || leftBy(operation) !== undefined;
    if (operation.f === "delete" || (operation.outcome === "ok" && !says)) found.add(operation.key);
  }
  return found;
}
