/**
 * The whole cluster crashes at once: SIGKILL to every member, and a restart of all in a drawn order. Page caches survive.
 * What was acknowledged must still be there when they serve again.
 */
import fc from "fast-check";
import type { ClusterFault } from "../contract.ts";
import { inOrder } from "./restart-order.ts";

export const killAll: ClusterFault = {
  name: "kill-all",
  summary: "every member of the cluster is killed (SIGKILL) at once; all are started again, in any order",
  unavailable: () => undefined,
  parameters: () => fc.record({ order: fc.nat(999), durationMs: fc.integer({ min: 50, max: 600 }) }),
  async inject({ order }, target) {
    const running = target.members.filter((name) => target.member(name).running());
    await Promise.all(target.members.map((name) => target.member(name).kill()));
    return {
      fired: () => (running.length > 0 ? { killed: running } : undefined),
      async heal() {
        for (const name of inOrder(target.members, Number(order))) target.member(name).start();
      },
    };
  },
};
