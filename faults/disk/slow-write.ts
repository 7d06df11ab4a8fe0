/**
 * A slow disk, writes: every write to the log takes `delayMs` longer, in the calling thread, between the program's call
 * and the real write. A correct store answers later, and acknowledges nothing earlier than before.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const slowWrite: Fault = {
  name: "slow-write",
  summary: "every write to the log takes some milliseconds longer",
  when: "passing",
  mechanism: "interposer",
  onlyWhenAsked: "it slows the run",
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () =>
    fc.record({ delayMs: fc.integer({ min: 1, max: 20 }), durationMs: fc.integer({ min: 300, max: 1500 }) }),
  inject({ delayMs }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: 1,
      repeat: "from",
      effect: { do: "delay", delayMs: Number(delayMs) },
    });
  },
};
