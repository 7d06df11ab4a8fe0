/**
 * The crash states that were explored: one table a profile (scenes with their crash points, states possible, distinct,
 * recovered, judged, left out and why), and each finding with what was on the disk and what was not. The finding that was
 * made smallest comes first.
 */
import type {
  CrashStateFinding,
  ExplorationResults,
  ExploredScene,
  RunResults,
  ShrunkFinding,
} from "../../harness/results.ts";
import { exploredWord, statesOf } from "../verdict-words.ts";
import {
  asked,
  count,
  counted,
  duration,
  ended,
  possibleStates,
  valueText,
  verdictWord,
  visibleLine,
  wordsOf,
} from "../wording.ts";
import { html, type Markup } from "./markup.ts";

const findingsShown = 8;
const linesShown = 12;
const requestsShown = 40;

/** Empty when nothing was explored. */
export function explorations(results: RunResults): Markup {
  const explored = results.explorations ?? [];
  if (explored.length === 0) return html``;
  return html`<section aria-labelledby="crash-states"><h2 id="crash-states">Crash states</h2>
<p class="quiet">What the disk may hold after power was lost at each point of the traced run, rebuilt from its trace as the profile allows, recovered by the store's own recovery, and judged against what had been acknowledged by then.</p>
${explored.map(exploration)}</section>`;
}

/** The crash state that the first finding is about; undefined when it is about none. */
function firstCrashState({ findings: [first], explorations: explored = [] }: RunResults) {
  if (!first) return undefined;
  const all = explored.flatMap(({ findings }) => findings);
  return all.find(({ kind, sentence }) => kind === first.kind && sentence === first.sentence);
}

/** The smallest run that shows the first finding, when it was made smaller: what a person should read first. */
export function smallestOf(results: RunResults): Markup {
  const finding = firstCrashState(results);
  return finding?.shrunk ? html`<div class="crash-state">${smallest(finding)}</div>` : html``;
}

/** What was on the disk and what was not, for the counterexample as it was found. */
export function crashStateOf(results: RunResults): Markup {
  const finding = firstCrashState(results);
  return finding ? html`<div class="crash-state">${onAndOff(finding)}</div>` : html``;
}

function exploration(explored: ExplorationResults): Markup {
  const word = exploredWord(explored);
  // What was found nowhere, but not looked for everywhere, has no verdict's colour.
  const tone = word === verdictWord(explored.verdict) ? `${word.toLowerCase()}-word` : "unknown-word";
  const run = Object.entries(explored.run)
    .map(([name, value]) => `${count(value)} ${wordsOf(name)}`)
    .join(" · ");
  const recovered = statesOf(explored);
  const rate = explored.elapsedMs > 0 ? (recovered * 1000) / explored.elapsedMs : 0;
  return html`<h3>${explored.profile} <span class="word ${tone}">${word}</span></h3>
${explored.reasons.length > 0 ? html`<ul>${explored.reasons.slice(0, 6).map((reason) => html`<li>${visibleLine(reason, 400)}</li>`)}</ul>` : ""}
<div class="scroll"><table><thead><tr><th>scene</th><th class="number">crash points explored</th><th class="number">states possible</th><th class="number">distinct</th><th class="number">recovered</th><th class="number">judged</th><th>left out, and why</th></tr></thead><tbody>${explored.scenes.map(sceneRow)}</tbody></table></div>
<p class="quiet">${counted(recovered, "state")} recovered and judged in ${duration(explored.elapsedMs * 1e6)}${rate >= 1 ? ` (${count(Math.round(rate))} a second)` : ""}; acknowledgements placed ${explored.acknowledgements === "traced" ? "by the bytes of their replies in the trace" : "by the clients' clock (weak: one that came too early by less than a client's lag is not seen)"}. The traced run: ${run}.</p>
${explored.findings.slice(0, findingsShown).map(crashStateFinding)}
${explored.findings.length > findingsShown ? html`<p class="quiet">… and ${counted(explored.findings.length - findingsShown, "more finding")}, in results.json.</p>` : ""}`;
}

function sceneRow(scene: ExploredScene): Markup {
  const left = scene.leftOut
    .map(({ why, count: many }) => (many === null ? why : `${count(many)}: ${why}`))
    .join("; ");
  return html`<tr><td>${scene.name}</td><td class="number">${count(scene.crashPointsExplored)} of ${count(scene.crashPoints)}</td><td class="number">${possibleStates(scene.statesPossible)}</td><td class="number">${count(scene.distinct)}</td><td class="number">${count(scene.recovered)}</td><td class="number">${count(scene.judged)}</td><td>${left === "" ? "nothing" : visibleLine(left, 300)}</td></tr>
`;
}

function crashStateFinding(finding: CrashStateFinding): Markup {
  return html`<div class="crash-finding"><p><span class="kind">${finding.kind}</span> ${visibleLine(finding.sentence, 500)}</p>
<p class="quiet">${finding.scene}, after event ${finding.event} of the trace; found after ${counted(finding.statesUntilFound, "state")} and ${duration(finding.secondsUntilFound * 1e9)}${(finding.count ?? 1) > 1 ? `; seen ${count(finding.count!)} times` : ""}. Replay: <code>${visibleLine(finding.replay, 400)}</code></p>
${onAndOff(finding)}${finding.shrunk ? html`<details><summary>Made smaller: ${counted(finding.shrunk.requests.length, "operation")}</summary>${smallest(finding)}</details>` : ""}</div>`;
}

/** What had reached the disk and what had not: the two lists that make the state. */
function onAndOff(finding: CrashStateFinding): Markup {
  return html`<div class="on-and-off">${lines("Not on the disk", finding.notOnDisk)}${lines("On the disk, though not synced", finding.onDisk)}</div>`;
}

function lines(title: string, sentences: readonly string[]): Markup {
  const more = sentences.length - linesShown;
  return html`<div><h4>${title}</h4>${sentences.length === 0 ? html`<p class="quiet">nothing</p>` : html`<ul>${sentences.slice(0, linesShown).map((sentence) => html`<li>${visibleLine(sentence, 300)}</li>`)}</ul>`}${more > 0 ? html`<p class="quiet">… and ${count(more)} more</p>` : ""}</div>`;
}

function smallest(finding: CrashStateFinding): Markup {
  const { shrunk } = finding;
  if (!shrunk) return html``;
  const inside = shrunk.finding;
  return html`<h3>The smallest run that shows it</h3>
<p class="quiet">${madeSmaller(shrunk)}</p>
<ol class="code">${shrunk.requests
    .slice(0, requestsShown)
    .map(
      ({ client, f, key, value }) =>
        html`<li>client ${client}: ${visibleLine(f, 30)} ${visibleLine(key, 60)} ${value === undefined || value === null ? "" : valueText(value)}</li>`,
    )}</ol>${shrunk.requests.length > requestsShown ? html`<p class="quiet">… and ${count(shrunk.requests.length - requestsShown)} more</p>` : ""}
<p>In that run's trace, under ${inside.profile}: ${visibleLine(inside.sentence, 500)}</p>
<p class="code">${inside.operations
    .slice(0, 6)
    .map((operation) => `client ${operation.process} ${asked(operation, true)} ${ended(operation)}`)
    .join(" · ")}</p>
${onAndOff(inside)}<p class="quiet">Replay: <code>${visibleLine(inside.replay, 400)}</code></p>`;
}

/** One sentence about how it was made smaller. */
export function madeSmaller(shrunk: ShrunkFinding): string {
  const how = `${counted(shrunk.requests.length, "operation")} from ${counted(shrunk.clients, "client")}, out of ${count(shrunk.operationsBefore)}: the smallest of ${counted(shrunk.trials, "run")} tried in ${duration(shrunk.elapsedMs * 1e6)}`;
  return shrunk.minimal ? how : `${how} (the time for it was over, so it may still be made smaller)`;
}
