/**
 * The directory is not synced after a snapshot has got its name, and what it replaces goes at once. Shows only where
 * the removal of one name may survive without the rename before it: ext4 keeps their order.
 */
import { basename } from "node:path";
import type { Disk } from "../ramlog/disk.ts";
import { snapshotIndex } from "../ramlog/segments.ts";
import type { Bug } from "./bug.ts";
import { newestSnapshotOnly } from "./newest-snapshot-only.ts";

function disk(real: Disk): Disk {
  let snapshotNamedLast = false;
  return {
    ...real,
    async rename(from, to) {
      snapshotNamedLast = snapshotIndex(basename(to)) !== undefined;
      await real.rename(from, to);
    },
    syncDirectory: async (dir) => (snapshotNamedLast ? undefined : real.syncDirectory(dir)),
  };
}

export const forgetsSnapshotName: Bug = {
  name: "forgets-snapshot-name",
  bug: "does not sync the directory after renaming a snapshot, and keeps only the newest one",
  finding: ["did-not-recover", "lost-acknowledged-write", "resurrected-write"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "posix-strict", notUnder: ["ext4-ordered"] },
  seams: { disk, engine: { retention: newestSnapshotOnly } },
};
