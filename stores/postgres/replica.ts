/**
 * PostgreSQL as a pair: a primary and one physical standby that streams its log, of the bundled package and nothing else.
 *
 * `postgres-replica`: the primary's commits wait until the standby has synced them too (`synchronous_commit = on`,
 * `synchronous_standby_names`). `postgres-replica-async`: they do not wait, which is the default. Nothing elects a leader:
 * acked promotes the standby, as an operator would. From then on it leads alone and waits for nobody, until the other has
 * been rebuilt from it and `form` was called again.
 *
 * A client speaks to the member that leads by what it was told, and to no other; a server that follows is refused, as
 * libpq refuses it with `target_session_attrs=primary`. So its reads are the primary's. While a commit waits for the
 * standby, no other session of the primary sees it; the standby may show it earlier, and a primary that is restarted shows
 * it although nobody was told.
 *
 * What is not here: failover by itself, pg_rewind, cascades, archives, slots. `wal_keep_size` bounds how far a standby may
 * fall behind and still catch up.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { copyFile, rm } from "node:fs/promises";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import type { Clustered, ClusterPromise, MemberLaunch, MemberSettings } from "../cluster-contract.ts";
import type { Endpoint, Store } from "../contract.ts";
import { copyRunning, copyStopped } from "./base-copy.ts";
import {
  awaitStreaming,
  follow,
  lead,
  listening,
  promote,
  silenceMs,
  sql,
  statusOf,
  waitForStandby,
} from "./replication.ts";
import { connectServer, launchServer } from "./server.ts";
import { postgres } from "./store.ts";
import { copyTemplate, postgresTemplate } from "./template.ts";

const manual = "https://www.postgresql.org/docs/current";
const everything = { survives: "everything acknowledged" } as const;

export interface PairOptions {
  readonly name: string;
  readonly summary: string;
  /** The primary is told to wait for its standby. */
  readonly synchronous: boolean;
  /** `local`: it does not wait although it was told to. Default `on`: until the standby has synced the commit. */
  readonly synchronousCommit?: "on" | "local";
  readonly promise: ClusterPromise;
}

/** What the manual says of a pair whose commits wait for the standby. */
export const synchronousPromise: ClusterPromise = {
  linearizable: true,
  presupposes: ["the old leader is fenced", "a restarted leader is not deposed"],
  failover: everything,
  oneLeader: true,
  powerLossOfAll: everything,
  // Fewer than half of two are none: without its standby it waits, and serves again when the standby is back.
  servesWithMajority: true,
  source: `"When requesting synchronous replication, each commit of a write transaction will wait until confirmation is received that the commit has been written to the write-ahead log on disk of both the primary and standby server. The only possibility that data can be lost is if both the primary and the standby suffer crashes at the same time." (${manual}/warm-standby.html#SYNCHRONOUS-REPLICATION), with two reservations: "If primary restarts while commits are waiting for acknowledgment, those waiting transactions will be marked fully committed once the primary database recovers. […] The guarantee we offer is that the application will not receive explicit acknowledgment of the successful commit of a transaction until the WAL data is known to be safely received by all the synchronous standbys." (${manual}/warm-standby.html#SYNCHRONOUS-REPLICATION-HA) and "If the primary server fails and the standby server becomes the new primary, and then the old primary restarts, you must have a mechanism for informing the old primary that it is no longer the primary." (${manual}/warm-standby-failover.html). After a failover the survivor is run alone, and does not wait, until the other has been rebuilt.`,
};

/** What the manual says of a pair whose commits do not wait. */
export const asynchronousPromise: ClusterPromise = {
  linearizable: false,
  failover: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
  oneLeader: false,
  powerLossOfAll: everything,
  servesWithMajority: false,
  source: `"PostgreSQL streaming replication is asynchronous by default. If the primary server crashes then some transactions that were committed may not have been replicated to the standby server, causing data loss. The amount of data loss is proportional to the replication delay at the time of failover." ${manual}/warm-standby.html#SYNCHRONOUS-REPLICATION`,
};

/** Settings of both members, as either may come to lead. They notice within seconds that the other is not heard any more. */
function settingsOf(member: MemberSettings, { synchronousCommit }: PairOptions) {
  return {
    listen_addresses: listening(member).host,
    port: listening(member).port,
    cluster_name: member.name,
    // No less on a standby than on the primary. A commit that waits for its standby keeps its connection when the client
    // has long gone, so that a partition fills them.
    max_connections: 400,
    fsync: "on",
    synchronous_commit: synchronousCommit ?? "on",
    wal_level: "replica",
    hot_standby: "on",
    wal_keep_size: "256MB",
    wal_sender_timeout: `${silenceMs}ms`,
    wal_receiver_timeout: `${silenceMs}ms`,
    wal_receiver_status_interval: "1s",
    wal_retrieve_retry_interval: "200ms",
  };
}

async function launch(member: MemberSettings, options: PairOptions): Promise<readonly MemberLaunch[]> {
  if (member.as === "again") await refuseToBeNew(member);
  return [{ ...(await launchServer(member, settingsOf(member, options))), purpose: sql }];
}

/** A member whose files are gone is no new server: Postgres is started on what there is, and says that it cannot be. */
async function refuseToBeNew({ dir }: MemberSettings): Promise<void> {
  const data = join(dir, "pgdata");
  if (existsSync(data)) return;
  mkdirSync(data, { mode: 0o700 });
  copyFileSync(join((await postgresTemplate()).directory, "password"), join(dir, "password"));
}

/** Both begin as copies of the template, which is what a cold copy of a primary that never ran would be. */
async function prepare(members: readonly MemberSettings[]): Promise<void> {
  const template = await postgresTemplate();
  for (const member of members) {
    await copyTemplate(template, member.dir);
    if (member.name === member.leader) lead(member);
    else follow(member, member.leader, passwordOf(member));
  }
}

async function form(
  members: readonly MemberSettings[],
  deadlineMs: number,
  synchronous: boolean,
): Promise<void> {
  const endsAt = performance.now() + deadlineMs;
  const left = () => Math.max(1, endsAt - performance.now());
  const leader = members.find(({ name }) => name === members[0]?.leader);
  if (!leader) throw new Error(`nobody leads the pair of ${members.map(({ name }) => name).join(" and ")}`);
  for (const { name } of members.filter((member) => member !== leader)) {
    await awaitStreaming(listening(leader), name, left());
    if (synchronous) await waitForStandby(listening(leader), name, left());
  }
}

async function rebuild(member: MemberSettings, from: MemberSettings): Promise<void> {
  const [source, data] = [join(from.dir, "pgdata"), join(member.dir, "pgdata")];
  await rm(data, { recursive: true, force: true });
  if (await answers(listening(from))) await copyRunning(listening(from), source, data);
  else await copyStopped(source, data);
  await copyFile(join(from.dir, "password"), join(member.dir, "password"));
  follow(member, from.name, passwordOf(from));
}

function passwordOf(member: MemberSettings): string {
  return readFileSync(join(member.dir, "password"), "utf8");
}

/** Whether anybody listens there. */
function answers(endpoint: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(endpoint);
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
  });
}

/** A primary and a standby of the bundled PostgreSQL. */
export function replicatedPair(options: PairOptions): Store & { readonly clustered: Clustered } {
  const { name, summary, synchronous } = options;
  return {
    ...postgres,
    name,
    summary,
    durabilities: ["always"],
    clustered: {
      members: { default: 2, least: 2, most: 2 },
      purposes: [sql],
      promise: () => options.promise,
      launch: (member) => launch(member, options),
      start: "in-order",
      prepare,
      form: (members, deadlineMs) => form(members, deadlineMs, synchronous),
      connect: async (view, _workload, deadlineMs) => {
        const member = view.leader;
        const client = await connectServer(view.endpoint(member, sql), deadlineMs, "a leader");
        return { client, member };
      },
      connectTo: (view, member, _workload, deadlineMs) =>
        connectServer(view.endpoint(member, sql), deadlineMs),
      status: (endpoints, deadlineMs) => statusOf(endpoints[sql]!, deadlineMs),
      promote: (member, deadlineMs) => promote(member.name, listening(member), deadlineMs),
      rebuild,
    },
  };
}

export const postgresReplica = replicatedPair({
  name: "postgres-replica",
  summary: "the bundled PostgreSQL 18 as a primary and a synchronous standby",
  synchronous: true,
  promise: synchronousPromise,
});

export const postgresReplicaAsync = replicatedPair({
  name: "postgres-replica-async",
  summary: "the bundled PostgreSQL 18 as a primary and an asynchronous standby",
  synchronous: false,
  promise: asynchronousPromise,
});
