/**
 * The clients of a cluster: each belongs to one member, has links of its own to all of them, and records everything. Which
 * member a client speaks to, the store's own way of finding the leader decides; it is in the history with each operation.
 *
 * `memberReaders` are clients of another kind: they read one member's own state, be it old, and their reads are recorded
 * as those of a workload of their own (`set@n2`), since nobody promised that they are linearizable.
 */

import type { Network } from "../../faults/contract.ts";
import type { ClusterView } from "../../stores/cluster-contract.ts";
import type { Endpoint, Store } from "../../stores/contract.ts";
import type { Workload } from "../../workloads/contract.ts";
import type { LoadClient } from "../clients/load.ts";
import { type Place, RecordingClient, type RecordingOptions } from "../clients/recording-client.ts";
import type { Members } from "./members.ts";

export interface ClusterClientsOptions {
  readonly store: Store;
  readonly members: Members;
  readonly network: Network;
  readonly workloads: readonly Workload[];
  readonly clients: number;
  readonly seed: number;
  readonly newProcess: (client: number) => number;
  readonly recording: Pick<RecordingOptions, "clock" | "record" | "deadlineMs">;
}

/** `c0`, `c1` … */
export function clientName(client: number): string {
  return `c${client}`;
}

/** Every workload has clients at every member, in turn. */
export function loadClients(options: ClusterClientsOptions, epoch: number): LoadClient[] {
  const { members, workloads } = options;
  return Array.from({ length: options.clients }, (_, client) => {
    const home = members.names[client % members.names.length]!;
    const workload = workloads[Math.floor(client / members.names.length) % workloads.length]!;
    return {
      workload,
      stream: workload.stream({ seed: options.seed, client, epoch }),
      client: recording(options, client, home, workload, (store, view, deadlineMs) =>
        store.clustered!.connect(view, workload.name, deadlineMs),
      ),
    };
  });
}

/** One reader a workload for this member; that of the i-th workload uses the links of client i. */
export function memberReaders(options: ClusterClientsOptions, member: string): LoadClient[] {
  return options.workloads.map((workload, index) => ({
    workload,
    stream: { next: () => ({ workload: workload.name, f: "read", key: "" }), observe: () => {} },
    client: recording(
      options,
      index,
      member,
      workload,
      async (store, view, deadlineMs) => ({
        client: await store.clustered!.connectTo(view, member, workload.name, deadlineMs),
        member,
      }),
      `${workload.name}@${member}`,
    ),
  }));
}

type Connect = (
  store: Store,
  view: ClusterView,
  deadlineMs: number,
) => ReturnType<NonNullable<Store["clustered"]>["connect"]>;

/** A recording client whose connections are made by the cluster's own rules. */
function recording(
  options: ClusterClientsOptions,
  client: number,
  home: string,
  workload: Workload,
  connect: Connect,
  recordedAs = workload.name,
): RecordingClient {
  const view = viewOf(options, client, home);
  let speaksTo = home;
  const place: Place = {
    // Looked up by the cluster's own `connect`, which is given the view instead.
    endpoint: { host: "127.0.0.1", port: 0 },
    get node() {
      return speaksTo;
    },
    incarnation: () => 0,
  };
  const store: Store = {
    ...options.store,
    async connect(_endpoint, _workload, deadlineMs) {
      const connected = await connect(options.store, view, deadlineMs);
      speaksTo = connected.member;
      return connected.client;
    },
  };
  return new RecordingClient({
    ...options.recording,
    newProcess: () => options.newProcess(client),
    record: (event) =>
      options.recording.record(event.workload === undefined ? event : { ...event, workload: recordedAs }),
    store,
    workload: workload.name,
    place,
  });
}

function viewOf({ members, network }: ClusterClientsOptions, client: number, home: string): ClusterView {
  const same = (a: Endpoint, b: Endpoint) => a.port === b.port && a.host === b.host;
  return {
    home,
    members: members.names,
    endpoint: (member, purpose) => network.clientEndpoint(clientName(client), member, purpose),
    memberAt: (reach) =>
      members.all().find((member) => Object.values(member.reach()).some((one) => same(one, reach)))?.name,
    get leader() {
      return members.leaderFor(home);
    },
  };
}
