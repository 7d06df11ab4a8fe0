/**
 * A graceful stop under load: SIGTERM, as a deployment does it. A correct store ends by itself and keeps what its
 * promise says of a graceful stop; in every mode nothing acknowledged may be lost where it promises so.
 *
 * It has fired when the signal was sent to a running process. Whoever runs the cycle awaits the exit, and kills after
 * a deadline. Timed, not deterministic.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";

export const stop: Fault = {
  name: "stop",
  summary: "the store is asked to end (SIGTERM) under load, then restarted",
  when: "crash",
  mechanism: "signal",
  unavailable: (_store, { platform }) =>
    platform === "win32" ? "Windows has no SIGTERM; run it in a Linux container" : undefined,
  parameters: () => fc.record({ delayMs: fc.integer({ min: 0, max: 300 }) }),
  inject({ delayMs }, { node }) {
    let evidence: Readonly<Record<string, unknown>> | undefined;
    const timer = setTimeout(() => {
      if (!node.running()) return;
      node.signal("SIGTERM");
      evidence = { pid: node.pid, signal: "SIGTERM" };
    }, Number(delayMs));
    return { fired: () => evidence, heal: () => clearTimeout(timer) };
  },
};
