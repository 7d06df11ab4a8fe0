/**
 * The views of single keys: for each key with a finding its sentences, its conflicting operations in lanes among
 * everything else that happened on the key, where the longest explainable prefix ends, and the cycle if there is one.
 * Links and the keys j and k lead from one to the next.
 */
import type { Finding } from "../../harness/checkers/contract.ts";
import type { FaultRecord } from "../../harness/results.ts";
import type { KeyView, KeyViews } from "../key-scan.ts";
import type { Start } from "../timeline.ts";
import { asked, client, count, counted, ended, moment, visibleLine } from "../wording.ts";
import { cycleDrawing } from "./cycle.ts";
import { drawing } from "./lanes.ts";
import { html, type Markup } from "./markup.ts";

const findingsShown = 3;
const operationsListed = 12;
const linksShown = 60;

interface Marks {
  readonly faults: readonly FaultRecord[];
  readonly starts: readonly Start[];
  /** True for a cluster: the member that an operation went to is told. */
  readonly members?: boolean;
}

/** The section with all views; nothing when there are none. `faults` and `starts` may come from better sources. */
export function keyViews(views: KeyViews, marks: Marks = views): Markup {
  const { withFindings, others, keysLeftOut } = views;
  if (withFindings.length + others.length === 0) return html``;
  return html`<section aria-labelledby="keys"><h2 id="keys">Key by key</h2>
<p class="quiet"><kbd>j</kbd> or <kbd>]</kbd> next key, <kbd>k</kbd> or <kbd>[</kbd> previous key.${keysLeftOut > 0 ? ` ${counted(keysLeftOut, "more key")} with a finding ${keysLeftOut === 1 ? "is" : "are"} not drawn.` : ""}</p>
${links(withFindings)}
${withFindings.map((view, i) => keyView(view, marks, neighboursOf(withFindings, i)))}
${others.length === 0 ? "" : html`<details><summary>${counted(others.length, "key")} on which nothing was found</summary>${others.map((view, i) => keyView(view, marks, neighboursOf(others, i)))}</details>`}
</section>`;
}

function links(views: readonly KeyView[]): Markup {
  if (views.length < 2) return html``;
  const rest = views.length - linksShown;
  return html`<nav class="keys" aria-label="Keys with findings">${views.slice(0, linksShown).map((view) => html`<a href="#${view.id}">${nameOf(view, 40)} <span class="kind">${view.findings[0]!.kind}</span></a>`)}${rest > 0 ? ` … and ${count(rest)} more` : ""}</nav>`;
}

interface Neighbours {
  readonly previous: KeyView | undefined;
  readonly next: KeyView | undefined;
}

function neighboursOf(views: readonly KeyView[], i: number): Neighbours {
  return { previous: views[i - 1], next: views[i + 1] };
}

function keyView(view: KeyView, marks: Marks, { previous, next }: Neighbours): Markup {
  const { findings, explained } = view;
  const more = findings.length - findingsShown;
  const where =
    view.workload === undefined || view.workload === ""
      ? ""
      : html` <span class="quiet">${visibleLine(view.workload, 60)}</span>`;
  const marker = explained ? { marker: { time: explained.time, label: "explainable up to here" } } : {};
  return html`<section class="key-view" id="${view.id}"><h3 tabindex="-1">${view.keys.length === 1 ? "Key" : "Keys"} ${nameOf(view, 120)}${where}${jump("previous", previous)}${jump("next", next)}</h3>
${findings.slice(0, findingsShown).map((finding) => findingMarkup(finding, view, marks.members))}
${more > 0 ? html`<p class="quiet">… and ${counted(more, "more finding")} here.</p>` : ""}
${explained ? html`<p class="quiet">The history of this key can be explained up to ${moment(explained.time)}, its completion ${count(explained.placed)} of ${count(explained.of)}; with the next one no order is left.</p>` : ""}
${drawing({ ...view, focus: view, faults: marks.faults, starts: marks.starts, members: marks.members === true, ...marker })}</section>
`;
}

function jump(words: string, view: KeyView | undefined): Markup {
  return view ? html` <a class="quiet" href="#${view.id}">${words}</a>` : html``;
}

function nameOf({ keys }: KeyView, most: number): string {
  const names = keys.slice(0, 4).map((key) => (key === "" ? "(no name)" : visibleLine(key, most)));
  return `${names.join(", ")}${keys.length > 4 ? ` and ${keys.length - 4} more` : ""}`;
}

function findingMarkup(finding: Finding, { highlighted }: KeyView, members = false): Markup {
  const numbers = [...highlighted];
  const listed = finding.operations.slice(0, operationsListed);
  return html`<p class="what"><span class="kind">${finding.kind}</span> ${visibleLine(finding.sentence, 600)}${(finding.count ?? 1) > 1 ? html` <span class="quiet">(the first of ${count(finding.count!)})</span>` : ""}</p>
<ol class="code">${listed.map((operation) => html`<li value="${Math.max(1, numbers.indexOf(operation.call) + 1)}">${client(operation, members)} ${asked(operation, true)} ${ended(operation)}</li>`)}</ol>
${cycleDrawing(finding)}`;
}
