/**
 * The crash states that a profile allows of a disk model at one moment, as a product that can be counted without being
 * listed: for each legal choice of metadata on the disk, the names that result, and for each file with pending content
 * the legal sizes and, for each size, the range of versions of each page.
 *
 * Canonical: pages behind the chosen size, and files no name leads to, offer no choice. Different choices may still have
 * equal contents; `enumerate.ts` counts those once.
 */
import {
  apply,
  type DirtyPage,
  type DiskFile,
  type FileId,
  type ImageFile,
  isHole,
  type PendingOperation,
  type SizeChange,
  sizeWith,
} from "../disk/disk-file.ts";
import { type DiskModel, journals } from "../disk/disk-model.ts";
import { type Directories, include, type NameChange, rootDirectory } from "../disk/disk-names.ts";
import { type FileContent, mixHigh, mixLow, PageContent, pageBytes, textHash } from "../disk/pages.ts";
import type { Profile } from "./profiles/profile.ts";

/** One file under one name. */
export interface NamedFile {
  readonly path: string;
  readonly file: DiskFile;
  readonly high: number;
  readonly low: number;
}

/** One legal choice of the metadata on the disk. Stays valid when the model goes on. */
export interface NamesChoice {
  /** The pending metadata operations that are on the disk by this choice, in order. */
  readonly onDisk: readonly PendingOperation[];
  readonly directories: Directories;
  /** Files without pending content, and directories, that some name leads to. */
  readonly clean: readonly ImageFile[];
  /** Files with pending content that some name leads to, and what each may hold. */
  readonly spaces: readonly FileSpace[];
  /** All other names: their share of the state's hash. */
  readonly high: number;
  readonly low: number;
}

/** A legal size of one file. */
export interface SizeChoice {
  /** Bytes. */
  readonly size: number;
  /** How many changes of the size it includes. */
  readonly through: number;
  /** True when it stopped at a page boundary on the way. */
  readonly boundary: boolean;
}

/** Versions of one page that may be on the disk: `low` to `high`, those for which `mayBe`. */
export interface PageRange {
  readonly index: number;
  readonly page: DirtyPage;
  readonly low: number;
  readonly high: number;
  /**
   * Positions of patches that are on the disk whatever the version is: the zeros behind a truncation. They say nothing of
   * what was written before: a file system may have the new size, and not the data.
   */
  readonly zeroed: readonly number[];
}

/** False for a version that is not on the disk, or is the same as the next one. */
export function mayBe({ page, zeroed }: PageRange, version: number): boolean {
  return page.possible(version) && !(zeroed.includes(version) && page.possible(version + 1));
}

/** What is on the disk at a version: also what is on the disk whatever the version is. */
export function versionOf({ page, zeroed }: PageRange, version: number): PageContent | undefined {
  const content = page.version(version);
  if (zeroed.length === 0 || content?.bytes === undefined) return content;
  const later = zeroed.filter((at) => at >= version);
  if (later.length === 0) return content;
  const bytes = content.bytes.slice();
  for (const at of later) apply(bytes, page.patches[at]!);
  return new PageContent(bytes);
}

/** Everything one file may hold, given a choice of metadata. */
export interface FileSpace {
  readonly file: DiskFile;
  readonly durable: FileContent;
  readonly names: readonly NamedFile[];
  readonly changes: readonly SizeChange[];
  readonly sizes: readonly SizeChoice[];
  readonly pages: readonly PageRange[];
  /** The first size change that is a choice. */
  readonly certainSizes: number;
  readonly sizeFollows: Profile["sizeFollows"];
}

/** How metadata may survive at one moment. */
export interface MetadataSpace {
  /** Pending metadata that is a choice, in order. */
  readonly operations: readonly PendingOperation[];
  /** Name changes that are on the disk by every choice, although no directory sync made them durable. */
  readonly certain: readonly NameChange[];
  /** By operation. */
  readonly changes: ReadonlyMap<PendingOperation, NameChange>;
}

/** Every name of one choice of metadata. Does not depend on the contents of files. */
interface Tree {
  readonly directories: Directories;
  readonly named: readonly NamedFile[];
}

/** The legal states of a model under a profile. Follows the model: ask again after it was fed. */
export class CrashSpace {
  readonly model: DiskModel;
  readonly profile: Profile;
  /** What the caches were made for: all three are replaced by the model when they change. */
  #madeFor: readonly unknown[] = [];
  #metadata: MetadataSpace | undefined;
  #trees = new Map<string, Tree>();

  constructor(model: DiskModel, profile: Profile) {
    this.model = model;
    this.profile = profile;
  }

  get metadata(): MetadataSpace {
    const { names, metadata } = this.model;
    const now = [names.changes, names.durable, metadata];
    if (this.#metadata === undefined || now.some((one, at) => one !== this.#madeFor[at])) {
      this.#madeFor = now;
      this.#trees = new Map();
      this.#metadata = metadataSpace(this.model, this.profile);
    }
    return this.#metadata;
  }

  /**
   * The choice with these pending operations on the disk; what they build on is added, and under a journal everything
   * that had ended before the last of them began.
   */
  choose(wanted: Iterable<PendingOperation>): NamesChoice {
    const { metadata, model, profile } = this;
    const onDisk = legalMetadata(profile, metadata, wanted);
    const { directories, named } = this.#tree(metadata, onDisk);
    const bounds = boundsOf(profile, metadata, onDisk);
    const clean: ImageFile[] = [];
    const dirty = new Map<DiskFile, NamedFile[]>();
    let high = 0;
    let low = 0;
    for (const name of named) {
      const { file } = name;
      if (model.dirty.has(file)) {
        const names = dirty.get(file);
        if (names === undefined) dirty.set(file, [name]);
        else names.push(name);
        continue;
      }
      const { durable } = file;
      clean.push(file.image);
      high += mixHigh(name.high, file.directory ? directoryMark : durable.high);
      low += mixLow(name.low, file.directory ? directoryMark : durable.low);
    }
    const spaces = [...dirty].map(([file, names]) => fileSpace(profile, file, names, bounds));
    return { onDisk, directories, clean, spaces, high: high >>> 0, low: low >>> 0 };
  }

  #tree(metadata: MetadataSpace, onDisk: readonly PendingOperation[]): Tree {
    const key = onDisk.map((op) => op.event).join();
    let tree = this.#trees.get(key);
    if (tree === undefined) {
      const chosen = new Set<NameChange>(metadata.certain);
      for (const op of onDisk) {
        const change = metadata.changes.get(op);
        if (change !== undefined) chosen.add(change);
      }
      const { names } = this.model;
      const directories = names.with(names.changes.filter((change) => chosen.has(change)));
      tree = { directories, named: allNames(this.model, directories) };
      this.#trees.set(key, tree);
    }
    return tree;
  }
}

/** See `CrashSpace.metadata`. */
export function metadataSpace(model: DiskModel, profile: Profile): MetadataSpace {
  const changes = new Map(model.names.changes.map((change) => [change.op, change]));
  const kind = profile.metadata;
  if (kind === "independent") {
    return { operations: model.names.changes.map((change) => change.op), certain: [], changes };
  }
  if (kind === "certain") {
    const ended = model.names.changes.filter((change) => change.op.endedAt !== undefined);
    return { operations: model.metadata.filter((op) => op.endedAt === undefined), certain: ended, changes };
  }
  const bit = journals[kind];
  return {
    operations: model.metadata.filter((op) => (op.committed & bit) === 0),
    certain: model.names.changes.filter((change) => (change.op.committed & bit) !== 0),
    changes,
  };
}

/** See `CrashSpace.choose`. */
export function namesChoice(
  model: DiskModel,
  profile: Profile,
  _space: MetadataSpace,
  wanted: Iterable<PendingOperation>,
): NamesChoice {
  return new CrashSpace(model, profile).choose(wanted);
}

function legalMetadata(
  profile: Profile,
  space: MetadataSpace,
  wanted: Iterable<PendingOperation>,
): readonly PendingOperation[] {
  if (profile.metadata !== "independent") {
    const set = new Set(wanted);
    let lastBegin = -1;
    for (const op of set) lastBegin = Math.max(lastBegin, op.event);
    return space.operations.filter(
      (op) => set.has(op) || (op.endedAt !== undefined && op.endedAt < lastBegin),
    );
  }
  const chosen = new Set<NameChange>();
  for (const op of wanted) {
    const change = space.changes.get(op);
    if (change !== undefined) include(change, chosen);
  }
  return space.operations.filter((op) => chosen.has(space.changes.get(op)!));
}

/** What a choice of metadata says about the contents of files. */
interface Bounds {
  readonly profile: Profile;
  /** The operation is on the disk for certain. */
  certain(op: PendingOperation): boolean;
  /** The operation cannot be on the disk. */
  impossible(op: PendingOperation): boolean;
  /** What the operation allocated, or the size it reached, cannot be on the disk: earlier metadata is not. */
  tooEarly(op: PendingOperation): boolean;
  /** This rename onto an existing file is on the disk, and had the data of new pages flushed. */
  isOnDisk(rename: PendingOperation): boolean;
}

function boundsOf(profile: Profile, space: MetadataSpace, onDisk: readonly PendingOperation[]): Bounds {
  const kind = profile.metadata;
  if (kind === "independent") {
    return {
      profile,
      certain: no,
      impossible: no,
      tooEarly: no,
      isOnDisk: no,
    };
  }
  const there = new Set(onDisk);
  if (kind === "certain") {
    const certain = (op: PendingOperation) => op.endedAt !== undefined || there.has(op);
    const impossible = (op: PendingOperation) => op.metadata && !certain(op);
    return { profile, certain, impossible, tooEarly: no, isOnDisk: no };
  }
  const bit = journals[kind];
  const firstLost = space.operations.reduce(
    (first, op) => (there.has(op) ? first : Math.min(first, op.endedAt ?? first)),
    Number.MAX_SAFE_INTEGER,
  );
  const onDiskFor = (op: PendingOperation) => (op.committed & bit) !== 0 || there.has(op);
  return {
    profile,
    certain: (op) => op.metadata && onDiskFor(op),
    impossible: (op) => op.metadata && !onDiskFor(op),
    tooEarly: (op) => !op.metadata && firstLost < op.event,
    isOnDisk: (rename) => profile.renameFlushes && onDiskFor(rename),
  };
}

const no = () => false;

function endedBefore(op: PendingOperation, other: PendingOperation | undefined): boolean {
  return other !== undefined && op.endedAt !== undefined && op.endedAt < other.event;
}

function fileSpace(profile: Profile, file: DiskFile, names: readonly NamedFile[], bounds: Bounds): FileSpace {
  const flush = file.replacing.findLast((rename) => bounds.isOnDisk(rename));
  const certain = (op: PendingOperation) => bounds.certain(op) || endedBefore(op, flush);
  let firstSize = 0;
  file.sizes.forEach((change, at) => {
    if (certain(change.op)) firstSize = at + 1;
  });
  const sizes = sizeChoices(file, firstSize, bounds);
  const pages: PageRange[] = [];
  for (const [index, page] of file.pages) pages.push(pageRange(index, file, page, bounds));
  const { durable, sizes: changes } = file;
  const { sizeFollows } = profile;
  return { file, durable, names, changes, sizes, pages, certainSizes: firstSize, sizeFollows };
}

function sizeChoices(file: DiskFile, first: number, bounds: Bounds): SizeChoice[] {
  let size = sizeWith(file.durable.size, file.sizes.slice(0, first));
  const choices: SizeChoice[] = [{ size, through: first, boundary: false }];
  for (let at = first; at < file.sizes.length; at++) {
    const change = file.sizes[at]!;
    if (bounds.impossible(change.op) || bounds.tooEarly(change.op)) break;
    const next = change.kind === "set" ? change.size : Math.max(size, change.size);
    if (next === size) continue;
    if (!change.op.metadata) {
      for (let stop = (Math.floor(size / pageBytes) + 1) * pageBytes; stop < next; stop += pageBytes) {
        choices.push({ size: stop, through: at + 1, boundary: true });
      }
    }
    choices.push({ size: next, through: at + 1, boundary: false });
    size = next;
  }
  return choices;
}

function pageRange(index: number, file: DiskFile, page: DirtyPage, bounds: Bounds): PageRange {
  let low = 0;
  const zeroed: number[] = [];
  page.patches.forEach((patch, at) => {
    if (patch.state !== "dirty" || !bounds.certain(patch.op)) return;
    if (patch.op.metadata && !isHole(patch)) zeroed.push(at);
    else low = at + 1;
  });
  // The first rename after a page without a block was written gives it one and flushes it. Later ones find a block, and
  // leave what was written since where it is. What was written before a truncation took the block away does not count.
  const written = page.patches.slice(low).filter((patch) => !isHole(patch));
  const flush = file.replacing.find((rename) => written.some(({ op }) => endedBefore(op, rename)));
  if (flush !== undefined && page.version(low) === undefined && bounds.isOnDisk(flush)) {
    while (low < page.patches.length && endedBefore(page.patches[low]!.op, flush)) low++;
  }
  let high = low;
  while (high < page.patches.length) {
    const patch = page.patches[high]!;
    // Blocks go and come with the journal; bytes in a block that stays do not wait for it.
    if (isHole(patch) && bounds.impossible(patch.op)) break;
    if (page.version(high) === undefined && bounds.tooEarly(patch.op)) break;
    high++;
  }
  return { index, page, low, high, zeroed: zeroed.filter((at) => at >= low) };
}

/** The oldest version that the page may be at together with that size, once it was written back at all. */
export function oldestVersion(space: FileSpace, range: PageRange, choice: SizeChoice): number {
  if (space.sizeFollows === "nothing" || choice.through === space.certainSizes) return range.low;
  const growth =
    space.sizeFollows === "last-page"
      ? lastPageGrowth(space, range, choice)
      : firstGrowthOver(space, range, choice);
  if (growth === undefined) return range.low;
  let oldest = range.low;
  for (let at = range.low; at < range.high; at++) {
    if (range.page.patches[at]!.op.event <= growth.event) oldest = at + 1;
  }
  // A page whose write-back failed is not there although the size may be.
  for (let at = oldest; at <= range.high; at++) if (mayBe(range, at)) return oldest;
  return range.low;
}

/** XFS: the page in which the size ends is as new as the write that made it end there. */
function lastPageGrowth(
  { changes }: FileSpace,
  { index }: PageRange,
  { size, through }: SizeChoice,
): PendingOperation | undefined {
  const change = changes[through - 1]!;
  return change.op.metadata || Math.ceil(size / pageBytes) - 1 !== index ? undefined : change.op;
}

/** ext4: a new page is as new as the write that first made the file reach it. */
function firstGrowthOver(
  { durable, changes, certainSizes }: FileSpace,
  { index, page, low }: PageRange,
  { through }: SizeChoice,
): PendingOperation | undefined {
  if (page.version(low) !== undefined) return undefined;
  const start = index * pageBytes;
  let before = sizeWith(durable.size, changes.slice(0, certainSizes));
  if (before >= start + pageBytes) return undefined;
  for (let at = certainSizes; at < through; at++) {
    const change = changes[at]!;
    const after = change.kind === "set" ? change.size : Math.max(before, change.size);
    if (!change.op.metadata && after > before && after > start) return change.op;
    before = after;
  }
  return undefined;
}

/** All versions that the page may be at together with that size, oldest first; never empty. */
export function legalVersions(space: FileSpace, range: PageRange, choice: SizeChoice): number[] {
  const oldest = oldestVersion(space, range, choice);
  const legal: number[] = [];
  // ext4 sets the size when the write-back of new blocks has begun: until it has ended they read as zeros.
  if (oldest > range.low && space.sizeFollows === "new-pages") legal.push(range.low);
  for (let at = oldest; at <= range.high; at++) if (mayBe(range, at)) legal.push(at);
  return legal.length > 0 ? legal : [oldest];
}

/** How many contents the file may have by choice; over 2^53 it is Infinity. */
export function countFile(space: FileSpace): number {
  if (space.sizes.length * space.pages.length > 4_000_000) return Number.POSITIVE_INFINITY;
  let count = 0;
  for (const choice of space.sizes) {
    let combinations = 1;
    for (const range of space.pages) {
      if (range.index * pageBytes >= choice.size) continue;
      combinations *= legalVersions(space, range, choice).length;
    }
    count += combinations;
  }
  return count;
}

function allNames(model: DiskModel, directories: Directories): NamedFile[] {
  const named: NamedFile[] = [];
  const visit = (directory: FileId, prefix: string, depth: number) => {
    for (const [name, id] of directories.get(directory) ?? []) {
      const path = prefix + name;
      const file = model.file(id);
      named.push({ path, file, ...pathHash(path) });
      if (file.directory && depth < deepest) visit(id, `${path}/`, depth + 1);
    }
  };
  visit(rootDirectory, "", 0);
  return named;
}

/** In place of a directory's content, in hashes of states. */
export const directoryMark = 0x44495220;
/** Deeper than any path; a directory moved into itself by half of a state must not hang the walk. */
const deepest = 256;

const pathHashes = new Map<string, { readonly high: number; readonly low: number }>();

/** Of one name, from the root; kept, since thousands of states have the same names. */
export function pathHash(path: string): { readonly high: number; readonly low: number } {
  let known = pathHashes.get(path);
  if (known === undefined) {
    if (pathHashes.size > 100_000) pathHashes.clear();
    known = { high: textHash(path, 0x811c9dc5), low: textHash(path, 0x2f0b4c47) };
    pathHashes.set(path, known);
  }
  return known;
}
