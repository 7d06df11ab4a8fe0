/**
 * The client that records: every request is in the history file before it leaves, every reply when it arrives, and no
 * caller can forget to. It never retries or resends; an `info` outcome retires its process number and its connection,
 * and the next request goes out on a new one.
 */
import type { Client, Endpoint, Reply, Request, Store } from "../../stores/contract.ts";
import type { RunClock } from "../history/clock.ts";
import type { HistoryEvent } from "../history/operation.ts";

/** Where a client finds the store, looked up anew for every connection. */
export interface Place {
  readonly endpoint: Endpoint;
  readonly node: string;
  /** The start of the node that is serving now; `undefined` while none is. */
  incarnation(): number | undefined;
  /** Live sync counts of the store's log; absent without an interposer. */
  syncCounts?(): { readonly begun: number; readonly completed: number };
}

export interface RecordingOptions {
  /** A process number never used before; asked for at the start and after every `info`. */
  readonly newProcess: () => number;
  readonly store: Store;
  readonly workload: string;
  readonly clock: RunClock;
  readonly place: Place;
  /** ms to wait for one reply, and for a connection. */
  readonly deadlineMs: number;
  /** Appends the event to the history file (it is written when this returns) and gives it its index. */
  readonly record: (event: Omit<HistoryEvent, "index">) => void;
}

export class RecordingClient {
  readonly #options: RecordingOptions;
  #process: number;
  #connection: { client: Client; incarnation: number } | undefined;
  #closed = false;

  constructor(options: RecordingOptions) {
    this.#options = options;
    this.#process = options.newProcess();
  }

  /** True once there is a connection on which the store has answered. A failed attempt is no operation. */
  async connect(): Promise<boolean> {
    if (this.#connection) return true;
    const { store, place, workload, deadlineMs } = this.#options;
    try {
      const client = await store.connect(place.endpoint, workload, deadlineMs);
      const incarnation = place.incarnation();
      if (this.#closed || incarnation === undefined) {
        client.close();
        return false;
      }
      this.#connection = { client, incarnation };
      return true;
    } catch {
      return false;
    }
  }

  /** Sends one request and records it; `connect` must have succeeded. Never rejects. */
  async perform(request: Request, options: { readonly readBack?: boolean } = {}): Promise<Reply> {
    const connection = this.#connection;
    if (!connection) throw new Error("perform() was called without a connection");
    const { place, clock, record, deadlineMs } = this.#options;
    const { workload, f, key } = request;
    const process = this.#process;
    const begun = place.syncCounts?.().begun;
    record({
      time: clock.now(),
      process,
      type: "invoke",
      f,
      workload,
      key,
      value: request.value ?? null,
      node: place.node,
      incarnation: connection.incarnation,
      ...(options.readBack ? { readBack: true } : {}),
      ...(begun === undefined ? {} : { syncsBegun: begun }),
    });
    const reply = await connection.client.execute(request, deadlineMs);
    const completed = reply.type === "ok" ? place.syncCounts?.().completed : undefined;
    const end = reply.type === "info" ? undefined : connection.client.replyEnd?.();
    record({
      time: clock.now(),
      process,
      type: reply.type,
      f,
      workload,
      key,
      ...(reply.type === "ok" ? { value: reply.value ?? null } : { error: reply.error }),
      ...(reply.type === "ok" && reply.matched !== undefined ? { matched: reply.matched } : {}),
      ...(completed === undefined ? {} : { syncCompleted: completed }),
      ...(end === undefined ? {} : { replyPort: end.localPort, replyBytes: end.bytes }),
    });
    if (reply.type === "info") this.#retire();
    else if (connection.client.closed) this.disconnect();
    return reply;
  }

  /** Drops the connection; the process number lives on, since nothing is in flight. */
  disconnect(): void {
    this.#connection?.client.close();
    this.#connection = undefined;
  }

  close(): void {
    this.#closed = true;
    this.disconnect();
  }

  #retire(): void {
    this.disconnect();
    this.#process = this.#options.newProcess();
  }
}
