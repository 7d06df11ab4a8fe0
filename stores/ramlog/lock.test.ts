import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { nodeDisk } from "./disk.ts";
import { StartRefused } from "./errors.ts";
import { remove, temporaryDirectory } from "./fixtures/model.ts";
import { lockDirectory } from "./lock.ts";

const directories: string[] = [];

function directory(): string {
  directories.push(temporaryDirectory());
  return directories.at(-1)!;
}

afterEach(() => {
  for (const dir of directories.splice(0)) remove(dir);
});

/** The lock of a process that has exited, as SIGKILL leaves it. */
async function staleLock(dir: string): Promise<void> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await once(child, "spawn");
  const stat = readFileSync(`/proc/${child.pid}/stat`, "latin1");
  const started = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
  child.kill("SIGKILL");
  await once(child, "exit");
  writeFileSync(join(dir, "lock"), `${JSON.stringify({ pid: child.pid, started, boot })}\n`);
}

test("a second store on one directory is refused in one sentence, and may have it afterwards", async () => {
  const dir = directory();
  const lock = await lockDirectory(nodeDisk, dir);
  await expect(lockDirectory(nodeDisk, dir)).rejects.toThrow(/is already open in this process/);
  await lock.release();
  await (await lockDirectory(nodeDisk, dir)).release();
  expect(readdirSync(dir)).toEqual([]);
});

test("a lock of another living process names that process", async () => {
  const dir = directory();
  const mine = await lockDirectory(nodeDisk, dir);
  const owner = JSON.parse(readFileSync(join(dir, "lock"), "utf8"));
  const stat = readFileSync(`/proc/${process.ppid}/stat`, "latin1");
  const started = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  writeFileSync(join(dir, "lock"), JSON.stringify({ ...owner, pid: process.ppid, started }));
  await expect(lockDirectory(nodeDisk, dir)).rejects.toThrow(
    `in use by process ${process.ppid}; stop it first`,
  );
  await mine.release();
});

test("a dead owner's lock is taken over, by exactly one of many who try at once", async () => {
  for (let round = 0; round < 10; round += 1) {
    const dir = directory();
    await staleLock(dir);
    const tries = await Promise.allSettled(Array.from({ length: 6 }, () => lockDirectory(nodeDisk, dir)));
    expect(tries.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    for (const one of tries) if (one.status === "rejected") expect(one.reason).toBeInstanceOf(StartRefused);
    expect(readdirSync(dir)).toEqual(["lock"]);
  }
});

test("a process id that was used again, another boot, and a damaged lock are no owners", async () => {
  const dir = directory();
  const first = await lockDirectory(nodeDisk, dir);
  const owner = JSON.parse(readFileSync(join(dir, "lock"), "utf8"));
  await first.release();
  for (const stale of [
    JSON.stringify({ ...owner, started: owner.started + 1 }),
    JSON.stringify({ ...owner, boot: "00000000" }),
    '{"pid": 12',
    "",
  ]) {
    writeFileSync(join(dir, "lock"), stale);
    await (await lockDirectory(nodeDisk, dir)).release();
  }
  expect(readdirSync(dir)).toEqual([]);
});
