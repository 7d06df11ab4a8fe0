/**
 * The graph of what must come before what: Adya's direct serialization graph, with the order of each client's
 * transactions and real time, in typed arrays.
 *
 * Nodes below `transactions` are transactions; the others are *junctions*, which stand for many edges at once:
 * - a barrier of real time. Everything that ended before some invocation reaches one barrier, barriers are chained in order,
 *   and each invocation hangs from the latest: at most four edges for each transaction instead of a quadratic number.
 * - the open end of a key: whatever is known to come next without knowing which of several transactions does.
 * The edges *into* a junction have a type; those out of it are `passage`, which costs nothing and changes nothing.
 * So a cycle's transactions and the types between them are read off directly. No edge leads from a node to itself.
 */
import type { TransactionLog } from "./transaction.ts";

/** Bits, so that a set of types is one number. */
export const edge = {
  ww: 1,
  wr: 2,
  rw: 4,
  process: 8,
  realtime: 16,
  passage: 32,
} as const;

export type EdgeBit = (typeof edge)[keyof typeof edge];

/** Writes and reads: what the clients' values alone show. */
export const dataEdges = edge.ww | edge.wr | edge.rw;

export interface DependencyGraph {
  readonly nodes: number;
  /** Nodes from here on are junctions. */
  readonly transactions: number;
  /** Edges out of v are those from `start[v]` up to `start[v + 1]`. */
  readonly start: Int32Array;
  readonly target: Int32Array;
  readonly type: Uint8Array;
  /** The key's number; -1 for process, realtime and passage. */
  readonly key: Int32Array;
  /** The node in the whole graph. */
  readonly original: (node: number) => number;
}

/** Edges as they are found; `build` sorts them by where they begin. */
export class GraphBuilder {
  #from: Int32Array;
  #to: Int32Array;
  #type: Uint8Array;
  #key: Int32Array;
  #edges = 0;
  #nodes: number;
  readonly #transactions: number;

  /** @param capacity how many edges to expect; growing copies, and large copies make the collector work. */
  constructor(transactions: number, capacity = 64) {
    this.#transactions = transactions;
    this.#nodes = transactions;
    this.#from = new Int32Array(capacity);
    this.#to = new Int32Array(capacity);
    this.#type = new Uint8Array(capacity);
    this.#key = new Int32Array(capacity);
  }

  /** A new junction. */
  junction(): number {
    return this.#nodes++;
  }

  /** An edge from a transaction to itself says nothing and is left out. */
  add(from: number, to: number, type: EdgeBit, key = -1): void {
    if (from === to) return;
    if (this.#edges === this.#from.length) this.#grow();
    const at = this.#edges++;
    this.#from[at] = from;
    this.#to[at] = to;
    this.#type[at] = type;
    this.#key[at] = key;
  }

  build(): DependencyGraph {
    const edges = this.#edges;
    const start = new Int32Array(this.#nodes + 1);
    for (let i = 0; i < edges; i++) start[this.#from[i]! + 1]!++;
    for (let v = 0; v < this.#nodes; v++) start[v + 1]! += start[v]!;
    const next = start.slice(0, this.#nodes);
    const target = new Int32Array(edges);
    const type = new Uint8Array(edges);
    const key = new Int32Array(edges);
    for (let i = 0; i < edges; i++) {
      const at = next[this.#from[i]!]!++;
      target[at] = this.#to[i]!;
      type[at] = this.#type[i]!;
      key[at] = this.#key[i]!;
    }
    return {
      nodes: this.#nodes,
      transactions: this.#transactions,
      start,
      target,
      type,
      key,
      original: (node) => node,
    };
  }

  #grow(): void {
    const length = this.#from.length * 2;
    this.#from = grown(this.#from, new Int32Array(length));
    this.#to = grown(this.#to, new Int32Array(length));
    this.#type = grown(this.#type, new Uint8Array(length));
    this.#key = grown(this.#key, new Int32Array(length));
  }
}

function grown<Numbers extends Int32Array | Uint8Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

/** Each client's transactions one after the other: an edge from one that was acknowledged to the client's next. */
export function addProcessEdges(log: TransactionLog, builder: GraphBuilder): void {
  const latest = new Map<number, number>();
  for (let t = 0; t < log.operations.length; t++) {
    if (!log.committed[t]) continue;
    const { process, outcome } = log.operations[t]!;
    const before = latest.get(process);
    if (before !== undefined) builder.add(before, t, edge.process);
    if (outcome === "ok") latest.set(process, t);
  }
}

/**
 * Real time: A before B when A had ended (an indeterminate one: could no longer take effect) before B was sent.
 * A barrier is opened by the first end after an invocation, and shared by all ends until the next invocation.
 */
export function addRealtimeEdges(log: TransactionLog, builder: GraphBuilder): void {
  const { operations, committed } = log;
  const ended = committedInOrderOfEnd(log);
  let next = 0;
  let barrier = -1;
  let isUsed = true;
  for (let t = 0; t < operations.length; t++) {
    if (!committed[t]) continue;
    while (next < ended.length && operations[ended[next]!]!.bound < operations[t]!.call) {
      if (isUsed) {
        const opened = builder.junction();
        if (barrier !== -1) builder.add(barrier, opened, edge.passage);
        barrier = opened;
        isUsed = false;
      }
      builder.add(ended[next++]!, barrier, edge.realtime);
    }
    if (barrier === -1) continue;
    builder.add(barrier, t, edge.passage);
    isUsed = true;
  }
}

function committedInOrderOfEnd({ operations, committed }: TransactionLog): Int32Array {
  const ends = Float64Array.from(operations, (operation) => operation.bound);
  let count = 0;
  const ended = new Int32Array(operations.length);
  for (let t = 0; t < operations.length; t++) if (committed[t]) ended[count++] = t;
  // Not a difference: of two that never end it would be NaN.
  return ended
    .subarray(0, count)
    .sort((a, b) => (ends[a]! < ends[b]! ? -1 : ends[a]! > ends[b]! ? 1 : a - b));
}

/** The nodes whose `group` is not -1, in the same order, and the edges between nodes of the same group. `original` leads all the way back. */
export function subgraph(graph: DependencyGraph, group: Int32Array): DependencyGraph {
  const renamed = new Int32Array(graph.nodes).fill(-1);
  let [nodes, transactions, edges] = [0, 0, 0];
  for (let v = 0; v < graph.nodes; v++) {
    if (group[v] === -1) continue;
    renamed[v] = nodes++;
    edges += graph.start[v + 1]! - graph.start[v]!;
    if (v < graph.transactions) transactions++;
  }
  const originals = new Int32Array(nodes);
  for (let v = 0; v < graph.nodes; v++) if (group[v] !== -1) originals[renamed[v]!] = v;
  const builder = new GraphBuilder(transactions, Math.max(1, edges));
  for (let i = transactions; i < nodes; i++) builder.junction();
  for (const v of originals) {
    for (let i = graph.start[v]!; i < graph.start[v + 1]!; i++) {
      const to = graph.target[i]!;
      if (group[to] !== group[v]) continue;
      builder.add(renamed[v]!, renamed[to]!, graph.type[i]! as EdgeBit, graph.key[i]!);
    }
  }
  return { ...builder.build(), original: (node) => graph.original(originals[node]!) };
}
