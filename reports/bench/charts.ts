/**
 * The charts of a bench as static SVG: nothing to load, nothing to run. Every figure in them also stands in a table of
 * the page. A store has a colour and a shape; a difference within the noise is drawn hollow.
 */
import type { BenchResults, CellRecord, OpenLoopRecord, RatioRecord } from "../../harness/measure/results.ts";
import { html, type Markup } from "../html/markup.ts";
import { count, duration, visibleLine } from "../wording.ts";

const width = 1160;
const nameWidth = 250;
const right = 40;

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Each store's place among the four line styles of the style sheet. */
export function lineClass(results: BenchResults, store: string): string {
  return `line-${(results.stores.findIndex(({ name }) => name === store) % 4) + 1}`;
}

/** First store against the others: per row the rounds, the interval, the median, and the A/A noise as a band. */
export function ratioChart(ratios: readonly RatioRecord[]): Markup {
  const rowHeight = 30;
  const all = ratios.flatMap(({ low, high, noiseFloor, rounds }) => [
    low,
    high,
    noiseFloor,
    1 / noiseFloor,
    ...rounds,
  ]);
  const scale = logScale(Math.min(0.8, ...all), Math.max(1.25, ...all), nameWidth + 150, width - right);
  const height = ratios.length * rowHeight + 34;
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Ratios with their confidence intervals; the same figures are in the table below">
${grid(scale, height - 26, (value) => `${ratioLabel(value)}×`)}
<line class="one" x1="${scale.at(1)}" x2="${scale.at(1)}" y1="0" y2="${height - 26}"/>
${ratios.map((ratio, row) => ratioRow(ratio, scale, row * rowHeight + rowHeight / 2))}
</svg>`;
}

function ratioRow(ratio: RatioRecord, scale: Scale, y: number): Markup {
  const { low, high, median, noiseFloor, difference, rounds } = ratio;
  const floorFrom = scale.at(1 / noiseFloor);
  const name = `${ratio.metric}, ${ratio.cell}`;
  const words = `${name}: ${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}), noise ±${Math.round((noiseFloor - 1) * 100)}%: ${difference === "none" ? "no difference" : difference}`;
  return html`<g><title>${visibleLine(words)}</title>
<text class="name" x="0" y="${y + 4}">${short(name)}</text>
<rect class="noise" x="${floorFrom}" y="${y - 11}" width="${scale.at(noiseFloor) - floorFrom}" height="22"/>
${rounds.map((value) => html`<line class="round" x1="${scale.at(value)}" x2="${scale.at(value)}" y1="${y + 5}" y2="${y + 10}"/>`)}
<line class="interval ${difference}" x1="${scale.at(low)}" x2="${scale.at(high)}" y1="${y}" y2="${y}"/>
<circle class="median ${difference}" cx="${scale.at(median)}" cy="${y}" r="5"/></g>
`;
}

/** Requests per second, one bar a store, its rounds as ticks. */
export function throughputChart(results: BenchResults): Markup {
  const cells = cellNames(results);
  const barHeight = 16;
  const groupHeight = results.stores.length * barHeight + 14;
  const most = Math.max(1, ...results.cells.flatMap(({ throughput }) => throughput));
  const scale = linearScale(most, nameWidth, width - right - 60);
  const height = cells.length * groupHeight + 34;
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Throughput of each cell and store; the same figures are in the table below">
${grid(scale, height - 26, (value) => `${count(value)}/s`)}
${cells.flatMap((cell, group) =>
  records(results, cell).map((record, bar) => {
    const y = group * groupHeight + bar * barHeight + 4;
    const middle = middleOf(record.throughput);
    return html`<g><title>${visibleLine(`${record.store}, ${cell}: ${count(Math.round(middle))}/s`)}</title>
${bar === 0 ? html`<text class="name" x="0" y="${y + 13}">${cell}</text>` : ""}
<rect class="amount ${lineClass(results, record.store)}" x="${nameWidth}" y="${y}" width="${Math.max(1, scale.at(middle) - nameWidth)}" height="${barHeight - 3}"/>
${record.throughput.map((value) => html`<line class="round over" x1="${scale.at(value)}" x2="${scale.at(value)}" y1="${y + 2}" y2="${y + barHeight - 5}"/>`)}
<text class="tick" x="${Math.max(scale.at(middle), ...record.throughput.map(scale.at)) + 6}" y="${y + 11}">${count(Math.round(middle))}</text></g>
`;
  }),
)}
</svg>`;
}

/** From p50 to p99 of the service time, one line a store. */
export function timesChart(results: BenchResults): Markup {
  const cells = cellNames(results);
  const lineHeight = 15;
  const groupHeight = results.stores.length * lineHeight + 14;
  const all = results.cells
    .flatMap(({ serviceTime }) => [serviceTime.p50, serviceTime.p99])
    .filter((ns) => ns > 0);
  const scale = logScale(Math.min(...all) / 1.2, Math.max(...all) * 1.2, nameWidth, width - right - 60);
  const height = cells.length * groupHeight + 34;
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Service time from p50 to p99 of each cell and store; the same figures are in the table below">
${grid(scale, height - 26, duration)}
${cells.flatMap((cell, group) =>
  records(results, cell).map((record, line) => {
    const y = group * groupHeight + line * lineHeight + 12;
    const { p50, p99 } = record.serviceTime;
    return html`<g class="${lineClass(results, record.store)}"><title>${visibleLine(`${record.store}, ${cell}: p50 ${duration(p50)}, p99 ${duration(p99)}`)}</title>
${line === 0 ? html`<text class="name" x="0" y="${y + 4}">${cell}</text>` : ""}
<line class="span" x1="${scale.at(p50)}" x2="${scale.at(p99)}" y1="${y}" y2="${y}"/><circle class="from" cx="${scale.at(p50)}" cy="${y}" r="4"/><path class="to" d="M${scale.at(p99)} ${y - 5}v10"/></g>
`;
  }),
)}
</svg>`;
}

/** Percentile curves on an HDR axis: equal steps for 90%, 99%, 99.9%. Response time solid, service time dashed. */
export function openLoopChart(results: BenchResults): Markup {
  const height = 380;
  const [left, bottom] = [80, height - 40];
  const points = results.openLoop.flatMap(({ responseCurve, serviceCurve }) => [
    ...responseCurve,
    ...serviceCurve,
  ]);
  const times = points.map(({ ns }) => ns).filter((ns) => ns > 0);
  if (times.length === 0) return html`<p>Nothing was completed.</p>`;
  const y = logScale(Math.min(...times) / 1.2, Math.max(...times) * 1.2, bottom, 10);
  const most = Math.max(...points.map(({ percentile }) => nines(percentile)));
  const x = (percentile: number): number => left + (nines(percentile) / most) * (width - left - 160);
  const labelled = [0, 50, 90, 99, 99.9, 99.99, 99.999].filter(
    (percentile) => nines(percentile) <= most + 1e-9,
  );
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Response and service time by percentile at one offered rate; the table below has the main ones">
${y.ticks.map((value) => html`<line class="grid" x1="${left}" x2="${width - 160}" y1="${y.at(value)}" y2="${y.at(value)}"/><text class="tick" x="${left - 8}" y="${y.at(value) + 4}" text-anchor="end">${duration(value)}</text>`)}
${labelled.map((percentile) => html`<line class="grid" x1="${x(percentile)}" x2="${x(percentile)}" y1="10" y2="${bottom}"/><text class="tick" x="${x(percentile)}" y="${bottom + 18}" text-anchor="middle">${percentile}%</text>`)}
${placed(results, y).map(({ record, labelY }) => curves(results, record, { x, y, labelY }))}
</svg>`;
}

/** The curves' names at their right ends, moved apart where they would overlap. */
function placed(results: BenchResults, y: Scale): { record: OpenLoopRecord; labelY: number }[] {
  let previous = Number.NEGATIVE_INFINITY;
  return results.openLoop
    .filter(({ responseCurve }) => responseCurve.length > 0)
    .map((record) => ({ record, labelY: y.at(Math.max(1, record.responseCurve.at(-1)!.ns)) }))
    .sort((a, b) => a.labelY - b.labelY)
    .map(({ record, labelY }) => {
      previous = Math.max(labelY, previous + 16);
      return { record, labelY: previous };
    });
}

function curves(
  results: BenchResults,
  record: OpenLoopRecord,
  { x, y, labelY }: { x: (percentile: number) => number; y: Scale; labelY: number },
): Markup {
  const path = (curve: OpenLoopRecord["responseCurve"]): string =>
    curve
      .map(
        ({ percentile, ns }, at) =>
          `${at === 0 ? "M" : "L"}${round(x(percentile))} ${round(y.at(Math.max(1, ns)))}`,
      )
      .join("");
  const end = record.responseCurve.at(-1)!;
  return html`<g class="${lineClass(results, record.store)}"><path class="curve" d="${path(record.responseCurve)}"/><path class="curve service" d="${path(record.serviceCurve)}"/>
<text class="name" x="${x(end.percentile) + 8}" y="${labelY + 4}">${visibleLine(record.store, 20)}</text></g>
`;
}

/** 0 for 0%, 1 for 90%, 2 for 99%. */
function nines(percentile: number): number {
  return -Math.log10(1 - percentile / 100);
}

function cellNames(results: BenchResults): string[] {
  return [...new Set(results.cells.map(({ cell }) => cell))];
}

function records(results: BenchResults, cell: string): CellRecord[] {
  return results.stores.flatMap(({ name }) =>
    results.cells.filter((record) => record.cell === cell && record.store === name),
  );
}

function grid(scale: Scale, bottom: number, label: (value: number) => string): Markup[] {
  return scale.ticks.map(
    (value) =>
      html`<line class="grid" x1="${scale.at(value)}" x2="${scale.at(value)}" y1="0" y2="${bottom}"/><text class="tick" x="${scale.at(value)}" y="${bottom + 18}" text-anchor="middle">${label(value)}</text>`,
  );
}

/** Ticks at 1, 2 and 5 of each power, or at the powers alone when that would be many. */
function logScale(low: number, high: number, from: number, to: number): Scale {
  const [start, end] = [Math.log(low), Math.log(high)];
  const powers: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    powers.push(10 ** power);
  const within = (values: readonly number[]): number[] =>
    values.filter((value) => value >= low && value <= high);
  const fine = within(powers.flatMap((power) => [power, 2 * power, 5 * power]));
  return {
    at: (value) => round(from + ((Math.log(value) - start) / (end - start)) * (to - from)),
    ticks: fine.length <= 12 ? fine : within(powers),
  };
}

function linearScale(high: number, from: number, to: number): Scale {
  const power = 10 ** Math.floor(Math.log10(high / 5));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => high / candidate <= 6)!;
  const ticks: number[] = [];
  for (let tick = 0; tick <= high; tick += step) ticks.push(tick);
  return { at: (value) => round(from + (value / high) * (to - from)), ticks };
}

function ratioLabel(value: number): string {
  return value >= 1 ? String(Math.round(value * 100) / 100) : String(Number(value.toPrecision(2)));
}

function short(name: string): string {
  const line = visibleLine(name, 200);
  return line.length > 62 ? `${line.slice(0, 61)}…` : line;
}

function middleOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
