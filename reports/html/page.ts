/**
 * The HTML report: one file that opens offline, asks the network for nothing (a content security policy forbids it, and
 * lets run only the three scripts whose hashes it names), and stays under 1 MB whatever the run's length, because it holds
 * bins and samples, never the history. Without scripts everything but the charts is there.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { KeyViews } from "../key-scan.ts";
import type { RunFiles } from "../run-directory.ts";
import type { Timeline } from "../timeline.ts";
import { verdictLine } from "../verdict-words.ts";
import { counted, duration, visibleLine } from "../wording.ts";
import { chartData, shareOf } from "./chart-data.ts";
import { clientScript } from "./client-script.ts";
import { clusterSection } from "./cluster.ts";
import { explorations } from "./exploration.ts";
import { firstScreen } from "./first-screen.ts";
import { keyViews } from "./key-view.ts";
import { type LanesInput, lanes } from "./lanes.ts";
import { lanesScript } from "./lanes-script.ts";
import { html, type Markup, scriptJson, trusted } from "./markup.ts";
import { styleSheet } from "./style.ts";
import { sweepMatrix } from "./sweep.ts";
import { checksTable, faultsTable, machineTable, percentilesTable, storeOutput } from "./tables.ts";

export interface PageInput {
  readonly files: RunFiles;
  readonly timeline: Timeline;
  /** Absent when the history holds nothing to draw. */
  readonly lanes: LanesInput | undefined;
  /** Views of the keys with findings; absent when there is no more than one finding. */
  readonly keys?: KeyViews;
  /** What of the history could not be read, in one sentence; empty when nothing. */
  readonly historyNote: string;
}

/** What a report may weigh. */
const bytesMax = 980_000;

/**
 * The whole page as text. Bins and samples bound it at once in all but hostile runs; where long or much-escaped values
 * would still make it too heavy, it shows fewer of the operations, dots and fault records, and says how many.
 */
export function page(input: PageInput): string {
  for (const share of [1, 0.4]) {
    const text = rendered(input, share);
    if (Buffer.byteLength(text) <= bytesMax) return text;
  }
  return rendered(input, 0.1);
}

function rendered(input: PageInput, share: number): string {
  const { files, timeline, lanes: laneInput, historyNote } = input;
  const { results, faults } = files;
  const keys = input.keys && fewer(input.keys, share);
  const members = results.cluster !== undefined;
  const { script, style } = uplot();
  const sheet = style + styleSheet;
  const title = `${verdictLine(results)} · ${visibleLine(results.store.name, 60)} · acked`;
  const policy = `default-src 'none'; script-src ${hashOf(script)} ${hashOf(clientScript)} ${hashOf(lanesScript)}; style-src ${hashOf(sheet)}; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${trusted(policy)}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title>${title}</title>
<style>${trusted(sheet)}</style></head><body>
<a class="skip" href="#main">Skip to the findings</a>
${firstScreen(results, { faults, starts: timeline.starts, members }, share)}
<nav aria-label="Sections">${results.cluster || results.pair ? html`<a href="#cluster">Cluster</a>` : ""}${results.explorations ? html`<a href="#crash-states">Crash states</a>` : ""}${results.sweep ? html`<a href="#sweep">Sweep</a>` : ""}<a href="#times">Response times</a><a href="#distribution">Distribution</a>${laneInput ? html`<a href="#lanes">Lanes</a>` : ""}${keys ? html`<a href="#keys">Key by key</a>` : ""}<a href="#checks">Checks</a><a href="#faults">Faults</a><a href="#store-output">Store output</a><a href="#machine">Machine</a></nav>
${clusterSection(results, share)}
${explorations(results)}
${sweepMatrix(results)}
${timeline.events === 0 ? html`<section><h2 id="times">Response times</h2><p>The history is empty: nothing was sent to the store.</p></section>` : charts(timeline, faults.length > 0)}
${laneInput ? lanes({ ...thinned(laneInput, share), members }) : ""}
${keys ? keyViews(keys, { faults, starts: timeline.starts, members }) : ""}
${checksTable(results)}
${faultsTable(results, files, share)}
${storeOutput(files)}
${machineTable(results)}
</main><footer>Made by acked from ${counted(timeline.events, "event")} of history over ${duration(timeline.endNs)}. This file is complete in itself and asks the network for nothing.${historyNote === "" ? "" : ` ${visibleLine(historyNote, 400)}`}</footer>
${
  timeline.events === 0
    ? ""
    : html`<script type="application/json" id="chart-data">${scriptJson(chartData(timeline, faults, share))}</script>
<script>${trusted(script)}</script>
<script>${trusted(clientScript)}</script>`
}
<script>${trusted(lanesScript)}</script>
</body></html>
`.markup;
}

/** This share of the views, the first ones. */
function fewer(views: KeyViews, share: number): KeyViews {
  const kept = views.withFindings.slice(0, share < 0.2 ? 0 : Math.ceil(views.withFindings.length * share));
  const keysLeftOut = views.keysLeftOut + views.withFindings.length - kept.length;
  return { ...views, withFindings: kept, keysLeftOut };
}

/** The counterexample's operations, and this share of the others. */
function thinned(input: LanesInput, share: number): LanesInput {
  const { highlighted } = input.focus;
  const others = input.operations.filter((operation) => !highlighted.has(operation.call));
  const kept = new Set(shareOf(others, share));
  return {
    ...input,
    operations: input.operations.filter(
      (operation) => highlighted.has(operation.call) || kept.has(operation),
    ),
    leftOut: input.leftOut + others.length - kept.size,
  };
}

function charts(timeline: Timeline, withFaults: boolean): Markup {
  const interval = duration(timeline.intervalNs);
  return html`<section aria-labelledby="times"><h2 id="times">Response times over the run</h2>
<p class="quiet">Response time = completion − intended start; these clients send one operation at a time, as soon as they may, so the intended start is the send. Read-backs after restarts are left out. Drag to zoom, double-click to see everything; with the keyboard: arrows, + and −, Escape.</p>
<noscript><p>The charts are drawn by this page's own script, which is switched off here. Everything else is below and above.</p></noscript>
${withFaults ? plotMarkup("faults", "Faults in force", "Each bar is one fault, from firing until healed or until the store served again. Ticks at the bottom are restarts.", "When each fault was in force", html``) : ""}
${density("writes")}${density("reads")}
${plotMarkup("percentiles", `Percentiles per ${interval}`, "Acknowledged operations; figures within 1%.", "Percentiles of the response time over the run; the table below holds the same numbers", html`<span class="legend">${lineKey("line-1", "p50")}${lineKey("line-2", "p90")}${lineKey("line-3", "p99")}${lineKey("line-4", "max")}<label><input type="radio" name="percentiles-of" value="all" checked> all</label><label><input type="radio" name="percentiles-of" value="reads"> reads</label><label><input type="radio" name="percentiles-of" value="writes"> writes</label></span>`)}
${percentilesTable(timeline)}
${plotMarkup("throughput", `Acknowledged per second`, "Throughput, not offered load.", "Acknowledged reads and writes per second over the run", html`<span class="legend">${lineKey("reads", "reads")}${lineKey("writes", "writes")}</span>`)}
</section>
<section aria-labelledby="distribution"><h2 id="distribution">Percentile distribution</h2>
${plotMarkup("distribution", "Response time by percentile (HDR axis)", "An operation that overlapped a fault counts as during faults. A curve ends where its count can tell no further.", "Response time by percentile, quiet and during faults", html`<span class="legend">${timeline.curves.map((curve) => lineKey(curve.during === "faults" ? `${curve.kind} during` : curve.kind, `${curve.kind} ${curve.during === "faults" ? "during faults" : "quiet"} (${counted(curve.count, "operation")})`))}</span>`)}
</section>`;
}

function density(kind: "reads" | "writes"): Markup {
  const keys = html`<span class="legend"><span>1 <canvas id="plot-${kind}-ramp" width="84" height="11" aria-hidden="true"></canvas> <span id="plot-${kind}-most"></span> per cell</span><span><svg class="key" aria-hidden="true"><circle class="ring" cx="13" cy="6" r="3"/></svg>slowest</span><span><svg class="key" aria-hidden="true"><path class="cross" d="M9 2l8 8M17 2l-8 8"/></svg>failed</span><span><svg class="key" aria-hidden="true"><path class="triangle" d="M13 1l5 10H8z"/></svg>outcome unknown</span></span>`;
  return plotMarkup(
    kind,
    kind === "reads" ? "Reads" : "Writes",
    "How many were acknowledged per cell of time and response time; those never answered are at the upper edge.",
    `Density of the response times of ${kind} over the run; the percentiles below summarise it`,
    keys,
  );
}

function plotMarkup(name: string, title: string, resting: string, label: string, keys: Markup): Markup {
  return html`<div class="panel-head"><h3>${title}</h3>${keys}</div>
<div class="plot" id="plot-${name}" tabindex="0" role="img" aria-label="${label}"></div><output class="readout" id="plot-${name}-readout">${resting}</output>`;
}

function lineKey(classes: string, words: string): Markup {
  return html`<span><svg class="key" aria-hidden="true"><line class="${classes}" x1="0" x2="26" y1="6" y2="6"/></svg>${words}</span>`;
}

/** The chart library as it is installed: script and style sheet, to be inlined. */
function uplot(): { script: string; style: string } {
  const root = dirname(createRequire(import.meta.url).resolve("uplot/package.json"));
  const read = (file: string) => readFileSync(join(root, "dist", file), "utf8");
  return { script: read("uPlot.iife.min.js"), style: read("uPlot.min.css") };
}

/** A script's or a style sheet's entry in the content security policy. */
export function hashOf(inline: string): string {
  return `'sha256-${createHash("sha256").update(inline).digest("base64")}'`;
}
