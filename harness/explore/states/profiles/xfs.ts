/**
 * XFS.
 *
 * - Changes of names, truncations and fallocates go through one log and are there as a prefix of their order. A sync
 *   with metadata of its own file to write commits all that ended before; here a rename counts for fdatasync too.
 * - The size grows when the data has arrived: the page in which it ends is there, at the version of the write that made
 *   it so large, or newer. Pages below may not be (their write-back is another one): holes of zeros.
 * - A rename that replaces a file flushes nothing: the new file may be empty.
 *
 * Measured on Linux 6.18 with the shutdown ioctl (harness/explore/reality).
 * Not modelled: the flush at close of a file that had been truncated to 0, real-time and reflinked files.
 */
import type { Profile } from "./profile.ts";

export const xfs: Profile = {
  name: "xfs",
  summary: "XFS: names in order, a size after the data of its last page, no flush by a replacing rename",
  metadata: "xfs",
  sizeFollows: "last-page",
  renameFlushes: false,
};
