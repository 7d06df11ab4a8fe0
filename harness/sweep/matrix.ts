/** The matrix of a sweep: for each call site and effect how many trials ended in which way, and the worst of them. */
import type { SweepCell, SweepOutcome } from "../results.ts";

const severity: readonly SweepOutcome[] = ["survived", "refused", "unknown", "finding"];

export class SweepMatrix {
  readonly #cells = new Map<string, Cell>();

  /** @param sentence what is to be said of the trial, if anything; the cell keeps that of its first worst trial. */
  add(site: string, effect: string, trial: { outcome: SweepOutcome; n: number; sentence?: string }): void {
    const id = `${site}\n${effect}`;
    const cell = this.#cells.get(id) ?? new Cell(site, effect);
    this.#cells.set(id, cell);
    cell.add(trial);
  }

  /** The worst first. */
  cells(): SweepCell[] {
    const cells = [...this.#cells.values()].map((cell) => cell.record());
    return cells.sort((a, b) => worst(b) - worst(a) || a.site.localeCompare(b.site));
  }
}

function worst(cell: SweepCell): number {
  return severity.findLastIndex((outcome) => cell.outcomes[outcome] > 0);
}

class Cell {
  readonly #site: string;
  readonly #effect: string;
  readonly #outcomes: Record<SweepOutcome, number> = { survived: 0, refused: 0, finding: 0, unknown: 0 };
  #worst: { outcome: SweepOutcome; n: number; sentence?: string } | undefined;

  constructor(site: string, effect: string) {
    this.#site = site;
    this.#effect = effect;
  }

  add(trial: { outcome: SweepOutcome; n: number; sentence?: string }): void {
    this.#outcomes[trial.outcome]++;
    const worse = !this.#worst || severity.indexOf(trial.outcome) > severity.indexOf(this.#worst.outcome);
    if (worse) this.#worst = trial;
  }

  record(): SweepCell {
    const { n, sentence } = this.#worst ?? {};
    return {
      site: this.#site,
      effect: this.#effect,
      trials: Object.values(this.#outcomes).reduce((sum, count) => sum + count, 0),
      outcomes: this.#outcomes,
      ...(sentence === undefined ? {} : { sentence }),
      ...(n === undefined ? {} : { n }),
    };
  }
}
