/** From the transactions of a history to its verdict: the steps that lists and registers share. */
import type { History } from "../../history/history.ts";
import type { CheckContext, CheckResult } from "../contract.ts";
import { Gathering } from "../findings.ts";
import { Anomalies } from "./anomalies.ts";
import { Budget, OutOfTime } from "./budget.ts";
import { findCycles } from "./dependency-cycles.ts";
import { addProcessEdges, addRealtimeEdges, GraphBuilder } from "./dependency-graph.ts";
import { type DependencyWords, explainCycle } from "./explain.ts";
import { implies, type LevelName } from "./levels.ts";
import { readTransactions, type TransactionLog } from "./transaction.ts";

export interface TransactionOptions {
  /** The level that the history must not rule out. Default: strict-serializable. */
  readonly level?: LevelName;
}

/** What differs between data types. */
export interface TransactionType {
  readonly name: string;
  /** What a write is called in a transaction. */
  readonly write: "append" | "w";
  /** Enters dependencies into the graph and what shows without one into the book. */
  relate(
    log: TransactionLog,
    anomalies: Anomalies,
    builder: GraphBuilder,
    budget: Budget,
  ): { readonly words: DependencyWords; readonly notChecked: readonly string[] };
}

/** The whole check. Out of time is `unknown`, with how far it got and what had been found by then. */
export function checkTransactions(
  history: History,
  context: CheckContext,
  options: TransactionOptions,
  type: TransactionType,
): CheckResult {
  const gathering = new Gathering(type.name, context);
  const expected = options.level ?? "strict-serializable";
  const anomalies = new Anomalies();
  let isWhole = false;
  try {
    isWhole = examine(history, gathering, anomalies, expected, type);
  } catch (error) {
    if (!(error instanceof OutOfTime)) throw error;
    gathering.reasons.push(error.message);
  }
  const workload = history.operations[0]?.workload;
  const { findings, observations } = anomalies.report(expected, workload);
  gathering.findings.push(...findings);
  return {
    ...gathering.result(workload),
    ...(observations.length > 0 ? { observations } : {}),
    // Half a history rules out what it rules out, but says nothing about what is left.
    levels: {
      expected,
      ruledOut: anomalies.levels.ruledOut(),
      strongest: isWhole ? anomalies.levels.strongest() : [],
    },
  };
}

/** False when the history cannot be judged as a whole. */
function examine(
  history: History,
  gathering: Gathering,
  anomalies: Anomalies,
  expected: LevelName,
  type: TransactionType,
): boolean {
  const budget = new Budget(gathering.endsAt);
  const log = readTransactions(history.operations, type.write, budget);
  gathering.reasons.push(...log.problems);
  // In a correct history about two edges for each micro-operation, one for its client's order and three for real time.
  const expectedEdges = 2 * log.microKey.length + 4 * log.operations.length + 64;
  const builder = new GraphBuilder(log.operations.length, expectedEdges);
  const { words, notChecked } = type.relate(log, anomalies, builder, budget);
  gathering.notChecked.push(...notChecked);
  budget.spend("ordering by clients and real time", 0, log.operations.length);
  addProcessEdges(log, builder);
  addRealtimeEdges(log, builder);
  count(log, history, gathering);
  const facts = {
    call: (node: number) => log.operations[node]!.call,
    end: (node: number) => log.operations[node]!.bound,
    isAnswered: (node: number) => log.operations[node]!.outcome === "ok",
  };
  const { cycles, open } = findCycles(builder.build(), facts, anomalies.levels, budget);
  for (const { kind, unanswered, order, steps, groups, complete } of cycles) {
    anomalies.noteCycle(unanswered ? "g0 unanswered" : kind, order, groups, explainCycle(log, steps, words));
    if (!complete) {
      gathering.notChecked.push(
        `whether there is a shorter ${kind} cycle than the one shown, and how many more`,
      );
    }
  }
  for (const { level, what } of open) {
    (implies(expected, level) ? gathering.reasons : gathering.notChecked).push(what);
  }
  return log.problems.length === 0 && open.length === 0;
}

function count(log: TransactionLog, history: History, gathering: Gathering): void {
  const transactions = log.operations.length;
  let [committed, read] = [0, 0];
  for (let t = 0; t < transactions; t++) {
    committed += log.committed[t]!;
    if (log.readable[t]) read += readsIn(log, t);
  }
  gathering.count("transactions", transactions);
  gathering.count("committed", committed);
  gathering.count("reads", read);
  gathering.count("keys", log.keys.length);
  if (committed === 0) gathering.reasons.push("no transaction is known to have committed");
  else if (read === 0) gathering.reasons.push("no committed transaction read anything");
  const others = history.operations.length - transactions;
  if (others > 0) gathering.notChecked.push(`${others} operations that are not transactions`);
}

function readsIn({ microStart, microVersion }: TransactionLog, t: number): number {
  let reads = 0;
  for (let micro = microStart[t]!; micro < microStart[t + 1]!; micro++)
    if (microVersion[micro] === -1) reads++;
  return reads;
}
