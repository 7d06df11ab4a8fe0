/**
 * A segment that is used again gets its new name, and the directory that holds the name is not synced before the segment
 * is written to. Any later sync of the directory (a snapshot's, a new segment's) heals it, so that only runs show it in
 * which a reused segment is written to before the next snapshot ends.
 */
import { basename } from "node:path";
import type { Disk } from "../ramlog/disk.ts";
import { segmentId } from "../ramlog/segments.ts";
import type { Bug } from "./bug.ts";

const isSegment = (path: string) => segmentId(basename(path)) !== undefined;

function disk(real: Disk): Disk {
  let reused = false;
  return {
    ...real,
    async rename(from, to) {
      reused = isSegment(from) && isSegment(to);
      await real.rename(from, to);
    },
    async syncDirectory(dir) {
      if (!reused) return real.syncDirectory(dir);
      reused = false;
    },
  };
}

export const forgetsReusedName: Bug = {
  name: "forgets-reused-name",
  bug: "gives a segment that it uses again its new name, and does not sync the directory that holds it",
  finding: ["lost-acknowledged-write", "read-of-unsynced-write", "did-not-recover"],
  workloads: ["register"],
  faults: [],
  explore: { profile: "posix-strict", notUnder: [] },
  seams: { disk },
};
