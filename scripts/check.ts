/**
 * `acked check FILE --model NAME`: judges a saved history without any store: acked's own lines and columns, Jepsen's EDN and
 * JSON, key-value histories of strings. `--model` says what it is a history of; `--promise` and `--level` what it is held
 * to. `--html` writes the report.
 *
 * Exit 0: it holds. 1: it does not. 2: undecided. 3: the file or an option cannot be used. 4: two of acked's own algorithms
 * disagree; the history is saved.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { type CheckResult, combineVerdicts, type Finding } from "../harness/checkers/contract.ts";
import { CheckerDisagreement } from "../harness/checkers/disagreement.ts";
import {
  type AskedPromise,
  boundedPromises,
  byName,
  type HistoryCheck,
  partOf,
  promiseNames,
} from "../harness/checkers/index.ts";
import { drawCycle } from "../harness/checkers/transactions/draw.ts";
import { type LevelName, levelNames } from "../harness/checkers/transactions/levels.ts";
import {
  type OpenedHistory,
  type OpenOptions,
  openHistory,
  readHistory,
} from "../harness/history/formats/index.ts";
import { type History, HistoryError } from "../harness/history/history.ts";
import { shownText } from "../harness/history/shown-text.ts";
import { writeCheckReport } from "../reports/index.ts";
import { ScenarioError, type StorePromise } from "../stores/contract.ts";
import { isSameFile, names, wholeNumber } from "./options.ts";

/** What a history alone is judged by: everything acknowledged survives. */
const strictest: StorePromise = {
  processCrash: { survives: "everything acknowledged" },
  powerLoss: { survives: "everything acknowledged" },
  gracefulStop: { survives: "everything acknowledged" },
  syncsBeforeAcknowledging: false,
  failStop: false,
  detectsDamageAtRest: false,
  source: "acked check: every acknowledged operation is expected to survive",
};

interface Flags {
  readonly model: string;
  readonly format: string;
  readonly independent: boolean | "auto";
  readonly failedCas?: "observation" | "ignored";
  readonly level?: LevelName;
  readonly promise?: readonly AskedPromise[];
  readonly seconds: number;
  readonly crossCheck?: boolean;
  readonly html?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("check")
    .description("judge a saved history: linearizability, weaker promises, transactions and invariants")
    .argument("<file>", "a history (acked's lines or columns, Jepsen's EDN, JSON or log), or a run directory")
    .requiredOption("--model <name>", "what it is a history of; acked list names them")
    .option(
      "--promise <names>",
      `of registers and keys: ${promiseNames.join(", ")}; staleness:<ms>`,
      promises,
    )
    .option("--level <name>", "of transactions: the isolation level to hold", level)
    .option("--format <name>", "of the file, when it is not recognized", "auto")
    .option("--independent <choice>", "Jepsen: whether values are pairs [key value]", independent, "auto")
    .option("--failed-cas <meaning>", "Jepsen: ignored, or an observation of another value", failedCas)
    .option("--seconds <n>", "at most, for judging", wholeNumber(1, 86_400), 60)
    .option("--cross-check", "decide everything by two algorithms, as far as time allows")
    .option("--html <file>", "write the report, one page that opens offline")
    .option("--json", "one JSON document on stdout, and nothing else")
    .action((file: string, flags: Flags) => check(file, flags));
}

async function check(file: string, flags: Flags): Promise<void> {
  const judge = byName(flags.model);
  refuseWhatItDoesNotTake(judge, flags);
  if (flags.html && isSameFile(flags.html, file)) {
    throw new ScenarioError(`--html would overwrite the history ${file}; name another file`);
  }
  const opened = opening(file, flags);
  const history = partOf(opened.history, judge.name);
  const results = await judged(judge, history, flags);
  const html = flags.html && (await written(flags.html, file, results, flags));
  conclude({ file, results, opened, ...(html ? { html } : {}) }, flags.json === true);
}

async function judged(judge: HistoryCheck, history: History, flags: Flags): Promise<readonly CheckResult[]> {
  try {
    return await judge.check(history, {
      context: { promise: strictest, budgetMs: flags.seconds * 1000 },
      ...(flags.level ? { level: flags.level } : {}),
      ...(flags.promise ? { promises: flags.promise } : {}),
      ...(flags.crossCheck ? { crossCheck: true } : {}),
      onViolation: (sentence) =>
        !flags.json && console.error(shownText(`found: ${sentence}`, Number.POSITIVE_INFINITY)),
    });
  } catch (error) {
    const ours = error instanceof ScenarioError || error instanceof CheckerDisagreement;
    if (ours || !judge.isUsersOwn) throw error;
    const why = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    throw new ScenarioError(`the model ${judge.name} failed: ${why}`);
  }
}

function refuseWhatItDoesNotTake(judge: HistoryCheck, flags: Flags): void {
  if (flags.level && !judge.takesLevel) {
    throw new ScenarioError(`--level is for list-append and rw-register, and not for --model ${judge.name}`);
  }
  if (flags.crossCheck && !judge.takesCrossCheck) {
    throw new ScenarioError(`--cross-check needs a second algorithm, and --model ${judge.name} has one only`);
  }
  if (flags.promise && !judge.takesPromises) {
    throw new ScenarioError(`--promise is for register and kv, and not for --model ${judge.name}`);
  }
}

function opening(path: string, flags: Flags): OpenedHistory {
  if (!existsSync(path)) throw new ScenarioError(`there is no file ${path}`);
  try {
    return openHistory(historyIn(path), readingOf(flags));
  } catch (error) {
    if (error instanceof HistoryError) throw new ScenarioError(`${historyIn(path)}: ${error.message}`);
    throw error;
  }
}

function historyIn(path: string): string {
  return statSync(path).isDirectory() ? join(path, "history.jsonl") : path;
}

function readingOf({ format, independent: pairs, failedCas: refused }: Flags): OpenOptions {
  return { format, independent: pairs, ...(refused ? { failedCas: refused } : {}) };
}

/** The events are read again, since faults are in them and not in the operations. */
async function written(out: string, file: string, results: readonly CheckResult[], flags: Flags) {
  const { events } = readHistory(historyIn(file), readingOf(flags));
  try {
    await writeCheckReport({ file, results, events, out });
    return out;
  } catch (error) {
    throw new ScenarioError(`the report cannot be written to ${out}: ${(error as Error).message}`);
  }
}

interface Conclusion {
  readonly file: string;
  readonly results: readonly CheckResult[];
  readonly opened: OpenedHistory;
  readonly html?: string;
}

function conclude({ file, results, opened, html }: Conclusion, json: boolean): void {
  const verdict = combineVerdicts(results.map((result) => result.verdict));
  const findings = results.flatMap((result) => result.findings);
  const reasons = [
    ...findings.map((finding) => `${finding.kind}: ${finding.sentence}`),
    ...results.flatMap((result) => result.reasons),
  ];
  const exitCode = verdict === true ? 0 : verdict === false ? 1 : 2;
  process.exitCode = exitCode;
  const { format, events, truncated, warnings } = opened;
  if (json) {
    const document = {
      ...{ formatVersion: 1, command: "check", verdict, exitCode, reasons, findings, checks: results },
      ...{ format, events, truncated, warnings },
      ...(html ? { report: html } : {}),
    };
    console.log(JSON.stringify(document, null, 2));
    return;
  }
  const words = { true: "PASS", false: "VIOLATION", unknown: "UNKNOWN" } as const;
  const looked = results.map((result) => `${result.checker}: ${countsOf(result)}`).join("; ");
  say(`${words[String(verdict) as keyof typeof words]} ${file} (${looked})`);
  if (truncated) say("the last line was cut short, as a crash of the recorder leaves it; it was left out");
  for (const warning of warnings) say(`  read with a remark: ${warning}`);
  const left = new Set(
    results.flatMap((result) => result.notChecked.map((what) => `${result.checker}: ${what}`)),
  );
  for (const what of left) say(`  not checked: ${what}`);
  for (const result of results) for (const line of levelLines(result)) say(`  ${line}`);
  for (const reason of reasons) say(`  ${reason}`);
  for (const finding of findings) if (isOfTransactions(finding)) for (const line of drawn(finding)) say(line);
  if (html) say(`report ${html}`);
}

/** Of transactions: what the history leaves possible, and anomalies that the expected level permits. */
function levelLines({ levels, observations = [] }: CheckResult): string[] {
  const permitted = observations.map(
    (one) => `permitted by ${levels?.expected ?? "the level"}: ${one.kind}: ${one.sentence}`,
  );
  if (!levels) return permitted;
  const strongest = levels.strongest.join(" or ") || "not known";
  const out = levels.ruledOut.join(", ") || "none";
  return [`strongest level that is not ruled out: ${strongest}; ruled out: ${out}`, ...permitted];
}

/** A cycle of single operations is told in its sentence; one of transactions is worth drawing. */
function isOfTransactions({ cycle, operations }: Finding): boolean {
  return cycle !== undefined && operations.every(({ f }) => f === "txn");
}

function drawn(finding: Finding): string[] {
  return drawCycle(finding)
    .split("\n")
    .map((line) => `    ${line}`);
}

/** A line on stdout. What a history holds may be anything, and a terminal must not obey it. */
function say(line: string): void {
  console.log(shownText(line, Number.POSITIVE_INFINITY));
}

function countsOf(result: CheckResult): string {
  return Object.entries(result.checked)
    .map(([unit, count]) => `${count} ${unit}`.trim())
    .join(", ");
}

function promises(text: string): AskedPromise[] {
  return names(text, undefined).map((item) => {
    const [name, bound, ...rest] = item.split(":");
    const known = promiseNames.find((one) => one === name);
    if (!known || rest.length > 0) {
      throw new InvalidArgumentError(`"${item}" is none of ${promiseNames.join(", ")}`);
    }
    if (bound === undefined) return { name: known };
    if (!boundedPromises.includes(known)) throw new InvalidArgumentError(`${known} takes no bound`);
    const boundMs = Number(bound);
    if (!/^\d+(\.\d+)?$/.test(bound)) throw new InvalidArgumentError(`"${bound}" is no number of ms`);
    return { name: known, boundMs };
  });
}

function level(text: string): LevelName {
  const known = levelNames.find((name) => name === text);
  if (!known) throw new InvalidArgumentError(`the levels are ${levelNames.join(", ")}`);
  return known;
}

function independent(text: string): boolean | "auto" {
  if (text !== "true" && text !== "false" && text !== "auto") {
    throw new InvalidArgumentError("give true, false or auto");
  }
  return text === "auto" ? "auto" : text === "true";
}

function failedCas(text: string): "observation" | "ignored" {
  if (text !== "observation" && text !== "ignored")
    throw new InvalidArgumentError("give observation or ignored");
  return text;
}
