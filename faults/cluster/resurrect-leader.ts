/**
 * A failover without fencing: the leader is killed, another member is promoted, and the one that led is started again as it
 * was. It still takes itself for the leader, and clients that belong to it were not told. Until it is made a follower there
 * are two leaders: one serves stale data, and writes that it acknowledges are lost.
 */
import fc from "fast-check";
import type { ClusterFault, ClusterInjection, MemberControl } from "../contract.ts";

export const resurrectLeader: ClusterFault = {
  name: "resurrect-leader",
  summary: "after a failover the old leader is started again as it was, and its own clients were not told",
  onlyWhenAsked: "no cluster without fencing survives it",
  unavailable: ({ clustered }) =>
    clustered?.promote ? undefined : "its members elect their leader themselves, and a returning one is told",
  parameters: () => fc.record({ durationMs: fc.integer({ min: 1200, max: 2000 }) }),
  async inject(_parameters, target) {
    const { leader, failOver, follow } = target;
    if (leader === undefined || !failOver || !follow) return nothing;
    await target.member(leader).kill();
    const promoted = await failOver(leader, "some");
    const old = target.member(leader);
    old.start();
    const servesAgain = await upWithin(old, startDeadlineMs);
    return {
      fired: () => (promoted === undefined || !servesAgain ? undefined : { leader, promoted }),
      heal: async () => {
        await target.member(leader).kill();
        await (promoted === undefined ? target.member(leader).start() : follow(leader));
      },
    };
  },
};

/** ms that the old leader may take to be up again. */
const startDeadlineMs = 5000;

async function upWithin(member: MemberControl, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (!member.running() && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 20));
  return member.running();
}

const nothing: ClusterInjection = { fired: () => undefined, heal: async () => {} };
