/**
 * Writes go to the primary, and reads to its standby, to take load off the primary; the promise is that of a pair whose
 * reads are answered by the primary. The standby shows a write some time after it was acknowledged: a millisecond later
 * when all is well, and not before a partition has healed otherwise.
 */
import type { ClusterView } from "../../cluster-contract.ts";
import type { Client, Reply, Request, Store } from "../../contract.ts";
import { asynchronousPromise, replicatedPair } from "../../postgres/replica.ts";

const bug = "answers reads from the standby, which lags behind";
const pair = replicatedPair({
  name: "broken/reads-from-replica",
  summary: `a pair of PostgreSQL with a planted bug: ${bug}`,
  synchronous: false,
  promise: { ...asynchronousPromise, linearizable: true },
});

/** One client with a session on each member. */
class SplitClient implements Client {
  readonly #writes: Client;
  readonly #reads: Client;
  #last: Client;

  constructor(writes: Client, reads: Client) {
    this.#writes = writes;
    this.#reads = reads;
    this.#last = writes;
  }

  get closed(): boolean {
    return this.#writes.closed === true || this.#reads.closed === true;
  }

  execute(request: Request, deadlineMs: number): Promise<Reply> {
    this.#last = request.f === "read" || request.f === "audit" ? this.#reads : this.#writes;
    return this.#last.execute(request, deadlineMs);
  }

  replyEnd(): { readonly localPort: number; readonly bytes: number } {
    return this.#last.replyEnd!();
  }

  close(): void {
    this.#writes.close();
    this.#reads.close();
  }
}

async function connect(view: ClusterView, workload: string, deadlineMs: number) {
  const endsAt = performance.now() + deadlineMs;
  const { client: writes, member } = await pair.clustered.connect(view, workload, deadlineMs);
  const replica = view.members.find((name) => name !== member)!;
  try {
    const left = Math.max(1, endsAt - performance.now());
    const reads = await pair.clustered.connectTo(view, replica, workload, left);
    return { client: new SplitClient(writes, reads), member };
  } catch (error) {
    writes.close();
    throw error;
  }
}

export const readsFromReplica: Store = {
  ...pair,
  clustered: {
    ...pair.clustered,
    connect,
    plantedBug: {
      bug,
      finding: ["stale-read", "not-linearizable"],
      workloads: ["register"],
      faults: ["isolate-leader"],
    },
  },
};
