/**
 * At a rotation the sync of the segment that ends is taken to cover the first write of the next one, too: that write
 * is acknowledged while it can still be lost.
 */
import type { Disk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

function disk(real: Disk): Disk {
  const justBegun = new Set<number>();
  return {
    ...real,
    writeNow(fd, bytes, offset, length, position) {
      if (position === 0) justBegun.add(fd);
      return real.writeNow(fd, bytes, offset, length, position);
    },
    syncDataNow(fd) {
      if (!justBegun.delete(fd)) real.syncDataNow(fd);
    },
    syncData(fd, done) {
      if (justBegun.delete(fd)) setImmediate(done, null);
      else real.syncData(fd, done);
    },
  };
}

export const losesFirstBatch: Bug = {
  name: "loses-first-batch",
  bug: "at a rotation, acknowledges the first write of the next segment without a sync of it",
  finding: ["lost-acknowledged-write", "read-of-unsynced-write", "acknowledged-without-sync"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "ext4-ordered" },
  seams: { disk },
};
