/** `eventsOf` undoes `buildHistory`, and so does a columnar file, which is written from operations. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { eventsOf } from "./events.ts";
import { exportHistory, openHistory, readHistory } from "./formats/index.ts";
import { buildHistory } from "./history.ts";
import type { HistoryEvent } from "./operation.ts";

const runs = Number(process.env.ACKED_FUZZ ?? 100);
const seed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const directory = mkdtempSync(join(tmpdir(), "acked-events-"));
const path = join(directory, "history");
const again = join(directory, "again");

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
  if (process.env.ACKED_FUZZ) console.log(`events: seed ${seed}, ${runs} runs each`);
});

const optional = { requiredKeys: [] };
const text = fc.constantFrom("", "x", "é🙂", "\u0000");
/** What happens next to one of four clients, or to a node. */
const step = fc.record({
  client: fc.nat(3),
  gap: fc.integer({ min: 1, max: 3 }),
  ending: fc.constantFrom("ok", "ok", "fail", "info"),
  asked: fc.record(
    {
      workload: text,
      key: text,
      value: fc.jsonValue({ maxDepth: 1 }),
      readBack: fc.boolean(),
      syncsBegun: fc.nat(),
    },
    optional,
  ),
  answered: fc.record(
    {
      ...{ value: fc.jsonValue({ maxDepth: 1 }), matched: fc.boolean(), error: text },
      ...{ syncCompleted: fc.nat(), replyPort: fc.nat(65_535), replyBytes: fc.nat() },
    },
    optional,
  ),
  happens: fc.constantFrom("nothing", "nothing", "restart", "other node", "fault"),
});

/** Events as a recorder writes them: indexes with gaps, overlapping clients, restarts; a lost operation retires its process. */
const histories = fc.array(step, { maxLength: 25 }).map((steps) => {
  const events: HistoryEvent[] = [];
  const open = new Map<number, { process: number; key?: string | undefined }>();
  const processOf = new Map<number, number>();
  let [index, incarnation, nextProcess] = [0, 0, 4];
  for (const { client, gap, ending, asked, answered, happens } of steps) {
    index += gap;
    const base = { index, time: index * 1.5, f: "cas" };
    const call = open.get(client);
    if (call) {
      // Only what ended well has a result.
      const { value, ...rest } = answered;
      const result = ending === "ok" && value !== undefined ? { value } : {};
      events.push({ ...base, process: call.process, type: ending as "ok", ...result, ...rest });
      open.delete(client);
      if (ending === "info") processOf.set(client, nextProcess++);
    } else {
      const process = processOf.get(client) ?? client;
      events.push({ ...base, process, type: "invoke", node: "n1", incarnation, ...asked });
      open.set(client, { process });
    }
    if (happens === "nothing") continue;
    const nemesis = { index: ++index, time: index * 1.5, process: "nemesis", type: "info" } as const;
    if (happens === "fault") events.push({ ...nemesis, f: "kill" });
    else if (happens === "restart")
      events.push({
        ...nemesis,
        f: "ready",
        node: "n1",
        incarnation: ++incarnation,
        value: { entries: index },
      });
    else if (index % 5 === 0) events.push({ ...nemesis, f: "ready", node: "n2", incarnation: 0 });
  }
  return events;
});

describe("the events of a history", () => {
  it("build the same history again", () => {
    const seen = { lost: 0, bounded: 0 };
    fc.assert(
      fc.property(histories, (events) => {
        const history = buildHistory(events);
        const back = [...eventsOf(history)];
        expect(buildHistory(back)).toEqual(history);
        expect(back.map(({ index }) => index)).toEqual(
          events.filter(({ f }) => f !== "kill").map(({ index }) => index),
        );
        for (const { outcome, bound } of history.operations) {
          if (outcome === "info") seen.lost++;
          if (outcome === "info" && Number.isFinite(bound)) seen.bounded++;
        }
      }),
      { seed, numRuns: runs },
    );
    expect(Math.min(seen.lost, seen.bounded)).toBeGreaterThan(runs / 10);
  });
});

describe("a columnar file", () => {
  it("holds the same history as the events it was written from, opened or read event by event", () => {
    fc.assert(
      fc.property(histories, (events) => {
        const faults = events.filter(({ f }) => f === "kill").length;
        const { leftOut, events: written } = exportHistory(events, "columnar", path);
        expect(written).toBe(events.length);
        expect(leftOut).toEqual(faults === 0 ? [] : [`${faults} events of the nemesis`]);
        const opened = openHistory(path);
        expect(opened).toMatchObject({ format: "columnar", truncated: false, warnings: [] });
        expect(opened.history).toEqual(buildHistory(events));
        expect(opened.events).toBe(events.length - faults);
        expect([...readHistory(path).events]).toEqual([...eventsOf(buildHistory(events))]);
      }),
      { seed: seed + 1, numRuns: Math.ceil(runs / 2) },
    );
  });

  it("is judged as the lines it came from, and gives them back", () => {
    fc.assert(
      fc.property(histories, (events) => {
        exportHistory(eventsOf(buildHistory(events)), "acked", path);
        exportHistory(path, "columnar", again);
        exportHistory(again, "acked", `${path}.lines`);
        expect(openHistory(`${path}.lines`, { format: "acked" }).history).toEqual(
          openHistory(path, { format: "acked" }).history,
        );
      }),
      { seed: seed + 2, numRuns: Math.ceil(runs / 2) },
    );
  });

  it("gives operations without a workload the one that is asked for, and keeps the others'", () => {
    const ready: HistoryEvent = { index: 0, time: 0, process: "nemesis", type: "info", f: "ready" };
    const call: HistoryEvent = { index: 1, time: 1, process: 0, type: "invoke", f: "read" };
    exportHistory([ready, call, { ...call, index: 2, process: 1, workload: "own" }], "columnar", path);
    const { history } = openHistory(path, { workload: "given" });
    expect(history.operations.map(({ workload }) => workload)).toEqual(["given", "own"]);
    expect(openHistory(path).history.operations.map(({ workload }) => workload)).toEqual(["", "own"]);
  });
});
