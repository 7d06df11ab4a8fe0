/**
 * One streaming pass over a history: what the charts show, in a size that does not depend on the run's length.
 *
 * Kept: counts of acknowledged operations per (time, response time) cell, HDR histograms per interval and per run,
 * a bounded sample of operations that failed or whose outcome is unknown, the slowest ones, and each start of the
 * store. Intervals and columns double in width when there are too many of them, so that memory is bounded as well.
 *
 * Response time is completion − intended start; in a closed loop the intended start is the send, which is the time of
 * the invocation in the history. Reads of a read-back after a restart are left out of every figure. Not kept: keys,
 * values, anything a checker would need.
 */
import { build, type Histogram } from "hdr-histogram-js";
import type { HistoryEvent } from "../harness/history/operation.ts";
import type { FaultRecord } from "../harness/results.ts";
import { isRead } from "./wording.ts";

export type Kind = "reads" | "writes";
export const kinds: readonly Kind[] = ["reads", "writes"];

/** Acknowledged operations per cell. Cell (column, row) is `cells[column * rows + row]`. */
export interface Density {
  readonly cells: Uint32Array;
  readonly columns: number;
  readonly columnNs: number;
}

/** Rows of a density: row r holds response times in [lowestNs · 10^(r/perDecade), lowestNs · 10^((r+1)/perDecade)). */
export const densityRows = { count: 144, perDecade: 16, lowestNs: 1e3 } as const;

/** A single operation drawn by itself. */
export interface Dot {
  /** ns since the run's start, of the invocation. */
  readonly calledAt: number;
  /** ns; Infinity when no answer ever came. */
  readonly responseNs: number;
  readonly as: "slow" | "failed" | "unknown";
  readonly label: string;
}

/** Response times of one interval, ns; `undefined` where nothing was acknowledged. */
export interface Interval {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** One curve on an HDR axis: response time in ns by percentile 0–100, up to what `count` can resolve. */
export interface Curve {
  readonly kind: Kind;
  readonly during: "quiet" | "faults";
  readonly count: number;
  readonly points: readonly (readonly [percentile: number, ns: number])[];
}

export interface Start {
  /** ns since the run's start. */
  readonly time: number;
  readonly node: string;
  readonly incarnation: number;
}

export interface Timeline {
  /** ns; the last event, or the last fault's end. */
  readonly endNs: number;
  readonly events: number;
  readonly density: Readonly<Record<Kind, Density>>;
  readonly dots: Readonly<Record<Kind, readonly Dot[]>>;
  /** How many operations failed, or have an unknown outcome; `dots` holds a sample of them. */
  readonly failed: number;
  readonly unknown: number;
  readonly intervalNs: number;
  readonly intervals: Readonly<Record<Kind | "all", readonly (Interval | undefined)[]>>;
  readonly curves: readonly Curve[];
  readonly starts: readonly Start[];
  /** Response time of half of the acknowledged operations, ns; undefined when there were none. */
  readonly medianNs: number | undefined;
  /** The slowest acknowledged operation. */
  readonly slowest: { readonly calledAt: number; readonly returnedAt: number } | undefined;
}

const columnsMax = 640;
const intervalsMax = 600;
const slowKept = 120;
const sampled = 500;
const startsMax = 2000;

/** Accumulates events in the order of the file; `finish` may be called once. */
export class TimelineScan {
  readonly #open = new Map<number, HistoryEvent>();
  readonly #during: DuringFaults;
  readonly #density = { reads: new GrowingDensity(), writes: new GrowingDensity() };
  readonly #perInterval = { reads: new IntervalHistograms(), writes: new IntervalHistograms() };
  readonly #slow = { reads: new Slowest(slowKept), writes: new Slowest(slowKept) };
  readonly #failed = { reads: new Sample(sampled), writes: new Sample(sampled) };
  readonly #unknown = { reads: new Sample(sampled), writes: new Sample(sampled) };
  readonly #totals = new Map<string, Histogram>();
  readonly #starts: Start[] = [];
  #events = 0;
  #endNs = 0;

  constructor(faults: readonly FaultRecord[]) {
    this.#during = new DuringFaults(faults);
    for (const fault of faults) this.#endNs = Math.max(this.#endNs, fault.healedAt ?? fault.armedAt);
  }

  add(event: HistoryEvent): void {
    this.#events++;
    this.#endNs = Math.max(this.#endNs, event.time);
    if (event.process === "nemesis") {
      if (event.f === "ready" && this.#starts.length < startsMax) {
        this.#starts.push({
          time: event.time,
          node: event.node ?? "n1",
          incarnation: event.incarnation ?? 0,
        });
      }
    } else if (event.type === "invoke") {
      this.#open.set(event.process, event);
    } else {
      const call = this.#open.get(event.process);
      if (!call) return;
      this.#open.delete(event.process);
      if (call.readBack !== true) this.#complete(call, event);
    }
  }

  finish(): Timeline {
    for (const call of this.#open.values()) {
      if (call.readBack !== true) this.#unknown[kindOf(call)].add(dotOf(call, undefined, "unknown"));
    }
    const all = IntervalHistograms.sum(this.#perInterval.reads, this.#perInterval.writes);
    const total = this.#merged();
    return {
      endNs: this.#endNs,
      events: this.#events,
      density: { reads: this.#density.reads.finished(), writes: this.#density.writes.finished() },
      dots: { reads: this.#dots("reads"), writes: this.#dots("writes") },
      failed: this.#failed.reads.seen + this.#failed.writes.seen,
      unknown: this.#unknown.reads.seen + this.#unknown.writes.seen,
      intervalNs: all.widthNs,
      intervals: {
        reads: this.#perInterval.reads.finished(all.widthNs),
        writes: this.#perInterval.writes.finished(all.widthNs),
        all: all.finished(all.widthNs),
      },
      curves: this.#curves(),
      starts: this.#starts,
      medianNs: total && total.totalCount > 0 ? total.getValueAtPercentile(50) : undefined,
      slowest: slowerOf(this.#slow.reads.first(), this.#slow.writes.first()),
    };
  }

  #complete(call: HistoryEvent, completion: HistoryEvent): void {
    const kind = kindOf(call);
    if (completion.type === "fail") this.#failed[kind].add(dotOf(call, completion, "failed"));
    else if (completion.type === "info") this.#unknown[kind].add(dotOf(call, completion, "unknown"));
    else {
      const ns = Math.max(1, completion.time - call.time);
      this.#density[kind].add(call.time, ns);
      this.#perInterval[kind].add(call.time, ns);
      this.#totalOf(kind, this.#during.overlaps(call.time, completion.time)).recordValue(ns);
      if (this.#slow[kind].wants(ns)) this.#slow[kind].add(dotOf(call, completion, "slow"));
    }
  }

  #totalOf(kind: Kind, duringFaults: boolean): Histogram {
    const name = `${kind} ${duringFaults ? "faults" : "quiet"}`;
    let histogram = this.#totals.get(name);
    if (!histogram) {
      histogram = newHistogram(3);
      this.#totals.set(name, histogram);
    }
    return histogram;
  }

  #merged(): Histogram | undefined {
    if (this.#totals.size === 0) return undefined;
    const merged = newHistogram(3);
    for (const histogram of this.#totals.values()) merged.add(histogram);
    return merged;
  }

  #dots(kind: Kind): Dot[] {
    return [...this.#slow[kind].finished(), ...this.#failed[kind].kept, ...this.#unknown[kind].kept];
  }

  #curves(): Curve[] {
    const curves: Curve[] = [];
    for (const kind of kinds) {
      for (const during of ["quiet", "faults"] as const) {
        const histogram = this.#totals.get(`${kind} ${during}`);
        if (histogram) {
          curves.push({ kind, during, count: histogram.totalCount, points: curvePoints(histogram) });
        }
      }
    }
    return curves;
  }
}

function kindOf(call: HistoryEvent): Kind {
  return isRead(call.f) ? "reads" : "writes";
}

function dotOf(call: HistoryEvent, completion: HistoryEvent | undefined, as: Dot["as"]): Dot {
  return {
    calledAt: call.time,
    responseNs: completion ? Math.max(1, completion.time - call.time) : Number.POSITIVE_INFINITY,
    as,
    label: `${call.f} ${call.key ?? ""}`.slice(0, 60),
  };
}

function slowerOf(a: Dot | undefined, b: Dot | undefined): Timeline["slowest"] {
  const slower = !a || (b && b.responseNs > a.responseNs) ? b : a;
  return slower && { calledAt: slower.calledAt, returnedAt: slower.calledAt + slower.responseNs };
}

/** Values in ns; resolution 0.1 µs below 100 µs, then `digits` significant digits. */
function newHistogram(digits: 2 | 3): Histogram {
  return build({
    bitBucketSize: 32,
    autoResize: true,
    lowestDiscernibleValue: 100,
    highestTrackableValue: 1e7,
    numberOfSignificantValueDigits: digits,
    useWebAssembly: false,
  });
}

/** Percentiles spaced evenly on an HDR axis, as far as the count can tell them apart. */
function curvePoints(histogram: Histogram): [number, number][] {
  const nines = Math.log10(Math.max(2, histogram.totalCount));
  const steps = Math.max(2, Math.ceil(nines * 24));
  return Array.from({ length: steps + 1 }, (_none, step) => {
    const percentile = 100 * (1 - 10 ** -((nines * step) / steps));
    return [percentile, Math.min(histogram.getValueAtPercentile(percentile), histogram.maxValue)];
  });
}

class GrowingDensity {
  #cells = new Uint32Array(columnsMax * densityRows.count);
  #columnNs = 10e6;
  #columns = 0;

  add(time: number, ns: number): void {
    while (time >= columnsMax * this.#columnNs) this.#halve();
    const column = Math.max(0, Math.floor(time / this.#columnNs));
    const row = Math.floor(densityRows.perDecade * Math.log10(ns / densityRows.lowestNs));
    const cell = column * densityRows.count + Math.min(densityRows.count - 1, Math.max(0, row));
    this.#cells[cell] = this.#cells[cell]! + 1;
    this.#columns = Math.max(this.#columns, column + 1);
  }

  finished(): Density {
    return { cells: this.#cells, columns: this.#columns, columnNs: this.#columnNs };
  }

  #halve(): void {
    const { count: rows } = densityRows;
    const halved = new Uint32Array(this.#cells.length);
    for (let cell = 0; cell < this.#columns * rows; cell++) {
      const target = (Math.floor(cell / rows) >> 1) * rows + (cell % rows);
      halved[target] = halved[target]! + this.#cells[cell]!;
    }
    this.#cells = halved;
    this.#columnNs *= 2;
    this.#columns = (this.#columns + 1) >> 1;
  }
}

/** One histogram per interval of 1 s, or of 2, 4, 8 … s in long runs. Percentiles are never averaged: they are added. */
class IntervalHistograms {
  widthNs = 1e9;
  #histograms: (Histogram | undefined)[] = [];

  static sum(a: IntervalHistograms, b: IntervalHistograms): IntervalHistograms {
    const sum = new IntervalHistograms();
    sum.widthNs = Math.max(a.widthNs, b.widthNs);
    for (const part of [a, b]) {
      while (part.widthNs < sum.widthNs) part.#double();
      part.#histograms.forEach((histogram, index) => {
        if (histogram) sum.#at(index).add(histogram);
      });
    }
    return sum;
  }

  add(time: number, ns: number): void {
    while (time >= intervalsMax * this.widthNs) this.#double();
    this.#at(Math.max(0, Math.floor(time / this.widthNs))).recordValue(ns);
  }

  finished(widthNs: number): (Interval | undefined)[] {
    while (this.widthNs < widthNs) this.#double();
    return Array.from(this.#histograms, (histogram) => {
      if (!histogram) return undefined;
      const at = (percentile: number) =>
        Math.min(histogram.getValueAtPercentile(percentile), histogram.maxValue);
      return {
        count: histogram.totalCount,
        p50: at(50),
        p90: at(90),
        p99: at(99),
        max: histogram.maxValue,
      };
    });
  }

  #at(index: number): Histogram {
    const histogram = this.#histograms[index] ?? newHistogram(2);
    this.#histograms[index] = histogram;
    return histogram;
  }

  #double(): void {
    const doubled: (Histogram | undefined)[] = [];
    this.#histograms.forEach((histogram, index) => {
      const target = doubled[index >> 1];
      if (target && histogram) target.add(histogram);
      else if (histogram) doubled[index >> 1] = histogram;
    });
    this.#histograms = doubled;
    this.widthNs *= 2;
  }
}

/** The `limit` slowest, by a threshold that rises each time twice as many have gathered. */
class Slowest {
  readonly #limit: number;
  #dots: Dot[] = [];
  #threshold = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  wants(ns: number): boolean {
    return ns > this.#threshold;
  }

  add(dot: Dot): void {
    this.#dots.push(dot);
    if (this.#dots.length >= 2 * this.#limit) this.#cut();
  }

  first(): Dot | undefined {
    this.#cut();
    return this.#dots[0];
  }

  finished(): Dot[] {
    this.#cut();
    return this.#dots;
  }

  #cut(): void {
    this.#dots.sort((a, b) => b.responseNs - a.responseNs);
    if (this.#dots.length > this.#limit) {
      this.#dots.length = this.#limit;
      this.#threshold = this.#dots[this.#limit - 1]!.responseNs;
    }
  }
}

/** Every k-th dot, evenly over the run: when full, every second one goes and k doubles. Deterministic. */
class Sample {
  readonly #limit: number;
  #every = 1;
  seen = 0;
  kept: Dot[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(dot: Dot): void {
    if (this.seen++ % this.#every !== 0) return;
    this.kept.push(dot);
    if (this.kept.length > this.#limit) {
      this.kept = this.kept.filter((_dot, index) => index % 2 === 0);
      this.#every *= 2;
    }
  }
}

/** Whether an operation overlapped any fault in force; intervals are merged and searched by bisection. */
class DuringFaults {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(faults: readonly FaultRecord[]) {
    const spans = faults
      .filter((fault) => fault.firedAt !== undefined)
      .map((fault) => [fault.firedAt!, Math.max(fault.firedAt!, fault.healedAt)] as const)
      .sort((a, b) => a[0] - b[0]);
    for (const [from, to] of spans) {
      const last = this.#ends.length - 1;
      if (last >= 0 && from <= this.#ends[last]!) this.#ends[last] = Math.max(this.#ends[last]!, to);
      else {
        this.#starts.push(from);
        this.#ends.push(to);
      }
    }
  }

  overlaps(from: number, to: number): boolean {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! <= to) low = middle + 1;
      else high = middle;
    }
    return low > 0 && this.#ends[low - 1]! >= from;
  }
}
