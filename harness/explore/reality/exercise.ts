/**
 * A program that works on files until it is killed or its file system stops: several lanes at once, each with files of its
 * own in one directory, every call drawn from a seed. It knows no promises; what it does is in its trace.
 *
 *   node exercise.js DIRECTORY SEED LANES
 *
 * Calls: create, write (append, overwrite, behind the end), truncate, rename (also onto a file), link, unlink, fsync,
 * fdatasync, sync of the directory. A lane ends at its first error, which is what a stopped file system answers.
 */
import { randomFillSync } from "node:crypto";
import { type FileHandle, link, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "../../measure/random.ts";

const [directory, seed, lanes] = process.argv.slice(2) as [string, string, string];

/** Bytes. */
const writeMax = 9000;
const fileMax = 40_000;
const filesMax = 4;

interface OpenFile {
  path: string;
  readonly handle: FileHandle;
  /** Bytes. */
  size: number;
}

class Lane {
  readonly #name: string;
  readonly #random: () => number;
  readonly #files: OpenFile[] = [];
  #made = 0;

  constructor(name: string, seed: number) {
    this.#name = name;
    this.#random = seededRandom(seed);
  }

  async run(): Promise<void> {
    for (;;) {
      await this.#step();
      // Bursts, and pauses in which the file system may do something on its own.
      if (this.#random() < 0.05) await new Promise((wake) => setTimeout(wake, this.#below(8)));
    }
  }

  async #step(): Promise<void> {
    const file = this.#files[this.#below(this.#files.length)];
    const dice = this.#random();
    if (file === undefined || (dice < 0.1 && this.#files.length < filesMax)) await this.#create();
    else if (dice < 0.6) await this.#write(file);
    else if (dice < 0.7) await file.handle.datasync();
    else if (dice < 0.76) await file.handle.sync();
    else if (dice < 0.81) await this.#truncate(file);
    else if (dice < 0.89) await this.#rename(file);
    else if (dice < 0.92) await this.#link(file);
    else if (dice < 0.96) await this.#unlink(file);
    else await this.#syncDirectory();
  }

  async #create(): Promise<void> {
    const path = this.#newPath();
    this.#files.push({ path, handle: await open(path, "wx+"), size: 0 });
  }

  async #write(file: OpenFile): Promise<void> {
    const where = this.#random();
    const offset =
      where < 0.5 ? file.size : where < 0.9 ? this.#below(file.size + 1) : file.size + this.#below(6000);
    const bytes = Buffer.alloc(1 + this.#below(this.#random() < 0.7 ? 400 : writeMax));
    if (offset + bytes.length > fileMax) return;
    randomFillSync(bytes);
    await file.handle.write(bytes, 0, bytes.length, offset);
    file.size = Math.max(file.size, offset + bytes.length);
  }

  async #truncate(file: OpenFile): Promise<void> {
    const size = this.#below(file.size + 2000);
    await file.handle.truncate(size);
    file.size = size;
  }

  async #rename(file: OpenFile): Promise<void> {
    const other = this.#files[this.#below(this.#files.length)]!;
    const path = this.#random() < 0.5 || other === file ? this.#newPath() : other.path;
    await rename(file.path, path);
    if (path === other.path && other !== file) await this.#forget(other);
    file.path = path;
  }

  async #link(file: OpenFile): Promise<void> {
    await link(file.path, this.#newPath());
  }

  async #unlink(file: OpenFile): Promise<void> {
    await unlink(file.path);
    await this.#forget(file);
  }

  async #forget(file: OpenFile): Promise<void> {
    this.#files.splice(this.#files.indexOf(file), 1);
    await file.handle.close();
  }

  async #syncDirectory(): Promise<void> {
    const handle = await open(directory, "r");
    await handle.sync();
    await handle.close();
  }

  #newPath(): string {
    return join(directory, `${this.#name}-${this.#made++}`);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

const running = Array.from({ length: Number(lanes) }, (_, number) =>
  new Lane(`lane${number}`, (Number(seed) ^ Math.imul(number + 1, 0x9e3779b1)) | 0).run(),
);
process.stdout.write("ready\n");
await Promise.allSettled(running);
