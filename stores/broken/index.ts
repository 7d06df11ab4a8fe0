/** The stores with planted bugs: ramlog's program with one part replaced (see bugs.ts). */
import type { Store } from "../contract.ts";
import { ramlogStore } from "../ramlog/store.ts";
import { bugs } from "./bugs.ts";

/** `broken/<bug>`, one store a bug. */
export const brokenStores: readonly Store[] = bugs.map(({ name, bug, finding, workloads, faults }) =>
  ramlogStore({
    name: `broken/${name}`,
    summary: `ramlog with a planted bug: ${bug}`,
    program: "stores/broken/main.js",
    extraArgs: ["--bug", name],
    plantedBug: { bug, finding, workloads, faults },
  }),
);
