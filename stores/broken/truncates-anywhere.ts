/**
 * Any damage to the log is taken for a torn tail: the log ends there, and what lies behind it, in this segment and in
 * all later ones, goes, although it had been synced and acknowledged.
 */
import { basename } from "node:path";
import type { Disk } from "../ramlog/disk.ts";
import { StartRefused } from "../ramlog/errors.ts";
import { provenRecovery, type Recovery } from "../ramlog/recovery.ts";
import { segmentId, segmentName } from "../ramlog/segments.ts";
import type { Bug } from "./bug.ts";

/** What is left of the log: nothing of later segments, and zeros from the offset on. */
interface End {
  readonly segment: number;
  readonly offset: number;
}

/** The disk as it would be if the log ended at `end`. */
function endingAt(real: Disk, end: End): Disk {
  const isBehind = (name: string) => (segmentId(name) ?? 0) > end.segment;
  return {
    ...real,
    list: async (dir) => (await real.list(dir)).filter((name) => !isBehind(name)),
    async readFile(path) {
      const bytes = await real.readFile(path);
      return segmentId(basename(path)) === end.segment ? Buffer.from(bytes).fill(0, end.offset) : bytes;
    },
  };
}

/** The place that a refusal names; `undefined` when it is about something else. */
function damageNamed(error: unknown): End | undefined {
  if (!(error instanceof StartRefused)) return undefined;
  const match = /^(segment-\d+\.log) is damaged at offset (\d+)/.exec(error.message);
  return match ? { segment: segmentId(match[1]!)!, offset: Number(match[2]) } : undefined;
}

const recovery: Recovery = {
  async recover(options) {
    const names = await options.disk.list(options.dir);
    const ids = names.map(segmentId).filter((id) => id !== undefined);
    let { disk, codec } = options;
    for (let attempt = 0; ; attempt += 1) {
      try {
        const recovered = await provenRecovery.recover({ ...options, disk, codec });
        if (attempt === 0) return recovered;
        const behind = ids.filter((id) => id >= recovered.nextSegment).map(segmentName);
        return {
          ...recovered,
          snapshotFirst: "the log was truncated",
          obsolete: [...recovered.obsolete, ...behind],
          nextSegment: Math.max(...ids) + 1,
        };
      } catch (error) {
        const end = damageNamed(error);
        if (!end || attempt > ids.length) throw error;
        disk = endingAt(options.disk, end);
        // What claims that the place had been synced is not asked either.
        codec = {
          ...options.codec,
          readSegmentHeader(bytes) {
            const header = options.codec.readSegmentHeader(bytes);
            return typeof header === "object" ? { ...header, synced: 0 } : header;
          },
        };
      }
    }
  },
};

export const truncatesAnywhere: Bug = {
  name: "truncates-anywhere",
  bug: "takes any bad checksum for a torn tail, also in the middle of the log",
  finding: ["served-damaged-data", "lost-acknowledged-write", "resurrected-write"],
  workloads: ["append", "register"],
  faults: ["at-rest"],
  seams: { engine: { recovery } },
};
