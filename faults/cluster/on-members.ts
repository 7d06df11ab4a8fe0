/** What faults of whole members do alike: choose the member that a drawn number stands for. */
import type { ClusterTarget, FaultParameters } from "../contract.ts";

/** The member of `parameters.member`: `leader` (the first when none is known), or a number, modulo how many there are. */
export function chosenMember({ member }: FaultParameters, target: ClusterTarget): string {
  const first = target.members[0]!;
  if (member === "leader") return target.leader ?? first;
  return target.members[Number(member) % target.members.length] ?? first;
}
