/**
 * The shortest cycle of a class, by breadth-first search over (node, state of a small automaton).
 *
 * The automaton says which edges may follow which, so that a class is a table: *exactly one rw* is two states. A
 * step out of a transaction costs one; passages cost nothing, and neither does staying on one client's chain, so
 * that a cycle is as long as it has transactions a person must look at. The search goes from one start after the
 * other, and never deeper than the best so far.
 *
 * Exact as long as the work allowed lasts; `complete` says whether it did. The first search from a start on a cycle
 * is never cut, so a cycle is found wherever there is one.
 */
import type { Budget } from "./budget.ts";
import { type DependencyGraph, edge } from "./dependency-graph.ts";

/** Edges of a cycle between transactions, junctions taken out. Nodes are those of the graph searched. */
export interface CycleStep {
  readonly from: number;
  readonly to: number;
  readonly type: number;
  readonly key: number;
}

/** Where an edge leads from a state; what is not named is forbidden. Passages keep the state. */
type Row = Partial<Record<"ww" | "wr" | "rw" | "process" | "realtime", number>>;

export interface Pattern {
  readonly rows: readonly Row[];
  /** States in which the cycle may close. State 0 is where it starts. */
  readonly accepting: readonly number[];
  /** States in which a further process edge is the same ride. */
  readonly riding?: readonly number[];
  /** No cycle of the class has fewer edges. */
  readonly atLeast: number;
}

export interface Limits {
  readonly budget: Budget;
  /** Edges that may be looked at. */
  readonly work: number;
}

export interface ShortestCycle {
  /** `undefined` when none was found. */
  readonly steps: readonly CycleStep[] | undefined;
  /** In how many components there is one, as far as was searched. */
  readonly groups: number;
  /** False: not every start was tried, so there may be a shorter one, and more groups. */
  readonly complete: boolean;
}

const kinds = ["ww", "wr", "rw", "process", "realtime"] as const;

export class CycleSearch {
  readonly #graph: DependencyGraph;
  readonly #pattern: Pattern;
  readonly #states: number;
  /** By state * 64 + edge type: the next state, -1 where it may not be taken. */
  readonly #next: Int8Array;
  readonly #isAccepting: Uint8Array;
  readonly #isRiding: Uint8Array;
  /** By (node, state): the search that reached it, and how. */
  readonly #reached: Int32Array;
  readonly #cost: Int32Array;
  readonly #parent: Int32Array;
  readonly #via: Int32Array;
  #round = 0;
  #work = 0;

  constructor(graph: DependencyGraph, pattern: Pattern) {
    this.#graph = graph;
    this.#pattern = pattern;
    this.#states = pattern.rows.length;
    this.#next = new Int8Array(this.#states * 64).fill(-1);
    for (const [state, row] of pattern.rows.entries()) {
      for (const kind of kinds) this.#next[state * 64 + edge[kind]] = row[kind] ?? -1;
      this.#next[state * 64 + edge.passage] = state;
    }
    this.#isAccepting = flags(this.#states, pattern.accepting);
    this.#isRiding = flags(this.#states, pattern.riding ?? []);
    const size = graph.nodes * this.#states;
    this.#reached = new Int32Array(size);
    this.#cost = new Int32Array(size);
    this.#parent = new Int32Array(size);
    this.#via = new Int32Array(size);
  }

  /**
   * @param group by node, the component that the cycle must stay in.
   * @param mayStart by node, -1 where it is known to be on no cycle of the class.
   */
  shortest(group: Int32Array, mayStart: Int32Array, { budget, work }: Limits): ShortestCycle {
    const sizes = new Map<number, number>();
    for (const g of group) if (g !== -1) sizes.set(g, (sizes.get(g) ?? 0) + 1);
    const starts: number[] = [];
    for (let v = 0; v < this.#graph.transactions; v++)
      if (group[v] !== -1 && mayStart[v] !== -1) starts.push(v);
    // Small components first: they have short cycles, which bound the searches in the large ones.
    starts.sort((a, b) => sizes.get(group[a]!)! - sizes.get(group[b]!)! || group[a]! - group[b]! || a - b);
    let best: CycleStep[] | undefined;
    const having = new Set<number>();
    let complete = true;
    for (const start of starts) {
      const isKnown = having.has(group[start]!);
      if (isKnown && best!.length <= this.#pattern.atLeast) continue;
      if (this.#work > work || budget.isUsedUp()) {
        complete = false;
        break;
      }
      const found = this.#from(start, group, isKnown ? best!.length - 1 : Number.POSITIVE_INFINITY);
      if (!found) continue;
      having.add(group[start]!);
      if (!best || found.length < best.length) best = found;
    }
    return { steps: best, groups: having.size, complete };
  }

  /** The shortest cycle through a start, of at most `longest` edges; `undefined` when it is not simple. */
  #from(start: number, group: Int32Array, longest: number): CycleStep[] | undefined {
    this.#round++;
    let level = [start * this.#states];
    this.#reached[level[0]!] = this.#round;
    this.#cost[level[0]!] = 0;
    for (let cost = 0; level.length > 0 && cost <= longest; cost++) {
      const next: number[] = [];
      let closing = -1;
      let last = -1;
      // The level grows while it is walked: what costs nothing is added to its end.
      for (let i = 0; i < level.length; i++) {
        if (this.#cost[level[i]!]! < cost) continue;
        const found = this.#expand(level[i]!, cost, start, group, level, next, cost < longest);
        if (found === -1) continue;
        [closing, last] = [found, level[i]!];
        if (this.#isFree(last % this.#states, this.#graph.type[found]!)) break;
      }
      if (closing !== -1) return this.#cycle(start, last, closing);
      level = next;
    }
    return undefined;
  }

  /** Looks at the edges out of `at`; gives the one that closes the cycle, one that costs nothing before others, or -1. */
  #expand(
    at: number,
    cost: number,
    start: number,
    group: Int32Array,
    level: number[],
    next: number[],
    mayStep: boolean,
  ): number {
    const graph = this.#graph;
    const state = at % this.#states;
    const node = (at - state) / this.#states;
    let closing = -1;
    for (let i = graph.start[node]!; i < graph.start[node + 1]!; i++) {
      this.#work++;
      const type = graph.type[i]!;
      const to = graph.target[i]!;
      const after = this.#next[state * 64 + type]!;
      if (after === -1 || group[to] !== group[start]) continue;
      const isFree = this.#isFree(state, type);
      if (!isFree && !mayStep) continue;
      if (to === start && this.#isAccepting[after]) {
        if (isFree) return i;
        closing = i;
        continue;
      }
      const reached = to * this.#states + after;
      const costThere = isFree ? cost : cost + 1;
      // What the next level holds already may still be reached at no cost in this one.
      if (this.#reached[reached] === this.#round && this.#cost[reached]! <= costThere) continue;
      this.#reached[reached] = this.#round;
      this.#cost[reached] = costThere;
      this.#parent[reached] = at;
      this.#via[reached] = i;
      (isFree ? level : next).push(reached);
    }
    return closing;
  }

  #isFree(state: number, type: number): boolean {
    return type === edge.passage || (type === edge.process && this.#isRiding[state] === 1);
  }

  #cycle(start: number, last: number, closing: number): CycleStep[] | undefined {
    const edges = [closing];
    const nodes = [start];
    const first = start * this.#states;
    for (let at = last; at !== first; at = this.#parent[at]!) {
      edges.push(this.#via[at]!);
      nodes.push(Math.floor(at / this.#states));
    }
    edges.reverse();
    const steps = joined(this.#graph, edges, start);
    const isSimple = new Set(steps.map((step) => step.from)).size === steps.length;
    return isSimple && new Set(nodes).size === nodes.length ? steps : undefined;
  }
}

/** Edges one after the other as steps between transactions: junctions go, and a ride along one client's chain is one step. */
function joined(graph: DependencyGraph, edges: readonly number[], start: number): CycleStep[] {
  const steps: CycleStep[] = [];
  for (const i of edges) {
    const [type, key, to] = [graph.type[i]!, graph.key[i]!, graph.target[i]!];
    const last = steps.at(-1);
    const continues =
      last && (type === edge.passage || (type === edge.process && last.type === edge.process));
    if (continues) steps[steps.length - 1] = { ...last, to };
    else steps.push({ from: last?.to ?? start, to, type, key });
  }
  return steps;
}

function flags(size: number, set: readonly number[]): Uint8Array {
  const result = new Uint8Array(size);
  for (const one of set) result[one] = 1;
  return result;
}
