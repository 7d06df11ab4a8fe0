/**
 * A process crash: SIGKILL to the whole store. The page cache survives, so this tests atomicity and what was written,
 * never what was synced. A correct store has lost nothing that was written before an acknowledgement.
 *
 * Two ways to choose the moment. `at: "time"`: after `delayMs`, from outside, not deterministic. `at: "write" | "sync" |
 * "rename"`: by the interposer, immediately before or after the nth such call on any file of the data directory,
 * counted over all processes of the store. Where there is no interposer, a kill that was planned for a call happens
 * after `delayMs` instead, and its evidence says so (`at: "time"`, `planned: …`).
 */
import fc from "fast-check";
import type { Store } from "../../stores/contract.ts";
import type { DiskControl, DiskRule, Fault, FaultParameters, Injection, NodeProcess } from "../contract.ts";

export const kill: Fault = {
  name: "kill",
  summary: "the store is killed (SIGKILL), at a time or just before or after its nth write, sync or rename",
  when: "crash",
  mechanism: "interposer",
  // Without an interposer the kills are timed ones: never unavailable, except where there is no SIGKILL.
  unavailable: (_store, { platform }) =>
    platform === "win32" ? "Windows has no SIGKILL; run it in a Linux container" : undefined,
  parameters: (store) => fc.oneof(...momentsOf(store).map(drawMoment)),
  inject(parameters, { node, disk }) {
    if (parameters.at === "time") return killAtTime(node, parameters, {});
    if (!disk) return killAtTime(node, parameters, { planned: String(parameters.at) });
    return killAtCall(disk, parameters);
  },
};

type Moment = "time" | "write" | "sync" | "rename";

/** Only operations that the store performs regularly: at another the kill might never come. */
function momentsOf(store: Store): Moment[] {
  return ["time", ...(store.performs ?? (["write", "sync"] as const)).filter((at) => at !== "grow")];
}

/** Renames are rarer than the rest by orders of magnitude. */
const nthMax: Record<Moment, number> = { time: 1, write: 120, sync: 60, rename: 1 };

function drawMoment(at: Moment): fc.Arbitrary<FaultParameters> {
  return fc.record({
    at: fc.constant(at),
    side: fc.constantFrom("before", "after"),
    nth: fc.integer({ min: 1, max: nthMax[at] }),
    delayMs: fc.integer({ min: 0, max: 300 }),
  });
}

function killAtTime(node: NodeProcess, { delayMs }: FaultParameters, plan: { planned?: string }): Injection {
  let evidence: Readonly<Record<string, unknown>> | undefined;
  const timer = setTimeout(() => {
    if (!node.running()) return;
    const firstAtNs = Number(process.hrtime.bigint());
    node.signal("SIGKILL");
    evidence = { at: "time", ...plan, signal: "SIGKILL", pid: node.pid, firstAtNs };
  }, Number(delayMs));
  return { fired: () => evidence, heal: () => clearTimeout(timer) };
}

function killAtCall(disk: DiskControl, { at, side, nth }: FaultParameters): Injection {
  const armed = disk.arm({
    operation: at as DiskRule["operation"],
    path: "**",
    nth: Number(nth),
    repeat: "once",
    effect: { do: side === "before" ? "kill-before" : "kill-after" },
  });
  return {
    fired: () => {
      const fired = armed.fired();
      return fired && { at, side, ...fired };
    },
    heal: () => armed.disarm(),
  };
}
