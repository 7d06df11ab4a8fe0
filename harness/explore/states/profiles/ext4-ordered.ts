/**
 * ext4 as it is mounted by default (data=ordered, delayed allocation, auto_da_alloc): the gate.
 *
 * - Changes of names, truncations and fallocates go through one journal: after power loss they are there as a prefix of
 *   their order. Any prefix that holds everything committed: the journal commits by itself at any time. Calls that
 *   overlapped in time may have come in either order.
 * - A sync commits all that ended before it began, *if* it has metadata of its own file to write: the file was created,
 *   truncated, fallocated or became larger, or got its first data in a page, or (fsync only) was renamed or linked, and
 *   nothing has committed that since. An fdatasync that only overwrites commits nothing, not even a rename of the very
 *   file; an fsync that only overwrites commits when the clock of file times has ticked in between, which no program
 *   can rely on. The sync of a directory with changed names always commits.
 *   If another sync overlapped, it may have written that metadata already: then only what had ended when the file (or
 *   directory) was last changed is committed.
 * - Overwrites in place are not ordered: any version of each page.
 * - A write that makes the file larger changes the size on disk when the write-back of new pages has begun, and after all
 *   earlier metadata: a new page below it is at the version of the write that first reached it, or newer, or still zeros
 *   (its blocks are marked unwritten until the write-back has ended; seen, though rarely). Inside the last page that
 *   already has a block the size is changed at once: the tail may be zeros.
 * - A truncation sets the size on disk and says nothing of what was written before it: there may be zeros. Pages it cut
 *   off go with it; its zeros in the block in which it ends are there with it, and may be there before it.
 * - A rename that replaces a file flushes the pages of the new one that had no block yet. Blocks that were there (an
 *   append to the last one, an overwrite) may stay behind.
 *
 * Measured on Linux 6.18 with the shutdown ioctl (harness/explore/reality); Documentation/filesystems/ext4, "auto_da_alloc".
 * Not modelled: blocks smaller than a page, data=journal, fast commits, the flush at close of a file truncated to 0, a commit by the journal's own
 * timer that leaves a later sync without metadata to write.
 */
import type { Profile } from "./profile.ts";

export const ext4Ordered: Profile = {
  name: "ext4-ordered",
  summary:
    "ext4 by default: names in order, new pages whole or zeros, overwrites unordered, a replacing rename flushes",
  metadata: "ext4",
  sizeFollows: "new-pages",
  renameFlushes: true,
};
