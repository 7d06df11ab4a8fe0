/** The profiles, by name. */
import { ScenarioError, unknownName } from "../../../../stores/contract.ts";
import { ext4Ordered } from "./ext4-ordered.ts";
import { ext4Writeback } from "./ext4-writeback.ts";
import { posixStrict } from "./posix-strict.ts";
import type { Profile } from "./profile.ts";
import { synchronous } from "./synchronous.ts";
import { xfs } from "./xfs.ts";

/** The first is the gate. */
export const profiles: readonly Profile[] = [ext4Ordered, posixStrict, ext4Writeback, xfs, synchronous];

export const profileNames: readonly string[] = profiles.map((profile) => profile.name);

/** @throws ScenarioError for a name that is not known. */
export function profileByName(name: string): Profile {
  const found = profiles.find((profile) => profile.name === name);
  if (found !== undefined) return found;
  if (name === "") throw new ScenarioError(`a profile is missing; known: ${profileNames.join(", ")}`);
  throw unknownName("profile", name, profileNames);
}

/** A store that claims to need no more than POSIX promises is held to it, by name; of others it is told. */
export function isHeldToPosix(store: string): boolean {
  return store === "ramlog" || store.startsWith("broken/");
}
