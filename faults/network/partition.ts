/**
 * A partition between clients and the node, for some time: packets are lost in one direction or both (held and
 * delivered after the heal, as retransmissions would be), or connections are refused.
 *
 * A correct store loses nothing and applies nothing twice: a request whose reply was lost has happened or not. What is
 * modelled on each connection stands in proxy.ts. Clients that cannot see the node are not asked to agree on anything:
 * with one node, a partition only makes outcomes unknown and connections stale.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { chooseLinks, injectOnLinks } from "./on-links.ts";

export const partition: Fault = {
  name: "partition",
  summary:
    "the link of one client, or of all, loses packets in one or both directions, or refuses connections",
  when: "passing",
  mechanism: "proxy",
  unavailable: () => undefined,
  parameters: () =>
    fc.record({
      link: fc.oneof({ arbitrary: fc.nat(999), weight: 3 }, fc.constant("all")),
      direction: fc.constantFrom("forth", "back", "both", "refuse"),
      durationMs: fc.integer({ min: 80, max: 600 }),
    }),
  inject({ link, direction }, target) {
    return injectOnLinks(chooseLinks(target, link), (chosen) =>
      direction === "forth" || direction === "back" || direction === "both"
        ? chosen.drop(direction)
        : chosen.refuse(),
    );
  },
};
