/**
 * A slow disk: every sync of a file in the data directory takes `delayMs` longer, as on a busy or remote disk. A correct
 * store answers later, and acknowledges nothing earlier than before. The delay lies between the program's call and the
 * real sync, in the calling thread.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const slowSync: Fault = {
  name: "slow-sync",
  summary: "every sync takes some milliseconds longer",
  when: "passing",
  mechanism: "interposer",
  onlyWhenAsked: "it slows the run",
  unavailable: (store, machine) => withoutInterposer(store, machine, "sync"),
  parameters: () =>
    fc.record({
      delayMs: fc.integer({ min: 2, max: 30 }),
      durationMs: fc.integer({ min: 300, max: 1500 }),
    }),
  inject({ delayMs }, target) {
    return injectRule(target, {
      operation: "sync",
      path: "**",
      nth: 1,
      repeat: "from",
      effect: { do: "delay", delayMs: Number(delayMs) },
    });
  },
};
