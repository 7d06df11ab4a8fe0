/**
 * etcd as a cluster: how its members are launched, asked for their role, and replaced.
 *
 * Election timeouts are 100 ms (heartbeat) and 1 s, etcd's own defaults, so that a leader is replaced within seconds; logs
 * are synced, as shipped. Members know each other by the addresses that lead through the network's links.
 *
 * A member that finds its own files takes the cluster from them. One whose files are gone is started as if it had joined
 * (`existing`), since as a new cluster's first start it would begin a log of its own: it ends with a panic ("tocommit is out
 * of range") as soon as a leader tells it what it had confirmed. It has to be replaced.
 *
 * Flags: https://etcd.io/docs/v3.4/op-guide/configuration/, replacing:
 * https://etcd.io/docs/v3.4/op-guide/runtime-configuration/
 */
import { setTimeout as sleep } from "node:timers/promises";
import type {
  Clustered,
  ClusterPromise,
  ClusterView,
  MemberLaunch,
  MemberSettings,
  MemberStatus,
} from "../cluster-contract.ts";
import type { Client, Endpoint } from "../contract.ts";
import { connectEtcd } from "./client.ts";
import { EtcdError, Gateway, type Json } from "./gateway.ts";

const heartbeatMs = 100;
const electionMs = 1000;
/** How long one readiness probe waits, in ms; the supervisor has the deadline of the whole start. */
const probeMs = 2000;
/** Between two attempts at what a cluster refuses while it is not healthy for long enough, in ms. */
const pauseMs = 200;

const purposes = ["client", "peer"] as const;
const url = ({ host, port }: Endpoint) => `http://${host}:${port}`;

/** What a cluster is asked through, for its own questions. */
type Endpoints = Readonly<Record<string, Endpoint>>;

function endpointOf(endpoints: Endpoints, purpose: (typeof purposes)[number]): Endpoint {
  const endpoint = endpoints[purpose];
  if (!endpoint) throw new Error(`etcd needs an address for "${purpose}"`);
  return endpoint;
}

/** The flags that are the same for every member, alone or in a cluster. */
export function commonFlags(name: string, dir: string, explored = false): string[] {
  return [
    ...["--name", name, "--data-dir", dir, "--logger", "zap", "--log-level", "error"],
    ...["--heartbeat-interval", String(heartbeatMs), "--election-timeout", String(electionMs)],
    // Usually a snapshot is taken every 100,000 entries, and an exploration has a thousand.
    ...(explored ? ["--snapshot-count", "200"] : []),
  ];
}

async function launch(member: MemberSettings): Promise<readonly MemberLaunch[]> {
  const { client, peer } = member.ports;
  if (!client || !peer) throw new Error("etcd needs a port for its clients and one for its peers");
  const peers = member.members.map(({ name, reach }) => `${name}=${url(endpointOf(reach, "peer"))}`);
  const args = [
    ...commonFlags(member.name, member.dir, member.explored),
    ...["--listen-client-urls", url(client.listen), "--advertise-client-urls", url(client.reach)],
    ...["--listen-peer-urls", url(peer.listen), "--initial-advertise-peer-urls", url(peer.reach)],
    ...["--initial-cluster", peers.join(",")],
    ...["--initial-cluster-state", member.as === "forming" ? "new" : "existing"],
  ];
  // A member that is started again may find no quorum, and is as ready as it can be once it has read its log.
  const probe = member.as === "again" ? () => probeLogRead(peer.listen) : probeLeader;
  return [{ program: "etcd", args, ready: { by: "port", probe }, purpose: "client" }];
}

/** The port for peers answers as soon as the log has been read, whoever else is there; the one for clients waits. */
async function probeLogRead(peer: Endpoint): Promise<void> {
  const gateway = await Gateway.connect(peer, probeMs);
  try {
    await gateway.get("/version", probeMs);
  } finally {
    gateway.close();
  }
}

/** Resolves when the member serves and knows a leader. */
export async function probeLeader(client: Endpoint): Promise<void> {
  const answer = await ask(client, "maintenance/status", {}, probeMs);
  if (idOf(answer.leader) === undefined) throw new Error("it knows no leader yet");
}

/** One question on a connection of its own. */
async function ask(client: Endpoint, path: string, body: Json, deadlineMs: number): Promise<Json> {
  const endsAt = performance.now() + deadlineMs;
  const gateway = await Gateway.connect(client, Math.max(1, deadlineMs));
  try {
    return await gateway.post(`/v3/${path}`, body, Math.max(1, endsAt - performance.now()));
  } finally {
    gateway.close();
  }
}

/** An identity, as a string of digits; 0, or absent, is none. */
function idOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "0" ? value : undefined;
}

interface ListedMember {
  readonly id: string;
  /** Empty until the member has published it. */
  readonly name: string;
  readonly peerUrls: readonly string[];
}

async function listMembers(client: Endpoint, deadlineMs: number): Promise<ListedMember[]> {
  // From 3.5 on a list is linearizable unless one says otherwise; a member that is cut off knows its own as well.
  const { members } = await ask(client, "cluster/member/list", { linearizable: false }, deadlineMs);
  return ((members ?? []) as readonly Json[]).map(({ ID, name, peerURLs }) => ({
    id: String(ID),
    name: typeof name === "string" ? name : "",
    peerUrls: (peerURLs ?? []) as readonly string[],
  }));
}

async function status(endpoints: Endpoints, deadlineMs: number): Promise<MemberStatus> {
  const endsAt = performance.now() + deadlineMs;
  const client = endpointOf(endpoints, "client");
  const answer = await ask(client, "maintenance/status", {}, deadlineMs);
  const self = idOf((answer.header as Json | undefined)?.member_id ?? (answer.header as Json)?.memberId);
  const leader = idOf(answer.leader);
  const term = { term: Number(answer.raftTerm ?? 0) };
  if (leader === undefined) return { role: "candidate", ...term };
  const members = await listMembers(client, endsAt - performance.now());
  const name = members.find(({ id }) => id === leader)?.name;
  return { role: leader === self ? "leader" : "follower", ...term, ...(name ? { leader: name } : {}) };
}

/**
 * Removes the member of this address and adds a new one of the same; each step is looked for before it is taken, so that
 * an attempt that was not answered is not made twice. A cluster refuses both until its members have been connected to each
 * other for 5 s ("unhealthy cluster"), so it is asked again until the deadline.
 *
 * @throws Error with the last refusal.
 */
async function replace(member: MemberSettings, through: Endpoints, deadlineMs: number): Promise<void> {
  const endsAt = performance.now() + deadlineMs;
  const client = endpointOf(through, "client");
  const peerUrl = url(endpointOf(ownReach(member), "peer"));
  const left = () => Math.max(1, endsAt - performance.now());
  const before = await listMembers(client, left());
  const removed = before.find(({ peerUrls }) => peerUrls.includes(peerUrl))?.id;
  for (;;) {
    try {
      const now = (await listMembers(client, left())).find(({ peerUrls }) => peerUrls.includes(peerUrl));
      if (now && now.id !== removed) return;
      if (now) await ask(client, "cluster/member/remove", { ID: now.id }, left());
      else await ask(client, "cluster/member/add", { peerURLs: [peerUrl] }, left());
    } catch (error) {
      if (performance.now() + pauseMs < endsAt && error instanceof EtcdError) await sleep(pauseMs);
      else
        throw new Error(`etcd did not replace ${member.name}: ${(error as Error).message}`, { cause: error });
    }
  }
}

function ownReach(member: MemberSettings): Endpoints {
  return Object.fromEntries(Object.entries(member.ports).map(([purpose, { reach }]) => [purpose, reach]));
}

/**
 * As etcd's own client with all endpoints: the member at home if it answers, else the others in their order. A member that
 * answers is kept, also without a leader.
 */
async function connect(view: ClusterView, serializable: boolean, deadlineMs: number) {
  const endsAt = performance.now() + deadlineMs;
  const others = view.members.filter((member) => member !== view.home);
  const failures: string[] = [];
  for (const [i, member] of [view.home, ...others].entries()) {
    const share = (endsAt - performance.now()) / (1 + others.length - i);
    if (share <= 0) break;
    try {
      return { client: await connectEtcd(view.endpoint(member, "client"), serializable, share), member };
    } catch (error) {
      failures.push(`${member}: ${(error as Error).message}`);
    }
  }
  throw new Error(`no member of etcd answered: ${failures.join("; ")}`);
}

/** Reads are what the member itself holds, be it old. */
function connectTo(view: ClusterView, member: string, deadlineMs: number): Promise<Client> {
  return connectEtcd(view.endpoint(member, "client"), true, deadlineMs);
}

const everything = { survives: "everything acknowledged" } as const;
const documentation = "https://etcd.io/docs/v3.5";
/** From "etcd API guarantees", and the same in the pages of 3.4 to 3.6. */
export const durabilityQuote = `"Any completed operations are durable. All accessible data is also durable data. A read will never return data that has not been made durable." ${documentation}/learning/api_guarantees/`;

function promise(serializable: boolean): ClusterPromise {
  const consistency = serializable
    ? "To obtain lower latencies and higher throughput for read requests, clients can configure a request’s consistency mode to serializable, which may access stale data with respect to quorum"
    : "etcd ensures durability and strict serializability for all KV api calls. Those are the strongest isolation guarantee of distributed transactional database systems.";
  const majority =
    "When fewer than half of the followers fail, the etcd cluster can still accept requests and make progress without any major disruption.";
  return {
    linearizable: !serializable,
    failover: everything,
    oneLeader: true,
    powerLossOfAll: everything,
    servesWithMajority: true,
    source: `"${consistency}" ${documentation}/learning/api_guarantees/ ${durabilityQuote} "${majority}" ${documentation}/op-guide/failures/`,
  };
}

/** The cluster, with reads of one kind or the other. */
export function etcdCluster(serializable: boolean): Clustered {
  return {
    members: { default: 3, least: 1, most: 7 },
    purposes,
    promise: () => promise(serializable),
    launch,
    start: "all",
    connect: (view, _workload, deadlineMs) => connect(view, serializable, deadlineMs),
    connectTo: (view, member, _workload, deadlineMs) => connectTo(view, member, deadlineMs),
    status,
    replace,
  };
}
