/** The part of a stream of events that belongs to one workload, as it is exported. */
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import { shown } from "./warnings.ts";

/** Workloads named in a complaint. */
const namesKept = 20;

/**
 * Operations whose invocation names this workload, with their completions, whether those name it or not; and all events of
 * the nemesis.
 *
 * @throws HistoryError at the end when there was no such operation, with the workloads there are.
 */
export function* ofOneWorkload(
  events: Iterable<HistoryEvent>,
  workload: string,
): Generator<HistoryEvent, void, undefined> {
  const open = new Map<number, boolean>();
  const names = new Set<string | undefined>();
  let found = false;
  for (const event of events) {
    if (event.process === "nemesis") {
      yield event;
      continue;
    }
    if (event.type === "invoke") {
      open.set(event.process, event.workload === workload);
      if (names.size < namesKept) names.add(event.workload);
    }
    const isOfIt = open.get(event.process) ?? event.workload === workload;
    found ||= isOfIt;
    if (isOfIt) yield event;
  }
  if (!found)
    throw new HistoryError(`no operation is of the workload ${shown(workload)}: ${thoseThere(names)}`);
}

function thoseThere(names: ReadonlySet<string | undefined>): string {
  const named = [...names].filter((name) => name !== undefined).map(shown);
  if (named.length > 0) return `there are ${named.sort().join(", ")}`;
  return names.size === 0 ? "there are no operations" : "its operations do not name one";
}
