/**
 * The two shapes of a history: the *event*, as it is written to disk while it happens, and the *operation*, an
 * invocation paired with its completion, as the checkers read it.
 *
 * All times are ns since the run's start on one monotonic clock. Order is decided by `index` (the position in
 * the file), never by `time`: the recorder is one thread, so an event with a smaller index was recorded first.
 * If A's completion has a smaller index than B's invocation, then A's reply had arrived before B was sent.
 */

/** How an operation ended: it happened, it certainly did not, or nobody knows. */
export type Outcome = "ok" | "fail" | "info";

/** One line of `history.jsonl`. */
export interface HistoryEvent {
  readonly index: number;
  /** ns since the run's start. */
  readonly time: number;
  /** A logical sequential process; an `info` completion retires its number. */
  readonly process: number | "nemesis";
  readonly type: "invoke" | Outcome;
  /** What was asked: `read write cas delete append transfer open …`; for the nemesis, the fault or `ready`. */
  readonly f: string;
  /** The workload that asked; absent on nemesis lines. */
  readonly workload?: string;
  readonly key?: string;
  /** The argument on `invoke`, the result on completion. */
  readonly value?: unknown;
  /** `false`: a compare-and-set that saw another value, which is then in `value`; `ok`, as an observation. */
  readonly matched?: boolean;
  readonly error?: string;
  /** The store node and which start of it (0, 1, 2 …) the client was connected to; on invoke and on `ready`. */
  readonly node?: string;
  readonly incarnation?: number;
  /** `true` on the invocation of a read that is part of the read-back after a restart. */
  readonly readBack?: boolean;
  /** On invoke: syncs of the store's log begun so far. Present only when the interposer counts them. */
  readonly syncsBegun?: number;
  /** On completion: the highest begin-number of any sync of the log that has completed with success. */
  readonly syncCompleted?: number;
  /** On completion: the client's TCP port, when the client tells where its replies end. */
  readonly replyPort?: number;
  /** On completion: bytes received on that connection when the reply was complete. */
  readonly replyBytes?: number;
}

/** An invocation and its completion. */
export interface Operation {
  readonly process: number;
  readonly workload: string;
  readonly f: string;
  readonly key: string;
  /** The argument of the invocation. */
  readonly input: unknown;
  readonly outcome: Outcome;
  /** The result; `undefined` unless `ok`. */
  readonly output: unknown;
  readonly matched?: boolean;
  readonly error?: string;
  /** Index of the invoking event: the operation's rank in real-time order. */
  readonly call: number;
  /** Index of the completing event; for an operation that never completed, or `info`, see `bound`. */
  readonly return: number;
  /**
   * The rank by which an indeterminate operation has taken effect or never will: on a single node the `ready`
   * event of the next incarnation (strict linearizability), otherwise Infinity. Equals `return` for ok.
   */
  readonly bound: number;
  /** ns since the run's start. */
  readonly calledAt: number;
  /** ns since the run's start; Infinity when it never completed. */
  readonly returnedAt: number;
  readonly node: string;
  readonly incarnation: number;
  readonly readBack: boolean;
  readonly syncsBegun?: number;
  readonly syncCompleted?: number;
  /** Where its reply ended: the client's TCP port, and bytes received on that connection by then. */
  readonly replyPort?: number;
  readonly replyBytes?: number;
}

/** A start of a node: from this rank on, nothing sent to an earlier incarnation can still take effect. */
export interface Readiness {
  readonly node: string;
  readonly incarnation: number;
  /** Index of the nemesis event `ready`. */
  readonly rank: number;
  /** ns since the run's start. */
  readonly time: number;
  /** What the store said of its own recovery (its ready line), when it said anything. */
  readonly report?: unknown;
}
