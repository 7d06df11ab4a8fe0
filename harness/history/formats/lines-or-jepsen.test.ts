import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { HistoryEvent } from "../operation.ts";
import { exportHistory, openHistory } from "./index.ts";

const directory = mkdtempSync(join(tmpdir(), "acked-lines-or-"));
const path = join(directory, "history.json");
const out = join(directory, "out.json");

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Operations of one client, one after the other: [f, argument, answer]; further members go to the invocations. */
function opened(
  steps: readonly (readonly [f: string, argument: unknown, answer: unknown])[],
  more: object = {},
) {
  const events = steps.flatMap(([f, value, answer], i) => [
    { index: 2 * i, time: 2 * i, process: 0, type: "invoke", f, value, ...more },
    { index: 2 * i + 1, time: 2 * i + 1, process: 0, type: "ok", f, value: answer },
  ]);
  writeFileSync(path, events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  const { format, warnings, history } = openHistory(path);
  return { format, warnings, outputs: history.operations.map(({ output }) => output) };
}

describe("JSON lines without a workload, a node or a key", () => {
  it("are Jepsen's when every completed write repeats its argument, and its repetition is no answer", () => {
    const { format, warnings, outputs } = opened([
      ["add", 5, 5],
      ["add", 5, 5],
      ["read", null, 10],
    ]);
    expect({ format, outputs }).toEqual({ format: "jepsen-json", outputs: [undefined, undefined, 10] });
    expect(warnings).toEqual([
      "a completion that repeats its argument is taken for no answer, as in Jepsen's JSON; if these are acked's own lines, where it is what the store returned, name the format acked (first at line 2, 2 times)",
    ]);
    const registers = opened([
      ["write", { a: 1 }, { a: 1 }],
      ["cas", [{ a: 1 }, 2], [{ a: 1 }, 2]],
    ]);
    // Nothing differs for registers, whose writes answer nothing.
    expect(registers).toMatchObject({ format: "jepsen-json", warnings: [] });
  });

  it("are acked's when a write answers something else, or nothing", () => {
    const counter = opened([
      ["add", 5, 5],
      ["add", 5, 10],
    ]);
    expect(counter).toMatchObject({ format: "acked", outputs: [5, 10] });
    expect(counter.warnings).toEqual([
      expect.stringMatching(
        /^an answer that equals its argument .* name the format jepsen-json \(event 1\)$/,
      ),
    ]);
    expect(opened([["add", 5, null]])).toMatchObject({ format: "acked", warnings: [] });
    expect(opened([["add", 5, undefined]])).toMatchObject({ format: "acked", warnings: [] });
    expect(opened([["read", null, 1]])).toMatchObject({ format: "acked", warnings: [] });
  });

  it("are acked's as far as can be seen when the writes come late, and this is said", () => {
    const reads = Array.from({ length: 1500 }, () => ["read", null, 0] as const);
    const { format, warnings } = opened([...reads, ["add", 5, 5]]);
    expect(format).toBe("acked");
    expect(warnings).toHaveLength(1);
  });
});

it("lines that name a workload, a node, an incarnation or a key are acked's, whatever they answer", () => {
  for (const more of [{ workload: "w" }, { workload: "" }, { node: "n1" }, { incarnation: 0 }, { key: "" }]) {
    const { format, warnings, outputs } = opened([["add", 5, 5]], more);
    expect({ format, warnings, outputs }).toEqual({ format: "acked", warnings: [], outputs: [5] });
  }
});

it("a value that is too deep to be compared is refused by the reader, in one sentence", () => {
  const deep = `${"[".repeat(150_000)}${"]".repeat(150_000)}`;
  const line = (index: number, type: string) =>
    `{"index":${index},"time":0,"process":0,"type":"${type}","f":"write","value":${deep}}\n`;
  writeFileSync(path, line(0, "invoke") + line(1, "ok"));
  expect(() => openHistory(path)).toThrow("line 1 of the history: it is nested deeper than 200 levels");
});

it("an export as lines of ours is recognized as one, whatever the answers", () => {
  const invoke: HistoryEvent = { index: 1, time: 0, process: 0, type: "invoke", f: "add", value: 5 };
  const kill: HistoryEvent = { index: 0, time: 0, process: "nemesis", type: "info", f: "kill" };
  exportHistory([kill, invoke, { ...invoke, index: 2, type: "ok" }], "acked", out);
  const { format, warnings, history } = openHistory(out);
  expect({ format, warnings }).toEqual({ format: "acked", warnings: [] });
  expect(history).toEqual(openHistory(out, { format: "acked" }).history);
  expect(history.operations[0]).toMatchObject({ output: 5, incarnation: 0 });
});

it("an export as Jepsen's JSON is recognized as one, whatever is in it", () => {
  const invoke: HistoryEvent = { index: 0, time: 0, process: 0, type: "invoke", f: "add", value: 5 };
  for (const answer of [{}, { value: 5 }, { value: 7 }, { value: null }]) {
    exportHistory(
      [invoke, { ...invoke, index: 1, type: "ok", ...{ value: undefined }, ...answer }],
      "jepsen-json",
      out,
    );
    const { format, warnings, history } = openHistory(out);
    expect({ format, warnings }).toEqual({ format: "jepsen-json", warnings: [] });
    expect(history.operations[0]?.output).toBe("value" in answer ? answer.value : undefined);
  }
  exportHistory([{ ...invoke, f: "read" }], "jepsen-json", out);
  expect(openHistory(out).format).toBe("jepsen-json");
});
