import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { packageRoot } from "../../package-root.ts";
import { readHistoryFile } from "../history-file.ts";
import { historyLine, historySchema } from "./lines-schema.ts";

const published = join(packageRoot, "docs", "history.schema.json");
const directory = mkdtempSync(join(tmpdir(), "acked-schema-"));
const path = join(directory, "line.jsonl");

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function readerAccepts(line: string): boolean {
  writeFileSync(path, `${line}\n`);
  try {
    return [...readHistoryFile(path)].length === 1;
  } catch {
    return false;
  }
}

/** Lines that are right but for at most one member. */
const line = fc
  .record({
    index: fc.nat(),
    time: fc.nat(),
    process: fc.oneof(fc.nat(), fc.constant("nemesis")),
    type: fc.constantFrom("invoke", "ok", "fail", "info"),
    f: fc.string(),
    details: fc.record(
      {
        workload: fc.string(),
        key: fc.string(),
        value: fc.jsonValue(),
        matched: fc.boolean(),
        error: fc.string(),
        node: fc.string(),
        incarnation: fc.nat(),
        readBack: fc.boolean(),
        syncsBegun: fc.nat(),
        syncCompleted: fc.nat(),
        replyPort: fc.nat(),
        replyBytes: fc.nat(),
        other: fc.jsonValue(),
      },
      { requiredKeys: [] },
    ),
    damage: fc.option(
      fc.record({
        name: fc.constantFrom(
          "index",
          "time",
          "process",
          "type",
          "f",
          "workload",
          "key",
          "value",
          "matched",
          "error",
          "node",
          "incarnation",
          "readBack",
          "syncsBegun",
          "syncCompleted",
          "replyPort",
          "replyBytes",
        ),
        value: fc.constantFrom(
          undefined,
          null,
          -1,
          0,
          -0,
          0.5,
          1e300,
          2 ** 53 - 1,
          2 ** 53,
          "",
          "nemesis",
          "ok",
          "0",
          true,
          false,
          [],
          {},
          [1],
          "other",
        ),
      }),
      { freq: 3 },
    ),
  })
  .map(({ details, damage, ...event }) => ({
    ...event,
    ...details,
    ...(damage === null ? {} : { [damage.name]: damage.value }),
  }));

describe("the published schema of our lines", () => {
  it("is the one the sources describe (UPDATE=1 writes it)", () => {
    if (process.env.UPDATE) writeFileSync(published, `${JSON.stringify(historySchema(), null, 2)}\n`);
    expect(JSON.parse(readFileSync(published, "utf8"))).toEqual(historySchema());
  });

  it("accepts a line exactly when our reader does", () => {
    // From the file itself, as somebody else's validator would read it.
    const schema = z.fromJSONSchema(JSON.parse(readFileSync(published, "utf8")));
    const seen = { accepted: 0, refused: 0 };
    fc.assert(
      fc.property(line, (event) => {
        const text = JSON.stringify(event);
        const parsed: unknown = JSON.parse(text);
        const accepted = readerAccepts(text);
        expect(schema.safeParse(parsed).success).toBe(accepted);
        expect(historyLine.safeParse(parsed).success).toBe(accepted);
        seen[accepted ? "accepted" : "refused"]++;
      }),
      { seed: 5, numRuns: 300 },
    );
    expect(Math.min(seen.accepted, seen.refused)).toBeGreaterThan(50);
  });

  it("accepts no line that is no object", () => {
    for (const text of ["null", "[]", "1", '"x"']) {
      expect(readerAccepts(text)).toBe(false);
      expect(historyLine.safeParse(JSON.parse(text)).success).toBe(false);
    }
  });
});
