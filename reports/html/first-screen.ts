/**
 * What a person sees before scrolling: the verdict in words, the counterexample if there is one, what was tested, what
 * was done to it and how often, what was not covered, the worst thing seen, and the line that replays it.
 */
import type { ClusterResults, FaultTally, NotCovered, RunResults } from "../../harness/results.ts";
import { firedOf, measurements, networkWords, servingAgainWords, stormsOf } from "../cluster-words.ts";
import { crashSentence, verdictLine, verdictSentence } from "../verdict-words.ts";
import { count, counted, duration, medianAndMax, verdictWord, visibleLine, wordsOf } from "../wording.ts";
import { clusterPicture, pictureFirst } from "./cluster.ts";
import { counterexample, type Surroundings } from "./counterexample.ts";
import { crashStateOf, smallestOf } from "./exploration.ts";
import { html, type Markup, trusted } from "./markup.ts";

const notCoveredShown = 6;

/** `share`: of what a page that would weigh too much shows. */
export function firstScreen(results: RunResults, surroundings: Surroundings, share = 1): Markup {
  const finding = results.findings[0];
  return html`<header>${verdictBanner(results)}</header>
<main id="main">${smallestOf(results)}${finding ? counterexample(finding, surroundings) : ""}${pictureFirst(results) ? clusterPicture(results.cluster!, share) : ""}${crashStateOf(results)}
<div class="cards">
${card("What was tested", tested(results))}
${card("What was done to it", done(results))}
${card("What was not covered", notCovered(results.notCovered))}
${card("Worst thing seen", worst(results))}
${card(results.cluster ? "What the storms say" : "What the crashes say", crashes(results))}
${card("How much to trust it", trust(results))}
<section class="card wide"><h2>Replay</h2><code id="replay">${visibleLine(results.replay, 2000)}</code><button type="button" data-copy="replay">Copy</button></section>
</div>`;
}

export function card(title: string, content: Markup): Markup {
  return html`<section class="card"><h2>${title}</h2>${content}</section>`;
}

function verdictBanner(results: RunResults): Markup {
  const word = verdictWord(results.verdict);
  const run = [
    `acked ${visibleLine(results.command, 40)}`,
    `seed ${results.seed}`,
    results.startedAt === "" ? "" : results.startedAt.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC"),
    results.elapsedMs > 0 ? duration(results.elapsedMs * 1e6) : "",
    visibleLine(results.runDir, 300),
  ];
  const more = results.findings.length - 1;
  const sentence = `${verdictSentence(results)}${more > 0 ? ` (and ${counted(more, "more finding")}: see the table of checks)` : ""}`;
  const interrupted = results.interrupted ? ["Interrupted before its time was up"] : [];
  return banner(word, verdictLine(results), sentence, [...interrupted, ...run]);
}

/** The verdict as a heading with its colour and icon, one sentence, and small print. */
export function banner(
  word: "PASS" | "VIOLATION" | "UNKNOWN",
  heading: string,
  sentence: string,
  small: readonly string[],
): Markup {
  return html`<div class="verdict ${word.toLowerCase()}">${icons[word]}<h1>${heading}</h1><p>${sentence}</p><p class="run">${small.filter(Boolean).join(" · ")}</p></div>`;
}

const icons: Readonly<Record<string, Markup>> = {
  PASS: trusted(
    '<svg viewBox="0 0 40 40" aria-hidden="true"><circle cx="20" cy="20" r="18"/><path d="M12 21l6 6 11-13"/></svg>',
  ),
  VIOLATION: trusted(
    '<svg viewBox="0 0 40 40" aria-hidden="true"><circle cx="20" cy="20" r="18"/><path d="M13 13l14 14M27 13L13 27"/></svg>',
  ),
  UNKNOWN: trusted(
    '<svg viewBox="0 0 40 40" aria-hidden="true"><circle cx="20" cy="20" r="18"/><path d="M14.5 15.5a5.6 5.6 0 1 1 8 5.2c-1.800.9-2.500 1.800-2.500 3.500"/><circle class="dot" cx="20" cy="29.500" r="2"/></svg>',
  ),
};

function tested(results: RunResults): Markup {
  const { store, durability, workloads, clients, promise } = results;
  const version = store.version === undefined ? "" : ` ${visibleLine(store.version, 60)}`;
  return html`<p><strong>${visibleLine(store.name, 80)}</strong>${version}, durability mode <strong>${durability}</strong></p>
<p>${counted(clients, "client")}, ${workloads.length === 0 ? "workloads not recorded" : html`workloads ${workloads.join(", ")}`}</p>
<blockquote>${visibleLine(promise, 500)}</blockquote>`;
}

function done(results: RunResults): Markup {
  const { counts, faults } = results;
  const fired = faults.reduce((sum, fault) => sum + fault.fired, 0);
  const did = results.cluster
    ? html`<p>${clusterDone(results.cluster)}, while ${counted(counts.operations ?? 0, "operation")} ran.</p>`
    : html`<p>${counted(fired, "fault")} fired, ${counted(counts.crashes ?? 0, "crash", "crashes")}, ${counted(counts.restarts ?? 0, "restart")}${counts.epochs === undefined ? "" : `, ${counted(counts.epochs, "data directory", "data directories")}`}, while ${counted(counts.operations ?? 0, "operation")} ran.</p>`;
  return html`${did}
${faults.length === 0 ? html`<p class="quiet">No fault was planned.</p>` : html`<ul class="chips">${faults.map(chip)}</ul><p class="quiet">fired / planned</p>`}`;
}

function clusterDone(cluster: ClusterResults): string {
  return `${counted(cluster.members.length, "member")} on ${networkWords(cluster)}, ${counted(stormsOf(cluster), "storm")}, ${counted(firedOf(cluster).length, "fault")} fired`;
}

function chip(fault: FaultTally): Markup {
  const words =
    fault.fired < fault.armed ? "armed, did not fire" : fault.fired < fault.planned ? "not reached" : "";
  return html`<li class="${words === "" ? "" : "short"}">${visibleLine(fault.name, 40)} ${fault.fired}/${fault.planned}${words === "" ? "" : ` ${words}`}</li>`;
}

/** Entries with the same reason share an item. */
function notCovered(entries: readonly NotCovered[]): Markup {
  if (entries.length === 0) return html`<p>Nothing that was asked for was left out.</p>`;
  const byReason = new Map<string, NotCovered[]>();
  for (const entry of entries) {
    const reason = JSON.stringify([entry.why, entry.remedy]);
    const own = byReason.get(reason);
    if (own) own.push(entry);
    else byReason.set(reason, [entry]);
  }
  const items = [...byReason.values()].map(notCoveredItem);
  const rest = items.slice(notCoveredShown);
  return html`<ul>${items.slice(0, notCoveredShown)}</ul>${rest.length === 0 ? "" : html`<details><summary>${counted(rest.length, "more reason")}</summary><ul>${rest}</ul></details>`}`;
}

function notCoveredItem(entries: readonly NotCovered[]): Markup {
  const { why, remedy } = entries[0]!;
  const names = entries.map((entry) => visibleLine(entry.what, 80)).join(", ");
  return html`<li><strong>${names}</strong>: ${visibleLine(why, 200)}${remedy === undefined ? "" : html` <span class="quiet">→ ${visibleLine(remedy, 200)}</span>`}</li>`;
}

function worst(results: RunResults): Markup {
  const { quiet, duringFaults } = results.responseTimes;
  const line = (name: string, times: typeof quiet) =>
    times.count === 0
      ? html``
      : html`<p class="quiet">response time ${name}: p50 ${duration(times.p50)}, p99 ${duration(times.p99)}, max ${duration(times.max)}</p>`;
  return html`<p>${visibleLine(results.worst, 400)}</p>${results.cluster ? html`<ul>${measurements(results, results.cluster).map(({ what, words, held }) => html`<li>${what}: ${words}${held === "" ? "" : html` <span class="quiet">${held}</span>`}</li>`)}</ul>` : ""}${line("quiet", quiet)}${line("during faults", duringFaults)}`;
}

function crashes(results: RunResults): Markup {
  const recovery = medianAndMax(results.recoveryMs, "restart");
  const unavailable = medianAndMax(results.unavailableMs, "graceful stop");
  const again = results.cluster ? servingAgainWords(results.cluster) : "";
  return html`<p>${crashSentence(results)}</p>${again === "" ? "" : html`<p class="quiet">serving again: ${again}</p>`}${recovery === "" ? "" : html`<p class="quiet">recovery: ${recovery}</p>`}${unavailable === "" ? "" : html`<p class="quiet">unavailable: ${unavailable}</p>`}`;
}

function trust(results: RunResults): Markup {
  const { instrumentCheck: check, counts } = results;
  const instrument =
    check === undefined
      ? html`<p>No instrument check in this run: no planted bug was caught first.</p>`
      : html`<p>Instrument check: <strong>${check.caught ? "caught" : "MISSED"}</strong> ${visibleLine(check.store, 80)} (${visibleLine(check.bug, 160)})${check.finding === undefined ? "" : html` as ${visibleLine(check.finding, 60)}`}, in ${duration(check.elapsedMs * 1e6)}.</p>`;
  const shown = ["acknowledged", "indeterminate", "failed", "readBack", "syncs"].filter(
    (key) => counts[key] !== undefined,
  );
  return html`${instrument}<p class="quiet">${shown.map((key) => `${count(counts[key]!)} ${wordsOf(key)}`).join(" · ")}</p>`;
}
