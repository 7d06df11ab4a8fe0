/**
 * SQLite, as installed on this machine (libsqlite3), in WAL mode behind a small RESP server of acked's (server.c): the
 * disk calls are SQLite's own.
 *
 * Two stores, because SQLite has two promises: `sqlite` runs with `synchronous = FULL` (mode `always`: a commit is
 * synced before it is acknowledged), `sqlite-normal` with `synchronous = NORMAL`. The latter's mode is called `none`:
 * no sync comes before an acknowledgement and none follows within a bounded time, only before the next checkpoint. What
 * it does promise is consistency: what is there after a power loss is a prefix of what was committed.
 *
 * Before it serves, the server checks the database and checkpoints the log: SQLite's own recovery makes a commit visible
 * that was written and not yet synced when the process was killed, and a reader could see what a power loss then takes.
 */
import type { Durability, Store } from "../contract.ts";
import { type DeclaredPromise, respStore } from "../resp.ts";
import { buildServer } from "./build.ts";

const pragma = "https://www.sqlite.org/pragma.html#pragma_synchronous";
const wal = "https://www.sqlite.org/wal.html";
const everything = { survives: "everything acknowledged" } as const;

const full: DeclaredPromise = {
  processCrash: everything,
  powerLoss: everything,
  gracefulStop: everything,
  syncsBeforeAcknowledging: true,
  source: `"Writers sync the WAL on every transaction commit if PRAGMA synchronous is set to FULL but omit this sync if PRAGMA synchronous is set to NORMAL." ${wal}`,
};

const normal: DeclaredPromise = {
  processCrash: everything,
  powerLoss: { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY },
  gracefulStop: everything,
  source: `"WAL mode is always consistent with synchronous=NORMAL, but WAL mode does lose durability. A transaction committed in WAL mode with synchronous=NORMAL might roll back following a power loss or system crash. Transactions are durable across application crashes regardless of the synchronous setting or journal mode." ${pragma}`,
};

/** Pages of 4096 bytes in the log at which SQLite checkpoints: its own default, and one that a short run sees often. */
const checkpointPages = { served: 1000, explored: 32 };

interface Variant {
  readonly name: string;
  readonly summary: string;
  readonly synchronous: "FULL" | "NORMAL";
  readonly durability: Durability["mode"];
  readonly promise: DeclaredPromise;
}

function sqliteStore({ name, summary, synchronous, durability, promise }: Variant): Store {
  const base = respStore({
    name,
    summary,
    command: () => ["sqlite-server"],
    durabilities: [durability],
    promise,
    logFiles: "store.db-wal",
    performs: durability === "always" ? ["write", "sync"] : ["write"],
    unavailable: () =>
      buildServer().then(
        () => undefined,
        (error: Error) => error.message,
      ),
  });
  return {
    ...base,
    async launch(node) {
      const { program } = await buildServer();
      const pages = node.explored ? checkpointPages.explored : checkpointPages.served;
      return { program, args: ["0", node.dir, synchronous, String(pages)], ready: { by: "line" } };
    },
  };
}

export const sqlite: Store = sqliteStore({
  name: "sqlite",
  summary: "SQLite as installed here, WAL mode, synchronous = FULL",
  synchronous: "FULL",
  durability: "always",
  promise: full,
});

export const sqliteNormal: Store = sqliteStore({
  name: "sqlite-normal",
  summary: "SQLite as installed here, WAL mode, synchronous = NORMAL: consistent, and not durable",
  synchronous: "NORMAL",
  durability: "none",
  promise: normal,
});
