/**
 * A simulated data directory as ramlog's `Disk`: every call goes to the `SimulatedDisk` at once, on the calling thread,
 * in the order in which the real store would make it. Its asynchronous calls end in a microtask.
 *
 * The few files outside the data directory that the lock reads are simulated too, so that the same files are always
 * recovered by the same calls: the process has a fixed id, and the machine has been started anew since any lock in
 * the directory was taken, as after power loss.
 */
import { dirname } from "node:path";
import type { SimulatedDisk } from "../contract.ts";
import type { Disk } from "./disk.ts";
import { lockFile } from "./segments.ts";

/** Where ramlog believes its data directory to be. */
export const simulatedDirectory = "/data";
export const simulatedProcessId = 4711;
/** Clock ticks since boot, plus the number of the boot: two processes of the same id must not look alike. */
const startedAt = 100;

const flags = { create: "w", exclusive: "wx", write: "r+", read: "r" } as const;

export function simulatedDisk(disk: SimulatedDisk): Disk {
  const boot = boots(disk) + 1;
  return {
    writeNow: (fd, bytes, offset, length, position) => disk.write(fd, bytes, offset, length, position),
    syncDataNow: (fd) => disk.syncData(fd),
    syncData: (fd, done) => {
      const error = errorOf(() => disk.syncData(fd));
      queueMicrotask(() => done(error));
    },
    open: async (path, how) => disk.open(inside(path), flags[how]),
    read: async (fd, bytes, offset, length, position) => disk.read(fd, bytes, offset, length, position),
    write: async (fd, bytes, offset, length, position) => disk.write(fd, bytes, offset, length, position),
    sync: async (fd) => disk.sync(fd),
    close: async (fd) => disk.close(fd),
    size: async (fd) => disk.size(fd),
    list: async (path) => disk.list(inside(path)),
    readFile: async (path) => {
      if (path.startsWith("/proc/")) return processFile(path, boot);
      return bufferOf(disk.readFile(inside(path)));
    },
    link: async (existing, path) => disk.link(inside(existing), inside(path)),
    rename: async (from, to) => disk.rename(inside(from), inside(to)),
    unlink: async (path) => disk.unlink(inside(path)),
    makeDirectory: async (path) => disk.makeDirectory(inside(path)),
    syncDirectory: async (path) => {
      if (path === dirname(simulatedDirectory)) return;
      const fd = disk.open(inside(path), "r");
      try {
        disk.sync(fd);
      } finally {
        disk.close(fd);
      }
    },
  };
}

/** The path relative to the data directory. */
function inside(path: string): string {
  if (path === simulatedDirectory) return "";
  if (path.startsWith(`${simulatedDirectory}/`)) return path.slice(simulatedDirectory.length + 1);
  throw Object.assign(new Error(`ENOENT: ${path} is outside the simulated disk`), { code: "ENOENT" });
}

/** Nobody changes them: the same for every start after so many boots. */
const processFiles = new Map<number, { readonly bootId: Buffer; readonly stat: Buffer }>();

function processFile(path: string, boot: number): Buffer {
  let files = processFiles.get(boot);
  if (files === undefined) {
    const stat = `${simulatedProcessId} (ramlog) R ${"0 ".repeat(18)}${startedAt + boot} 0\n`;
    files = { bootId: Buffer.from(`sim-${String(boot).padStart(4, "0")}\n`), stat: Buffer.from(stat) };
    processFiles.set(boot, files);
  }
  if (path === "/proc/sys/kernel/random/boot_id") return files.bootId;
  if (path === `/proc/${simulatedProcessId}/stat`) return files.stat;
  throw Object.assign(new Error(`ENOENT: there is no ${path}`), { code: "ENOENT" });
}

/** How often this directory has been locked on a simulated machine. */
function boots(disk: SimulatedDisk): number {
  let boots = 0;
  for (const name of disk.list("")) {
    if (name.startsWith(lockFile)) boots = Math.max(boots, bootIn(disk.readFile(name)));
  }
  return boots;
}

/** By the bytes of a file, which nobody changes: the same lock is found in thousands of states. */
const bootsFound = new WeakMap<Uint8Array, number>();

function bootIn(lock: Uint8Array): number {
  let boot = bootsFound.get(lock);
  if (boot === undefined) {
    boot = Number(/"boot":"sim-(\d{4})"/.exec(bufferOf(lock).toString("latin1"))?.[1] ?? 0);
    bootsFound.set(lock, boot);
  }
  return boot;
}

/** The same memory. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function errorOf(call: () => void): Error | null {
  try {
    call();
    return null;
  } catch (error) {
    return error as Error;
  }
}
