/**
 * JUnit XML: one test case for the verdict, one per checker and workload, one per fault, one per thing not covered.
 * A violation is a `failure`, anything unknown an `error` (never a pass), what was not reached or not covered `skipped`.
 */
import type { CheckResult, Finding } from "../harness/checkers/contract.ts";
import type { ExplorationResults, FaultTally, RunResults, SweepCell } from "../harness/results.ts";
import { measuredSentence } from "./cluster-words.ts";
import { verdictSentence } from "./verdict-words.ts";
import { asked, client, count, ended, moment, visible, visibleLine } from "./wording.ts";

interface TestCase {
  readonly className: string;
  readonly name: string;
  readonly seconds: number;
  readonly problem?: {
    readonly as: "failure" | "error" | "skipped";
    readonly type: string;
    readonly message: string;
    readonly body?: string;
  };
}

export function junitXml(results: RunResults): string {
  const cases = [
    verdictCase(results),
    ...results.checks.map((check) => checkCase(check, results.cluster !== undefined)),
    ...results.faults.map(faultCase),
    ...(results.explorations ?? []).flatMap(explorationCases),
    ...(results.sweep?.cells.map(sweepCase) ?? []),
    ...results.notCovered.map(
      (entry): TestCase => ({
        className: "acked.not-covered",
        name: entry.what,
        seconds: 0,
        problem: {
          as: "skipped",
          type: "not covered",
          message: [entry.why, entry.remedy].filter(Boolean).join(" → "),
        },
      }),
    ),
  ];
  const of = (as: string) => cases.filter((testCase) => testCase.problem?.as === as).length;
  const totals = `tests="${cases.length}" failures="${of("failure")}" errors="${of("error")}" skipped="${of("skipped")}" time="${seconds(results.elapsedMs)}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="acked" ${totals}>
<testsuite name="${attribute(`acked ${results.command} ${results.store.name}`)}" ${totals}${results.startedAt === "" ? "" : ` timestamp="${attribute(results.startedAt.replace(/(\.\d+)?Z$/, ""))}"`}>
<properties>
<property name="seed" value="${results.seed}"/>
<property name="durability" value="${attribute(results.durability)}"/>
<property name="replay" value="${attribute(results.replay)}"/>
<property name="run" value="${attribute(results.runDir)}"/>${clusterProperties(results)}
</properties>
${cases.map(caseXml).join("\n")}
</testsuite>
</testsuites>
`;
}

/** Of a cluster: its members, and what was measured whether or not it is held against the store. */
function clusterProperties(results: RunResults): string {
  if (!results.cluster) return "";
  const members = results.cluster.members.join(" ");
  return `
<property name="members" value="${attribute(members)}"/>
<property name="measured" value="${attribute(measuredSentence(results))}"/>`;
}

function verdictCase(results: RunResults): TestCase {
  const common = { className: "acked", name: "verdict", seconds: results.elapsedMs / 1000 };
  if (results.verdict === true) return common;
  const body = [...results.reasons, `replay: ${results.replay}`].join("\n");
  const as = results.verdict === false ? "failure" : "error";
  const type = results.verdict === false ? (results.findings[0]?.kind ?? "violation") : "unknown";
  return { ...common, problem: { as, type, message: verdictSentence(results), body } };
}

function checkCase(check: CheckResult, members: boolean): TestCase {
  const common = {
    className: `acked.${check.workload ?? "run"}`,
    name: check.checker,
    seconds: check.elapsedMs / 1000,
  };
  if (check.verdict === true) return common;
  if (check.verdict === "unknown") {
    const message = check.reasons.join("; ") || "the checker could not decide";
    return { ...common, problem: { as: "error", type: "unknown", message } };
  }
  const first = check.findings[0];
  return {
    ...common,
    problem: {
      as: "failure",
      type: first?.kind ?? "violation",
      message: first?.sentence ?? check.reasons.join("; "),
      body: check.findings
        .slice(0, 10)
        .map((finding) => findingText(finding, members))
        .join("\n\n"),
    },
  };
}

function findingText(finding: Finding, members = false): string {
  const lines = finding.operations
    .slice(0, 12)
    .map(
      (operation) =>
        `  ${moment(operation.calledAt)} – ${moment(operation.returnedAt)}  ${client(operation, members)}  ${asked(operation, true)}  ${ended(operation)}`,
    );
  return [`${finding.kind}: ${finding.sentence}`, ...lines].join("\n");
}

function faultCase(fault: FaultTally): TestCase {
  const common = { className: "acked.faults", name: fault.name, seconds: 0 };
  if (fault.fired < fault.armed) {
    const message = `armed ${fault.armed} times, fired ${fault.fired} times`;
    return { ...common, problem: { as: "error", type: "did not fire", message } };
  }
  if (fault.fired > 0) return common;
  return {
    ...common,
    problem: { as: "skipped", type: "not reached", message: `planned ${fault.planned} times, not reached` },
  };
}

/** One case a scene; findings belong to the scene that showed them, doubts to the profile as a whole. */
function explorationCases(explored: ExplorationResults): TestCase[] {
  const className = `acked.explore.${explored.profile}`;
  const seconds = explored.elapsedMs / 1000;
  const whole: TestCase = {
    className,
    name: "all scenes",
    seconds,
    ...(explored.verdict === "unknown"
      ? { problem: { as: "error", type: "unknown", message: explored.reasons.join("; ") } }
      : {}),
  };
  const scenes = explored.scenes.map((scene): TestCase => {
    const own = explored.findings.filter((finding) => finding.scene === scene.name);
    const common = { className, name: `${scene.name} (${count(scene.recovered)} states)`, seconds: 0 };
    if (own[0] === undefined) return common;
    const body = own
      .slice(0, 10)
      .map((finding) =>
        [
          findingText(finding),
          ...finding.notOnDisk.slice(0, 12).map((what) => `  not on disk: ${what}`),
          ...finding.onDisk.slice(0, 12).map((what) => `  on disk: ${what}`),
          `  replay: ${finding.replay}`,
        ].join("\n"),
      )
      .join("\n\n");
    // What is shown only under a profile that is no more than a warning for this store leaves the verdict as it is.
    const as = explored.verdict === false ? "failure" : "skipped";
    return { ...common, problem: { as, type: own[0].kind, message: own[0].sentence, body } };
  });
  return [whole, ...scenes];
}

function sweepCase({ site, effect, outcomes, trials, sentence }: SweepCell): TestCase {
  const common = { className: "acked.sweep", name: `${site}: ${effect} (${trials})`, seconds: 0 };
  const message = sentence ?? "";
  if (outcomes.finding > 0) return { ...common, problem: { as: "failure", type: "finding", message } };
  if (outcomes.unknown > 0) return { ...common, problem: { as: "error", type: "unknown", message } };
  return common;
}

function caseXml({ className, name, seconds: time, problem }: TestCase): string {
  const open = `<testcase classname="${attribute(className)}" name="${attribute(name)}" time="${time.toFixed(3)}"`;
  if (!problem) return `${open}/>`;
  const body = problem.body === undefined ? "" : text(problem.body);
  return `${open}><${problem.as} type="${attribute(problem.type)}" message="${attribute(problem.message)}">${body}</${problem.as}></testcase>`;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function attribute(value: string): string {
  return escapedXml(visibleLine(value, 1000));
}

function text(value: string): string {
  return escapedXml(visible(value, 20_000));
}

/** XML 1.0 allows no control character even as an entity; `visible` has replaced them, this drops what is left. */
/** Safe as text and as an attribute. */
export function escapedXml(value: string): string {
  return value
    .replace(/[\ufffe\uffff]/g, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
