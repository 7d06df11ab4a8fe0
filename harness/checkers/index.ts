/**
 * The registry of checks that a saved history can be asked for by name (`acked check --model`), one line each: the
 * workloads of acked, transactions, sets, counters and the like, and every model by search. A user's own model is named by
 * its module.
 *
 * `register` and `kv` can be asked for weaker promises than linearizability as well (`weaker/`).
 */
import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ScenarioError, unknownName } from "../../stores/contract.ts";
import type { Workload } from "../../workloads/contract.ts";
import { workloads } from "../../workloads/index.ts";
import { type History, ofWorkload } from "../history/history.ts";
import { models } from "../models/index.ts";
import { checkAssumptions } from "./assumptions.ts";
import { runChecker } from "./compose.ts";
import type { CheckContext, CheckResult } from "./contract.ts";
import { checkCounter } from "./counters.ts";
import { confirmedBy } from "./cross-check.ts";
import { checkByModel } from "./linearizability/by-model.ts";
import type { ModelReference } from "./linearizability/workers.ts";
import { checkMonotonic } from "./monotonic.ts";
import { losesByPromise } from "./recovery.ts";
import { checkSet } from "./sets.ts";
import type { LevelName } from "./transactions/levels.ts";
import { checkListAppend } from "./transactions/list-append.ts";
import { checkRwRegister } from "./transactions/rw-register.ts";
import { checkUniqueIndex } from "./unique-index.ts";
import { checkPrefix } from "./weaker/prefix.ts";
import { checkSequential } from "./weaker/sequential.ts";
import { checkSessions } from "./weaker/sessions.ts";
import { measureStaleness } from "./weaker/staleness.ts";

export interface AskedOfHistory {
  readonly context: CheckContext;
  /** Of transactions; default strict-serializable. */
  readonly level?: LevelName;
  /** Of registers and keys; default linearizable. */
  readonly promises?: readonly AskedPromise[];
  /** Decides everything twice, by different algorithms, as far as time allows. */
  readonly crossCheck?: boolean;
  /** Called with a violation, in a sentence, as soon as it is found; the rest goes on. */
  readonly onViolation?: (sentence: string) => void;
}

/** One promise, with its bound in ms where it takes one. */
export interface AskedPromise {
  readonly name: PromiseName;
  readonly boundMs?: number;
}

export const promiseNames = ["linearizable", "sequential", "sessions", "staleness", "prefix"] as const;
export type PromiseName = (typeof promiseNames)[number];
/** Those that take a bound, as in `staleness:100`. */
export const boundedPromises: readonly PromiseName[] = ["staleness", "prefix"];

export interface HistoryCheck {
  readonly name: string;
  /** One sentence for `acked list`. */
  readonly summary: string;
  readonly takesLevel?: true;
  readonly takesPromises?: true;
  /** What fails in it is not acked's fault. */
  readonly isUsersOwn?: true;
  /** False: it has one algorithm only, so that `crossCheck` would do nothing. */
  readonly takesCrossCheck: boolean;
  check(history: History, asked: AskedOfHistory): Promise<readonly CheckResult[]>;
}

type CheckFunction = (history: History, context: CheckContext) => CheckResult;

/** A check of its own. */
function own(name: string, summary: string, check: CheckFunction): HistoryCheck {
  return {
    name,
    summary,
    takesCrossCheck: false,
    check: async (history, { context }) => {
      return runChecker(name, context, () => [enough(history, check(history, context))]);
    },
  };
}

function transactions(name: string, summary: string, check: typeof checkListAppend): HistoryCheck {
  return {
    name,
    summary,
    takesLevel: true,
    takesCrossCheck: false,
    check: async (history, { context, level }) => {
      const options = level === undefined ? {} : { level };
      return runChecker(name, context, () => [enough(history, check(history, context, options))]);
    },
  };
}

/** By search, with the exact method where the model has one. */
function model(name: string, reference: ModelReference, summary: string): HistoryCheck {
  return {
    name,
    summary,
    takesCrossCheck: true,
    check: async (history, asked) => [enough(history, await checkByModel(history, reference, asked))],
  };
}

/** The model by which a workload's keys can be decided a second time. */
const modelOf: Readonly<Record<string, ModelReference>> = {
  register: "register",
  kv: "register",
  append: "list",
};

/** A workload's own checkers; its registers and keys can be asked for less. */
function workload(one: Workload): HistoryCheck {
  const reference = modelOf[one.name];
  const registers = one.name === "register" || one.name === "kv";
  return {
    name: one.name,
    summary: one.summary,
    ...(registers ? { takesPromises: true as const } : {}),
    takesCrossCheck: reference !== undefined,
    check: async (history, asked) => {
      if (one.name === "kv" && isStrings(history)) {
        if (asked.promises) {
          throw new ScenarioError(
            "a history of get, put and append is judged for linearizability only: leave out --promise",
          );
        }
        return byName("kv-strings").check(history, asked);
      }
      const { context, promises = [{ name: "linearizable" }] } = asked;
      const results = runChecker("assumptions", context, () => [checkAssumptions(history, context)]);
      for (const promise of promises) {
        const found = runChecker(`${one.name}: ${promise.name}`, context, () =>
          promised(one, history, context, promise),
        );
        // The model knows nothing of promised loss.
        const canBeTwice = promise.name === "linearizable" && !losesByPromise(context);
        const isTwice = asked.crossCheck && canBeTwice && reference !== undefined;
        results.push(...(isTwice ? await twice(found, history, reference, context) : found));
      }
      return results;
    },
  };
}

/** The same keys by model, and by two algorithms there. */
async function twice(
  found: readonly CheckResult[],
  history: History,
  reference: ModelReference,
  context: CheckContext,
): Promise<CheckResult[]> {
  const second = await checkByModel(history, reference, { context, crossCheck: true });
  return found.map((first) => confirmedBy(first, second, history.operations));
}

function promised(
  { check }: Workload,
  history: History,
  context: CheckContext,
  { name, boundMs }: AskedPromise,
): readonly CheckResult[] {
  switch (name) {
    case "linearizable":
      return check(history, context);
    case "sequential":
      return [checkSequential(history, context)];
    case "sessions":
      return [checkSessions(history, context)];
    case "staleness":
      return [measureStaleness(history, context, boundMs === undefined ? {} : { boundMs })];
    case "prefix":
      return [checkPrefix(history, context, boundMs === undefined ? {} : { lossMsMax: boundMs })];
  }
}

/** The get, put and append of Raft courses and of Porcupine's samples, which are another data type of the same name. */
function isStrings({ operations }: History): boolean {
  return operations.some(({ f }) => f === "get" || f === "put");
}

/** A history in which nothing was acknowledged shows nothing. */
function enough({ operations }: History, result: CheckResult): CheckResult {
  if (result.verdict !== true || operations.some(({ outcome }) => outcome === "ok")) return result;
  const reason = operations.length === 0 ? "the history has no operations" : "nothing was acknowledged";
  return { ...result, verdict: "unknown", reasons: [...result.reasons, reason] };
}

/** Models whose short name belongs to a check of its own, which is faster and says more. */
const alsoAsModel = ["register", "list", "set", "counter"] as const;

export const historyChecks: readonly HistoryCheck[] = [
  ...workloads.map(workload),
  transactions(
    "list-append",
    "transactions over lists: which isolation levels are ruled out",
    checkListAppend,
  ),
  transactions("rw-register", "transactions over registers, each value written once", checkRwRegister),
  own("set", "every acknowledged element is in later reads, and no other", checkSet),
  own("counter", "every read lies between what had been added and what may have been", checkCounter),
  own("unique-index", "no two holders of one unique value at once", checkUniqueIndex),
  own("monotonic", "a value that only grows is never seen to go back", checkMonotonic),
  ...Object.keys(models)
    .filter((name) => !(alsoAsModel as readonly string[]).includes(name))
    .map((name) => model(name, name, `linearizable as a ${name}, by search`)),
  ...alsoAsModel.map((name) =>
    model(`model:${name}`, name, `linearizable as a ${name}: exactly where it can be, else by search`),
  ),
];

/**
 * The check of that name; a path to a module is a model of the user's own, its default export.
 *
 * @throws ScenarioError naming the nearest.
 */
export function byName(name: string): HistoryCheck {
  const known = historyChecks.find((check) => check.name === name);
  if (known) return known;
  if (name.startsWith(".") || isAbsolute(name)) {
    return {
      ...model(name, { module: pathToFileURL(resolve(name)) }, "a model of your own"),
      isUsersOwn: true,
    };
  }
  const names = historyChecks.map((check) => check.name);
  throw unknownName("model", name, names, ", and ./module.mjs that exports a model by default");
}

/**
 * The part of a history that a check of this name judges: its own workload's where operations name theirs. What was
 * recorded under a name with `@` (`set@n2`: reads of one member's own state) is nobody's but that name's.
 *
 * @throws ScenarioError when the name is a workload's, and the operations are those of others.
 */
export function partOf(history: History, name: string): History {
  const has = new Set(history.operations.map(({ workload }) => workload));
  if (has.has(name)) return ofWorkload(history, name);
  const isWorkload = workloads.some((one) => one.name === name);
  // Operations that name no workload have "" for it: they are of whatever is asked for.
  if (isWorkload && has.size > 0 && !has.has("")) {
    throw new ScenarioError(
      `no such workload in this history: ${name}; it has ${[...has].sort().join(", ")}`,
    );
  }
  const { operations } = history;
  return { ...history, operations: operations.filter(({ workload }) => !workload.includes("@")) };
}
