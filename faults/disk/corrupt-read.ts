/**
 * A corrupt read at recovery: while the store starts, one bit of what the nth read of a log file returns is inverted on
 * its way; the file itself is whole. A store may refuse to start, if it says what is wrong, and may take it for a torn
 * tail at the very end of the log, if it says that. It must not serve wrong data.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const corruptRead: Fault = {
  name: "corrupt-read",
  summary: "while the store recovers, one bit of what one read of its log returns is inverted",
  when: "recovery",
  mechanism: "interposer",
  deceives: true,
  unavailable: (store, machine) => withoutInterposer(store, machine),
  parameters: () => fc.record({ nth: fc.integer({ min: 1, max: 6 }), bit: fc.nat(262_143) }),
  inject({ nth, bit }, target) {
    return injectRule(target, {
      operation: "read",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "bit-flip", bit: Number(bit) },
    });
  },
};
