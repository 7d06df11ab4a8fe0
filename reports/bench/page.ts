/**
 * The page of a bench: one offline HTML file without a script, made from `results.json` alone. First what it means, in
 * words; then ratios with their intervals and noise, throughput, times, the open loop; then everything one needs to
 * doubt it: settings, machine, disk, generator.
 */
import { createHash } from "node:crypto";
import type { BenchResults, CellRecord, RatioRecord } from "../../harness/measure/results.ts";
import { html, type Markup, trusted } from "../html/markup.ts";
import { styleSheet } from "../html/style.ts";
import { bytes, count, counted, duration, visibleLine } from "../wording.ts";
import { lineClass, openLoopChart, ratioChart, throughputChart, timesChart } from "./charts.ts";

/** What the report's own style sheet does not have. */
const chartStyle = `
.verdict.measured { display: block; } nav { display: flex; flex-wrap: wrap; gap: 2px 18px; margin-top: 14px; } td:first-child { white-space: nowrap; }
svg.chart { display: block; width: 100%; min-width: 760px; height: auto; margin: 6px 0; }
svg.chart .name { font-size: 13px; } svg.chart .one { stroke: var(--ink); stroke-width: 1.4; }
svg.chart .noise { fill: var(--grid); } svg.chart .round { stroke: var(--ink-2); stroke-width: 1.4; opacity: .75; } svg.chart .round.over { stroke: var(--ink); }
svg.chart .interval { stroke: var(--ink-2); stroke-width: 3; } svg.chart .median { fill: var(--paper); stroke: var(--ink-2); stroke-width: 2.4; }
svg.chart .interval.better { stroke: var(--pass); } svg.chart .median.better { fill: var(--pass); stroke: var(--pass); }
svg.chart .interval.worse { stroke: var(--violation); } svg.chart .median.worse { fill: var(--violation); stroke: var(--violation); }
svg.chart rect.line-1, svg.key rect.line-1 { fill: var(--line-1); } svg.chart rect.line-2, svg.key rect.line-2 { fill: var(--line-2); } svg.chart rect.line-3, svg.key rect.line-3 { fill: var(--line-3); } svg.chart rect.line-4, svg.key rect.line-4 { fill: var(--line-4); } svg.chart .amount { opacity: .82; }
svg.chart g.line-1 { color: var(--line-1); } svg.chart g.line-2 { color: var(--line-2); } svg.chart g.line-3 { color: var(--line-3); } svg.chart g.line-4 { color: var(--line-4); }
svg.chart .span { stroke: currentColor; stroke-width: 3; } svg.chart .from { fill: currentColor; } svg.chart .to { stroke: currentColor; stroke-width: 3; fill: none; }
svg.chart .curve { stroke: currentColor; stroke-width: 2.4; fill: none; } svg.chart .curve.service { stroke-width: 1.6; stroke-dasharray: 6 4; }
.conclusion { margin: 12px 0 0; padding-left: 20px; font-size: 15.5px; } .conclusion li { margin-bottom: 5px; } .warn { color: var(--unknown-verdict); }`;

/** The whole page as text. */
export function benchPage(results: BenchResults): string {
  const sheet = styleSheet + chartStyle;
  const hash = createHash("sha256").update(sheet).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  const title = results.stores.map(({ name }) => visibleLine(name, 60)).join(" against ");
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${trusted(policy)}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title>${title} · acked</title>
<style>${trusted(sheet)}</style></head><body>
<a class="skip" href="#ratios">Skip to the ratios</a>
${firstScreen(results, title)}
<main>
${results.ratios.length > 0 ? ratioSection(results) : ""}
${results.cells.length > 0 ? cellSection(results) : ""}
${results.openLoop.length > 0 ? openLoopSection(results) : ""}
${results.pieces.length > 0 ? piecesSection(results) : ""}
${doubtSection(results)}
${settingsSection(results)}
</main><footer>Made by acked from the results of one run of ${duration(results.elapsedMs * 1e6)}, seed ${results.seed}, started ${results.startedAt}. This file is complete in itself and asks the network for nothing. The .hlog files beside it open in HdrHistogram's own tools.</footer>
</body></html>
`.markup;
}

function firstScreen(results: BenchResults, title: string): Markup {
  const { machine, validity } = results;
  const word =
    results.verdict === true ? (results.indicative ? "MEASURED, indicative only" : "MEASURED") : "UNKNOWN";
  const kind = results.verdict === true && !results.indicative ? "pass" : "unknown";
  return html`<header><div class="verdict measured ${kind}"><h1>${word}: ${title}</h1>
<p>${visibleLine(results.reasons[0] ?? `Durability ${results.durability}: ${durabilityWords(results.durability)}`, 400)}</p>
<p class="run">${counted(results.rounds, "interleaved round")} of ${results.measureMs / 1000} s a cell · ${count(results.keys)} keys of ${results.keyBytes} bytes, values of ${results.valueBytes} bytes · TCP over loopback, the load generator on the same machine</p></div>
<ul class="conclusion">${results.conclusion.map((sentence) => html`<li>${visibleLine(sentence, 2000)}</li>`)}</ul>
<div class="cards"><section class="card"><h2>Machine</h2><p>${visibleLine(machine.cpu, 80)}, ${counted(machine.cores, "core")}, ${bytes(machine.memoryBytes)}</p><p>${visibleLine(machine.kernel, 80)}</p></section>
<section class="card"><h2>Disk</h2><p>${results.fileSystem}; a 4 KiB overwrite and sync takes ${duration(validity.diskProbe.p50)} (p99 ${duration(validity.diskProbe.p99)}). On a slower disk every ratio of writes moves towards the number of syncs each store makes.</p></section>
<section class="card"><h2>Not covered</h2>${notCovered(results)}</section>
<section class="card wide"><h2>Again</h2><code>${visibleLine(results.replay, 600)}</code></section></div>
<nav aria-label="Sections"><a href="#ratios">Ratios</a><a href="#throughput">Throughput</a><a href="#times">Times</a><a href="#open-loop">Open loop</a><a href="#doubt">Reasons to doubt</a><a href="#settings">Settings</a></nav></header>`;
}

function durabilityWords(durability: string): string {
  if (durability === "always") return "a write is acknowledged after it was synced, by every store here.";
  if (durability === "none") return "nothing is synced before it is acknowledged.";
  return "a write is acknowledged before it is synced; a crash of the machine may lose the last interval.";
}

function notCovered(results: BenchResults): Markup {
  const always = [
    "other machines, other disks, a network between client and store",
    "snapshots, checkpoints and compaction: none falls into the run",
    "values of other sizes, scans, secondary indexes, transactions of several writes",
  ];
  const missing = results.notCovered.map(({ what, why }) => `${what}: ${why}`);
  return html`<ul>${[...missing, ...always].map((line) => html`<li>${visibleLine(line, 300)}</li>`)}</ul>`;
}

function ratioSection(results: BenchResults): Markup {
  const first = results.ratios[0]!;
  return html`<section aria-labelledby="ratios"><h2 id="ratios">Ratios <span class="quiet">${visibleLine(first.store, 40)} divided by the other, same round</span></h2>
<p class="quiet">Dot: median of the rounds' ratios; line: 95% bootstrap interval; ticks: rounds; grey band: the same store against itself in the same rounds. A hollow dot is no difference. For throughput more than 1 is better, for times less than 1.</p>
${references(results).map((reference) => {
  const of = results.ratios.filter((ratio) => ratio.reference === reference);
  return html`<h3>against ${visibleLine(reference, 60)}</h3><div class="scroll">${ratioChart(of)}</div>${ratioTable(of)}`;
})}</section>`;
}

function references(results: BenchResults): string[] {
  return [...new Set(results.ratios.map(({ reference }) => reference))];
}

function ratioTable(ratios: readonly RatioRecord[]): Markup {
  return html`<details><summary>The same as a table</summary><div class="scroll"><table><thead><tr><th>cell</th><th>metric</th><th class="number">median</th><th class="number">95% interval</th><th class="number">noise floor</th><th>says</th><th>rounds</th></tr></thead><tbody>${ratios.map(
    (ratio) =>
      html`<tr><td>${visibleLine(ratio.cell, 80)}</td><td>${ratio.metric}</td><td class="number">${ratio.median.toFixed(3)}</td><td class="number">${ratio.low.toFixed(3)} – ${ratio.high.toFixed(3)}</td><td class="number">±${((ratio.noiseFloor - 1) * 100).toFixed(1)}%</td><td class="word ${differenceClass(ratio)}">${ratio.difference === "none" ? "no difference" : ratio.difference}</td><td>${ratio.rounds.map((value) => value.toFixed(2)).join(" ")}</td></tr>
`,
  )}</tbody></table></div></details>`;
}

function differenceClass({ difference }: RatioRecord): string {
  return { better: "pass-word", worse: "violation-word", none: "quiet" }[difference];
}

function legend(results: BenchResults): Markup {
  return html`<span class="legend">${results.stores.map(({ name }) => html`<span><svg class="key" aria-hidden="true"><rect class="${lineClass(results, name)}" x="2" y="1" width="20" height="10"/></svg>${visibleLine(name, 60)}</span>`)}</span>`;
}

function cellSection(results: BenchResults): Markup {
  return html`<section aria-labelledby="throughput"><h2 id="throughput">Throughput, closed loop</h2>
<p class="quiet">Each client sends its next request when the last has ended. Bar: median round; ticks: rounds.</p>${legend(results)}
<div class="scroll">${throughputChart(results)}</div></section>
<section aria-labelledby="times"><h2 id="times">Service time, closed loop</h2>
<p class="quiet">From send to completion, over all rounds: dot p50, end p99. In a closed loop a stalled store is sent nothing, so stalls are under-represented here; the open loop below has them.</p>${legend(results)}
<div class="scroll">${timesChart(results)}</div>
<details><summary>The same as a table, with syncs</summary><div class="scroll"><table><thead><tr><th>cell</th><th>store</th><th class="number">requests/s</th><th class="number">p50</th><th class="number">p90</th><th class="number">p99</th><th class="number">p99.9</th><th class="number">max</th><th class="number">records per sync</th><th class="number">syncs/s</th><th class="number">log bytes per user byte</th><th class="number">generator's core</th><th class="number">disk probe</th><th class="number">disturbed rounds</th></tr></thead><tbody>${results.cells.map(cellRow)}</tbody></table></div></details></section>`;
}

function cellRow(record: CellRecord): Markup {
  const { serviceTime: times } = record;
  const middle = [...record.throughput].sort((a, b) => a - b)[record.throughput.length >> 1] ?? 0;
  const optional = (value: number | undefined): string =>
    value === undefined ? "not counted" : value.toFixed(2);
  return html`<tr><td>${record.cell}</td><td>${visibleLine(record.store, 60)}</td><td class="number">${count(Math.round(middle))}</td>${[times.p50, times.p90, times.p99, times.p999, times.max].map((ns) => html`<td class="number">${duration(ns)}</td>`)}<td class="number">${record.operation === "read" ? "–" : optional(record.recordsPerSync)}</td><td class="number">${record.syncsPerSecond === undefined ? "–" : count(Math.round(record.syncsPerSecond))}</td><td class="number">${record.logBytesPerUserByte === undefined ? "–" : record.logBytesPerUserByte.toFixed(2)}</td><td class="number">${Math.round(record.generatorCpu * 100)}%</td><td class="number">${duration(record.diskProbe)}</td><td class="number">${record.disturbedRounds}</td></tr>
`;
}

function openLoopSection(results: BenchResults): Markup {
  const rate = results.openLoop[0]!.offeredPerSecond;
  return html`<section aria-labelledby="open-loop"><h2 id="open-loop">Open loop: ${count(Math.round(rate))} durable upserts per second, Poisson arrivals</h2>
<p class="quiet">Solid: response time, from when a request was due; dashed: service time, from when it was sent. What a stall does to everything behind it is in the solid line only.</p>
<div class="scroll">${openLoopChart(results)}</div>
<div class="scroll"><table><thead><tr><th>store</th><th class="number">offered/s</th><th class="number">achieved/s</th><th class="number">late</th><th class="number">dropped</th><th class="number">unfinished</th><th class="number">response p50</th><th class="number">p90</th><th class="number">p99</th><th class="number">p99.9</th><th class="number">max</th><th class="number">service p50</th><th class="number">service p99</th><th class="number">generator's lag p99</th></tr></thead><tbody>${results.openLoop.map(
    (record) =>
      html`<tr><td>${visibleLine(record.store, 60)}</td><td class="number">${count(Math.round(record.offeredPerSecond))}</td><td class="number">${count(Math.round(record.achievedPerSecond))}</td><td class="number">${count(record.late)}</td><td class="number">${count(record.dropped)}</td><td class="number">${count(record.unfinished)}</td>${[record.responseTime.p50, record.responseTime.p90, record.responseTime.p99, record.responseTime.p999, record.responseTime.max, record.serviceTime.p50, record.serviceTime.p99, record.generatorLag.p99].map((ns) => html`<td class="number">${duration(ns)}</td>`)}</tr>
`,
  )}</tbody></table></div></section>`;
}

function piecesSection(results: BenchResults): Markup {
  return html`<section aria-labelledby="pieces"><h2 id="pieces">Pieces <span class="quiet">inside one process, by tinybench</span></h2>
<div class="scroll"><table><thead><tr><th>piece</th><th class="number">per second (median)</th><th class="number">p50</th><th class="number">p99</th><th class="number">samples</th></tr></thead><tbody>${results.pieces.map((piece) => html`<tr><td>${piece.name}</td><td class="number">${count(Math.round(piece.operationsPerSecond))}</td><td class="number">${duration(piece.p50)}</td><td class="number">${duration(piece.p99)}</td><td class="number">${count(piece.samples)}</td></tr>`)}</tbody></table></div></section>`;
}

function doubtSection(results: BenchResults): Markup {
  const { ceiling, warnings, diskProbe } = results.validity;
  const ceilings = ceiling
    .map(({ clients, perSecond }) => `${clients}: ${count(Math.round(perSecond))}/s`)
    .join(", ");
  const disturbed = results.cells.reduce((sum, { disturbedRounds }) => sum + disturbedRounds, 0);
  const lines = [
    `The load generator is one process on the same ${counted(results.machine.cores, "core")}; against a server that does nothing it reaches, by number of clients, ${ceilings || "(not measured)"}.`,
    `${counted(disturbed, "measurement")} had a disk probe more than twice as slow as usual, or lost more than 5% of CPU time to the hypervisor; they are in the figures.`,
    `The disk probe over the run: p50 ${duration(diskProbe.p50)}, p99 ${duration(diskProbe.p99)}, max ${duration(diskProbe.max)}.`,
  ];
  return html`<section aria-labelledby="doubt"><h2 id="doubt">Reasons to doubt</h2><ul>${lines.map((line) => html`<li>${line}</li>`)}${[...results.reasons, ...warnings].map((line) => html`<li class="warn">${visibleLine(line, 400)}</li>`)}</ul></section>`;
}

function settingsSection(results: BenchResults): Markup {
  return html`<section aria-labelledby="settings"><h2 id="settings">Settings</h2>${results.stores.map(
    (
      store,
    ) => html`<h3>${visibleLine(store.name, 80)} ${visibleLine(store.version, 40)}</h3><p class="quiet">data: ${visibleLine(store.data, 200)}</p>
<div class="scroll"><table><tbody>${Object.entries(store.settings).map(([name, value]) => html`<tr><th>${visibleLine(name, 80)}</th><td>${visibleLine(value, 200)}</td></tr>`)}</tbody></table></div>`,
  )}<h3>Versions</h3><div class="scroll"><table><tbody>${Object.entries(results.versions).map(([name, value]) => html`<tr><th>${visibleLine(name, 80)}</th><td>${visibleLine(value, 80)}</td></tr>`)}${results.gitCommit ? html`<tr><th>git commit</th><td>${results.gitCommit}</td></tr>` : ""}</tbody></table></div></section>`;
}
