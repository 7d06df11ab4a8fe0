import { expect, test } from "vitest";
import type { TraceEvent } from "../../../faults/contract.ts";
import type { Store } from "../../../stores/contract.ts";
import { findStore } from "../../../stores/index.ts";
import { longestSyncMs, promiseInTrace, slackMs } from "./promise-in-trace.ts";
import type { TracedRunFiles } from "./traced-run-files.ts";

/** A sync of the log from one ms to another; one without an end is in flight as the trace ends. */
function sync(call: number, fromMs: number, toMs?: number): TraceEvent[] {
  const common = {
    kind: "datasync",
    call,
    pid: 1,
    tid: 1,
    inode: "1:2",
    path: "log",
    offset: 0,
    size: 0,
  } as const;
  const begin: TraceEvent = { ...common, index: call, phase: "begin", atNs: fromMs * 1e6 };
  return toMs === undefined
    ? [begin]
    : [begin, { ...common, index: call + 1, phase: "end", atNs: toMs * 1e6, result: 0 }];
}

function boundOf(store: Store, events: readonly TraceEvent[]): number | undefined {
  const record = { durability: { mode: "interval", intervalMs: 20 } };
  const { powerLoss } = promiseInTrace(store, {
    record,
    trace: { events, faults: [] },
  } as unknown as TracedRunFiles);
  return powerLoss.survives === "a prefix" ? powerLoss.lossMsMax : undefined;
}

test("the loss that an interval allows is the interval and the longest sync of the trace, with the stated slack", async () => {
  const ramlog = await findStore("ramlog");
  expect(boundOf(ramlog, [])).toBe(20 + slackMs);
  expect(boundOf(ramlog, [...sync(0, 5, 9), ...sync(2, 10, 52), ...sync(4, 60, 61)])).toBe(20 + 42 + slackMs);
  // A disk that is really that slow is the store's excuse, however much it is.
  expect(boundOf(ramlog, sync(0, 5, 3005))).toBe(20 + 3000 + slackMs);
});

test("a sync that was in flight as the trace ended took at least until then", () => {
  expect(longestSyncMs([...sync(0, 10), ...sync(2, 40, 47)])).toBe(37);
});

test("a promise that sets nothing aside for syncs is left as it is", async () => {
  const redis = await findStore("redis");
  const { powerLoss } = redis.promise({ mode: "interval", intervalMs: 1000 });
  expect(powerLoss).toMatchObject({ lossMsMax: 2000 });
  const record = { durability: { mode: "interval", intervalMs: 1000 } };
  const files = { record, trace: { events: [], faults: [] } } as unknown as TracedRunFiles;
  expect(promiseInTrace(redis, files).powerLoss).toEqual(powerLoss);
});
