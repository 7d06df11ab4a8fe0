/**
 * What GitHub Actions shows of a run: annotations (workflow commands on stdout) and the step summary (markdown in the
 * file that `GITHUB_STEP_SUMMARY` names). Text from a store can neither start a command nor a table cell nor HTML.
 */
import { appendFile } from "node:fs/promises";
import type { RunResults } from "../harness/results.ts";
import { measuredSentence } from "./cluster-words.ts";
import { verdictLine, verdictSentence } from "./verdict-words.ts";
import { count, verdictWord, visibleLine, wordsOf } from "./wording.ts";

const findingsMax = 5;

/** Lines to print on stdout: an error per finding or reason, a notice for what was not covered. */
export function githubAnnotations(results: RunResults): string[] {
  const store = results.store.name;
  const lines: string[] = [];
  if (results.verdict === false) {
    const first = results.findings.slice(0, findingsMax);
    for (const finding of first)
      lines.push(command("error", `VIOLATION ${store}: ${finding.kind}`, finding.sentence));
    if (first.length === 0) lines.push(command("error", `VIOLATION ${store}`, verdictSentence(results)));
  } else if (results.verdict === "unknown") {
    lines.push(command("error", `UNKNOWN ${store}`, verdictSentence(results)));
  }
  if (results.notCovered.length > 0) {
    const names = results.notCovered.map((entry) => `${entry.what}: ${entry.why}`).join("; ");
    lines.push(command("notice", `not covered on ${store}`, names));
  }
  return lines;
}

function command(level: "error" | "notice", title: string, message: string): string {
  const data = (value: string) =>
    visibleLine(value, 1000).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
  const property = data(title).replaceAll(":", "%3A").replaceAll(",", "%2C");
  return `::${level} title=${property}::${data(message)}`;
}

/** Markdown for the step summary. */
export function githubStepSummary(results: RunResults): string {
  const checks = results.checks.map(
    (check) =>
      `| ${cell(check.workload ?? "")} | ${cell(check.checker)} | ${verdictWord(check.verdict)} | ${cell(
        Object.entries(check.checked)
          .map(([key, value]) => `${count(value)} ${wordsOf(key)}`)
          .join(", "),
      )} |`,
  );
  const faults = results.faults
    .map((fault) => `${cell(fault.name)} ${fault.fired}/${fault.planned}`)
    .join(" · ");
  const measured = measuredSentence(results);
  const notCovered = results.notCovered.map(
    (entry) =>
      `- **${cell(entry.what)}**: ${cell(entry.why)}${entry.remedy ? ` → ${cell(entry.remedy)}` : ""}`,
  );
  return `${[
    `### ${cell(verdictLine(results))} · ${cell(results.store.name)}, mode ${cell(results.durability)}`,
    "",
    cell(verdictSentence(results)),
    "",
    ...(checks.length > 0
      ? ["| workload | checker | verdict | looked at |", "|---|---|---|---|", ...checks, ""]
      : []),
    ...(faults === "" ? [] : [`Faults fired / planned: ${faults}`, ""]),
    ...(measured === "" ? [] : [`Measured: ${cell(measured)}`, ""]),
    ...(notCovered.length > 0 ? ["Not covered:", ...notCovered, ""] : []),
    `Worst thing seen: ${cell(results.worst)}`,
    "",
    `Replay: <code>${cell(results.replay)}</code>`,
    "",
  ].join("\n")}\n`;
}

function cell(value: string): string {
  return visibleLine(value, 500)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replace(/[|\\`*_[\]]/g, "\\$&");
}

/** Does nothing outside GitHub Actions. `print` gets one line at a time. */
export async function announceOnGithub(
  results: RunResults,
  environment: Readonly<Record<string, string | undefined>>,
  print: (line: string) => void,
): Promise<void> {
  if (environment.GITHUB_ACTIONS === "true") for (const line of githubAnnotations(results)) print(line);
  const summary = environment.GITHUB_STEP_SUMMARY;
  if (summary) await appendFile(summary, githubStepSummary(results));
}
