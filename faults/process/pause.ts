/**
 * A pause: SIGSTOP to the whole tree of the node, later SIGCONT. As long collections, a stopped virtual machine or a
 * starved host do it: the process misses time without knowing. A correct store answers late, and nothing else.
 *
 * It has fired when the kernel shows the process as stopped (state T in /proc/<pid>/status). Without /proc the delivery
 * of the signal to a running process is all the evidence there is. `heal` always continues the process.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import type { Fault, NodeProcess } from "../contract.ts";

export const pause: Fault = {
  name: "pause",
  summary: "the store's processes are stopped (SIGSTOP), and go on a little later (SIGCONT)",
  when: "passing",
  mechanism: "signal",
  unavailable: (_store, { platform }) =>
    platform === "win32" ? "Windows has no SIGSTOP; run it in a Linux container" : undefined,
  parameters: () => fc.record({ durationMs: fc.integer({ min: 50, max: 400 }) }),
  inject(_parameters, { node }) {
    const running = node.running();
    if (running) node.signal("SIGSTOP");
    let evidence: Readonly<Record<string, unknown>> | undefined;
    let healed = false;
    const look = () => {
      if (running && !healed) evidence ??= stoppedEvidence(node);
      return evidence;
    };
    look();
    return {
      fired: look,
      heal() {
        if (healed) return;
        look();
        healed = true;
        node.signal("SIGCONT");
      },
    };
  },
};

function stoppedEvidence({ pid }: NodeProcess): Readonly<Record<string, unknown>> | undefined {
  if (process.platform !== "linux") return { pid, signal: "SIGSTOP" };
  try {
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return state === "T" ? { pid, state } : undefined;
  } catch {
    return undefined; // it ended meanwhile
  }
}
