/**
 * Bit rot at rest: between stop and restart, one bit of one log file is other than it was written. The bit is drawn
 * from the part in use, and from a byte that is not zero, so that it hits content and not preallocated space.
 *
 * A correct store refuses to start or reports the damage; serving wrong or invented data is a violation. Only damage
 * that cannot be told from a torn tail may be cut, and is to be reported.
 *
 * Not modelled: damage to snapshots or other files outside `logFiles`, damage while the store runs, more than one bit.
 * Nothing is restored by `heal`: the damage is to stay for the restart.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Fault, FaultTarget } from "../contract.ts";
import { fraction, nextContent, pick, usedFiles } from "./log-files.ts";

export const atRest: Fault = {
  name: "at-rest",
  summary: "while the store is stopped, one bit of its log is flipped",
  when: "at-rest",
  mechanism: "files",
  unavailable: () => undefined,
  parameters: () => fc.record({ fileFraction: fraction, byteFraction: fraction, bit: fc.nat(7) }),
  inject({ fileFraction, byteFraction, bit }, target) {
    const evidence = flip(target, Number(fileFraction), Number(byteFraction), Number(bit));
    return { fired: () => evidence, heal: () => {} };
  },
};

/** `undefined` when there is no content to damage. */
function flip(
  target: FaultTarget,
  fileFraction: number,
  byteFraction: number,
  bit: number,
): Readonly<Record<string, unknown>> | undefined {
  const { dataDir } = target;
  const chosen = pick(usedFiles(target), fileFraction);
  if (!chosen) return undefined;
  const descriptor = openSync(join(dataDir, chosen.file), "r+");
  try {
    // The last byte in use is content, so that there is always one from the drawn offset on.
    const offset = nextContent(descriptor, Math.floor(byteFraction * chosen.used)) ?? chosen.used - 1;
    const byte = Buffer.alloc(1);
    readSync(descriptor, byte, 0, 1, offset);
    const before = byte[0] ?? 0;
    const after = before ^ (1 << bit);
    writeSync(descriptor, Buffer.from([after]), 0, 1, offset);
    return { file: chosen.file, offset, before, after };
  } finally {
    closeSync(descriptor);
  }
}
