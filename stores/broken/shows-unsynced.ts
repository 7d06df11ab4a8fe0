/**
 * A reader is shown what the log has not got yet. SIGKILL keeps everything that was written, so the value must be
 * visible before it is *written*: syncs take longer here, and what arrives during one is written only after it.
 */
import type { Disk } from "../ramlog/disk.ts";
import type { Visibility } from "../ramlog/visibility.ts";
import type { Bug } from "./bug.ts";

const syncMs = 6;

const disk = (real: Disk): Disk => ({
  ...real,
  syncDataNow(fd) {
    real.syncDataNow(fd);
    // So long that the log moves its syncs to another thread, as it does on any slow disk.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, syncMs);
  },
  syncData: (fd, done) => real.syncData(fd, (error) => setTimeout(done, syncMs, error)),
});

const visibility: Visibility = { holdUntil: (_seen, wrote) => wrote };

export const showsUnsynced: Bug = {
  name: "shows-unsynced",
  bug: "answers reads at once, also with values that are not in the log yet",
  finding: ["read-of-unsynced-write", "not-linearizable"],
  workloads: ["register"],
  faults: ["kill"],
  seams: { disk, engine: { visibility } },
};
