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
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { RespParser } from "./clients/resp.ts";
import { type Durability, ScenarioError, type Store } from "./contract.ts";
import { type DeclaredPromise, findProgram, respStore } from "./resp.ts";

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

const alone: Store = respStore({
  name: "redis-unrepaired",
  summary: "redis-server alone: it does not start when its log ends in zeros",
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

const directory = "appendonlydir";
const manifest = "appendonly.aof.manifest";
const repairDeadlineMs = 30_000;

/** Runs `redis-check-aof --fix` when a file of the log is not merely cut short, which Redis puts right by itself. */
async function repair(dir: string): Promise<void> {
  const path = join(dir, directory, manifest);
  if (!existsSync(path)) return;
  const names = [...readFileSync(path, "latin1").matchAll(/^file (\S+) seq \d+ type i$/gm)].map(
    ([, name]) => name!,
  );
  if (names.every((name) => isLog(join(dir, directory, name)))) return;
  // What it says, and whether it could, is left to Redis: it starts next.
  await execa("redis-check-aof", ["--fix", path], { input: "y\n", reject: false, timeout: repairDeadlineMs });
}

/** Whether all of the file is commands, the last of which may be incomplete. A file that is missing is no log. */
function isLog(path: string): boolean {
  try {
    const bytes = readFileSync(path);
    if (bytes.includes(0)) new RespParser().push(bytes); // what was never written reads as zeros
    return true;
  } catch {
    return false;
  }
}

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
