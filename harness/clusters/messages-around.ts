/**
 * The messages around a finding: for each of its operations, what passed between the members, and between its client and
 * any of them (a client may ask another than it says), from its invocation until a little after its completion. Taken when a round has been judged, while
 * the network still remembers. Below TCP (namespaces) only what clients send and get is seen.
 */
import type { LinkMessages } from "../../faults/contract.ts";
import type { Finding } from "../checkers/contract.ts";
import type { RunClock } from "../history/clock.ts";
import type { Operation } from "../history/operation.ts";
import type { FindingMessages } from "../results.ts";

/** Of one finding; those that its counterexample shows. */
const operationsMax = 8;
/** Of one operation: all of its client's first, then the first ones between members. */
const messagesMax = 30;
/** ns after the completion: what an acknowledgement sets off is often sent behind it. */
const afterNs = 5e6;
/** ns looked at of an operation that was never answered. */
const unansweredNs = 50e6;
/** ns within which a client takes note of an answer that a proxy has handed on, and before which it sends nothing new. */
const noticedNs = 0.1e6;

export interface MessagesAroundOptions {
  readonly messages: LinkMessages;
  readonly clock: RunClock;
  readonly members: readonly string[];
  /** The name of the client that was this process. */
  readonly clientOf: (process: number) => string;
}

export function messagesAround(finding: Finding, options: MessagesAroundOptions): FindingMessages {
  return {
    kind: finding.kind,
    sentence: finding.sentence,
    operations: finding.operations.slice(0, operationsMax).map((operation) => aroundOne(operation, options)),
  };
}

function aroundOne(
  operation: Operation,
  { messages, clock, members, clientOf }: MessagesAroundOptions,
): FindingMessages["operations"][number] {
  const client = clientOf(operation.process);
  const ends = [...members, client];
  const wanted = new Set(ends.flatMap((from) => ends.map((to) => `${from}>${to}`)));
  const from = operation.calledAt;
  const answered = Number.isFinite(operation.returnedAt) ? operation.returnedAt : from + unansweredNs;
  const to = answered + afterNs;
  const zero = clock.startNs();
  const own = (link: string) => link.startsWith(`${client}>`) || link.endsWith(`>${client}`);
  const found = messages
    .between(zero + from, zero + to, (link) => wanted.has(link))
    // What the client sends after the answer is another request.
    .filter(({ link, sentNs }) => !own(link) || sentNs <= zero + answered + noticedNs);
  const others = found.filter(({ link }) => !own(link));
  const shown = new Set([...found.filter(({ link }) => own(link)), ...others].slice(0, messagesMax));
  const chosen = found.filter((message) => shown.has(message));
  return {
    call: operation.call,
    from,
    to,
    messages: chosen.map(({ link, bytes, sentNs, arrivedAfterNs }) => ({
      ...{ link, bytes, sentAt: Math.round(clock.fromMonotonic(sentNs)) },
      ...(arrivedAfterNs === undefined ? {} : { arrivedAfterNs }),
    })),
    leftOut: found.length - chosen.length,
    forgotten: messages.forgot(zero + from),
  };
}
