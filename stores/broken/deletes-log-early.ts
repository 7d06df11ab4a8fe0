/** The log that a snapshot will replace is deleted when the snapshot has been written, before it is synced and named. */
import { basename, dirname, join } from "node:path";
import type { Disk } from "../ramlog/disk.ts";
import { segmentId } from "../ramlog/segments.ts";
import type { Bug } from "./bug.ts";

interface SnapshotBegun {
  readonly dir: string;
  /** The segment in use then: those before it hold nothing that is not in the snapshot. */
  readonly segment: number;
}

function disk(real: Disk): Disk {
  const snapshots = new Map<number, SnapshotBegun>();
  let inUse = 0;
  return {
    ...real,
    async open(path, how) {
      const fd = await real.open(path, how);
      if (how === "write") inUse = segmentId(basename(path)) ?? inUse;
      if (path.endsWith(".snap.tmp")) snapshots.set(fd, { dir: dirname(path), segment: inUse });
      else snapshots.delete(fd);
      return fd;
    },
    async sync(fd) {
      const begun = snapshots.get(fd);
      for (const name of begun ? await real.list(begun.dir) : []) {
        const id = segmentId(name);
        if (id !== undefined && id < begun!.segment) await real.unlink(join(begun!.dir, name));
      }
      await real.sync(fd);
    },
  };
}

export const deletesLogEarly: Bug = {
  name: "deletes-log-early",
  bug: "deletes the log before the snapshot that replaces it is durable",
  finding: ["did-not-recover", "lost-acknowledged-write"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "ext4-ordered" },
  seams: { disk },
};
