/** In-process recovery of a store with a planted bug, named by `options.bug`; the rest as in ramlog. */
import type { Recover } from "../contract.ts";
import { type RecoverOptions, recoverWith } from "../ramlog/recoverable.ts";
import { bugs } from "./bugs.ts";

export const recover: Recover = async (disk, options) => {
  const bug = bugs.find((one) => one.name === options.bug);
  if (!bug) throw new Error(`there is no planted bug ${JSON.stringify(options.bug)}`);
  return recoverWith(disk, options as unknown as RecoverOptions, bug.seams);
};
