/**
 * The shortest cycle that needs real time. Real time is an interval order: of two real-time steps A → B and C → D
 * in one cycle, A → D or C → B holds, too, and cuts the cycle short. So a cycle that needs real time contains one
 * with a *single* such step: a path of other edges from some B to some A that had ended before B was sent.
 *
 * For k = 1, 2, 3 …: the earliest end of any transaction that each one reaches in at most k edges, from the same
 * for k - 1. The first k for which some transaction reaches one that had ended before it was sent is the length of
 * the shortest path: exact, in O(k · edges).
 */
import type { Budget } from "./budget.ts";
import type { CycleStep } from "./cycles.ts";
import { type DependencyGraph, edge } from "./dependency-graph.ts";

/** When each transaction of the graph was sent and had ended, as ranks. */
export interface Ranks {
  call(node: number): number;
  end(node: number): number;
}

/**
 * @param types the edges of the path.
 * @param nonadjacent no two anti-dependencies may follow each other.
 * @returns `undefined` when there is none, or when the time was up.
 */
export function shortestRealtimeCycle(
  graph: DependencyGraph,
  ranks: Ranks,
  types: number,
  nonadjacent: boolean,
  budget: Budget,
): readonly CycleStep[] | undefined {
  const reach = new Reach(graph, ranks, types, nonadjacent);
  for (let length = 1; length <= 2 * graph.nodes && !budget.isUsedUp(); length++) {
    const grew = reach.extend();
    for (let v = 0; v < graph.transactions; v++) {
      if (reach.earliest[0]![v]! < ranks.call(v)) return closed(graph, ranks, v, { types, nonadjacent });
    }
    if (!grew) return undefined;
  }
  return undefined;
}

/** The state after an edge: 1 after an anti-dependency that must not be followed by another; -1 where the edge is forbidden. */
function after(state: number, type: number, types: number, nonadjacent: boolean): number {
  if (type === edge.passage) return state;
  if ((type & types) === 0) return -1;
  if (!nonadjacent || type !== edge.rw) return 0;
  return state === 1 ? -1 : 1;
}

class Reach {
  /** By state, by node: the earliest end that is reached. */
  earliest: [Float64Array, Float64Array];
  readonly #graph: DependencyGraph;
  readonly #types: number;
  readonly #nonadjacent: boolean;

  constructor(graph: DependencyGraph, ranks: Ranks, types: number, nonadjacent: boolean) {
    this.#graph = graph;
    this.#types = types;
    this.#nonadjacent = nonadjacent;
    const own = new Float64Array(graph.nodes).fill(Number.POSITIVE_INFINITY);
    for (let v = 0; v < graph.transactions; v++) own[v] = ranks.end(v);
    this.earliest = [own, own.slice()];
    this.#throughJunctions(this.earliest);
  }

  /** One edge more. False when nothing changed. */
  extend(): boolean {
    const { transactions } = this.#graph;
    const next: [Float64Array, Float64Array] = [this.earliest[0].slice(), this.earliest[1].slice()];
    let grew = false;
    for (const state of this.#nonadjacent ? [0, 1] : [0]) {
      for (let v = 0; v < transactions; v++) grew = this.#improve(next[state]!, v, state) || grew;
    }
    this.#throughJunctions(next);
    this.earliest = next;
    return grew;
  }

  #improve(next: Float64Array, v: number, state: number): boolean {
    const { start, target, type } = this.#graph;
    const before = next[v]!;
    let best = before;
    for (let i = start[v]!; i < start[v + 1]!; i++) {
      const to = after(state, type[i]!, this.#types, this.#nonadjacent);
      if (to !== -1 && this.earliest[to]![target[i]!]! < best) best = this.earliest[to]![target[i]!]!;
    }
    next[v] = best;
    return best < before;
  }

  /**
   * Open ends of keys lead on at no cost: to transactions, and to junctions made earlier, whose turn has been.
   * Barriers lead to later ones, but are not reached, since real time is not followed here.
   */
  #throughJunctions(earliest: readonly [Float64Array, Float64Array]): void {
    const { start, target, nodes, transactions } = this.#graph;
    for (const values of earliest) {
      for (let v = transactions; v < nodes; v++) {
        for (let i = start[v]!; i < start[v + 1]!; i++) {
          if (values[target[i]!]! < values[v]!) values[v] = values[target[i]!]!;
        }
      }
    }
  }
}

interface Rules {
  readonly types: number;
  readonly nonadjacent: boolean;
}

interface Place {
  readonly node: number;
  readonly state: number;
  readonly via?: { readonly from: Place; readonly edge: number };
}

/** The shortest path from `start` to a transaction that had ended before it was sent, and the step of real time back. */
function closed(graph: DependencyGraph, ranks: Ranks, start: number, rules: Rules): readonly CycleStep[] {
  const costs = new Map([[2 * start, 0]]);
  let level: Place[] = [{ node: start, state: 0 }];
  for (let cost = 0; level.length > 0; cost++) {
    const next: Place[] = [];
    // The level grows while it is walked: passages cost nothing.
    for (const place of level) {
      if (costs.get(2 * place.node + place.state)! < cost) continue;
      if (place.node < graph.transactions && ranks.end(place.node) < ranks.call(start)) {
        return [...pathTo(graph, place), { from: place.node, to: start, type: edge.realtime, key: -1 }];
      }
      for (let i = graph.start[place.node]!; i < graph.start[place.node + 1]!; i++) {
        const [node, type] = [graph.target[i]!, graph.type[i]!];
        const state = after(place.state, type, rules.types, rules.nonadjacent);
        const there = type === edge.passage ? cost : cost + 1;
        if (state === -1 || (costs.get(2 * node + state) ?? Number.POSITIVE_INFINITY) <= there) continue;
        costs.set(2 * node + state, there);
        (type === edge.passage ? level : next).push({ node, state, via: { from: place, edge: i } });
      }
    }
    level = next;
  }
  return [];
}

function pathTo(graph: DependencyGraph, end: Place): CycleStep[] {
  const steps: CycleStep[] = [];
  let to = end.node;
  for (let place = end; place.via; place = place.via.from) {
    if (graph.type[place.via.edge] === edge.passage) continue;
    const from = place.via.from.node;
    steps.push({ from, to, type: graph.type[place.via.edge]!, key: graph.key[place.via.edge]! });
    to = from;
  }
  return steps.reverse();
}
