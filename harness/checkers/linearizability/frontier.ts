/**
 * Linearizability by frontiers, for any model ("just-in-time linearization", Lowe 2017): goes through the history in order of
 * time and keeps *all* configurations that explain it so far. Where an operation returns, each configuration is extended, in
 * every way, until that operation is placed; when none can be, the history up to there has no order, and the states are known in
 * which the operation was impossible.
 *
 * Against the depth-first search (search.ts) it is slower on histories that are fine, and it finds no order. It has two
 * uses. It is a second algorithm, so each can refute the other. And it extends by few optional operations before many, so that a
 * history of which nearly everything was made optional (minimal-history.ts) is decided quickly.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import type { SearchProgress } from "./search.ts";
import { impossible } from "./step-table.ts";
import { Timeline } from "./timeline.ts";

interface Configuration {
  readonly state: number;
  /** Mandatory operations that were placed and have not returned, ascending. */
  readonly open: readonly number[];
  /** Optional operations that were placed and may still be, ascending. */
  readonly used: readonly number[];
}

interface Extended {
  readonly placed: Configuration[];
  /** The states of all that were extended. */
  readonly tried: ReadonlySet<number>;
}

const unobserved = -1;
const stepsPerYield = 64;

export class Frontier<State> {
  readonly #timeline: Timeline<State>;
  readonly #configurationsMax: number;
  readonly #run: Generator<undefined, boolean, undefined>;
  #frontier: Configuration[];
  /** Calls that have begun, in order: changing, read-only and optional ones. */
  readonly #changes = new Set<number>();
  readonly #reads = new Set<number>();
  readonly #optionals = new Set<number>();
  readonly #observers: number[] = [];
  #verdict: boolean | undefined;
  #stuckAt: number | undefined;
  #statesTried: ReadonlySet<number> = new Set();
  #configurations = 0;

  /** @param configurationsMax beyond it, `advance` returns "more" for ever. */
  constructor(
    model: Model<State>,
    operations: readonly Operation[],
    configurationsMax = Number.POSITIVE_INFINITY,
  ) {
    this.#timeline = new Timeline(model, operations);
    this.#configurationsMax = configurationsMax;
    const { table, classOf } = this.#timeline;
    this.#frontier = [{ state: table.start, open: [], used: [] }];
    for (const operationClass of classOf) this.#countObserver(operationClass, 1);
    this.#run = this.#walk();
  }

  /** Goes on until there is a verdict, `performance.now()` reaches `untilMs`, or there are too many configurations. */
  advance(untilMs: number): SearchProgress {
    while (this.#verdict === undefined) {
      if (this.#configurations > this.#configurationsMax) return "more";
      const { done, value } = this.#run.next();
      if (done) this.#verdict = value;
      else if (performance.now() >= untilMs) return "more";
    }
    return this.#verdict;
  }

  /** After `false`: the operation that could not be placed by its return. */
  get stuckAt(): Operation | undefined {
    return this.#stuckAt === undefined ? undefined : this.#timeline.operations[this.#stuckAt];
  }

  /** After `false`: every state in which `stuckAt` was tried. */
  get statesTried(): State[] {
    return [...this.#statesTried].map((id) => this.#timeline.table.stateOf(id));
  }

  *#walk(): Generator<undefined, boolean, undefined> {
    const { entries, mandatory, operations, classOf } = this.#timeline;
    for (const entry of entries) {
      if (entry < operations.length) {
        this.#begin(entry);
        continue;
      }
      const operation = entry - operations.length;
      if (operation < mandatory) {
        yield* this.#place(operation);
        if (this.#frontier.length === 0) return false;
      } else yield* this.#pass(operation);
      this.#countObserver(classOf[operation]!, -1);
    }
    return true;
  }

  #begin(operation: number): void {
    if (operation >= this.#timeline.mandatory) this.#optionals.add(operation);
    else if (this.#timeline.isReadOnly(operation)) this.#reads.add(operation);
    else this.#changes.add(operation);
  }

  /** At the bound of an optional operation: it was placed by now, in one of all ways, or never is. */
  *#pass(operation: number): Generator<undefined, void, undefined> {
    const without = this.#frontier.filter(({ used }) => !used.includes(operation));
    const { placed } = yield* this.#extendUntil(({ used }) => used.includes(operation));
    this.#optionals.delete(operation);
    const passed = placed.map(({ state, open, used }) => ({
      state,
      open,
      used: used.filter((other) => other !== operation),
    }));
    this.#frontier = [...without, ...passed];
  }

  /** At the return of an operation that has to be placed by now. */
  *#place(operation: number): Generator<undefined, void, undefined> {
    const { placed, tried } = yield* this.#extendUntil(({ open }) => open.includes(operation));
    for (const set of [this.#changes, this.#reads]) set.delete(operation);
    this.#frontier = placed.map(({ state, open, used }) => ({
      state,
      open: open.filter((other) => other !== operation),
      used,
    }));
    if (placed.length > 0) return;
    this.#stuckAt = operation;
    this.#statesTried = tried;
  }

  /** Extends all configurations, those with few optional operations first, until each is as wanted. */
  *#extendUntil(
    isWanted: (configuration: Configuration) => boolean,
  ): Generator<undefined, Extended, undefined> {
    const byUsed: Configuration[][] = [];
    const add = (configuration: Configuration) => {
      const extended = this.#withReads(configuration);
      byUsed[extended.used.length] ??= [];
      byUsed[extended.used.length]!.push(extended);
    };
    for (const configuration of this.#frontier) add(configuration);
    const seen = new Map<string, (readonly number[])[]>();
    const tried = new Set<number>();
    const placed: Configuration[] = [];
    let steps = 0;
    for (let size = 0; size < byUsed.length; size++) {
      for (let next = byUsed[size]?.pop(); next; next = byUsed[size]!.pop()) {
        if (++steps % stepsPerYield === 0) yield;
        if (this.#isDominated(next, seen)) continue;
        this.#configurations++;
        if (isWanted(next)) placed.push(next);
        else {
          tried.add(next.state);
          this.#extend(next, add);
        }
      }
    }
    return { placed, tried };
  }

  #extend({ state, open, used }: Configuration, add: (configuration: Configuration) => void): void {
    const { table, classOf, twin } = this.#timeline;
    for (const change of this.#changes) {
      if (open.includes(change)) continue;
      const before = twin[change]!;
      if (this.#changes.has(before) && !open.includes(before)) continue;
      const after = table.step(state, classOf[change]!);
      if (after !== impossible) add({ state: after, open: ascending(open, change), used });
    }
    for (const optional of this.#optionals) {
      if (used.includes(optional)) continue;
      const before = twin[optional]!;
      if (this.#optionals.has(before) && !used.includes(before)) continue;
      const after = table.step(state, classOf[optional]!);
      if (after !== impossible && after !== state) {
        add({ state: after, open, used: ascending(used, optional) });
      }
    }
  }

  /** With every read that is legal now: in any order that goes on from here, it may as well come first. */
  #withReads(configuration: Configuration): Configuration {
    const { table, classOf } = this.#timeline;
    const { state, open } = configuration;
    const legal = [...this.#reads].filter(
      (read) => !open.includes(read) && table.step(state, classOf[read]!) !== impossible,
    );
    if (legal.length === 0) return configuration;
    return { ...configuration, open: [...open, ...legal].sort((a, b) => a - b) };
  }

  /** Whether one was here that had used up no more; remembers this one otherwise. */
  #isDominated({ state, open, used }: Configuration, seen: Map<string, (readonly number[])[]>): boolean {
    const observed = !this.#timeline.table.observed || (this.#observers[state] ?? 0) > 0;
    const key = `${observed ? state : unobserved}|${open.join()}`;
    const others = seen.get(key);
    if (others?.some((other) => isWithin(other, used))) return true;
    if (others) others.push(used);
    else seen.set(key, [used]);
    return false;
  }

  #countObserver(operationClass: number, by: number): void {
    for (const state of this.#timeline.table.observed?.[operationClass] ?? []) {
      this.#observers[state] = (this.#observers[state] ?? 0) + by;
    }
  }
}

function ascending(numbers: readonly number[], one: number): number[] {
  const at = numbers.findIndex((other) => other > one);
  return at === -1 ? [...numbers, one] : [...numbers.slice(0, at), one, ...numbers.slice(at)];
}

/** Both ascending. */
function isWithin(smaller: readonly number[], larger: readonly number[]): boolean {
  let at = 0;
  for (const one of smaller) {
    while (at < larger.length && larger[at]! < one) at++;
    if (larger[at] !== one) return false;
  }
  return true;
}
