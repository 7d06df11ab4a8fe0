/**
 * The searches for cycles against listing every simple cycle, on random small graphs with data edges, clients'
 * chains, real time and open ends of keys; and the cycles they give against the graph. `ACKED_FUZZ=100000`,
 * `ACKED_FUZZ_SEED`; fast-check prints its seed.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Budget } from "./budget.ts";
import { type CycleKind, classOf, findCycles, type NodeFacts } from "./dependency-cycles.ts";
import { type DependencyGraph, type EdgeBit, edge, GraphBuilder } from "./dependency-graph.ts";
import { type AnomalyName, forbids, type LevelName, Levels, levelNames } from "./levels.ts";

const runs = Number(process.env.ACKED_FUZZ ?? 1200);
const seed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const timeoutMs = 60_000 + runs * 10;

interface Small {
  /** Of each transaction: rank of its invocation, how long it took, and its client. */
  readonly transactions: readonly {
    readonly call: number;
    readonly length: number;
    readonly client: number;
  }[];
  readonly edges: readonly (readonly [from: number, to: number, type: 1 | 2 | 4])[];
  /** Through a junction: whoever leads in, by which type, and where it leads to. */
  readonly openEnds: readonly {
    readonly from: number;
    readonly type: 1 | 4;
    readonly to: readonly number[];
  }[];
}

const type = fc.constantFrom<1 | 2 | 4>(1, 2, 4);

const small: fc.Arbitrary<Small> = fc.integer({ min: 2, max: 6 }).chain((nodes) => {
  const node = fc.nat(nodes - 1);
  return fc.record({
    transactions: fc.array(
      fc.record({ call: fc.nat(30), length: fc.integer({ min: 1, max: 20 }), client: fc.nat(2) }),
      { minLength: nodes, maxLength: nodes },
    ),
    edges: fc.array(fc.tuple(node, node, type), { maxLength: 9 }),
    openEnds: fc.array(
      fc.record({
        from: node,
        type: fc.constantFrom<1 | 4>(1, 4),
        to: fc.array(node, { minLength: 1, maxLength: 3 }),
      }),
      { maxLength: 2 },
    ),
  });
});

interface Case {
  readonly graph: DependencyGraph;
  readonly facts: NodeFacts;
  /** Every edge between transactions, junctions taken out, real time and clients' order in full. */
  readonly plain: readonly (readonly [from: number, to: number, type: number])[];
}

/** A transaction's ranks are made distinct: its number decides between equal ones. */
function caseOf({ transactions, edges, openEnds }: Small): Case {
  const call = transactions.map((one, v) => one.call * 20 + v);
  const end = transactions.map((one, v) => (one.call + one.length) * 20 + 10 + v);
  const builder = new GraphBuilder(transactions.length);
  const plain: [number, number, number][] = [];
  const both = (from: number, to: number, kind: EdgeBit) => {
    if (from === to) return;
    builder.add(from, to, kind);
    plain.push([from, to, kind]);
  };
  for (const [from, to, kind] of edges) both(from, to, kind);
  for (const { from, type: kind, to } of openEnds) {
    const others = to.filter((v) => v !== from);
    const junction = builder.junction();
    builder.add(from, junction, kind);
    for (const v of others) {
      builder.add(junction, v, edge.passage);
      plain.push([from, v, kind]);
    }
  }
  const isBefore = (a: number, b: number) => a !== b && end[a]! < call[b]!;
  const all = transactions.map((_, v) => v);
  for (const a of all) {
    for (const b of all) {
      if (!isBefore(a, b)) continue;
      plain.push([a, b, edge.realtime]);
      const sameClient = transactions[a]!.client === transactions[b]!.client;
      if (sameClient) plain.push([a, b, edge.process]);
      const isNext =
        sameClient &&
        !all.some(
          (c) => transactions[c]!.client === transactions[a]!.client && isBefore(a, c) && isBefore(c, b),
        );
      if (isNext) builder.add(a, b, edge.process);
    }
  }
  // One barrier in front of each invocation is as good as shared ones.
  for (const b of all) {
    const barrier = builder.junction();
    builder.add(barrier, b, edge.passage);
    for (const a of all) if (isBefore(a, b)) builder.add(a, barrier, edge.realtime);
  }
  const facts = { call: (v: number) => call[v]!, end: (v: number) => end[v]!, isAnswered: () => true };
  return { graph: builder.build(), facts, plain };
}

/** By class, with its variant: the length of the shortest simple cycle. */
function everyCycle({ plain }: Case): Map<AnomalyName, number> {
  const shortest = new Map<AnomalyName, number>();
  const walk = (start: number, at: number, path: readonly { from: number; type: number }[]) => {
    for (const [from, to, kind] of plain) {
      if (from !== at) continue;
      const steps = [...path, { from, type: kind }];
      if (to === start) {
        const { kind: name, order } = classOf(steps);
        const full = (order ? `${name}-${order}` : name) as AnomalyName;
        shortest.set(full, Math.min(shortest.get(full) ?? Number.POSITIVE_INFINITY, steps.length));
      } else if (to > start && !path.some((step) => step.from === to)) walk(start, to, steps);
    }
  };
  const nodes = Math.max(-1, ...plain.map(([from, to]) => Math.max(from, to))) + 1;
  for (let start = 0; start < nodes; start++) walk(start, start, []);
  return shortest;
}

function ruledOutBy(names: Iterable<AnomalyName>): LevelName[] {
  const all = [...names];
  return levelNames.filter((level) => all.some((name) => forbids(level, name)));
}

describe("cycles", () => {
  it(
    "are found where there are any, named rightly, and no longer than the shortest",
    () => {
      const seen = new Map<string, number>();
      fc.assert(
        fc.property(small, (drawn) => {
          const one = caseOf(drawn);
          const every = everyCycle(one);
          const levels = new Levels();
          const { cycles, open } = findCycles(
            one.graph,
            one.facts,
            levels,
            new Budget(Number.POSITIVE_INFINITY),
          );
          expect(open).toEqual([]);
          expect(levels.ruledOut()).toEqual(ruledOutBy(every.keys()));
          const dataKinds = new Set<CycleKind>();
          for (const { kind, order, steps } of cycles) {
            const name = (order ? `${kind}-${order}` : kind) as AnomalyName;
            seen.set(name, (seen.get(name) ?? 0) + 1);
            expectCycle(one, steps);
            // Past a worse class, a longer one may be given where the shortest walk is no simple cycle.
            const isFirst =
              order !== undefined ||
              dataKinds.size === 0 ||
              kind === "g0" ||
              kind === "g1c" ||
              kind === "g-single";
            if (isFirst) expect(steps.length, name).toBe(every.get(name));
            else expect(steps.length, name).toBeGreaterThanOrEqual(every.get(name)!);
            if (!order) dataKinds.add(kind);
          }
          for (const kind of ["g0", "g1c", "g-single"] as const)
            expect(dataKinds.has(kind), kind).toBe(every.has(kind));
        }),
        { numRuns: runs, seed },
      );
      console.log(`cycles from seed ${seed}: ${JSON.stringify([...seen])}`);
      expect(seen.size).toBeGreaterThanOrEqual(10);
    },
    timeoutMs,
  );
});

function expectCycle({ plain }: Case, steps: readonly { from: number; to: number; type: number }[]): void {
  for (const [i, { from, to, type: kind }] of steps.entries()) {
    expect(to).toBe(steps[(i + 1) % steps.length]!.from);
    expect(plain.some((one) => one[0] === from && one[1] === to && one[2] === kind)).toBe(true);
  }
  expect(new Set(steps.map(({ from }) => from)).size).toBe(steps.length);
}
