/**
 * A data directory in memory for in-process recovery: POSIX calls (stores/contract.ts, `SimulatedDisk`) on top of a disk
 * model. Each call feeds the model, as a traced call does: a crash during the recovery can be explored, and what was
 * pending before a process crash is pending still.
 *
 * Behaves as Linux does, with the errors of Node (`ENOENT: no such file or directory, open 'x'`): property-tested
 * against a real directory. Not modelled: permissions, links to directories, symbolic links, full disks, times.
 */
import type { SimulatedDisk } from "../../../stores/contract.ts";
import type { DiskFile, FileId, PendingOperation } from "./disk-file.ts";
import { type DiskImage, DiskModel } from "./disk-model.ts";
import type { Place } from "./disk-names.ts";
import { pageBytes } from "./pages.ts";

interface OpenFile {
  readonly file: DiskFile;
  readonly path: string;
  readonly reads: boolean;
  readonly writes: boolean;
  readonly appends: boolean;
}

const flagsOf: Readonly<
  Record<
    string,
    {
      reads: boolean;
      writes: boolean;
      creates?: boolean;
      exclusive?: boolean;
      truncates?: boolean;
      appends?: boolean;
    }
  >
> = {
  r: { reads: true, writes: false },
  "r+": { reads: true, writes: true },
  w: { reads: false, writes: true, creates: true, truncates: true },
  wx: { reads: false, writes: true, creates: true, exclusive: true, truncates: true },
  "w+": { reads: true, writes: true, creates: true, truncates: true },
  "wx+": { reads: true, writes: true, creates: true, exclusive: true, truncates: true },
  a: { reads: false, writes: true, creates: true, appends: true },
  ax: { reads: false, writes: true, creates: true, exclusive: true, appends: true },
  "a+": { reads: true, writes: true, creates: true, appends: true },
};

const messages: Readonly<Record<string, readonly [number: number, text: string]>> = {
  EBADF: [-9, "bad file descriptor"],
  EEXIST: [-17, "file already exists"],
  EINVAL: [-22, "invalid argument"],
  EISDIR: [-21, "illegal operation on a directory"],
  ENOENT: [-2, "no such file or directory"],
  ENOTDIR: [-20, "not a directory"],
  ENOTEMPTY: [-39, "directory not empty"],
  EPERM: [-1, "operation not permitted"],
};

/** One call that a store made, to be made again on a disk that was equal to its one. */
export type DiskCall = (disk: ModelledDisk) => void;

export class ModelledDisk implements SimulatedDisk {
  readonly model: DiskModel;
  readonly #crashPoint: ((model: DiskModel) => void) | undefined;
  readonly #calls: DiskCall[] | undefined;
  #open: (OpenFile | undefined)[] = [];

  /**
   * @param start a disk on which everything is durable (an image: a crash state's), or a model with what is pending.
   * @param crashPoint called whenever the disk may hold something else than before: in the middle of each call that
   *   changes something, and after it.
   * @param calls gets the calls that change something, or that those need. Made again in their order on an equal disk,
   *   they pass the same crash points, without a store that makes them.
   */
  constructor(start: DiskImage | DiskModel, crashPoint?: (model: DiskModel) => void, calls?: DiskCall[]) {
    this.model = start instanceof DiskModel ? start : new DiskModel(start);
    this.#crashPoint = crashPoint;
    this.#calls = calls;
  }

  open(path: string, flags: string): number {
    const how = flagsOf[flags];
    if (how === undefined) throw failure("EINVAL", "open", path);
    const place = this.#place(path, (code) => failure(code, "open", path));
    let file = place.file === undefined ? undefined : this.model.file(place.file);
    if (file === undefined) {
      if (!how.creates) throw failure("ENOENT", "open", path);
      if (path.endsWith("/")) throw failure("EISDIR", "open", path);
      const made = this.model.create(place, this.#begin(), path, "");
      file = made.file;
      this.#end(made.op);
    } else {
      if (how.exclusive) throw failure("EEXIST", "open", path);
      if (file.directory && how.writes) throw failure("EISDIR", "open", path);
      if (!file.directory && path.endsWith("/")) throw failure("ENOTDIR", "open", path);
      if (how.truncates && file.size > 0) this.#end(this.model.truncate(file, this.#begin(), 0, path));
    }
    const fd = this.#freeDescriptor();
    this.#open[fd - firstDescriptor] = {
      file,
      path,
      reads: how.reads,
      writes: how.writes,
      appends: how.appends ?? false,
    };
    this.#calls?.push((disk) => disk.open(path, flags));
    return fd;
  }

  close(fd: number): void {
    this.#opened(fd, "close");
    this.#open[fd - firstDescriptor] = undefined;
    this.#calls?.push((disk) => disk.close(fd));
  }

  read(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number {
    const { file, reads } = this.#opened(fd, "read");
    if (!reads) throw failure("EBADF", "read");
    if (file.directory) throw failure("EISDIR", "read");
    const count = Math.max(0, Math.min(length, file.size - position));
    for (let done = 0; done < count; ) {
      const at = position + done;
      const index = Math.floor(at / pageBytes);
      const from = at - index * pageBytes;
      const part = Math.min(pageBytes - from, count - done);
      const page = file.livePage(index)?.bytes;
      if (page === undefined) bytes.fill(0, offset + done, offset + done + part);
      else bytes.set(page.subarray(from, from + part), offset + done);
      done += part;
    }
    return count;
  }

  write(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number {
    const { file, path, writes, appends } = this.#opened(fd, "write");
    if (!writes) throw failure("EBADF", "write");
    if (length === 0) return 0;
    // A copy: of a Buffer, `slice` would be a view of what the store may write over.
    const data = new Uint8Array(Math.min(length, bytes.length - offset));
    data.set(bytes.subarray(offset, offset + length));
    this.#end(this.model.write(file, this.#begin(), appends ? file.size : position, data, path));
    this.#calls?.push((disk) => disk.write(fd, data, 0, data.length, position));
    return data.length;
  }

  sync(fd: number): void {
    this.#sync(this.#opened(fd, "fsync").file, false);
    this.#calls?.push((disk) => disk.sync(fd));
  }

  syncData(fd: number): void {
    this.#sync(this.#opened(fd, "fdatasync").file, true);
    this.#calls?.push((disk) => disk.syncData(fd));
  }

  size(fd: number): number {
    return this.#opened(fd, "fstat").file.size;
  }

  truncate(fd: number, size: number): void {
    const { file, path, writes } = this.#opened(fd, "ftruncate");
    if (!writes || size < 0) throw failure("EINVAL", "ftruncate");
    if (size !== file.size) this.#end(this.model.truncate(file, this.#begin(), size, path));
    this.#calls?.push((disk) => disk.truncate(fd, size));
  }

  readFile(path: string): Uint8Array {
    const file = this.#existing(path, "open");
    if (file.directory) throw failure("EISDIR", "read");
    return file.live.whole();
  }

  list(path: string): string[] {
    const file = this.#existing(path, "scandir");
    const names = this.model.names.list(file.id);
    if (names === undefined) throw failure("ENOTDIR", "scandir", path);
    return names;
  }

  exists(path: string): boolean {
    const place = this.model.names.find(path);
    if (place?.file === undefined) return false;
    return !path.endsWith("/") || this.model.file(place.file).directory;
  }

  rename(from: string, to: string): void {
    const fail = (code: string) => failure(code, "rename", from, to);
    const source = this.#place(from, fail);
    const target = this.#place(to, fail);
    if (source.name === "" || target.name === "") throw fail("EBUSY");
    if (source.file === undefined) throw fail("ENOENT");
    const moved = this.model.file(source.file);
    if (!moved.directory && (from.endsWith("/") || to.endsWith("/"))) throw fail("ENOTDIR");
    if (moved.directory && this.#isInside(moved, target)) throw fail("EINVAL");
    if (target.file !== undefined) {
      if (this.#holds(target.file, source)) throw fail("ENOTEMPTY");
      if (target.file === source.file) return;
      const replaced = this.model.file(target.file);
      if (moved.directory && !replaced.directory) throw fail("ENOTDIR");
      if (!moved.directory && replaced.directory) throw fail("EISDIR");
      if (replaced.directory && this.model.names.entriesOf(replaced.id)!.size > 0) throw fail("ENOTEMPTY");
    }
    this.#end(this.model.rename(source, target, this.#begin(), from, to));
    this.#calls?.push((disk) => disk.rename(from, to));
  }

  link(existing: string, path: string): void {
    const fail = (code: string) => failure(code, "link", existing, path);
    const source = this.#place(existing, fail);
    if (source.file === undefined) throw fail("ENOENT");
    const { directory } = this.model.file(source.file);
    if (!directory && existing.endsWith("/")) throw fail("ENOTDIR");
    const target = this.#place(path, fail);
    if (target.file !== undefined) throw fail("EEXIST");
    if (path.endsWith("/")) throw fail("ENOENT");
    if (directory) throw fail("EPERM");
    this.#end(this.model.link(source.file, target, this.#begin(), existing, path));
    this.#calls?.push((disk) => disk.link(existing, path));
  }

  unlink(path: string): void {
    const fail = (code: string) => failure(code, "unlink", path);
    const place = this.#place(path, fail);
    if (place.name === "") throw fail("EISDIR");
    if (place.file === undefined) throw fail("ENOENT");
    const file = this.model.file(place.file);
    if (file.directory) throw fail("EISDIR");
    if (path.endsWith("/")) throw fail("ENOTDIR");
    this.#end(this.model.unlink(place, this.#begin(), path));
    this.#calls?.push((disk) => disk.unlink(path));
  }

  makeDirectory(path: string): void {
    const place = this.#place(path, (code) => failure(code, "mkdir", path));
    if (place.file !== undefined) throw failure("EEXIST", "mkdir", path);
    this.#end(this.model.create(place, this.#begin(), path, "", true).op);
    this.#calls?.push((disk) => disk.makeDirectory(path));
  }

  /** As a process crash does: descriptors are gone, and what was written is still in the page cache. */
  crash(): void {
    this.#open = [];
  }

  #sync(file: DiskFile, dataOnly: boolean): void {
    const before = this.#begin();
    this.model.event = before + 1;
    this.model.sync(file, before, dataOnly);
    this.#crashPoint?.(this.model);
  }

  /** The index of the call's begin event. */
  #begin(): number {
    this.model.event += 1;
    return this.model.event;
  }

  #end(op: PendingOperation): void {
    this.#crashPoint?.(this.model);
    this.model.event += 1;
    this.model.finish(op, this.model.event);
    this.#crashPoint?.(this.model);
  }

  #opened(fd: number, call: string): OpenFile {
    const open = this.#open[fd - firstDescriptor];
    if (open === undefined) throw failure("EBADF", call);
    return open;
  }

  #freeDescriptor(): number {
    const free = this.#open.indexOf(undefined);
    return firstDescriptor + (free < 0 ? this.#open.length : free);
  }

  #existing(path: string, call: string): DiskFile {
    const fail = (code: string) => failure(code, call, path);
    const place = this.#place(path, fail);
    if (place.file === undefined) throw fail("ENOENT");
    const file = this.model.file(place.file);
    if (!file.directory && path.endsWith("/")) throw fail("ENOTDIR");
    return file;
  }

  /** Where the path leads; its directory exists. */
  #place(path: string, fail: (code: string) => Error): Place {
    const place = this.model.names.find(path);
    if (place !== undefined) return place;
    const segments = path.split("/").filter((segment) => segment !== "");
    for (let length = 1; length < segments.length; length++) {
      const parent = this.model.names.find(segments.slice(0, length).join("/"));
      if (parent?.file === undefined) throw fail("ENOENT");
      if (!this.model.file(parent.file).directory) throw fail("ENOTDIR");
    }
    throw fail("ENOENT");
  }

  /** True when the place is inside the directory, at any depth. */
  #isInside(directory: DiskFile, place: Place): boolean {
    if (place.directory === directory.id) return true;
    for (const child of this.model.names.entriesOf(directory.id)?.values() ?? []) {
      const inner = this.model.file(child);
      if (inner.directory && this.#isInside(inner, place)) return true;
    }
    return false;
  }

  /** True when the file is a directory above the place. */
  #holds(file: FileId, place: Place): boolean {
    const directory = this.model.file(file);
    return directory.directory && this.#isInside(directory, place);
  }
}

/** As in a real process, in which 0, 1 and 2 are taken. */
const firstDescriptor = 3;

/** An error as Node throws it. */
function failure(code: string, call: string, path?: string, other?: string): Error {
  const [errno, text] = messages[code] ?? [-16, "resource busy or locked"];
  const where = path === undefined ? "" : ` '${path}'${other === undefined ? "" : ` -> '${other}'`}`;
  const error = new Error(`${code}: ${text}, ${call}${where}`);
  return Object.assign(error, { code, errno, syscall: call, ...(path === undefined ? {} : { path }) });
}
