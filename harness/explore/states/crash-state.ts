/**
 * One state that a crash may leave on the disk: as an image to recover from (in memory, or written into a real
 * directory), as JSON that replays it exactly from the same trace, and as sentences.
 *
 * A state stays valid when the model it came from goes on: everything it refers to is immutable.
 */
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TraceEvent } from "../../../faults/contract.ts";
import type { FileId, ImageFile, Patch, PendingOperation } from "../disk/disk-file.ts";
import { type DiskImage, DiskModel } from "../disk/disk-model.ts";
import { type Directories, rootDirectory } from "../disk/disk-names.ts";
import {
  type FileContent,
  mixHigh,
  mixLow,
  PageContent,
  pageBytes,
  pageHigh,
  pageLow,
  sizeHigh,
  sizeLow,
} from "../disk/pages.ts";
import {
  CrashSpace,
  directoryMark,
  type FileSpace,
  type NamesChoice,
  type PageRange,
  pathHash,
  type SizeChoice,
  versionOf,
} from "./crash-space.ts";
import { profileByName } from "./profiles/index.ts";
import type { Profile } from "./profiles/profile.ts";

/** The unit in which a disk writes a part of a page at once, bytes. */
export const sectorBytes = 512;

/** A page that holds sectors of two of its versions. */
export interface Tear {
  /** Position in `FileSpace.pages`. */
  readonly at: number;
  /** The version in the sectors whose bit is not set. */
  readonly older: number;
  /** Bit i: sector i of the page is at the chosen version. */
  readonly mask: number;
}

/** What one file holds in one state. */
export class FileChoice {
  readonly space: FileSpace;
  readonly size: SizeChoice;
  /** For each of `space.pages`, the version on the disk; without meaning behind the size. */
  readonly versions: readonly number[];
  readonly tear: Tear | undefined;
  readonly high: number;
  readonly low: number;
  #content: FileContent | undefined;

  constructor(space: FileSpace, size: SizeChoice, versions: readonly number[], tear?: Tear) {
    this.space = space;
    this.size = size;
    this.versions = versions;
    this.tear = tear;
    const { durable } = space;
    if (size.size < durable.size) {
      this.high = this.content.high;
      this.low = this.content.low;
      return;
    }
    // The same sums as in FileContent, from what changes only.
    let high = durable.high - sizeHigh(durable.size) + sizeHigh(size.size);
    let low = durable.low - sizeLow(durable.size) + sizeLow(size.size);
    space.pages.forEach(({ index }, at) => {
      if (index * pageBytes >= size.size) return;
      const page = this.#visible(at);
      const before = durable.pages[index];
      high += pageHigh(index, page) - pageHigh(index, before);
      low += pageLow(index, page) - pageLow(index, before);
    });
    this.high = high >>> 0;
    this.low = low >>> 0;
  }

  get content(): FileContent {
    if (this.#content === undefined) {
      const changes = new Map<number, PageContent | undefined>();
      this.space.pages.forEach(({ index }, at) => {
        if (index * pageBytes < this.size.size) changes.set(index, this.#visible(at));
      });
      this.#content = this.space.durable.with(this.size.size, changes);
    }
    return this.#content;
  }

  #visible(at: number): PageContent | undefined {
    const range = this.space.pages[at]!;
    const { index } = range;
    let content = versionOf(range, this.versions[at]!);
    if (this.tear?.at === at) content = torn(versionOf(range, this.tear.older), content, this.tear.mask);
    const tail = this.size.size - index * pageBytes;
    return tail < pageBytes ? content?.cut(tail) : content;
  }
}

function torn(older: PageContent | undefined, newer: PageContent | undefined, mask: number): PageContent {
  const bytes = new Uint8Array(pageBytes);
  for (let sector = 0; sector < pageBytes / sectorBytes; sector++) {
    const from = (mask >>> sector) & 1 ? newer : older;
    const start = sector * sectorBytes;
    if (from?.bytes !== undefined) bytes.set(from.bytes.subarray(start, start + sectorBytes), start);
  }
  return new PageContent(bytes);
}

/** What was pending at one crash point: shared by all its states. */
export interface PendingThings {
  /** Power was lost after this event. */
  readonly event: number;
  readonly profile: Profile;
  /** Everything that is a choice, in the order of the begin events. */
  readonly operations: readonly PendingOperation[];
  readonly nextFile: FileId;
  readonly root: ImageFile;
}

export class CrashState {
  readonly point: PendingThings;
  readonly names: NamesChoice;
  /** One for each of `names.spaces`. */
  readonly files: readonly FileChoice[];
  /** 64-bit hash of all names and contents, as two unsigned 32-bit numbers. */
  readonly high: number;
  readonly low: number;
  #image: DiskImage | undefined;

  constructor(point: PendingThings, names: NamesChoice, files: readonly FileChoice[]) {
    this.point = point;
    this.names = names;
    this.files = files;
    let { high, low } = names;
    for (const file of files) {
      for (const name of file.space.names) {
        high += mixHigh(name.high, file.high);
        low += mixLow(name.low, file.low);
      }
    }
    this.high = high >>> 0;
    this.low = low >>> 0;
  }

  /** 53 bits of the hash as one number, for keys of maps; equal states have equal identities. */
  get identity(): number {
    return identityOf(this.high, this.low);
  }

  /** The whole disk. Costs microseconds: everything that the state did not change is shared. */
  get image(): DiskImage {
    if (this.#image === undefined) {
      const files = new Map<FileId, ImageFile>();
      files.set(rootDirectory, this.point.root);
      for (const file of this.names.clean) files.set(file.id, file);
      for (const { space, content } of this.files) {
        const { id, directory, inode, path } = space.file;
        files.set(id, { id, directory, inode, path, content });
      }
      this.#image = { files, directories: this.names.directories, nextFile: this.point.nextFile };
    }
    return this.#image;
  }

  /** Plain JSON; `crashStateOf` makes the same state of it. */
  get choice(): CrashChoice {
    return {
      formatVersion: 1,
      profile: this.point.profile.name,
      event: this.point.event,
      metadata: this.names.onDisk.map((op) => op.event),
      files: this.files.map(choiceOf),
    };
  }

  /** One sentence for each pending operation that is on the disk, and for each that is not, or not wholly. */
  describe(): { onDisk: string[]; notOnDisk: string[] } {
    const onDisk: string[] = [];
    const notOnDisk: string[] = [];
    const metadata = new Set(this.names.onDisk);
    for (const op of this.point.operations) {
      const choice = this.files.find(({ space }) => space.file.id === op.file);
      const inOrder = op.metadata && this.point.profile.metadata !== "independent";
      if (inOrder || (op.metadata && op.kind !== "truncate" && op.kind !== "allocate")) {
        (metadata.has(op) ? onDisk : notOnDisk).push(sentence(op));
      } else if (choice === undefined) {
        notOnDisk.push(`${sentence(op)}: no name leads to the file`);
      } else {
        const missing = missingOf(op, choice);
        if (missing === "") onDisk.push(sentence(op));
        else notOnDisk.push(sentence(op) + missing);
      }
    }
    return { onDisk, notOnDisk };
  }
}

/** Exactly one crash state, given the base image and the trace: what a finding keeps for its replay. */
export interface CrashChoice {
  readonly formatVersion: 1;
  readonly profile: string;
  /** Power was lost after this event of the trace (its index). */
  readonly event: number;
  /** Begin events of the pending metadata operations that were on the disk. */
  readonly metadata: readonly number[];
  readonly files: readonly {
    /** Identity by creation, counted from the base image. */
    readonly file: FileId;
    /** For the reader. */
    readonly path: string;
    readonly size: number;
    /** How many pending changes of the size were on the disk, and whether it stopped at a page boundary. */
    readonly sizeChanges: number;
    readonly boundary: boolean;
    /** `[page, begin event of the last call whose bytes are in it]`; -1: as it was durable before. */
    readonly pages: readonly (readonly [page: number, event: number])[];
    /** Sectors whose bit in `mask` is not set are older: as after the call that began at `olderEvent`. */
    readonly tear?: { readonly page: number; readonly olderEvent: number; readonly mask: number };
  }[];
}

function choiceOf({ space, size, versions, tear }: FileChoice): CrashChoice["files"][number] {
  const eventOf = ({ page }: PageRange, version: number) =>
    version === 0 ? -1 : page.patches[version - 1]!.op.event;
  const visible = space.pages
    .map((range, at) => [range.index, eventOf(range, versions[at]!)] as const)
    .filter(([index]) => index * pageBytes < size.size);
  const common = {
    file: space.file.id,
    path: space.names[0]!.path,
    size: size.size,
    sizeChanges: size.through,
    boundary: size.boundary,
    pages: visible,
  };
  if (tear === undefined) return common;
  const range = space.pages[tear.at]!;
  return {
    ...common,
    tear: { page: range.index, olderEvent: eventOf(range, tear.older), mask: tear.mask },
  };
}

/**
 * The state that a choice describes.
 *
 * @param model fed with the events up to and including `choice.event`.
 * @throws Error with one sentence when the model offers no such choice: another trace, or another version of acked.
 */
export function crashStateOf(model: DiskModel, choice: CrashChoice): CrashState {
  if (choice.formatVersion !== 1)
    throw new Error(`a crash state of format ${choice.formatVersion} is not known here`);
  if (model.event !== choice.event) {
    throw new Error(
      `the crash state is one after event ${choice.event}, and the disk model is at ${model.event}`,
    );
  }
  const all = new CrashSpace(model, profileByName(choice.profile));
  const wanted = new Set(choice.metadata);
  const names = all.choose(all.metadata.operations.filter((op) => wanted.has(op.event)));
  if (names.onDisk.length !== choice.metadata.length) {
    throw new Error(`the trace does not allow the names of this crash state at event ${choice.event}`);
  }
  const files = names.spaces.map((space) => {
    const chosen = choice.files.find((one) => one.file === space.file.id);
    if (chosen === undefined) throw new Error(`the crash state does not say what ${space.file.path} held`);
    return fileChoiceOf(space, chosen);
  });
  return new CrashState(pendingIn(all), names, files);
}

function fileChoiceOf(space: FileSpace, chosen: CrashChoice["files"][number]): FileChoice {
  const size = space.sizes.find(
    (one) =>
      one.through === chosen.sizeChanges && one.size === chosen.size && one.boundary === chosen.boundary,
  );
  if (size === undefined)
    throw new Error(`the trace does not allow ${chosen.path} to have ${chosen.size} bytes`);
  const versionAfter = ({ page, index, low }: PageRange, event: number | undefined) => {
    if (event === undefined) return low;
    const version = event === -1 ? 0 : page.patches.findIndex((patch) => patch.op.event === event) + 1;
    if (version > 0 || event === -1) return version;
    throw new Error(`no call that began at event ${event} wrote to page ${index} of ${chosen.path}`);
  };
  const events = new Map(chosen.pages);
  const versions = space.pages.map((range) => versionAfter(range, events.get(range.index)));
  if (chosen.tear === undefined) return new FileChoice(space, size, versions);
  const { page, olderEvent, mask } = chosen.tear;
  const at = space.pages.findIndex((range) => range.index === page);
  if (at < 0) throw new Error(`page ${page} of ${chosen.path} was not pending`);
  return new FileChoice(space, size, versions, {
    at,
    older: versionAfter(space.pages[at]!, olderEvent),
    mask,
  });
}

/** What is pending in a model under a profile, and may or may not be on the disk. */
export function pendingThings(model: DiskModel, profile: Profile): PendingThings {
  return pendingIn(new CrashSpace(model, profile));
}

export function pendingIn(all: CrashSpace): PendingThings {
  const { model, profile, metadata } = all;
  const operations = new Set(metadata.operations);
  for (const space of all.choose(metadata.operations).spaces) {
    for (const { page, low, high } of space.pages) {
      for (let at = low; at < high; at++) {
        if (page.patches[at]!.state !== "lost") operations.add(page.patches[at]!.op);
      }
    }
    for (const change of space.changes.slice(space.certainSizes)) operations.add(change.op);
  }
  return {
    event: model.event,
    profile,
    operations: [...operations].sort((a, b) => a.event - b.event),
    nextFile: model.nextFile,
    root: model.file(rootDirectory).image,
  };
}

/** `""` when all of it is there; otherwise what is, as the rest of a sentence. */
function missingOf(op: PendingOperation, { space, size, versions, tear }: FileChoice): string {
  const there: number[] = [];
  const gone: number[] = [];
  let tornPage = "";
  space.pages.forEach(({ index, page }, at) => {
    const position = page.patches.findIndex((patch) => patch.op === op);
    if (position < 0) return;
    const visible = index * pageBytes + visibleFrom(page.patches[position]!) < size.size;
    const chosen = visible && versions[at]! > position;
    (chosen ? there : gone).push(index);
    if (chosen && tear?.at === at && tear.older <= position) {
      tornPage = `: of page ${index} only the sectors ${sectors(tear.mask)} (of ${sectorBytes} bytes) are new`;
    }
  });
  const sized = space.changes.findIndex((change) => change.op === op);
  if (tornPage !== "") return tornPage;
  if (gone.length === 0) return sized >= size.through ? ": the size is still the old one" : "";
  return there.length === 0 ? ": none of it" : `: only its pages ${there.join(", ")}, not ${gone.join(", ")}`;
}

function visibleFrom(patch: Patch): number {
  return patch.bytes === undefined ? 0 : patch.from;
}

function sectors(mask: number): string {
  return [0, 1, 2, 3, 4, 5, 6, 7].filter((sector) => (mask >>> sector) & 1).join(", ");
}

/** `write of 312 bytes to segment-3.log at 8192 (ended at event 812)`. */
export function sentence(op: PendingOperation): string {
  const when =
    op.endedAt === undefined ? `in flight since event ${op.event}` : `ended at event ${op.endedAt}`;
  return `${whatItDid(op)} (${when})`;
}

function whatItDid({ kind, path, otherPath, offset, size }: PendingOperation): string {
  switch (kind) {
    case "write":
      return `write of ${size} bytes to ${path} at ${offset}`;
    case "truncate":
      return `truncation of ${path} to ${offset} bytes`;
    case "allocate":
      return `allocation of ${size} bytes at ${offset} in ${path}`;
    case "create":
      return `new file ${path}`;
    case "mkdir":
      return `new directory ${path}`;
    case "rename":
      return `rename of ${otherPath} to ${path}`;
    case "link":
      return `link of ${otherPath} as ${path}`;
    case "unlink":
      return `removal of ${path}`;
    case "rmdir":
      return `removal of the directory ${path}`;
  }
}

/**
 * The identity of the crash state that holds what the page cache shows, all names and contents: for whoever reads, the
 * two are the same disk, whatever is pending on one of them.
 */
export function liveIdentity({ names, files }: DiskModel): number {
  let high = 0;
  let low = 0;
  const visit = (directory: FileId, prefix: string) => {
    for (const [name, id] of names.entriesOf(directory) ?? []) {
      const path = prefix + name;
      const hash = pathHash(path);
      const file = files.get(id)!;
      const content = file.directory ? undefined : file.live;
      high = (high + mixHigh(hash.high, content?.high ?? directoryMark)) >>> 0;
      low = (low + mixLow(hash.low, content?.low ?? directoryMark)) >>> 0;
      if (file.directory) visit(id, `${path}/`);
    }
  };
  visit(rootDirectory, "");
  return identityOf(high, low);
}

function identityOf(high: number, low: number): number {
  return (high & 0x1fffff) * 0x100000000 + low;
}

/** The disk as the page cache shows it: what a restart after a process crash finds. */
export function liveImage(model: DiskModel): DiskImage {
  return imageWith(model, model.names.live, (id) => model.file(id).live);
}

function imageWith(
  model: DiskModel,
  directories: Directories,
  contentOf: (id: FileId) => FileContent,
): DiskImage {
  const files = new Map<FileId, ImageFile>();
  const add = (id: FileId) => {
    const { directory, inode, path } = model.file(id);
    files.set(id, { id, directory, inode, path, content: contentOf(id) });
  };
  add(rootDirectory);
  for (const entries of directories.values()) for (const id of entries.values()) add(id);
  return { files, directories, nextFile: model.nextFile };
}

/** Writes an image into an empty directory that exists. Two names of one file become hard links. */
export function writeImage(image: DiskImage, target: string): void {
  const written = new Map<FileId, string>();
  const visit = (directory: FileId, path: string) => {
    for (const [name, id] of image.directories.get(directory) ?? []) {
      const file = image.files.get(id)!;
      const place = join(path, name);
      const first = written.get(id);
      if (file.directory) {
        mkdirSync(place);
        visit(id, place);
      } else if (first !== undefined) {
        linkSync(first, place);
      } else {
        writeFileSync(place, file.content.whole());
        written.set(id, place);
      }
    }
  };
  visit(rootDirectory, target);
}

/** The disk after following a trace up to and including one event. */
export function modelAt(image: DiskImage, events: readonly TraceEvent[], event: number): DiskModel {
  const model = new DiskModel(image);
  for (const one of events) {
    if (one.index > event) break;
    model.feed(one);
  }
  return model;
}
