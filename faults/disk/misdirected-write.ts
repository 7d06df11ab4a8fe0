/**
 * A misdirected write: the bytes of the nth write to the log go to another place in the same file, `shiftBytes` further
 * on (never below 0), and the write reports full success. Where they belong the file stays as it was; where they went
 * they overwrite what was there, perhaps what had been synced. Firmware and volume managers do this to whole sectors.
 *
 * A store may refuse to start afterwards, if it says what is wrong. What it serves must be right.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const misdirectedWrite: Fault = {
  name: "misdirected-write",
  summary: "the bytes of one write to the log go to another place in the file",
  when: "crash",
  mechanism: "interposer",
  deceives: true,
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () =>
    fc.record({
      nth: fc.integer({ min: 2, max: 60 }),
      shiftBytes: fc.constantFrom(-8192, -4096, -512, 512, 4096, 8192),
    }),
  inject({ nth, shiftBytes }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "misdirected", shiftBytes: Number(shiftBytes) },
    });
  },
};
