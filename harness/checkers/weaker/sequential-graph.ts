/**
 * What must come before what in every sequentially consistent order of a history, by the rules that hold whatever the
 * order is: each process's own order; a write before its readers; and for a read of v, every other write of that key is
 * older than v if it comes before the read, and comes after the read if v comes before it. The rules are applied until
 * nothing new follows (Gibbons & Korach 1997; Biswas & Enea 2019 call it saturation). A cycle refutes the history; no
 * cycle proves nothing, and the search goes on from here with what is known.
 *
 * Precedence is kept as one vector per operation: how many operations of each process come before it. O(operations ×
 * processes) memory, and time for each round; few rounds are the rule.
 */
import type { Operation } from "../../history/operation.ts";
import type { Access, Version } from "./versions.ts";

export type EdgeKind = "process" | "read" | "initial" | "older" | "overwritten";

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly kind: EdgeKind;
  /** For `older` and `overwritten`: the read that it follows from. */
  readonly read?: number;
  /** The order in which edges were found: one follows only from those before it. */
  readonly serial: number;
}

export type Saturation =
  | "saturated"
  | "too large"
  | "out of time"
  | { readonly cycles: readonly (readonly Edge[])[] };

/** Entries of all vectors together: 160 MB. */
const entriesMax = 40_000_000;
const startsTried = 200;
const cyclesTold = 24;

interface Writes {
  /** Places of this key's writes in each process, ascending. */
  readonly bySession: Map<number, number[]>;
}

export class SequentialGraph {
  readonly accesses: readonly Access[];
  readonly #session: Int32Array;
  readonly #place: Int32Array;
  readonly #sessions: number[][] = [];
  readonly #incoming: Edge[][];
  readonly #outgoing: Edge[][];
  readonly #writerOf = new Map<Version, number>();
  readonly #writes = new Map<string, Writes>();
  #before: Int32Array = new Int32Array(0);
  #serial = 0;

  /** @param sessionOf as from `sessionNumbers`. */
  constructor(accesses: readonly Access[], sessionOf: (operation: Operation) => number) {
    this.accesses = accesses;
    this.#session = new Int32Array(accesses.length);
    this.#place = new Int32Array(accesses.length);
    this.#incoming = accesses.map(() => []);
    this.#outgoing = accesses.map(() => []);
    const numbers = new Map<number, number>();
    accesses.forEach(({ operation, writes }, node) => {
      const session = numbers.get(sessionOf(operation)) ?? numbers.size;
      numbers.set(sessionOf(operation), session);
      this.#sessions[session] ??= [];
      this.#session[node] = session;
      this.#place[node] = this.#sessions[session].push(node) - 1;
      if (writes) this.#noteWrite(writes, node, session);
    });
    for (const nodes of this.#sessions) {
      for (let i = 1; i < nodes.length; i++) this.#add(nodes[i - 1]!, nodes[i]!, "process");
    }
    accesses.forEach(({ reads }, node) => {
      if (reads) this.#addRead(reads, node);
    });
  }

  /** Operations that must come before this one, apart from what follows through others. */
  before(node: number): Iterable<Edge> {
    return this.#incoming[node]!;
  }

  /** @param untilMs `performance.now()` at which to give up; what was found so far stays. */
  saturate(untilMs: number): Saturation {
    const width = this.#sessions.length;
    if (this.accesses.length * width > entriesMax) return "too large";
    for (;;) {
      const cyclic = this.#computeVectors();
      if (cyclic) return { cycles: this.#cyclesAmong(cyclic) };
      const found = this.#serial;
      for (let node = 0; node < this.accesses.length; node++) {
        if (node % 1024 === 0 && performance.now() > untilMs) return "out of time";
        const { reads } = this.accesses[node]!;
        if (reads?.writer) this.#deduce(reads, node);
      }
      if (this.#serial === found) return "saturated";
    }
  }

  /** The edges by which one operation comes before another, from those found before `serial`; the fewest there are. */
  path(from: number, to: number, serial: number): Edge[] {
    const cameBy = new Map<number, Edge>();
    const queue = [from];
    for (const node of queue) {
      for (const edge of this.#outgoing[node]!) {
        if (edge.serial >= serial || cameBy.has(edge.to)) continue;
        cameBy.set(edge.to, edge);
        if (edge.to === to) return pathTo(to, from, cameBy);
        queue.push(edge.to);
      }
    }
    return [];
  }

  #noteWrite(version: Version, node: number, session: number): void {
    this.#writerOf.set(version, node);
    let writes = this.#writes.get(version.key);
    if (!writes) {
      writes = { bySession: new Map() };
      this.#writes.set(version.key, writes);
    }
    const places = writes.bySession.get(session);
    if (places) places.push(this.#place[node]!);
    else writes.bySession.set(session, [this.#place[node]!]);
  }

  #addRead(reads: Version, node: number): void {
    const writer = this.#writerOf.get(reads);
    if (writer !== undefined) {
      this.#add(writer, node, "read");
      return;
    }
    for (const [session, places] of this.#writes.get(reads.key)?.bySession ?? []) {
      const first = places.map((place) => this.#sessions[session]![place]!).find((other) => other !== node);
      if (first !== undefined) this.#add(node, first, "initial");
    }
  }

  #add(from: number, to: number, kind: EdgeKind, read?: number): void {
    const edge: Edge = { from, to, kind, serial: this.#serial++, ...(read === undefined ? {} : { read }) };
    this.#incoming[to]!.push(edge);
    this.#outgoing[from]!.push(edge);
  }

  #precedes(a: number, b: number): boolean {
    const width = this.#sessions.length;
    return a !== b && this.#before[b * width + this.#session[a]!]! > this.#place[a]!;
  }

  /** Both rules for one read, with the nearest write of each process: those beyond it follow through it. */
  #deduce(reads: Version, node: number): void {
    const writer = this.#writerOf.get(reads)!;
    for (const [session, places] of this.#writes.get(reads.key)!.bySession) {
      const nodes = this.#sessions[session]!;
      const nodeAt = (i: number) => nodes[places[i]!]!;
      const firstNotBefore = partition(places.length, (i) => this.#precedes(nodeAt(i), node));
      const older = firstNotBefore > 0 ? nodeAt(firstNotBefore - 1) : undefined;
      if (older !== undefined && older !== writer && !this.#precedes(older, writer)) {
        this.#add(older, writer, "older", node);
      }
      let firstAfter = partition(places.length, (i) => !this.#precedes(writer, nodeAt(i)));
      if (firstAfter < places.length && nodeAt(firstAfter) === node) firstAfter++;
      const newer = firstAfter < places.length ? nodeAt(firstAfter) : undefined;
      if (newer !== undefined && newer !== writer && !this.#precedes(node, newer)) {
        this.#add(node, newer, "overwritten", node);
      }
    }
  }

  /** Kahn 1962; the operations that are left when there is a cycle. */
  #computeVectors(): number[] | undefined {
    const width = this.#sessions.length;
    const count = this.accesses.length;
    this.#before = new Int32Array(count * width);
    const waiting = Int32Array.from(this.#incoming, (edges) => edges.length);
    const free = [...waiting.keys()].filter((node) => waiting[node] === 0);
    let placed = 0;
    for (let node = free.pop(); node !== undefined; node = free.pop()) {
      placed++;
      const own = node * width + this.#session[node]!;
      this.#before[own] = Math.max(this.#before[own]!, this.#place[node]! + 1);
      for (const { to } of this.#outgoing[node]!) {
        for (let i = 0; i < width; i++) {
          const known = this.#before[node * width + i]!;
          if (known > this.#before[to * width + i]!) this.#before[to * width + i] = known;
        }
        if (--waiting[to]! === 0) free.push(to);
      }
    }
    if (placed === count) return undefined;
    return [...waiting.keys()].filter((node) => waiting[node]! > 0);
  }

  /** Some short cycles, the shortest first. */
  #cyclesAmong(nodes: readonly number[]): Edge[][] {
    const every = Math.max(1, Math.floor(nodes.length / startsTried));
    const unplaced = new Set(nodes);
    const starts = nodes.filter((_node, i) => i % every === 0).map((node) => this.#onCycle(node, unplaced));
    const cycles = [...new Set(starts)]
      .map((node) => this.#shortened(this.path(node, node, Number.POSITIVE_INFINITY)))
      .filter((cycle) => cycle.length > 0);
    return cycles.sort((a, b) => weight(a) - weight(b)).slice(0, cyclesTold);
  }

  /** Back from an unplaced operation, over what it waits for, until one comes again. */
  #onCycle(from: number, unplaced: ReadonlySet<number>): number {
    const met = new Set<number>();
    let node = from;
    while (!met.has(node)) {
      met.add(node);
      node = this.#incoming[node]!.find((edge) => unplaced.has(edge.from))!.from;
    }
    return node;
  }

  /** Steps of one process in a row become one. */
  #shortened(cycle: readonly Edge[]): Edge[] {
    const start = cycle.findIndex(
      (edge, i) => edge.kind !== "process" && cycle.at(i - 1)!.kind === "process",
    );
    const turned = start < 0 ? cycle : [...cycle.slice(start), ...cycle.slice(0, start)];
    const short: Edge[] = [];
    for (const edge of turned) {
      const last = short.at(-1);
      if (edge.kind === "process" && last?.kind === "process")
        short[short.length - 1] = { ...last, to: edge.to };
      else short.push(edge);
    }
    return short;
  }
}

/** Deductions weigh more, since they have to be explained. */
function weight(cycle: readonly Edge[]): number {
  return cycle.reduce((sum, { kind }) => sum + (kind === "older" || kind === "overwritten" ? 3 : 1), 0);
}

function pathTo(to: number, from: number, cameBy: ReadonlyMap<number, Edge>): Edge[] {
  const path: Edge[] = [];
  let node = to;
  do {
    const edge = cameBy.get(node)!;
    path.push(edge);
    node = edge.from;
  } while (node !== from);
  return path.reverse();
}

/** The first index at which the predicate fails; it holds for all before and for none after. */
function partition(length: number, holds: (i: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
