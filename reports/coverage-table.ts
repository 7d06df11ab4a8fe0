/**
 * What an exploration covered, as a table for a terminal: one row a profile and scene, then what was left out and why.
 * It is never narrower than its numbers: a terminal of under 80 columns wraps it.
 */
import type { ExplorationResults } from "../harness/results.ts";
import { exploredWord } from "./verdict-words.ts";
import { count, possibleStates, visibleLine } from "./wording.ts";

const head = ["profile", "scene", "crash points", "possible", "distinct", "recovered", "judged"] as const;
const numbersFrom = 2;

/** Ends with a newline; empty when nothing was explored. */
export function coverageTable(explorations: readonly ExplorationResults[]): string {
  const rows = explorations.flatMap((explored) =>
    explored.scenes.map((scene, index) => [
      index === 0 ? `${explored.profile} ${exploredWord(explored)}` : "",
      scene.name,
      `${count(scene.crashPointsExplored)}/${count(scene.crashPoints)}`,
      possibleStates(scene.statesPossible),
      count(scene.distinct),
      count(scene.recovered),
      count(scene.judged),
    ]),
  );
  if (rows.length === 0) return "";
  const table = [[...head], ...rows];
  const widths = head.map((_name, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row
      .map((text, column) =>
        column < numbersFrom ? text.padEnd(widths[column]!) : text.padStart(widths[column]!),
      )
      .join("  ")
      .trimEnd(),
  );
  return `${[...lines, ...leftOut(explorations)].join("\n")}\n`;
}

function leftOut(explorations: readonly ExplorationResults[]): string[] {
  return explorations.flatMap(({ profile, scenes }) =>
    scenes.flatMap(({ name, leftOut }) =>
      leftOut.map(
        ({ why, count }) =>
          `left out under ${profile}, "${name}": ${count === null ? "" : `${possibleStates(count)}: `}${visibleLine(why, 300)}`,
      ),
    ),
  );
}
