/** What the counterexample and the lanes share: how an operation looks, reads aloud, and until when it may take effect. */
import type { Operation } from "../../harness/history/operation.ts";
import type { Start } from "../timeline.ts";
import { asked, client, count, duration, ended, isRead, moment } from "../wording.ts";

/** How a bar is drawn: its colour says read or write, its pattern how it ended. */
export function barClass(operation: Operation): string {
  const kind = isRead(operation.f) ? "read" : "write";
  if (operation.outcome === "ok") return operation.matched === false ? `${kind} unmatched` : kind;
  return `${kind} ${operation.outcome === "info" ? "unknown" : "failed"}`;
}

/** One operation in full, for a tooltip and for screen readers; `members`: with the member of a cluster that it went to. */
export function describe(operation: Operation, members = false): string {
  const took = Number.isFinite(operation.returnedAt)
    ? `${moment(operation.calledAt)} to ${moment(operation.returnedAt)}, ${duration(operation.returnedAt - operation.calledAt)}`
    : `${moment(operation.calledAt)}, never answered`;
  const readBack = operation.readBack ? ", read-back after restart" : "";
  const start = members ? "" : `, ${operation.node} start ${count(operation.incarnation)}`;
  return `${client(operation, members)}: ${asked(operation, true)} ${ended(operation)} (${took}; ${operation.workload}${start}${readBack})`;
}

/** When an operation of unknown outcome has taken effect or never will: the next start of its node. */
export function boundOf(operation: Operation, starts: readonly Start[]): number {
  const next = starts.find(
    (start) => start.node === operation.node && start.incarnation > operation.incarnation,
  );
  return next ? next.time : Number.POSITIVE_INFINITY;
}
