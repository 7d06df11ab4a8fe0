/** Every sync of the log is left out and reported as done. */
import type { Disk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

const disk = (real: Disk): Disk => ({
  ...real,
  syncDataNow: () => undefined,
  syncData: (_fd, done) => setImmediate(done, null),
  sync: async () => undefined,
  syncDirectory: async () => undefined,
});

export const neverSyncs: Bug = {
  name: "never-syncs",
  bug: "never syncs anything",
  finding: ["acknowledged-without-sync"],
  workloads: ["register"],
  faults: [],
  seams: { disk },
};
