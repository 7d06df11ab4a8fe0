/**
 * Power loss: after `delayMs` of load the whole store is killed, and its data directory is replaced by what a disk may
 * hold after power went out at that moment: a *crash state*, rebuilt from the trace of every call since the directory
 * began. What was synced is there; of what was only written, any part that the profile (a file system's rules) allows.
 * Which of the allowed states it is, is drawn: `state` chooses among them.
 *
 * A correct store recovers, and serves everything it had acknowledged as durable in its mode. The moment is timed, and
 * not deterministic; the state that was chosen is recorded with the trace, so that it can be rebuilt exactly. Not
 * modelled here: power loss during recovery, and every other state and moment; `acked explore` does those.
 *
 * It may also follow another crash, such as a failed sync whose lost pages only show then: the store is dead already, and
 * the directory is all that is changed. It has fired when the kill reached a running process, or found a dead one; the harness rebuilds the directory when nothing runs any more.
 */
import fc from "fast-check";
import type { Fault } from "../contract.ts";
import { withoutInterposer } from "../disk/on-disk.ts";

export const powerLoss: Fault = {
  name: "power-loss",
  summary: "the store is killed, and what it had not synced is lost, as the file system's rules allow",
  when: "crash",
  mechanism: "interposer",
  unavailable: (store, machine) => withoutInterposer(store, machine, "write"),
  parameters: () =>
    fc.record({
      delayMs: fc.integer({ min: 0, max: 300 }),
      profile: fc.constant("ext4-ordered"),
      state: fc.nat(2 ** 31 - 1),
    }),
  inject({ delayMs }, { node }) {
    const cut = (at: string) => ({ at, pid: node.pid, firstAtNs: Number(process.hrtime.bigint()) });
    if (!node.running()) {
      const afterCrash = cut("after the crash");
      return { fired: () => afterCrash, heal: () => {} };
    }
    let evidence: Readonly<Record<string, unknown>> | undefined;
    const timer = setTimeout(() => {
      if (!node.running()) return;
      evidence = cut("time");
      node.signal("SIGKILL");
    }, Number(delayMs));
    return { fired: () => evidence, heal: () => clearTimeout(timer) };
  },
};
