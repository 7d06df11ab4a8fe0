/**
 * `runs/<scenario>/<time>-<seed>-<pid>/`: where one run leaves everything, `runs/latest`, and how long runs are kept.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { ScenarioError } from "../stores/contract.ts";

/** Passing runs kept per `runs/` directory; older ones are removed. */
export const passingRunsKept = 20;

export interface RunDirectory {
  /** Absolute. */
  readonly path: string;
  readonly scenarioFile: string;
  readonly historyFile: string;
  readonly faultsFile: string;
  readonly storeLog: string;
  readonly resultsFile: string;
  /** Data directories of the store, one per epoch. */
  readonly dataDir: string;
  /** Of a traced run: the trace, what it began with, and what is needed to understand it (traced-run-files.ts). */
  readonly traceFile: string;
  readonly traceRecordFile: string;
  readonly baseDir: string;
  readonly baseFile: string;
  /** Of an explored run: traced starts that findings were made in, each with a trace, a base and its list. */
  readonly startsDir: string;
}

/** The places inside a run's directory. */
export function runDirectoryAt(path: string): RunDirectory {
  const at = (name: string) => join(path, name);
  return {
    path,
    scenarioFile: at("scenario.json"),
    historyFile: at("history.jsonl"),
    faultsFile: at("faults.jsonl"),
    storeLog: at("store.log"),
    resultsFile: at("results.json"),
    dataDir: at("data"),
    traceFile: at("trace.bin"),
    traceRecordFile: at("trace.json"),
    baseDir: at("base"),
    baseFile: at("base.json"),
    startsDir: at("starts"),
  };
}

/**
 * Creates the directory of a new run below `out`.
 *
 * @throws ScenarioError when it cannot be created or written.
 */
export function createRunDirectory(
  out: string,
  scenario: string,
  seed: number,
  startedAt: Date,
): RunDirectory {
  const stamp = startedAt.toISOString().replace(/[-:]|\.\d+/g, "");
  const name =
    scenario
      .replace(/[^A-Za-z0-9._-]+/g, "-")
      .replace(/^[.-]+/, "")
      .slice(0, 60) || "run";
  const path = resolve(out, name, `${stamp}-${seed}-${process.pid}`);
  try {
    makeDirectories(join(path, "data"));
  } catch (error) {
    throw new ScenarioError(
      `cannot create the run directory ${path}: ${(error as Error).message}; choose another with --out`,
    );
  }
  return runDirectoryAt(path);
}

/** Parents first, one by one: Node's own `recursive` never returns where a parent such as /proc answers ENOENT. */
function makeDirectories(path: string): void {
  if (existsSync(path)) return;
  makeDirectories(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** Points `<out>/latest` at this run, by rename, so that it never dangles half-made. */
export function pointLatest(out: string, run: RunDirectory): void {
  const link = resolve(out, "latest");
  const temporary = `${link}.${process.pid}.tmp`;
  try {
    rmSync(temporary, { force: true });
    symlinkSync(relative(dirname(link), run.path), temporary);
    renameSync(temporary, link);
  } catch {
    rmSync(temporary, { force: true });
  }
}

/** The name of the run that a link like `runs/latest` points at, which stays right when there are later runs; else the same name. */
export function lastingName(run: string): string {
  const name = run.replace(/\/+$/, "");
  try {
    return lstatSync(name).isSymbolicLink() ? join(dirname(name), readlinkSync(name)) : run;
  } catch {
    return run;
  }
}

/** Removes the store's files of a passing run, and passing runs beyond the newest `passingRunsKept`. */
export function tidyAfterPass(out: string, run: RunDirectory): void {
  rmSync(run.dataDir, { recursive: true, force: true });
  const passing = listRuns(out).filter((candidate) => verdictOf(candidate) === true);
  for (const old of passing.slice(0, Math.max(0, passing.length - passingRunsKept))) {
    rmSync(old, { recursive: true, force: true });
  }
}

/** Absolute paths of all run directories below `out`, oldest first. */
export function listRuns(out: string): string[] {
  const found: string[] = [];
  for (const scenario of subdirectories(resolve(out))) {
    for (const run of subdirectories(scenario)) if (existsSync(join(run, "scenario.json"))) found.push(run);
  }
  return found.sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
}

function verdictOf(run: string): unknown {
  try {
    return JSON.parse(readFileSync(join(run, "results.json"), "utf8")).verdict;
  } catch {
    return undefined;
  }
}

function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
      .map((entry) => join(directory, entry.name));
  } catch {
    return [];
  }
}

/** Writes a JSON document by temporary name and rename, so that a reader never sees half of it. */
export function writeJson(path: string, value: unknown): void {
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(temporary, path);
}
