/**
 * Which member of a cluster opened a TCP connection to a listener of ours: by the inode of the socket at the other end
 * (/proc/net/tcp, which acked shares with the members) and the open descriptors of the members' processes.
 *
 * The table can take the kernel tens of ms where thousands of connections are known, so it is read beside the event loop,
 * and once for all connections that wait: a *round*. A socket may have been handed to a process that was forked a moment
 * ago, so who is not found is looked for again, for up to 400 ms. Linux only. Not found are processes whose descriptors
 * we may not read.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** The two ports of a connection that a listener of ours has accepted on 127.0.0.1. */
export interface ConnectionPorts {
  readonly caller: number;
  readonly listener: number;
}

export type Owner =
  | { readonly is: "member"; readonly name: string }
  /** A living process that belongs to no member: acked itself, or somebody's tool. */
  | { readonly is: "outside" }
  /** The caller has closed it, or has died. */
  | { readonly is: "nobody" }
  /** The connection lives, and no process that we can see has it. */
  | { readonly is: "unknown"; readonly why: string };

/** A member's processes at this moment, all descendants among them. */
export type ProcessesOf = (member: string) => readonly number[];

/** How long a connection is looked for whose owner is not found, in ms. */
const searchMsMost = 400;
/** From this age on, processes that belong to no member are looked at too: dear, and seldom needed. */
const widelyAfterMs = 12;

interface Search {
  readonly ports: ConnectionPorts;
  readonly since: number;
  /** In how many rounds the kernel did not know of the connection. */
  absent: number;
  readonly found: (owner: Owner) => void;
}

export class SocketOwners {
  readonly #members: () => Iterable<string>;
  readonly #processesOf: ProcessesOf;
  #searches: Search[] = [];
  #searching = false;

  constructor(members: () => Iterable<string>, processesOf: ProcessesOf) {
    this.#members = members;
    this.#processesOf = processesOf;
  }

  /** Finds out who opened the connection; never rejects. */
  find(ports: ConnectionPorts): Promise<Owner> {
    return new Promise((found) => {
      this.#searches.push({ ports, since: performance.now(), absent: 0, found });
      if (!this.#searching) this.#search();
    });
  }

  /** Rounds, until nobody waits. */
  async #search(): Promise<void> {
    this.#searching = true;
    while (this.#searches.length > 0) {
      const searches = this.#searches;
      this.#searches = [];
      const startedAt = performance.now();
      const left = await this.#round(searches).catch((error) => giveUp(searches, error));
      this.#searches.push(...left);
      // At most half of the time: clients of this process want to be served as well.
      const tookMs = performance.now() - startedAt;
      if (this.#searches.length > 0)
        await new Promise((resolve) => setTimeout(resolve, Math.min(50, tookMs)));
    }
    this.#searching = false;
  }

  /** Returns the searches that have found nobody yet. */
  async #round(searches: readonly Search[]): Promise<Search[]> {
    // How long the event loop stands still after the tables were read must not count as time spent looking.
    const lookedAt = performance.now();
    const inodeOf = await readTables(searches.map(({ ports }) => ports));
    const byMembers = this.#socketsOfMembers();
    const own = once(() => socketsOf([process.pid]));
    const anybodys = once(() => socketsOf(allProcesses()));
    const ownerOf = (search: Search): Owner | undefined => {
      const inode = inodeOf(search.ports);
      if (inode === "closed") return { is: "nobody" };
      // The kernel may skip a row of a table that changes while it is read, so one look is not enough.
      if (inode === undefined) return ++search.absent > 1 ? { is: "nobody" } : undefined;
      const member = byMembers.get(inode);
      if (member !== undefined) return { is: "member", name: member };
      if (own().has(inode)) return { is: "outside" };
      const ageMs = lookedAt - search.since;
      if (ageMs > widelyAfterMs && anybodys().has(inode)) {
        // It may be a member's child that was born after the members were asked.
        const asChild = this.#socketsOfMembers().get(inode);
        return asChild === undefined ? { is: "outside" } : { is: "member", name: asChild };
      }
      if (ageMs > searchMsMost) overdue.add(search);
      return undefined;
    };
    const overdue = new Set<Search>();
    const left = searches.filter((search) => !ended(search, ownerOf(search)));
    if (overdue.size === 0) return left;
    // Whoever has died while the processes were looked at was not found either: only what still lives is unknown.
    const stillOf = await readTables([...overdue].map(({ ports }) => ports));
    return left.filter(
      (search) => !overdue.has(search) || !ended(search, overdueOwner(stillOf(search.ports))),
    );
  }

  #socketsOfMembers(): Map<string, string> {
    const members = new Map<string, string>();
    for (const name of this.#members()) {
      for (const inode of socketsOf(this.#processesOf(name))) members.set(inode, name);
    }
    return members;
  }
}

/** Tells who asked; false when there is nothing to tell yet. */
function ended(search: Search, owner: Owner | undefined): boolean {
  if (owner !== undefined) search.found(owner);
  return owner !== undefined;
}

/** Of a connection that was in the tables when no process was found for it, by what they say after that. */
function overdueOwner(inode: string | undefined): Owner | undefined {
  if (inode === "closed") return { is: "nobody" };
  // One look is not enough, as above.
  if (inode === undefined) return undefined;
  return { is: "unknown", why: `no process was found for it within ${searchMsMost} ms` };
}

/** A value that is made when it is first wanted. */
function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** Ends searches that could not even be made. */
function giveUp(searches: readonly Search[], error: unknown): Search[] {
  const why = `its owner could not be looked for (${error instanceof Error ? error.message : error})`;
  for (const { found } of searches) found({ is: "unknown", why });
  return [];
}

/**
 * Reads the kernel's tables of connections; those of both families only when one is not in the first.
 *
 * @returns the inode of the caller's socket; `closed` when no process has it any more, `undefined` when it is not there.
 */
async function readTables(
  wanted: readonly ConnectionPorts[],
): Promise<(ports: ConnectionPorts) => string | undefined> {
  const inodes = inodesIn(await textOf("/proc/net/tcp"));
  if (wanted.some((ports) => !inodes.has(keyOf(ports)))) {
    for (const [key, inode] of inodesIn(await textOf("/proc/net/tcp6"))) inodes.set(key, inode);
  }
  return (ports) => {
    const inode = inodes.get(keyOf(ports));
    return inode === "0" ? "closed" : inode;
  };
}

/** 127.0.0.1 in the byte order of the machine, and mapped into IPv6 for sockets of both families. */
const loopback = "(?:0000000000000000FFFF0000)?(?:0100007F|7F000001)";
const row = new RegExp(
  // sl local remote state queues timer retransmits uid timeout inode
  String.raw`^ *\d+: ${loopback}:(\w{4}) ${loopback}:(\w{4}) \w+ \S+ \S+ \w+ +\d+ +\d+ (\d+)`,
  "gm",
);

function inodesIn(table: string): Map<string, string> {
  return new Map([...table.matchAll(row)].map(([, local, remote, inode]) => [`${local} ${remote}`, inode!]));
}

function keyOf({ caller, listener }: ConnectionPorts): string {
  return `${hex(caller)} ${hex(listener)}`;
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

/** Inodes of the sockets that these processes have open. */
function socketsOf(pids: readonly number[]): Set<string> {
  const inodes = new Set<string>();
  for (const pid of pids) {
    const directory = `/proc/${pid}/fd`;
    for (const fd of namesIn(directory)) {
      try {
        const target = readlinkSync(`${directory}/${fd}`);
        if (target.startsWith("socket:[")) inodes.add(target.slice("socket:[".length, -1));
      } catch {
        // closed meanwhile
      }
    }
  }
  return inodes;
}

function allProcesses(): number[] {
  return namesIn("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Empty when the process has ended, or is not ours to look into. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Empty where there is no such table (a kernel without IPv6). */
function textOf(path: string): Promise<string> {
  return readFile(path, "latin1").catch(() => "");
}
