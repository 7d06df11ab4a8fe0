/**
 * A connection that breaks in mid-message: so many more bytes of a client reach the node, then both ends are reset. A
 * correct store does not act on half a request, and does not answer one client with another's reply.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { chooseLinks, injectOnLinks } from "./on-links.ts";

export const cut: Fault = {
  name: "cut",
  summary: "one client's connection is reset in mid-message, after a drawn number of bytes",
  when: "passing",
  mechanism: "proxy",
  unavailable: () => undefined,
  parameters: () =>
    fc.record({
      link: fc.nat(999),
      afterBytes: fc.integer({ min: 1, max: 200 }),
      durationMs: fc.integer({ min: 80, max: 600 }),
    }),
  inject({ link, afterBytes }, target) {
    return injectOnLinks(chooseLinks(target, link), (chosen) => chosen.cut(Number(afterBytes)));
  },
};
