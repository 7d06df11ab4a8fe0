/**
 * What every planted bug is: a name, what must find it, and the parts of ramlog it replaces. ramlog itself has no
 * switch for a bug; everything else about these stores is production code.
 */

import type { PlantedBug } from "../contract.ts";
import type { ProgramSeams } from "../ramlog/program.ts";

export interface Bug extends PlantedBug {
  /** `broken/<name>` is the store's name. */
  readonly name: string;
  readonly seams: ProgramSeams;
  /** What of ramlog's promise this store does not make, so that the bug must show in its data. */
  readonly promisesNot?: readonly "failStop"[];
}
