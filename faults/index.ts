/**
 * The registry of faults, one line each: what is not listed here is not modelled. Also the doors to the mechanisms they
 * work through (the links, the interposer) and to the nemesis, so that the harness needs no path into this folder.
 */
import { unknownName } from "../stores/contract.ts";
import { atRest } from "./at-rest/bit-flip.ts";
import type { Fault } from "./contract.ts";
import { diskFull } from "./disk/disk-full.ts";
import { shortWrite } from "./disk/short-write.ts";
import { slowSync } from "./disk/slow-sync.ts";
import { syncError } from "./disk/sync-error.ts";
import { tornWrite } from "./disk/torn-write.ts";
import { writeError } from "./disk/write-error.ts";
import { cut } from "./network/cut.ts";
import { delay } from "./network/delay.ts";
import { partition } from "./network/partition.ts";
import { kill } from "./process/kill.ts";
import { pause } from "./process/pause.ts";
import { stop } from "./process/stop.ts";

export { buildInterposer, createDiskControl } from "./disk/interposer.ts";
export { type FaultLife, Nemesis } from "./nemesis.ts";
export { createLink } from "./network/proxy.ts";

/** Every fault that can be named. */
export const faults: readonly Fault[] = [
  kill,
  pause,
  stop,
  shortWrite,
  tornWrite,
  writeError,
  diskFull,
  syncError,
  slowSync,
  partition,
  delay,
  cut,
  atRest,
];

/**
 * The faults of these names, in their order, each once.
 *
 * @throws ScenarioError for a name that is not known; it lists those that are.
 */
export function findFaults(names: readonly string[]): Fault[] {
  return [...new Set(names)].map((name) => {
    const fault = faults.find((one) => one.name === name);
    if (fault) return fault;
    const known = faults.map((one) => one.name);
    throw unknownName("fault", name, known, ", or none");
  });
}
