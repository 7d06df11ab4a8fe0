/**
 * The files by which a member of Redis with Sentinel is configured: `redis.conf` for the server, and `sentinel/sentinel.conf`
 * for the sentinel beside it. Both programs rewrite their own: the server's role (`replicaof`) and the sentinel's view of
 * the cluster are kept there, and nowhere else. So they are written once, when the cluster is formed, and afterwards only
 * the address at which the program listens is changed, as an operator's deployment does. A file that is gone is written
 * anew, and the sentinels put its server's role right.
 *
 * What everybody is told is the address that leads through the network's links (`announce-ip`, `announce-port`).
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { MemberPort, MemberSettings } from "../cluster-contract.ts";
import type { Endpoint } from "../contract.ts";
import { persistence } from "./append-only-file.ts";

/** The name under which the sentinels watch the primary. */
export const watched = "acked";
/** How many sentinels must agree that the primary does not answer; a majority of them then decides who follows. */
const quorum = 2;
/**
 * A primary that does not answer for so long, in ms, is down for one sentinel. It must be more than the second between two
 * pings: a sentinel counts from the moment at which it makes a connection, and its first ping is due only after that
 * second (or after this time where it is shorter), so that with 1000 or less each new primary is down at first, and soon
 * replaced by another.
 */
const downAfterMs = 1500;
/** ms after which an attempt at a failover is given up; twice that until the next. */
const failoverTimeoutMs = 3000;

type Line = readonly [directive: string, ...values: (string | number)[]];

/** Writes or adapts the server's file; its path. */
export function serverFile(member: MemberSettings): string {
  const path = join(member.dir, "redis.conf");
  const port = portOf(member, "redis");
  const first = member.members[0]!;
  const lines: Line[] = [
    ["dir", member.dir],
    ["daemonize", "no"],
    ["protected-mode", "no"],
    ...persistence(member.durability),
    ["replica-announce-ip", port.reach.host],
    ["replica-announce-port", port.reach.port],
    // Usually a primary waits 5 s for more replicas before it sends one its data.
    ["repl-diskless-sync-delay", 0],
    ...(member.name === first.name ? [] : [["replicaof", ...addressOf(first.reach.redis!)] as const]),
  ];
  return kept(path, port.listen, member.as === "again", lines);
}

/** Writes or adapts the sentinel's file; its path. Every sentinel begins with the first member as the primary. */
export function sentinelFile(member: MemberSettings): string {
  const path = join(member.dir, "sentinel", "sentinel.conf");
  const port = portOf(member, "sentinel");
  const lines: Line[] = [
    ["dir", dirname(path)],
    ["daemonize", "no"],
    ["protected-mode", "no"],
    ["sentinel", "resolve-hostnames", "no"],
    ["sentinel", "announce-ip", port.reach.host],
    ["sentinel", "announce-port", port.reach.port],
    ["sentinel", "monitor", watched, ...addressOf(member.members[0]!.reach.redis!), quorum],
    ["sentinel", "down-after-milliseconds", watched, downAfterMs],
    ["sentinel", "failover-timeout", watched, failoverTimeoutMs],
    ["sentinel", "parallel-syncs", watched, 1],
  ];
  return kept(path, port.listen, member.as === "again", lines);
}

function portOf(member: MemberSettings, purpose: "redis" | "sentinel"): MemberPort {
  const port = member.ports[purpose];
  if (!port) throw new Error(`Redis with Sentinel needs a port for "${purpose}"`);
  return port;
}

const addressOf = ({ host, port }: Endpoint) => [host, port] as const;

/** Renamed into its place, so that whoever starts from it finds one or the other. */
function kept(path: string, listen: Endpoint, again: boolean, lines: readonly Line[]): string {
  const own =
    again && existsSync(path) ? othersThanListening(readFileSync(path, "utf8")) : lines.map(written);
  const listening: Line[] = [
    ["bind", listen.host],
    ["port", listen.port],
  ];
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, [...listening.map(written), ...own, ""].join("\n"));
  renameSync(`${path}.new`, path);
  return path;
}

function othersThanListening(text: string): string[] {
  return text.split("\n").filter((line) => line !== "" && !/^(bind|port)\s/.test(line));
}

/** Quoted as Redis itself does, where a value needs it. */
function written(line: Line): string {
  return line
    .map((word) => (/^[\w./:-]+$/.test(String(word)) ? String(word) : JSON.stringify(String(word))))
    .join(" ");
}
