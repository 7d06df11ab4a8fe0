/**
 * The page of a check. First screen: the verdict in words, the worst finding with its sentence and its drawing, what was
 * checked and what was not. Below: key by key, and the table of checks. Offline, one file; a content security policy
 * forbids every request and runs only the script whose hash it names.
 */
import type { CheckResult, Finding } from "../../harness/checkers/contract.ts";
import { combineVerdicts } from "../../harness/checkers/contract.ts";
import type { KeyViews } from "../key-scan.ts";
import { count, counted, duration, verdictWord, visibleLine, wordsOf } from "../wording.ts";
import { counterexample } from "./counterexample.ts";
import { cycleDrawing } from "./cycle.ts";
import { banner, card } from "./first-screen.ts";
import { keyViews } from "./key-view.ts";
import { lanesScript } from "./lanes-script.ts";
import { html, type Markup, trusted } from "./markup.ts";
import { hashOf } from "./page.ts";
import { styleSheet } from "./style.ts";
import { checksTable } from "./tables.ts";

export interface CheckDocumentInput {
  readonly file: string;
  readonly results: readonly CheckResult[];
  readonly views: KeyViews;
  /** What of the history could not be read, in one sentence; empty when nothing. */
  readonly historyNote: string;
}

/** What the page may weigh. */
const bytesMax = 2_900_000;
const itemsShown = 8;

/** The page as text. Where long or much-escaped values make it too heavy, fewer keys are drawn, and it says how many. */
export function checkDocument(input: CheckDocumentInput): string {
  for (const share of [1, 0.5, 0.2, 0.05]) {
    const text = rendered(input, share);
    if (Buffer.byteLength(text) <= bytesMax) return text;
  }
  return rendered(input, 0);
}

function rendered(input: CheckDocumentInput, share: number): string {
  const { file, results, historyNote } = input;
  const views = fewer(input.views, share);
  const findings = results.flatMap((result) => result.findings);
  const verdict = combineVerdicts(results.map((result) => result.verdict));
  const word = verdictWord(verdict);
  const worst = verdict === false ? findings[0] : undefined;
  const heading = worst ? `${word}: ${worst.kind}` : word;
  const policy = `default-src 'none'; script-src ${hashOf(lanesScript)}; style-src ${hashOf(styleSheet)}; base-uri 'none'; form-action 'none'`;
  const elapsedMs = results.reduce((sum, result) => sum + result.elapsedMs, 0);
  const small = [
    "acked check",
    visibleLine(file, 300),
    `${count(views.events)} events`,
    duration(elapsedMs * 1e6),
  ];
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${trusted(policy)}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title>${`${heading} · ${visibleLine(file, 80)} · acked`}</title>
<style>${trusted(styleSheet)}</style></head><body>
<a class="skip" href="#main">Skip to the findings</a>
<header>${banner(word, heading, sentenceOf(results, worst, findings.length), small)}</header>
<main id="main">${worst ? html`${cycleDrawing(worst)}${counterexample(worst, views)}` : ""}
<div class="cards">
${card("What was checked", checked(results))}
${card("What was not checked", notChecked(results))}
${card("How far to trust it", trust(results))}
</div>
<nav aria-label="Sections">${views.withFindings.length + views.others.length > 0 ? html`<a href="#keys">Key by key</a>` : ""}<a href="#checks">Checks</a></nav>
${keyViews(views)}
${checksTable({ checks: results, findings })}
</main><footer>Made by acked from ${counted(views.events, "event")} of history over ${duration(views.endNs)}. This file is complete in itself and asks the network for nothing.${historyNote === "" ? "" : ` ${visibleLine(historyNote, 400)}`}</footer>
<script>${trusted(lanesScript)}</script>
</body></html>
`.markup;
}

/** This share of the views, the first ones; without any, those without findings go, too. */
function fewer(views: KeyViews, share: number): KeyViews {
  if (share === 1) return views;
  const kept = views.withFindings.slice(0, Math.floor(views.withFindings.length * share));
  const keysLeftOut = views.keysLeftOut + views.withFindings.length - kept.length;
  return { ...views, withFindings: kept, others: [], keysLeftOut };
}

function sentenceOf(results: readonly CheckResult[], worst: Finding | undefined, findings: number): string {
  if (worst) {
    const more = findings > 1 ? ` (and ${counted(findings - 1, "more finding")} below)` : "";
    return `${visibleLine(worst.sentence, 500)}${more}`;
  }
  const reason = results.flatMap((result) => result.reasons)[0];
  if (reason !== undefined) return visibleLine(reason, 500);
  const checkers = results.filter((result) => result.verdict === true).map((result) => result.checker);
  if (checkers.length === 0) return "Nothing was checked, so nothing is known.";
  return `Nothing contradicts: ${visibleLine(checkers.join("; "), 300)}.`;
}

function checked(results: readonly CheckResult[]): Markup {
  const items = results.map((result) => {
    const word = verdictWord(result.verdict);
    const figures = Object.entries(result.checked)
      .slice(0, 6)
      .map(([key, value]) => `${count(value)} ${wordsOf(key)}`);
    return html`<li><strong class="${word.toLowerCase()}-word">${word}</strong> ${visibleLine(result.checker, 120)}${figures.length === 0 ? "" : html` <span class="quiet">${visibleLine(figures.join(", "), 240)}</span>`}</li>`;
  });
  return list(items, "Nothing was checked.", "more check");
}

function notChecked(results: readonly CheckResult[]): Markup {
  const left = new Set(
    results.flatMap((result) => [
      ...result.notChecked.map((what) => `${result.checker}: ${what}`),
      ...(result.verdict === "unknown" ? result.reasons.map((why) => `${result.checker}: ${why}`) : []),
    ]),
  );
  const items = [...left].map((what) => html`<li>${visibleLine(what, 300)}</li>`);
  return list(items, "These checks left nothing out.", "more");
}

function list(items: readonly Markup[], none: string, more: string): Markup {
  if (items.length === 0) return html`<p>${none}</p>`;
  const rest = items.length - itemsShown;
  return html`<ul>${items.slice(0, itemsShown)}</ul>${rest > 0 ? html`<p class="quiet">… and ${counted(rest, more, more === "more" ? "more" : `${more}s`)}, in the table below.</p>` : ""}`;
}

/** What each verdict rests on. */
function trust(results: readonly CheckResult[]): Markup {
  const replayed = results.reduce((sum, { checked: figures }) => sum + (figures.operationsInWitness ?? 0), 0);
  return html`${replayed > 0 ? html`<p>Orders of ${counted(replayed, "operation")} that explain what passed were replayed by a function that knows nothing of how they were found.</p>` : ""}
<p>A violation stands on the operations it names, and can be checked by eye. UNKNOWN is no pass.</p>`;
}
