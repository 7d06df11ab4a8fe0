/**
 * One file below the page cache: what of it is durable, and what has been written since, page by page.
 *
 * For each page there is a *chain*: the durable page, then one version for every call that changed it since, each
 * holding all the changes before it (that is what a page cache has in it at that moment). After power loss any version
 * of the chain may be on the disk. A sync moves the start of the chain forward: past every call that had ended before
 * the sync began. A call that had not ended is put behind those that had, so that it stays possible and not certain.
 * The size of the file is a chain of the same kind.
 *
 * A page whose write-back failed (fsyncgate) keeps its place in the chain but is marked `lost`: the page cache shows it,
 * the disk never gets that version, and no later sync covers it, unless a later call changes the same page: then the
 * whole page, lost bytes included, is dirty again.
 */
import { emptyContent, type FileContent, PageContent, pageBytes, zeroPage } from "./pages.ts";

/** Identity of a file or directory: 0 is the data directory; inode numbers are reused, these never are. */
export type FileId = number;

/** A call that changed something, and may not be durable yet. */
export interface PendingOperation {
  /** Index of its begin event. */
  readonly event: number;
  /** Index of its end event; `undefined` while it is in flight, for ever when the process was killed in it. */
  endedAt: number | undefined;
  readonly kind:
    | "write"
    | "truncate"
    | "allocate"
    | "create"
    | "mkdir"
    | "rename"
    | "link"
    | "unlink"
    | "rmdir";
  /** The file it changed (the moved file for a rename). */
  readonly file: FileId;
  /** Relative to the data directory; the new name of a rename or link. */
  readonly path: string;
  readonly otherPath?: string | undefined;
  /** write: where; truncate: the new size; allocate: start. */
  readonly offset: number;
  /** write, allocate: bytes. */
  readonly size: number;
  /** It went through the file system's journal, in order with all others of this kind; false for `write`. */
  readonly metadata: boolean;
  /** Which journals have it on disk for certain: bits of `journals`. */
  committed: number;
  /** A rename onto an existing file. */
  readonly replaces?: boolean;
}

/** What one call did to one page. */
export interface Patch {
  readonly op: PendingOperation;
  /** Bytes within the page. */
  readonly from: number;
  readonly to: number;
  /** `to - from` bytes; `undefined` stands for zeros. */
  readonly bytes: Uint8Array | undefined;
  /**
   * `lost`: written back and failed; this version is not on the disk. `stuck`: a real error of the real kernel: it may
   * or may not be. Neither is covered by a later sync, unless a later patch of the page is. `dirty`: the normal case.
   */
  readonly state: "dirty" | "stuck" | "lost";
}

/** What one call did to the size: `grow` to at least `size`, or `set` it. */
export interface SizeChange {
  readonly op: PendingOperation;
  readonly kind: "grow" | "set";
  readonly size: number;
}

/** The chain of one page. Never changed once made, except that versions are built when first asked for. */
export class DirtyPage {
  /** `undefined`: a hole, no block of the disk belongs to it yet. */
  readonly base: PageContent | undefined;
  readonly patches: readonly Patch[];
  readonly #built: (PageContent | undefined)[] = [];

  constructor(base: PageContent | undefined, patches: readonly Patch[]) {
    this.base = base;
    this.patches = patches;
  }

  /** The page after its first `count` patches; 0 is the durable one. */
  version(count: number): PageContent | undefined {
    if (count === 0) return this.base;
    if (isHole(this.patches[count - 1]!)) return undefined;
    const known = this.#built[count];
    if (known !== undefined) return known;
    const whole = wholePage(this.patches[count - 1]!);
    if (whole !== undefined) {
      this.#built[count] = whole;
      return whole;
    }
    let start = count - 1;
    while (start > 0 && this.#built[start] === undefined) start--;
    const bytes = new Uint8Array(pageBytes);
    const before = start === 0 ? this.base : this.#built[start];
    if (before?.bytes !== undefined) bytes.set(before.bytes);
    for (let i = start; i < count; i++) apply(bytes, this.patches[i]!);
    const made = new PageContent(bytes);
    this.#built[count] = made.bytes === undefined ? zeroPage : made;
    return this.#built[count];
  }

  /** The page as the page cache shows it. */
  get live(): PageContent | undefined {
    return this.version(this.patches.length);
  }

  /** False for a version that certainly never reached the disk. */
  possible(count: number): boolean {
    return count === 0 || this.patches[count - 1]!.state !== "lost";
  }

  with(patch: Patch): DirtyPage {
    if (this.patches.length === 0) return new DirtyPage(this.base, [patch]);
    const next = new DirtyPage(this.base, [...this.patches, patch]);
    for (let i = 1; i < this.#built.length; i++) next.#built[i] = this.#built[i];
    return next;
  }

  fork(copyOf: (op: PendingOperation) => PendingOperation): DirtyPage {
    const copy = new DirtyPage(
      this.base,
      this.patches.map((patch) => ({ ...patch, op: copyOf(patch.op) })),
    );
    for (let i = 1; i < this.#built.length; i++) copy.#built[i] = this.#built[i];
    return copy;
  }
}

/** A file or directory of a disk on which everything is durable. Never changed once made. */
export interface ImageFile {
  readonly id: FileId;
  readonly directory: boolean;
  readonly inode: string;
  /** The path it was made under. */
  readonly path: string;
  readonly content: FileContent;
}

/** One file. Its content objects are immutable, so that copies of it are cheap. */
export class DiskFile {
  readonly id: FileId;
  readonly directory: boolean;
  /** `device:inode` while it lived, `""` when not known. */
  inode: string;
  /** The path it was made under, for sentences. */
  readonly path: string;
  durable: FileContent;
  pages: Map<number, DirtyPage>;
  sizes: readonly SizeChange[];
  /** Renames of this file onto another one, since it had nothing pending. */
  replacing: readonly PendingOperation[] = [];
  /** Changes with everything that changes the file's possible contents. */
  revision = 0;
  #liveSize: number;
  #live: FileContent | undefined;
  #image: ImageFile | undefined;

  constructor(id: FileId, directory: boolean, inode: string, path: string, durable = emptyContent) {
    this.id = id;
    this.directory = directory;
    this.inode = inode;
    this.path = path;
    this.durable = durable;
    this.pages = noPages;
    this.sizes = [];
    this.#liveSize = durable.size;
  }

  /** An independent copy, in which every pending call is replaced by its copy. */
  fork(copyOf: (op: PendingOperation) => PendingOperation): DiskFile {
    const copy = new DiskFile(this.id, this.directory, this.inode, this.path, this.durable);
    if (this.pages.size > 0) {
      copy.pages = new Map();
      for (const [index, page] of this.pages) copy.pages.set(index, page.fork(copyOf));
    }
    copy.sizes = this.sizes.map((change) => ({ ...change, op: copyOf(change.op) }));
    copy.replacing = this.replacing.map(copyOf);
    copy.revision = this.revision;
    copy.#liveSize = this.#liveSize;
    copy.#live = this.#live;
    return copy;
  }

  /** The file with nothing but what is durable. */
  get image(): ImageFile {
    if (this.#image?.content !== this.durable || this.#image.inode !== this.inode) {
      const { id, directory, inode, path, durable } = this;
      this.#image = { id, directory, inode, path, content: durable };
    }
    return this.#image;
  }

  /** Bytes, as the page cache shows it. */
  get size(): number {
    return this.#liveSize;
  }

  get pending(): boolean {
    return this.pages.size > 0 || this.sizes.length > 0;
  }

  /** The content as the page cache shows it. */
  get live(): FileContent {
    if (this.#live === undefined) {
      if (this.pending) {
        const changes = new Map<number, PageContent | undefined>();
        for (const [index, page] of this.pages) changes.set(index, page.live);
        this.#live = this.durable.with(this.size, changes);
      } else {
        this.#live = this.durable;
      }
    }
    return this.#live;
  }

  /** One page as the page cache shows it. */
  livePage(index: number): PageContent | undefined {
    const dirty = this.pages.get(index);
    return dirty === undefined ? this.durable.pages[index] : dirty.live;
  }

  /** Bytes are not copied. */
  write(op: PendingOperation, offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const index = Math.floor((offset + at) / pageBytes);
      const from = offset + at - index * pageBytes;
      const length = Math.min(pageBytes - from, bytes.length - at);
      this.#patch(index, {
        op,
        from,
        to: from + length,
        bytes: bytes.subarray(at, at + length),
        state: "dirty",
      });
      at += length;
    }
    // A larger size that a call in flight may have made is not one to rely on.
    if (bytes.length > 0 && offset + bytes.length > this.#certainlyReached) {
      this.#addSize({ op, kind: "grow", size: offset + bytes.length });
    }
    this.#changed();
  }

  /** Sets the size; what is cut off is zero when the file grows again. */
  truncate(op: PendingOperation, size: number): void {
    if (size < this.size) this.zero(op, size, this.size);
    if (size !== this.size) this.#addSize({ op, kind: "set", size });
    this.#changed();
  }

  /** fallocate without KEEP_SIZE. */
  extend(op: PendingOperation, size: number): void {
    if (size > this.size) this.#addSize({ op, kind: "grow", size });
    this.#changed();
  }

  /** Zeros in the bytes of a range that are not holes. */
  zero(op: PendingOperation, start: number, end: number): void {
    const first = Math.floor(start / pageBytes);
    const last = Math.floor((end - 1) / pageBytes);
    for (const index of this.#pagesIn(first, last)) {
      const from = Math.max(0, start - index * pageBytes);
      const to = Math.min(pageBytes, end - index * pageBytes);
      // Behind the old end of the file a page is zero already, so the rest of its last page goes with it.
      this.#patch(index, {
        op,
        from,
        to: end >= this.size ? pageBytes : to,
        bytes: undefined,
        state: "dirty",
      });
    }
    this.#changed();
  }

  /** Takes back a call that turned out not to have happened. */
  remove(op: PendingOperation): void {
    this.replacing = this.replacing.filter((one) => one !== op);
    for (const [index, page] of this.pages) {
      if (page.patches.some((patch) => patch.op === op)) {
        this.#replace(
          index,
          page.base,
          page.patches.filter((patch) => patch.op !== op),
        );
      }
    }
    this.#setSizes(
      this.durable.size,
      this.sizes.filter((change) => change.op !== op),
    );
    this.#changed();
  }

  /** What a sync that began after event `before` and succeeded makes durable; only pages `first` to `last`. */
  sync(before: number, first = 0, last = Number.MAX_SAFE_INTEGER, self?: PendingOperation): void {
    const covered = (op: PendingOperation) =>
      op === self || (op.endedAt !== undefined && op.endedAt < before);
    if (first === 0 && last === Number.MAX_SAFE_INTEGER && this.#isAll(covered)) {
      this.durable = this.live;
      this.pages = noPages;
      this.sizes = [];
      this.replacing = [];
      this.revision++;
      return;
    }
    const changes = new Map<number, PageContent | undefined>();
    for (const [index, page] of this.pages) {
      if (index < first || index > last) continue;
      if (!page.patches.some((patch) => patch.state === "dirty" && covered(patch.op))) continue;
      const base = pageWith(page, (patch) => covered(patch.op));
      changes.set(index, base);
      this.#replace(index, base, remaining(page, covered));
    }
    const size = sizeWith(
      this.durable.size,
      this.sizes.filter((change) => covered(change.op)),
    );
    if (changes.size > 0 || size !== this.durable.size) this.durable = this.durable.with(size, changes);
    this.#setSizes(
      size,
      this.sizes.filter((change) => !covered(change.op)),
    );
    if (!this.pending) this.replacing = [];
    this.#changed();
  }

  /** Everything pending is dirty and covered. */
  #isAll(covered: (op: PendingOperation) => boolean): boolean {
    for (const { patches } of this.pages.values()) {
      for (const patch of patches) if (patch.state !== "dirty" || !covered(patch.op)) return false;
    }
    return this.sizes.every((change) => covered(change.op));
  }

  /**
   * The write-back of every page in the range failed: pages changed by calls that ended before event `before` are
   * clean from here on, and not on the disk. `stuck`: nobody knows which of them reached it.
   */
  lose(before: number, state: "lost" | "stuck", first = 0, last = Number.MAX_SAFE_INTEGER): void {
    for (const [index, page] of this.pages) {
      if (index < first || index > last) continue;
      const patches = page.patches.map((patch) =>
        patch.state === "dirty" && patch.op.endedAt !== undefined && patch.op.endedAt < before
          ? { ...patch, state }
          : patch,
      );
      this.#replace(index, page.base, patches);
    }
    this.#changed();
  }

  /** As `lose`, and the page cache shows the durable content again (btrfs). */
  revert(before: number): void {
    for (const [index, page] of this.pages) {
      const kept = page.patches.filter(({ op }) => op.endedAt === undefined || op.endedAt >= before);
      this.#replace(index, page.base, kept);
    }
    this.#changed();
  }

  /**
   * The begin event of the last call that gave the file a new size or new blocks, of those that a sync which begins after
   * event `before` has to write; -1 when there is none.
   */
  lastAllocation(before: number, self?: PendingOperation): number {
    let last = -1;
    const consider = ({ op }: { readonly op: PendingOperation }) => {
      const counts = op === self || (op.endedAt !== undefined && op.endedAt < before);
      if (counts && op.event > last) last = op.event;
    };
    this.sizes.forEach(consider);
    for (const page of this.pages.values()) if (page.base === undefined) page.patches.forEach(consider);
    return last;
  }

  /** Every call that is pending in this file, in no order. */
  operations(into: Set<PendingOperation>): void {
    for (const page of this.pages.values()) {
      for (const patch of page.patches) if (patch.state !== "lost") into.add(patch.op);
    }
    for (const change of this.sizes) into.add(change.op);
  }

  #patch(index: number, patch: Patch): void {
    if (this.pages === noPages) this.pages = new Map();
    const page = this.pages.get(index) ?? new DirtyPage(this.durable.pages[index], []);
    this.pages.set(index, page.with(patch));
  }

  #replace(index: number, base: PageContent | undefined, patches: readonly Patch[]): void {
    if (patches.length === 0) this.pages.delete(index);
    else this.pages.set(index, new DirtyPage(base, patches));
  }

  get #certainlyReached(): number {
    if (this.sizes.length === 0) return this.size;
    const ended = this.sizes.filter((change) => change.op.endedAt !== undefined);
    return ended.length === this.sizes.length ? this.size : sizeWith(this.durable.size, ended);
  }

  #addSize(change: SizeChange): void {
    this.#setSizes(this.durable.size, [...this.sizes, change]);
  }

  #setSizes(durable: number, sizes: readonly SizeChange[]): void {
    this.sizes = sizes;
    this.#liveSize = sizeWith(durable, sizes);
  }

  #changed(): void {
    this.revision++;
    this.#live = undefined;
  }

  /** Pages of a range that hold something, dirty or durable. */
  #pagesIn(first: number, last: number): number[] {
    const found: number[] = [];
    for (let index = first; index <= last && index < this.durable.pages.length; index++) {
      if (this.durable.pages[index] !== undefined && !this.pages.has(index)) found.push(index);
    }
    for (const index of this.pages.keys()) if (index >= first && index <= last) found.push(index);
    return found;
  }
}

/** Shared by all files without dirty pages; never written to. */
const noPages: Map<number, DirtyPage> = new Map();

/** Makes in the bytes of a page what the call made. */
export function apply(bytes: Uint8Array, patch: Patch): void {
  if (patch.bytes === undefined) bytes.fill(0, patch.from, patch.to);
  else bytes.set(patch.bytes, patch.from);
}

/** It takes the block away from the file, as a truncation does to a whole page. */
export function isHole(patch: Patch): boolean {
  return patch.bytes === undefined && patch.from === 0 && patch.to === pageBytes;
}

/** A call that wrote all of a page: its bytes can be shared, as nobody changes them. */
function wholePage({ bytes, from, to }: Patch): PageContent | undefined {
  if (bytes === undefined || from !== 0 || to !== pageBytes || bytes.byteOffset % 4 !== 0) return undefined;
  const made = new PageContent(bytes);
  return made.bytes === undefined ? zeroPage : made;
}

/** The durable page after those patches. */
function pageWith(page: DirtyPage, chosen: (patch: Patch) => boolean): PageContent | undefined {
  let prefix = 0;
  while (prefix < page.patches.length && chosen(page.patches[prefix]!)) prefix++;
  if (!page.patches.slice(prefix).some(chosen)) return page.version(prefix);
  return new DirtyPage(page.base, page.patches.filter(chosen)).live;
}

/** The size after these changes. */
export function sizeWith(durable: number, changes: readonly SizeChange[]): number {
  let size = durable;
  for (const change of changes) size = change.kind === "set" ? change.size : Math.max(size, change.size);
  return size;
}

/**
 * The patches that a sync did not cover. Where one began before a covered one and changes the same bytes, the covered
 * bytes stay: what the page cache shows must not change by a sync.
 */
function remaining(page: DirtyPage, covered: (op: PendingOperation) => boolean): Patch[] {
  const left: Patch[] = [];
  page.patches.forEach((patch, at) => {
    if (covered(patch.op)) return;
    const later = page.patches.slice(at + 1).filter((one) => covered(one.op) && overlaps(one, patch));
    left.push(later.reduce(overlaid, patch));
  });
  return left;
}

function overlaps(a: Patch, b: Patch): boolean {
  return a.from < b.to && b.from < a.to;
}

function overlaid(patch: Patch, later: Patch): Patch {
  const bytes = new Uint8Array(patch.to - patch.from);
  if (patch.bytes !== undefined) bytes.set(patch.bytes);
  const from = Math.max(patch.from, later.from);
  const to = Math.min(patch.to, later.to);
  const over = later.bytes?.subarray(from - later.from, to - later.from) ?? new Uint8Array(to - from);
  bytes.set(over, from - patch.from);
  return { ...patch, bytes };
}
