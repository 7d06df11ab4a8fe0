/**
 * Redis with Sentinel, as installed on this machine (`redis-server` on PATH, which is the sentinel too): one primary, the
 * others its replicas, and a sentinel beside each server. When the primary does not answer, the sentinels agree on it and
 * make a replica the primary, within seconds.
 *
 * Replication is asynchronous: what a primary has acknowledged may not have reached the replica that takes its place, and
 * a primary that is cut off goes on acknowledging what nobody will keep. The documentation says so; acked measures it.
 * Nothing mitigates it here (`min-replicas-to-write` is 0, as shipped). The append-only file is as for `redis`.
 *
 * A primary that is killed and comes back after a failover still takes itself for one until the sentinels tell it, some 10 s
 * later: its file says so. That, too, is as shipped.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { connectRespClient, probeReadiness } from "../clients/workload-client.ts";
import type { Clustered, ClusterPromise, MemberLaunch, MemberSettings } from "../cluster-contract.ts";
import { capabilities, type Endpoint, type Store } from "../contract.ts";
import { repair } from "./append-only-file.ts";
import { connectToPrimary, requireReplicas, statusOf, whyNotFormed } from "./sentinel-client.ts";
import { sentinelFile, serverFile } from "./sentinel-files.ts";
import { redis } from "./store.ts";

/** How long one readiness probe waits, in ms; the supervisor has the deadline of the whole start. */
const probeMs = 5000;
/** Between two looks at a cluster that is being formed, in ms. */
const pauseMs = 50;
/** How long a sentinel may take to answer one question while a cluster is being formed, in ms. */
const askMs = 2000;

const documentation = "https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/";
const aPrefix = { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY } as const;

function promise(): ClusterPromise {
  return {
    linearizable: false,
    failover: aPrefix,
    oneLeader: false,
    // Whoever starts first after it may be a replica that lacks the last writes, and become the primary.
    powerLossOfAll: aPrefix,
    servesWithMajority: true,
    source: `"Sentinel + Redis distributed system does not guarantee that acknowledged writes are retained during failures, since Redis uses asynchronous replication." and "If the master M1 fails, S2 and S3 will agree about the failure and will be able to authorize a failover, making clients able to continue." ${documentation}`,
  };
}

async function launch(member: MemberSettings): Promise<readonly MemberLaunch[]> {
  if (member.as === "again") await repair(member.dir);
  const probe = (endpoint: Endpoint) => probeReadiness(endpoint, probeMs);
  const ready = { by: "port", probe } as const;
  const formed = { by: "port", probe: () => allFollow(member) } as const;
  const [server, sentinel] = [serverFile(member), sentinelFile(member)];
  return [
    {
      program: "redis-server",
      args: [server],
      purpose: "redis",
      ready: member.as === "again" ? ready : formed,
    },
    {
      ...{ program: "redis-server", args: [sentinel, "--sentinel"], purpose: "sentinel", ready },
      ...{ stores: false, ownDirectory: "sentinel" },
    },
  ];
}

/**
 * A sentinel asks the primary for its replicas when it starts, and then every 10 s only. So a new cluster's servers are
 * ready, and the sentinels started, when all replicas are there.
 */
function allFollow({ members }: MemberSettings): Promise<void> {
  return requireReplicas(members[0]!.reach.redis!, members.length - 1, probeMs);
}

/** Resolves when every sentinel knows all others and sees every replica follow. */
async function form(members: readonly MemberSettings[], deadlineMs: number): Promise<void> {
  const endsAt = performance.now() + deadlineMs;
  for (const member of members) {
    for (;;) {
      const { listen } = member.ports.sentinel!;
      const why = await whyNotFormed(listen, members.length - 1, askMs).catch(
        (error: Error) => error.message,
      );
      if (why === undefined) break;
      if (performance.now() + pauseMs > endsAt) {
        throw new Error(`the sentinel of ${member.name} is not ready: ${why}`);
      }
      await sleep(pauseMs);
    }
  }
}

const clustered: Clustered = {
  members: { default: 3, least: 3, most: 7 },
  purposes: ["redis", "sentinel"],
  // A sentinel that was paused for two seconds distrusts its clock (TILT) and does nothing for 30 s.
  healMs: 45_000,
  promise,
  launch,
  start: "all",
  form,
  connect: connectToPrimary,
  connectTo: (view, member, workload, deadlineMs) =>
    connectRespClient(view.endpoint(member, "redis"), workload, deadlineMs),
  status: statusOf,
};

export const redisSentinel: Store = {
  ...redis,
  name: "redis-sentinel",
  summary:
    "a primary and replicas of redis-server with a sentinel each: fails over in seconds, and may lose writes",
  capabilities,
  durabilities: ["always", "interval"],
  clustered,
};
