/**
 * Makes every report of a finished run from its directory: `report.html` and `junit.xml`, each written beside its place
 * and renamed into it, so that a kill leaves the old one or the new one. It reads files only, so that an old run, or one
 * whose acked was killed, can be read again.
 */
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { page } from "./html/page.ts";
import { junitXml } from "./junit.ts";
import { KeyScan, type KeyViews, runLimits } from "./key-scan.ts";
import { chooseFocus, type Focus, NeighbourhoodScan } from "./neighbourhood.ts";
import { type RunFiles, readRunFiles, visitHistory } from "./run-directory.ts";
import { TimelineScan } from "./timeline.ts";

export { type CheckReport, writeCheckReport } from "./check-page.ts";
export { coverageTable } from "./coverage-table.ts";
export { announceOnGithub, githubAnnotations, githubStepSummary } from "./github.ts";
export { type JsonDocument, jsonDocument } from "./json.ts";
export { escapedXml, junitXml } from "./junit.ts";
export { ReportError, readResults } from "./run-directory.ts";
export { sweepMatrixText } from "./sweep-matrix.ts";
export { type SummaryOptions, summaryOptions, terminalSummary } from "./terminal.ts";

/** Paths of what was written. */
export interface WrittenReports {
  readonly html: string;
  readonly junit: string;
  /** What of the history could not be read and is not in the report, in one sentence; empty when nothing. */
  readonly historyNote: string;
}

/** @throws ReportError when the directory holds no run that this version can read. */
export async function writeReports(runDir: string): Promise<WrittenReports> {
  const files = await readRunFiles(runDir);
  const junit = join(runDir, "junit.xml");
  await replace(junit, junitXml(files.results));
  const scan = new TimelineScan(files.faults);
  const { note } = await visitHistory(runDir, (event) => scan.add(event));
  const timeline = scan.finish();
  const focus = chooseFocus(files.results.findings, files.faults, timeline);
  const lanes = focus && (await neighbourhood(files, focus));
  const keys = files.results.findings.length > 1 ? await keyViewsOf(files) : undefined;
  const report = join(runDir, "report.html");
  await replace(
    report,
    page({
      files,
      timeline,
      lanes: lanes && { ...lanes, faults: files.faults, starts: timeline.starts },
      ...(keys ? { keys } : {}),
      historyNote: note,
    }),
  );
  return { html: report, junit, historyNote: note };
}

async function neighbourhood(files: RunFiles, focus: Focus) {
  const scan = new NeighbourhoodScan(focus);
  await visitHistory(files.dir, (event) => scan.add(event));
  return { focus, ...scan.finish() };
}

async function keyViewsOf(files: RunFiles): Promise<KeyViews> {
  const scan = new KeyScan(files.results.findings, runLimits);
  await visitHistory(files.dir, (event) => scan.add(event));
  return scan.finish();
}

async function replace(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
