/**
 * A file system of its own in a file, mounted through a loop device: ext4 or XFS, on the disk or in a small memory file
 * system that fills up.
 *
 * Everything here runs in a mount namespace of its own (power-cut.ts starts it with `unshare --mount`): the kernel takes
 * every mount away, and with it the loop device (`-o loop` sets autoclear), when the last process of that namespace
 * ends, however it ends.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import type { SeenDirectory } from "./membership.ts";

export const fileSystems = ["ext4", "xfs"] as const;
export type FileSystem = (typeof fileSystems)[number];

/** Bytes; XFS has no smaller ones. */
export const imageBytes = { ext4: 64 * 2 ** 20, xfs: 300 * 2 ** 20 } as const;
const deadlineMs = 30_000;
/**
 * ext4: blocks as large as pages, which small images do not get by themselves; and nothing is left for a background thread
 * to initialise.
 */
const makeOptions = {
  ext4: ["-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
  xfs: ["-q", "-f", "-K"],
} as const;

export class MountedImage {
  readonly fileSystem: FileSystem;
  /** Where it is mounted. */
  readonly root: string;
  /** The file. */
  readonly path: string;
  #mounted = false;

  private constructor(fileSystem: FileSystem, directory: string) {
    this.fileSystem = fileSystem;
    this.path = join(directory, `${fileSystem}.img`);
    this.root = join(directory, `${fileSystem}.mount`);
  }

  /**
   * Makes and mounts an empty one. The directory exists, and holds nothing of that name.
   *
   * @param backed takes the space of all of it at once; otherwise as it is used.
   */
  static async make(fileSystem: FileSystem, directory: string, backed = false): Promise<MountedImage> {
    const made = new MountedImage(fileSystem, directory);
    const fd = openSync(made.path, "wx");
    ftruncateSync(fd, imageBytes[fileSystem]);
    closeSync(fd);
    await run(`mkfs.${fileSystem}`, [...makeOptions[fileSystem], made.path]);
    // After mkfs, which makes holes of what it wants to be zero.
    if (backed) await run("fallocate", ["-l", String(imageBytes[fileSystem]), made.path]);
    mkdirSync(made.root);
    await made.mount();
    return made;
  }

  async mount(): Promise<void> {
    await run("mount", ["-t", this.fileSystem, "-o", "loop", this.path, this.root]);
    this.#mounted = true;
  }

  async unmount(): Promise<void> {
    if (!this.#mounted) return;
    await run("umount", [this.root]);
    this.#mounted = false;
  }
}

/** A memory file system that holds so many bytes. */
export async function mountMemory(directory: string, bytes: number): Promise<void> {
  mkdirSync(directory);
  await run("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", directory]);
}

/** Everything in a directory. */
export function lookAt(root: string): SeenDirectory {
  const seen = new Map<string, Uint8Array | undefined>();
  const visit = (path: string) => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      const name = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) {
        seen.set(name, undefined);
        visit(name);
      } else seen.set(name, readFileSync(join(root, name)));
    }
  };
  visit("");
  return seen;
}

/** @throws Error with one sentence: the program and the first line of what it said. */
export async function run(program: string, args: readonly string[]): Promise<string> {
  const done = await execa(program, args, { reject: false, timeout: deadlineMs, stdin: "ignore", all: true });
  if (done.exitCode === 0) return done.stdout;
  const said = done.timedOut ? `it took longer than ${deadlineMs / 1000} s` : (done.all ?? "").split("\n")[0];
  throw new Error(`${program} failed: ${said || done.shortMessage}`);
}
