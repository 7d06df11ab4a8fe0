/** Explores one share of a traced run that has been read: what threads, the process path and tests have in common. */
import type { Durability } from "../../stores/contract.ts";
import { findWorkloads } from "../../workloads/index.ts";
import { exploreShare, type Share, type ShareOptions } from "./explore-share.ts";
import { readBackRequests } from "./judge/judge-state.ts";
import { RecoveredValues } from "./judge/judge-state-values.ts";
import { placeOperations } from "./judge/obligations.ts";
import type { StateRecoverer } from "./recover/explore-recovery.ts";
import { imageOfBase } from "./traced/traced-run-files.ts";

export interface ExploreFilesOptions
  extends Omit<ShareOptions, "base" | "workloads" | "obligations" | "values" | "recoverer"> {
  /** How states are recovered; `values` takes what is read. */
  readonly recovererOf: (
    values: RecoveredValues,
    durability: Durability,
  ) => StateRecoverer | Promise<StateRecoverer>;
}

export async function exploreFiles({ recovererOf, ...options }: ExploreFilesOptions): Promise<Share> {
  const { history, trace, record } = options.files;
  const workloads = findWorkloads(record.workloads);
  const values = new RecoveredValues(readBackRequests(workloads, record.epoch, history));
  return exploreShare({
    ...options,
    base: imageOfBase(options.files.base, options.files.directory.baseDir),
    workloads,
    values,
    obligations: placeOperations(history, trace, record.startNs),
    recoverer: await recovererOf(values, record.durability),
  });
}
