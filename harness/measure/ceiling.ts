/**
 * How fast this load generator could go at most: the same loop and the thinnest connection against a server that does
 * nothing (`null-server.ts`). A store that comes near it was not measured; the generator was.
 */
import { join } from "node:path";
import type { Endpoint, MeasuredConnection } from "../../stores/contract.ts";
import { runClosedLoop } from "../clients/closed-loop.ts";
import { childProgram } from "../package-root.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { monotonicClock } from "./clock.ts";
import type { RequestSource } from "./dataset.ts";
import type { ValidityRecord } from "./results.ts";

export interface CeilingOptions {
  readonly supervisor: Supervisor;
  readonly runDir: string;
  readonly clients: readonly number[];
  readonly connect: (endpoint: Endpoint) => Promise<MeasuredConnection>;
  readonly source: RequestSource;
  /** For each number of clients, ms. */
  readonly measureMs: number;
}

/** Round trips per second by number of clients. The server is gone afterwards. */
export async function findCeiling(options: CeilingOptions): Promise<ValidityRecord["ceiling"]> {
  const server = await options.supervisor.start({
    launch: {
      program: process.execPath,
      args: [childProgram("harness/measure/null-server.js")],
      ready: { by: "line" },
    },
    node: { name: "null-server", dir: options.runDir, port: 0, durability: { mode: "none" } },
    logFile: join(options.runDir, "store.log"),
  });
  try {
    const ceiling: { clients: number; perSecond: number }[] = [];
    for (const clients of options.clients) {
      ceiling.push({ clients, perSecond: await roundTrips(options, server.endpoint, clients) });
    }
    return ceiling;
  } finally {
    await server.kill();
  }
}

async function roundTrips(options: CeilingOptions, endpoint: Endpoint, clients: number): Promise<number> {
  const { connect, source, measureMs } = options;
  const connections: MeasuredConnection[] = [];
  try {
    while (connections.length < clients) connections.push(await connect(endpoint));
    const { completed, elapsedNs } = await runClosedLoop({
      connections,
      send: (connection, done) => connection.upsert(source.key(), source.value(), done),
      clock: monotonicClock,
      warmupNs: measureMs * 1e6, // both programs are new, and have to be compiled first
      measureNs: measureMs * 1e6,
      stallNs: 5e9,
      onServiceTime: () => {},
    });
    return (completed / elapsedNs) * 1e9;
  } finally {
    await Promise.all(connections.map((connection) => connection.close()));
  }
}
