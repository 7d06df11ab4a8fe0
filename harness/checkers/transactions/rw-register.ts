/**
 * Transactions over registers: which isolation levels does a history rule out? After Elle (Kingsbury and Alvaro,
 * VLDB 2020, section 5.2), written anew.
 *
 * Operations: `txn` of `["r", key, null]` and `["w", key, value]` (transaction.ts). Values must be unique for each
 * key; a register without a value reads `null`. Verified: as for lists (list-append.ts), except for what a register
 * cannot show: dirty updates, incompatible orders, duplicate elements. Instead: cyclic versions.
 * Weaker than lists by nature: the order of blind writes is unknown (register-graph.ts says what is inferred), so
 * fewer anomalies are seen; what is reported is as sound. Keys whose order is not fully known are counted in what
 * was not checked; where there are none, a verdict of strict serializability is exact.
 */
import type { History } from "../../history/history.ts";
import type { CheckContext, CheckResult } from "../contract.ts";
import { checkTransactions, type TransactionOptions } from "./judgement.ts";
import { RegisterDependencies, type RegisterOrderOptions } from "./register-graph.ts";

/** Checks transactions of reads and writes. Default level: strict serializable. */
export function checkRwRegister(
  history: History,
  context: CheckContext,
  options: TransactionOptions & RegisterOrderOptions = {},
): CheckResult {
  return checkTransactions(history, context, options, {
    name: "transactions (rw-register)",
    write: "w",
    relate: (log, anomalies, builder, budget) => {
      const dependencies = new RegisterDependencies(log, anomalies, options);
      dependencies.addTo(builder, budget);
      return { words: dependencies, notChecked: dependencies.notChecked() };
    },
  });
}
