/**
 * A member that comes back with another disk than it left with: an older copy of its own, an empty one, or a new member in
 * its place on an empty one.
 *
 * An old or an empty disk breaks what consensus is built on (a member that has forgotten what it had acknowledged), so a
 * cluster may lose acknowledged writes, or the member may refuse; they are put in only when asked for. A replaced member
 * is admitted by the cluster itself, and must cost nothing.
 */
import fc from "fast-check";
import type { ClusterFault } from "../contract.ts";
import { chosenMember } from "./on-members.ts";

const drawn = () => ({ member: fc.nat(999), durationMs: fc.integer({ min: 200, max: 900 }) });

export const oldDisk: ClusterFault = {
  name: "old-disk",
  summary: "a member is stopped, and comes back with its disk as it was some time before",
  onlyWhenAsked: "a member that forgets what it acknowledged breaks what every consensus rests on",
  unavailable: () => undefined,
  parameters: () => fc.record(drawn()),
  async inject(parameters, target) {
    const member = target.member(chosenMember(parameters, target));
    await member.kill();
    member.keepDisk();
    member.start();
    let evidence: Readonly<Record<string, unknown>> | undefined;
    return {
      fired: () => evidence,
      async heal() {
        await member.kill();
        if (member.oldDisk()) evidence = { member: member.name, returned: "with an older disk" };
        member.start();
      },
    };
  },
};

export const emptyDisk: ClusterFault = {
  name: "empty-disk",
  summary: "a member is killed, and comes back under its own name with nothing on its disk",
  onlyWhenAsked: "a member that forgets what it acknowledged breaks what every consensus rests on",
  unavailable: () => undefined,
  parameters: () => fc.record(drawn()),
  async inject(parameters, target) {
    const member = target.member(chosenMember(parameters, target));
    await member.kill();
    member.emptyDisk();
    const evidence = { member: member.name, returned: "with an empty disk" };
    return {
      fired: () => evidence,
      heal: async () => member.start(),
    };
  },
};

export const replaceMember: ClusterFault = {
  name: "replace-member",
  summary: "a member is lost for good, and a new one takes its place on an empty disk",
  unavailable: ({ clustered }) =>
    clustered?.replace ? undefined : "its members cannot be replaced while it runs",
  parameters: () => fc.record(drawn()),
  async inject(parameters, target) {
    const name = chosenMember(parameters, target);
    await target.member(name).kill();
    let evidence: Readonly<Record<string, unknown>> | undefined;
    return {
      fired: () => evidence,
      async heal() {
        if (await target.replace?.(name)) evidence = { member: name, replaced: true };
      },
    };
  },
};
