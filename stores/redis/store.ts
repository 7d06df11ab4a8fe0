/**
 * Redis, as installed on this machine (`redis-server` on PATH), with its append-only file.
 *
 * Modes: `always` is `appendfsync always`, `interval:1000` is `appendfsync everysec` (the only interval Redis knows),
 * `none` is no persistence at all. Snapshots (RDB) and automatic rewrites stay off, so that what a run sees is the
 * append-only file alone.
 *
 * Two stores, because after a power loss the file may end in zeros or hold a hole in what was not synced yet, and then
 * Redis does not start but asks for `redis-check-aof --fix` (https://github.com/redis/redis/issues/5177). `redis` is
 * Redis with an operator who does that; `redis-unrepaired` is the server alone, found as did-not-recover.
 *
 * Known truths, tested in known-truths.test.ts: a power loss takes a bounded window in mode `interval` and nothing in mode
 * `always`; a sync that fails in mode `always` ends the process, and what it was to cover is not acknowledged.
 */
import { capabilities, type Durability, type Store } from "../contract.ts";
import { type DeclaredPromise, respStore } from "../resp.ts";
import { logFiles, persistence, repair } from "./append-only-file.ts";
import { redisMissing } from "./version.ts";

const page = "https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/";
const nothing = { survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY } as const;
/**
 * "1 second" counts from the begin of one sync to the begin of the next; until that one has completed, in a thread of
 * its own, its second may be lost as well.
 */
const everySecond = { survives: "a prefix", lossMsMax: 2000 } as const;
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
        // After a SIGKILL it serves what its log shows, synced or not (found by acked; the page does not speak of it).
        showsOnlyDurable: false,
        source: `"appendfsync always: fsync every time new commands are appended to the AOF. Very very slow, very safe. […] it means a single write and a single fsync (before sending the replies)." ${page}`,
      };
    case "interval":
      return {
        processCrash: everySecond,
        powerLoss: everySecond,
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

const alone: Store = respStore({
  name: "redis-unrepaired",
  summary: "redis-server alone: it does not start when its log ends in zeros",
  command: (node) => [
    "redis-server",
    ...["--port", String(node.port), "--bind", "127.0.0.1", "--dir", node.dir],
    ...["--daemonize", "no", "--protected-mode", "no"],
    ...persistence(node.durability).flatMap(([name, value]) => [`--${name}`, value]),
  ],
  capabilities,
  durabilities: ["always", "interval", "none"],
  promise,
  logFiles,
  performs: ["write", "sync", "grow"],
  unavailable: redisMissing,
});

export const redisUnrepaired: Store = alone;

export const redis: Store = {
  ...alone,
  name: "redis",
  summary: "redis-server as installed here, with its append-only file, repaired as its manual says",
  async launch(node) {
    const launch = await alone.launch(node); // refuses what it cannot be configured for
    await repair(node.dir);
    return launch;
  },
};
