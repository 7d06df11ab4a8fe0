/**
 * The summary that ends a run in a terminal: at most 25 lines that fit the width. The verdict is never bare when this
 * machine lacked something. Colours only where the stream is a terminal and NO_COLOR is not set.
 */
import type { CheckResult, Verdict } from "../harness/checkers/contract.ts";
import type {
  ClusterResults,
  ExplorationResults,
  NotCovered,
  RunResults,
  SweepOutcome,
} from "../harness/results.ts";
import {
  measuredSentence,
  networkWords,
  pairSentence,
  servingAgainWords,
  stormsOf,
  unavailableWords,
} from "./cluster-words.ts";
import { crashSentence, exploredWord, statesOf, verdictLine, verdictSentence } from "./verdict-words.ts";
import { count, counted, duration, medianAndMax, verdictWord, visibleLine, wordsOf } from "./wording.ts";

export interface SummaryOptions {
  readonly colour: boolean;
  /** Characters; lines are broken at it. */
  readonly width: number;
}

/** Options for a stream: https://no-color.org, and at most 100 columns. */
export function summaryOptions(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  environment: Readonly<Record<string, string | undefined>>,
): SummaryOptions {
  const colour = stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== "dumb";
  return { colour, width: Math.max(60, Math.min(100, stream.columns ?? 100)) };
}

const indent = 15;
const linesMax = 25;

/** Ends with a newline. */
export function terminalSummary(results: RunResults, options: SummaryOptions): string {
  const head = [
    ...wrapped(verdictLine(results), options.width, 0),
    ...wrapped(verdictSentence(results), options.width, 0),
  ];
  const verdictLines = wrapped(verdictLine(results), options.width, 0).length;
  const painted = head.map((line, index) =>
    index < verdictLines ? paint(line, results.verdict, options) : line,
  );
  const wide = results.cluster && painted.length <= 4 ? 3 : 2;
  const fixed: [string, string[], number][] = [
    ["worst", [results.worst], 2],
    [results.cluster ? "storms" : "crashes", [crashSentence(results)], wide],
    ["measured", [measuredSentence(results)], wide],
    ["recovery", recovery(results), 2],
    ["instrument", instrument(results), 2],
  ];
  const last = fixed.flatMap(([name, texts, lines]) => section(name, texts, lines, options));
  last.push(
    unbroken("report", `${results.runDir}/report.html`, options),
    unbroken("replay", results.replay, options),
  );
  const variable: [string, string[], number][] = [
    ["found", found(results), 4],
    ["done", [done(results)], 2],
    ["fired", [fired(results)], 3],
    ["explored", explored(results), 5],
    ["swept", swept(results), 2],
    ["partitioned", [pairSentence(results)], 2],
    ["checked", checked(results.checks), 6],
    ["not covered", notCovered(results.notCovered), 4],
  ];
  const first = variable.flatMap(([name, texts, lines]) => section(name, texts, lines, options));
  const room = linesMax - painted.length - 1 - last.length;
  const kept = first.length <= room ? first : trimmed(variable, room, options);
  return `${[...painted, "", ...kept, ...last].join("\n")}\n`;
}

/** Takes lines from the longest section until everything fits. */
function trimmed(
  sections: readonly (readonly [string, string[], number])[],
  room: number,
  options: SummaryOptions,
): string[] {
  const limits = sections.map(([, , lines]) => lines);
  const rendered = () =>
    sections.map(([name, texts], index) => section(name, texts, limits[index]!, options));
  for (;;) {
    const now = rendered();
    const lengths = now.map((lines) => lines.length);
    const longest = lengths.indexOf(Math.max(...lengths));
    if (lengths.reduce((sum, length) => sum + length, 0) <= room || lengths[longest]! <= 1) return now.flat();
    limits[longest] = lengths[longest]! - 1;
  }
}

/** A name, then texts one below the other, each broken at the width; the last line says how many texts were left out. */
function section(
  name: string,
  texts: readonly string[],
  linesMaxHere: number,
  options: SummaryOptions,
): string[] {
  const present = texts.filter((text) => text !== "");
  const rows: string[] = [];
  let shown = 0;
  for (const text of present) {
    const next = wrapped(visibleLine(text, 1000), options.width, indent);
    const mustLeaveOne = shown < present.length - 1 ? 1 : 0;
    if (rows.length + next.length + mustLeaveOne > linesMaxHere && !(shown === 0 && mustLeaveOne === 0)) {
      if (shown === 0) {
        const fitting = next.slice(0, linesMaxHere);
        fitting[fitting.length - 1] = ended(
          fitting[fitting.length - 1]!,
          options.width - indent,
          present.length - 1,
        );
        rows.push(...fitting);
        shown = present.length;
      }
      break;
    }
    rows.push(...next);
    shown++;
  }
  if (rows.length > linesMaxHere) {
    rows.length = linesMaxHere;
    rows[linesMaxHere - 1] = ended(rows[linesMaxHere - 1]!, options.width - indent, 0);
  }
  if (shown < present.length) rows.push(`… and ${present.length - shown} more: see the report`);
  return rows.map((row, index) => labelled(index === 0 ? name : "", row, options));
}

/** A path or a command on one line whatever the width, so that it can be copied. */
function unbroken(name: string, text: string, options: SummaryOptions): string {
  return labelled(name, visibleLine(text, 1000), options);
}

function labelled(name: string, row: string, options: SummaryOptions): string {
  return `  ${dim(name.padEnd(indent - 2), options)}${row}`;
}

function ended(line: string, width: number, more: number): string {
  const tail = more > 0 ? ` … and ${more} more: see the report` : " …";
  return line.slice(0, Math.max(10, width - tail.length)) + tail;
}

function done(results: RunResults): string {
  const { counts, cluster } = results;
  const parts = [
    ...(cluster ? clusterDone(cluster) : crashesDone(counts)),
    `${counted(counts.operations ?? 0, "operation")} from ${counted(results.clients, "client")}`,
    `seed ${results.seed}`,
    duration(results.elapsedMs * 1e6),
  ];
  return `${results.interrupted ? "interrupted; " : ""}${parts.filter(Boolean).join(", ")}`;
}

function crashesDone(counts: RunResults["counts"]): string[] {
  return [
    counted(counts.crashes ?? 0, "crash", "crashes"),
    counted(counts.restarts ?? 0, "restart"),
    counts.epochs === undefined ? "" : counted(counts.epochs, "data directory", "data directories"),
  ];
}

function clusterDone(cluster: ClusterResults): string[] {
  const names = cluster.members.map((name) => visibleLine(name, 20)).join(", ");
  return [
    `${counted(cluster.members.length, "node")} (${names}) on ${networkWords(cluster)}`,
    counted(stormsOf(cluster), "storm"),
  ];
}

function fired(results: RunResults): string {
  if (results.faults.length === 0) {
    if (results.sweep) return "see swept: each trial made one call fail";
    return (results.explorations ?? []).length > 0
      ? "nothing was made to fail while the store ran; power loss is explored afterwards, from its trace"
      : "no fault was planned";
  }
  return results.faults
    .map(
      (fault) =>
        `${visibleLine(fault.name, 40)} ${fault.fired}/${fault.planned}${fault.fired < fault.armed ? " (armed, did not fire)" : ""}`,
    )
    .join(" · ");
}

/** One line per workload: what was looked at most, and each checker's verdict. */
function checked(checks: readonly CheckResult[]): string[] {
  if (checks.length === 0) return ["nothing"];
  const byWorkload = new Map<string, CheckResult[]>();
  for (const check of checks) {
    const workload = check.workload ?? "whole run";
    const own = byWorkload.get(workload);
    if (own) own.push(check);
    else byWorkload.set(workload, [check]);
  }
  return [...byWorkload].map(([workload, own]) => {
    const most = new Map<string, number>();
    for (const check of own) {
      for (const [key, value] of Object.entries(check.checked))
        most.set(key, Math.max(most.get(key) ?? 0, value));
    }
    const looked = [...most]
      .slice(0, 2)
      .map(([key, value]) => `${count(value)} ${wordsOf(key)}`)
      .join(", ");
    return `${workload}${looked === "" ? "" : ` (${looked})`}: ${verdicts(own)}`;
  });
}

/** Checkers of the same verdict together, the worst first: `VIOLATION durability · PASS linearizability, total`. */
function verdicts(checks: readonly CheckResult[]): string {
  const order: readonly Verdict[] = [false, "unknown", true];
  return order
    .map((verdict) => {
      const names = checks.filter((check) => check.verdict === verdict).map((check) => check.checker);
      return names.length === 0 ? "" : `${verdictWord(verdict)} ${names.join(", ")}`;
    })
    .filter(Boolean)
    .join(" · ");
}

/** One line a profile: states, where, how many findings, and how small the first was made. */
function explored({ explorations = [] }: RunResults): string[] {
  return explorations.map((one) => {
    const { crashPoints = 0, crashPointsExplored: points = 0 } = one.scenes[0] ?? {};
    // The time was over: every state of the first ones in the trace, and a sample of the rest.
    const rest = points < crashPoints ? " and at some of the others" : "";
    const seen = one.findings.reduce((sum, finding) => sum + (finding.count ?? 1), 0);
    const first = one.findings[0];
    const findings = first
      ? `; ${counted(seen, "finding")}, the first (${first.kind}) after ${counted(first.statesUntilFound, "state")}${first.shrunk ? `, made smaller to ${counted(first.shrunk.requests.length, "operation")}` : ""}`
      : "";
    return `${one.profile}: ${exploredWord(one)}, ${counted(statesOf(one), "state")} at ${counted(points, "crash point")}${rest} in ${duration(one.elapsedMs * 1e6)}${scenesCutShort(one)}${findings}${lossOf(one)}${one.acknowledgements === "weak" ? "; acknowledgements by the clients' clock (weak)" : ""}`;
  });
}

/** The scenes after the first that did not come to every crash point of the trace. */
function scenesCutShort({ scenes }: ExplorationResults): string {
  return scenes
    .slice(1)
    .filter((scene) => scene.crashPointsExplored < scene.crashPoints)
    .map(
      (scene) =>
        `; "${scene.name}" reached ${count(scene.crashPointsExplored)} of ${counted(scene.crashPoints, "crash point")}`,
    )
    .join("");
}

/** What a promise of "a prefix" let be lost. */
function lossOf({ run }: ExplorationResults): string {
  if (!run.lostWritesMax) return "";
  return `; lost, as the promise allows: up to ${counted(run.lostWritesMax, "acknowledged write")}, the oldest ${duration((run.lostMsMax ?? 0) * 1e6)} old`;
}

function swept({ sweep }: RunResults): string[] {
  if (!sweep) return [];
  const of = (outcome: SweepOutcome) => sweep.cells.reduce((sum, cell) => sum + cell.outcomes[outcome], 0);
  const cut = sweep.cutShort.length > 0 ? `, ${counted(sweep.cutShort.length, "sweep")} cut short` : "";
  return [
    `${sweep.verdict === true && cut ? "nothing found in a part" : verdictWord(sweep.verdict)}: ${counted(sweep.trials, "trial")}: ${count(of("survived"))} survived, ${count(of("refused"))} refused, ${counted(of("finding"), "finding")}, ${count(of("unknown"))} not judged; ${counted(sweep.exhausted.length, "sweep")} to the end${cut}`,
  ];
}

/** How often the first finding was seen, and the others: the verdict's lines have told the first. */
function found(results: RunResults): string[] {
  const [first, ...others] = results.findings;
  const times = (seen = 1) => (seen > 1 ? ` ×${count(seen)}` : "");
  const again = (first?.count ?? 1) > 1 ? [`${first!.kind}${times(first!.count)}`] : [];
  return [
    ...smallest(results),
    ...again,
    ...others.map((finding) => `${finding.kind}${times(finding.count)}: ${finding.sentence}`),
  ];
}

/** What a person should read first: the same finding in a run that was made as small as it goes. */
function smallest({ explorations = [] }: RunResults): string[] {
  const shrunk = explorations.flatMap(({ findings }) => findings)[0]?.shrunk;
  if (!shrunk) return [];
  return [`in ${counted(shrunk.requests.length, "operation")}: ${shrunk.finding.sentence}`];
}

/** Entries with the same reason share a line. */
function notCovered(entries: readonly NotCovered[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { what, why, remedy } of entries) {
    const reason = `${why}${remedy === undefined ? "" : ` → ${remedy}`}`;
    const names = byReason.get(reason);
    if (names) names.push(what);
    else byReason.set(reason, [what]);
  }
  return [...byReason].map(([reason, names]) => `${names.join(", ")}: ${reason}`);
}

function recovery(results: RunResults): string[] {
  const unavailable = medianAndMax(results.unavailableMs, "graceful stop");
  const { cluster } = results;
  const again = cluster ? servingAgainWords(cluster) : "";
  const meanwhile = cluster ? unavailableWords(cluster) : "";
  return [
    again === "" ? "" : `serving again: ${again}${meanwhile === "" ? "" : `; unavailable ${meanwhile}`}`,
    medianAndMax(results.recoveryMs, "restart"),
    unavailable === "" ? "" : `unavailable around stops: ${unavailable}`,
  ];
}

function instrument({ instrumentCheck: check }: RunResults): string[] {
  if (check === undefined) return [];
  const what = check.caught ? `caught as ${check.finding ?? "a violation"}` : "MISSED";
  return [`${check.store} ${what} in ${duration(check.elapsedMs * 1e6)}`];
}

function wrapped(text: string, width: number, left: number): string[] {
  const room = width - left;
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function paint(line: string, verdict: Verdict, { colour }: SummaryOptions): string {
  if (!colour) return line;
  const code = verdict === true ? 32 : verdict === false ? 31 : 33;
  return `\u001b[1;${code}m${line}\u001b[0m`;
}

function dim(text: string, { colour }: SummaryOptions): string {
  return colour && text.trim() !== "" ? `\u001b[2m${text}\u001b[0m` : text;
}
