/**
 * The append-only file of Redis: how it is switched on, where it is, and how an operator repairs it.
 *
 * After a power loss the file may end in zeros or hold a hole in what was not synced yet, and then Redis does not start but
 * asks for `redis-check-aof --fix` (https://github.com/redis/redis/issues/5177). What is merely cut short it puts right by
 * itself.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { RespParser } from "../clients/resp.ts";
import { type Durability, ScenarioError } from "../contract.ts";

const directory = "appendonlydir";
/** As a glob relative to the data directory. */
export const logFiles = `${directory}/*.aof`;

/**
 * The settings of one durability mode. Snapshots and automatic rewrites stay off, so that what a run sees is the
 * append-only file alone.
 *
 * @throws ScenarioError for an interval that Redis does not know.
 */
export function persistence(durability: Durability): (readonly [name: string, value: string])[] {
  const noSnapshots = ["save", ""] as const;
  if (durability.mode === "none") return [noSnapshots, ["appendonly", "no"]];
  if (durability.mode === "interval" && durability.intervalMs !== 1000) {
    throw new ScenarioError(
      `redis cannot sync every ${durability.intervalMs} ms, only every second: use --durability interval:1000`,
    );
  }
  return [
    noSnapshots,
    ["appendonly", "yes"],
    ["appendfsync", durability.mode === "always" ? "always" : "everysec"],
    ["auto-aof-rewrite-percentage", "0"],
  ];
}

const manifest = "appendonly.aof.manifest";
const repairDeadlineMs = 30_000;

/** Runs `redis-check-aof --fix` when a file of the log is not merely cut short, which Redis puts right by itself. */
export async function repair(dir: string): Promise<void> {
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
