/**
 * What a file system may leave of pending changes after power loss, as a few independent answers. One profile a file;
 * each is defined in prose there. `crash-space.ts` turns the answers into the set of legal crash states.
 *
 * Common to all profiles: the unit is the page; a page may be at any version it had since its last completed sync; a
 * size may stop at a page boundary on its way from the old to the new one (a long write is not one step for the kernel);
 * rename is atomic; changes of one name reach the disk in their order; a page may be torn between two of its versions.
 */
import type { Journal } from "../../disk/disk-model.ts";

export interface Profile {
  /** The name used by `--profile`. */
  readonly name: string;
  /** One sentence for reports. */
  readonly summary: string;
  /**
   * A journal: changes of names, truncations and fallocates survive as a prefix of their order, and a sync may commit
   * them. `independent`: each survives or not until its directory is synced. `certain`: all that have ended survive.
   */
  readonly metadata: Journal | "independent" | "certain";
  /**
   * What a size that a write made larger says about data: `nothing`; that each *new* page below it (one that had no
   * block on the disk) is there at the version of the write that first reached it, or newer, or zeros; or that the page
   * in which it ends is there at the version of that write or newer.
   */
  readonly sizeFollows: "nothing" | "new-pages" | "last-page";
  /** A committed rename onto an existing file has all data on disk that was written to the file before. */
  readonly renameFlushes: boolean;
}
