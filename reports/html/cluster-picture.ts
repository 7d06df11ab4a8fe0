/**
 * One picture of a cluster over time, drawn without a script: phases as the background, faults with how long it took to
 * serve again, operations acknowledged, unknown and failed per slice, who led and who was down, and which links were under
 * which fault. Every bar has its title; the tables below the picture say the same in numbers. Its size is bounded: bars of
 * the same look that nearly touch are joined until few enough are left.
 */
import type { ClusterFaultSpan, ClusterResults, Span } from "../../harness/results.ts";
import { faultWords, firedOf, placeOf } from "../cluster-words.ts";
import { count, counted, duration, moment, visibleLine } from "../wording.ts";
import { during, joined, type Lane, type LaneBar, linkLanes, memberLanes } from "./cluster-lanes.ts";
import { html, type Markup } from "./markup.ts";
import { px, roundTicks, tickLabel, timeAxis } from "./time-axis.ts";

const width = 1160;
const left = 132;
const right = width - 8;
const faultRows = 6;
const faultRowHeight = 19;
const kindLanesMax = 12;
/** Faults whose moment is marked through all lanes. */
const marksMax = 40;
/** Pixels that a letter takes, about. */
const letter = 6.4;
const availabilityHeight = 66;
const memberHeight = 26;
const linkHeight = 20;
const hoverColumns = 140;
/** ns without an acknowledgement that are shown as such. */
const gapNsLeast = 100e6;

export interface PictureOptions {
  /** Bars in all lanes together. */
  readonly barsMax: number;
  /** What the picture is of, for those who cannot see it. */
  readonly label: string;
}

interface Scale {
  readonly window: Span;
  x(time: number): number;
  /** ns that one pixel shows. */
  readonly nsPerPx: number;
}

/** The class of a fault's colour: by the order in which faults first appear. */
export function colours(cluster: ClusterResults): (fault: string) => string {
  const names = [...new Set(cluster.faults.map(({ fault }) => fault))];
  return (fault) => `f${(names.indexOf(fault) % 6) + 1}`;
}

/** From the first start of a member to the end of what is known. */
export function wholeRun(cluster: ClusterResults): Span {
  const { phases: rounds, leaders, memberStates, faults, availability: slices } = cluster;
  const served = slices.filter(({ ok, fail, info }) => ok + fail + info > 0);
  const lived: readonly Span[] = [...rounds, ...leaders, ...faults, ...served];
  // How members go down when the run is over is not part of it.
  const ends = lived.length > 0 ? lived : memberStates;
  const from = [...lived, ...memberStates].reduce(
    (least, span) => Math.min(least, span.from),
    Number.POSITIVE_INFINITY,
  );
  if (!Number.isFinite(from)) return { from: 0, to: 1 };
  return { from, to: ends.reduce((most, span) => Math.max(most, span.to), from + 1) };
}

export function picture(cluster: ClusterResults, window: Span, options: PictureOptions): Markup {
  const axis = timeAxis([window], left, right);
  const scale: Scale = { window, x: axis.x, nsPerPx: (window.to - window.from) / (right - left) };
  const colourOf = colours(cluster);
  const here = within(cluster, window);
  const links = linkLanes(here, colourOf);
  const rows = packed(here, scale);
  const groups = [memberLanes(here), links.lanes, rows ? [] : kindLanes(here, colourOf)];
  const [members = [], strands = [], kinds = []] = fitting(groups, scale, options.barsMax);
  const top = 26;
  const faultsBottom = top + Math.max(1, rows ? rows.length : kinds.length) * faultRowHeight + 6;
  const availabilityBottom = faultsBottom + 10 + availabilityHeight;
  const membersTop = availabilityBottom + 20;
  const linksTop = membersTop + members.length * memberHeight + (strands.length > 0 ? 12 : 0);
  const bottom = linksTop + strands.length * linkHeight + 4;
  return html`<div class="scroll"><svg class="cluster" viewBox="0 0 ${width} ${bottom + 26}" role="img" aria-label="${options.label}; the tables below say the same in numbers.">
${phases(cluster, scale, bottom)}
${ticks(scale, bottom)}
${faultMarks(here, scale, colourOf, faultsBottom, bottom)}
${rows ? html`<text class="lane-name" x="0" y="${top + 13}">faults</text>` : ""}
${rows?.map((row, index) => row.map((placed) => faultBar(placed, top + index * faultRowHeight, { cluster, scale, colourOf })))}
${kinds.map((lane, index) => linkLane(lane, top + index * faultRowHeight, scale))}
${availability(cluster, scale, faultsBottom + 10)}
${members.map((lane, index) => memberLane(lane, membersTop + index * memberHeight, scale))}
${splitBrains(cluster, scale, membersTop, membersTop + members.length * memberHeight)}
${strands.map((lane, index) => linkLane(lane, linksTop + index * linkHeight, scale))}
</svg></div>
`;
}

/** The cluster with the faults, claims and states of that window only. */
function within(cluster: ClusterResults, window: Span): ClusterResults {
  const inside = (span: Span) => touches(span, window);
  return {
    ...cluster,
    faults: cluster.faults.filter(inside),
    leaders: cluster.leaders.filter(inside),
    memberStates: cluster.memberStates.filter(inside),
  };
}

/** Bars inside the window, joined as coarsely as `barsMax` asks for; what is left over beyond that is cut. */
function fitting(groups: readonly (readonly Lane[])[], scale: Scale, barsMax: number): Lane[][] {
  const { window, nsPerPx } = scale;
  const inside = ({ name, bars }: Lane): Lane => ({
    name,
    bars: bars.filter((bar) => touches(bar, window)).sort((a, b) => a.from - b.from),
  });
  let now = groups.map((lanes) => lanes.map(inside));
  for (let gapPx = 1; ; gapPx *= 2) {
    const gap = gapPx * nsPerPx;
    now = now.map((lanes) => lanes.map(({ name, bars }) => ({ name, bars: joined(bars, gap) })));
    const drawn = now.flat().reduce((sum, lane) => sum + lane.bars.length, 0);
    if (drawn <= barsMax || gapPx > right - left) return now;
  }
}

function touches(span: Span, window: Span): boolean {
  return span.from < window.to && span.to > window.from;
}

/** Left edge and width of a span on the picture: at least so wide that it can be seen. */
function extent(span: Span, { x, window }: Scale, least = 2): { readonly x0: number; readonly x1: number } {
  const x0 = x(Math.max(span.from, window.from));
  const x1 = Math.max(x(Math.min(span.to, window.to)), x0 + least);
  return x1 > right ? { x0: Math.max(left, right - (x1 - x0)), x1: right } : { x0, x1 };
}

function phases(cluster: ClusterResults, scale: Scale, bottom: number): Markup[] {
  return cluster.phases
    .filter((phase) => touches(phase, scale.window))
    .map((phase) => {
      const { x0, x1 } = extent(phase, scale, 0.5);
      const name = phase.phase === "storm" ? `storm ${phase.round}` : phase.phase;
      const label = [name, phase.phase === "storm" ? String(phase.round) : ""].find((one) =>
        fits(one, x1 - x0),
      );
      return html`<g><title>${phase.phase} of round ${phase.round}, ${during(phase)}</title><rect class="phase ${phase.phase}" x="${px(x0)}" y="0" width="${px(x1 - x0)}" height="${bottom}"/>${label ? html`<text class="phase-name" x="${px(x0 + 4)}" y="14">${label}</text>` : ""}</g>`;
    });
}

function ticks({ window, x }: Scale, bottom: number): Markup[] {
  const times = roundTicks(window, 10);
  const step = times.length > 1 ? times[1]! - times[0]! : window.to - window.from;
  return times.map((time) => {
    const at = x(time);
    const label = tickLabel(time, step);
    const inside = at + label.length * 3.4 <= width && at - label.length * 3.4 >= left - 20;
    return html`<line class="grid" x1="${px(at)}" x2="${px(at)}" y1="20" y2="${bottom}"/>${inside ? html`<text class="tick" x="${px(at)}" y="${bottom + 18}" text-anchor="middle">${label}</text>` : ""}`;
  });
}

interface PlacedFault {
  readonly span: ClusterFaultSpan;
  readonly label: string;
}

/** Faults in rows where neither their bars nor their names touch; `undefined` where that takes more than `faultRows`. */
function packed(cluster: ClusterResults, scale: Scale): PlacedFault[][] | undefined {
  const rows: { free: number; placed: PlacedFault[] }[] = [];
  for (const span of [...cluster.faults].sort((a, b) => a.from - b.from)) {
    const { x0, x1 } = extent(span, scale, 3);
    const { x1: x2 } = extent({ from: span.from, to: againAt(span) ?? span.to }, scale, 3);
    const label = faultLabel(span, cluster);
    const until = (fits(label, x1 - x0) ? x2 : x2 + label.length * letter + 6) + 6;
    const row = rows.find(({ free }) => free <= x0);
    if (row) {
      row.placed.push({ span, label });
      row.free = until;
    } else rows.push({ free: until, placed: [{ span, label }] });
    if (rows.length > faultRows) return undefined;
  }
  return rows.map(({ placed }) => placed);
}

function faultLabel(span: ClusterFaultSpan, { members }: ClusterResults): string {
  const name = visibleLine(span.fault, 24);
  return placeOf(span, members) === "member" ? `${name} ${visibleLine(span.target, 8)}` : name;
}

function againAt({ to, servingAgainMs }: ClusterFaultSpan): number | undefined {
  return servingAgainMs === undefined ? undefined : to + servingAgainMs * 1e6;
}

/** A lane for each kind of fault, for a picture of too many faults to name each of them. */
function kindLanes(cluster: ClusterResults, colourOf: (fault: string) => string): Lane[] {
  const names = [...new Set(cluster.faults.map(({ fault }) => fault))];
  const barOf = (span: ClusterFaultSpan): LaneBar => ({
    ...{ from: span.from, to: span.to, labels: [], title: () => faultTitle(span, cluster) },
    as: `${colourOf(span.fault)}${span.evidence === undefined ? " unfired" : ""}`,
  });
  const lane = (name: string, faults: readonly ClusterFaultSpan[]) => ({ name, bars: faults.map(barOf) });
  const own = names.slice(0, kindLanesMax);
  const others = cluster.faults.filter(({ fault }) => !own.includes(fault));
  const lanes = own.map((name) =>
    lane(
      visibleLine(name, 18),
      cluster.faults.filter(({ fault }) => fault === name),
    ),
  );
  return others.length === 0 ? lanes : [...lanes, lane("other faults", others)];
}

interface Drawing {
  readonly cluster: ClusterResults;
  readonly scale: Scale;
  readonly colourOf: (fault: string) => string;
}

/** The fault until it healed, then dashed until a write was acknowledged: to the end where none was. */
function faultBar({ span, label }: PlacedFault, y: number, { cluster, scale, colourOf }: Drawing): Markup {
  const { x0, x1 } = extent(span, scale, 3);
  const again = againAt(span);
  const fired = span.evidence !== undefined;
  const x2 = again === undefined ? x1 : extent({ from: span.from, to: again }, scale, 3).x1;
  const wide = label.length * letter;
  const beside = x2 + wide > right ? { x: x0 - 4, as: "end" } : { x: x2 + 4, as: "start" };
  const anchor = fits(label, x1 - x0) ? { x: x0 + 5, as: "start" } : beside;
  const never = fired && again === undefined;
  const waits = never
    ? { from: Math.max(x1, anchor.as === "start" ? anchor.x + wide + 4 : x1), to: right }
    : { from: x1, to: x2 };
  return html`<g><title>${faultTitle(span, cluster)}</title><rect class="fault ${colourOf(span.fault)}${fired ? "" : " unfired"}" x="${px(x0)}" y="${y + 1}" width="${px(x1 - x0)}" height="16" rx="2"/>${waits.to > waits.from + 1 ? html`<line class="again" x1="${px(waits.from)}" x2="${px(waits.to)}" y1="${y + 9}" y2="${y + 9}"/>` : ""}<text class="fault-name" x="${px(anchor.x)}" y="${y + 13}" text-anchor="${anchor.as}">${label}</text></g>`;
}

function faultTitle(span: ClusterFaultSpan, { members }: ClusterResults): string {
  const words = faultWords(span, members);
  if (span.evidence === undefined) return `${words} was armed ${during(span)} and did not fire`;
  const again =
    span.servingAgainMs === undefined
      ? "no write was acknowledged any more"
      : `a write was acknowledged ${duration(span.servingAgainMs * 1e6)} later`;
  return `${words} ${during(span)}; unavailable for ${duration(span.unavailableMs * 1e6)} of it; ${again}`;
}

/** A hairline through all lanes where a fault fired; none where there are too many to tell apart. */
function faultMarks(
  cluster: ClusterResults,
  { window, x }: Scale,
  colourOf: (fault: string) => string,
  top: number,
  bottom: number,
): Markup[] {
  const fired = firedOf(cluster).filter(({ from }) => from >= window.from && from <= window.to);
  if (fired.length > marksMax) return [];
  return fired.map((span) => {
    const at = px(x(span.from));
    return html`<line class="fault-mark ${colourOf(span.fault)}" x1="${at}" x2="${at}" y1="${top}" y2="${bottom}"/>`;
  });
}

type Slice = ClusterResults["availability"][number];

/** Stacked per slice. Reads of every member at the end of a round are many more: they are cut off at the top. */
function availability(cluster: ClusterResults, scale: Scale, y: number): Markup {
  const slices = cluster.availability.filter((slice) => touches(slice, scale.window));
  const loaded = slices.filter((slice) => isLoaded(slice, cluster));
  const most = Math.max(1, ...loaded.map(({ ok, fail, info }) => ok + fail + info));
  const base = y + availabilityHeight;
  const height = (value: number) => Math.min(availabilityHeight, (value / most) * availabilityHeight);
  const box = (slice: Slice, from: number, to: number) => {
    const { x0, x1 } = extent(slice, scale, 0.2);
    return `M${px(x0)} ${px(base - from)}h${px(x1 - x0)}V${px(base - to)}H${px(x0)}z`;
  };
  const part = (below: (slice: Slice) => number, own: (slice: Slice) => number) =>
    slices
      .filter((slice) => own(slice) > 0)
      .map((slice) => {
        const from = height(below(slice));
        return box(slice, from, Math.max(from + 1.5, height(below(slice) + own(slice))));
      })
      .join("");
  const perSecond = slices[0] ? most / ((slices[0].to - slices[0].from) / 1e9) : 0;
  return html`<text class="lane-name" x="0" y="${y + 10}">operations</text><text class="lane-note" x="0" y="${y + 26}">top: ${count(Math.round(perSecond))}/s</text>
<path class="ok" d="${part(
    () => 0,
    ({ ok }) => ok,
  )}"/><path class="info" d="${part(
    ({ ok }) => ok,
    ({ info }) => info,
  )}"/><path class="fail" d="${part(
    ({ ok, info }) => ok + info,
    ({ fail }) => fail,
  )}"/>
<line class="lane-line" x1="${left}" x2="${right}" y1="${base}" y2="${base}"/>
${hovers(slices, scale, y)}
${silences(loaded).map((silence) => silenceMark(silence, scale, base))}`;
}

function isLoaded(slice: Span, { phases: all }: ClusterResults): boolean {
  const middle = (slice.from + slice.to) / 2;
  return all.some(({ phase, from, to }) => phase !== "reads" && middle >= from && middle <= to);
}

/** Slices under load, one after the other, in which nothing was acknowledged. */
function silences(loaded: readonly Slice[]): Span[] {
  const spans: { from: number; to: number }[] = [];
  for (const { from, to, ok } of loaded) {
    const last = spans.at(-1);
    if (ok > 0) continue;
    if (last && from - last.to < 1) last.to = to;
    else spans.push({ from, to });
  }
  return spans.filter(({ from, to }) => to - from >= gapNsLeast - 1);
}

function silenceMark(silence: Span, scale: Scale, base: number): Markup {
  const { x0, x1 } = extent(silence, scale);
  const text = duration(silence.to - silence.from);
  return html`<g><title>nothing was acknowledged ${during(silence)}, to the nearest slice</title><rect class="silence" x="${px(x0)}" y="${base + 2}" width="${px(x1 - x0)}" height="6"/>${fits(text, x1 - x0) ? html`<text class="silence-text" x="${px((x0 + x1) / 2)}" y="${base - 6}" text-anchor="middle">${text}</text>` : ""}</g>`;
}

/** Columns that tell their numbers to a pointer: several slices each where there are many. */
function hovers(slices: readonly Slice[], scale: Scale, y: number): Markup[] {
  const each = Math.max(1, Math.ceil(slices.length / hoverColumns));
  const columns: Markup[] = [];
  for (let at = 0; at < slices.length; at += each) {
    const own = slices.slice(at, at + each);
    const sum = (of: (slice: Slice) => number) => own.reduce((total, slice) => total + of(slice), 0);
    const total = sum(({ ok, fail, info }) => ok + fail + info);
    if (total === 0) continue;
    const span = { from: own[0]!.from, to: own.at(-1)!.to };
    const { x0, x1 } = extent(span, scale, 1);
    columns.push(
      html`<rect class="hover" x="${px(x0)}" y="${y}" width="${px(x1 - x0)}" height="${availabilityHeight}"><title>${moment(span.from)} to ${moment(span.to)}: ${count(sum(({ ok }) => ok))} acknowledged, ${count(sum(({ info }) => info))} unknown, ${count(sum(({ fail }) => fail))} failed</title></rect>`,
    );
  }
  return columns;
}

function memberLane({ name, bars }: Lane, y: number, scale: Scale): Markup {
  return html`<text class="lane-name" x="0" y="${y + 17}">${name}</text><line class="runs" x1="${left}" x2="${right}" y1="${y + 13}" y2="${y + 13}"/>${bars.map((bar) => laneBar(bar, y + 4, 18, scale))}
`;
}

function linkLane({ name, bars }: Lane, y: number, scale: Scale): Markup {
  return html`<text class="lane-name" x="0" y="${y + 14}">${name}</text><line class="lane-line" x1="${left}" x2="${right}" y1="${y + 10}" y2="${y + 10}"/>${bars.map((bar) => laneBar(bar, y + 2, 16, scale))}
`;
}

function laneBar(bar: LaneBar, y: number, height: number, scale: Scale): Markup {
  const { x0, x1 } = extent(bar, scale);
  const half = bar.half !== undefined;
  const top = bar.half === "lower" ? y + height / 2 : y;
  const several = bar.of !== undefined && bar.of > 1;
  const labels = several ? [`${count(bar.of)}×`] : bar.labels;
  const title = several
    ? `${count(bar.of)} in a row, ${during(bar)}; the first: ${bar.title()}`
    : bar.title();
  const label = half ? undefined : labels.find((one) => one !== "" && fits(one, x1 - x0));
  const narrow = x1 - x0 < 8 ? " narrow" : "";
  return html`<g><title>${title}</title><rect class="lane-bar ${bar.as}${narrow}" x="${px(x0)}" y="${px(top)}" width="${px(x1 - x0)}" height="${half ? height / 2 : height}" rx="2"/>${label === undefined ? "" : html`<text class="lane-label ${bar.as}" x="${px(x0 + 5)}" y="${y + height - 5}">${label}</text>`}</g>`;
}

function splitBrains(cluster: ClusterResults, scale: Scale, top: number, bottom: number): Markup[] {
  return cluster.measured.splitBrain
    .filter((span) => touches(span, scale.window))
    .slice(0, 60)
    .map((span) => {
      const { x0, x1 } = extent(span, scale, 3);
      const names = span.members.map((name) => visibleLine(name, 16)).join(" and ");
      const end = x0 > width - 130;
      return html`<g><title>${names} both led ${during(span)} and acknowledged ${counted(span.writes, "write")} meanwhile</title><rect class="split" x="${px(x0)}" y="${top}" width="${px(x1 - x0)}" height="${bottom - top}"/><text class="split-text" x="${px(end ? x1 : x0)}" y="${top - 3}" text-anchor="${end ? "end" : "start"}">two leaders</text></g>`;
    });
}

function fits(text: string, room: number): boolean {
  return text.length * letter + 9 <= room;
}
