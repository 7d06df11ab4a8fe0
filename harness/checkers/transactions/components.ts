/**
 * Strongly connected components (Tarjan 1972), iterative, in O(nodes + edges): every cycle lies inside one.
 *
 * Two graphs can be asked about. The plain one: the edges of some types. And, for snapshot isolation, the one in
 * which no two anti-dependencies may follow each other: its nodes are (node, was the last edge an anti-dependency).
 * A closed walk in the latter always contains a simple cycle without adjacent anti-dependencies: where a walk meets
 * itself, at least one of its two halves closes without joining rw to rw. So both answers are exact.
 */
import type { Budget } from "./budget.ts";
import { type DependencyGraph, edge } from "./dependency-graph.ts";

export interface Components {
  /** By node: the number of its component; -1 where that is the node alone, which is no cycle. */
  readonly of: Int32Array;
  /** Nodes in each component. */
  readonly sizes: readonly number[];
}

/** @param types bits of the edges to follow; passages are always followed. @throws OutOfTime */
export function components(graph: DependencyGraph, types: number, budget: Budget): Components {
  const search = new Tarjan(graph, types, false, budget);
  search.run();
  return { of: search.component, sizes: search.sizes };
}

/** Components of walks in which no two anti-dependencies are adjacent; a node's is the smallest that one of its two states is in. */
export function nonadjacentComponents(graph: DependencyGraph, types: number, budget: Budget): Components {
  const search = new Tarjan(graph, types, true, budget);
  search.run();
  const of = new Int32Array(graph.nodes).fill(-1);
  for (let v = 0; v < graph.nodes; v++) {
    const [plain, after] = [search.component[2 * v]!, search.component[2 * v + 1]!];
    of[v] = plain === -1 ? after : plain;
  }
  return { of, sizes: search.sizes };
}

class Tarjan {
  readonly component: Int32Array;
  readonly sizes: number[] = [];
  readonly #budget: Budget;
  readonly #graph: DependencyGraph;
  readonly #types: number;
  /** 2 where each node has two states, else 1. */
  readonly #states: 1 | 2;
  /** Order of discovery from 1; 0: not yet. */
  readonly #found: Int32Array;
  readonly #low: Int32Array;
  /** The next edge to look at. */
  readonly #cursor: Int32Array;
  readonly #isOpen: Uint8Array;
  readonly #open: Int32Array;
  readonly #path: Int32Array;
  #opened = 0;
  #depth = 0;
  #count = 0;

  constructor(graph: DependencyGraph, types: number, nonadjacent: boolean, budget: Budget) {
    this.#budget = budget;
    this.#graph = graph;
    this.#types = types | edge.passage;
    this.#states = nonadjacent ? 2 : 1;
    const size = graph.nodes * this.#states;
    this.component = new Int32Array(size).fill(-1);
    this.#found = new Int32Array(size);
    this.#low = new Int32Array(size);
    this.#cursor = new Int32Array(size);
    this.#isOpen = new Uint8Array(size);
    this.#open = new Int32Array(size);
    this.#path = new Int32Array(size);
  }

  run(): void {
    for (let at = 0; at < this.#found.length; at++) {
      if (this.#found[at] !== 0) continue;
      this.#enter(at);
      while (this.#depth > 0) this.#advance(this.#path[this.#depth - 1]!);
    }
  }

  #enter(at: number): void {
    this.#budget.spend("looking for cycles", this.#count, this.#found.length);
    this.#found[at] = this.#low[at] = ++this.#count;
    this.#cursor[at] = this.#graph.start[this.#nodeOf(at)]!;
    this.#isOpen[at] = 1;
    this.#open[this.#opened++] = at;
    this.#path[this.#depth++] = at;
  }

  /** Follows edges out of `at` until one leads to somewhere new, or none is left. */
  #advance(at: number): void {
    const { start, target, type } = this.#graph;
    const end = start[this.#nodeOf(at) + 1]!;
    let cursor = this.#cursor[at]!;
    while (cursor < end) {
      const kind = type[cursor]!;
      const to = (kind & this.#types) === 0 ? -1 : this.#after(at, target[cursor]!, kind);
      cursor++;
      if (to === -1) continue;
      if (this.#found[to] === 0) {
        this.#cursor[at] = cursor;
        this.#enter(to);
        return;
      }
      if (this.#isOpen[to] && this.#found[to]! < this.#low[at]!) this.#low[at] = this.#found[to]!;
    }
    this.#leave(at);
  }

  #leave(at: number): void {
    this.#depth--;
    if (this.#depth > 0) {
      const parent = this.#path[this.#depth - 1]!;
      if (this.#low[at]! < this.#low[parent]!) this.#low[parent] = this.#low[at]!;
    }
    if (this.#low[at] !== this.#found[at]) return;
    let from = this.#opened;
    do this.#isOpen[this.#open[--from]!] = 0;
    while (this.#open[from] !== at);
    const size = this.#opened - from;
    if (size > 1) {
      for (let i = from; i < this.#opened; i++) this.component[this.#open[i]!] = this.sizes.length;
      this.sizes.push(size);
    }
    this.#opened = from;
  }

  #nodeOf(at: number): number {
    return this.#states === 1 ? at : at >> 1;
  }

  /** Where an edge leads to; -1 when it may not be taken. */
  #after(at: number, target: number, kind: number): number {
    if (this.#states === 1) return target;
    const afterAntiDependency = at & 1;
    if (kind === edge.rw) return afterAntiDependency ? -1 : 2 * target + 1;
    return 2 * target + (kind === edge.passage ? afterAntiDependency : 0);
  }
}
