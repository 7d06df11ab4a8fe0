/**
 * The only place where ramlog touches the file system, as an interface: tests and planted bugs put a faulty disk here.
 *
 * Two kinds of calls. The commit path writes, and below a sync time of ~150 µs also syncs, on the main thread: a hop
 * to the thread pool would cost more than the call. Everything else (opening, preallocating, snapshots, recovery)
 * is asynchronous, so that it never stops the commands.
 *
 * Models: POSIX files by descriptor. Every call may fail with a Node system error (`code`, `syscall`), and a write may
 * be short. Not modelled: memory mapping, direct I/O, advisory locks.
 */
import * as fs from "node:fs";
import { promisify } from "node:util";

export interface Disk {
  /** Writes at `position` on the calling thread; returns the number of bytes written, which may be short. */
  writeNow(fd: number, bytes: Buffer, offset: number, length: number, position: number): number;
  /** fdatasync on the calling thread. */
  syncDataNow(fd: number): void;
  /** fdatasync on another thread; `done` is called exactly once, later. */
  syncData(fd: number, done: (error: Error | null) => void): void;

  /** `create` truncates; `exclusive` fails with EEXIST; `write` and `read` expect an existing file. */
  open(path: string, how: "create" | "exclusive" | "write" | "read"): Promise<number>;
  read(fd: number, bytes: Buffer, offset: number, length: number, position: number): Promise<number>;
  write(fd: number, bytes: Buffer, offset: number, length: number, position: number): Promise<number>;
  /** fsync: data and metadata. */
  sync(fd: number): Promise<void>;
  close(fd: number): Promise<void>;
  /** Size in bytes. */
  size(fd: number): Promise<number>;

  /** Names in a directory, sorted. */
  list(dir: string): Promise<string[]>;
  readFile(path: string): Promise<Buffer>;
  /** A hard link: the atomic "create unless it exists" that the lock is made of. */
  link(existing: string, path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Its parent must exist. */
  makeDirectory(path: string): Promise<void>;
  /** Makes names in the directory durable. */
  syncDirectory(dir: string): Promise<void>;
}

const flags = { create: "w", exclusive: "wx", write: "r+", read: "r" } as const;
const open = promisify(fs.open);
const close = promisify(fs.close);
const fsync = promisify(fs.fsync);
const fstat = promisify(fs.fstat);

/** The real disk. */
export const nodeDisk: Disk = {
  writeNow: (fd, bytes, offset, length, position) => fs.writeSync(fd, bytes, offset, length, position),
  syncDataNow: (fd) => fs.fdatasyncSync(fd),
  syncData: (fd, done) => fs.fdatasync(fd, done),
  open: (path, how) => open(path, flags[how], 0o644),
  read: (fd, bytes, offset, length, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, bytes, offset, length, position, (error, count) =>
        error ? reject(error) : resolve(count),
      );
    }),
  write: (fd, bytes, offset, length, position) =>
    new Promise((resolve, reject) => {
      fs.write(fd, bytes, offset, length, position, (error, count) =>
        error ? reject(error) : resolve(count),
      );
    }),
  sync: (fd) => fsync(fd),
  close: (fd) => close(fd),
  size: async (fd) => (await fstat(fd)).size,
  list: async (dir) => (await fs.promises.readdir(dir)).sort(),
  async readFile(path) {
    const file = await fs.promises.open(path, "r");
    try {
      const { size } = await file.stat();
      return await readToEnd(async (into, offset) => (await file.read(into, offset)).bytesRead, size);
    } finally {
      await file.close();
    }
  },
  link: (existing, path) => fs.promises.link(existing, path),
  rename: (from, to) => fs.promises.rename(from, to),
  unlink: (path) => fs.promises.unlink(path),
  makeDirectory: (path) => fs.promises.mkdir(path),
  syncDirectory: async (dir) => {
    const fd = await open(dir, "r");
    try {
      await fsync(fd);
    } finally {
      await close(fd);
    }
  },
};

/** The path of `name` in `dir`, whose path is whole: `path.join` would look through both again. */
export function inDirectory(dir: string, name: string): string {
  return `${dir}/${name}`;
}

/** The `code` of a system error (`ENOSPC`, `EEXIST` …), or `undefined`. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** What went wrong, for the end of a sentence. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True for EINTR: the call did nothing and may be made again; it is not a failed write or sync. */
export function wasInterrupted(error: unknown): boolean {
  return errorCode(error) === "EINTR";
}

/** fsync, made again while it is merely interrupted. */
export function syncFile(disk: Disk, fd: number): Promise<void> {
  return uninterrupted(() => disk.sync(fd));
}

async function uninterrupted(call: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!wasInterrupted(error)) throw error;
    }
  }
}

/**
 * The same disk, whose directory syncs are fail-stop: once one has failed, every later one fails too. A name that the
 * failed one was to make durable may be lost, and a later sync would succeed without a word about it; nor is it known
 * which of the files that were named meanwhile it concerns.
 */
export function withFailStopNames(disk: Disk): Disk {
  let failure: unknown;
  const refuse = () => {
    if (failure) throw new Error(`an earlier sync of the directory had failed: ${errorText(failure)}`);
  };
  return {
    ...disk,
    async syncDirectory(dir) {
      refuse();
      try {
        await uninterrupted(() => disk.syncDirectory(dir));
      } catch (error) {
        failure ??= error;
        throw error;
      }
      refuse();
    },
  };
}

/** Writes all of `bytes`: a short write is completed, it is not a failure. */
export async function writeFully(disk: Disk, fd: number, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const count = await disk.write(fd, bytes, done, bytes.length - done, position + done);
    if (count <= 0) throw new Error(`the disk took 0 of ${bytes.length - done} bytes`);
    done += count;
  }
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
export async function readFully(disk: Disk, fd: number, length: number, position: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const count = await disk.read(fd, bytes, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/**
 * Everything up to the end, which only a read of 0 bytes shows: Node's own `readFile` takes one that is merely short for
 * it, and the rest of a log would be gone without a word.
 *
 * @param size bytes expected; files of /proc have 0 and more to read.
 */
export async function readToEnd(
  read: (into: Buffer, offset: number) => Promise<number>,
  size: number,
): Promise<Buffer> {
  let bytes = Buffer.allocUnsafe(size + 512);
  for (let done = 0; ; ) {
    const count = await read(bytes, done);
    if (count === 0) return bytes.subarray(0, done);
    done += count;
    if (done === bytes.length) bytes = Buffer.concat([bytes], bytes.length * 2);
  }
}

/** Removes a file that may be gone already. */
export async function removeIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
