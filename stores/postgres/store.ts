/**
 * PostgreSQL, the one that comes with acked, as a store under test: a real server of several processes, as its own user
 * when acked is root, in a small cluster that is copied into each data directory (template.ts).
 *
 * `postgres` keeps its defaults where durability is concerned; mode `interval:<ms>` is `synchronous_commit = off`.
 * `postgres-fsync-off` is the same server with `fsync = off`, in mode `none`: it acknowledges what is only written, and
 * its log is written before the data, but synced neither before nor after. A loss is what its manual says; a database
 * that does not start, or whose parts are of different times, is not even "a prefix".
 *
 * Segments of the log are 1 MB; an explored run checkpoints after 2 MB of log, so that segments are recycled in it. A
 * backend that dies takes the whole server with it (`restart_after_crash = off`): restarting is acked's part.
 */
import type { Durability, Store, StorePromise } from "../contract.ts";
import { ScenarioError } from "../contract.ts";
import { bundledPostgresMissing } from "./package.ts";
import { connectServer, launchServer, type ServerSettings } from "./server.ts";

const manual = "https://www.postgresql.org/docs/current";
const everything = { survives: "everything acknowledged" } as const;
/** One sync of the log writer that takes long may be part of the loss, in ms. */
const oneSyncMs = 1000;

function promise(durability: Durability, fsync: boolean): StorePromise {
  const common = {
    processCrash: everything,
    gracefulStop: everything,
    failStop: false,
    detectsDamageAtRest: false,
  };
  if (!fsync) {
    return {
      ...common,
      powerLoss: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
      syncsBeforeAcknowledging: false,
      source: `"While turning off fsync is often a performance benefit, this can result in unrecoverable data corruption in the event of a power failure or system crash." ${manual}/runtime-config-wal.html`,
    };
  }
  if (durability.mode === "interval") {
    return {
      ...common,
      powerLoss: { survives: "a prefix", lossMsMax: 3 * durability.intervalMs + oneSyncMs },
      syncsBeforeAcknowledging: false,
      source: `"The duration of the risk window is limited because a background process (the “WAL writer”) flushes unwritten WAL records to disk every wal_writer_delay milliseconds. The actual maximum duration of the risk window is three times wal_writer_delay" ${manual}/wal-async-commit.html`,
    };
  }
  return {
    ...common,
    powerLoss: everything,
    syncsBeforeAcknowledging: true,
    source: `"the server waits for the transaction's WAL records to be flushed to permanent storage before returning a success indication to the client. The client is therefore guaranteed that a transaction reported to be committed will be preserved, even in the event of a server crash immediately after." ${manual}/wal-async-commit.html`,
  };
}

/** @throws ScenarioError when its log cannot be synced at that interval. */
function durabilitySettings(durability: Durability, fsync: boolean): ServerSettings {
  const common = { fsync: fsync ? "on" : "off" };
  if (durability.mode !== "interval") return { ...common, synchronous_commit: "on" };
  const { intervalMs } = durability;
  if (intervalMs < 1 || intervalMs > 10_000) {
    throw new ScenarioError(
      `Postgres cannot sync its log every ${intervalMs} ms: wal_writer_delay is 1 to 10000 ms, so use for example --durability interval:200`,
    );
  }
  return { ...common, synchronous_commit: "off", wal_writer_delay: `${intervalMs}ms` };
}

function postgresStore(
  options: Pick<Store, "name" | "summary" | "durabilities"> & { fsync: boolean },
): Store {
  const { fsync, ...described } = options;
  return {
    ...described,
    capabilities: ["registers", "compare-and-set", "deletes", "lists", "sets", "transactions"],
    promise: (durability) => promise(durability, fsync),
    launch: async (node) => launchServer(node, durabilitySettings(node.durability, fsync)),
    connect: (endpoint, _workload, deadlineMs) => connectServer(endpoint, deadlineMs),
    unavailable: async () => bundledPostgresMissing(),
    logFiles: "pgdata/pg_wal/*",
    performs: fsync ? ["write", "sync"] : ["write"],
  };
}

export const postgres: Store = postgresStore({
  name: "postgres",
  summary: "the bundled PostgreSQL 18, with its defaults for durability",
  durabilities: ["always", "interval"],
  fsync: true,
});

export const postgresFsyncOff: Store = postgresStore({
  name: "postgres-fsync-off",
  summary: "the bundled PostgreSQL 18 with fsync = off: fast, and not to be trusted after a power loss",
  durabilities: ["none"],
  fsync: false,
});
