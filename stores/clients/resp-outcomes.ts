/**
 * Which error of a store that speaks RESP means that a request certainly did not happen (`fail`), and which leaves it
 * unknown (`info`). The one table of this protocol: whoever doubts an outcome looks here.
 *
 * The rule behind every row: `fail` only where the server refuses *before* it executes. Everything that is not listed
 * is `info`, because a wrong `info` weakens a check and a wrong `fail` invents a violation.
 */
import { RespConnectionError, type RespConnectionFailure } from "./resp.ts";

export interface Refusal {
  /** The beginning of the error's text, without the dash. */
  readonly begins: string;
  /** Why it shows that the request was not executed. */
  readonly why: string;
}

/** The error replies that mean `fail`. */
export const refusals: readonly Refusal[] = [
  { begins: "ERR syntax error", why: "refused while parsing" },
  { begins: "ERR unknown command", why: "refused while parsing" },
  { begins: "ERR unknown subcommand", why: "refused while parsing" },
  { begins: "ERR wrong number of arguments", why: "refused while parsing" },
  { begins: "ERR value is not", why: "refused while parsing" },
  { begins: "ERR EXEC without MULTI", why: "no transaction was open" },
  { begins: "ERR max number of clients", why: "refused at the door" },
  { begins: "WRONGTYPE", why: "checked before anything is changed" },
  { begins: "EXECABORT", why: "a command was refused while queueing, so none ran" },
  { begins: "LOADING", why: "refused while the store recovers" },
  { begins: "READONLY", why: "a replica refuses writes" },
  { begins: "MISCONF", why: "refuses writes since an earlier one could not be persisted" },
  { begins: "OOM", why: "refused before executing for lack of memory" },
  { begins: "NOAUTH", why: "not authenticated" },
  { begins: "WRONGPASS", why: "not authenticated" },
  { begins: "NOPERM", why: "not permitted" },
  { begins: "NOREPLICAS", why: "refused before executing: too few replicas" },
  { begins: "MASTERDOWN", why: "refused by a replica without its primary" },
  { begins: "CLUSTERDOWN", why: "refused by a cluster that does not serve" },
  { begins: "MOVED", why: "another node owns the key" },
  { begins: "ASK", why: "another node owns the key" },
  { begins: "TRYAGAIN", why: "refused while keys migrate" },
  { begins: "BUSY", why: "refused while a script runs" },
];

/** Failures of the connection. */
export const connectionFailures: Readonly<Record<RespConnectionFailure, "fail" | "info">> = {
  "not-sent": "fail",
  closed: "info",
  deadline: "info",
  malformed: "info",
};

/** The outcome that an error reply of this text stands for. */
export function outcomeOfErrorReply(message: string): "fail" | "info" {
  return refusals.some((refusal) => message.startsWith(refusal.begins)) ? "fail" : "info";
}

/** The outcome of a request whose connection failed while its last, decisive part was under way. */
export function outcomeOfFailure(error: unknown): "fail" | "info" {
  return error instanceof RespConnectionError ? connectionFailures[error.reason] : "info";
}
