/**
 * A core of operations that contradict each other (minimal-history.ts), in sentences that a person can check against the
 * history, for any model. Times are ms since the start, with process and event index, so that each can be found.
 */
import type { Operation } from "../../history/operation.ts";
import type { Model } from "../../models/contract.ts";
import { quote } from "../../models/register.ts";
import type { Stuck } from "./minimal-history.ts";

/** More operations than this are counted, not named. */
const namedMax = 6;
const statesMax = 4;

/**
 * One sentence on what the culprit contradicts, one on what would have explained it, had it not been over, and one on what
 * the culprit would have been instead; the last two where there is such a thing.
 *
 * @param remedy the latest operation that would have explained it.
 * @param stuck the operation that could not be placed, which is mostly the culprit, and the states that it could meet.
 */
export function conflictSentences<State>(
  model: Model<State>,
  core: readonly Operation[],
  culprit: Operation,
  remedy: Operation | undefined,
  stuck: Stuck<State> | undefined,
): string[] {
  const others = core.filter((operation) => operation.call !== culprit.call);
  const earlier = others.filter((operation) => operation.bound < culprit.call);
  const during = others.filter((operation) => operation.bound >= culprit.call);
  const ended = `${who(model, culprit)} ${gave(model, culprit)} at ${milliseconds(culprit.returnedAt)}`;
  const sentences: string[] = [];
  if (others.length === 0) sentences.push(`${ended}, which nothing that was sent before explains`);
  else {
    const facts = [...listed(model, earlier), ...listed(model, during, "while ")];
    sentences.push(`${ended}, but ${facts.join(", ")}`);
  }
  if (remedy) sentences.push(`${wasOver(model, remedy)}, too early to explain that`);
  const instead = stuck && wouldHaveBeen(model, stuck, stuck.operation.call === culprit.call);
  if (instead) sentences.push(instead);
  return sentences;
}

function listed<State>(model: Model<State>, operations: readonly Operation[], before = ""): string[] {
  const byEnd = [...operations].sort((a, b) => a.bound - b.bound);
  const facts = byEnd
    .slice(-namedMax)
    .map((operation) => `${before}${fact(model, operation, before !== "")}`);
  const more = operations.length - facts.length;
  return more > 0 ? [`${more} other operations had ended before`, ...facts] : facts;
}

function fact<State>(model: Model<State>, operation: Operation, underWay: boolean): string {
  const { outcome, calledAt, returnedAt } = operation;
  if (outcome === "info") {
    return `${who(model, operation)}, sent at ${milliseconds(calledAt)} and never answered, could happen no later than event ${operation.bound}`;
  }
  if (underWay) {
    return `${who(model, operation)}, sent at ${milliseconds(calledAt)}, ${gave(model, operation)} at ${milliseconds(returnedAt)}`;
  }
  if (isSilentRefusal(operation))
    return `${who(model, operation)} had been refused at ${milliseconds(returnedAt)}`;
  const ended = hasResult(model, operation) ? `had ${gave(model, operation)}` : "had been acknowledged";
  return `${who(model, operation)} ${ended} at ${milliseconds(returnedAt)}`;
}

function who<State>(model: Model<State>, operation: Operation): string {
  const what = model.describe(operation);
  const { key, process, call } = operation;
  const of = key === "" || what.split(/[\s,]+/).includes(key) ? "" : ` of ${key}`;
  return `${what}${of} (process ${process}, event ${call})`;
}

function wasOver<State>(model: Model<State>, operation: Operation): string {
  if (operation.outcome === "ok") {
    return `${who(model, operation)} had ended at ${milliseconds(operation.returnedAt)}`;
  }
  return `${who(model, operation)}, sent at ${milliseconds(operation.calledAt)}, could happen no later than event ${operation.bound}`;
}

/** Some clients give an empty text for "done". */
function hasResult<State>(model: Model<State>, operation: Operation): boolean {
  const { output } = operation;
  return output !== undefined && output !== null && (output !== "" || model.readOnly(operation));
}

/** A refused compare that does not say which other value it saw. */
function isSilentRefusal({ matched, output }: Operation): boolean {
  return matched === false && (output === undefined || output === null);
}

function gave<State>(model: Model<State>, operation: Operation): string {
  if (isSilentRefusal(operation)) return "was refused";
  const returnsNothing = !hasResult(model, operation) && !model.readOnly(operation);
  return returnsNothing ? "succeeded" : `returned ${quote(operation.output)}`;
}

function wouldHaveBeen<State>(
  model: Model<State>,
  { operation, states }: Stuck<State>,
  isCulprit: boolean,
): string | undefined {
  if (states.length === 0 || !model.show) return undefined;
  const it = isCulprit ? "it" : who(model, operation);
  const possible = [...new Set(states.map((state) => model.show!(state)))];
  if (possible.length > statesMax) {
    return `in none of the ${possible.length} states that were possible then could ${it} end like that`;
  }
  const where = `${it} could meet ${possible.length === 1 ? "only the state" : "the states"} ${possible.join(" or ")}`;
  const expected = [...new Set(states.map((state) => model.expected?.(state, operation)))];
  if (expected.some((one) => one === undefined)) return `${where}, in which it cannot end like that`;
  return `${where}, and would have returned ${expected.join(" or ")}`;
}

/** A moment for a sentence. @param ns since the start. */
export function milliseconds(ns: number): string {
  return `${Number((ns / 1e6).toFixed(3))} ms`;
}
