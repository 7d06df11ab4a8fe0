/**
 * How a client finds the primary, and what a member says of its role: the steps that client libraries follow
 * (https://redis.io/docs/latest/develop/reference/sentinel-clients/). Ask one sentinel after the other for the primary's
 * address, connect there, and have `ROLE` say that it is one; if any of that fails, pause and begin again.
 *
 * The sentinel at home is asked first, over this client's own link, and the primary is reached over this client's own link
 * to whoever announces that address: a client cut off together with an old primary and its sentinel goes on with both.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { RespConnection, RespError, type RespReply } from "../clients/resp.ts";
import { connectRespClient } from "../clients/workload-client.ts";
import type { ClusterClient, ClusterView, MemberStatus } from "../cluster-contract.ts";
import type { Endpoint } from "../contract.ts";
import { watched } from "./sentinel-files.ts";

/** ms between two attempts. */
const pauseMs = 100;

/**
 * @param deadlineMs ms for all of it.
 * @throws Error with what the last attempt met.
 */
export async function connectToPrimary(
  view: ClusterView,
  workload: string,
  deadlineMs: number,
): Promise<ClusterClient> {
  const endsAt = performance.now() + deadlineMs;
  for (;;) {
    // A primary that does not answer must leave time for asking who follows it.
    const leftMs = endsAt - performance.now();
    try {
      const member = await findPrimary(view, leftMs / 2);
      const shareMs = Math.max(1, (endsAt - performance.now()) / 2);
      const client = await connectRespClient(
        view.endpoint(member, "redis"),
        workload,
        shareMs,
        requirePrimary,
      );
      return { client, member };
    } catch (error) {
      if (performance.now() + pauseMs >= endsAt) throw error;
      await sleep(pauseMs);
    }
  }
}

/** The member that the first sentinel to know one names. */
async function findPrimary(view: ClusterView, deadlineMs: number): Promise<string> {
  const endsAt = performance.now() + deadlineMs;
  const sentinels = [view.home, ...view.members.filter((member) => member !== view.home)];
  const failures: string[] = [];
  for (const [i, sentinel] of sentinels.entries()) {
    const shareMs = Math.max(1, (endsAt - performance.now()) / (sentinels.length - i));
    try {
      const primary = await askSentinel(view, sentinel, shareMs);
      if (primary !== undefined) return primary;
      failures.push(`the sentinel of ${sentinel} names no member`);
    } catch (error) {
      failures.push(`the sentinel of ${sentinel}: ${(error as Error).message}`);
    }
  }
  throw new Error(`no sentinel named the primary: ${failures.join("; ")}`);
}

async function askSentinel(view: ClusterView, sentinel: string, deadlineMs: number) {
  const command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", watched];
  const reply = await askOnce(view.endpoint(sentinel, "sentinel"), command, deadlineMs);
  const [host, port] = wordsOf(reply);
  return host === undefined ? undefined : view.memberAt({ host, port: Number(port) });
}

async function requirePrimary(connection: RespConnection, deadlineMs: number): Promise<void> {
  const [role] = wordsOf(await connection.send(["ROLE"], deadlineMs));
  if (role !== "master")
    throw new Error(`the member that was named as the primary says that it is a ${role}`);
}

/**
 * What a member says of itself, and of which epoch the configuration is that its sentinel has: it counts the failovers.
 *
 * @throws RespConnectionError when its server does not answer.
 */
export async function statusOf(
  endpoints: Readonly<Record<string, Endpoint>>,
  deadlineMs: number,
): Promise<MemberStatus> {
  const [[role, , , link], term] = await Promise.all([
    askOnce(endpoints.redis!, ["ROLE"], deadlineMs).then(wordsOf),
    epochOf(endpoints.sentinel!, deadlineMs).catch(() => undefined),
  ]);
  const known = term === undefined ? {} : { term };
  // What a replica's link is, ROLE says in its fourth place: connect, connecting, sync, connected.
  return { role: role === "master" ? "leader" : link === "connected" ? "follower" : "candidate", ...known };
}

async function epochOf(sentinel: Endpoint, deadlineMs: number): Promise<number | undefined> {
  const fields = fieldsOf(await askOnce(sentinel, ["SENTINEL", "MASTER", watched], deadlineMs));
  const epoch = Number(fields["config-epoch"]);
  return Number.isInteger(epoch) ? epoch : undefined;
}

/**
 * Rejects unless the primary has so many replicas that have its data.
 *
 * @param deadlineMs ms for all of it.
 */
export async function requireReplicas(primary: Endpoint, count: number, deadlineMs: number): Promise<void> {
  const info = String(await askOnce(primary, ["INFO", "replication"], deadlineMs));
  const online = info.match(/^slave\d+:.*\bstate=online\b/gm)?.length ?? 0;
  if (online < count) throw new Error(`${online} of ${count} replicas follow the primary`);
}

/**
 * Why the sentinel and its server are not in their places yet, when a cluster has just been formed: it knows the other
 * sentinels and the replicas, and these have the primary's data. `undefined` when they are.
 *
 * @param others how many other members there are.
 */
export async function whyNotFormed(
  sentinel: Endpoint,
  others: number,
  deadlineMs: number,
): Promise<string | undefined> {
  const ask = async (what: string) => {
    const reply = await askOnce(sentinel, ["SENTINEL", what, watched], deadlineMs);
    return Array.isArray(reply) ? reply.map(fieldsOf) : [];
  };
  const sentinels = await ask("SENTINELS");
  if (sentinels.length < others) return `it knows ${sentinels.length} of ${others} other sentinels`;
  const replicas = await ask("REPLICAS");
  const linked = replicas.filter((replica) => replica["master-link-status"] === "ok").length;
  return linked < others ? `it knows ${linked} of ${others} replicas that follow the primary` : undefined;
}

/** One question on a connection of its own; an error reply rejects. */
async function askOnce(
  endpoint: Endpoint,
  command: readonly string[],
  deadlineMs: number,
): Promise<RespReply> {
  const endsAt = performance.now() + deadlineMs;
  const connection = await RespConnection.connect(endpoint, Math.max(1, deadlineMs));
  try {
    const reply = await connection.send(command, Math.max(1, endsAt - performance.now()));
    if (reply instanceof RespError) throw new Error(reply.message);
    return reply;
  } finally {
    connection.close();
  }
}

/** The strings of an array; none when it is no array. */
function wordsOf(reply: RespReply): (string | undefined)[] {
  if (!Array.isArray(reply)) return [];
  return reply.map((item: RespReply) => (Buffer.isBuffer(item) ? item.toString() : undefined));
}

/** An array of names and values in turn. */
function fieldsOf(reply: RespReply): Record<string, string> {
  const words = wordsOf(reply);
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < words.length; i += 2) fields[words[i] ?? ""] = words[i + 1] ?? "";
  return fields;
}
