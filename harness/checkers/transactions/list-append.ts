/**
 * Transactions over lists: which isolation levels does a history rule out? After Elle (Kingsbury and Alvaro, "Elle:
 * Inferring Isolation Anomalies from Experimental Observations", VLDB 2020), written anew.
 *
 * Operations: `txn` of `["r", key, null]` and `["append", key, element]` (transaction.ts). Elements must be unique
 * for each key. Verified: internal consistency, G1a, G1b, dirty and lost updates, incompatible orders, duplicate
 * and phantom elements, and, on the graph of dependencies, G0, G1c, G-single, G-nonadjacent and G2-item, each also
 * with the order of one client's transactions and with real time. Sound: what is reported contradicts the level,
 * whatever the store did. Every level's cycles are decided exactly on the edges that can be inferred (list-graph.ts
 * says which cannot).
 * Not verified: predicates; transactions that never got an answer and of which no read shows anything; levels
 * weaker than read uncommitted. A level that is not ruled out is not proven.
 */
import type { History } from "../../history/history.ts";
import type { CheckContext, CheckResult } from "../contract.ts";
import { checkTransactions, type TransactionOptions } from "./judgement.ts";
import { ListDependencies } from "./list-graph.ts";
import { orderLists } from "./version-order.ts";

/** Checks transactions of reads and appends. Default level: strict serializable. */
export function checkListAppend(
  history: History,
  context: CheckContext,
  options: TransactionOptions = {},
): CheckResult {
  return checkTransactions(history, context, options, {
    name: "transactions (list-append)",
    write: "append",
    relate: (log, anomalies, builder, budget) => {
      const orders = orderLists(log, budget);
      const dependencies = new ListDependencies(log, orders, anomalies);
      dependencies.addTo(builder, budget);
      return {
        words: dependencies,
        notChecked:
          dependencies.unseenElements > 0
            ? [`the order among ${dependencies.unseenElements} appended elements that no read shows`]
            : [],
      };
    },
  });
}
