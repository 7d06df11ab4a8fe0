/**
 * Which operations the lanes show, and why: those around the first counterexample; when nothing was found, around the
 * first crash; when nothing crashed, around the slowest operation. Moments that matter but lie far apart (the write,
 * the crash, the read after recovery) each get a window of their own, and the time between is left out, visibly.
 *
 * A second streaming pass collects what overlaps these windows; it is bounded, and says how much it left out.
 */
import type { Finding } from "../harness/checkers/contract.ts";
import type { HistoryEvent, Operation, Outcome } from "../harness/history/operation.ts";
import type { FaultRecord } from "../harness/results.ts";
import type { Timeline } from "./timeline.ts";

/** ns since the run's start. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface Focus {
  readonly title: string;
  readonly why: string;
  /** Disjoint, in order of time; at most five. */
  readonly windows: readonly Window[];
  /** Indexes of the invoking events of the counterexample's operations. */
  readonly highlighted: ReadonlySet<number>;
}

const operationsMax = 700;
const windowsMax = 5;

/** Chooses what the lanes are drawn around; undefined when there is nothing to draw. */
export function chooseFocus(
  findings: readonly Finding[],
  faults: readonly FaultRecord[],
  timeline: Timeline,
): Focus | undefined {
  const finding = findings.find((candidate) => candidate.operations.length > 0);
  if (finding) {
    const shown = finding.operations.slice(0, 12);
    const times = shown.flatMap((operation) => [operation.calledAt, operation.returnedAt]);
    const last = Math.max(...shown.map((operation) => operation.calledAt));
    const first = Math.min(...times);
    const crash = crashesOf(faults, timeline).filter((span) => span.from >= first && span.from <= last);
    const latest = crash[crash.length - 1];
    return {
      title: "Around the counterexample",
      why: "All clients while it happened; the operations that conflict are marked with their numbers from above.",
      windows: windowsAround([...times, ...(latest ? [latest.from, latest.to] : [])], timeline.medianNs),
      highlighted: new Set(shown.map((operation: Operation) => operation.call)),
    };
  }
  const crash = crashesOf(faults, timeline)[0];
  if (crash) {
    return {
      title: "What a crash looks like here",
      why: "Nothing was found, so this is the first crash: what was in flight, and what came after.",
      windows: windowsAround([crash.from, crash.to], timeline.medianNs),
      highlighted: new Set(),
    };
  }
  if (!timeline.slowest) return undefined;
  return {
    title: "Around the slowest acknowledged operation",
    why: "Nothing was found and nothing crashed, so this is the worst response time.",
    windows: windowsAround([timeline.slowest.calledAt, timeline.slowest.returnedAt], timeline.medianNs),
    highlighted: new Set(),
  };
}

/** A crash is a restart, and the last fault that fired before it and was still in force. */
function crashesOf(faults: readonly FaultRecord[], timeline: Timeline): Window[] {
  const fired = faults.filter((fault) => fault.firedAt !== undefined).sort((a, b) => a.firedAt! - b.firedAt!);
  const spans: Window[] = [];
  let previous = -1;
  for (const start of timeline.starts) {
    const cause = fired.findLast(
      (fault) =>
        fault.firedAt! > previous && fault.firedAt! <= start.time && fault.healedAt >= start.time - 50e6,
    );
    if (cause && previous >= 0) spans.push({ from: cause.firedAt!, to: start.time });
    previous = start.time;
  }
  return spans;
}

/** Windows around moments, at most five. @param medianNs a usual response time, which decides how much is shown around. */
export function windowsAround(times: readonly number[], medianNs = 1e6): Window[] {
  const padNs = Math.min(2e9, Math.max(1e6, 12 * medianNs));
  const windows: { from: number; to: number }[] = [];
  for (const time of times.filter(Number.isFinite).sort((a, b) => a - b)) {
    const last = windows[windows.length - 1];
    if (last && time - padNs <= last.to + padNs) last.to = time + padNs;
    else windows.push({ from: Math.max(0, time - padNs), to: time + padNs });
  }
  while (windows.length > windowsMax) mergeNearest(windows);
  return windows;
}

function mergeNearest(windows: { from: number; to: number }[]): void {
  let nearest = 0;
  for (let index = 1; index < windows.length - 1; index++) {
    const gap = windows[index + 1]!.from - windows[index]!.to;
    if (gap < windows[nearest + 1]!.from - windows[nearest]!.to) nearest = index;
  }
  windows[nearest]!.to = windows[nearest + 1]!.to;
  windows.splice(nearest + 1, 1);
}

/** Collects the operations that overlap a focus's windows. Feed it events in the order of the file. */
export class NeighbourhoodScan {
  readonly #focus: Focus;
  readonly #open = new Map<number, HistoryEvent>();
  readonly #kept: Operation[] = [];
  #leftOut = 0;

  constructor(focus: Focus) {
    this.#focus = focus;
  }

  add(event: HistoryEvent): void {
    if (event.process === "nemesis") return;
    if (event.type === "invoke") {
      this.#open.set(event.process, event);
      return;
    }
    const call = this.#open.get(event.process);
    this.#open.delete(event.process);
    if (call) this.#keep(call, event);
  }

  finish(): { operations: readonly Operation[]; leftOut: number } {
    for (const call of this.#open.values()) this.#keep(call, undefined);
    this.#kept.sort((a, b) => a.calledAt - b.calledAt || a.call - b.call);
    return { operations: this.#kept, leftOut: this.#leftOut };
  }

  #keep(call: HistoryEvent, completion: HistoryEvent | undefined): void {
    const highlighted = this.#focus.highlighted.has(call.index);
    const returnedAt = completion?.time ?? Number.POSITIVE_INFINITY;
    const inside = this.#focus.windows.some((window) => call.time <= window.to && returnedAt >= window.from);
    if (!highlighted && !inside) return;
    if (!highlighted && this.#kept.length >= operationsMax) this.#leftOut++;
    else this.#kept.push(operationOf(call, completion));
  }
}

/** An operation as the lanes draw it; its bound is not known here. */
export function operationOf(call: HistoryEvent, completion: HistoryEvent | undefined): Operation {
  const outcome: Outcome = completion && completion.type !== "invoke" ? completion.type : "info";
  const returned = completion?.index ?? Number.POSITIVE_INFINITY;
  return {
    process: call.process as number,
    workload: call.workload ?? "",
    f: call.f,
    key: call.key ?? "",
    input: call.value,
    outcome,
    output: outcome === "ok" ? completion?.value : undefined,
    ...(completion?.matched === undefined ? {} : { matched: completion.matched }),
    ...(completion?.error === undefined ? {} : { error: completion.error }),
    call: call.index,
    return: returned,
    bound: outcome === "info" ? Number.POSITIVE_INFINITY : returned,
    calledAt: call.time,
    returnedAt: completion?.time ?? Number.POSITIVE_INFINITY,
    node: call.node ?? "n1",
    incarnation: call.incarnation ?? 0,
    readBack: call.readBack === true,
  };
}
