/** A slow network: every chunk on one client's link, or on all, arrives later, in both directions and in order. */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { chooseLinks, injectOnLinks } from "./on-links.ts";

export const delay: Fault = {
  name: "delay",
  summary: "everything on the link of one client, or of all, arrives some milliseconds later, in order",
  when: "passing",
  mechanism: "proxy",
  unavailable: () => undefined,
  parameters: () =>
    fc.record({
      link: fc.oneof({ arbitrary: fc.nat(999), weight: 3 }, fc.constant("all")),
      delayMs: fc.integer({ min: 1, max: 80 }),
      durationMs: fc.integer({ min: 80, max: 600 }),
    }),
  inject({ link, delayMs }, target) {
    return injectOnLinks(chooseLinks(target, link), (chosen) => chosen.delay(Number(delayMs)));
  },
};
