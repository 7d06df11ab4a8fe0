/** The sync is begun a few milliseconds after it has been reported as done. */
import { type Disk, nodeDisk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

const lateByMs = 5;

function syncLater(fd: number): void {
  setTimeout(() => nodeDisk.syncData(fd, () => undefined), lateByMs);
}

const disk: Disk = {
  ...nodeDisk,
  syncDataNow: syncLater,
  syncData(fd, done) {
    syncLater(fd);
    setImmediate(done, null);
  },
};

export const acknowledgesBeforeSync: Bug = {
  name: "acknowledges-before-sync",
  bug: "acknowledges when the log is written; the sync begins later",
  finding: ["acknowledged-without-sync"],
  workloads: ["register"],
  faults: [],
  seams: { engine: { disk } },
};
