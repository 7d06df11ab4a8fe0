/**
 * What this machine knows about processes: who is alive, who descends from whom, and who is still the process we
 * once started.
 *
 * A process is identified by (pid, start time), because pids are reused. A store's *tree* is everything that
 *  - is the process we started, or descends from it (parent links; an orphan loses its link),
 *  - is in the process group of the process we started,
 *  - or carries our mark in its environment (`ACKED_NODE=…`), which survives orphaning and `setsid`.
 * The three together reach Postgres backends (own sessions, overwritten environment) and detached grandchildren.
 *
 * A tree is signalled stop first, until no new member turns up, so that nothing can fork its way out of a kill.
 *
 * Not covered: without /proc (macOS) only the process group is reached, and the start time comes from `ps` (1 s
 * resolution). A process that clears its environment, leaves the group *and* has lost its parent is not found.
 * Between the check of a start time and the signal a pid could in theory be reused; Node offers no pidfd.
 */
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readSync } from "node:fs";

/** True where /proc can be read: Linux. */
export const hasProc: boolean = process.platform === "linux" && existsSync("/proc/self/stat");

/** One process, for as long as it lives. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Linux: clock ticks since boot (/proc/<pid>/stat, field 22). Elsewhere: ms since 1970, as `ps` tells it. */
  readonly startTime: string;
}

interface ProcessStat extends ProcessIdentity {
  readonly parent: number;
  readonly group: number;
  /** One letter; `Z` and `X` are dead. */
  readonly state: string;
}

/** Identifies the members of one tree. */
export interface TreeQuery {
  /** The processes we started ourselves. */
  readonly roots: readonly ProcessIdentity[];
  /** An environment entry that only members carry, for example `ACKED_NODE=<id>`. */
  readonly mark: string;
  /** Start time of the oldest process that can be a member: whoever started the first of them. */
  readonly since: string;
}

/** The start time of a process that exists, zombies included; `undefined` when there is none or none is known. */
export function startTimeOf(pid: number): string | undefined {
  return hasProc ? statOf(pid)?.startTime : startTimeByPs(pid);
}

/** True while this very process has not ended (a zombie has). */
export function isAlive(identity: ProcessIdentity): boolean {
  if (!hasProc) return startTimeByPs(identity.pid) === identity.startTime;
  const stat = statOf(identity.pid);
  return stat !== undefined && stat.startTime === identity.startTime && !isDead(stat);
}

/** Every living member of the tree, ourselves and init never included. */
export function treeOf(query: TreeQuery): ProcessIdentity[] {
  if (!hasProc) return query.roots.filter(isAlive);
  const stats = allStats();
  const members = new Map<number, ProcessStat>();
  for (const stat of stats.values()) {
    if (isRootOrInItsGroup(stat, query.roots, stats) || isMarked(stat, query)) {
      members.set(stat.pid, stat);
    }
  }
  for (let grew = true; grew; ) {
    grew = false;
    for (const stat of stats.values()) {
      if (members.has(stat.pid) || !members.has(stat.parent)) continue;
      members.set(stat.pid, stat);
      grew = true;
    }
  }
  members.delete(process.pid);
  members.delete(1);
  return [...members.values()]
    .filter((stat) => !isDead(stat))
    .map(({ pid, startTime }) => ({ pid, startTime }));
}

/** The roots that live and what descends from them: not what an exited parent has left, whatever mark it bears. */
export function descendantsOf(query: TreeQuery): ProcessIdentity[] {
  if (!hasProc) return treeOf(query);
  const found = query.roots.filter(isAlive).map(({ pid, startTime }) => ({ pid, startTime }));
  for (const { pid } of found) {
    // grows as it is walked
    for (const child of childrenOf(pid)) {
      const startTime = startTimeOf(child);
      if (startTime !== undefined && child !== process.pid) found.push({ pid: child, startTime });
    }
  }
  return found;
}

/** Empty where the kernel does not tell (CONFIG_PROC_CHILDREN), or the process is gone. */
function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFile(`/proc/${pid}/task/${thread}/children`)
        .split(" ")
        .filter((child) => child !== "")
        .map(Number),
    );
  } catch {
    return [];
  }
}

/** Sends a signal to one process if it is still the one that was meant. Returns whether it was sent. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  return startTimeOf(identity.pid) === identity.startTime && sent(identity.pid, signal);
}

/**
 * Sends a signal to the process group that this process leads, if it is still the one that was meant. Without /proc
 * also to a group that has outlived its leader, since its members cannot be found one by one.
 */
export function signalGroup(leader: ProcessIdentity, signal: NodeJS.Signals): boolean {
  const startTime = startTimeOf(leader.pid);
  const meant = startTime === leader.startTime || (!hasProc && startTime === undefined);
  return meant && sent(-leader.pid, signal);
}

/** Stops every member, until no new one turns up. Returns all of them. `find` may be one that misses some. */
export function stopTree(query: TreeQuery, find = treeOf): ProcessIdentity[] {
  for (const root of query.roots) signalGroup(root, "SIGSTOP");
  const stopped = new Map<number, ProcessIdentity>();
  for (let grew = true; grew; ) {
    grew = false;
    for (const member of find(query)) {
      if (stopped.get(member.pid)?.startTime === member.startTime) continue;
      signalProcess(member, "SIGSTOP");
      stopped.set(member.pid, member);
      grew = true;
    }
  }
  return [...stopped.values()];
}

/** Lets every member go on. */
export function continueTree(query: TreeQuery): void {
  for (const root of query.roots) signalGroup(root, "SIGCONT");
  for (const member of treeOf(query)) signalProcess(member, "SIGCONT");
}

/** Stop, then SIGKILL, for every member. Returns those that were signalled; they may take a moment to be gone. */
export function killTree(query: TreeQuery, find = treeOf): ProcessIdentity[] {
  const members = stopTree(query, find);
  for (const root of query.roots) signalGroup(root, "SIGKILL");
  for (const member of members) signalProcess(member, "SIGKILL");
  return members;
}

/**
 * Kills the tree and waits until none of it is alive.
 *
 * @returns how many processes were killed.
 * @throws Error naming the pids that outlive the deadline (a process in uninterruptible disk sleep can).
 */
export async function killTreeAndWait(query: TreeQuery, deadlineMs = 5_000): Promise<number> {
  const giveUpAt = performance.now() + deadlineMs;
  const killed = new Set<number>();
  // To look at every process of the machine, as `treeOf` does, is dear. So those that are easily found are killed first,
  // and one look at everything shows whether that was all.
  for (let find = descendantsOf; ; find = treeOf) {
    const members = killTree(query, find);
    for (const member of members) killed.add(member.pid);
    await untilDead(members, giveUpAt);
    const alive = treeOf(query);
    if (alive.length === 0) return killed.size;
    if (performance.now() > giveUpAt) {
      const pids = alive.map((member) => member.pid).join(", ");
      throw new Error(`still alive ${deadlineMs} ms after SIGKILL: pid ${pids} (stuck in the kernel?)`);
    }
  }
}

/** Resolves when none of them is alive, or it is too late. */
async function untilDead(members: readonly ProcessIdentity[], giveUpAt: number): Promise<void> {
  for (let pauseMs = 1; members.some(isAlive); pauseMs = Math.min(pauseMs * 2, 50)) {
    if (performance.now() > giveUpAt) return;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

let own: string | undefined;

/** The start time of this process. */
export function ownStartTime(): string {
  own ??= startTimeOf(process.pid) ?? "0";
  return own;
}

function isDead(stat: ProcessStat): boolean {
  return stat.state === "Z" || stat.state === "X";
}

/** A group keeps its leader's pid from being reused, so a group whose leader is somebody else is not ours. */
function isRootOrInItsGroup(
  stat: ProcessStat,
  roots: readonly ProcessIdentity[],
  stats: ReadonlyMap<number, ProcessStat>,
): boolean {
  return roots.some((root) => {
    const holder = stats.get(root.pid);
    if (holder && holder.startTime !== root.startTime) return false;
    return (
      stat.pid === root.pid || (stat.group === root.pid && Number(stat.startTime) >= Number(root.startTime))
    );
  });
}

/** Only processes young enough to be a member are looked into: environments are dear to read. */
function isMarked(stat: ProcessStat, query: TreeQuery): boolean {
  if (Number(stat.startTime) < Number(query.since) || isDead(stat)) return false;
  try {
    return `\0${readFile(`/proc/${stat.pid}/environ`)}`.includes(`\0${query.mark}\0`);
  } catch {
    return false; // another user's, or gone meanwhile
  }
}

let readInto = Buffer.allocUnsafe(4096);

/** A file of /proc, which has no size: `readFileSync` would allocate 64 KB for each of hundreds. */
function readFile(path: string): string {
  const fd = openSync(path, "r");
  try {
    let length = 0;
    for (;;) {
      const read = readSync(fd, readInto, length, readInto.length - length, null);
      if (read === 0) return readInto.toString("latin1", 0, length);
      length += read;
      if (length === readInto.length) readInto = Buffer.concat([readInto], readInto.length * 2);
    }
  } finally {
    closeSync(fd);
  }
}

function allStats(): Map<number, ProcessStat> {
  const stats = new Map<number, ProcessStat>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(Number(name));
    if (stat) stats.set(stat.pid, stat);
  }
  return stats;
}

function statOf(pid: number): ProcessStat | undefined {
  let line: string;
  try {
    line = readFile(`/proc/${pid}/stat`);
  } catch {
    return undefined;
  }
  // The command name is in parentheses and may itself hold spaces and parentheses.
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const [state, parent, group] = fields;
  const startTime = fields[19];
  if (state === undefined || startTime === undefined) return undefined;
  return { pid, state, parent: Number(parent), group: Number(group), startTime };
}

function startTimeByPs(pid: number): string | undefined {
  try {
    const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 2_000,
    });
    const time = Date.parse(text.trim());
    return Number.isNaN(time) ? undefined : String(time);
  } catch {
    return undefined;
  }
}

/** False when there is no such process any more, or it is not ours to signal. */
function sent(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}
