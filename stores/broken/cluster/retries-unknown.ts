/**
 * A correct synchronous pair, whose clients know better: a change whose outcome is unknown (the reply was lost, or did not
 * come in time) is sent again over a new connection, and what the second attempt says is what the caller is told. The
 * first may have taken effect: an append is there twice, and a write overwrites what was written in between.
 */
import type { ClusterView } from "../../cluster-contract.ts";
import type { Client, Reply, Request, Store } from "../../contract.ts";
import { replicatedPair, synchronousPromise } from "../../postgres/replica.ts";

const bug = "sends a change again whose outcome is unknown, and reports that it happened";
/** The first attempt gets this part of the time there is. */
const firstShare = 1 / 3;
const pauseMs = 20;

const pair = replicatedPair({
  name: "broken/retries-unknown",
  summary: `a pair of PostgreSQL with a planted bug: its client ${bug}`,
  synchronous: true,
  promise: synchronousPromise,
});

type Reconnect = (deadlineMs: number) => Promise<Client>;

class RetryingClient implements Client {
  #client: Client;
  readonly #reconnect: Reconnect;
  #abandoned = false;

  constructor(client: Client, reconnect: Reconnect) {
    this.#client = client;
    this.#reconnect = reconnect;
  }

  get closed(): boolean {
    return this.#client.closed ?? false;
  }

  async execute(request: Request, deadlineMs: number): Promise<Reply> {
    const endsAt = performance.now() + deadlineMs;
    const changes = request.f !== "read" && request.f !== "audit";
    const first = await this.#client.execute(request, changes ? deadlineMs * firstShare : deadlineMs);
    if (first.type !== "info" || !changes) return first;
    while (!this.#abandoned && performance.now() + pauseMs < endsAt) {
      const again = await this.#sendAgain(request, endsAt - performance.now());
      if (again?.type === "ok") return again;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return first;
  }

  replyEnd(): { readonly localPort: number; readonly bytes: number } {
    return this.#client.replyEnd!();
  }

  close(): void {
    this.#abandoned = true;
    this.#client.close();
  }

  async #sendAgain(request: Request, leftMs: number): Promise<Reply | undefined> {
    const endsAt = performance.now() + leftMs;
    try {
      this.#client = await this.#reconnect(leftMs);
    } catch {
      return undefined;
    }
    if (this.#abandoned) this.#client.close();
    return this.#client.execute(request, Math.max(1, endsAt - performance.now()));
  }
}

async function connect(view: ClusterView, workload: string, deadlineMs: number) {
  const { client, member } = await pair.clustered.connect(view, workload, deadlineMs);
  const reconnect: Reconnect = async (leftMs) =>
    (await pair.clustered.connect(view, workload, leftMs)).client;
  return { client: new RetryingClient(client, reconnect), member };
}

export const retriesUnknown: Store = {
  ...pair,
  clustered: {
    ...pair.clustered,
    connect,
    plantedBug: {
      bug,
      finding: ["applied-twice", "duplicate-elements"],
      workloads: ["append"],
      faults: ["isolate-leader"],
    },
  },
};
