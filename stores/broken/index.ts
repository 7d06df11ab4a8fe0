/** The stores with planted bugs: ramlog's program with one part replaced (see bugs.ts). */
import type { Store } from "../contract.ts";
import { ramlogStore } from "../ramlog/store.ts";
import { bugs } from "./bugs.ts";

/** `broken/<bug>`, one store a bug. */
export const brokenStores: readonly Store[] = bugs.map(
  ({ name, seams: _seams, promisesNot, ...plantedBug }) =>
    ramlogStore({
      name: `broken/${name}`,
      summary: `ramlog with a planted bug: ${plantedBug.bug}`,
      program: "stores/broken/main.js",
      extraArgs: ["--bug", name],
      recoverModule: "stores/broken/recoverable.js",
      recoverOptions: { bug: name },
      ...(promisesNot ? { promisesNot } : {}),
      plantedBug,
    }),
);
