/**
 * Whether processes do asynchronous I/O in the kernel: io_uring or Linux AIO. Programs set both up by system calls of their
 * own (liburing has no other way), which a preloaded library does not see, and what is then written and synced through a
 * ring is no call at all. The kernel shows who has one: io_uring as a descriptor, Linux AIO as a mapping.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What of it any of the processes has at this moment; empty where there is no /proc. */
export function asynchronousIo(pids: Iterable<number>): ReadonlySet<"io_uring" | "Linux AIO"> {
  const found = new Set<"io_uring" | "Linux AIO">();
  for (const pid of pids) {
    if (hasRing(pid)) found.add("io_uring");
    if (hasAioContext(pid)) found.add("Linux AIO");
  }
  return found;
}

function hasRing(pid: number): boolean {
  return orNothing(() => readdirSync(`/proc/${pid}/fd`)).some((fd) =>
    orNothing(() => [readlinkSync(`/proc/${pid}/fd/${fd}`)]).includes("anon_inode:[io_uring]"),
  );
}

function hasAioContext(pid: number): boolean {
  return orNothing(() => [readFileSync(`/proc/${pid}/maps`, "latin1")]).some((maps) =>
    maps.includes("/[aio]"),
  );
}

/** Processes and descriptors come and go while they are looked at. */
function orNothing<Read>(read: () => readonly Read[]): readonly Read[] {
  try {
    return read();
  } catch {
    return [];
  }
}
