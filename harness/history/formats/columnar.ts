/**
 * acked's own columns (columnar-file.ts): read many times faster than lines, and not for people. Keeps operations and the
 * starts of nodes; of the nemesis nothing else.
 */
import { columnarMagic, readColumnarFile, writeColumnarFile } from "../columnar-file.ts";
import { eventsOf } from "../events.ts";
import { buildHistory } from "../history.ts";
import { historyColumns } from "../history-columns.ts";
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, HistoryFormat } from "./contract.ts";

export const columnar: HistoryFormat = {
  name: "columnar",
  summary: "acked's own columns: read many times faster than lines; operations and starts only",
  detects: (head) => head.subarray(0, columnarMagic.length).equals(columnarMagic),
  open(path) {
    const history = readColumnarFile(path).toHistory();
    const ends = history.operations.filter((operation) => Number.isFinite(operation.return)).length;
    return { history, events: history.operations.length + ends + history.readiness.length };
  },
  *read(path, options = {}): Generator<HistoryEvent, FormatEnd, undefined> {
    let events = 0;
    for (const event of eventsOf(readColumnarFile(path).toHistory())) {
      events++;
      const unnamed =
        options.workload !== undefined && event.process !== "nemesis" && event.workload === undefined;
      yield unnamed ? { ...event, workload: options.workload! } : event;
    }
    return { events, truncated: false, warnings: [] };
  },
  writeFile(events, path) {
    let others = 0;
    function* kept(): Generator<HistoryEvent, void, undefined> {
      for (const event of events) {
        if (event.process === "nemesis" && event.f !== "ready") others++;
        yield event;
      }
    }
    writeColumnarFile(path, historyColumns(buildHistory(kept())));
    return { leftOut: others === 0 ? [] : [`${others} events of the nemesis`] };
  },
};
