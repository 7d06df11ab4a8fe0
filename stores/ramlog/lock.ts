/**
 * One process per data directory. The file `lock` holds its owner: process id, start time and boot, so that a number
 * used again by another process does not look like the owner. Nobody needs to remove it after a crash.
 *
 * Taking over is free of races. Creating is a hard link, which fails when the name exists. A stale lock may be replaced
 * only by the holder of a second lock named after the *stale owner*, who checks that the first still names that owner:
 * an owner that is dead never comes back, so between that check and the replacing rename nobody else may touch it. The
 * second lock is taken by the same rule.
 *
 * Not covered: processes in other PID namespaces or on other machines sharing the directory.
 */
import { type Disk, errorCode, errorText, inDirectory, removeIfThere, writeFully } from "./disk.ts";
import { StartRefused } from "./errors.ts";
import { lockFile } from "./segments.ts";

/** Who holds a lock. */
interface Owner {
  readonly pid: number;
  /** Clock ticks since boot (field 22 of /proc/<pid>/stat); 0 where there is no /proc. */
  readonly started: number;
  /** First characters of the boot id; empty where there is none. */
  readonly boot: string;
}

export interface HeldLock {
  /** Gives the directory free; does nothing the second time. */
  release(): Promise<void>;
}

/** A process that was killed may still be ending a disk call; that long, in ms, it is waited for. */
const dyingMsMax = 5000;
const retryMs = 20;
const attemptsMax = 100;

/**
 * Takes the lock of `dir`, for the process `pid` (another than this one only on a simulated disk).
 *
 * @throws StartRefused when another living process, or this one, has it.
 */
export async function lockDirectory(disk: Disk, dir: string, pid = process.pid): Promise<HeldLock> {
  const me = await ownerNow(disk, pid);
  const path = inDirectory(dir, lockFile);
  try {
    await acquire(disk, path, me, dir);
    await removeLeftovers(disk, dir, me);
  } catch (error) {
    if (error instanceof StartRefused) throw error;
    throw new StartRefused(`${dir} cannot be locked: ${errorText(error)}`, { cause: error });
  }
  let held = true;
  return {
    release: async () => {
      if (!held) return;
      held = false;
      await removeIfThere(disk, path);
    },
  };
}

async function acquire(disk: Disk, path: string, me: Owner, dir: string): Promise<void> {
  const giveUpAt = performance.now() + dyingMsMax;
  for (let attempt = 0; attempt < attemptsMax || performance.now() < giveUpAt; attempt += 1) {
    const text = await readLock(disk, path);
    if (text === undefined) {
      if (await createLock(disk, path, me)) return;
      continue;
    }
    const owner = parseOwner(text);
    const fate = owner ? await fateOf(disk, owner, me.boot) : "dead";
    if (fate === "alive" || (fate === "dying" && performance.now() >= giveUpAt)) {
      throw new StartRefused(
        owner?.pid === me.pid
          ? `${dir} is already open in this process; close that store first`
          : `${dir} is in use by process ${owner?.pid}; stop it first, or choose another directory`,
      );
    }
    if (fate === "dying") await new Promise((resolve) => setTimeout(resolve, retryMs));
    else if (await takeOver(disk, path, text, me, dir)) return;
  }
  throw new StartRefused(`${dir} could not be locked: others keep taking and leaving it; try again`);
}

/** Creates the lock with its content at once; false when it exists. */
async function createLock(disk: Disk, path: string, me: Owner): Promise<boolean> {
  const temporary = await writeOwner(disk, path, me);
  try {
    await disk.link(temporary, path);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  } finally {
    await removeIfThere(disk, temporary);
  }
}

/** Replaces the lock that holds `stale`; false when it has changed meanwhile. */
async function takeOver(disk: Disk, path: string, stale: string, me: Owner, dir: string): Promise<boolean> {
  const right = `${path}.over-${stale.replace(/[^0-9a-f]+/g, "-").slice(0, 80)}`;
  if (!(await createLock(disk, right, me))) await acquire(disk, right, me, dir);
  try {
    if ((await readLock(disk, path)) !== stale) return false;
    // What the right's file holds is what the lock is to hold.
    const [temporary] = await unused(path, me, (name) => disk.link(right, name));
    await disk.rename(temporary, path);
    return true;
  } finally {
    await removeIfThere(disk, right);
  }
}

/**
 * Writes the owner's record to a file of its own next to `path`: nobody ever sees a part of it. It is not synced. A loss of
 * power leaves nobody alive whom it could name, and what it leaves of a record, if not all, names nobody.
 */
async function writeOwner(disk: Disk, path: string, me: Owner): Promise<string> {
  const [temporary, fd] = await unused(path, me, (name) => disk.open(name, "exclusive"));
  try {
    await writeFully(disk, fd, Buffer.from(`${JSON.stringify(me)}\n`), 0);
  } finally {
    await disk.close(fd);
  }
  return temporary;
}

/** Makes a file under the first temporary name next to `path` that nobody uses. */
async function unused<Made>(
  path: string,
  me: Owner,
  make: (name: string) => Promise<Made>,
): Promise<[name: string, made: Made]> {
  for (let n = 1; ; n += 1) {
    const name = `${path}.${me.pid}-${me.started}-${n}.tmp`;
    try {
      return [name, await make(name)];
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
  }
}

async function readLock(disk: Disk, path: string): Promise<string | undefined> {
  try {
    return (await disk.readFile(path)).toString("latin1");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** `undefined` for text that no owner wrote: damage, so nobody alive is named by it. */
function parseOwner(text: string): Owner | undefined {
  try {
    const owner = JSON.parse(text) as Partial<Owner>;
    if (!Number.isSafeInteger(owner.pid) || !Number.isSafeInteger(owner.started)) return undefined;
    return typeof owner.boot === "string" ? (owner as Owner) : undefined;
  } catch {
    return undefined;
  }
}

async function ownerNow(disk: Disk, pid: number): Promise<Owner> {
  const stat = await processStat(disk, pid);
  return { pid, started: stat?.started ?? 0, boot: await bootId(disk) };
}

async function bootId(disk: Disk): Promise<string> {
  try {
    return (await disk.readFile("/proc/sys/kernel/random/boot_id")).toString("latin1").slice(0, 8);
  } catch {
    return "";
  }
}

/**
 * `dying`: killed, but a thread of it is still inside a system call and may still write.
 *
 * @param boot the one that this process was started in.
 */
async function fateOf(disk: Disk, owner: Owner, boot: string): Promise<"alive" | "dying" | "dead"> {
  if (owner.boot !== boot) return "dead";
  if (owner.started === 0) return signalReaches(owner.pid) ? "alive" : "dead";
  const stat = await processStat(disk, owner.pid);
  if (!stat || stat.started !== owner.started || stat.state === "X") return "dead";
  if (stat.state !== "Z") return "alive";
  const threads = await disk.list(`/proc/${owner.pid}/task`).catch(() => []);
  return threads.length > 1 ? "dying" : "dead";
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

/** State and start time; `undefined` when there is no such process, or no /proc. */
async function processStat(disk: Disk, pid: number): Promise<{ state: string; started: number } | undefined> {
  let text: string;
  try {
    text = (await disk.readFile(`/proc/${pid}/stat`)).toString("latin1");
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, and may contain both spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", started: Number(fields[19]) };
}

/**
 * Files of takers that died between two steps. A right to replace a lock means nothing once the lock names somebody
 * else, and here it names us.
 */
async function removeLeftovers(disk: Disk, dir: string, me: Owner): Promise<void> {
  for (const name of await disk.list(dir)) {
    if (!name.startsWith(`${lockFile}.`)) continue;
    const text = await readLock(disk, inDirectory(dir, name));
    const owner = text === undefined ? undefined : (parseOwner(text) ?? ownerInName(name, me.boot));
    if (owner && (await fateOf(disk, owner, me.boot)) === "dead")
      await removeIfThere(disk, inDirectory(dir, name));
  }
}

/** Who began to write this file, should its content not be there: taken to be of this boot. */
function ownerInName(name: string, boot: string): Owner | undefined {
  const match = /(\d+)-(\d+)-\d+\.tmp$/.exec(name);
  return match ? { pid: Number(match[1]), started: Number(match[2]), boot } : undefined;
}
