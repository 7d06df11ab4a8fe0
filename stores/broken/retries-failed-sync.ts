/**
 * A sync of the log that fails is made again until it succeeds. On Linux the second one succeeds because the kernel has
 * already given up the data (Rebello et al. 2020, "Can Applications Recover from fsync Failures?"): what was acknowledged
 * then is gone after power loss, or leaves a hole in the log. Where a failed sync leaves the data dirty (fail-keep), the
 * second one makes it durable, and nothing is wrong.
 */
import type { Disk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

const attemptsMax = 5;

function disk(real: Disk): Disk {
  const attempt = (fd: number, left: number, done: (error: Error | null) => void): void => {
    real.syncData(fd, (error) => (error && left > 1 ? attempt(fd, left - 1, done) : done(error)));
  };
  return {
    ...real,
    syncDataNow(fd) {
      for (let left = attemptsMax; ; left -= 1) {
        try {
          real.syncDataNow(fd);
          return;
        } catch (error) {
          if (left <= 1) throw error;
        }
      }
    },
    syncData: (fd, done) => attempt(fd, attemptsMax, done),
  };
}

export const retriesFailedSync: Bug = {
  name: "retries-failed-sync",
  bug: "tries a failed sync of the log again, and goes on when that one succeeds",
  finding: ["lost-acknowledged-write", "did-not-recover", "resurrected-write"],
  workloads: ["register"],
  faults: ["fsyncgate", "power-loss"],
  sweep: { operation: "sync", effect: "fsyncgate EIO", notWith: "error EIO" },
  promisesNot: ["failStop"],
  seams: { disk },
};
