/**
 * Which classes of cycles a graph of transactions has, and the shortest of each.
 *
 * Whether a level is ruled out is decided by strongly connected components, exactly and in linear time, in this
 * order: data alone (G0: writes; G1c: writes and reads; any), data without adjacent anti-dependencies (snapshot
 * isolation), and the same with the order of each client's transactions, then with real time. The search for the
 * shortest cycle of a class comes after that and only for a person to read. A variant with client order or real
 * time is sought only while the level that it forbids is still possible: otherwise it says nothing new.
 *
 * Not verified: that no second kind of data cycle hides among the transactions of a worse one. Where cycles of
 * several classes share transactions, a G-nonadjacent or G2-item may go unnamed; the levels are not affected by it.
 */
import type { Budget } from "./budget.ts";
import { type Components, components, nonadjacentComponents } from "./components.ts";
import { CycleSearch, type CycleStep, type Pattern, type ShortestCycle } from "./cycles.ts";
import { type DependencyGraph, dataEdges, edge, subgraph } from "./dependency-graph.ts";
import type { AnomalyName, LevelName, Levels } from "./levels.ts";
import { type Ranks, shortestRealtimeCycle } from "./realtime-cycles.ts";

export type CycleKind = "g0" | "g1c" | "g-single" | "g-nonadjacent" | "g2-item";

export interface FoundCycle {
  readonly kind: CycleKind;
  /** A write cycle through a transaction that was never answered: should that have been aborted, it is an aborted read. */
  readonly unanswered: boolean;
  readonly order?: "process" | "realtime";
  /** Between transactions, as nodes of the whole graph. */
  readonly steps: readonly CycleStep[];
  /** Separate groups of transactions that have such a cycle. */
  readonly groups: number;
  /** False: there may be a shorter one, and more groups. */
  readonly complete: boolean;
}

/** What the graph does not say of its transactions, by node. */
export interface NodeFacts extends Ranks {
  /** It was acknowledged. Otherwise it is known only from reads, which prove it committed or else aborted reads. */
  isAnswered(node: number): boolean;
}

/** A level that may or may not be ruled out. */
export interface OpenQuestion {
  readonly level: LevelName;
  readonly what: string;
}

export interface CycleReport {
  readonly cycles: readonly FoundCycle[];
  /** What the searches did not find out, because they were cut short. */
  readonly open: readonly OpenQuestion[];
}

/** Edges that one search may look at. */
const defaultWork = 40_000_000;

const writesAndReads = edge.ww | edge.wr;

/** Searched through data alone. Each begins with the edge that makes it what it is. */
const dataPatterns: Readonly<Record<CycleKind, Pattern>> = {
  g0: { rows: [{ ww: 0 }], accepting: [0], atLeast: 2 },
  g1c: { rows: [{ wr: 1 }, { ww: 1, wr: 1 }], accepting: [1], atLeast: 2 },
  "g-single": { rows: [{ rw: 1 }, { ww: 1, wr: 1 }], accepting: [1], atLeast: 2 },
  "g-nonadjacent": {
    rows: [{ rw: 1 }, { ww: 2, wr: 2 }, { ww: 2, wr: 2, rw: 3 }, { ww: 4, wr: 4 }, { ww: 4, wr: 4, rw: 3 }],
    accepting: [4],
    atLeast: 4,
  },
  "g2-item": { rows: [{ rw: 1 }, { rw: 2 }, { ww: 2, wr: 2, rw: 2 }], accepting: [2], atLeast: 2 },
};

interface Variant {
  readonly kind: "g0" | "g1c" | "g-nonadjacent" | "g2-item";
  /** Data edges allowed. */
  readonly types: number;
  readonly nonadjacent: boolean;
  readonly session: LevelName;
  readonly strong: LevelName;
  /** With the order of each client's transactions. */
  readonly pattern: Pattern;
}

/** With the order of clients or real time, each only while no weaker one was found: so the extra edges are in it, and the class's own. */
const variants: readonly Variant[] = [
  {
    kind: "g0",
    types: edge.ww,
    nonadjacent: false,
    session: "strong-session-read-uncommitted",
    strong: "strong-read-uncommitted",
    pattern: {
      rows: [
        { ww: 0, process: 1 },
        { ww: 0, process: 1 },
      ],
      accepting: [0, 1],
      riding: [1],
      atLeast: 2,
    },
  },
  {
    kind: "g1c",
    types: writesAndReads,
    nonadjacent: false,
    session: "strong-session-read-committed",
    strong: "strong-read-committed",
    pattern: {
      rows: [
        { ww: 0, wr: 0, process: 1 },
        { ww: 0, wr: 0, process: 1 },
      ],
      accepting: [0, 1],
      riding: [1],
      atLeast: 2,
    },
  },
  {
    kind: "g-nonadjacent",
    types: dataEdges,
    nonadjacent: true,
    session: "strong-session-snapshot-isolation",
    strong: "strong-snapshot-isolation",
    pattern: {
      rows: [
        { ww: 0, wr: 0, process: 2, rw: 1 },
        { ww: 0, wr: 0, process: 2 },
        { ww: 0, wr: 0, process: 2, rw: 1 },
      ],
      accepting: [0, 2],
      riding: [2],
      atLeast: 2,
    },
  },
  {
    kind: "g2-item",
    types: dataEdges,
    nonadjacent: false,
    session: "strong-session-serializable",
    strong: "strict-serializable",
    pattern: {
      rows: [
        { ww: 0, wr: 0, rw: 0, process: 1 },
        { ww: 0, wr: 0, rw: 0, process: 1 },
      ],
      accepting: [0, 1],
      riding: [1],
      atLeast: 2,
    },
  },
];

/**
 * Finds the cycles of a graph and enters what they rule out.
 *
 * @param levels what other anomalies have ruled out already.
 */
export function findCycles(
  graph: DependencyGraph,
  facts: NodeFacts,
  levels: Levels,
  budget: Budget,
  work = defaultWork,
): CycleReport {
  const all = components(graph, dataEdges | edge.process | edge.realtime, budget);
  if (all.sizes.length === 0) return { cycles: [], open: [] };
  const part = subgraph(graph, all.of);
  const search = new CyclesOfPart(part, facts, levels, budget, work);
  search.data();
  search.process();
  search.realtime();
  return { cycles: search.cycles, open: search.open };
}

/** Searches the part of the graph that has cycles at all. */
class CyclesOfPart {
  readonly cycles: FoundCycle[] = [];
  readonly open: OpenQuestion[] = [];
  readonly #graph: DependencyGraph;
  /** See `#answered`; made when first asked for. */
  #answeredPart: DependencyGraph | undefined;
  readonly #facts: NodeFacts;
  readonly #levels: Levels;
  readonly #budget: Budget;
  readonly #work: number;

  constructor(graph: DependencyGraph, facts: NodeFacts, levels: Levels, budget: Budget, work: number) {
    this.#graph = graph;
    this.#facts = facts;
    this.#levels = levels;
    this.#budget = budget;
    this.#work = work;
  }

  data(): void {
    const graph = this.#graph;
    const any = components(graph, dataEdges, this.#budget);
    if (any.sizes.length === 0) return;
    const flow = components(graph, writesAndReads, this.#budget);
    if (flow.sizes.length > 0) {
      const writes = components(this.#answered(), edge.ww, this.#budget);
      this.#searchData("g0", this.#answered(), writes, writes, "read-uncommitted");
      this.#searchData("g1c", graph, flow, flow, "read-committed");
      if (!this.#levels.isRuledOut("read-committed")) {
        this.#searchData("g0", graph, flow, flow, "read-committed");
      }
    }
    const nonadjacent = nonadjacentComponents(graph, dataEdges, this.#budget);
    this.#searchData("g-single", graph, any, nonadjacent, "consistent-view");
    this.#searchData("g-nonadjacent", graph, any, nonadjacent, "snapshot-isolation");
    this.#searchData("g2-item", graph, any, any, "serializable");
  }

  /** With the order of clients. */
  process(): void {
    if (components(this.#graph, dataEdges | edge.process, this.#budget).sizes.length === 0) return;
    for (const variant of variants) this.#processVariant(variant);
  }

  realtime(): void {
    for (const variant of variants) this.#realtimeVariant(variant);
  }

  /**
   * Without transactions that were never answered: what counts for read uncommitted, which permits aborted reads.
   */
  #answered(): DependencyGraph {
    if (this.#answeredPart) return this.#answeredPart;
    const { nodes, transactions, original } = this.#graph;
    const kept = new Int32Array(nodes);
    for (let v = 0; v < transactions; v++) if (!this.#facts.isAnswered(original(v))) kept[v] = -1;
    this.#answeredPart = kept.includes(-1) ? subgraph(this.#graph, kept) : this.#graph;
    return this.#answeredPart;
  }

  /** @param starts the components whose nodes may be on a cycle of the class. */
  #searchData(
    kind: CycleKind,
    graph: DependencyGraph,
    within: Components,
    starts: Components,
    level: LevelName,
  ): void {
    if (starts.sizes.length === 0) return;
    const found = new CycleSearch(graph, dataPatterns[kind]).shortest(within.of, starts.of, this.#limits());
    this.#note(kind, graph, found);
    if (!found.complete) this.#mustBeRuledOut(level, kind);
  }

  #processVariant({ kind, types, nonadjacent, session, pattern }: Variant): void {
    if (this.#levels.isRuledOut(session)) return;
    const graph = kind === "g0" ? this.#answered() : this.#graph;
    const starts = this.#components(graph, types | edge.process, nonadjacent);
    if (starts.sizes.length === 0) return;
    const within = nonadjacent ? components(graph, types | edge.process, this.#budget) : starts;
    const search = new CycleSearch(graph, pattern);
    this.#note(kind, graph, search.shortest(within.of, starts.of, this.#limits()));
    this.#mustBeRuledOut(session, `${kind} with the order of clients`);
  }

  #realtimeVariant({ kind, types, nonadjacent, strong }: Variant): void {
    if (this.#levels.isRuledOut(strong)) return;
    let graph = this.#graph;
    let within = this.#components(graph, types | edge.realtime, nonadjacent);
    if (kind === "g0" && within.sizes.length > 0) {
      graph = this.#answered();
      within = this.#components(graph, types | edge.realtime, nonadjacent);
    }
    if (within.sizes.length === 0) return;
    const ranks = {
      call: (node: number) => this.#facts.call(graph.original(node)),
      end: (node: number) => this.#facts.end(graph.original(node)),
    };
    const steps = shortestRealtimeCycle(graph, ranks, types, nonadjacent, this.#budget);
    this.#note(kind, graph, { steps, groups: nonadjacent ? 1 : within.sizes.length, complete: true });
    this.#mustBeRuledOut(strong, `${kind} with real time`);
  }

  #components(graph: DependencyGraph, types: number, nonadjacent: boolean): Components {
    return nonadjacent
      ? nonadjacentComponents(graph, types, this.#budget)
      : components(graph, types, this.#budget);
  }

  #limits(): { budget: Budget; work: number } {
    return { budget: this.#budget, work: this.#work };
  }

  /** There may be a cycle (with client order or real time: there is one) that the search had no time to name. */
  #mustBeRuledOut(level: LevelName, kind: string): void {
    if (this.#levels.isRuledOut(level)) return;
    this.open.push({
      level,
      what: `the search for a cycle of the class ${kind} was cut short, so ${level} is undecided`,
    });
  }

  #note(sought: CycleKind, graph: DependencyGraph, { steps, groups, complete }: ShortestCycle): void {
    if (!steps) return;
    const { kind, order } = classOf(steps, sought);
    const original = steps.map((step) => ({
      ...step,
      from: graph.original(step.from),
      to: graph.original(step.to),
    }));
    const unanswered = kind === "g0" && original.some((step) => !this.#facts.isAnswered(step.from));
    this.cycles.push({ kind, unanswered, ...(order ? { order } : {}), steps: original, groups, complete });
    const name = unanswered ? "g0 unanswered" : kind;
    this.#levels.add(order ? (`${name}-${order}` as AnomalyName) : name);
  }
}

/** A cycle's class, by the edges that it has. */
export function classOf(
  steps: readonly Pick<CycleStep, "type">[],
  sought: CycleKind = "g2-item",
): Pick<FoundCycle, "kind" | "order"> {
  const has = (type: number) => steps.some((step) => step.type === type);
  const order = has(edge.realtime) ? "realtime" : has(edge.process) ? "process" : undefined;
  const antiDependencies = steps.filter((step) => step.type === edge.rw).length;
  const isAdjacent = steps.some(
    (step, i) => step.type === edge.rw && steps[(i + 1) % steps.length]!.type === edge.rw,
  );
  let kind: CycleKind = sought;
  if (antiDependencies === 0) kind = has(edge.wr) ? "g1c" : "g0";
  else if (antiDependencies === 1) kind = "g-single";
  else kind = isAdjacent ? "g2-item" : "g-nonadjacent";
  return order ? { kind, order } : { kind };
}
