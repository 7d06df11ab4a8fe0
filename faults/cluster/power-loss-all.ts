/**
 * Power goes out in the whole room: every member is killed at once, and each loses what it had not synced, as a file
 * system's rules allow (faults/process/power-loss.ts says how one such state is chosen). What was acknowledged must still
 * be there when they serve again, unless the cluster promises less.
 */
import fc from "fast-check";
import type { ClusterFault } from "../contract.ts";
import { powerLoss } from "../process/power-loss.ts";
import { inOrder } from "./restart-order.ts";

export const powerLossAll: ClusterFault = {
  name: "power-loss-all",
  summary: "every member is killed at once, and each loses what it had not synced",
  unavailable: (store, machine) => powerLoss.unavailable(store, machine),
  parameters: () =>
    fc.record({
      order: fc.nat(999),
      profile: fc.constant("ext4-ordered"),
      state: fc.nat(2 ** 31 - 1),
      durationMs: fc.integer({ min: 50, max: 600 }),
    }),
  async inject(parameters, target) {
    await Promise.all(target.members.map((name) => target.member(name).kill()));
    const lost = target.members.map((name) => ({ name, ...target.member(name).losePower(parameters) }));
    const evidence = Object.fromEntries(lost.map(({ name, evidence }) => [name, evidence]));
    return {
      fired: () => (lost.every((one) => one.lost) ? evidence : undefined),
      async heal() {
        for (const name of inOrder(target.members, Number(parameters.order))) target.member(name).start();
      },
    };
  },
};
