/**
 * A cycle in words: T1, T2, … are its transactions in order of invocation, and each step says what a client sent or
 * saw that makes one come before the other. The sentences of writes and reads are the data type's
 * (`DependencyWords`).
 */
import type { Operation } from "../../history/operation.ts";
import type { DependencyCycle, DependencyStep } from "../contract.ts";
import { inOrder, seconds } from "../findings.ts";
import type { Example } from "./anomalies.ts";
import type { CycleStep } from "./cycles.ts";
import { edge } from "./dependency-graph.ts";
import { type TransactionLog, textOf } from "./transaction.ts";

/** The two ends of a step: transactions by number, and what they are called in the text. */
export interface Ends {
  readonly from: number;
  readonly to: number;
  readonly fromName: string;
  readonly toName: string;
  readonly key: number;
}

/** Why one transaction comes before another; each a sentence without its full stop. */
export interface DependencyWords {
  ww(ends: Ends): string;
  wr(ends: Ends): string;
  rw(ends: Ends): string;
}

/** The steps of a cycle for a person, and to be drawn. It begins with the transaction that was sent first. */
export function explainCycle(
  log: TransactionLog,
  steps: readonly CycleStep[],
  words: DependencyWords,
): Example {
  const operations = inOrder(steps.map((step) => log.operations[step.from]));
  const positionOf = new Map(operations.map((operation, i) => [operation, i]));
  const position = (transaction: number) => positionOf.get(log.operations[transaction]!)!;
  const first = steps.findIndex((step) => position(step.from) === 0);
  const ordered = [...steps.slice(first), ...steps.slice(0, first)];
  const told = ordered.map((step): DependencyStep => {
    const [from, to] = [position(step.from), position(step.to)];
    const ends = {
      from: step.from,
      to: step.to,
      fromName: `T${from + 1}`,
      toName: `T${to + 1}`,
      key: step.key,
    };
    const name = edgeName(step.type);
    const key = step.key === -1 ? {} : { key: textOf(log.keys[step.key]) };
    return { from, to, edge: name, ...key, sentence: sentenceOf(name, ends, log, words) };
  });
  const keys = new Set(told.map((step) => step.key).filter((key) => key !== undefined));
  return {
    operations,
    ...(keys.size === 1 ? { key: [...keys][0]! } : {}),
    sentence: told.map((step) => step.sentence).join("; "),
    cycle: { steps: told } satisfies DependencyCycle,
  };
}

function edgeName(type: number): DependencyStep["edge"] {
  if (type === edge.ww) return "ww";
  if (type === edge.wr) return "wr";
  if (type === edge.rw) return "rw";
  return type === edge.process ? "process" : "realtime";
}

function sentenceOf(
  name: DependencyStep["edge"],
  ends: Ends,
  log: TransactionLog,
  words: DependencyWords,
): string {
  const { fromName, toName } = ends;
  const [from, to] = [log.operations[ends.from]!, log.operations[ends.to]!];
  switch (name) {
    case "process":
      return `client ${from.process} sent ${toName} after ${fromName} had been acknowledged`;
    case "realtime":
      return `${fromName} ${endOf(from)}, before ${toName} was sent at ${seconds(to.calledAt)}`;
    default:
      return words[name](ends);
  }
}

function endOf(operation: Operation): string {
  return operation.outcome === "ok"
    ? `was acknowledged at ${seconds(operation.returnedAt)}`
    : `could take effect until incarnation ${operation.incarnation} had ended`;
}

/** A transaction for a sentence. */
export function transactionBy(operation: Operation): string {
  return `the transaction of client ${operation.process} sent at ${seconds(operation.calledAt)}`;
}

/** A list for a sentence: the elements around `near`, the rest as dots. */
export function listText(elements: readonly unknown[], near = elements.length): string {
  const shown = 8;
  const from = Math.max(0, Math.min(elements.length, near + 2) - shown);
  const part = elements.slice(from, from + shown).map(textOf);
  const [before, after] = [from > 0 ? ["…"] : [], from + shown < elements.length ? ["…"] : []];
  return `[${[...before, ...part, ...after].join(" ")}]`;
}

/** What a transaction did, for a drawing: `append 3 to x · read y = [1 2]`. */
export function microOperationsText(operation: Operation): string {
  const micros = (operation.output ?? operation.input) as readonly (readonly unknown[])[];
  const isKnown = operation.outcome === "ok";
  return micros
    .map(([f, key, value]) => {
      if (f === "append") return `append ${textOf(value)} to ${textOf(key)}`;
      if (f !== "r") return `write ${textOf(key)} = ${textOf(value)}`;
      if (!isKnown) return `read ${textOf(key)}`;
      return `read ${textOf(key)} = ${Array.isArray(value) ? listText(value) : textOf(value)}`;
    })
    .join(" · ");
}
