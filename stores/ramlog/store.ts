/**
 * ramlog as a store under test: its server as a child process, over RESP. The stores with planted bugs are the same
 * store with another program (`stores/broken/`).
 *
 * Segments and snapshots are kept small, so that a run of seconds sees segments end, snapshots replace each other and
 * files renamed, and not only appends; in a run to be explored smaller still.
 */
import { childProgram } from "../../harness/package-root.ts";
import type { Durability, PlantedBug, Store } from "../contract.ts";
import { type DeclaredPromise, respStore } from "../resp.ts";

export interface RamlogStoreOptions {
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  /** The compiled program below `dist/`. Default: `stores/ramlog/main.js`. */
  readonly program?: string;
  /** Further arguments, for example `["--bug", "never-syncs"]`. */
  readonly extraArgs?: readonly string[];
  /** The compiled module that recovers in process, below `dist/`. Default: `stores/ramlog/recoverable.js`. */
  readonly recoverModule?: string;
  /** Further options for it. */
  readonly recoverOptions?: Readonly<Record<string, unknown>>;
  /** Members of the promise that this store does not make. */
  readonly promisesNot?: readonly "failStop"[];
  readonly plantedBug?: PlantedBug;
}

const usual = { segmentBytes: 64 * 1024, snapshotBytes: 256 * 1024 };
/** What is replayed must be short, since every crash state is recovered; and segments must be reused early. */
const explored = { segmentBytes: 8 * 1024, snapshotBytes: 11 * 1024 };

/** One sync that overruns the interval may take this long, in ms, and is part of the permitted loss. */
const oneSyncMs = 1000;

const everything = { survives: "everything acknowledged" } as const;
const sinceSnapshot = { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY } as const;

/** From ARCHITECTURE.md, "ramlog: what it promises". */
function promise(durability: Durability): DeclaredPromise {
  const source = (words: string) => `"${words}" (acked's ARCHITECTURE.md, "ramlog: what it promises")`;
  switch (durability.mode) {
    case "always":
      return {
        processCrash: everything,
        powerLoss: everything,
        gracefulStop: everything,
        syncsBeforeAcknowledging: true,
        failStop: true,
        detectsDamageAtRest: true,
        source: source("always: acknowledged = synced"),
      };
    case "interval":
      return {
        processCrash: everything,
        powerLoss: { survives: "a prefix", lossMsMax: durability.intervalMs + oneSyncMs, syncMs: oneSyncMs },
        gracefulStop: everything,
        syncsBeforeAcknowledging: false,
        failStop: true,
        detectsDamageAtRest: true,
        source: source(
          "interval: acknowledged = written; at most the interval plus one sync lost on power loss, nothing on a process crash",
        ),
      };
    case "none":
      return {
        processCrash: sinceSnapshot,
        powerLoss: sinceSnapshot,
        gracefulStop: sinceSnapshot,
        source: source("none: RAM with snapshots only"),
      };
  }
}

/** ramlog, or a program made from it. */
export function ramlogStore(options: RamlogStoreOptions): Store {
  const program = childProgram(options.program ?? "stores/ramlog/main.js");
  const withdrawn = Object.fromEntries((options.promisesNot ?? []).map((name) => [name, false]));
  const store = respStore({
    name: options.name,
    summary: options.summary,
    command: (node) => [
      process.execPath,
      program,
      ...["--dir", node.dir, "--port", "0", "--durability", durabilityArgument(node.durability)],
      ...sizeArguments(node.explored ? explored : usual),
      ...(options.extraArgs ?? []),
    ],
    ready: "line",
    durabilities: ["always", "interval", "none"],
    promise: (durability) => ({ ...promise(durability), ...withdrawn }),
    logFiles: "segment-*.log",
    performs: ["write", "sync", "rename", "grow"],
    ...(options.plantedBug ? { plantedBug: options.plantedBug } : {}),
  });
  return {
    ...store,
    snapshotFiles: "snapshot-*.snap",
    recoverable: {
      module: childProgram(options.recoverModule ?? "stores/ramlog/recoverable.js"),
      options: { ...explored, ...options.recoverOptions },
    },
  };
}

function sizeArguments(sizes: typeof usual): string[] {
  return ["--segment-bytes", String(sizes.segmentBytes), "--snapshot-bytes", String(sizes.snapshotBytes)];
}

function durabilityArgument(durability: Durability): string {
  return durability.mode === "interval" ? `interval:${durability.intervalMs}` : durability.mode;
}

export const ramlog: Store = ramlogStore({
  name: "ramlog",
  summary:
    "acked's own durable in-memory store: all state in RAM, every change in a log before it is acknowledged",
});
