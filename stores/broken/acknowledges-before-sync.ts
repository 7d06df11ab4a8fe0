/** The sync is begun a few milliseconds after it has been reported as done. */
import type { Disk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

const lateByMs = 5;

function disk(real: Disk): Disk {
  const syncLater = (fd: number) => {
    setTimeout(() => real.syncData(fd, () => undefined), lateByMs);
  };
  return {
    ...real,
    syncDataNow: syncLater,
    syncData(fd, done) {
      syncLater(fd);
      setImmediate(done, null);
    },
  };
}

export const acknowledgesBeforeSync: Bug = {
  name: "acknowledges-before-sync",
  bug: "acknowledges when the log is written; the sync begins later",
  finding: ["acknowledged-without-sync"],
  workloads: ["register"],
  faults: [],
  seams: { disk },
};
