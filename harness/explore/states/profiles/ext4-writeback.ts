/**
 * ext4 mounted with data=writeback: as ext4-ordered, but nothing orders data and metadata.
 *
 * - A new size may be on the disk before the data below it: zeros.
 * - A rename that replaces a file may be on the disk before the data of the new one: zeros, or size 0.
 *
 * Not modelled: the garbage of deleted files that new blocks may show in this mode.
 */
import type { Profile } from "./profile.ts";

export const ext4Writeback: Profile = {
  name: "ext4-writeback",
  summary: "ext4 with data=writeback: names in order, sizes and renames may precede the data",
  metadata: "ext4",
  sizeFollows: "nothing",
  renameFlushes: false,
};
