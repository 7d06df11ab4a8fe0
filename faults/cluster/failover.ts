/**
 * The leader is lost and another member takes its place, where somebody outside decides that. Now and then the leader is cut
 * off from the other members a moment before it dies, as when a rack goes down link by link: what it acknowledged alone
 * meanwhile is lost with it. It is killed, the other member is promoted, and clients are told. Afterwards the member that
 * led comes back as a follower, with a copy of the new leader's files (what it alone had is gone).
 *
 * What was acknowledged must be there, if the cluster promises that; clients never speak to both.
 */
import fc from "fast-check";
import type { ClusterFault, ClusterInjection, ClusterTarget } from "../contract.ts";

export const failover: ClusterFault = {
  name: "failover",
  summary: "the leader is killed, another member is promoted, and the one that led returns as its follower",
  unavailable: ({ clustered }) =>
    clustered?.promote
      ? undefined
      : "its members elect their leader themselves; kill and isolate-leader make them",
  parameters: () =>
    fc.record({
      cutMs: fc.oneof(fc.integer({ min: 200, max: 600 }), fc.constant(0)),
      durationMs: fc.integer({ min: 800, max: 1500 }),
    }),
  async inject({ cutMs }, target) {
    const { leader, failOver, follow } = target;
    if (leader === undefined || !failOver || !follow) return nothing;
    const others = target.members.filter((name) => name !== leader);
    const cut = Number(cutMs) > 0 ? await cutOff(leader, others, target) : undefined;
    await new Promise((resolve) => setTimeout(resolve, Number(cutMs)));
    await target.member(leader).kill();
    // The cut outlasts the promotion: what was held on it would still arrive, as from a host whose kernel lives on.
    const promoted = await failOver(leader, "all");
    await cut?.heal();
    return {
      fired: () => (promoted === undefined ? undefined : { leader, promoted }),
      heal: () => (promoted === undefined ? startAgain(target.member(leader)) : follow(leader)),
    };
  },
};

function cutOff(
  leader: string,
  others: readonly string[],
  { network }: ClusterTarget,
): Promise<ClusterInjection> {
  return network.put(
    others.flatMap((other) => [
      { from: leader, to: other },
      { from: other, to: leader },
    ]),
    { does: "drop" },
  );
}

const nothing: ClusterInjection = { fired: () => undefined, heal: async () => {} };

async function startAgain(member: { start(): void }): Promise<void> {
  member.start();
}
