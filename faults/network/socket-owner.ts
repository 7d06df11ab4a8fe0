/**
 * Which member of a cluster opened a TCP connection to a listener of ours: by the inode of the socket at the other end
 * (/proc/net/tcp, which acked shares with the members) and the open descriptors of the members' processes.
 *
 * A socket may have been handed to a process that was forked a moment ago, so a search that finds nobody is repeated for
 * up to 400 ms. Linux only. Not found: the owner of a socket that several processes of *different* members share (there
 * is none: members are started apart), and processes whose descriptors we may not read.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

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
  | { readonly is: "unknown"; readonly why?: string };

/** A member's processes at this moment, all descendants among them. */
export type ProcessesOf = (member: string) => readonly number[];

/** ms to wait before each search. */
const pausesMs = [0, 1, 2, 5, 12, 30, 50, 100, 200];
/** From this search on, processes that belong to no member are looked at too: dear, and seldom needed. */
const firstWideSearch = 3;

/** How long a search takes that finds nobody, in ms. */
export const attributionMsMax: number = pausesMs.reduce((sum, pause) => sum + pause, 0);

/** Finds out who opened the connection. */
export async function findOwner(
  ports: ConnectionPorts,
  members: readonly string[],
  processesOf: ProcessesOf,
): Promise<Owner> {
  for (const [attempt, pauseMs] of pausesMs.entries()) {
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const inode = callersInode(ports);
    if (inode === undefined) return { is: "nobody" };
    for (const name of members)
      if (processesOf(name).some((pid) => holds(pid, inode))) return { is: "member", name };
    if (holds(process.pid, inode)) return { is: "outside" };
    if (attempt >= firstWideSearch && allProcesses().some((pid) => holds(pid, inode))) {
      // It may be a member's child that was born after the members were asked.
      for (const name of members)
        if (processesOf(name).some((pid) => holds(pid, inode))) return { is: "member", name };
      return { is: "outside" };
    }
  }
  return { is: "unknown" };
}

/** The inode of the caller's socket; `undefined` when no process has it any more. */
function callersInode({ caller, listener }: ConnectionPorts): string | undefined {
  // 127.0.0.1 in the byte order of the machine, and mapped into IPv6 for sockets of both families.
  const loopback = "(?:0000000000000000FFFF0000)?(?:0100007F|7F000001)";
  const row = new RegExp(`^ *\\d+: ${loopback}:${hex(caller)} ${loopback}:${hex(listener)} .*$`, "m");
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const found = row.exec(textOf(table))?.[0];
    if (found === undefined) continue;
    const inode = found.trim().split(/\s+/)[9];
    return inode === "0" ? undefined : inode;
  }
  return undefined;
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

/** Whether a process has this socket open. The newest descriptors, which have the highest numbers, are looked at first. */
function holds(pid: number, inode: string): boolean {
  const wanted = `socket:[${inode}]`;
  const directory = `/proc/${pid}/fd`;
  return namesIn(directory)
    .reverse()
    .some((fd) => {
      try {
        return readlinkSync(`${directory}/${fd}`) === wanted;
      } catch {
        return false; // closed meanwhile
      }
    });
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

/** Empty where there is no such table. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
