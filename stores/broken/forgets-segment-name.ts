/**
 * When a segment has got its name, the segment is synced once more, and the directory never. On ext4 that commits the
 * name, too, as many programs rely on; POSIX promises a name only after a sync of its directory.
 */
import { basename } from "node:path";
import type { Disk } from "../ramlog/disk.ts";
import { segmentId } from "../ramlog/segments.ts";
import type { Bug } from "./bug.ts";

function disk(real: Disk): Disk {
  let segmentNamedLast: string | undefined;
  return {
    ...real,
    async rename(from, to) {
      segmentNamedLast = segmentId(basename(to)) === undefined ? undefined : to;
      await real.rename(from, to);
    },
    async syncDirectory(dir) {
      if (segmentNamedLast === undefined) return real.syncDirectory(dir);
      const fd = await real.open(segmentNamedLast, "read");
      try {
        await real.sync(fd);
      } finally {
        await real.close(fd);
      }
    },
  };
}

export const forgetsSegmentName: Bug = {
  name: "forgets-segment-name",
  bug: "syncs a new segment of its log, and not the directory that holds its name",
  finding: ["lost-acknowledged-write", "read-of-unsynced-write", "did-not-recover"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "posix-strict", notUnder: ["ext4-ordered"] },
  seams: { disk },
};
