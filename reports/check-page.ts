/**
 * The report of a check: one HTML file about a saved history, for `acked check`. It holds verdicts, findings and bounded
 * views of keys, never the history, and stays under 3 MB whatever the history's length and the number of findings.
 */
import { rename, rm, writeFile } from "node:fs/promises";
import type { CheckResult } from "../harness/checkers/contract.ts";
import { HistoryError } from "../harness/history/history.ts";
import { readHistoryFile } from "../harness/history/history-file.ts";
import type { HistoryEvent } from "../harness/history/operation.ts";
import { checkDocument } from "./html/check-document.ts";
import { checkLimits, KeyScan } from "./key-scan.ts";

export interface CheckReport {
  /** What was checked, as the person named it. */
  readonly file: string;
  readonly results: readonly CheckResult[];
  /** The history's events in order, or the path of a history in our format. */
  readonly events: Iterable<HistoryEvent> | string;
  /** Where the page goes; written beside it and renamed, so that a kill leaves no half of it. */
  readonly out: string;
}

/** Writes the page, and returns what of the history could not be read, in one sentence; empty when nothing. */
export async function writeCheckReport({ file, results, events, out }: CheckReport): Promise<string> {
  const findings = results.flatMap((result) => result.findings);
  const scan = new KeyScan(findings, checkLimits);
  const note = visit(typeof events === "string" ? readHistoryFile(events) : events, scan);
  const text = checkDocument({ file, results, views: scan.finish(), historyNote: note });
  const temporary = `${out}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, out);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return note;
}

/** What came before a line that cannot be read still is a report. */
function visit(events: Iterable<HistoryEvent, unknown>, scan: KeyScan): string {
  try {
    for (const event of events) scan.add(event);
    return "";
  } catch (error) {
    if (!(error instanceof HistoryError)) throw error;
    return `The history was read only up to the first line that cannot be: ${error.message}.`;
  }
}
