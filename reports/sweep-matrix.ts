/**
 * The matrix of a sweep as plain text, and its shape for every report: one table an operation, since each operation has
 * effects of its own; call sites down, effects across, a count for each outcome in a cell.
 */
import type { SweepCell, SweepOutcome, SweepResults } from "../harness/results.ts";
import { count, visibleLine } from "./wording.ts";

/** One operation's part. */
export interface OperationMatrix {
  readonly operation: string;
  readonly effects: readonly string[];
  readonly rows: readonly {
    /** The file, with numbers replaced. */
    readonly site: string;
    /** One for each effect; absent where the call was never reached. */
    readonly cells: readonly (SweepCell | undefined)[];
  }[];
}

export const worstFirst: readonly SweepOutcome[] = ["finding", "unknown", "refused", "survived"];

const letters: Readonly<Record<SweepOutcome, string>> = {
  survived: "S",
  refused: "R",
  finding: "F",
  unknown: "?",
};

/** The worst outcome that any trial of a cell had. */
export function worstOutcome(found: SweepCell): SweepOutcome {
  return worstFirst.find((outcome) => found.outcomes[outcome] > 0) ?? "unknown";
}

/** `F 1 · R 39`. */
export function outcomesOf({ outcomes }: SweepCell, separator = " · ", between = " "): string {
  return worstFirst
    .filter((outcome) => outcomes[outcome] > 0)
    .map((outcome) => `${letters[outcome]}${between}${count(outcomes[outcome])}`)
    .join(separator);
}

/** In the order of the operations' first cells; sites by name, those of a start last. */
export function matrices(sweep: SweepResults): OperationMatrix[] {
  const operationOf = (cell: SweepCell) => cell.site.split(" ", 1)[0]!;
  return unique(sweep.cells.map(operationOf)).map((operation) => {
    const cells = sweep.cells.filter((cell) => operationOf(cell) === operation);
    const effects = unique(cells.map(({ effect }) => effect)).sort();
    const sites = unique(cells.map(({ site }) => site)).sort();
    const at = new Map(cells.map((cell) => [`${cell.site}\n${cell.effect}`, cell]));
    const rows = sites.map((site) => ({
      site: site.slice(operation.length + 1),
      cells: effects.map((effect) => at.get(`${site}\n${effect}`)),
    }));
    return { operation, effects, rows };
  });
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

const siteWidthMax = 44;

/** Lines of plain text; columns are numbered, and named below each table. Empty when no call was reached. */
export function sweepMatrixText(sweep: SweepResults, width: number): string[] {
  const tables = matrices(sweep);
  if (tables.length === 0) return [];
  const title =
    "cells count trials by outcome: S survived, R refused, F finding, ? not judged; · never reached";
  return [title, ...tables.flatMap((table) => ["", ...tableText(table, width)])];
}

function tableText({ operation, effects, rows }: OperationMatrix, width: number): string[] {
  const texts = rows.map(({ cells }) => cells.map((cell) => (cell ? outcomesOf(cell, " ", "") : "·")));
  const names = rows.map(({ site }) => visibleLine(site, siteWidthMax));
  const first = Math.max(operation.length, ...names.map((name) => name.length));
  const widths = effects.map((_, column) =>
    Math.max(...texts.map((row) => row[column]!.length), String(column + 1).length),
  );
  const line = (name: string, cells: readonly string[]) =>
    `${name.padEnd(first)}  ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")}`.trimEnd();
  const numbered = effects.map((effect, column) => `${column + 1} ${effect}`);
  return [
    line(
      operation,
      effects.map((_, column) => String(column + 1)),
    ),
    ...names.map((name, row) => line(name, texts[row]!)),
    ...legend(numbered, width),
  ];
}

function legend(entries: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const entry of entries) {
    const longer = lines.length > 0 ? `${lines.at(-1)} · ${entry}` : `  ${entry}`;
    if (lines.length === 0 || longer.length > width) lines.push(`  ${entry}`);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
