/**
 * The names below the data directory: as the page cache has them, as the disk has them for certain, and the changes in
 * between, in the order in which they were made.
 *
 * A change is one call: it assigns one or two directory entries, and does so at once (rename is atomic in every
 * profile). Which changes a crash may leave on the disk is the profile's affair; here is only what makes sense at all:
 * changes of *one* entry reach the disk in their order, so that no state shows a file under a name it had never had
 * together with the others. Links and inodes are not pages: a name and the content behind it are independent.
 */
import type { FileId, PendingOperation } from "./disk-file.ts";

/** Names in a directory. Never changed once made. */
export type Entries = ReadonlyMap<string, FileId>;
/** Entries of every directory, by the directory's id. Never changed once made. */
export type Directories = ReadonlyMap<FileId, Entries>;

export const rootDirectory: FileId = 0;

/** One entry, and what it names from then on. */
export interface Assignment {
  readonly directory: FileId;
  readonly name: string;
  /** `undefined`: the name is gone. */
  readonly to: FileId | undefined;
}

/** What one call did to names. */
export interface NameChange {
  readonly op: PendingOperation;
  readonly assignments: readonly Assignment[];
  /** Earlier pending changes of the same entries: on the disk whenever this one is. */
  readonly after: readonly NameChange[];
  /** The directory whose sync makes it durable: the one that holds the new name, or held the removed one. */
  readonly directory: FileId;
}

/** Where a path leads. */
export interface Place {
  /** The directory that holds the last segment. */
  readonly directory: FileId;
  /** `""` for the data directory itself. */
  readonly name: string;
  readonly file: FileId | undefined;
}

export class DiskNames {
  durable: Directories;
  /** Not yet durable by a sync of their directory, oldest first. */
  changes: readonly NameChange[] = [];
  #live: Directories;
  /** Parts of `#live` that nobody else has seen: they are changed in place. */
  #own:
    | { readonly directories: Map<FileId, Entries>; readonly entries: Map<FileId, Map<string, FileId>> }
    | undefined;
  /** What was listed last. */
  #listed: { readonly entries: Entries; readonly names: readonly string[] } | undefined;

  constructor(directories: Directories) {
    this.durable = directories;
    this.#live = directories;
  }

  /** As the page cache has them. */
  get live(): Directories {
    this.#own = undefined;
    return this.#live;
  }

  /** Names in one directory as the page cache has them now: to be read at once. */
  entriesOf(directory: FileId): Entries | undefined {
    return this.#live.get(directory);
  }

  /** Names in one directory as the page cache has them, sorted by their UTF-16 codes; undefined when it is none. */
  list(directory: FileId): string[] | undefined {
    const entries = this.#live.get(directory);
    if (entries === undefined) return undefined;
    if (this.#listed?.entries !== entries) {
      this.#listed = { entries, names: [...entries.keys()].sort() };
    }
    return this.#listed.names.slice();
  }

  fork(copyOf: (op: PendingOperation) => PendingOperation): DiskNames {
    const copy = new DiskNames(this.durable);
    copy.#live = this.live;
    const copies = new Map<NameChange, NameChange>();
    for (const change of this.changes) {
      const after = change.after.map((one) => copies.get(one)).filter((one) => one !== undefined);
      copies.set(change, { ...change, op: copyOf(change.op), after });
    }
    copy.changes = [...copies.values()];
    return copy;
  }

  /**
   * Follows a path relative to the data directory through the live names; `.`, `sub/.` and `""` are directories.
   *
   * @returns undefined when a directory on the way does not exist (or is a file: see `isDirectory`).
   */
  find(path: string): Place | undefined {
    if (path === "" || path === ".") return { directory: rootDirectory, name: "", file: rootDirectory };
    if (!path.includes("/")) {
      return { directory: rootDirectory, name: path, file: this.#live.get(rootDirectory)?.get(path) };
    }
    const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
    let directory = rootDirectory;
    let place: Place = { directory, name: "", file: rootDirectory };
    for (const [at, name] of segments.entries()) {
      const entries = this.#live.get(directory);
      if (entries === undefined) return undefined;
      const file = entries.get(name);
      place = { directory, name, file };
      if (at < segments.length - 1) {
        if (file === undefined) return undefined;
        directory = file;
      }
    }
    return place;
  }

  isDirectory(file: FileId): boolean {
    return this.#live.has(file);
  }

  /** A new, empty directory: unreachable until a change names it. */
  addDirectory(file: FileId): void {
    this.#live = new Map(this.live).set(file, new Map());
    this.durable = new Map(this.durable).set(file, new Map());
  }

  change(op: PendingOperation, directory: FileId, assignments: readonly Assignment[]): void {
    const after: NameChange[] = [];
    for (const one of assignments) {
      const earlier = this.changes.findLast((change) => assigns(change, one));
      if (earlier !== undefined && !after.includes(earlier)) after.push(earlier);
    }
    this.changes = [...this.changes, { op, assignments, after, directory }];
    for (const one of assignments) this.#assign(one);
  }

  #assign({ directory, name, to }: Assignment): void {
    if (this.#own === undefined) {
      const directories = new Map(this.#live);
      this.#own = { directories, entries: new Map() };
      this.#live = directories;
    }
    let entries = this.#own.entries.get(directory);
    if (entries === undefined) {
      entries = new Map(this.#live.get(directory));
      this.#own.entries.set(directory, entries);
      this.#own.directories.set(directory, entries);
    }
    if (to === undefined) entries.delete(name);
    else entries.set(name, to);
    this.#listed = undefined;
  }

  /** Takes back a call that turned out not to have happened. */
  remove(op: PendingOperation): void {
    if (!this.changes.some((change) => change.op === op)) return;
    this.#keep(this.changes.filter((one) => one.op !== op));
    this.#live = this.with(this.changes);
    this.#own = undefined;
  }

  /** What a successful sync of a directory that began after event `before` makes durable; `undefined`: all directories. */
  sync(directory: FileId | undefined, before: number): void {
    const chosen = new Set<NameChange>();
    for (const change of this.changes) {
      const ended = change.op.endedAt !== undefined && change.op.endedAt < before;
      if (ended && (directory === undefined || change.directory === directory)) include(change, chosen);
    }
    if (chosen.size === 0) return;
    // The page cache shows the same names as before.
    if (chosen.size === this.changes.length) {
      this.durable = this.live;
      this.changes = [];
      return;
    }
    this.durable = this.with(this.changes.filter((change) => chosen.has(change)));
    this.#keep(this.changes.filter((change) => !chosen.has(change)));
  }

  /** The names when only these of the pending changes, which must be in order, are on the disk. */
  with(changes: Iterable<NameChange>): Directories {
    return assigned(
      this.durable,
      [...changes].flatMap((change) => change.assignments),
    );
  }

  #keep(changes: readonly NameChange[]): void {
    // Changes refer to each other by identity, and earlier ones come first.
    const current = new Map<NameChange, NameChange>();
    for (const change of changes) {
      const after = change.after.map((one) => current.get(one)).filter((one) => one !== undefined);
      const same = after.length === change.after.length && after.every((one, at) => one === change.after[at]);
      current.set(change, same ? change : { ...change, after });
    }
    this.changes = [...current.values()];
  }
}

/** Adds a change and all that it builds on: what was chosen before has brought along its own. */
export function include(change: NameChange, chosen: Set<NameChange>): void {
  const left = [change];
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    if (chosen.has(one)) continue;
    chosen.add(one);
    for (const earlier of one.after) left.push(earlier);
  }
}

function assigns(change: NameChange, to: Assignment): boolean {
  for (const one of change.assignments) {
    if (one.name === to.name && one.directory === to.directory) return true;
  }
  return false;
}

function assigned(directories: Directories, assignments: Iterable<Assignment>): Directories {
  const next = new Map(directories);
  const copied = new Map<FileId, Map<string, FileId>>();
  for (const { directory, name, to } of assignments) {
    let entries = copied.get(directory);
    if (entries === undefined) {
      entries = new Map(next.get(directory));
      copied.set(directory, entries);
      next.set(directory, entries);
    }
    if (to === undefined) entries.delete(name);
    else entries.set(name, to);
  }
  return next;
}
