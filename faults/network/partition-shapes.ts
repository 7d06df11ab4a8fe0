/**
 * Partitions of a cluster: links of one of the shapes of `shapes.ts` lose everything for some time, on connections that
 * stand and on new ones. What is lost is retransmitted after the heal, as TCP does it.
 *
 * A correct cluster loses nothing that it acknowledged and never has two members that acknowledge against each other; it
 * serves again when the network is whole, and those that promise it serve meanwhile where a majority sees itself. Each
 * lasts longer than the time after which stores usually elect anew (1 s), or it would only be a slow network.
 *
 * Evidence: bytes held or connections hung, and on which links. A partition of links on which nobody spoke has not fired.
 */
import fc, { type Arbitrary } from "fast-check";
import type { DirectedLink, FaultParameters, NetworkFault, NetworkTarget } from "../contract.ts";
import { awayFrom, between, bridge, chosen, halves, majoritiesRing, oneWay, randomLinks } from "./shapes.ts";

const pick = fc.nat(9_999);
const durationMs = fc.integer({ min: 2000, max: 5000 });

interface Shape {
  readonly name: string;
  readonly summary: string;
  /** Fewer members do not have this shape; why, in words. */
  readonly least: { readonly members: number; readonly why: string };
  readonly parameters: Arbitrary<FaultParameters>;
  readonly links: (parameters: FaultParameters, target: Omit<NetworkTarget, "network">) => DirectedLink[];
}

const two = { members: 2, why: "one member has nobody to be cut off from" };

function partitionOf({ name, summary, least, parameters, links }: Shape): NetworkFault {
  return {
    name,
    summary,
    unavailable(members, mechanism, can) {
      if (members < least.members) return least.why;
      return can.has("drop") ? undefined : `the network of ${mechanism} cannot drop here`;
    },
    parameters: () => parameters,
    links,
    inject: (drawn, target) => target.network.put(links(drawn, target), { does: "drop" }),
  };
}

/** The member that `member` stands for: a number, or `leader`, for which `otherwise` stands in while none is known. */
function memberOf(
  { member, otherwise }: FaultParameters,
  { members, leader }: Omit<NetworkTarget, "network">,
): string {
  const known = member === "leader" && leader !== undefined && members.includes(leader) ? leader : undefined;
  return known ?? chosen(members, Number(member === "leader" ? otherwise : member))!;
}

export const isolate = partitionOf({
  name: "isolate",
  summary: "one member is cut off from the others and, sometimes, from the clients",
  least: two,
  parameters: fc.record({ member: pick, clients: fc.boolean(), durationMs }),
  links: (drawn, target) =>
    awayFrom(target.members, memberOf(drawn, target), drawn.clients === true ? target.clients : []),
});

export const isolateLeader = partitionOf({
  name: "isolate-leader",
  summary: "the leader is cut off from the other members, and clients still reach it",
  least: two,
  parameters: fc.record({ member: fc.constant("leader"), otherwise: pick, durationMs }),
  links: (drawn, target) => awayFrom(target.members, memberOf(drawn, target)),
});

export const halvesFault = partitionOf({
  name: "halves",
  summary: "the members fall into two halves that do not see each other; clients reach both",
  least: { members: 3, why: "the halves of two members are one each: isolate is the same" },
  parameters: fc.record({ pick, durationMs }),
  links: (drawn, { members }) => halves(members, Number(drawn.pick)),
});

export const ring = partitionOf({
  name: "ring",
  summary: "every member sees a majority, and no two see the same one",
  least: {
    members: 4,
    why: "fewer than 4 members have no ring of majorities of their own; of 3 it is the bridge",
  },
  parameters: fc.record({ pick, durationMs }),
  links: (drawn, { members }) => majoritiesRing(members, Number(drawn.pick)),
});

export const bridgeFault = partitionOf({
  name: "bridge",
  summary: "two groups of members see each other only through one member, which sees everybody",
  least: { members: 3, why: "a bridge needs a member between two others" },
  parameters: fc.record({ pick, durationMs }),
  links: (drawn, { members }) => bridge(members, Number(drawn.pick)),
});

export const oneWayFault = partitionOf({
  name: "one-way",
  summary: "one member is mute (nobody hears it) or deaf (it hears nobody), the other direction works",
  least: two,
  parameters: fc.record({
    member: fc.oneof(pick, fc.constant("leader")),
    otherwise: pick,
    is: fc.constantFrom("mute", "deaf"),
    durationMs,
  }),
  links(drawn, target) {
    const one = memberOf(drawn, target);
    return drawn.is === "mute" ? oneWay([one], target.members) : oneWay(target.members, [one]);
  },
});

export const randomLinksFault = partitionOf({
  name: "random-links",
  summary: "each link between two members, in each direction on its own, is cut or not by the toss of a coin",
  least: two,
  parameters: fc.record({ pick, durationMs }),
  links: (drawn, { members }) => randomLinks(members, Number(drawn.pick)),
});

export const clientPartition = partitionOf({
  name: "client-partition",
  summary: "one client, or all, cannot reach one member, in one direction or both; members see each other",
  least: { members: 1, why: "there is no member" },
  parameters: fc.record({
    client: fc.oneof(pick, fc.constant("all")),
    member: fc.oneof(pick, fc.constant("leader")),
    otherwise: pick,
    direction: fc.constantFrom("forth", "back", "both"),
    durationMs: fc.integer({ min: 200, max: 2000 }),
  }),
  links(drawn, target) {
    const one = chosen(target.clients, Number(drawn.client));
    const clients = drawn.client === "all" ? target.clients : one === undefined ? [] : [one];
    const member = memberOf(drawn, target);
    if (drawn.direction === "both") return between(clients, [member]);
    return drawn.direction === "forth" ? oneWay(clients, [member]) : oneWay([member], clients);
  },
});
