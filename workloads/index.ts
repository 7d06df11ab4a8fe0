/** The registry of workloads, one line each. */
import { unknownName } from "../stores/contract.ts";
import { append } from "./append.ts";
import { bank } from "./bank.ts";
import type { Workload } from "./contract.ts";
import { kv } from "./kv.ts";
import { register } from "./register.ts";
import { set } from "./set.ts";

/** Every workload that can be named. */
export const workloads: readonly Workload[] = [register, kv, append, bank, set];

/**
 * The workloads of these names, in their order, each once.
 *
 * @throws ScenarioError for a name that is not known; it lists those that are.
 */
export function findWorkloads(names: readonly string[]): Workload[] {
  return [...new Set(names)].map((name) => {
    const workload = workloads.find((one) => one.name === name);
    if (workload) return workload;
    throw unknownName(
      "workload",
      name,
      workloads.map((one) => one.name),
    );
  });
}
