/**
 * What is checked of one round of a cluster's run, and what is only measured.
 *
 * Checked: that enough was done; each workload's own checkers over what its clients saw, from the storm's first request to
 * the reads in the calm, as one history without restarts (a member that comes back is nobody's recovery: the cluster has
 * been there all along, so an unknown operation may take effect at any later time); that it served again after everything
 * had healed; that no two members acknowledged writes as leaders at once.
 *
 * Measured: acknowledged writes that no member has at the end; how old stale reads were; times of two leaders. Where a
 * cluster does not promise linearizability, what contradicts it is told as observed. What was invented, applied twice or
 * torn is a finding everywhere.
 */
import type { ClusterPromise } from "../../stores/cluster-contract.ts";
import type { StorePromise } from "../../stores/contract.ts";
import type { Workload } from "../../workloads/contract.ts";
import { checkAssumptions } from "../checkers/assumptions.ts";
import { runChecker } from "../checkers/compose.ts";
import type { CheckContext, CheckResult, Finding, FindingKind } from "../checkers/contract.ts";
import { measureStaleness } from "../checkers/weaker/staleness.ts";
import { buildHistory, type History, ofWorkload } from "../history/history.ts";
import type { HistoryEvent, Operation } from "../history/operation.ts";
import type { ClusterMeasured, Span } from "../results.ts";
import type { Claim } from "./leader-watch.ts";

/** Wall time one checker may use on one round, in ms. */
const budgetMs = 5000;

/** What happened in a round that its history does not say. */
export interface RoundFacts {
  readonly round: number;
  readonly claims: readonly Claim[];
  readonly findings: readonly Finding[];
  readonly unknowns: readonly string[];
  readonly lostPower: boolean;
  /** Some fault has fired: without one nothing may be lost, whatever a failover may cost. */
  readonly disturbed: boolean;
  /** A member that had led came back as it was, beside the new leader. */
  readonly unfenced: boolean;
}

export interface RoundJudgement {
  readonly checks: readonly CheckResult[];
  readonly measured: ClusterMeasured;
}

/** Kinds that only say that a read or a write was not where linearizability, or the last leader, would have it. */
const ofOrder: ReadonlySet<FindingKind> = new Set([
  "not-linearizable",
  "lost-acknowledged-write",
  "resurrected-write",
  "reordered-recovery",
  "stale-read",
  "read-of-unsynced-write",
  "lost-update",
  "incompatible-order",
  "split-brain",
]);

/** What no reader who asked the wrong member explains: it was acknowledged, and is gone, or was by two. */
function isLoss(kind: FindingKind): boolean {
  return kind === "lost-acknowledged-write" || kind === "split-brain";
}

/** Checkers judge by a store's promise: everything acknowledged is owed, by whomever. */
const owed: StorePromise = {
  processCrash: { survives: "everything acknowledged" },
  powerLoss: { survives: "everything acknowledged" },
  gracefulStop: { survives: "everything acknowledged" },
  syncsBeforeAcknowledging: false,
  failStop: false,
  detectsDamageAtRest: false,
  source: "",
};

/** Judges the events of one round. */
export function judgeRound(
  events: readonly HistoryEvent[],
  workloads: readonly Workload[],
  promise: ClusterPromise,
  facts: RoundFacts,
): RoundJudgement {
  const context: CheckContext = { promise: owed, budgetMs };
  const whole = buildHistory(events);
  const asked = { ...whole, operations: whole.operations.filter(({ workload }) => !workload.includes("@")) };
  const splits = splitBrains(asked, workloads, facts.claims);
  const lost = lostOf(whole, workloads);
  const stale = staleness(asked, context);
  const checks = [
    ...runChecker("assumptions", context, () => [checkAssumptions(asked, context, false)]),
    ...workloads.flatMap((workload) =>
      runChecker(workload.name, context, () => workload.check(ofWorkload(asked, workload.name), context)),
    ),
    ...runChecker("members", context, () => [ofMembers(whole, workloads, lost)]),
    ...runChecker("leaders", context, () => [ofLeaders(facts, splits)]),
    availability(facts),
  ];
  const bound = facts.lostPower ? promise.powerLossOfAll : promise.failover;
  const excuses = (kind: FindingKind): boolean => {
    if (!ofOrder.has(kind)) return false;
    if (kind === "lost-acknowledged-write" && !facts.disturbed) return false;
    if (facts.unfenced && promise.presupposes?.includes("the old leader is fenced") && !isLoss(kind))
      return true;
    if (kind === "split-brain") return !promise.oneLeader;
    if (kind === "lost-acknowledged-write" && bound.survives === "everything acknowledged") return false;
    return !promise.linearizable;
  };
  const observed = ledAtOnce(facts.claims, splits);
  const judged = checks.map((check) => observedOnly(check, excuses, observed));
  return {
    checks: [...judged, ...runChecker("what was lost", context, () => [ofTail(lost, facts)])],
    measured: {
      lostAcknowledged: lost.measured,
      staleReads: stale,
      splitBrain: splits,
      observed,
    },
  };
}

/** Findings that the promise excuses become sentences; a check that had no others passes. */
function observedOnly(
  check: CheckResult,
  excuses: (kind: FindingKind) => boolean,
  observed: string[],
): CheckResult {
  const excused = check.findings.filter(({ kind }) => excuses(kind));
  if (excused.length === 0) return check;
  observed.push(...excused.map(({ kind, sentence }) => `${kind}: ${sentence}`));
  const findings = check.findings.filter((finding) => !excused.includes(finding));
  const verdict = findings.length > 0 ? false : check.reasons.length > 0 ? "unknown" : true;
  return { ...check, findings, verdict, notChecked: [...check.notChecked, ...notHeldAgainst(excused)] };
}

function notHeldAgainst(excused: readonly Finding[]): string[] {
  const kinds = [...new Set(excused.map(({ kind }) => kind))];
  return [`${kinds.join(", ")}: measured, and not held against a store that does not promise otherwise`];
}

/** ns for which two claims must overlap to be worth a sentence where only one of the two was written to. */
const overlapNs = 1e9;

/** Times at which two members said that they led, and only one, or none, acknowledged writes meanwhile. */
function ledAtOnce(claims: readonly Claim[], splits: readonly Split[]): string[] {
  return claims.flatMap((a, index) =>
    claims.slice(index + 1).flatMap((b) => {
      const [from, to] = [Math.max(a.from, b.from), Math.min(a.to, b.to)];
      if (a.member === b.member || to - from < overlapNs) return [];
      if (splits.some((split) => split.from === from && split.to === to)) return [];
      return [
        `${a.member} and ${b.member} both said that they led, from ${Math.round(from / 1e6)} to ${Math.round(to / 1e6)} ms; not both acknowledged writes meanwhile`,
      ];
    }),
  );
}

/**
 * What a failover may cost is a tail of what its leader acknowledged: of two insertions that one leader acknowledged one
 * after the other, the later one is not there without the earlier one. Judged for each term of office of each member.
 */
function ofTail({ operations, kept }: Lost, { claims, round }: RoundFacts): CheckResult {
  const office = ({ node, calledAt }: Operation) =>
    `${node} ${claims.filter(({ member, from }) => member === node && from <= calledAt).length}`;
  const lastKept = new Map<string, Operation>();
  for (const one of kept) {
    const last = lastKept.get(office(one));
    if (!last || one.call > last.call) lastKept.set(office(one), one);
  }
  const holes = operations.filter((one) => one.return < (lastKept.get(office(one))?.call ?? -1));
  const first = holes[0];
  const findings: Finding[] = first
    ? [
        {
          kind: "reordered-recovery",
          workload: first.workload,
          key: first.key,
          operations: [first, lastKept.get(office(first))!],
          sentence: `round ${round}: ${first.f} of ${JSON.stringify(first.input)} to ${first.key} was acknowledged by ${first.node} and is gone, and what ${first.node} acknowledged after it is there: no prefix was kept`,
          count: holes.length,
        },
      ]
    : [];
  return {
    checker: "what was lost is a tail",
    verdict: findings.length === 0,
    reasons: [],
    findings,
    checked: { lost: operations.length },
    notChecked: [],
    elapsedMs: 0,
  };
}

interface Lost {
  readonly measured: ClusterMeasured["lostAcknowledged"];
  readonly operations: readonly Operation[];
  /** Those that some member has. */
  readonly kept: readonly Operation[];
  /** Members whose final reads were all answered. */
  readonly membersRead: readonly string[];
}

/**
 * Acknowledged insertions (into sets and lists, where each leaves a mark of its own) that no member shows at the end. Only
 * keys that at least one member has been read whole for are counted.
 */
function lostOf(history: History, workloads: readonly Workload[]): Lost {
  const marks = history.operations.filter(
    ({ f, outcome, workload }) =>
      outcome === "ok" && (f === "add" || f === "append") && !workload.includes("@"),
  );
  const shown = new Map<string, Set<unknown>>();
  const membersRead = new Set<string>();
  for (const { workload, f, key, outcome, output, node } of history.operations) {
    if (!workload.includes("@") || f !== "read" || outcome !== "ok") continue;
    membersRead.add(node);
    if (!Array.isArray(output)) continue;
    const place = `${workload.split("@")[0]} ${key}`;
    const elements = shown.get(place) ?? new Set();
    for (const element of output) elements.add(element);
    shown.set(place, elements);
  }
  const names = new Set(workloads.map(({ name }) => name));
  const read = marks.filter(({ workload, key }) => names.has(workload) && shown.has(`${workload} ${key}`));
  const lost = read.filter(({ workload, key, input }) => !shown.get(`${workload} ${key}`)!.has(input));
  const gone = new Set(lost);
  const at = lost.map(({ returnedAt }) => returnedAt);
  const spanMs = at.length > 0 ? (Math.max(...at) - Math.min(...at)) / 1e6 : 0;
  return {
    measured: { count: lost.length, of: read.length, spanMs: Math.round(spanMs) },
    operations: lost,
    kept: read.filter((one) => !gone.has(one)),
    membersRead: [...membersRead],
  };
}

function ofMembers(history: History, workloads: readonly Workload[], lost: Lost): CheckResult {
  const first = lost.operations[0];
  const findings: Finding[] = first
    ? [
        {
          kind: "lost-acknowledged-write",
          workload: first.workload,
          key: first.key,
          operations: [first],
          sentence: `${first.f} of ${JSON.stringify(first.input)} to ${first.key} was acknowledged by ${first.node} at ${Math.round(first.returnedAt / 1e6)} ms, and at the end no member has it`,
          count: lost.operations.length,
        },
      ]
    : [];
  const marked = workloads.some(({ name }) => name === "set" || name === "append");
  const none = marked && lost.membersRead.length === 0 && history.operations.length > 0;
  return {
    checker: "members at the end",
    verdict: findings.length > 0 ? false : none ? "unknown" : true,
    reasons: none ? ["no member's own state could be read at the end"] : [],
    findings,
    checked: { insertions: lost.measured.of, membersRead: lost.membersRead.length },
    notChecked: marked
      ? []
      : ["what each member has at the end: neither set nor append was among the workloads"],
    elapsedMs: 0,
  };
}

type Split = ClusterMeasured["splitBrain"][number];

/**
 * Two members that led at once and both acknowledged writes meanwhile. A claim lasts from its first answer to its last, so
 * that what lies between two claims counts for nobody. Writes count for the member that the client spoke to.
 */
function splitBrains(history: History, workloads: readonly Workload[], claims: readonly Claim[]): Split[] {
  const changes = history.operations.filter((operation) => isChange(operation, workloads));
  const by = (member: string, { from, to }: Span) =>
    changes.filter(
      ({ node, calledAt, returnedAt }) => node === member && calledAt >= from && returnedAt <= to,
    );
  const splits: Split[] = [];
  for (const [index, a] of claims.entries()) {
    for (const b of claims.slice(index + 1)) {
      const span = { from: Math.max(a.from, b.from), to: Math.min(a.to, b.to) };
      if (a.member === b.member || span.from >= span.to) continue;
      const writes = [by(a.member, span).length, by(b.member, span).length];
      if (writes.some((count) => count === 0)) continue;
      splits.push({ ...span, members: [a.member, b.member], writes: writes[0]! + writes[1]! });
    }
  }
  return splits;
}

function isChange(operation: Operation, workloads: readonly Workload[]): boolean {
  const workload = workloads.find(({ name }) => name === operation.workload);
  if (!workload || operation.outcome !== "ok") return false;
  const { f, key, input, output, matched } = operation;
  return workload.changes(
    { workload: workload.name, f, key, value: input },
    { type: "ok", value: output, ...(matched === undefined ? {} : { matched }) },
  );
}

function ofLeaders({ claims, round }: RoundFacts, splits: readonly Split[]): CheckResult {
  const findings = splits.slice(0, 3).map(
    ({ from, to, members, writes }): Finding => ({
      kind: "split-brain",
      operations: [],
      sentence: `round ${round}: ${members.join(" and ")} both led from ${Math.round(from / 1e6)} to ${Math.round(to / 1e6)} ms, and acknowledged ${writes} writes meanwhile`,
      count: splits.length,
    }),
  );
  return {
    checker: "leaders",
    verdict: findings.length === 0,
    reasons: [],
    findings,
    checked: { claims: claims.length },
    notChecked: claims.length === 0 ? ["who led: no member said that it did"] : [],
    elapsedMs: 0,
  };
}

function availability(facts: RoundFacts): CheckResult {
  return {
    checker: "recovery and availability",
    verdict: facts.findings.length > 0 ? false : facts.unknowns.length > 0 ? "unknown" : true,
    reasons: facts.unknowns,
    findings: facts.findings,
    checked: { storms: 1 },
    notChecked: [],
    elapsedMs: 0,
  };
}

/** Of the workloads whose values say which write they are of. */
function staleness(history: History, context: CheckContext): ClusterMeasured["staleReads"] {
  const total = { count: 0, of: 0, oldestMs: 0 };
  for (const workload of ["register", "kv"]) {
    const mine = ofWorkload(history, workload);
    if (mine.operations.length === 0) continue;
    const { checked } = measureStaleness(mine, context);
    total.count += checked.staleReads ?? 0;
    total.of += checked.reads ?? 0;
    total.oldestMs = Math.max(total.oldestMs, checked.ageMsMax ?? 0);
  }
  return total;
}
