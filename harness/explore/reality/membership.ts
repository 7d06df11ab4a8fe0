/**
 * Whether a directory that was really seen after a power cut is one of the states that a profile allows, and if not,
 * why. Asks the rules directly and lists no states, so that it works with thousands of pending calls.
 *
 * Exact for names, sizes and pages. A page may also be torn: each of its sectors from some version that is allowed.
 */

import type { FileId, PendingOperation } from "../disk/disk-file.ts";
import type { DiskModel } from "../disk/disk-model.ts";
import { type Directories, rootDirectory } from "../disk/disk-names.ts";
import { pageBytes } from "../disk/pages.ts";
import {
  CrashSpace,
  type FileSpace,
  legalVersions,
  type NamesChoice,
  type SizeChoice,
  versionOf,
} from "../states/crash-space.ts";
import { sectorBytes } from "../states/crash-state.ts";
import type { Profile } from "../states/profiles/profile.ts";

/** What was found: contents by path; `undefined` for a directory. */
export type SeenDirectory = ReadonlyMap<string, Uint8Array | undefined>;

/** `undefined` when the model allows it now; otherwise how the nearest allowed choice of names differs, in one sentence. */
export function whyNotAllowed(model: DiskModel, profile: Profile, seen: SeenDirectory): string | undefined {
  const space = new CrashSpace(model, profile);
  const { operations } = space.metadata;
  let nearest: { readonly rank: number; readonly why: string } | undefined;
  for (const wanted of choicesOf(operations)) {
    const names = space.choose(wanted);
    const difference = differenceOf(names, seen);
    if (difference === undefined) return undefined;
    if (nearest === undefined || difference.rank > nearest.rank) nearest = difference;
  }
  return nearest!.why;
}

/** Each prefix, and with each the calls that overlapped its last one; the closure is made by `CrashSpace`. */
function choicesOf(operations: readonly PendingOperation[]): PendingOperation[][] {
  const choices: PendingOperation[][] = [[]];
  operations.forEach((op, at) => {
    const before = operations.slice(0, at);
    const overlapping = before.filter((one) => one.endedAt === undefined || one.endedAt > op.event);
    const settled = before.filter((one) => !overlapping.includes(one));
    for (let mask = 0; mask < 2 ** Math.min(overlapping.length, 6); mask++) {
      choices.push([...settled, ...overlapping.filter((_, bit) => (mask >>> bit) & 1), op]);
    }
  });
  return choices;
}

function differenceOf(
  names: NamesChoice,
  seen: SeenDirectory,
): { readonly rank: number; readonly why: string } | undefined {
  const expected = pathsOf(names.directories);
  for (const path of expected.keys()) {
    if (!seen.has(path))
      return {
        rank: 0,
        why: `${path} is missing, and no allowed prefix of the changes of names explains it`,
      };
  }
  for (const path of seen.keys()) {
    if (!expected.has(path))
      return { rank: 0, why: `${path} is there, and no allowed prefix of the changes of names explains it` };
  }
  let right = 1;
  for (const { id, directory, content } of names.clean) {
    if (directory) continue;
    for (const [path, file] of expected) {
      if (file !== id) continue;
      if (!sameBytes(seen.get(path) ?? noBytes, content.whole())) {
        return {
          rank: right,
          why: `${path} (${seen.get(path)?.length} bytes) has nothing pending, and differs from what is durable (${content.size} bytes)`,
        };
      }
      right++;
    }
  }
  for (const space of names.spaces) {
    const path = space.names[0]!.path;
    const why = fileDifference(space, seen.get(path) ?? noBytes);
    if (why !== undefined) return { rank: right, why: `${path}: ${why}` };
    right++;
  }
  return undefined;
}

const noBytes = new Uint8Array();

function pathsOf(directories: Directories): Map<string, FileId> {
  const paths = new Map<string, FileId>();
  const visit = (directory: FileId, prefix: string) => {
    for (const [name, id] of directories.get(directory) ?? []) {
      paths.set(prefix + name, id);
      visit(id, `${prefix}${name}/`);
    }
  };
  visit(rootDirectory, "");
  return paths;
}

function fileDifference(space: FileSpace, bytes: Uint8Array): string | undefined {
  const sizes = space.sizes.filter((size) => size.size === bytes.length);
  if (sizes.length === 0) {
    return `${bytes.length} bytes, and only ${space.sizes.map((size) => size.size).join(", ")} are possible`;
  }
  let why: string | undefined;
  for (const size of sizes) {
    why = pagesDifference(space, size, bytes);
    if (why === undefined) return undefined;
  }
  return why;
}

function pagesDifference(space: FileSpace, size: SizeChoice, bytes: Uint8Array): string | undefined {
  const pending = new Map(space.pages.map((range) => [range.index, range]));
  for (let index = 0; index * pageBytes < size.size; index++) {
    const start = index * pageBytes;
    const page = bytes.subarray(start, Math.min(start + pageBytes, bytes.length));
    const range = pending.get(index);
    if (range === undefined) {
      if (!sameBytes(page, visible(space.durable.pages[index]?.bytes, page.length))) {
        return `page ${index} has nothing pending, and differs from what is durable`;
      }
      continue;
    }
    const legal = legalVersions(space, range, size);
    const versions = legal.map((at) => visible(versionOf(range, at)?.bytes, page.length));
    if (!bySectors(page, versions)) {
      return `page ${index} of a size of ${size.size} bytes is none of its ${versions.length} possible versions (${legal.join(", ")} of ${range.page.patches.length})`;
    }
  }
  return undefined;
}

function bySectors(page: Uint8Array, versions: readonly Uint8Array[]): boolean {
  if (versions.some((version) => sameBytes(page, version))) return true;
  for (let start = 0; start < page.length; start += sectorBytes) {
    const end = Math.min(start + sectorBytes, page.length);
    if (!versions.some((one) => sameBytes(page.subarray(start, end), one.subarray(start, end)))) return false;
  }
  return true;
}

function visible(bytes: Uint8Array | undefined, length: number): Uint8Array {
  return bytes === undefined ? new Uint8Array(length) : bytes.subarray(0, length);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
