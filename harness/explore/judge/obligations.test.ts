import { expect, test } from "vitest";
import type { TraceEvent } from "../../../faults/contract.ts";
import { buildHistory, type History } from "../../history/history.ts";
import type { HistoryEvent } from "../../history/operation.ts";
import { toyRun } from "../fixtures/toy-run.ts";
import { historyAt, placeOperations } from "./obligations.ts";

const startNs = 1_000_000;

/** Begin and end of a send: [at, port, offset, bytes asked for, bytes sent]. */
function sends(...calls: readonly (readonly [number, number, number, number, number])[]): TraceEvent[] {
  return calls.flatMap(([at, port, offset, asked, sent], i) => {
    const common = {
      kind: "send" as const,
      call: 2 * i,
      pid: 1,
      tid: 1,
      inode: "9:9",
      path: "",
      offset,
      port,
    };
    return [
      { ...common, index: 2 * i, phase: "begin" as const, atNs: startNs + at, size: asked },
      {
        ...common,
        index: 2 * i + 1,
        phase: "end" as const,
        atNs: startNs + at + 1,
        size: sent,
        result: sent,
      },
    ];
  });
}

/** Writes of one client each: [sent at, reply at (undefined: never), replyPort, replyBytes]. */
function writes(
  ...operations: readonly (readonly [number, number | undefined, number?, number?])[]
): History {
  const events: Omit<HistoryEvent, "index">[] = [];
  for (const [process, [time, returned, replyPort, replyBytes]] of operations.entries()) {
    const common = { process, f: "write", workload: "kv", key: "k" };
    events.push({ ...common, type: "invoke", time, value: `v${process}`, node: "n1", incarnation: 0 });
    if (returned === undefined) continue;
    const where = replyPort === undefined ? {} : { replyPort, replyBytes: replyBytes ?? 0 };
    events.push({ ...common, type: "ok", time: returned, value: null, ...where });
  }
  events.sort((a, b) => a.time - b.time);
  return buildHistory(events.map((event, index) => ({ ...event, index })));
}

test("an operation is acknowledged at the send that carries the last byte of its reply", () => {
  const trace = { events: sends([100, 7, 0, 5, 5], [200, 7, 5, 5, 5], [300, 7, 10, 9, 9]), faults: [] };
  const { operations, acknowledgements } = placeOperations(writes([50, 400, 7, 10]), trace, startNs);
  expect(operations[0]!.acknowledgedAt).toBe(2);
  expect(acknowledgements).toBe("traced");
});

test("a send that took only some bytes does not acknowledge what came with the rest", () => {
  const trace = { events: sends([100, 7, 0, 8, 3], [200, 7, 3, 5, 5]), faults: [] };
  expect(placeOperations(writes([50, 400, 7, 8]), trace, startNs).operations[0]!.acknowledgedAt).toBe(2);
});

test("a port that was used again does not confuse two connections", () => {
  const trace = { events: sends([100, 7, 0, 5, 5], [500, 7, 0, 5, 5]), faults: [] };
  const { operations } = placeOperations(writes([50, 200, 7, 5], [450, 600, 7, 5]), trace, startNs);
  expect(operations.map(({ acknowledgedAt }) => acknowledgedAt)).toEqual([0, 2]);
});

test("without the reply's place the client's clock decides, and the result says that it is weak", () => {
  const trace = { events: sends([100, 7, 0, 5, 5], [500, 7, 5, 5, 5]), faults: [] };
  const obligations = placeOperations(writes([50, 200]), trace, startNs);
  expect(obligations.operations[0]!.acknowledgedAt).toBe(2);
  expect([obligations.acknowledgements, obligations.weak]).toEqual(["weak", 1]);
});

test("what was never answered is never owed", () => {
  const trace = { events: sends([100, 7, 0, 5, 5]), faults: [] };
  const { operations, acknowledgements } = placeOperations(writes([50, undefined]), trace, startNs);
  expect(operations[0]!.acknowledgedAt).toBe(Number.POSITIVE_INFINITY);
  expect(acknowledgements).toBe("traced");
});

test("an operation may have taken effect from the first event after its sending, also when stamps go back", () => {
  const events = sends([100, 7, 0, 5, 5], [90, 8, 0, 5, 5], [300, 8, 5, 5, 5]);
  const placed = placeOperations(writes([95, undefined], [150, undefined]), { events, faults: [] }, startNs);
  expect(placed.operations.map(({ invokedAt }) => invokedAt)).toEqual([0, 4]);
});

test("the history cut at an event has neither later requests nor later replies", () => {
  const trace = { events: sends([100, 7, 0, 5, 5], [300, 8, 0, 5, 5]), faults: [] };
  const history = writes([50, 120, 7, 5], [60, 310, 8, 5], [250, undefined]);
  const obligations = placeOperations(history, trace, startNs);
  const at = (event: number) =>
    historyAt(obligations, event).operations.map(({ input, outcome }) => `${input} ${outcome}`);
  expect(at(1)).toEqual(["v0 ok", "v1 info"]);
  expect(at(2)).toEqual(["v0 ok", "v1 ok", "v2 info"]);
});

test("in a traced run every acknowledgement is placed before its reply arrived and after what it waited for", () => {
  const run = toyRun({ seed: 7, workloads: ["kv", "append"], clients: 8, operations: 300, sync: "always" });
  const obligations = placeOperations(run.history, { events: run.events, faults: [] }, run.startNs);
  expect(obligations.acknowledgements).toBe("traced");
  for (const { operation, invokedAt, acknowledgedAt } of obligations.operations) {
    const send = run.events[acknowledgedAt]!;
    expect(send.kind).toBe("send");
    expect(invokedAt).toBeLessThanOrEqual(acknowledgedAt);
    expect(send.atNs - run.startNs).toBeLessThan(operation.returnedAt);
  }
});

test("the time in which the store was down is no part of its life", () => {
  const run = toyRun({
    seed: 7,
    workloads: ["kv"],
    clients: 4,
    operations: 60,
    sync: "always",
    killAfter: 30,
  });
  const { upTime, history, operations } = placeOperations(
    run.history,
    { events: run.events, faults: [] },
    run.startNs,
  );
  const ready = history.readiness[1]!.time;
  const before = operations.filter(({ operation }) => operation.incarnation === 0);
  const lastHeard = Math.max(...before.map((one) => one.acknowledgedNs).filter(Number.isFinite));
  expect(upTime(lastHeard)).toBe(lastHeard);
  expect(upTime(ready)).toBe(lastHeard);
  expect(upTime(ready + 5000) - upTime(ready)).toBe(5000);
});
