/**
 * The section of a run of a cluster: one picture over the whole run, the rounds in which most went wrong drawn larger,
 * then in numbers every fault and how long it took to serve again, what was measured and whether it is held against the
 * store, and what each link carried. A link that carried nothing was not tested, and is named.
 */
import type { ClusterFaultSpan, ClusterResults, RunResults, Span } from "../../harness/results.ts";
import {
  firedOf,
  leaderWords,
  linksWords,
  measurements,
  networkWords,
  placeOf,
  servingAgainWords,
  stormsWords,
  unavailableWords,
} from "../cluster-words.ts";
import { bytes, count, counted, duration, medianAndMax, moment, visibleLine } from "../wording.ts";
import { linkLanes } from "./cluster-lanes.ts";
import { messagesAround } from "./cluster-messages.ts";
import { colours, picture, wholeRun } from "./cluster-picture.ts";
import { html, type Markup } from "./markup.ts";

const barsShown = 700;
const roundsShown = 6;
const faultsListed = 12;
const faultsShown = 200;
const observedShown = 8;
const silentShown = 24;
const clientsNamed = 12;
const linksShown = 120;

/** Nothing when the run is not of a cluster. `share`: of the bars, rounds and rows, for a page that would weigh too much. */
export function clusterSection(results: RunResults, share = 1): Markup {
  const { pair } = results;
  if (!pair) return sectionOf(results, share, "Cluster over time", !pictureFirst(results));
  // Its picture is never the first thing: that is the store's own.
  const own = { ...results, cluster: pair.cluster };
  return sectionOf(own, share, `The cluster beside it: ${pair.store}`, true);
}

function sectionOf(results: RunResults, share: number, heading: string, withPicture: boolean): Markup {
  const { cluster } = results;
  if (!cluster) return html``;
  return html`<section class="cluster" aria-labelledby="cluster"><h2 id="cluster">${heading}</h2>
<p class="quiet">${counted(cluster.members.length, "member")} on ${networkWords(cluster)}: ${stormsWords(cluster)}; ${leaderWords(cluster)}. ${linksNote(cluster)}</p>
${withPicture ? clusterPicture(cluster, share) : ""}
${rounds(cluster, share)}
<h3 id="cluster-faults">Faults, and when it served again</h3>
${faultTables(cluster, share)}
${messagesAround(results, cluster)}
<h3>What was measured</h3>
${measuredTable(results, cluster)}
<h3>What the links carried</h3>
${traffic(cluster, share)}
</section>
`;
}

/** True when the first finding has no operations to show: the picture of the cluster is then what shows it. */
export function pictureFirst({ cluster, findings }: RunResults): boolean {
  return cluster !== undefined && findings[0]?.operations.length === 0;
}

/** The whole run, with its legend. */
export function clusterPicture(cluster: ClusterResults, share: number): Markup {
  return html`${legend(cluster)}
${picture(cluster, wholeRun(cluster), { barsMax: Math.ceil(barsShown * share), label: "The cluster over the whole run" })}`;
}

function linksNote(cluster: ClusterResults): string {
  const { lanes, leftOut, grouped } = linkLanes(cluster, colours(cluster));
  if (lanes.length === 0) return "No fault acted on a link, so no link has a lane.";
  return `Links on which no fault acted have no lane.${grouped ? " Where links share a lane, its upper half is there, its lower half back." : ""}${leftOut > 0 ? ` Not drawn: ${counted(leftOut, "more lane")} of links.` : ""}`;
}

function legend(cluster: ClusterResults): Markup {
  const entry = (classes: string, words: string) =>
    html`<span><svg class="cluster" width="26" height="14" aria-hidden="true"><rect class="${classes}" x="1" y="1" width="24" height="12" rx="2"/></svg>${words}</span>`;
  const line = (classes: string, words: string) =>
    html`<span><svg class="cluster" width="26" height="14" aria-hidden="true"><line class="${classes}" x1="1" x2="25" y1="7" y2="7"/></svg>${words}</span>`;
  const states = new Set(cluster.memberStates.map(({ state }) => state));
  const unfired = cluster.faults.some(({ evidence }) => evidence === undefined);
  return html`<p class="legend">${entry("phase storm", "storm")}${entry("phase calm", "calm: no fault, it must serve")}${entry("phase reads", "reads of every member")}${entry("fault f6", "fault, until healed")}${unfired ? entry("fault f6 unfired", "armed, did not fire") : ""}${line("again", "healed, until a write was acknowledged")}${entry("ok", "acknowledged")}${entry("info", "outcome unknown")}${entry("fail", "failed")}${entry("silence", "nothing acknowledged")}${entry("lane-bar leads", "leads")}${(["down", "paused", "starting"] as const).filter((state) => states.has(state)).map((state) => entry(`lane-bar ${state}`, state))}${line("runs", "runs")}${cluster.measured.splitBrain.length > 0 ? entry("split", "two leaders acknowledged writes") : ""}</p>`;
}

interface Round extends Span {
  readonly round: number;
  readonly faults: number;
  /** ms; how bad it was. */
  readonly unavailableMs: number;
}

/** The rounds in which two led or it was unavailable longest, each as a picture of its own, in order. */
function rounds(cluster: ClusterResults, share: number): Markup {
  const all = roundsOf(cluster);
  const most = Math.floor(roundsShown * share);
  if (all.length < 2 || most === 0) return html``;
  const worst = [...all]
    .sort((a, b) => b.unavailableMs - a.unavailableMs || a.round - b.round)
    .slice(0, most);
  const shown = all.filter((round) => worst.includes(round));
  const which =
    shown.length < all.length
      ? `The ${count(shown.length)} worst of ${counted(all.length, "round")}, larger`
      : "Round by round, larger";
  return html`<details><summary>${which}</summary>${shown.map(
    (round) => html`<h4>Round ${round.round}: ${counted(round.faults, "fault")}</h4>
${picture(cluster, round, { barsMax: Math.ceil(barsShown * share * 0.4), label: `Round ${round.round} of the cluster` })}`,
  )}</details>`;
}

function roundsOf({ phases, faults, measured }: ClusterResults): Round[] {
  const numbers = [...new Set(phases.map(({ round }) => round))];
  return numbers.map((round) => {
    const own = phases.filter((phase) => phase.round === round);
    const from = Math.min(...own.map((phase) => phase.from));
    const to = Math.max(...own.map((phase) => phase.to));
    const inside = faults.filter((span) => span.from >= from && span.from <= to);
    const split = measured.splitBrain.some((span) => span.from <= to && span.to >= from);
    const lasting = inside.map(
      ({ unavailableMs, servingAgainMs }) => unavailableMs + (servingAgainMs ?? 60_000),
    );
    return {
      ...{ round, from: from - (to - from) * 0.02, to: to + (to - from) * 0.02, faults: inside.length },
      unavailableMs: split ? Number.MAX_VALUE : lasting.reduce((sum, ms) => sum + ms, 0),
    };
  });
}

function faultTables(cluster: ClusterResults, share: number): Markup {
  const { faults } = cluster;
  if (faults.length === 0) return html`<p>No fault was armed.</p>`;
  const again = servingAgainWords(cluster);
  const meanwhile = unavailableWords(cluster);
  const summary = html`<p>${again === "" ? "" : `Serving again: ${again}. `}${meanwhile === "" ? "" : `Unavailable ${meanwhile}.`}</p>`;
  if (faults.length <= faultsListed) return html`${summary}${faultTable(faults, cluster)}`;
  const shown = faults.slice(0, Math.ceil(faultsShown * share));
  return html`${summary}${kindTable(cluster)}<details><summary>${shown.length < faults.length ? `The first ${count(shown.length)} of ${counted(faults.length, "fault")}` : `All ${counted(faults.length, "fault")}`}, one by one</summary>${faultTable(shown, cluster)}</details>`;
}

function faultTable(faults: readonly ClusterFaultSpan[], cluster: ClusterResults): Markup {
  const roundAt = (time: number) =>
    cluster.phases.find(({ from, to }) => time >= from && time <= to)?.round ??
    cluster.phases.findLast(({ from }) => from <= time)?.round;
  return html`<div class="scroll"><table class="cluster"><thead><tr><th>fault</th><th>on</th><th class="number">round</th><th class="number">fired</th><th class="number">lasted</th><th class="number">unavailable</th><th class="number">serving again after</th></tr></thead><tbody>${faults.map((span) => faultRow(span, cluster, roundAt(span.from)))}</tbody></table></div>`;
}

function faultRow(span: ClusterFaultSpan, { members }: ClusterResults, round: number | undefined): Markup {
  const fired = span.evidence !== undefined;
  const again = span.servingAgainMs === undefined ? "never" : duration(span.servingAgainMs * 1e6);
  return html`<tr><td>${visibleLine(span.fault, 40)}</td><td${span.links.length > 4 ? html` title="${visibleLine(span.links.join(" "), 400)}"` : ""}>${onWords(span, members)}</td><td class="number">${round === undefined ? "—" : count(round)}</td><td class="number">${fired ? moment(span.from) : "did not fire"}</td><td class="number">${duration(span.to - span.from)}</td><td class="number">${fired ? (span.unavailableMs === 0 ? "never" : duration(span.unavailableMs * 1e6)) : "—"}</td><td class="number${fired && span.servingAgainMs === undefined ? " violation-word" : ""}">${fired ? again : "—"}</td></tr>
`;
}

function onWords(span: ClusterFaultSpan, members: readonly string[]): string {
  const place = placeOf(span, members);
  if (place === "cluster") return "the whole cluster";
  if (place === "member") return visibleLine(span.target, 20);
  return span.links.length === 0 ? "the network" : linksWords(span.links, members, 6);
}

/** One row for each kind of fault, for a run of many. */
function kindTable(cluster: ClusterResults): Markup {
  const names = [...new Set(cluster.faults.map(({ fault }) => fault))];
  const rows = names.map((name) => {
    const own = cluster.faults.filter(({ fault }) => fault === name);
    const fired = firedOf({ ...cluster, faults: own });
    const again = fired.flatMap(({ servingAgainMs }) =>
      servingAgainMs === undefined ? [] : [servingAgainMs],
    );
    const unavailable = fired.map(({ unavailableMs }) => unavailableMs);
    const never = fired.length - again.length;
    return html`<tr><td>${visibleLine(name, 40)}</td><td class="number">${count(fired.length)} of ${count(own.length)}</td><td>${spread(unavailable)}</td><td>${spread(again)}${never > 0 ? html` <span class="violation-word">never after ${count(never)}</span>` : ""}</td></tr>
`;
  });
  return html`<div class="scroll"><table class="cluster"><thead><tr><th>fault</th><th class="number">fired</th><th>unavailable</th><th>serving again after</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function spread(valuesMs: readonly number[]): string {
  return valuesMs.length === 0 ? "—" : medianAndMax(valuesMs, "fault");
}

function measuredTable(results: RunResults, cluster: ClusterResults): Markup {
  const { observed } = cluster.measured;
  const shown = observed.slice(0, observedShown);
  return html`<div class="scroll"><table class="cluster"><tbody>${measurements(results, cluster).map(
    ({ what, words, seen, held }) =>
      html`<tr><th scope="row">${what}</th><td>${words}</td><td class="${held.includes("not ") || held === "" ? "quiet" : "violation-word"}">${seen ? held : ""}</td></tr>
`,
  )}</tbody></table></div>
<p class="quiet">Lost: insertions into sets and lists that were acknowledged and that no member has at the end. Stale: reads that returned what had been overwritten before they were sent. Split brain: two members that said at once that they lead, and both acknowledged writes meanwhile.</p>
${shown.length === 0 ? "" : html`<details open><summary>Observed, and not held against a store that does not promise otherwise</summary><ul>${shown.map((said) => html`<li>${visibleLine(said, 400)}</li>`)}</ul>${observed.length > shown.length ? html`<p class="quiet">… and ${count(observed.length - shown.length)} more, in results.json.</p>` : ""}</details>`}`;
}

/** A matrix from row to column, all clients together; then the silent links, and every link by itself. */
function traffic(cluster: ClusterResults, share: number): Markup {
  const links = Object.entries(cluster.traffic);
  if (links.length === 0) return html`<p>Nothing was counted.</p>`;
  const ends = [...cluster.members, "clients"];
  const endOf = (name: string) => (cluster.members.includes(name) ? name : "clients");
  const sums = new Map<string, { bytes: number; connections: number }>();
  for (const [link, carried] of links) {
    const key = link.split(">").map(endOf).join(">");
    const sum = sums.get(key) ?? { bytes: 0, connections: 0 };
    sums.set(key, { bytes: sum.bytes + carried.bytes, connections: sum.connections + carried.connections });
  }
  const cell = (from: string, to: string) => {
    const sum = sums.get(`${from}>${to}`);
    if (!sum) return html`<td class="number quiet">·</td>`;
    return html`<td class="number${sum.bytes === 0 ? " silent" : ""}" title="${visibleLine(`${from} → ${to}: ${counted(sum.connections, "connection")} opened`, 120)}">${sum.bytes === 0 ? "nothing" : bytes(sum.bytes)}</td>`;
  };
  return html`<div class="scroll"><table class="traffic"><thead><tr><th>from ↓ to →</th>${ends.map((end) => html`<th class="number">${visibleLine(end, 20)}</th>`)}</tr></thead><tbody>${ends.map((from) => html`<tr><th scope="row">${visibleLine(from, 20)}</th>${ends.map((to) => cell(from, to))}</tr>`)}</tbody></table></div>
${silentLinks(cluster)}
${everyLink(links.slice(0, Math.ceil(linksShown * share)), links.length)}`;
}

function silentLinks(cluster: ClusterResults): Markup {
  const silent = Object.entries(cluster.traffic)
    .filter(([, carried]) => carried.bytes === 0)
    .map(([link]) => link);
  const struck = new Set(firedOf(cluster).flatMap(({ links }) => links));
  const untested = silent.filter((link) => struck.has(link));
  if (silent.length === 0) return html`<p class="quiet">Every link carried something.</p>`;
  return html`<p>${counted(silent.length, "link")} carried nothing: ${linksWords(silent, cluster.members, silentShown, clientsNamed)}.${untested.length > 0 ? html` <strong class="unknown-word">A fault acted on ${untested.length === 1 ? "one of them" : `${count(untested.length)} of them`} and showed nothing there: ${linksWords(untested, cluster.members, silentShown, clientsNamed)}.</strong>` : ""}</p>`;
}

function everyLink(
  links: readonly (readonly [string, { bytes: number; connections: number }])[],
  of: number,
): Markup {
  return html`<details><summary>${links.length < of ? `The first ${count(links.length)} of ${counted(of, "link")}` : `All ${counted(of, "link")}`}, one by one</summary><div class="scroll"><table class="traffic"><thead><tr><th>link</th><th class="number">connections opened</th><th class="number">carried</th></tr></thead><tbody>${links.map(([link, carried]) => html`<tr><td>${visibleLine(link.replace(">", " → "), 60)}</td><td class="number">${count(carried.connections)}</td><td class="number">${carried.bytes === 0 ? "nothing" : bytes(carried.bytes)}</td></tr>`)}</tbody></table></div></details>`;
}
