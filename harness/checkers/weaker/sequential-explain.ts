/** Puts a cycle that refutes sequential consistency into words: one sentence for each step, and the operations in it. */
import type { Operation } from "../../history/operation.ts";
import { quote, registerModel } from "../../models/register.ts";
import type { Finding } from "../contract.ts";
import { inOrder } from "../findings.ts";
import type { Edge, EdgeKind, SequentialGraph } from "./sequential-graph.ts";
import type { Version } from "./versions.ts";

const edgeNames = {
  process: "process",
  read: "wr",
  initial: "rw",
  older: "ww",
  overwritten: "rw",
} as const satisfies Record<EdgeKind, string>;

/** The cycle that needs the fewest operations to be told. */
export function explainShortest(cycles: readonly (readonly Edge[])[], graph: SequentialGraph): Finding {
  return cycles
    .map((cycle) => explainCycle(cycle, graph))
    .reduce((best, finding) => (finding.operations.length < best.operations.length ? finding : best));
}

function explainCycle(cycle: readonly Edge[], graph: SequentialGraph): Finding {
  const words = new Words(graph);
  const short = cycle.map((edge) => words.sentence(edge));
  const sentences = cycle.map((edge, i) => `${short[i]}${words.because(edge)}`);
  const operations = inOrder([...words.mentioned]);
  const at = (node: number) => operations.indexOf(graph.accesses[node]!.operation);
  const workload = operations[0]?.workload;
  return {
    kind: "not-sequentially-consistent",
    ...(workload ? { workload } : {}),
    operations,
    sentence: `no single order explains this: ${short.join("; ")}; and so round in a circle`,
    cycle: {
      steps: cycle.map((edge, i) => ({
        from: at(edge.from),
        to: at(edge.to),
        edge: edgeNames[edge.kind],
        ...(edge.kind === "process" ? {} : { key: graph.accesses[edge.to]!.operation.key }),
        sentence: sentences[i]!,
      })),
    },
  };
}

class Words {
  readonly mentioned = new Set<Operation>();
  readonly #graph: SequentialGraph;

  constructor(graph: SequentialGraph) {
    this.#graph = graph;
  }

  sentence(edge: Edge): string {
    const from = this.#did(edge.from);
    const to = this.#did(edge.to);
    switch (edge.kind) {
      case "process":
        return `${from} before it ${did(this.#operation(edge.to))}`;
      case "read":
        return `${to}, which client ${this.#operation(edge.from).process} had written`;
      case "initial":
        return `${from}, so this was before ${to}`;
      case "older":
        return `${from} before ${to}, since ${this.#did(edge.read!)} after the former`;
      case "overwritten":
        return `${from} before ${to}, since that came after what was read`;
    }
  }

  /** What a deduction rests on, apart from one process's own order and the read of that very write. */
  because(edge: Edge): string {
    if (edge.kind !== "older" && edge.kind !== "overwritten") return "";
    const [from, to] =
      edge.kind === "older" ? [edge.from, edge.read!] : [this.#writerOf(edge.read!), edge.to];
    const path = this.#graph.path(from, to, edge.serial).filter((step) => step.kind !== "process");
    const telling = path.filter((step) => step.from !== edge.from || step.to !== edge.to);
    if (telling.length === 0) return "";
    return ` (${telling.map((step) => `${this.sentence(step)}${this.because(step)}`).join(", ")})`;
  }

  #operation(node: number): Operation {
    const { operation, writes } = this.#graph.accesses[node]!;
    this.mentioned.add(operation);
    if (operation.outcome === "info" && writes) this.#mentionReaderOf(writes);
    return operation;
  }

  /** Whoever saw what an operation of unknown outcome wrote shows that it happened. */
  #mentionReaderOf(version: Version): void {
    const readers = this.#graph.accesses.filter(({ reads }) => reads === version);
    const reader = readers.find(({ operation }) => operation.outcome === "ok") ?? readers[0];
    if (!reader || this.mentioned.has(reader.operation)) return;
    this.mentioned.add(reader.operation);
    if (reader.operation.outcome === "info" && reader.writes) this.#mentionReaderOf(reader.writes);
  }

  #did(node: number): string {
    const operation = this.#operation(node);
    return `client ${operation.process} ${did(operation)}`;
  }

  #writerOf(read: number): number {
    const { reads } = this.#graph.accesses[read]!;
    return this.#graph.accesses.findIndex(({ writes }) => writes !== undefined && writes === reads);
  }
}

function did(operation: Operation): string {
  const key = `key ${operation.key}`;
  if (operation.f === "write") return `wrote ${quote(operation.input)} to ${key}`;
  if (operation.f === "read") {
    return operation.output === null || operation.output === undefined
      ? `found nothing in ${key}`
      : `read ${quote(operation.output)} from ${key}`;
  }
  return `did ${registerModel.describe(operation)} on ${key}`;
}
