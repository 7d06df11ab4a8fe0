/**
 * What the charts in the browser are drawn from: a `Timeline` as compact JSON, whose size is bounded whatever the run's
 * length. Times are seconds, response times are milliseconds; both are rounded to what a pixel can show.
 */
import type { FaultRecord } from "../../harness/results.ts";
import { type Density, densityRows, type Interval, type Kind, kinds, type Timeline } from "../timeline.ts";
import { visibleLine } from "../wording.ts";

const bandsMax = 1500;
/** Rows left free above the slowest operation, for the names of the faults. */
const roomForNames = 9;

/** The JSON that `client-script.ts` reads; its members are documented here and nowhere else. `share`: of the dots. */
export function chartData(timeline: Timeline, faults: readonly FaultRecord[], share = 1) {
  const lowest = lowestRow(timeline);
  return {
    /** s; the end of the time axis. */
    end: Math.max(1e-3, timeline.endNs / 1e9),
    /** ms; the response-time axis of the density and of the percentiles. */
    yMin: rowBottomMs(lowest),
    yMax: rowBottomMs(highestRow(timeline) + 1 + (faults.length > 0 ? roomForNames : 0)),
    rowsPerDecade: densityRows.perDecade,
    lowestMs: rowBottomMs(0),
    rows: densityRows.count,
    /** Per kind: cells as base64 of run-length varints, column by column. */
    density: each((kind) => encodedDensity(timeline.density[kind])),
    /** Per kind: [s, ms or null, 0 slow | 1 failed | 2 unknown, what]. */
    dots: each((kind) =>
      shareOf(timeline.dots[kind], share).map((dot) => [
        rounded(dot.calledAt / 1e9, 5),
        Number.isFinite(dot.responseNs) ? significant(dot.responseNs / 1e6) : null,
        ["slow", "failed", "unknown"].indexOf(dot.as),
        visibleLine(dot.label, 40),
      ]),
    ),
    /** s; the width of one interval of the percentiles. */
    interval: timeline.intervalNs / 1e9,
    percentiles: {
      all: columns(timeline.intervals.all),
      reads: columns(timeline.intervals.reads),
      writes: columns(timeline.intervals.writes),
    },
    curves: timeline.curves.map((curve) => ({
      kind: curve.kind,
      during: curve.during,
      count: curve.count,
      /** [nines, ms]: nines = log10(1 / (1 - percentile)). */
      points: curve.points.map(([percentile, ns]) => [
        rounded(-Math.log10(1 - percentile / 100), 4),
        significant(ns / 1e6),
      ]),
    })),
    ...bands(faults),
    starts: timeline.starts.map((start) => rounded(start.time / 1e9, 5)),
  };
}

/** Evenly chosen, in order. */
export function shareOf<T>(items: readonly T[], share: number): readonly T[] {
  if (share >= 1) return items;
  return items.filter((_item, index) => Math.floor(index * share) !== Math.floor((index - 1) * share));
}

function each<T>(make: (kind: Kind) => T): Record<Kind, T> {
  return { reads: make("reads"), writes: make("writes") };
}

/** Names in order of first appearance, and [name, from s, to s] per fault that fired; evenly thinned beyond 1,500. */
function bands(faults: readonly FaultRecord[]) {
  const fired = faults.filter((fault) => fault.firedAt !== undefined);
  const names = [...new Set(fired.map((fault) => fault.name))];
  const every = Math.ceil(fired.length / bandsMax);
  const kept = every <= 1 ? fired : fired.filter((_fault, index) => index % every === 0);
  return {
    faultNames: names.map((name) => visibleLine(name, 24)),
    bands: kept.map((fault) => [
      names.indexOf(fault.name),
      rounded(fault.firedAt! / 1e9, 5),
      rounded(Math.max(fault.firedAt!, fault.healedAt) / 1e9, 5),
    ]),
  };
}

function columns(intervals: readonly (Interval | undefined)[]) {
  const of = (name: keyof Interval) =>
    Array.from(intervals, (interval) => (interval ? significant(interval[name] / 1e6) : null));
  return {
    count: Array.from(intervals, (interval) => interval?.count ?? 0),
    p50: of("p50"),
    p90: of("p90"),
    p99: of("p99"),
    max: of("max"),
  };
}

/** A run of zeros is 0 and its length; every other count stands for itself. Base64 of LEB128 varints. */
function encodedDensity({ cells, columns: columnCount, columnNs }: Density) {
  const out: number[] = [];
  let zeros = 0;
  const flush = () => {
    if (zeros > 0) {
      out.push(0);
      varint(zeros, out);
      zeros = 0;
    }
  };
  const length = columnCount * densityRows.count;
  for (let cell = 0; cell < length; cell++) {
    const value = cells[cell]!;
    if (value === 0) zeros++;
    else {
      flush();
      varint(value, out);
    }
  }
  flush();
  return {
    columns: columnCount,
    columnSeconds: columnNs / 1e9,
    cells: Buffer.from(out).toString("base64"),
  };
}

function varint(value: number, out: number[]): void {
  let rest = value;
  while (rest > 127) {
    out.push((rest & 127) | 128);
    rest >>>= 7;
  }
  out.push(rest);
}

function occupiedRows(timeline: Timeline): number[] {
  const occupied = new Set<number>();
  for (const kind of kinds) {
    const { cells, columns: columnCount } = timeline.density[kind];
    for (let cell = 0; cell < columnCount * densityRows.count; cell++) {
      if (cells[cell]! > 0) occupied.add(cell % densityRows.count);
    }
    for (const dot of timeline.dots[kind]) {
      if (Number.isFinite(dot.responseNs)) occupied.add(rowOf(dot.responseNs));
    }
  }
  return [...occupied];
}

function rowOf(ns: number): number {
  const row = Math.floor(densityRows.perDecade * Math.log10(ns / densityRows.lowestNs));
  return Math.min(densityRows.count - 1, Math.max(0, row));
}

/** One row of air below the lowest value; 100 µs when there is none. */
function lowestRow(timeline: Timeline): number {
  const occupied = occupiedRows(timeline);
  return occupied.length === 0 ? 2 * densityRows.perDecade : Math.max(0, Math.min(...occupied) - 2);
}

function highestRow(timeline: Timeline): number {
  const occupied = occupiedRows(timeline);
  return occupied.length === 0 ? 4 * densityRows.perDecade : Math.max(...occupied) + 2;
}

function rowBottomMs(row: number): number {
  return significant((densityRows.lowestNs / 1e6) * 10 ** (row / densityRows.perDecade), 6);
}

function rounded(value: number, decimals: number): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor;
}

function significant(value: number, digits = 4): number {
  return Number(value.toPrecision(digits));
}
