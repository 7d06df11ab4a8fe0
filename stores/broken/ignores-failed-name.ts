/**
 * A sync of the directory that fails is taken for one that succeeded: the segment or snapshot is used although its name may
 * not be on the disk. A later sync of the directory makes up for one failure, and ext4 keeps names in their order; where
 * the syncs go on failing, and names are only as durable as POSIX promises, what was acknowledged is gone.
 */
import type { Disk } from "../ramlog/disk.ts";
import type { Bug } from "./bug.ts";

function disk(real: Disk): Disk {
  return { ...real, syncDirectory: (dir) => real.syncDirectory(dir).catch(() => undefined) };
}

export const ignoresFailedName: Bug = {
  name: "ignores-failed-name",
  bug: "goes on when a sync of the directory that holds its names has failed",
  finding: ["lost-acknowledged-write", "did-not-recover", "resurrected-write"],
  workloads: ["register"],
  faults: [],
  sweep: { operation: "sync", effect: "error EIO lasting", notWith: "error EIO" },
  seams: { disk },
};
