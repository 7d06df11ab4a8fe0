/** The descriptor that is synced is the one of the first segment, also when the log has gone on to the next. */

import { basename } from "node:path";
import type { Disk } from "../ramlog/disk.ts";
import { segmentId } from "../ramlog/segments.ts";
import type { Bug } from "./bug.ts";

function disk(real: Disk): Disk {
  let first: number | undefined;
  return {
    ...real,
    async open(path, how) {
      const fd = await real.open(path, how);
      if (how === "write" && segmentId(basename(path)) !== undefined) first ??= fd;
      return fd;
    },
    close: async (fd) => (fd === first ? undefined : real.close(fd)),
    syncDataNow: (fd) => real.syncDataNow(first ?? fd),
    syncData: (fd, done) => real.syncData(first ?? fd, done),
  };
}

export const syncsWrongFile: Bug = {
  name: "syncs-wrong-file",
  bug: "goes on syncing the first segment of its log when it writes to the next",
  finding: [
    "lost-acknowledged-write",
    "read-of-unsynced-write",
    "acknowledged-without-sync",
    "did-not-recover",
  ],
  workloads: ["register"],
  faults: [],
  explore: { profile: "ext4-ordered" },
  seams: { disk },
};
