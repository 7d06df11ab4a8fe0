/**
 * Links of a cluster that are in trouble and not quite dead: slow, narrow, cut in mid-message, refusing. Which: one
 * directed link, a pair in both directions, all of a member's links to the others, or one client's to one member.
 *
 * A correct cluster answers late or not at all meanwhile, does not act on half a message, and loses nothing. A slow or
 * narrow network may well cost it its leader; that is no finding.
 *
 * Evidence: bytes delayed or made to wait, connections refused, reset or cut, and on which links.
 */
import fc, { type Arbitrary } from "fast-check";
import type {
  DirectedLink,
  FaultParameters,
  LinkCondition,
  NetworkFault,
  NetworkTarget,
} from "../contract.ts";
import { awayFrom, between, chosen, shuffled } from "./shapes.ts";

interface Trouble {
  readonly name: string;
  readonly summary: string;
  readonly does: LinkCondition["does"];
  readonly durationMs: { readonly min: number; readonly max: number };
  readonly more: Readonly<Record<string, Arbitrary<number>>>;
  readonly condition: (parameters: FaultParameters) => LinkCondition;
}

function trouble({ name, summary, does, durationMs, more, condition }: Trouble): NetworkFault {
  return {
    name,
    summary,
    needsTraffic: does === "limit" || does === "cut",
    unavailable(members, mechanism, can) {
      if (members < 1) return "there is no member";
      return can.has(does) ? undefined : `the network of ${mechanism} cannot ${does} here`;
    },
    parameters: (members) => fc.record({ ...struck(members), ...more, durationMs: fc.integer(durationMs) }),
    links: struckLinks,
    inject: (drawn, target) => target.network.put(struckLinks(drawn, target), condition(drawn)),
  };
}

/** Which links: `of` says what kind, `pick` and `client` whom. */
function struck(members: number) {
  const kinds = members < 2 ? ["client"] : ["link", "pair", "member", "client"];
  return { of: fc.constantFrom(...kinds), pick: fc.nat(9_999), client: fc.nat(999) };
}

function struckLinks(
  { of, pick, client }: FaultParameters,
  { members, clients }: Omit<NetworkTarget, "network">,
): DirectedLink[] {
  const [one, other] = shuffled(members, Number(pick));
  if (one === undefined) return [];
  if (of === "client") {
    const own = chosen(clients, Number(client));
    return own === undefined ? [] : between([own], [one]);
  }
  if (other === undefined) return [];
  if (of === "link") return [{ from: one, to: other }];
  return of === "pair" ? between([one], [other]) : awayFrom(members, one);
}

export const slowLink = trouble({
  name: "slow-link",
  summary: "what some links carry arrives up to a third of a second later, by a time that varies, in order",
  does: "delay",
  durationMs: { min: 500, max: 3000 },
  more: {
    delayMs: fc.integer({ min: 1, max: 300 }),
    jitterMs: fc.integer({ min: 0, max: 100 }),
    seed: fc.nat(2 ** 31 - 1),
  },
  condition: ({ delayMs, jitterMs, seed }) => ({
    does: "delay",
    delayMs: Number(delayMs),
    jitterMs: Number(jitterMs),
    seed: Number(seed),
  }),
});

export const limitedLink = trouble({
  name: "limited-link",
  summary: "some links carry no more than a few kilobytes in a second",
  does: "limit",
  durationMs: { min: 500, max: 3000 },
  more: { bytesPerSecond: fc.integer({ min: 500, max: 20_000 }) },
  condition: ({ bytesPerSecond }) => ({ does: "limit", bytesPerSecond: Number(bytesPerSecond) }),
});

export const cutLink = trouble({
  name: "cut-link",
  summary: "a connection on each of some links is reset in mid-message, after a drawn number of bytes",
  does: "cut",
  durationMs: { min: 500, max: 2000 },
  more: { afterBytes: fc.integer({ min: 0, max: 2000 }) },
  condition: ({ afterBytes }) => ({ does: "cut", afterBytes: Number(afterBytes) }),
});

export const refuseLinks = trouble({
  name: "refuse-links",
  summary: "the connections of some pairs are reset, and new ones between them are refused",
  does: "refuse",
  durationMs: { min: 500, max: 3000 },
  more: {},
  condition: () => ({ does: "refuse" }),
});
