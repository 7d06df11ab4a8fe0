/**
 * Lanes of operations around what matters most (see `chooseFocus`): a bar from call to return for each operation, a
 * dashed end where nobody knows when it took effect, faults and restarts across all lanes, the counterexample marked.
 * A retired process number and its successor share a lane. The time axis is cut between windows, and shows where.
 */
import type { Operation } from "../../harness/history/operation.ts";
import type { FaultRecord } from "../../harness/results.ts";
import type { Focus } from "../neighbourhood.ts";
import type { Start } from "../timeline.ts";
import { asked, counted, duration, ended, isRead, moment, valueText, visibleLine } from "../wording.ts";
import { barClass, boundOf, describe } from "./bars.ts";
import { html, type Markup } from "./markup.ts";
import { gapWidth, px, roundTicks, type Segment, type TimeAxis, tickLabel, timeAxis } from "./time-axis.ts";

/** What one drawing of lanes shows. */
export interface DrawingInput {
  readonly focus: Pick<Focus, "windows" | "highlighted">;
  /** A moment to mark across all lanes, with what to write beside it. */
  readonly marker?: { readonly time: number; readonly label: string };
  readonly operations: readonly Operation[];
  readonly leftOut: number;
  readonly faults: readonly FaultRecord[];
  readonly starts: readonly Start[];
  /** True for a cluster: the member that an operation went to is told. */
  readonly members?: boolean;
}

export interface LanesInput extends DrawingInput {
  readonly focus: Focus;
}

interface Lane {
  readonly processes: number[];
  /** ns; when the lane is free again. */
  busyUntil: number;
  readonly operations: Operation[];
}

const left = 112;
const width = 1160;
const laneHeight = 24;
const top = 46;
const lanesMax = 16;
const bandsMax = 40;

export function lanes(input: LanesInput): Markup {
  return html`<section id="lanes" aria-labelledby="lanes-title"><h2 id="lanes-title">${input.focus.title}</h2>
${drawing(input, input.focus.why)}</section>`;
}

/** The lanes with their legend, what they leave out, and the line that tells a bar in full. */
export function drawing(input: DrawingInput, why = ""): Markup {
  const { focus } = input;
  const axis = timeAxis(focus.windows, left, width - 6);
  const all = packed(input.operations, input.members === true);
  const shown = chosen(all, focus);
  const hidden = all.length - shown.length;
  const height = top + shown.length * laneHeight + 40;
  const bottom = height - 36;
  const notes = [
    hidden > 0 ? counted(hidden, "more lane") : "",
    input.leftOut > 0 ? counted(input.leftOut, "more operation") : "",
  ].filter(Boolean);
  return html`<div class="drawing"><p class="quiet">${why} ${axis.segments.length > 1 ? "Time that does not matter here is cut out, at the two slanted strokes." : ""} ${notes.length > 0 ? `Not drawn: ${notes.join(", ")}.` : ""}</p>
${legend()}
<div class="scroll"><svg class="lanes" viewBox="0 0 ${width} ${height}" role="group" aria-label="Operations per client; arrow keys move from bar to bar">
${axis.segments.map((segment) => html`<rect class="segment" x="${px(segment.x0)}" y="${top - 4}" width="${px(segment.x1 - segment.x0)}" height="${bottom - top + 4}"/>`)}
${faultBands(input.faults, axis, bottom)}
${axis.segments.flatMap((segment) => ticks(segment, bottom))}
${shown.map((lane, index) => laneMarkup(lane, index, axis, input))}
${startLines(input.starts, axis, bottom)}
${input.marker ? markerLine(input.marker, axis, bottom) : ""}
${axis.segments.slice(1).map((segment) => html`<path class="cut" d="${cutMark(segment.x0 - gapWidth / 2, (top + bottom) / 2)}"/>`)}
</svg></div>
<output class="bar-detail" aria-live="polite">Point at a bar, or move with the arrow keys, to read it in full.</output></div>`;
}

function markerLine(
  { time, label }: { time: number; label: string },
  axis: TimeAxis,
  bottom: number,
): Markup {
  const x = axis.x(time);
  const toTheRight = x < width / 2;
  return html`<g><title>${label}, ${moment(time)}</title><line class="explained-line" x1="${px(x)}" x2="${px(x)}" y1="${top - 34}" y2="${bottom}"/><text class="explained-text" x="${px(x + (toTheRight ? 5 : -5))}" y="${top - 28}" text-anchor="${toTheRight ? "start" : "end"}">${toTheRight ? `◂ ${label}` : `${label} ▸`}</text></g>`;
}

function legend(): Markup {
  const entry = (barClasses: string, words: string) =>
    html`<span><svg width="26" height="12" aria-hidden="true"><rect class="bar ${barClasses}" x="1" y="1" width="24" height="10" rx="2"/></svg> ${words}</span>`;
  return html`<p class="legend">${entry("read", "read")}${entry("write", "write acknowledged")}${entry("write unmatched", "compare that did not match")}${entry("write failed", "failed: did not happen")}${entry("write unknown", "outcome unknown")}</p>`;
}

/**
 * Packs processes into lanes: a process takes the first lane whose last one has retired; of a cluster (`members`), one of
 * the same member.
 */
function packed(operations: readonly Operation[], members: boolean): Lane[] {
  const byProcess = new Map<number, Operation[]>();
  for (const operation of operations) {
    const own = byProcess.get(operation.process);
    if (own) own.push(operation);
    else byProcess.set(operation.process, [operation]);
  }
  const packedLanes: Lane[] = [];
  for (const [process, own] of byProcess) {
    const from = own[0]!.calledAt;
    const until = Math.max(...own.map((operation) => operation.returnedAt));
    const free = packedLanes.find(
      (lane) => lane.busyUntil <= from && (!members || lane.operations[0]!.node === own[0]!.node),
    );
    if (free) {
      free.processes.push(process);
      free.operations.push(...own);
      free.busyUntil = until;
    } else packedLanes.push({ processes: [process], busyUntil: until, operations: [...own] });
  }
  return packedLanes;
}

/** All lanes if they fit; else those of the counterexample first, then the fullest, in their order. */
function chosen(all: readonly Lane[], focus: DrawingInput["focus"]): Lane[] {
  const marked = (lane: Lane) => lane.operations.some((operation) => focus.highlighted.has(operation.call));
  const best = [...all].sort(
    (a, b) => Number(marked(b)) - Number(marked(a)) || b.operations.length - a.operations.length,
  );
  const kept = new Set(best.slice(0, lanesMax));
  return all.filter((lane) => kept.has(lane));
}

function laneMarkup(lane: Lane, index: number, axis: TimeAxis, input: DrawingInput): Markup {
  const y = top + index * laneHeight;
  const { processes } = lane;
  const client =
    processes.length === 1
      ? `client ${processes[0]}`
      : `client ${processes[0]} … ${processes[processes.length - 1]}`;
  const name = `${client}${input.members ? memberOf(lane.operations) : ""}`;
  return html`<g class="lane"><text class="lane-name" x="0" y="${y + 15}">${name}</text>
<line class="lane-line" x1="${left}" x2="${width - 6}" y1="${y + laneHeight - 2}" y2="${y + laneHeight - 2}"/>
${lane.operations.map((operation) => bar(operation, y, axis, input))}</g>
`;
}

/** ` · n1` when all of them went to one member. */
export function memberOf(operations: readonly Operation[]): string {
  const nodes = new Set(operations.map(({ node }) => node));
  return nodes.size === 1 ? ` · ${visibleLine([...nodes][0]!, 12)}` : "";
}

function bar(
  operation: Operation,
  y: number,
  axis: TimeAxis,
  { focus, starts, members }: DrawingInput,
): Markup {
  const marked = focus.highlighted.has(operation.call);
  const from = axis.x(operation.calledAt);
  const open = operation.outcome === "info";
  const certain = Number.isFinite(operation.returnedAt) ? operation.returnedAt : operation.calledAt;
  const to = Math.max(from + 2, axis.x(certain));
  const number = [...focus.highlighted].indexOf(operation.call) + 1;
  const label = marked ? `#${number}` : fittingLabel(operation, Math.floor((to - from - 7) / 6.3));
  const bound = open ? axis.x(boundOf(operation, starts)) : to;
  return html`<g class="operation${marked ? " marked" : ""}" tabindex="${marked ? 0 : -1}" role="img"><title>${describe(operation, members)}</title><rect class="bar ${barClass(operation)}" x="${px(from)}" y="${y + 2}" width="${px(to - from)}" height="18" rx="2"/>${bound > to + 3 ? html`<line class="open-end" x1="${px(to)}" x2="${px(bound)}" y1="${y + 11}" y2="${y + 11}"/>` : ""}${label === "" ? "" : html`<text class="bar-label ${marked ? "mark-label" : barClass(operation)}" x="${px(from + 4)}" y="${y + 15}">${label}</text>`}</g>`;
}

/** As much as fits into `room` characters, never half a word: `write 42`, `42`, or nothing. */
function fittingLabel(operation: Operation, room: number): string {
  const question = asked(operation, false);
  const answer =
    operation.outcome === "ok" && operation.output !== undefined ? valueText(operation.output, 24) : "";
  const value = isRead(operation.f) ? answer : valueText(operation.input, 24);
  const candidates = [answer === "" ? question : `${question} ${ended(operation)}`, question, value];
  return candidates.find((candidate) => candidate !== "" && candidate.length <= room) ?? "";
}

/** Two slanted strokes around a point, as an SVG path. */
function cutMark(x: number, y: number): string {
  return [-3, 3].map((dx) => `M${px(x + dx - 3)} ${px(y + 9)}l6 -18`).join("");
}

function faultBands(faults: readonly FaultRecord[], axis: TimeAxis, bottom: number): Markup[] {
  const rows = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  return faults
    .filter((fault) => fault.firedAt !== undefined && touches(fault, axis))
    .sort((a, b) => a.firedAt! - b.firedAt!)
    .slice(0, bandsMax)
    .map((fault) => {
      const from = axis.x(fault.firedAt!);
      const to = Math.max(from + 1.5, axis.x(fault.healedAt));
      const name = visibleLine(fault.name, 40);
      const row = rows.findIndex((free) => free <= from);
      if (row >= 0) rows[row] = from + name.length * 6.4 + 14;
      const text = `${name} at ${moment(fault.firedAt!)}, over after ${duration(fault.healedAt - fault.firedAt!)}`;
      return html`<g><title>${text}</title><rect class="fault-band" x="${px(from)}" y="${top - 4}" width="${px(to - from)}" height="${bottom - top + 4}"/><line class="fault-line" x1="${px(from)}" x2="${px(from)}" y1="${top - 10}" y2="${bottom}"/>${row < 0 ? "" : html`<text class="fault-text" x="${px(from)}" y="${top - 12 - row * 14}">${name}</text>`}</g>`;
    });
}

function touches(fault: FaultRecord, axis: TimeAxis): boolean {
  return axis.segments.some((segment) => fault.firedAt! <= segment.to && fault.healedAt >= segment.from);
}

function startLines(starts: readonly Start[], axis: TimeAxis, bottom: number): Markup[] {
  return starts
    .filter((start) =>
      axis.segments.some((segment) => start.time >= segment.from && start.time <= segment.to),
    )
    .slice(0, bandsMax)
    .map((start) => {
      const x = px(axis.x(start.time));
      const label = `${visibleLine(start.node, 12)} ready`;
      return html`<g><title>${label} at ${moment(start.time)}, start ${start.incarnation}</title><line class="ready-line" x1="${x}" x2="${x}" y1="${top - 10}" y2="${bottom}"/><text class="ready-text" x="${x}" y="${bottom + 13}" text-anchor="${Number(x) > width - 80 ? "end" : "start"}" dx="${Number(x) > width - 80 ? -4 : 4}">${label}</text></g>`;
    });
}

function ticks(segment: Segment, bottom: number): Markup[] {
  const wanted = Math.max(1, Math.floor((segment.x1 - segment.x0) / 110));
  const times = roundTicks(segment, wanted);
  const stepNs = times.length > 1 ? times[1]! - times[0]! : segment.to - segment.from;
  return times.map((time) => {
    const x = segment.x0 + ((time - segment.from) / (segment.to - segment.from)) * (segment.x1 - segment.x0);
    const fits = x - 34 >= segment.x0 - gapWidth / 2 && x + 34 <= Math.min(width, segment.x1 + gapWidth / 2);
    return html`<line class="grid" x1="${px(x)}" x2="${px(x)}" y1="${top - 4}" y2="${bottom}"/>${fits ? html`<text class="tick" x="${px(x)}" y="${bottom + 30}" text-anchor="middle">${tickLabel(time, stepNs)}</text>` : ""}`;
  });
}
