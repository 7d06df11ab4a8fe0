/**
 * A wrong clock on one node: its processes' wall clock is moved forward or back at once, and goes too fast or too slow
 * from then on; after the fault it jumps to the right time again. As an operator, a bad NTP server or a resumed virtual
 * machine does it. The machine's own clock is not touched, nor the monotonic clock of anybody.
 *
 * A correct store orders nothing by wall clocks and loses nothing: what was acknowledged stays, and leases and timeouts
 * go by the monotonic clock. Keys that expire by the wall clock may go early or late.
 *
 * It has fired when a process of the node has read its clock meanwhile. What is not modelled stands in clock.c.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";

export const clockSkew: Fault = {
  name: "clock-skew",
  summary: "the wall clock of one node jumps by up to a minute, and goes up to a tenth too fast or too slow",
  when: "passing",
  mechanism: "interposer",
  unavailable(store, machine) {
    if (machine.platform !== "linux") return "a node's clock is skewed by a preloaded library, on Linux only";
    if (!machine.compiler)
      return "the library of the skewed clock needs a C compiler; install gcc, or set CC";
    if (store.interposable === false) {
      return `${store.name} is linked statically and reads the clock past the C library, where it cannot be skewed`;
    }
    return undefined;
  },
  parameters: () =>
    fc.record({
      shiftMs: eitherWay(500, 60_000),
      ratePpm: eitherWay(1000, 100_000),
      durationMs: fc.integer({ min: 500, max: 3000 }),
    }),
  inject({ shiftMs, ratePpm }, { clock, node }) {
    if (!clock)
      throw new Error(`a clock skew was planned for ${node.name}, whose clock is not under control`);
    const before = clock.readings();
    clock.skew(Number(shiftMs), Number(ratePpm));
    let readings: number | undefined;
    const since = () => readings ?? clock.readings() - before;
    return {
      fired: () => (since() > 0 ? { readings: since(), shiftMs, ratePpm } : undefined),
      heal() {
        if (readings !== undefined) return;
        clock.straighten();
        readings = clock.readings() - before;
      },
    };
  },
};

/** So much at least, forward or back: less than a store would notice says nothing. */
function eitherWay(min: number, max: number): fc.Arbitrary<number> {
  return fc.oneof(fc.integer({ min, max }), fc.integer({ min: -max, max: -min }));
}
