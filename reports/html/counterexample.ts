/**
 * The counterexample, readable by eye: the finding's sentence, its few operations in lanes on an axis of *order* (every
 * call, return, crash and restart gets the same distance, so that nothing is too small to see), and the same as a table.
 */
import type { Finding } from "../../harness/checkers/contract.ts";
import type { Operation } from "../../harness/history/operation.ts";
import type { FaultRecord } from "../../harness/results.ts";
import type { Start } from "../timeline.ts";
import { asked, counted, ended, moment, visibleLine } from "../wording.ts";
import { barClass, boundOf, describe } from "./bars.ts";
import { memberOf } from "./lanes.ts";
import { html, type Markup } from "./markup.ts";

/** What happened between the operations. */
export interface Surroundings {
  readonly faults: readonly FaultRecord[];
  readonly starts: readonly Start[];
  /** True for a cluster: the member that an operation went to is told. */
  readonly members?: boolean;
}

const operationsMax = 8;
const left = 96;
const width = 1160;
const laneHeight = 50;
const top = 40;

interface Mark {
  readonly time: number;
  readonly kind: "fault" | "ready";
  readonly label: string;
}

export function counterexample(finding: Finding, surroundings: Surroundings): Markup {
  const shown = finding.operations.slice(0, operationsMax);
  const more = finding.operations.length - shown.length;
  const where = [finding.workload, finding.key && `key ${finding.key}`].filter(Boolean).join(", ");
  return html`<section class="counterexample" aria-labelledby="counterexample-title">
<h2 id="counterexample-title">Counterexample <span class="kind">${finding.kind}</span>${where === "" ? "" : html` <span class="quiet">${visibleLine(where, 120)}</span>`}${(finding.count ?? 1) > 1 ? html` <span class="quiet">· the first of ${counted(finding.count!, "such finding")}</span>` : ""}</h2>
${shown.length === 0 ? "" : html`<div class="scroll">${orderDiagram(shown, marksBetween(shown, surroundings), surroundings)}</div>${operationTable(shown, more, surroundings.members)}`}
</section>`;
}

/** Faults that fired and restarts between the first call and the last return; the latest four of each. */
function marksBetween(operations: readonly Operation[], { faults, starts }: Surroundings): Mark[] {
  const from = Math.min(...operations.map((operation) => operation.calledAt));
  const last = Math.max(...operations.map((operation) => operation.calledAt));
  const within = (time: number) => time >= from && time <= last;
  const fired = faults
    .filter((fault) => fault.firedAt !== undefined && within(fault.firedAt))
    .sort((a, b) => a.firedAt! - b.firedAt!)
    .slice(-3)
    .map((fault): Mark => ({ time: fault.firedAt!, kind: "fault", label: visibleLine(fault.name, 24) }));
  const ready = starts
    .filter((start) => within(start.time))
    .slice(-3)
    .map(
      (start): Mark => ({ time: start.time, kind: "ready", label: `${visibleLine(start.node, 12)} ready` }),
    );
  return [...fired, ...ready];
}

function orderDiagram(
  operations: readonly Operation[],
  marks: readonly Mark[],
  { starts, members }: Surroundings,
): Markup {
  const times = operations.flatMap((operation) => [operation.calledAt, operation.returnedAt]);
  const moments = [...new Set([...times, ...marks.map((mark) => mark.time)])]
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const spacing = (width - left - 150) / Math.max(1, moments.length - 1);
  const x = (time: number) =>
    Number.isFinite(time) ? left + 20 + moments.indexOf(time) * spacing : width - 16;
  const processes = [...new Set(operations.map((operation) => operation.process))];
  const height = top + processes.length * laneHeight + 34;
  const lane = (process: number) => top + processes.indexOf(process) * laneHeight;
  const boundWithin = (operation: Operation) => {
    const bound = boundOf(operation, starts);
    return moments.includes(bound) ? bound : Number.POSITIVE_INFINITY;
  };
  return html`<svg class="order" viewBox="0 0 ${width} ${height}" role="img" aria-label="The conflicting operations in order of time; the table below says the same.">
${moments.map((time) => html`<line class="grid" x1="${x(time)}" x2="${x(time)}" y1="${top - 6}" y2="${height - 26}"/>`)}
${momentLabels(moments, x, height)}
${marks.map((mark) => html`<line class="${mark.kind}-line" x1="${x(mark.time)}" x2="${x(mark.time)}" y1="${top - 14}" y2="${height - 26}"/><text class="${mark.kind}-text" x="${x(mark.time)}" y="${top - 20}" text-anchor="middle">${mark.label}</text>`)}
${processes.map((process) => html`<text class="lane-name" x="0" y="${lane(process) + 33}">client ${process}${members ? memberOf(operations.filter((operation) => operation.process === process)) : ""}</text><line class="lane-line" x1="${left}" x2="${width}" y1="${lane(process) + laneHeight - 4}" y2="${lane(process) + laneHeight - 4}"/>`)}
${operations.map((operation, index) => orderBar(operation, describe(operation, members), index + 1, boundWithin(operation), x, lane(operation.process)))}
</svg>`;
}

function momentLabels(moments: readonly number[], x: (time: number) => number, height: number): Markup[] {
  let free = Number.NEGATIVE_INFINITY;
  return moments.map((time) => {
    const at = x(time);
    if (at < free) return html``;
    free = at + 76;
    return html`<text class="tick" x="${at}" y="${height - 10}" text-anchor="middle">${moment(time)}</text>`;
  });
}

function orderBar(
  operation: Operation,
  title: string,
  number: number,
  boundAt: number,
  x: (time: number) => number,
  y: number,
): Markup {
  const from = x(operation.calledAt);
  const to = Math.max(from + 8, x(operation.returnedAt));
  const text = `${number}  ${asked(operation, false)}  ${ended(operation)}`;
  const open = operation.outcome === "info";
  const bound = Number.isFinite(boundAt) ? x(boundAt) : width - 4;
  return html`<g><title>${title}</title>
<text class="bar-text" x="${from}" y="${y + 16}">${text.slice(0, Math.max(12, Math.floor((width - from) / 7.4)))}</text>
<rect class="bar ${barClass(operation)}" x="${from}" y="${y + 22}" width="${to - from}" height="16" rx="3"/>
${open && bound > to ? html`<line class="open-end" x1="${to}" x2="${bound}" y1="${y + 30}" y2="${y + 30}"/>` : ""}</g>`;
}

function operationTable(operations: readonly Operation[], more: number, members = false): Markup {
  return html`<div class="scroll"><table class="operations"><thead><tr><th>#</th><th>client</th><th>asked</th><th>outcome</th><th class="number">sent</th><th class="number">answered</th><th>${members ? "member" : "store"}</th></tr></thead><tbody>
${operations.map(
  (
    operation,
    index,
  ) => html`<tr><td>${index + 1}</td><td>${operation.process}</td><td class="code">${asked(operation, true)}</td><td class="code">${ended(operation)}</td><td class="number">${moment(operation.calledAt)}</td><td class="number">${moment(operation.returnedAt)}</td><td>${members ? operation.node : `${operation.node}, start ${operation.incarnation}`}${operation.readBack ? " · read-back" : ""}</td></tr>
`,
)}</tbody></table></div>${more > 0 ? html`<p class="quiet">… and ${counted(more, "more operation")}; the results as JSON hold all of them.</p>` : ""}`;
}
