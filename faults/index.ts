/**
 * The registry of faults, one line each: what is not listed here is not modelled. Also the doors to the mechanisms they
 * work through (the links, the interposer) and to the nemesis, so that the harness needs no path into this folder.
 */
import { unknownName } from "../stores/contract.ts";
import { atRest } from "./at-rest/bit-flip.ts";
import { deletedFile } from "./at-rest/deleted-file.ts";
import { garbageAppended } from "./at-rest/garbage-appended.ts";
import { rolledBackFile } from "./at-rest/rolled-back-file.ts";
import { swappedFiles } from "./at-rest/swapped-files.ts";
import { truncatedTail } from "./at-rest/truncated-tail.ts";
import { zeroPage } from "./at-rest/zero-page.ts";

import { failover } from "./cluster/failover.ts";
import { killAll } from "./cluster/kill-all.ts";
import { powerLossAll } from "./cluster/power-loss-all.ts";
import { resurrectLeader } from "./cluster/resurrect-leader.ts";
import { emptyDisk, oldDisk, replaceMember } from "./cluster/returning-disks.ts";
import type { ClusterFault, Fault, NetworkFault } from "./contract.ts";

import { bitFlipWrite } from "./disk/bit-flip-write.ts";
import { corruptRead } from "./disk/corrupt-read.ts";
import { diskFull } from "./disk/disk-full.ts";
import { fsyncgate } from "./disk/fsyncgate.ts";
import { interruptedSync } from "./disk/interrupted-sync.ts";
import { lateSyncError } from "./disk/late-sync-error.ts";
import { lyingSync } from "./disk/lying-sync.ts";
import { lyingWrite } from "./disk/lying-write.ts";
import { misdirectedWrite } from "./disk/misdirected-write.ts";
import { nameError } from "./disk/name-error.ts";
import { readError } from "./disk/read-error.ts";
import { readOnly } from "./disk/read-only.ts";
import { revertingSync } from "./disk/reverting-sync.ts";
import { shortRead } from "./disk/short-read.ts";
import { shortWrite } from "./disk/short-write.ts";
import { skippedDirectorySync } from "./disk/skipped-directory-sync.ts";
import { slowSync } from "./disk/slow-sync.ts";
import { slowWrite } from "./disk/slow-write.ts";
import { stalePage } from "./disk/stale-page.ts";
import { syncError } from "./disk/sync-error.ts";
import { tornWrite } from "./disk/torn-write.ts";
import { tornWriteError } from "./disk/torn-write-error.ts";
import { writeError } from "./disk/write-error.ts";
import { writebackError } from "./disk/writeback-error.ts";
import { cut } from "./network/cut.ts";
import { delay } from "./network/delay.ts";
import { partition } from "./network/partition.ts";
import {
  bridgeFault,
  clientPartition,
  halvesFault,
  isolate,
  isolateLeader,
  oneWayFault,
  randomLinksFault,
  ring,
} from "./network/partition-shapes.ts";
import { cutLink, limitedLink, refuseLinks, slowLink } from "./network/troubled-links.ts";
import { clockSkew } from "./process/clock-skew.ts";
import { kill } from "./process/kill.ts";
import { pause } from "./process/pause.ts";
import { powerLoss } from "./process/power-loss.ts";
import { stop } from "./process/stop.ts";

export { withoutInterposer as whyNotInterposed } from "./disk/on-disk.ts";
export {
  type BrokerOptions,
  brokerBlindSpots,
  brokerEnvironment,
  brokered,
  brokerUnavailable,
  buildBroker,
} from "./front-ends/broker.ts";
export { type BrokerCost, measureBrokerCost } from "./front-ends/broker-cost.ts";
export { buildPowerCut } from "./front-ends/build-power-cut.ts";
export { buildClock, createSkewedClock, type SkewedClock } from "./front-ends/clock.ts";
export { buildInterposer, createDiskControl, hidesSyncs, ringUnseen } from "./front-ends/interposer.ts";
export { type CallCost, measureOverhead, type Overhead } from "./front-ends/overhead.ts";
export {
  type CallEnd,
  createTrace,
  parseTrace,
  type ReadTrace,
  readTrace,
  type TraceFile,
} from "./front-ends/trace-file.ts";
export { type FaultLife, Nemesis, pause } from "./nemesis.ts";
export { namespacesUnavailable } from "./network/iproute.ts";
export {
  createNetwork,
  networkClientsMost,
  networkConditions,
  networkUnavailable,
} from "./network/mechanisms.ts";
export { createNamespaceNetwork, removeLeftNamespaces } from "./network/namespaces.ts";
export { createLink } from "./network/proxy.ts";
export { createProxyNetwork, type ProxyNetworkOptions } from "./network/proxy-network.ts";

/** Every fault that can be named. */
export const faults: readonly Fault[] = [
  kill,
  powerLoss,
  pause,
  stop,
  shortWrite,
  tornWrite,
  tornWriteError,
  writeError,
  lyingWrite,
  misdirectedWrite,
  bitFlipWrite,
  slowWrite,
  diskFull,
  readOnly,
  nameError,
  syncError,
  fsyncgate,
  writebackError,
  revertingSync,
  lateSyncError,
  lyingSync,
  interruptedSync,
  skippedDirectorySync,
  slowSync,
  readError,
  shortRead,
  corruptRead,
  stalePage,
  partition,
  delay,
  cut,
  atRest,
  truncatedTail,
  zeroPage,
  garbageAppended,
  deletedFile,
  rolledBackFile,
  swappedFiles,
];

/** Every fault of a cluster's network that can be named. */
export const networkFaults: readonly NetworkFault[] = [
  isolate,
  isolateLeader,
  halvesFault,
  ring,
  bridgeFault,
  oneWayFault,
  randomLinksFault,
  clientPartition,
  slowLink,
  limitedLink,
  cutLink,
  refuseLinks,
];

/** Faults of one node that only a member of a cluster can have: they need a `FaultTarget.clock`. */
export const memberFaults: readonly Fault[] = [clockSkew];

/** Every fault of a whole cluster that can be named. */
export const clusterFaults: readonly ClusterFault[] = [
  killAll,
  powerLossAll,
  failover,
  replaceMember,
  resurrectLeader,
  oldDisk,
  emptyDisk,
];

/**
 * The faults of these names, in their order, each once.
 *
 * @throws ScenarioError for a name that is not known; it lists those that are.
 */
export function findFaults(names: readonly string[]): Fault[] {
  return findByName("fault", faults, names);
}

/**
 * The faults of a cluster's network of these names, in their order, each once.
 *
 * @throws ScenarioError for a name that is not known; it lists those that are.
 */
export function findNetworkFaults(names: readonly string[]): NetworkFault[] {
  return findByName("fault of a cluster's network", networkFaults, names);
}

function findByName<F extends { readonly name: string }>(
  what: string,
  registry: readonly F[],
  names: readonly string[],
): F[] {
  return [...new Set(names)].map((name) => {
    const fault = registry.find((one) => one.name === name);
    if (fault) return fault;
    const known = registry.map((one) => one.name);
    throw unknownName(what, name, known, ", or none");
  });
}
