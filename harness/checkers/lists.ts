/**
 * Are lists that grow at their end linearizable, across crashes, with nothing missing, doubled, invented or out of order?
 *
 * Verified: `append` of unique elements and `read` of whole lists, each key apart, exactly and in linear time
 * (linearizability/list-key.ts); what that does not cover is searched within the budget. Every `true` comes with a
 * witness that was replayed. Across keys and restarts: recovery.ts. Where the store promises only that a prefix survives
 * a crash, each incarnation is judged alone.
 * A violated key is then sorted by what a person has to look for in the store; see `kinds` below.
 */
import { byKey, type History } from "../history/history.ts";
import type { Operation } from "../history/operation.ts";
import { elementOf, elementsOf, listModel, listOf } from "../models/list.ts";
import { showValue } from "../models/register.ts";
import type { CheckContext, CheckResult, Finding } from "./contract.ts";
import { CheckerDisagreement } from "./disagreement.ts";
import { Gathering, inOrder, seconds } from "./findings.ts";
import { analyseList } from "./linearizability/list-key.ts";
import { Search } from "./linearizability/search.ts";
import { refuteWitness } from "./linearizability/witness.ts";
import { checkRecovery, type FatesOf, losesByPromise, splitByIncarnation } from "./recovery.ts";

/** A list, or one incarnation of it. */
interface Part {
  readonly key: string;
  readonly operations: readonly Operation[];
  readonly initial: readonly string[];
}

/** ms that one list may be searched. */
const searchMs = 500;

/** Checks every list of the history; the operations must all be of one workload. */
export function checkLists(history: History, context: CheckContext): CheckResult {
  const gathering = new Gathering("linearizability of lists", context);
  const keys = byKey(history.operations);
  const initialOf = (_key: string, readBack?: Operation) => elementsOf(readBack?.output) ?? [];
  if (losesByPromise(context)) {
    for (const part of splitByIncarnation(keys, initialOf, gathering)) judge(part, gathering);
  } else {
    for (const [key, operations] of keys) judge({ key, operations, initial: [] }, gathering);
  }
  checkRecovery(history, context, gathering, listFates);
  gathering.count("operations", history.operations.length);
  gathering.count("keys", keys.size);
  return gathering.result(history.operations[0]?.workload);
}

function judge(part: Part, gathering: Gathering): void {
  const { key, operations, initial } = part;
  const analysis = analyseList(operations, initial);
  switch (analysis.verdict) {
    case "refused":
      gathering.reasons.push(`key ${key}: ${analysis.reason}`);
      return;
    case "uncovered":
      gathering.count("keysSearched", 1);
      search(part, gathering);
      return;
    case false: {
      const { what, operations: shown } = analysis.conflicts[0]!;
      gathering.findings.push(...kinds(part, what, shown));
      return;
    }
    default:
      confirm(part, analysis.witness, gathering);
  }
}

function search(part: Part, gathering: Gathering): void {
  const { key, operations, initial } = part;
  const from = listOf(initial);
  const running = new Search({ ...listModel, init: () => from }, operations);
  const progress = running.advance(Math.min(gathering.endsAt, performance.now() + searchMs));
  if (progress === true) confirm(part, running.witness(), gathering);
  else if (progress === false) {
    const last = operations.filter((operation) => operation.outcome === "ok").slice(-4);
    gathering.findings.push(...kinds(part, "no order of its operations explains what clients saw", last));
  } else gathering.reasons.push(`key ${key}: the search ran out of time`);
}

function confirm(part: Part, witness: readonly Operation[], gathering: Gathering): void {
  const wrong = refuteWitness(listModel, part.operations, witness, listOf(part.initial));
  if (wrong) {
    const what = `the order by which the history was explained does not stand: ${wrong}`;
    throw new CheckerDisagreement(part.key, what, part.operations);
  }
  gathering.count("operationsInWitness", witness.length);
}

interface Read {
  readonly operation: Operation;
  readonly elements: readonly string[];
  readonly set: ReadonlySet<string>;
}

/** What a violated list is examined by. */
interface Evidence {
  readonly initial: readonly string[];
  readonly reads: readonly Read[];
  /** By element; those that were refused are not in it. */
  readonly appends: ReadonlyMap<string, Operation>;
  readonly refused: ReadonlyMap<string, Operation>;
}

type Shown = Pick<Finding, "kind" | "sentence" | "count"> & {
  readonly operations: readonly (Operation | undefined)[];
};

/**
 * Sorts what is wrong with a list. Each rule names its kind and the first pair of operations that shows it; when none
 * applies, the contradiction that the check found is `not-linearizable`.
 */
function kinds({ key, operations, initial }: Part, what: string, shown: readonly Operation[]): Finding[] {
  const evidence = evidenceOf(operations, initial);
  const rules = [doubled, invented, missing, takenBack, cameBack];
  const found = rules.map((rule) => rule(evidence)).filter((finding) => finding !== undefined);
  const all: readonly Shown[] =
    found.length > 0 ? found : [{ kind: "not-linearizable", operations: shown, sentence: what }];
  const workload = operations[0]?.workload;
  return all.map((finding) => ({
    ...finding,
    ...(workload ? { workload } : {}),
    key,
    operations: inOrder(finding.operations),
    sentence: `key ${key}: ${finding.sentence}`,
  }));
}

function evidenceOf(operations: readonly Operation[], initial: readonly string[]): Evidence {
  const appendsOf = (accepts: (operation: Operation) => boolean) =>
    new Map(
      operations
        .filter((operation) => operation.f === "append" && accepts(operation))
        .map((operation) => [elementOf(operation.input), operation]),
    );
  const reads = operations
    .filter((operation) => operation.f === "read" && operation.outcome === "ok")
    .map((operation) => {
      const elements = elementsOf(operation.output) ?? [];
      return { operation, elements, set: new Set(elements) };
    });
  return {
    initial,
    reads,
    appends: appendsOf((operation) => operation.outcome !== "fail"),
    refused: appendsOf((operation) => operation.outcome === "fail"),
  };
}

function doubled({ reads, appends }: Evidence): Shown | undefined {
  const wrong = reads.filter(({ elements, set }) => set.size < elements.length);
  const first = wrong[0];
  if (!first) return undefined;
  const element = first.elements.find((candidate, i) => first.elements.indexOf(candidate) !== i)!;
  const [once, again] = [first.elements.indexOf(element), first.elements.lastIndexOf(element)];
  return {
    kind: "applied-twice",
    operations: [appends.get(element), first.operation],
    sentence: `the ${who(first.operation)} at ${seconds(first.operation.calledAt)} shows ${showValue(element)} twice, at positions ${once + 1} and ${again + 1}; it was appended once`,
    count: wrong.length,
  };
}

function invented({ reads, appends, refused, initial }: Evidence): Shown | undefined {
  const known = new Set(initial);
  const isUnknown = (element: string) => !appends.has(element) && !known.has(element);
  const wrong = reads.filter(({ elements }) => elements.some(isUnknown));
  const first = wrong[0];
  if (!first) return undefined;
  const element = first.elements.find(isUnknown)!;
  const origin = refused.get(element);
  return {
    kind: "phantom-value",
    operations: [origin, first.operation],
    sentence: `the ${who(first.operation)} at ${seconds(first.operation.calledAt)} shows ${showValue(element)}, ${origin ? `whose append by client ${origin.process} was refused` : "which nobody appended"}`,
    count: wrong.length,
  };
}

/** An acknowledged element that a read sent afterwards does not show. */
function missing({ reads, appends, initial }: Evidence): Shown | undefined {
  let first: { append: Operation; read: Read } | undefined;
  let count = 0;
  for (const [element, append] of appends) {
    if (append.outcome !== "ok") continue;
    const read = reads.find(({ operation, set }) => operation.call > append.return && !set.has(element));
    if (!read) continue;
    count++;
    const isWorse = !first || (isAcross(append, read, reads) && !isAcross(first.append, first.read, reads));
    if (isWorse) first = { append, read };
  }
  if (!first) return missingFromBefore(reads, initial);
  const { append, read } = first;
  const across = isAcross(append, read, reads);
  return {
    kind: across ? "lost-acknowledged-write" : "stale-read",
    operations: [append, read.operation],
    sentence: `the ${who(append)} was acknowledged at ${seconds(append.returnedAt)}, but the ${who(read.operation)}, sent ${across ? `after restart ${read.operation.incarnation}` : "later"} at ${seconds(read.operation.calledAt)}, does not show it`,
    count,
  };
}

/** The element was there before a restart and has not been seen since. */
function isAcross(append: Operation, read: Read, reads: readonly Read[]): boolean {
  const element = elementOf(append.input);
  const { incarnation, call } = read.operation;
  const seenSince = reads.some(
    ({ operation, set }) =>
      operation.incarnation === incarnation && operation.return < call && set.has(element),
  );
  return incarnation > append.incarnation && !seenSince;
}

function missingFromBefore(reads: readonly Read[], initial: readonly string[]): Shown | undefined {
  for (const { operation, set } of reads) {
    const element = initial.find((candidate) => !set.has(candidate));
    if (element === undefined) continue;
    return {
      kind: "stale-read",
      operations: [operation],
      sentence: `the ${who(operation)} at ${seconds(operation.calledAt)} does not show ${showValue(element)}, which this incarnation's first read-back had found`,
    };
  }
  return undefined;
}

/** An element that one read showed and a read sent after it does not, though its append was never acknowledged by then. */
function takenBack({ reads, appends }: Evidence): Shown | undefined {
  const shownBy = new Map<string, Operation>();
  const byReturn = [...reads].sort((a, b) => a.operation.return - b.operation.return);
  for (const { operation, elements } of byReturn) {
    for (const element of elements) if (!shownBy.has(element)) shownBy.set(element, operation);
  }
  let within: Shown | undefined;
  for (const [element, shown] of shownBy) {
    const append = appends.get(element);
    const read = reads.find(
      ({ operation, set }) => operation.call > shown.return && !set.has(element),
    )?.operation;
    if (!append || !read || (append.outcome === "ok" && append.return < read.call)) continue;
    const across = read.incarnation > shown.incarnation;
    const finding: Shown = {
      kind: across ? "read-of-unsynced-write" : "stale-read",
      operations: [append, shown, read],
      sentence: `the ${who(shown)} had shown ${showValue(element)} at ${seconds(shown.returnedAt)}, but the ${who(read)}, sent ${across ? `after restart ${read.incarnation}` : "later"} at ${seconds(read.calledAt)}, does not`,
    };
    if (across) return finding;
    within ??= finding;
  }
  return within;
}

/** In flight at a crash, absent after it, and there later. */
function cameBack({ reads, appends }: Evidence): Shown | undefined {
  for (const [element, append] of appends) {
    if (append.outcome !== "info") continue;
    const absent = reads.find(
      ({ operation, set }) => operation.call > append.bound && !set.has(element),
    )?.operation;
    const present = reads.find(({ set }) => set.has(element))?.operation;
    if (!absent || !present || present.call < absent.return) continue;
    return {
      kind: "resurrected-write",
      operations: [append, absent, present],
      sentence: `the ${who(append)} was in flight when incarnation ${append.incarnation} ended, and the ${who(absent)} at ${seconds(absent.calledAt)} does not show it; yet the ${who(present)} at ${seconds(present.calledAt)} does`,
    };
  }
  return undefined;
}

function who(operation: Operation): string {
  return `${listModel.describe(operation)} (client ${operation.process})`;
}

/** Lists: an element is there or it is not. */
export const listFates: FatesOf = (before, operations, after) => {
  const found = new Set(elementsOf(after.output) ?? []);
  const appends = operations.filter((operation) => operation.f === "append" && operation.outcome !== "fail");
  const isThere = (operation: Operation) => found.has(elementOf(operation.input));
  const fates = {
    lost: appends.filter((operation) => operation.outcome === "ok" && !isThere(operation)),
    survived: appends.filter(isThere),
  };
  const gone = (elementsOf(before) ?? []).find((element) => !found.has(element));
  if (gone === undefined) return fates;
  const sentence = `key ${after.key}: the read-back at ${seconds(after.calledAt)}, after restart ${after.incarnation}, does not show ${showValue(gone)}, which had come back from the restart before`;
  return { ...fates, impossible: { kind: "lost-acknowledged-write", sentence } };
};
