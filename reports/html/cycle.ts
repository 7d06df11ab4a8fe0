/**
 * A cycle of dependencies as a drawing: each operation a box, each dependency an arrow with its kind, and one numbered
 * sentence for each. The sentences say all that the drawing says.
 */
import type { Finding } from "../../harness/checkers/contract.ts";
import { asked, ended, visibleLine } from "../wording.ts";
import { html, type Markup } from "./markup.ts";
import { px } from "./time-axis.ts";

type Step = NonNullable<Finding["cycle"]>["steps"][number];
interface Point {
  readonly x: number;
  readonly y: number;
}

const stepsMax = 12;
const box = { width: 236, height: 42 } as const;
const width = 860;

const edgeWords: Readonly<Record<Step["edge"], string>> = {
  ww: "ww: the later write replaced the earlier",
  wr: "wr: the write was read",
  rw: "rw: what was read was replaced by the write",
  process: "process: one client, one after the other",
  realtime: "realtime: ended before the other was sent",
};

/** Nothing for a finding without a cycle, or whose steps name no operations of it. */
export function cycleDrawing(finding: Finding): Markup {
  const steps = (finding.cycle?.steps ?? []).filter(
    ({ from, to }) => finding.operations[from] !== undefined && finding.operations[to] !== undefined,
  );
  if (steps.length === 0) return html``;
  const shown = steps.slice(0, stepsMax);
  const nodes = [...new Set(shown.flatMap(({ from, to }) => [from, to]))];
  const place = placesOf(nodes);
  const height = nodes.length <= 2 ? 160 : 330;
  const kinds = [...new Set(shown.map(({ edge }) => edge))];
  return html`<figure class="cycle"><svg class="cycle" viewBox="0 0 ${width} ${height}" role="img" aria-label="A cycle of ${nodes.length} operations; the sentences below say the same.">
${shown.map((step, i) => arrow(step, i + 1, place(step.from), place(step.to), nodes.length))}
${nodes.map((node) => nodeMarkup(finding, node, place(node)))}
</svg><p class="quiet">${kinds.map((kind) => edgeWords[kind]).join(" · ")}</p>
<ol>${shown.map((step) => html`<li><strong>${step.edge}</strong>${step.key === undefined ? "" : ` on key ${visibleLine(step.key, 60)}`}: ${visibleLine(step.sentence, 700)}</li>`)}</ol>${steps.length > shown.length ? html`<p class="quiet">… and ${steps.length - shown.length} more steps.</p>` : ""}</figure>`;
}

/** Two side by side, more on an ellipse, clockwise from the top. */
function placesOf(nodes: readonly number[]): (node: number) => Point {
  const count = nodes.length;
  if (count <= 2)
    return (node) => ({ x: width * (count === 1 ? 0.5 : nodes.indexOf(node) === 0 ? 0.2 : 0.8), y: 80 });
  return (node) => {
    const angle = (2 * Math.PI * nodes.indexOf(node)) / count - Math.PI / 2;
    return {
      x: width / 2 + Math.cos(angle) * (width / 2 - box.width / 2 - 8),
      y: 165 + Math.sin(angle) * 130,
    };
  };
}

function nodeMarkup(finding: Finding, node: number, { x, y }: Point): Markup {
  const operation = finding.operations[node]!;
  const what = `${asked(operation, true)} ${ended(operation)}`;
  return html`<g class="node"><title>${what}</title><rect x="${px(x - box.width / 2)}" y="${px(y - box.height / 2)}" width="${box.width}" height="${box.height}" rx="6"/><text x="${px(x)}" y="${px(y - 4)}" text-anchor="middle">#${node + 1} client ${operation.process}</text><text class="node-what" x="${px(x)}" y="${px(y + 13)}" text-anchor="middle">${shortened(what)}</text></g>`;
}

function shortened(text: string): string {
  return text.length > 36 ? `${text.slice(0, 35)}…` : text;
}

/** A curve that bends to the left of its direction, so that two arrows between two boxes lie apart. */
function arrow(step: Step, number: number, from: Point, to: Point, nodes: number): Markup {
  const bend = nodes <= 2 ? 0.14 : 0.06;
  const bent = {
    x: (from.x + to.x) / 2 + (to.y - from.y) * bend,
    y: (from.y + to.y) / 2 - (to.x - from.x) * bend,
  };
  const points = Array.from({ length: 61 }, (_, i) => along(from, bent, to, i / 60));
  const visible = points.filter((point) => !inside(point, from, 0) && !inside(point, to, 7));
  const [start, end, before] = [visible[0], visible.at(-1), visible.at(-4)];
  if (!start || !end || !before) return html``;
  const angle = (Math.atan2(end.y - before.y, end.x - before.x) * 180) / Math.PI;
  const middle = visible[visible.length >> 1]!;
  const path = visible.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${px(x)} ${px(y)}`).join("");
  return html`<path class="edge ${step.edge}" d="${path}"/><path class="head ${step.edge}" transform="translate(${px(end.x)} ${px(end.y)}) rotate(${px(angle)})" d="M8 0L-5 -6V6z"/><text class="edge-label" x="${px(middle.x)}" y="${px(middle.y + 4)}" text-anchor="middle">${number} ${step.edge}</text>`;
}

function along(from: Point, bent: Point, to: Point, t: number): Point {
  const mix = (a: number, b: number, c: number) => (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t ** 2 * c;
  return { x: mix(from.x, bent.x, to.x), y: mix(from.y, bent.y, to.y) };
}

function inside(point: Point, centre: Point, margin: number): boolean {
  return (
    Math.abs(point.x - centre.x) <= box.width / 2 + margin &&
    Math.abs(point.y - centre.y) <= box.height / 2 + margin
  );
}
