/** The data directory as tracing began, as a disk on which everything is durable. */
import type { FileId, ImageFile } from "./disk-file.ts";
import type { DiskImage } from "./disk-model.ts";
import { rootDirectory } from "./disk-names.ts";
import { emptyContent, type FileContent } from "./pages.ts";

/** A file or directory of the data directory as tracing began; parents before what is in them. */
export interface BaseFile {
  /** Relative to the data directory; `.` is the directory itself. */
  readonly path: string;
  /** `device:inode`. */
  readonly inode: string;
  readonly directory: boolean;
  /** For files. */
  readonly content?: FileContent;
}

/** The start of a trace: everything in the data directory is taken to be durable. */
export function baseImage(base: readonly BaseFile[]): DiskImage {
  const files = new Map<FileId, ImageFile>();
  const directories = new Map<FileId, Map<string, FileId>>();
  const byPath = new Map<string, FileId>();
  const add = (id: FileId, one: BaseFile) => {
    files.set(id, { ...one, id, content: one.content ?? emptyContent });
    if (one.directory) directories.set(id, new Map());
    byPath.set(one.path, id);
  };
  const root = base.find((one) => one.path === "." || one.path === "");
  add(rootDirectory, { path: ".", inode: root?.inode ?? "", directory: true });
  let next = rootDirectory + 1;
  for (const one of base) {
    if (one === root) continue;
    const slash = one.path.lastIndexOf("/");
    const parent = byPath.get(slash < 0 ? "." : one.path.slice(0, slash));
    const entries = parent === undefined ? undefined : directories.get(parent);
    if (entries === undefined) throw new Error(`the base image lists ${one.path} before its directory`);
    entries.set(one.path.slice(slash + 1), next);
    add(next++, one);
  }
  return { files, directories, nextFile: next };
}
