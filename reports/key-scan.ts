/**
 * One streaming pass over a history for the views of single keys: the operations around each finding, and, to be opened
 * when asked for, the beginning of a few keys on which nothing was found. Bounded in views and in operations for each,
 * and every view says how much it left out. Faults and restarts come from the nemesis's own lines.
 */
import type { Finding } from "../harness/checkers/contract.ts";
import type { HistoryEvent, Operation } from "../harness/history/operation.ts";
import type { FaultRecord } from "../harness/results.ts";
import { operationOf, type Window, windowsAround } from "./neighbourhood.ts";
import type { Start } from "./timeline.ts";

export interface KeyView {
  /** The anchor: `key-1`, `key-2` … */
  readonly id: string;
  /** The keys shown; one, unless a finding is about several. */
  readonly keys: readonly string[];
  readonly workload: string | undefined;
  /** Empty for a key on which nothing was found. */
  readonly findings: readonly Finding[];
  readonly windows: readonly Window[];
  /** Invoking events of the findings' operations, in the order of their numbers. */
  readonly highlighted: ReadonlySet<number>;
  readonly operations: readonly Operation[];
  readonly leftOut: number;
  /** Where the longest explainable prefix ends; absent when it is not known. */
  readonly explained?: { readonly time: number; readonly placed: number; readonly of: number };
}

export interface KeyViews {
  readonly withFindings: readonly KeyView[];
  readonly others: readonly KeyView[];
  /** Keys with a finding that have no view. */
  readonly keysLeftOut: number;
  readonly events: number;
  /** ns; the last event. */
  readonly endNs: number;
  readonly faults: readonly FaultRecord[];
  readonly starts: readonly Start[];
}

export interface KeyScanLimits {
  /** Keys with findings that get a view. */
  readonly views: number;
  /** Keys without findings that get one. */
  readonly others: number;
  /** Operations that a view shows apart from the findings' own. */
  readonly operations: number;
}

export const checkLimits: KeyScanLimits = { views: 40, others: 12, operations: 140 };
export const runLimits: KeyScanLimits = { views: 8, others: 0, operations: 70 };

const highlightedMax = 24;
const windowOperationsMax = 800;
const marksMax = 2000;

/** Feed it events in the order of the file; `finish` may be called once. */
export class KeyScan {
  readonly #limits: KeyScanLimits;
  readonly #groups: readonly Group[];
  readonly #byKey = new Map<string, Group[]>();
  readonly #keysLeftOut: number;
  readonly #otherKeys = new Map<string, { operations: Operation[]; leftOut: number }>();
  readonly #open = new Map<number, HistoryEvent>();
  readonly #faults: FaultRecord[] = [];
  readonly #starts: Start[] = [];
  /** Times of the events at which prefixes end. */
  readonly #prefixEnds = new Map<number, number | undefined>();
  #events = 0;
  #endNs = 0;

  constructor(findings: readonly Finding[], limits: KeyScanLimits) {
    const grouped = groupsOf(findings);
    this.#limits = limits;
    this.#groups = grouped.slice(0, limits.views);
    this.#keysLeftOut = grouped.length - this.#groups.length;
    for (const [i, group] of grouped.entries()) {
      const viewed = i < limits.views ? [group] : [];
      for (const key of group.keys) this.#byKey.set(key, [...(this.#byKey.get(key) ?? []), ...viewed]);
      for (const { longest } of group.findings) if (longest) this.#prefixEnds.set(longest.upTo, undefined);
    }
  }

  add(event: HistoryEvent): void {
    this.#events++;
    this.#endNs = Math.max(this.#endNs, event.time);
    if (this.#prefixEnds.has(event.index)) this.#prefixEnds.set(event.index, event.time);
    if (event.process === "nemesis") {
      this.#mark(event);
    } else if (event.type === "invoke") {
      this.#open.set(event.process, event);
    } else {
      const call = this.#open.get(event.process);
      this.#open.delete(event.process);
      if (call) this.#keep(call, event);
    }
  }

  finish(): KeyViews {
    for (const call of this.#open.values()) this.#keep(call, undefined);
    const withFindings = this.#groups.map((group, i) => this.#viewOf(group, `key-${i + 1}`));
    const others = [...this.#otherKeys].map(([key, { operations, leftOut }], i) =>
      otherView(key, operations, leftOut, `key-${withFindings.length + i + 1}`),
    );
    return {
      withFindings,
      others,
      keysLeftOut: this.#keysLeftOut,
      events: this.#events,
      endNs: this.#endNs,
      faults: this.#faults,
      starts: this.#starts,
    };
  }

  #mark(event: HistoryEvent): void {
    const node = event.node ?? "n1";
    if (event.f === "ready") {
      const start = { time: event.time, node, incarnation: event.incarnation ?? 0 };
      if (this.#starts.length < marksMax) this.#starts.push(start);
      return;
    }
    const phase = (event.value as { event?: unknown } | null | undefined)?.event ?? "fired";
    if (phase === "healed") {
      const at = this.#faults.findLastIndex(({ name, target }) => name === event.f && target === node);
      if (at >= 0) this.#faults[at] = { ...this.#faults[at]!, healedAt: event.time };
    } else if (phase === "fired" && this.#faults.length < marksMax) {
      const at = { armedAt: event.time, firedAt: event.time, healedAt: event.time };
      this.#faults.push({ name: event.f, target: node, epoch: 0, cycle: 0, parameters: {}, ...at });
    }
  }

  #keep(call: HistoryEvent, completion: HistoryEvent | undefined): void {
    const key = call.key ?? "";
    const groups = this.#byKey.get(key);
    if (groups) for (const group of groups) group.keep(call, completion);
    else this.#keepOther(key, call, completion);
  }

  #keepOther(key: string, call: HistoryEvent, completion: HistoryEvent | undefined): void {
    const known = this.#otherKeys.get(key);
    if (!known && this.#otherKeys.size >= this.#limits.others) return;
    const other = known ?? { operations: [], leftOut: 0 };
    if (!known) this.#otherKeys.set(key, other);
    if (other.operations.length >= this.#limits.operations / 2) other.leftOut++;
    else other.operations.push(operationOf(call, completion));
  }

  #viewOf(group: Group, id: string): KeyView {
    const { findings, keys, workload, windows, highlighted } = group;
    const { operations, leftOut } = group.nearest(this.#limits.operations);
    const longest = findings.find((finding) => finding.longest)?.longest;
    const time = longest && this.#prefixEnds.get(longest.upTo);
    const explained =
      longest && time !== undefined ? { explained: { time, placed: longest.placed, of: longest.of } } : {};
    return { id, keys, workload, findings, windows, highlighted, operations, leftOut, ...explained };
  }
}

/** The findings of one key, or of one set of keys, and what happened around them. */
class Group {
  readonly keys: readonly string[];
  readonly workload: string | undefined;
  readonly findings: readonly Finding[];
  readonly windows: readonly Window[];
  readonly highlighted: ReadonlySet<number>;
  readonly #shown: readonly Operation[];
  readonly #kept: Operation[] = [];
  #leftOut = 0;

  constructor(findings: readonly Finding[], keys: readonly string[]) {
    this.findings = findings;
    this.keys = keys;
    this.workload = findings[0]!.workload;
    this.#shown = [
      ...new Map(findings.flatMap(({ operations }) => operations).map((one) => [one.call, one])).values(),
    ].slice(0, highlightedMax);
    this.highlighted = new Set(this.#shown.map(({ call }) => call));
    const times = this.#shown.flatMap((operation) => [operation.calledAt, operation.returnedAt]);
    this.windows = windowsAround(times, medianOf(this.#shown));
  }

  keep(call: HistoryEvent, completion: HistoryEvent | undefined): void {
    const returnedAt = completion?.time ?? Number.POSITIVE_INFINITY;
    const inside = this.windows.some((window) => call.time <= window.to && returnedAt >= window.from);
    if (this.highlighted.has(call.index) || !inside) return;
    if (this.#kept.length >= windowOperationsMax) this.#leftOut++;
    else this.#kept.push(operationOf(call, completion));
  }

  /** The findings' operations as the checker gave them, and those nearest to them. */
  nearest(most: number): { operations: Operation[]; leftOut: number } {
    const distance = ({ calledAt, returnedAt }: Operation) =>
      Math.min(
        ...this.#shown.map((one) => Math.max(0, calledAt - one.returnedAt, one.calledAt - returnedAt)),
      );
    const kept = this.#kept
      .map((operation) => ({ operation, away: distance(operation) }))
      .sort((a, b) => a.away - b.away || a.operation.call - b.operation.call)
      .slice(0, most)
      .map(({ operation }) => operation);
    return {
      operations: [...this.#shown, ...kept].sort((a, b) => a.calledAt - b.calledAt || a.call - b.call),
      leftOut: this.#leftOut + this.#kept.length - kept.length,
    };
  }
}

/** In the order of the findings, the worst first; those without operations have nothing to be drawn. */
function groupsOf(findings: readonly Finding[]): Group[] {
  const grouped = new Map<string, { findings: Finding[]; keys: string[] }>();
  for (const finding of findings) {
    if (finding.operations.length === 0) continue;
    const all = [...new Set(finding.operations.map(({ key }) => key))];
    const keys = all.length > 1 || finding.key === undefined ? all : [finding.key];
    const name = JSON.stringify([finding.workload, [...keys].sort()]);
    const group = grouped.get(name);
    if (group) group.findings.push(finding);
    else grouped.set(name, { findings: [finding], keys });
  }
  return [...grouped.values()].map((group) => new Group(group.findings, group.keys));
}

function medianOf(operations: readonly Operation[]): number {
  const took = operations.map(({ calledAt, returnedAt }) => returnedAt - calledAt).filter(Number.isFinite);
  return took.sort((a, b) => a - b)[took.length >> 1] ?? 1e6;
}

function otherView(key: string, operations: readonly Operation[], leftOut: number, id: string): KeyView {
  const ends = operations.flatMap(({ calledAt, returnedAt }) =>
    Number.isFinite(returnedAt) ? [calledAt, returnedAt] : [calledAt],
  );
  const sorted = [...operations].sort((a, b) => a.calledAt - b.calledAt || a.call - b.call);
  return {
    id,
    keys: [key],
    workload: operations[0]?.workload,
    findings: [],
    windows: [{ from: Math.min(...ends), to: Math.max(...ends) + 1e3 }],
    highlighted: new Set(),
    operations: sorted,
    leftOut,
  };
}
