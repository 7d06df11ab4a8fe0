/**
 * How long this disk takes to sync, asked before each measurement on the file system under test: 4 KiB overwritten in
 * place and fdatasync'ed. It tells a disk disturbed by others from a store that became slower.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { monotonicClock } from "./clock.ts";
import { TimeHistogram } from "./histogram.ts";
import { median } from "./statistics.ts";

const probes = 9;

export interface DiskProbe {
  /** Median of a few syncs, ns. Blocks for a few ms. */
  measure(): number;
  /** Every sync of every probe so far. */
  readonly times: TimeHistogram;
  close(): void;
}

/** Opens a probe file in `directory`; removed by `close`. */
export function openDiskProbe(directory: string): DiskProbe {
  const file = join(directory, "disk-probe");
  const descriptor = openSync(file, "w");
  const block = Buffer.alloc(4096, 0x61);
  const times = new TimeHistogram();
  const syncOnce = (): number => {
    const startedAt = monotonicClock.now();
    writeSync(descriptor, block, 0, block.length, 0);
    fdatasyncSync(descriptor);
    return monotonicClock.now() - startedAt;
  };
  syncOnce(); // allocates the block, which no later one does
  return {
    times,
    measure() {
      const samples = Array.from({ length: probes }, syncOnce);
      for (const sample of samples) times.record(sample);
      return median(samples);
    },
    close() {
      closeSync(descriptor);
      rmSync(file, { force: true });
    },
  };
}
