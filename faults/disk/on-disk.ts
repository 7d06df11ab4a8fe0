/** What every disk fault does alike: say where there is no interposer, arm one rule, and tell of its firing. */
import type { DiskOperation, Store } from "../../stores/contract.ts";
import type { DiskRule, FaultTarget, Injection, Machine } from "../contract.ts";

/** Why the interposer cannot do this to this store on this machine; `undefined` when it can. */
export function withoutInterposer(store: Store, machine: Machine, needs?: DiskOperation): string | undefined {
  if (machine.platform !== "linux") {
    return `the interposer works on Linux only, and this is ${machine.platform}; run acked in a Linux container`;
  }
  if (!machine.compiler) return "the interposer needs a C compiler; install gcc, or set CC";
  // It is reached by the broker then, which does the same.
  if (store.interposable === false && machine.noBroker) return machine.noBroker;
  if (needs && !(store.performs ?? ["write", "sync"]).includes(needs)) {
    return `${store.name} performs no regular ${needs} that this fault could act on`;
  }
  return undefined;
}

/** In the evidence of a fault after which a store may show an earlier state: it cannot tell it from this. */
export const looksLikeOlderDisk = { looksLike: "an older disk" } as const;

/**
 * Arms the rule at once. Its evidence is the interposer's own record of the first firing, and `more`.
 *
 * @throws Error when there is no interposer in the target.
 */
export function injectRule(
  target: FaultTarget,
  rule: DiskRule,
  more: Readonly<Record<string, unknown>> = {},
): Injection {
  if (!target.disk) {
    throw new Error(`a disk fault was planned for ${target.node.name}, which runs without the interposer`);
  }
  const armed = target.disk.arm(rule);
  return {
    fired: () => {
      const fired = armed.fired();
      return fired && { ...fired, ...more };
    },
    heal: () => armed.disarm(),
  };
}
