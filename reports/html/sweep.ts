/**
 * The matrix of a sweep, a table for each operation: call sites down, effects across, and in each cell what became of the
 * store when that call failed that way: survived, refused (stopped or answered errors, and lost nothing), a finding, or
 * not judged. Every outcome has a letter and a word, not only a colour.
 */
import type { RunResults, SweepCell, SweepResults } from "../../harness/results.ts";
import { matrices, type OperationMatrix, outcomesOf, worstFirst, worstOutcome } from "../sweep-matrix.ts";
import { count, counted, duration, verdictWord, visibleLine } from "../wording.ts";
import { html, type Markup } from "./markup.ts";

const sentencesShown = 20;

/** Empty when there was no sweep. */
export function sweepMatrix(results: RunResults): Markup {
  const { sweep } = results;
  if (!sweep) return html``;
  const word = verdictWord(sweep.verdict);
  const tables = matrices(sweep);
  return html`<section aria-labelledby="sweep"><h2 id="sweep">Sweep: every n-th call failed, one at a time <span class="word ${word.toLowerCase()}-word">${word}</span></h2>
<p class="quiet">${counted(sweep.trials, "trial")} in ${duration(sweep.elapsedMs * 1e6)}. A cell counts trials by outcome: <b>S</b> survived, <b>R</b> refused or stopped and lost nothing, <b>F</b> finding, <b>?</b> not judged; an empty cell was never reached.</p>
${tables.length === 0 ? html`<p>No call was reached.</p>` : tables.map(operationTable)}
${remarks(sweep)}</section>`;
}

function operationTable({ operation, effects, rows }: OperationMatrix): Markup {
  return html`<div class="scroll"><table class="matrix"><thead><tr><th>${visibleLine(operation, 40)}</th>${effects.map((effect) => html`<th>${visibleLine(effect, 40)}</th>`)}</tr></thead><tbody>${rows.map(
    ({
      site,
      cells,
    }) => html`<tr><th scope="row" class="code">${visibleLine(site, 80)}</th>${cells.map(cell)}</tr>
`,
  )}</tbody></table></div>
`;
}

function cell(found: SweepCell | undefined): Markup {
  if (!found) return html`<td></td>`;
  const worst = worstOutcome(found);
  const title = `${worst}${found.n === undefined ? "" : `, first at n = ${found.n}`}${found.sentence ? `: ${visibleLine(found.sentence, 300)}` : ""}`;
  return html`<td class="outcome ${worst}" title="${title}">${outcomesOf(found)}</td>`;
}

function sweptToEnd({ exhausted, cutShort }: SweepResults): string {
  if (exhausted.length === 0) return "none";
  if (cutShort.length === 0) return `all ${counted(exhausted.length, "pair")} of a failure and a beginning`;
  return visibleLine(exhausted.join(", "), 800);
}

function remarks(sweep: SweepResults): Markup {
  const told = sweep.cells.filter(({ sentence }) => sentence !== undefined);
  const items = [...told].sort(
    (a, b) => worstFirst.indexOf(worstOutcome(a)) - worstFirst.indexOf(worstOutcome(b)),
  );
  const cut = sweep.cutShort.map(({ sweep: name, n }) => `${name} (n = ${n})`);
  const missed = (sweep.notReached ?? []).map(({ sweep: name, n }) => `${name} (n = ${n})`);
  return html`${items.length > 0 ? html`<ul>${items.slice(0, sentencesShown).map((one) => html`<li><span class="word">${worstOutcome(one)}</span> <span class="code">${visibleLine(one.site, 80)}</span>, ${visibleLine(one.effect, 40)}${one.n === undefined ? "" : `, n = ${one.n}`}: ${visibleLine(one.sentence!, 300)}</li>`)}</ul>` : ""}
${items.length > sentencesShown ? html`<p class="quiet">… and ${count(items.length - sentencesShown)} more, in results.json.</p>` : ""}
<p class="quiet">Swept to the end (every call that a trial without a fault makes): ${sweptToEnd(sweep)}.${cut.length > 0 ? ` Cut short by the time: ${visibleLine(cut.join(", "), 800)}.` : ""}${missed.length > 0 ? ` Not reached in two trials, though a trial without a fault made as many calls: ${visibleLine(missed.join(", "), 400)}.` : ""}</p>
${sweep.reasons.length > 0 ? html`<ul>${sweep.reasons.slice(0, 8).map((reason) => html`<li>${visibleLine(reason, 400)}</li>`)}</ul>` : ""}`;
}
