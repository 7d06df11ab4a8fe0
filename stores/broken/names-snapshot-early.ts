/**
 * A snapshot gets its name before its data is synced: at best the data follows later. After power loss the name is
 * there and the file is empty, and what it replaced is gone (Zheng et al., OSDI 2014; Pillai et al., OSDI 2014).
 */
import type { Disk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";
import { newestSnapshotOnly } from "./newest-snapshot-only.ts";

function disk(real: Disk): Disk {
  const snapshots = new Set<number>();
  return {
    ...real,
    async open(path, how) {
      const fd = await real.open(path, how);
      if (path.endsWith(".snap.tmp")) snapshots.add(fd);
      else snapshots.delete(fd);
      return fd;
    },
    sync: async (fd) => (snapshots.has(fd) ? undefined : real.sync(fd)),
  };
}

export const namesSnapshotEarly: Bug = {
  name: "names-snapshot-early",
  bug: "renames a snapshot before its data is synced, and keeps only the newest one",
  finding: ["did-not-recover", "lost-acknowledged-write"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "ext4-ordered" },
  seams: { disk, engine: { retention: newestSnapshotOnly } },
};
