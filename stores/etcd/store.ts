/**
 * etcd, as installed on this machine (`etcd` on PATH, 3.4 to 3.6), as a cluster of members and alone.
 *
 * Two stores: `etcd` reads as etcd does unless told otherwise, linearizably; `etcd-serializable` has its reads answered by
 * the member that is asked, from what it holds, which may be old: how old is measured.
 *
 * etcd syncs its log before it acknowledges and has no other mode. It is a static Go program, which no preloaded library
 * reaches: disk faults come through the broker.
 */
import type { Launch, NodeSettings, Store, StorePromise } from "../contract.ts";
import { connectEtcd } from "./client.ts";
import { commonFlags, durabilityQuote, etcdCluster, probeLeader } from "./cluster.ts";
import { etcdMissing } from "./version.ts";

const everything = { survives: "everything acknowledged" } as const;

function promise(): StorePromise {
  return {
    processCrash: everything,
    powerLoss: everything,
    gracefulStop: everything,
    syncsBeforeAcknowledging: true,
    // Not in its documentation, but its code panics: https://github.com/etcd-io/etcd/blob/release-3.4/etcdserver/raft.go
    failStop: true,
    detectsDamageAtRest: false,
    source: durabilityQuote,
  };
}

/** One member alone is a cluster of one. Nobody looks for its peer port, so the system may choose it. */
function launchAlone({ name, dir, port, explored }: NodeSettings): Launch {
  const client = `http://127.0.0.1:${port}`;
  const peer = "http://127.0.0.1:0";
  const args = [
    ...commonFlags(name, dir, explored),
    ...["--listen-client-urls", client, "--advertise-client-urls", client],
    ...[
      "--listen-peer-urls",
      peer,
      "--initial-advertise-peer-urls",
      peer,
      "--initial-cluster",
      `${name}=${peer}`,
    ],
  ];
  return { program: "etcd", args, ready: { by: "port", probe: probeLeader } };
}

function etcdStore(options: Pick<Store, "name" | "summary">, serializable: boolean): Store {
  return {
    ...options,
    capabilities: ["registers", "compare-and-set", "deletes", "lists", "sets", "transactions"],
    durabilities: ["always"],
    promise,
    launch: launchAlone,
    connect: (endpoint, _workload, deadlineMs) => connectEtcd(endpoint, serializable, deadlineMs),
    unavailable: etcdMissing,
    logFiles: "member/wal/*.wal",
    performs: ["write", "sync"],
    interposable: false,
    clustered: etcdCluster(serializable),
  };
}

export const etcd: Store = etcdStore(
  { name: "etcd", summary: "a cluster of etcd as installed here, with linearizable reads" },
  false,
);

export const etcdSerializable: Store = etcdStore(
  { name: "etcd-serializable", summary: "a cluster of etcd whose reads may be old: serializable ones" },
  true,
);
