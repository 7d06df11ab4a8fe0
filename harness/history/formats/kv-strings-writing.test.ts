import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import { exportHistory, openHistory } from "./index.ts";

const directory = mkdtempSync(join(tmpdir(), "acked-kv-"));
const out = join(directory, "out");

afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Given = Partial<HistoryEvent> & Pick<HistoryEvent, "type" | "f">;

function exported(events: readonly Given[], format: string) {
  const all = events.map(
    (event, index): HistoryEvent => ({ index, time: index, process: 0, key: "x", ...event }),
  );
  exportHistory(all, format, out);
  return openHistory(out, { format }).history.operations;
}

const write = (value: string): Given[] => [
  { type: "invoke", f: "write", value },
  { type: "ok", f: "write" },
];
const read = (value: unknown, f = "read"): Given[] => [
  { type: "invoke", f },
  { type: "ok", f, value },
];
const ready = (incarnation: number): Given => ({
  ...{ type: "info", f: "ready", process: "nemesis", node: "n1", incarnation },
});

describe.each(["kv-edn", "kv-json"])("an export as %s", (format) => {
  it("is refused where a key has an empty string and was read as nothing, in any order", () => {
    const refusal = 'the key "x" has an empty string, and was read as nothing at all';
    expect(() => exported([...write(""), ...read(null)], format)).toThrow(refusal);
    expect(() => exported([...read(null), ...write("")], format)).toThrow(refusal);
    expect(() => exported([...read(null, "get"), ...read("", "get")], format)).toThrow(refusal);
    expect(exported([...read(null), ...write("a"), ...read("a")], format)).toHaveLength(3);
    const other = write("").map((event) => ({ ...event, key: "y" }));
    expect(exported([...read(null), ...other], format)).toHaveLength(2);
  });

  it("is refused where a register returned an empty string, which an absent key would have returned", () => {
    expect(() => exported(read(""), format)).toThrow('event 1: the key "x" was read as an empty string');
    expect(exported(read("", "get"), format)).toHaveLength(1);
  });

  it("is refused where a change was lost before its node started again", () => {
    const lost: Given = { type: "invoke", f: "write", value: "a", incarnation: 0 };
    const info: Given = { type: "info", f: "write" };
    for (const events of [
      [ready(0), lost, info, ready(1)],
      [ready(0), lost, ready(1)],
    ]) {
      expect(() => exported(events, format)).toThrow(HistoryError);
      expect(() => exported(events, format)).toThrow(
        'event 1 ("write") was lost before its node started again',
      );
    }
    expect(exported([ready(0), lost, info], format)).toHaveLength(1);
    expect(exported([ready(0), ...write("a"), ready(1)], format)).toHaveLength(1);
    expect(
      exported([ready(0), { ...lost, f: "read" }, { ...info, f: "read" }, ready(1)], format),
    ).toHaveLength(1);
    // On one of several nodes nothing bounds it, neither here nor there.
    expect(exported([ready(0), { ...ready(0), node: "n2" }, lost, info, ready(1)], format)).toHaveLength(1);
  });

  it("gives a process that goes on after a lost operation a number of its own", () => {
    const operations = exported(
      [
        { type: "invoke", f: "write", value: "a" },
        { type: "info", f: "write" },
        ...read("a"),
        { type: "invoke", f: "write", value: "b" },
        { type: "info", f: "write" },
        ...read("b"),
        ...read("b").map((event) => ({ ...event, process: 1 })),
      ],
      format,
    );
    expect(operations.map(({ process }) => process)).toEqual([0, 1, 1, 2, 3]);
    expect(operations.map(({ outcome }) => outcome)).toEqual(["info", "ok", "info", "ok", "ok"]);
  });
});
