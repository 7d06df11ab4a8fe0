/**
 * A sync of the log that fails is made again until it succeeds. On Linux the second one succeeds because the kernel has
 * already given up the data (Rebello et al. 2020, "Can Applications Recover from fsync Failures?").
 */
import { type Disk, nodeDisk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

const attemptsMax = 5;

function attempt(fd: number, left: number, done: (error: Error | null) => void): void {
  nodeDisk.syncData(fd, (error) => (error && left > 1 ? attempt(fd, left - 1, done) : done(error)));
}

const disk: Disk = {
  ...nodeDisk,
  syncDataNow(fd) {
    for (let left = attemptsMax; ; left -= 1) {
      try {
        nodeDisk.syncDataNow(fd);
        return;
      } catch (error) {
        if (left <= 1) throw error;
      }
    }
  },
  syncData: (fd, done) => attempt(fd, attemptsMax, done),
};

export const retriesFailedSync: Bug = {
  name: "retries-failed-sync",
  bug: "tries a failed sync of the log again, and goes on when that one succeeds",
  finding: ["acknowledged-after-failed-sync"],
  workloads: ["register"],
  faults: ["sync-error"],
  seams: { engine: { disk } },
};
