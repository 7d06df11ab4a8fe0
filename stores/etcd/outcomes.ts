/**
 * Which error of etcd means that a request certainly did not happen (`fail`), and which leaves it unknown (`info`). The
 * one table of this protocol: whoever doubts an outcome looks here.
 *
 * The rule behind every row: `fail` only where a member refuses *before* it proposes to the cluster. Everything that is
 * not listed is `info`, because a wrong `info` weakens a check and a wrong `fail` invents a violation. Deliberately not
 * listed:
 * - `request timed out` in all its variants, `leader changed`, `server stopped`, `request cancelled`: the proposal may
 *   be in a log already, and be committed later (the documentation: "the client may be uncertain about the status of an
 *   operation if it times out […] etcd may also abort operations when there is a leader election");
 * - `mvcc: database space exceeded`: the check before the proposal says it, but so does the one while applying, which
 *   says it *after* the write that crossed the limit has taken effect (quotaApplierV3 in etcdserver/apply.go);
 * - `raft proposal dropped`: local if it comes at all; nothing is gained by trusting it.
 *
 * Messages: etcdserver/api/v3rpc/rpctypes/error.go; where each is raised: v3rpc/key.go and interceptor.go (before the
 * server is asked), v3_server.go, processInternalRaftRequestOnce (before `Propose`). The same from 3.4 to 3.6.
 */

export interface Refusal {
  /** The whole message. */
  readonly message: string;
  /** Why it shows that the request was not executed. */
  readonly why: string;
}

/** The error messages that mean `fail` for a write. */
export const refusals: readonly Refusal[] = [
  { message: "etcdserver: key is not provided", why: "checked before the server is asked" },
  { message: "etcdserver: value is provided", why: "checked before the server is asked" },
  { message: "etcdserver: lease is provided", why: "checked before the server is asked" },
  {
    message: "etcdserver: too many operations in txn request",
    why: "checked before the server is asked",
  },
  { message: "etcdserver: duplicate key given in txn request", why: "checked before the server is asked" },
  { message: "etcdserver: not capable", why: "the cluster's version does not know the request: interceptor" },
  { message: "etcdserver: rpc not supported for learner", why: "a learner serves nobody: interceptor" },
  { message: "etcdserver: no leader", why: "asked for a leader and there is none: interceptor" },
  { message: "etcdserver: too many requests", why: "too far behind to take more: before the proposal" },
  { message: "etcdserver: request is too large", why: "measured before the proposal" },
];

/** How a connection failed. */
export type ConnectionFailure =
  /** Nothing could be sent: refused, unreachable, not connected in time, or closed before this request. */
  | "not-sent"
  /** Closed or reset after the request had been handed over. */
  | "closed"
  /** No reply by the deadline. */
  | "deadline"
  /** What came is not an answer of etcd. */
  | "malformed";

/** Failures of the connection. */
export const connectionFailures: Readonly<Record<ConnectionFailure, "fail" | "info">> = {
  "not-sent": "fail",
  closed: "info",
  deadline: "info",
  malformed: "info",
};

/** The outcome of a write that was answered with this error message. */
export function outcomeOfErrorReply(message: string): "fail" | "info" {
  return refusals.some((refusal) => refusal.message === message) ? "fail" : "info";
}
