/**
 * A workload: what clients do and what must hold. Generators are fast-check arbitraries, pure and seeded, and can be
 * tested without a store; every value written is unique, so that checking stays polynomial (Gibbons & Korach 1997).
 */
import type { CheckContext, CheckResult } from "../harness/checkers/contract.ts";
import type { FatesOf } from "../harness/checkers/recovery.ts";
import type { History } from "../harness/history/history.ts";
import type { Capability, Reply, Request } from "../stores/contract.ts";

/** One client's stream of requests. Deterministic in (seed, client, epoch) and in the replies it was told. */
export interface RequestStream {
  next(): Request;
  /** Tells the stream how its last request ended, so that a compare-and-set can expect what was last seen. */
  observe(request: Request, reply: Reply): void;
}

export interface StreamOptions {
  /** Signed 32-bit. */
  readonly seed: number;
  /** 0, 1, 2 …: the client's place among this run's clients; values stay unique across clients and epochs. */
  readonly client: number;
  /**
   * The life of one data directory within a run: 0, 1, 2 …. Every key carries it as its prefix (`e0/r/1`), so that
   * keys of different epochs are different keys.
   */
  readonly epoch: number;
}

export interface Workload {
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  readonly needs: readonly Capability[];
  /** Requests that must succeed, in order, before load begins in an epoch (opening balances); often none. */
  setUp(epoch: number): readonly Request[];
  stream(options: StreamOptions): RequestStream;
  /** Reads of everything this workload may have written in that epoch: sent after every restart. */
  readBack(epoch: number): readonly Request[];
  /** True when this operation, if it succeeded, changed the store (so that a sync is owed). */
  changes(request: Request, reply: Reply): boolean;
  /** All checkers of this workload over its part of the history. */
  check(history: History, context: CheckContext): readonly CheckResult[];
  /**
   * What became of one key's operations at a crash that may take acknowledged ones back: with it, crash states of several
   * keys and workloads are compared with one order of the log.
   */
  readonly fates: FatesOf;
}
