/**
 * Times of many requests in an HdrHistogram: ns, three significant digits, up to one hour. Percentiles are only ever
 * read from one histogram or from a sum of histograms, never averaged.
 *
 * Saved as an `.hlog` (log format 1.3, maxima in ms), which HdrHistogram's own tools open.
 */
import hdr from "hdr-histogram-js";
import type { Percentiles } from "../results.ts";

const highestNs = 3600e9;
const shape = {
  lowestDiscernibleValue: 1,
  highestTrackableValue: highestNs,
  numberOfSignificantValueDigits: 3,
  bitBucketSize: 32,
  autoResize: false,
  useWebAssembly: true,
} as const;

/** The WebAssembly counts take 26 ns a value; the JavaScript ones 170. */
await hdr.initWebAssembly();

/** One point of a percentile curve. */
export interface PercentilePoint {
  /** 0-100. */
  readonly percentile: number;
  readonly ns: number;
}

/** A histogram of durations in ns. `release()` it when done: its memory lies outside the garbage collector's reach. */
export class TimeHistogram {
  #counts = hdr.build(shape);

  /** Negative times (a clock read twice within its resolution) count as 0, and anything beyond one hour as one hour. */
  record(ns: number): void {
    this.#counts.recordValue(ns < 0 ? 0 : ns > highestNs ? highestNs : Math.round(ns));
  }

  /** Adds everything that `other` holds. */
  add(other: TimeHistogram): void {
    this.#counts.add(other.#counts);
  }

  get count(): number {
    return this.#counts.totalCount;
  }

  /** ns; 0 when nothing was recorded. */
  at(percentile: number): number {
    return this.count === 0 ? 0 : this.#counts.getValueAtPercentile(percentile);
  }

  summary(): Percentiles {
    const max = this.count === 0 ? 0 : this.#counts.maxValue;
    return {
      count: this.count,
      p50: this.at(50),
      p90: this.at(90),
      p99: this.at(99),
      p999: this.at(99.9),
      max,
    };
  }

  /** The curve for a chart, as far as there are values to tell its points apart. */
  curve(): readonly PercentilePoint[] {
    const known = curvePercentiles.filter((percentile) => (1 - percentile / 100) * this.count >= 1);
    return known.map((percentile) => ({ percentile, ns: this.at(percentile) }));
  }

  /** @internal */
  get counts(): hdr.Histogram {
    return this.#counts;
  }

  release(): void {
    this.#counts.destroy();
  }
}

const curvePercentiles: readonly number[] = [
  0, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92.5, 95, 96.25, 97.5, 98.125, 98.75, 99, 99.3, 99.5, 99.7, 99.8,
  99.9, 99.93, 99.95, 99.97, 99.98, 99.99, 99.995, 99.999,
];

/** A histogram with the place in the run that it describes. */
export interface TaggedHistogram {
  /** Letters, digits and hyphens: the log format separates with commas and spaces. */
  readonly tag: string;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly times: TimeHistogram;
}

/** The text of an `.hlog` file; maxima are in ms, counts in ns. */
export function formatHistogramLog(entries: readonly TaggedHistogram[], comment: string): string {
  const startedAt = Math.min(...entries.map((entry) => entry.startedAt));
  let text = "";
  const writer = new hdr.HistogramLogWriter((chunk) => {
    text += chunk;
  });
  writer.outputComment(`[${comment}]`);
  writer.outputLogFormatVersion();
  writer.outputStartTime(startedAt);
  writer.outputLegend();
  for (const { tag, startedAt: from, endedAt, times } of entries) {
    times.counts.tag = tag.replace(/[^A-Za-z0-9.-]+/g, "-");
    writer.outputIntervalHistogram(
      times.counts,
      (from - startedAt) / 1000,
      (endedAt - startedAt) / 1000,
      1e6,
    );
  }
  return text;
}
