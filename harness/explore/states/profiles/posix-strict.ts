/**
 * Only what POSIX promises.
 *
 * - A name created, removed or renamed is durable when its directory has been synced after it; for a rename from one
 *   directory to another that is the directory of the new name. Until then each change survives or not, independently
 *   of the others, except that changes of one name survive in their order.
 * - fsync and fdatasync make the file's data and size durable, and no names.
 * - Everything else that was not synced is independent: each page at any version, the size at any it had (zeros where
 *   no data arrived), a truncation not before anything else.
 *
 * A finding under this profile exits 1 for `ramlog` and `broken/*`, and is a warning for other stores.
 */
import type { Profile } from "./profile.ts";

export const posixStrict: Profile = {
  name: "posix-strict",
  summary:
    "only what POSIX promises: names need the sync of their directory, everything unsynced is independent",
  metadata: "independent",
  sizeFollows: "nothing",
  renameFlushes: false,
};
