import { expect, test } from "vitest";
import type { SweepCell, SweepResults } from "../harness/results.ts";
import { sweep } from "./fixtures/explored.ts";
import { matrices, sweepMatrixText } from "./sweep-matrix.ts";

const cell = (site: string, effect: string, outcomes: Partial<SweepCell["outcomes"]>): SweepCell => ({
  ...{ site, effect, trials: 1 },
  outcomes: { survived: 0, refused: 0, finding: 0, unknown: 0, ...outcomes },
});

const swept = (...cells: SweepCell[]): SweepResults => ({ ...sweep, cells });

test("each operation has a table of its own, with only its own effects as columns", () => {
  const tables = matrices(
    swept(
      cell("sync a.log", "fsyncgate EIO", { refused: 2 }),
      cell("write a.log", "short", { survived: 3 }),
      cell("sync a.log", "error EIO", { refused: 1 }),
    ),
  );
  expect(tables.map(({ operation, effects }) => [operation, effects])).toEqual([
    ["sync", ["error EIO", "fsyncgate EIO"]],
    ["write", ["short"]],
  ]);
});

test("the text counts outcomes by letter, says what was never reached, and names its columns", () => {
  const lines = sweepMatrixText(
    swept(
      cell("sync a.log", "error EIO", { finding: 1, refused: 12 }),
      cell("sync .", "kill-after", { survived: 2 }),
    ),
    80,
  );
  expect(lines.slice(2)).toEqual([
    "sync   1       2",
    ".      ·       S2",
    "a.log  F1 R12  ·",
    "  1 error EIO · 2 kill-after",
  ]);
});

test("lines of the legend keep the width, and a sweep that reached nothing has no matrix", () => {
  const effects = Array.from({ length: 14 }, (_, i) => `an effect with a long name ${i}`);
  const lines = sweepMatrixText(swept(...effects.map((name) => cell("write x", name, { survived: 1 }))), 80);
  for (const line of lines.slice(4)) expect(line.length).toBeLessThanOrEqual(80);
  expect(sweepMatrixText(swept(), 80)).toEqual([]);
});
