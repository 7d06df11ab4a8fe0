/**
 * ramlog keeps the snapshot before the newest, and the log behind it: what is wrong with a snapshot is then made up for.
 * The bugs that are about a snapshot's durability keep the newest alone, as most stores do.
 */
import type { Retention } from "../ramlog/engine.ts";

export const newestSnapshotOnly: Retention = {
  keep: (_previous, newest) => ({ snapshots: [newest], logBehind: newest }),
};
