/** A time axis with gaps: several windows of a run side by side, each at its own scale, what lies between left out. */
import type { Window } from "../neighbourhood.ts";

export interface Segment extends Window {
  readonly x0: number;
  readonly x1: number;
}

export interface TimeAxis {
  readonly segments: readonly Segment[];
  /** Pixels; a time that was left out falls into the middle of its gap, one outside clamps to the edge. */
  x(time: number): number;
}

/** Pixels between two segments. */
export const gapWidth = 26;

/** Lays out windows from `left` to `right`; a window's width grows with the square root of its length. */
export function timeAxis(windows: readonly Window[], left: number, right: number): TimeAxis {
  const weights = windows.map((window) => Math.sqrt(Math.max(1, window.to - window.from)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const width = right - left - gapWidth * (windows.length - 1);
  let x0 = left;
  const segments = windows.map((window, index) => {
    const segment = { ...window, x0, x1: x0 + (width * weights[index]!) / total };
    x0 = segment.x1 + gapWidth;
    return segment;
  });
  return { segments, x: (time) => positionIn(segments, time) };
}

function positionIn(segments: readonly Segment[], time: number): number {
  let previous: Segment | undefined;
  for (const segment of segments) {
    if (time < segment.from) return previous ? (previous.x1 + segment.x0) / 2 : segment.x0;
    if (time <= segment.to) {
      return segment.x0 + ((time - segment.from) / (segment.to - segment.from)) * (segment.x1 - segment.x0);
    }
    previous = segment;
  }
  return previous ? previous.x1 : 0;
}

/** Round steps of 1, 2 or 5 · 10^n ns inside a window, about `wanted` of them. */
export function roundTicks(window: Window, wanted: number): number[] {
  const rough = (window.to - window.from) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  const ticks: number[] = [];
  for (let tick = Math.ceil(window.from / step) * step; tick <= window.to; tick += step) ticks.push(tick);
  return ticks;
}

/** A tick with its unit and as many decimals as tell it from its neighbour: `12.304 s`. */
export function tickLabel(time: number, stepNs: number): string {
  const decimals = Math.max(0, Math.min(9, Math.ceil(-Math.log10(stepNs / 1e9) - 1e-9)));
  return `${(time / 1e9).toFixed(decimals)} s`;
}

/** A coordinate as SVG attributes hold it: to a tenth of a pixel. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}
