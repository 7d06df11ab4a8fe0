/**
 * The disk below a traced program: what the page cache shows, what is durable for certain, and what is pending in
 * between, fed with the events of a trace one by one. `enumerate.ts` says what a power loss may leave of it.
 *
 * Modelled: page versions and sizes (disk-file.ts), names (disk-names.ts), identity of files by creation. A sync covers
 * the calls that had *ended* before it *began*; fdatasync covers data and size; O_SYNC and O_DSYNC writes are durable
 * when they end; syncfs covers everything; `sync_file_range` and `close` persist nothing. A failed or lying call changes
 * what its end event says it changed. Calls in flight may have happened, partly happened or not happened. Nothing
 * pending is forgotten by a process crash.
 * Journals: a sync that has metadata of its own file to write commits every change of names, every truncation and every
 * fallocate that ended before it (`journals`, measured on Linux 6.18: see profiles/ext4-ordered.ts).
 * Failed syncs: `fsyncgate`, `late`, `pages-lost` (pages clean, not durable), `revert` (and no longer shown), a failure
 * nobody planned (a real EIO, ENOSPC or EDQUOT: nobody knows which pages). EINTR and fail-keep change nothing.
 *
 * Not modelled: owners, modes, times, extended attributes, symbolic links, COLLAPSE_RANGE and INSERT_RANGE; eviction of
 * clean pages that the disk never got; writes in flight at the same time to the same bytes (the later begun wins), and a
 * write in flight while its file is renamed or truncated (taken to come first).
 * What cannot be followed is put into `faults`: a run with any is unknown.
 */
import type { TraceEvent } from "../../../faults/contract.ts";
import { DiskFile, type FileId, type ImageFile, type PendingOperation } from "./disk-file.ts";
import { type Directories, DiskNames, type Place, rootDirectory } from "./disk-names.ts";
import { pageBytes } from "./pages.ts";

/** Journals that differ in what a sync commits; bits of `PendingOperation.committed`. */
export const journals = { ext4: 1, xfs: 2 } as const;
export type Journal = keyof typeof journals;
const everyJournal = journals.ext4 | journals.xfs;

/** A whole disk on which everything is durable. Never changed once made; equal parts are shared. */
export interface DiskImage {
  readonly files: ReadonlyMap<FileId, ImageFile>;
  readonly directories: Directories;
  /** Larger than every id in use. */
  readonly nextFile: FileId;
}

/** What is known of a call between its begin and its end. */
interface Call {
  readonly begin: TraceEvent;
  readonly op?: PendingOperation;
}

/** When a sync ran; no end: still running. */
interface SyncInterval {
  readonly begin: number;
  readonly end?: number;
}

const faultsAtMost = 20;
/** More syncs than this do not overlap with one call. */
const syncsKept = 256;

export class DiskModel {
  names: DiskNames;
  /** Every file that may still matter, by id. */
  readonly files: Map<FileId, DiskFile>;
  /** Files with pending changes of their content. */
  readonly dirty: Set<DiskFile>;
  /** Changes of names, truncations and fallocates that some journal has not committed, in order; in flight: last. */
  metadata: readonly PendingOperation[] = [];
  /** Why the model does not know what the disk holds; empty when it does. One sentence each. */
  readonly faults: string[] = [];
  /** Index of the last event fed; -1 before the first. */
  event = -1;
  /** Changes whenever the set of possible crash states may have changed. */
  revision = 0;
  #nextFile: FileId;
  #calls = new Map<number, Call>();
  /** The last syncs, in the order in which they began. */
  #syncs: readonly SyncInterval[] = [];
  #byInode: Map<string, DiskFile> | undefined;

  constructor(image: DiskImage) {
    this.names = new DiskNames(image.directories);
    this.files = new Map();
    this.dirty = new Set();
    for (const { id, directory, inode, path, content } of image.files.values()) {
      this.files.set(id, new DiskFile(id, directory, inode, path, content));
    }
    this.#nextFile = image.nextFile;
  }

  /** Follows one event. Events of other kinds than disk calls are only counted. */
  feed(event: TraceEvent): void {
    this.event = event.index;
    if (event.phase === "begin") this.#begin(event);
    else if (event.phase === "end") this.#end(event);
    else if (event.kind === "pages-lost") this.#pagesLost(event);
  }

  /**
   * An independent copy. Forked after a process crash, its pending calls are still pending.
   *
   * @param inFlight what became of the calls in flight: `possible` (as before: they may be on the disk), or, when the
   *   processes are dead and what they left is about to be read, `happened` or `not-happened`.
   */
  fork(inFlight: "possible" | "happened" | "not-happened" = "possible"): DiskModel {
    const copies = new Map<PendingOperation, PendingOperation>();
    const copyOf = (op: PendingOperation): PendingOperation => {
      let copy = copies.get(op);
      if (copy === undefined) {
        copy = { ...op };
        copies.set(op, copy);
      }
      return copy;
    };
    const fork = new DiskModel({ files: new Map(), directories: new Map(), nextFile: this.#nextFile });
    fork.names = this.names.fork(copyOf);
    for (const [id, file] of this.files) {
      const copy = file.fork(copyOf);
      fork.files.set(id, copy);
      if (this.dirty.has(file)) fork.dirty.add(copy);
    }
    fork.metadata = this.metadata.map(copyOf);
    fork.faults.push(...this.faults);
    const dead = inFlight !== "possible";
    fork.#syncs = dead ? this.#syncs.map((sync) => ({ end: this.event, ...sync })) : this.#syncs;
    fork.event = this.event;
    fork.revision = this.revision;
    if (inFlight === "possible") {
      for (const [index, call] of this.#calls) {
        fork.#calls.set(index, call.op === undefined ? call : { begin: call.begin, op: copyOf(call.op) });
      }
    } else {
      for (const { op } of this.#calls.values()) {
        if (op === undefined) continue;
        if (inFlight === "happened") fork.finish(copyOf(op), this.event);
        else fork.withdraw(copyOf(op));
      }
    }
    return fork;
  }

  /**
   * The same files in another directory, as after a restart from a copy: from now on events name them by these inodes.
   *
   * @param inodes by path; a file that is not listed has none.
   */
  moved(inodes: ReadonlyMap<string, string>): void {
    for (const file of this.files.values()) file.inode = "";
    const visit = (directory: FileId, prefix: string) => {
      for (const [name, id] of this.names.live.get(directory) ?? []) {
        const path = prefix + name;
        this.file(id).inode = inodes.get(path) ?? "";
        if (this.file(id).directory) visit(id, `${path}/`);
      }
    };
    this.file(rootDirectory).inode = inodes.get(".") ?? "";
    visit(rootDirectory, "");
    this.#byInode = undefined;
  }

  /** True while some call that changes the disk has begun and not ended. */
  get inFlight(): boolean {
    for (const call of this.#calls.values()) if (call.op !== undefined) return true;
    return false;
  }

  /** Larger than every id in use. */
  get nextFile(): FileId {
    return this.#nextFile;
  }

  /** The file of that id. */
  file(id: FileId): DiskFile {
    const file = this.files.get(id);
    if (file === undefined) throw new Error(`there is no file ${id} in the disk model`);
    return file;
  }

  // What calls do. `event` is the index of the begin event; `finish` follows, or `withdraw` when nothing happened.

  write(
    file: DiskFile,
    event: number,
    offset: number,
    bytes: Uint8Array,
    path = file.path,
  ): PendingOperation {
    const op = this.#operation({ event, kind: "write", file: file.id, path, offset, size: bytes.length });
    file.write(op, offset, bytes);
    this.#touched(file);
    return op;
  }

  truncate(file: DiskFile, event: number, size: number, path = file.path): PendingOperation {
    const op = this.#operation({ event, kind: "truncate", file: file.id, path, offset: size, size: 0 });
    file.truncate(op, size);
    this.#touched(file);
    return op;
  }

  /** fallocate(2) with that mode. */
  allocate(file: DiskFile, event: number, offset: number, size: number, mode: number, path = file.path) {
    const op = this.#operation({ event, kind: "allocate", file: file.id, path, offset, size });
    const keepSize = (mode & 1) !== 0;
    if ((mode & ~(1 | 2 | 0x10 | 0x40)) !== 0) {
      this.fault(`event ${event}: fallocate of ${path} with mode ${mode} is not modelled`);
    } else if ((mode & (2 | 0x10)) !== 0 && offset < file.size) {
      file.zero(op, offset, Math.min(offset + size, file.size));
    }
    if (!keepSize) file.extend(op, offset + size);
    this.#touched(file);
    return op;
  }

  /** A new, empty file or directory with that name. */
  create(place: Place, event: number, path: string, inode: string, directory = false) {
    const id = this.#nextFile++;
    const file = new DiskFile(id, directory, inode, path);
    this.files.set(id, file);
    if (inode !== "") this.#inodes().set(inode, file);
    if (directory) this.names.addDirectory(id);
    const op = this.#operation({
      event,
      kind: directory ? "mkdir" : "create",
      file: id,
      path,
      offset: 0,
      size: 0,
    });
    this.names.change(op, place.directory, [{ directory: place.directory, name: place.name, to: id }]);
    return { op, file };
  }

  rename(from: Place, to: Place, event: number, otherPath: string, path: string, exchange = false) {
    const file = from.file!;
    const replaces = !exchange && to.file !== undefined;
    const op = this.#operation({
      event,
      kind: "rename",
      file,
      path,
      otherPath,
      offset: 0,
      size: 0,
      replaces,
    });
    const moved = this.file(file);
    if (replaces && moved.pending) moved.replacing = [...moved.replacing, op];
    this.names.change(op, to.directory, [
      { directory: from.directory, name: from.name, to: exchange ? to.file : undefined },
      { directory: to.directory, name: to.name, to: file },
    ]);
    return op;
  }

  link(file: FileId, to: Place, event: number, otherPath: string, path: string): PendingOperation {
    const op = this.#operation({ event, kind: "link", file, path, otherPath, offset: 0, size: 0 });
    this.names.change(op, to.directory, [{ directory: to.directory, name: to.name, to: file }]);
    return op;
  }

  unlink(place: Place, event: number, path: string, kind: "unlink" | "rmdir" = "unlink"): PendingOperation {
    const op = this.#operation({ event, kind, file: place.file!, path, offset: 0, size: 0 });
    this.names.change(op, place.directory, [{ directory: place.directory, name: place.name, to: undefined }]);
    return op;
  }

  /** The call ended, and did what it was told to. */
  finish(op: PendingOperation, event: number): void {
    op.endedAt = event;
    this.revision++;
    if (op.metadata) {
      // Calls in flight stay behind those that have ended: they may come to the journal after them.
      if (this.metadata.at(-1) === op && this.metadata.at(-2)?.endedAt !== undefined) {
        this.metadata = this.metadata.slice();
        return;
      }
      const others = this.metadata.filter((one) => one !== op);
      const flying = others.findIndex((one) => one.endedAt === undefined);
      const at = flying < 0 ? others.length : flying;
      this.metadata = [...others.slice(0, at), op, ...others.slice(at)];
    }
  }

  /** The call did nothing after all. */
  withdraw(op: PendingOperation): void {
    this.revision++;
    this.metadata = this.metadata.filter((one) => one !== op);
    this.names.remove(op);
    const file = this.files.get(op.file);
    if (file === undefined) return;
    file.remove(op);
    this.#touched(file);
  }

  /** A successful fsync (or fdatasync, `dataOnly`; or msync, of some pages) that began after event `before`. */
  sync(file: DiskFile, before: number, dataOnly: boolean, firstPage?: number, lastPage?: number): void {
    this.#commit(file, before, dataOnly);
    if (file.directory) this.names.sync(file.id, before);
    else file.sync(before, firstPage, lastPage);
    this.#synced(file);
  }

  /** A successful syncfs or sync that began after event `before`. */
  syncAll(before: number): void {
    this.#commitAll(everyJournal, before);
    this.names.sync(undefined, before);
    for (const file of [...this.dirty]) {
      file.sync(before);
      this.#touched(file);
    }
    this.#synced(undefined);
  }

  fault(sentence: string): void {
    if (this.faults.length < faultsAtMost) this.faults.push(sentence);
  }

  #begin(event: TraceEvent): void {
    const op = this.#applied(event);
    if (isSync(event)) this.#syncs = [...this.#syncs.slice(-syncsKept), { begin: event.index }];
    if (op !== undefined || event.kind !== "send") {
      this.#calls.set(event.index, op === undefined ? { begin: event } : { begin: event, op });
    }
  }

  /** What a call in flight may have done already; undefined when that is known at its end only, or when it is nothing. */
  #applied(event: TraceEvent): PendingOperation | undefined {
    const { kind, index, path, offset, size } = event;
    switch (kind) {
      case "write": {
        if (event.data === undefined) {
          this.fault(`event ${index}: the write to ${path} carries no data`);
          return undefined;
        }
        const file = this.#subject(event);
        return file && this.write(file, index, offset, event.data, path);
      }
      case "truncate": {
        const file = this.#subject(event);
        return file && this.truncate(file, index, offset, path);
      }
      case "allocate": {
        const file = this.#subject(event);
        return file && this.allocate(file, index, offset, size, event.mode ?? 0, path);
      }
      case "rename":
      case "link": {
        const from = this.names.find(event.otherPath ?? "");
        const to = this.names.find(path);
        if (from?.file === undefined || to === undefined || from.file === to.file) return undefined;
        if (kind === "link") return this.link(from.file, to, index, event.otherPath!, path);
        return this.rename(from, to, index, event.otherPath!, path, ((event.mode ?? 0) & 2) !== 0);
      }
      case "unlink":
      case "rmdir": {
        const place = this.names.find(path);
        return place?.file === undefined ? undefined : this.unlink(place, index, path, kind);
      }
      default:
        return undefined;
    }
  }

  #end(event: TraceEvent): void {
    const call = this.#calls.get(event.call);
    this.#calls.delete(event.call);
    if (event.kind === "send") return;
    if (call === undefined) {
      this.fault(`event ${event.index}: the end of a ${event.kind} of ${event.path} that never began`);
      return;
    }
    const result = event.result ?? 0;
    if (isSync(call.begin)) {
      const ended = { begin: call.begin.index, end: event.index };
      this.#syncs = this.#syncs.map((sync) => (sync.begin === ended.begin ? ended : sync));
    }
    switch (event.kind) {
      case "write":
        this.#endWrite(event, call);
        return;
      case "sync":
      case "datasync":
      case "syncfs":
        this.#endSync(event, call, result);
        return;
      case "open":
        if (result >= 0) this.#endOpen(event, call);
        return;
      case "mkdir":
        if (result >= 0) this.#made(event, call, true);
        return;
      default:
        this.#endChange(event, call, result);
    }
  }

  #endChange(event: TraceEvent, { op }: Call, result: number): void {
    if (op !== undefined) {
      if (result >= 0) this.finish(op, event.index);
      else this.withdraw(op);
      return;
    }
    const sameFile = event.kind === "rename" || event.kind === "link";
    const known = sameFile && this.names.find(event.otherPath ?? "")?.file !== undefined;
    if (result >= 0 && event.kind !== "sync-range" && !known) {
      this.fault(
        `event ${event.index}: ${event.kind} of ${event.otherPath ?? event.path}, which is not known`,
      );
    }
  }

  /** The end event says what really reached the file, and where: less after a short write, nothing after a lost one. */
  #endWrite(event: TraceEvent, { begin, op }: Call): void {
    if (op === undefined) return;
    let done = op;
    if (event.size !== op.size || event.offset !== op.offset) {
      this.withdraw(op);
      if (event.size <= 0) return;
      const file = this.file(op.file);
      done = this.write(file, op.event, event.offset, begin.data!.subarray(0, event.size), op.path);
    }
    this.finish(done, event.index);
    if ((event.synchronous ?? begin.synchronous) && (event.result ?? 0) >= 0) {
      const file = this.file(done.file);
      const { first, last } = pagesOf(done);
      this.#commit(file, begin.index, true, done);
      file.sync(begin.index, first, last, done);
      this.#synced(file);
    }
  }

  #endSync(event: TraceEvent, { begin }: Call, result: number): void {
    const effect = event.effect ?? begin.effect;
    if (effect === "lying") return;
    if (event.kind === "syncfs") {
      if (result >= 0) this.syncAll(begin.index);
      return;
    }
    const file = this.#subject(begin);
    if (file === undefined) return;
    const { first, last } = pagesOf(begin);
    if (effect === "fsyncgate" || effect === "late" || effect === "revert") {
      // Of `late`, the sync that succeeds loses the pages; the one that fails says so later.
      if (effect === "late" && result < 0) return;
      if (effect === "revert") file.revert(begin.index);
      else file.lose(begin.index, "lost", first, last);
      this.#touched(file);
    } else if (result >= 0) {
      this.sync(file, begin.index, event.kind === "datasync", first, last);
    } else if (effect === undefined && losesPages(result)) {
      file.lose(begin.index, "stuck", first, last);
      this.#touched(file);
    }
  }

  #endOpen(event: TraceEvent, call: Call): void {
    if (event.created) this.#made(event, call, event.directory ?? false);
    else this.#seen(event);
    if (!event.truncated || event.created) return;
    const file = this.#subject(event);
    if (file !== undefined) this.finish(this.truncate(file, call.begin.index, 0, event.path), event.index);
  }

  #made(event: TraceEvent, { begin }: Call, directory: boolean): void {
    const place = this.names.find(event.path);
    if (place === undefined || place.name === "") {
      this.fault(`event ${event.index}: ${event.path} was made in a directory that is not known`);
      return;
    }
    const { op } = this.create(place, begin.index, event.path, event.inode, directory);
    this.finish(op, event.index);
  }

  /**
   * A path led to an inode: evidence of what became of calls that were in flight when a process was killed. A call that
   * contradicts it did not happen; one that it needs did.
   */
  #seen(event: TraceEvent): void {
    const file = this.#inodes().get(event.inode);
    if (file === undefined) {
      this.#subject(event);
      return;
    }
    const agrees = () => this.names.find(event.path)?.file === file.id;
    const dead = this.names.changes.filter((change) => change.op.endedAt === undefined);
    if (!agrees()) {
      const wrong = dead.find((change) => {
        const live = this.names.fork((op) => op);
        live.remove(change.op);
        return live.find(event.path)?.file === file.id;
      });
      if (wrong !== undefined) this.withdraw(wrong.op);
    }
    if (agrees()) return;
    this.fault(`event ${event.index}: ${event.path} is not the file that the events before it put there`);
  }

  #pagesLost(event: TraceEvent): void {
    const file = this.#subject(event);
    if (file === undefined) return;
    const { first, last } = pagesOf(event);
    file.lose(event.index, "lost", first, last);
    this.#touched(file);
  }

  /** The file that a call is about: by inode, else by name; made up when a killed process had just created it. */
  #subject(event: TraceEvent): DiskFile | undefined {
    const known = this.#inodes().get(event.inode);
    if (known !== undefined) return known;
    const place = this.names.find(event.path);
    if (place?.file !== undefined) {
      const file = this.file(place.file);
      if (file.inode === "") {
        file.inode = event.inode;
        this.#inodes().set(event.inode, file);
        return file;
      }
    }
    const begun = [...this.#calls.values()].some(
      ({ begin }) => begin.kind === "open" && begin.path === event.path && begin.index < event.index,
    );
    if (place !== undefined && place.name !== "" && place.file === undefined && begun) {
      const { op, file } = this.create(place, event.index, event.path, event.inode);
      this.finish(op, event.index);
      return file;
    }
    this.fault(`event ${event.index}: ${event.kind} of ${event.path}, which is not known`);
    return undefined;
  }

  #inodes(): Map<string, DiskFile> {
    if (this.#byInode === undefined) {
      this.#byInode = new Map();
      for (const file of this.files.values()) if (file.inode !== "") this.#byInode.set(file.inode, file);
    }
    return this.#byInode;
  }

  #operation(fields: Omit<PendingOperation, "endedAt" | "metadata" | "committed">): PendingOperation {
    const { event, kind, file, path, otherPath, offset, size, replaces } = fields;
    const metadata = kind !== "write";
    // One shape for all, spelled out: this is called for every write of every recovery.
    const op: PendingOperation = {
      event,
      endedAt: undefined,
      kind,
      file,
      path,
      otherPath,
      offset,
      size,
      metadata,
      committed: 0,
      replaces: replaces ?? false,
    };
    if (metadata) this.metadata = [...this.metadata, op];
    this.revision++;
    return op;
  }

  /**
   * Commits every journal in which this sync finds metadata of its own file to write, with all that ended before it
   * began. When another sync overlapped, that one may have written the metadata already, and this one waits for no more
   * than what had ended when its file was last changed.
   */
  #commit(file: DiskFile, before: number, dataOnly: boolean, self?: PendingOperation): void {
    if (this.metadata.length === 0) return;
    const allocated = file.lastAllocation(before, self);
    for (const journal of [journals.ext4, journals.xfs]) {
      let last = allocated;
      for (const op of this.metadata) {
        if (op.endedAt === undefined || op.endedAt >= before || (op.committed & journal) !== 0) continue;
        if (op.event > last && this.#isMetadataOf(file, op, dataOnly && journal === journals.ext4))
          last = op.event;
      }
      if (last < 0) continue;
      const overlapped = this.#syncs.some((sync) => sync.begin < before && (sync.end ?? before) > last);
      this.#commitAll(journal, overlapped ? last : before, last);
    }
  }

  /** @param noTimes a rename or link, which changes only a time of the file itself, does not count. */
  #isMetadataOf(file: DiskFile, op: PendingOperation, noTimes: boolean): boolean {
    if (file.directory && this.#changesDirectory(op, file.id)) return true;
    return op.file === file.id && !(noTimes && ["rename", "link", "unlink"].includes(op.kind));
  }

  #changesDirectory(op: PendingOperation, directory: FileId): boolean {
    const change = this.names.changes.find((one) => one.op === op);
    return change?.assignments.some((one) => one.directory === directory) ?? false;
  }

  /** What ended before event `before`, and the call that began at event `also`. */
  #commitAll(mask: number, before: number, also = -1): void {
    for (const op of this.metadata) {
      if (op.endedAt !== undefined && (op.endedAt < before || op.event === also)) op.committed |= mask;
    }
    this.metadata = this.metadata.filter((op) => (op.committed & everyJournal) !== everyJournal);
  }

  #touched(file: DiskFile): void {
    this.revision++;
    if (file.pending) this.dirty.add(file);
    else this.dirty.delete(file);
  }

  #synced(file: DiskFile | undefined): void {
    if (file !== undefined) this.#touched(file);
    if (file === undefined || file.directory) this.#forgetUnreachable();
  }

  /** Files that no name leads to, nor ever will, have no pending changes that matter. */
  #forgetUnreachable(): void {
    if (this.dirty.size === 0) return;
    const reachable = new Set<FileId>();
    for (const entries of this.names.durable.values()) for (const id of entries.values()) reachable.add(id);
    for (const change of this.names.changes) {
      for (const { to } of change.assignments) if (to !== undefined) reachable.add(to);
    }
    for (const file of this.dirty) if (!reachable.has(file.id)) this.dirty.delete(file);
  }
}

/** The call may commit a journal. */
function isSync({ kind, synchronous }: TraceEvent): boolean {
  return (
    kind === "sync" || kind === "datasync" || kind === "syncfs" || (kind === "write" && synchronous === true)
  );
}

/** The pages of a range; all there are of a file when it has none: an fsync is about a whole file, an msync is not. */
function pagesOf(range: { readonly offset: number; readonly size: number }): { first: number; last: number } {
  if (range.size <= 0) return { first: 0, last: Number.MAX_SAFE_INTEGER };
  const last = Math.floor((range.offset + range.size - 1) / pageBytes);
  return { first: Math.floor(range.offset / pageBytes), last };
}

/** Errors after which Linux marks pages clean that the disk never got. */
function losesPages(result: number): boolean {
  return result === -5 || result === -28 || result === -122; // EIO, ENOSPC, EDQUOT
}
