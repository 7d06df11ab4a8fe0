/**
 * The messages around the first finding of a cluster: operation by operation, what went from whom to whom meanwhile, and
 * whether and when it arrived. What the harness saw is in harness/clusters/messages-around.ts.
 */
import type { Operation } from "../../harness/history/operation.ts";
import type { ClusterResults, FindingMessages, RunResults } from "../../harness/results.ts";
import { asked, bytes, counted, duration, ended, moment, visibleLine } from "../wording.ts";
import { html, type Markup } from "./markup.ts";

type Around = FindingMessages["operations"][number];
type Message = Around["messages"][number];

/** ns within which a message counts as passed on at once: what a proxy takes for a hop. */
const atOnceNs = 1e6;

/** Nothing when no finding has operations. */
export function messagesAround({ findings }: RunResults, cluster: ClusterResults): Markup {
  const finding = findings.find(({ operations }) => operations.length > 0);
  const around = cluster.messages?.find(
    ({ kind, sentence }) => kind === finding?.kind && sentence === finding.sentence,
  );
  if (!finding || !around) return html``;
  const seen =
    cluster.network === "namespaces"
      ? "Between members nothing is seen below TCP, only what clients sent and got."
      : "";
  return html`<h3 id="cluster-messages">Messages around the finding</h3>
<p class="quiet">Between the members, and between the operation's client and any of them, from the request until a little after the answer. Arrived: handed to the receiver, which may be paused. ${seen}</p>
${around.operations.map((one) =>
  ofOperation(
    one,
    finding.operations.find(({ call }) => call === one.call),
  ),
)}`;
}

function ofOperation(around: Around, operation: Operation | undefined): Markup {
  const heading = operation
    ? `${asked(operation, true)} · ${visibleLine(operation.node, 20)}: ${ended(operation)}`
    : `operation ${around.call}`;
  const rows = around.messages.map(row);
  const more = around.leftOut > 0 ? `… and ${counted(around.leftOut, "more message")}.` : "";
  const forgotten = around.forgotten ? " Earlier ones may have been forgotten." : "";
  const none = around.messages.length === 0 ? "No message passed or was sent." : "";
  return html`<details open><summary>${heading}, ${moment(around.from)} to ${moment(around.to)}</summary>
${rows.length === 0 ? "" : html`<div class="scroll"><table class="traffic"><thead><tr><th class="number">sent at</th><th>from → to</th><th class="number">size</th><th>arrived</th></tr></thead><tbody>${rows}</tbody></table></div>`}
<p class="quiet">${none}${more}${forgotten}</p></details>`;
}

function row({ link, bytes: size, sentAt, arrivedAfterNs }: Message): Markup {
  const arrived =
    arrivedAfterNs === undefined
      ? html`<td class="violation-word">never</td>`
      : html`<td>${arrivedAfterNs < atOnceNs ? "at once" : `after ${duration(arrivedAfterNs)}`}</td>`;
  return html`<tr><td class="number">${moment(sentAt)}</td><td>${visibleLine(link.replace(">", " → "), 60)}</td><td class="number">${bytes(size)}</td>${arrived}</tr>
`;
}
