/**
 * Redis, as installed on this machine (`redis-server` on PATH), with its append-only file.
 *
 * Modes: `always` is `appendfsync always`, `interval:1000` is `appendfsync everysec` (the only interval Redis knows),
 * `none` is no persistence at all. Snapshots (RDB) and automatic rewrites stay off, so that what a run sees is the
 * append-only file alone.
 */
import { type Durability, ScenarioError, type Store } from "./contract.ts";
import { type DeclaredPromise, findProgram, respStore } from "./resp.ts";

const page = "https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/";
const nothing = { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY } as const;
const everything = { survives: "everything acknowledged" } as const;

/** From the page "Redis persistence", section "How durable is the append only file?". */
function promise(durability: Durability): DeclaredPromise {
  switch (durability.mode) {
    case "always":
      return {
        processCrash: everything,
        powerLoss: everything,
        gracefulStop: everything,
        syncsBeforeAcknowledging: true,
        source: `"appendfsync always: fsync every time new commands are appended to the AOF. Very very slow, very safe. […] it means a single write and a single fsync (before sending the replies)." ${page}`,
      };
    case "interval":
      return {
        processCrash: { survives: "a prefix", lossMsMax: 1000 },
        powerLoss: { survives: "a prefix", lossMsMax: 1000 },
        gracefulStop: everything,
        source: `"appendfsync everysec: fsync every second. Fast enough […], and you may lose 1 second of data if there is a disaster." ${page}`,
      };
    case "none":
      return {
        processCrash: nothing,
        powerLoss: nothing,
        gracefulStop: nothing,
        source: `"No persistence: You can disable persistence completely. This is sometimes used when caching." ${page}`,
      };
  }
}

function persistence(durability: Durability): string[] {
  if (durability.mode === "none") return ["--appendonly", "no"];
  if (durability.mode === "interval" && durability.intervalMs !== 1000) {
    throw new ScenarioError(
      `redis cannot sync every ${durability.intervalMs} ms, only every second: use --durability interval:1000`,
    );
  }
  const appendfsync = durability.mode === "always" ? "always" : "everysec";
  const noRewrites = ["--auto-aof-rewrite-percentage", "0"];
  return ["--appendonly", "yes", "--appendfsync", appendfsync, ...noRewrites];
}

export const redis: Store = respStore({
  name: "redis",
  summary: "redis-server as installed here, with its append-only file",
  command: (node) => [
    "redis-server",
    ...["--port", String(node.port), "--bind", "127.0.0.1", "--dir", node.dir],
    ...["--save", "", "--daemonize", "no", "--protected-mode", "no"],
    ...persistence(node.durability),
  ],
  durabilities: ["always", "interval", "none"],
  promise,
  logFiles: "appendonlydir/*.aof",
  performs: ["write", "sync", "grow"],
  unavailable: async () =>
    findProgram("redis-server")
      ? undefined
      : "redis-server is not on PATH; install it, for example with: apt-get install redis-server",
});
