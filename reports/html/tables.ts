/** The tables below the charts: checks, further findings, faults, fault records, the store's output, the machine. */
import type { CheckResult, Finding } from "../../harness/checkers/contract.ts";
import type { FaultRecord, RunResults } from "../../harness/results.ts";
import type { RunFiles } from "../run-directory.ts";
import type { Interval, Timeline } from "../timeline.ts";
import {
  asked,
  bytes,
  client,
  count,
  counted,
  duration,
  ended,
  moment,
  verdictWord,
  visible,
  visibleLine,
  wordsOf,
} from "../wording.ts";
import { html, type Markup } from "./markup.ts";

const findingsShown = 20;
const recordsShown = 200;
const intervalsShown = 120;

export function checksTable(results: Pick<RunResults, "checks" | "findings" | "cluster">): Markup {
  const rows = results.checks.map(
    (
      check,
    ) => html`<tr><td>${visibleLine(check.workload ?? "—", 60)}</td><td>${visibleLine(check.checker, 100)}</td><td class="word ${verdictWord(check.verdict).toLowerCase()}-word">${verdictWord(check.verdict)}</td><td>${checkedWords(check)}</td><td>${remarks(check)}</td><td class="number">${duration(check.elapsedMs * 1e6)}</td></tr>
`,
  );
  return html`<section aria-labelledby="checks"><h2 id="checks">What was checked</h2>
${rows.length === 0 ? html`<p>Nothing was checked.</p>` : html`<div class="scroll"><table><thead><tr><th>workload</th><th>checker</th><th>verdict</th><th>looked at</th><th>remarks</th><th class="number">took</th></tr></thead><tbody>${rows}</tbody></table></div>`}
${otherFindings(results.findings, results.cluster !== undefined)}</section>`;
}

function checkedWords(check: CheckResult): string {
  return Object.entries(check.checked)
    .map(([key, value]) => `${count(value)} ${wordsOf(key)}`)
    .join(", ");
}

function remarks(check: CheckResult): string {
  const findings = check.findings.map(
    (finding) => `${finding.kind}${(finding.count ?? 1) > 1 ? ` ×${count(finding.count!)}` : ""}`,
  );
  const left = check.notChecked.map((what) => `not checked: ${what}`);
  return visibleLine(
    [...findings.slice(0, 5), ...check.reasons.slice(0, 3), ...left.slice(0, 3)].join("; "),
    400,
  );
}

/** All findings but the first, which stands at the top of the page. */
function otherFindings(findings: readonly Finding[], members: boolean): Markup {
  const rest = findings.slice(1, findingsShown);
  if (rest.length === 0) return html``;
  const left = findings.length - 1 - rest.length;
  return html`<h3>Further findings</h3><ol start="2">${rest.map(
    (finding) =>
      html`<li><span class="kind">${finding.kind}</span> ${visibleLine(finding.sentence, 400)}<br><span class="quiet code">${finding.operations
        .slice(0, 6)
        .map((operation) => `${client(operation, members)} ${asked(operation, true)} ${ended(operation)}`)
        .join(" · ")}</span></li>`,
  )}</ol>${left > 0 ? html`<p class="quiet">… and ${counted(left, "more finding")}; the results as JSON hold all of them.</p>` : ""}`;
}

/** `share`: of the fault records. */
export function faultsTable(results: RunResults, files: RunFiles, share = 1): Markup {
  const tallies = results.faults.map(
    (fault) =>
      html`<tr><td>${visibleLine(fault.name, 60)}</td><td class="number">${count(fault.planned)}</td><td class="number">${count(fault.armed)}</td><td class="number">${count(fault.fired)}</td><td>${fault.fired < fault.armed ? "armed, and its window closed without it firing" : fault.armed < fault.planned ? "not reached: the time ran out" : ""}</td></tr>`,
  );
  return html`<section aria-labelledby="faults"><h2 id="faults">Faults</h2>
${tallies.length === 0 ? html`<p>No fault was planned.</p>` : html`<div class="scroll"><table><thead><tr><th>fault</th><th class="number">planned</th><th class="number">armed</th><th class="number">fired</th><th>remarks</th></tr></thead><tbody>${tallies}</tbody></table></div>`}
${records(files, Math.ceil(recordsShown * share))}</section>`;
}

function records(files: RunFiles, most: number): Markup {
  const { faults, faultLinesUnreadable } = files;
  if (faults.length === 0 && faultLinesUnreadable === 0) return html``;
  const shown = faults.slice(0, most);
  return html`<details><summary>${shown.length < faults.length ? `The first ${count(shown.length)} of ${counted(faults.length, "fault")}` : counted(faults.length, "fault")}, each with its evidence</summary><div class="scroll"><table><thead><tr><th>fault</th><th>on</th><th class="number">cycle</th><th class="number">armed</th><th class="number">fired</th><th class="number">over</th><th>parameters</th><th>evidence</th></tr></thead><tbody>${shown.map(record)}</tbody></table></div></details>
${faultLinesUnreadable > 0 ? html`<p class="quiet">${counted(faultLinesUnreadable, "line")} of faults.jsonl could not be read.</p>` : ""}`;
}

function record(fault: FaultRecord): Markup {
  return html`<tr><td>${visibleLine(fault.name, 60)}</td><td>${visibleLine(String(fault.target ?? ""), 40)}</td><td class="number">${String(fault.epoch)}.${String(fault.cycle)}</td><td class="number">${moment(fault.armedAt)}</td><td class="number">${fault.firedAt === undefined ? "did not fire" : moment(fault.firedAt)}</td><td class="number">${moment(fault.healedAt)}</td><td class="code">${pairs(fault.parameters)}</td><td class="code">${pairs(fault.evidence)}</td></tr>
`;
}

function pairs(values: Readonly<Record<string, unknown>> | undefined): string {
  const text = Object.entries(values ?? {})
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
  return visibleLine(text, 240);
}

/** The percentile chart as numbers, for those who cannot see it; evenly thinned beyond 120 rows. */
export function percentilesTable(timeline: Timeline): Markup {
  const rows = timeline.intervals.all
    .map((interval, index) => ({ interval, from: index * timeline.intervalNs }))
    .filter((row): row is { interval: Interval; from: number } => row.interval !== undefined);
  const every = Math.ceil(rows.length / intervalsShown);
  const shown = every <= 1 ? rows : rows.filter((_row, index) => index % every === 0);
  return html`<details><summary>The same as a table${every > 1 ? ` (every ${every}. interval)` : ""}</summary><div class="scroll"><table><thead><tr><th class="number">from</th><th class="number">acknowledged</th><th class="number">p50</th><th class="number">p90</th><th class="number">p99</th><th class="number">max</th></tr></thead><tbody>${shown.map(({ interval, from }) => html`<tr><td class="number">${count(from / 1e9)} s</td><td class="number">${count(interval.count)}</td><td class="number">${duration(interval.p50)}</td><td class="number">${duration(interval.p90)}</td><td class="number">${duration(interval.p99)}</td><td class="number">${duration(interval.max)}</td></tr>`)}</tbody></table></div></details>`;
}

export function storeOutput(files: RunFiles): Markup {
  const { storeLogTail, storeLogBytesBefore } = files;
  return html`<section aria-labelledby="store-output"><h2 id="store-output">What the store printed</h2>
${storeLogTail === "" ? html`<p>Nothing.</p>` : html`${storeLogBytesBefore > 0 ? html`<p class="quiet">The last ${bytes(storeLogTail.length)}; ${bytes(storeLogBytesBefore)} before it are in store.log.</p>` : ""}<pre tabindex="0">${visible(storeLogTail, 20_000)}</pre>`}</section>`;
}

export function machineTable(results: RunResults): Markup {
  const { machine, versions, counts } = results;
  const rows: [string, string][] = [
    ["processor", `${machine.cpu}, ${counted(machine.cores, "core")}`],
    ["memory", bytes(machine.memoryBytes)],
    ["kernel", machine.kernel],
    ["file system of the data", machine.fileSystem],
    ["Node", machine.node],
    ["C compiler", machine.compiler ?? "none"],
    ...Object.entries(versions),
    ...(results.gitCommit === undefined ? [] : ([["git commit", results.gitCommit]] as [string, string][])),
    [
      "counts",
      Object.entries(counts)
        .map(([key, value]) => `${wordsOf(key)} ${count(value)}`)
        .join(", "),
    ],
  ];
  return html`<section aria-labelledby="machine"><h2 id="machine">Machine and versions</h2><div class="scroll"><table><tbody>${rows.map(([name, value]) => html`<tr><th scope="row">${visibleLine(name, 60)}</th><td>${visibleLine(value, 600)}</td></tr>`)}</tbody></table></div></section>`;
}
