/**
 * A short write: the nth write to the log writes fewer bytes than it was given and says so; the program lives. Any
 * write(2) may do that (a signal, a quota, a nearly full disk). A correct store writes the rest before it goes on. At
 * least 1 byte is written, at most all but one; writes of a single byte are not counted. In a store on Node, libuv goes
 * on with the rest by itself: there it exercises the runtime, and an error in between.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { injectRule, withoutInterposer } from "./on-disk.ts";

export const shortWrite: Fault = {
  name: "short-write",
  summary: "one write to the log writes only part of its bytes, and returns how many",
  when: "passing",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () =>
    fc.record({
      nth: fc.integer({ min: 1, max: 60 }),
      bytes: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 8192 })),
      durationMs: fc.integer({ min: 500, max: 1500 }),
    }),
  inject({ nth, bytes }, target) {
    return injectRule(target, {
      operation: "write",
      path: target.logFiles,
      nth: Number(nth),
      repeat: "once",
      effect: { do: "short", bytes: Number(bytes) },
    });
  },
};
