/**
 * What became of the calls that were in flight when a store was killed. While nothing runs in the directory, the files
 * themselves tell: of a write how much of it is there, of a name whether it is there and leads to the file, of a
 * truncation the size. It is written into the trace as the end of the call (a killed program is told nothing: -EINTR),
 * so that what is done and synced after a restart is followed from the state in which it really began. What reached the
 * disk, should the power fail, stays as open as for any call that has ended and was not synced.
 *
 * Not told, so that the call stays in flight: syncs; what was done to a file that no name leads to any more; parts of a
 * file that were shifted (fallocate). A write of the very bytes that were there counts as done.
 */
import { closeSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import type { Trace, TraceEvent } from "../../../faults/contract.ts";
import type { CallEnd, TraceFile } from "../../../faults/index.ts";

/** `EINTR`, as a result. */
const interrupted = -4;
const done: CallEnd = { result: 0 };
const notDone: CallEnd = { result: interrupted, size: 0 };

const keepsSize = 1;
const zeroes = 2 | 16; // FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE
const shifts = 8 | 32; // FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE

/**
 * Tells the trace of `dataDir`, in which nothing may be running.
 *
 * @param base inodes (`device:inode`) that were there when the trace began.
 */
export function settleInFlight(trace: TraceFile, dataDir: string, base: ReadonlySet<string>): void {
  const made = new Set<string>();
  const directory = new Directory(dataDir);
  trace.settle((begin, { events }) => {
    try {
      return directory.endOf(begin, events, base, made);
    } catch {
      return undefined; // a file that may not be read tells nothing
    }
  });
}

interface Found {
  readonly path: string;
  readonly inode: string;
  readonly size: number;
  readonly directory: boolean;
}

class Directory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  endOf(
    begin: TraceEvent,
    events: Trace["events"],
    base: ReadonlySet<string>,
    made: Set<string>,
  ): CallEnd | undefined {
    switch (begin.kind) {
      case "write":
        return this.#written(begin);
      case "truncate": {
        const file = this.#fileOf(begin);
        return file && (file.size === begin.offset ? done : notDone);
      }
      case "allocate":
        return this.#allocated(begin);
      case "rename":
      case "link":
        return this.#at(begin.path)?.inode === begin.inode ? done : notDone;
      case "unlink":
      case "rmdir":
        if (begin.inode === notThere) return notDone;
        return this.#at(begin.path)?.inode === begin.inode ? notDone : done;
      case "open":
        return this.#opened(begin, events, made);
      case "mkdir": {
        const there = this.#at(begin.path);
        const known = !there?.directory || base.has(there.inode) || isKnown(there.inode, events);
        return known || made.has(begin.path) ? notDone : this.#made(begin.path, there.inode, made);
      }
      default:
        return undefined;
    }
  }

  /** Only one that makes or empties a file changes anything. */
  #opened(begin: TraceEvent, events: Trace["events"], made: Set<string>): CallEnd | undefined {
    const there = this.#at(begin.path);
    if (begin.truncated) return there?.size === 0 ? { ...done, truncated: true } : undefined;
    if (begin.inode !== notThere) return undefined;
    const byAnother = made.has(begin.path) || isNamedSince(begin, events);
    return !there || there.directory || byAnother ? notDone : this.#made(begin.path, there.inode, made);
  }

  #made(path: string, inode: string, made: Set<string>): CallEnd {
    made.add(path);
    return { ...done, inode, created: true };
  }

  /** Bytes arrive in their order: a write that a kill cut short has written a first part. */
  #written(begin: TraceEvent): CallEnd | undefined {
    const file = this.#fileOf(begin);
    const { data } = begin;
    if (!file || !data) return undefined;
    const now = this.#read(file.path, begin.offset, data.length);
    let size = 0;
    while (size < now.length && now[size] === data[size]) size++;
    return { result: interrupted, size };
  }

  #allocated(begin: TraceEvent): CallEnd | undefined {
    const { mode = 0, offset, size } = begin;
    const file = this.#fileOf(begin);
    if (!file || (mode & shifts) !== 0) return undefined;
    if ((mode & keepsSize) === 0 && file.size < offset + size) return notDone;
    const zero = (mode & zeroes) === 0 || this.#read(file.path, offset, size).every((byte) => byte === 0);
    return zero ? done : notDone;
  }

  #read(path: string, offset: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    const fd = openSync(join(this.#path, path), "r");
    try {
      let filled = 0;
      for (let read = -1; filled < length && read !== 0; filled += read) {
        read = readSync(fd, bytes, filled, length - filled, offset + filled);
      }
      return bytes.subarray(0, filled);
    } finally {
      closeSync(fd);
    }
  }

  #at(path: string): Found | undefined {
    const stat = lstatSync(join(this.#path, path), { bigint: true, throwIfNoEntry: false });
    if (!stat) return undefined;
    const inode = `${stat.dev}:${stat.ino}`;
    return { path, inode, size: Number(stat.size), directory: stat.isDirectory() };
  }

  /** By its name, else under any other that it has got meanwhile. */
  #fileOf({ path, inode }: TraceEvent): Found | undefined {
    const there = this.#at(path);
    if (there?.inode === inode) return there;
    const names = readdirSync(this.#path, { recursive: true, encoding: "utf8" });
    return names.map((name) => this.#at(name)).find((found) => found?.inode === inode);
  }
}

/** The inode in the begin of an open that finds no file. */
const notThere = "0:0";

/** A call that has ended meanwhile gave something this name. */
function isNamedSince({ index, path }: TraceEvent, events: Trace["events"]): boolean {
  const naming = ["open", "rename", "link"];
  const named = (event: TraceEvent) =>
    event.path === path && naming.includes(event.kind) && (event.result ?? -1) >= 0;
  return events.some((event) => event.index > index && event.phase === "end" && named(event));
}

/** Some call was about it, and nothing has taken it away since: inodes are used again. */
function isKnown(inode: string, events: Trace["events"]): boolean {
  const last = events.findLast((event) => event.inode === inode && event.phase === "end");
  return last !== undefined && last.kind !== "rmdir";
}
