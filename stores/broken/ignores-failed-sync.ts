/** A sync of the log that fails counts as done. */
import type { Disk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

const disk = (real: Disk): Disk => ({
  ...real,
  syncDataNow(fd) {
    try {
      real.syncDataNow(fd);
    } catch {
      // The bug: the error is dropped.
    }
  },
  syncData: (fd, done) => real.syncData(fd, () => done(null)),
});

export const ignoresFailedSync: Bug = {
  name: "ignores-failed-sync",
  bug: "goes on and acknowledges when a sync of the log has failed",
  finding: ["acknowledged-after-failed-sync", "acknowledged-without-sync"],
  workloads: ["register"],
  faults: ["sync-error"],
  seams: { disk },
};
