/**
 * A bit flip on the way to the disk: one bit of the data of the nth write to the log is inverted before it reaches the
 * file, and the write reports full success. The bit is counted from the start of the data, modulo its length in bits.
 * Checksums computed by the store before the write must show it; the disk's own cannot.
 *
 * A store may refuse to start afterwards, if it says what is wrong, and may cut the damage off as a torn tail where it
 * was the last write, if it says that. What it serves must be right.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const bitFlipWrite: Fault = {
  name: "bit-flip-write",
  summary: "one bit of one write to the log is inverted on its way",
  when: "crash",
  mechanism: "interposer",
  deceives: true,
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 60 }), bit: fc.nat(65_535) }),
  inject({ nth, bit }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "bit-flip", bit: Number(bit) },
    });
  },
};
