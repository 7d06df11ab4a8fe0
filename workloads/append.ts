/**
 * `append`: lists that grow at their end and are read whole.
 *
 * Requests: `append` of a unique string → the list's new length; `read` → string[].
 * Must hold: nothing acknowledged is missing, doubled or out of order, and reads agree on one order, across crashes.
 *
 * A list that grew without end would make each read dearer than the one before. So every client moves on to the next
 * four lists after 96 of its own requests, over 128 lists in all; a client that has used them up (3,072 requests in one
 * epoch) only reads. With 2 clients a list ends at about 34 elements, with 12 at about 200.
 */
import fc from "fast-check";
import { checkLists, listFates } from "../harness/checkers/lists.ts";
import type { Request } from "../stores/contract.ts";
import type { RequestStream, StreamOptions, Workload } from "./contract.ts";
import { indexes, templates, uniqueValue } from "./generation.ts";

const workload = "append";
const listCount = 128;
const listsAtOnce = 4;
const requestsPerWindow = 96;
const keyOf = (epoch: number, index: number) => `e${epoch}/l/${index}`;

interface Template {
  readonly f: "append" | "read";
  /** Among the lists in use. */
  readonly place: number;
}

const template: fc.Arbitrary<Template> = fc.record({
  f: fc.oneof(
    { weight: 70, arbitrary: fc.constant("append" as const) },
    { weight: 30, arbitrary: fc.constant("read" as const) },
  ),
  place: fc.nat(listsAtOnce - 1),
});

function stream(options: StreamOptions): RequestStream {
  const next = templates(workload, template, options);
  let n = 0;
  return { next: () => bind(next(), options, n++), observe: () => {} };
}

/** The concrete request of a template: pure. */
function bind({ f, place }: Template, options: StreamOptions, n: number): Request {
  const first = Math.floor(n / requestsPerWindow) * listsAtOnce;
  const usedUp = first >= listCount;
  const key = keyOf(options.epoch, (first % listCount) + place);
  return usedUp || f === "read"
    ? { workload, f: "read", key }
    : { workload, f, key, value: uniqueValue(workload, options, n) };
}

export const append: Workload = {
  name: workload,
  summary: "appends to lists and reads of whole lists; nothing missing, doubled or out of order",
  needs: ["lists"],
  setUp: () => [],
  stream,
  readBack: (epoch) => indexes(listCount).map((index) => ({ workload, f: "read", key: keyOf(epoch, index) })),
  changes: ({ f }, reply) => reply.type === "ok" && f === "append",
  check: (history, context) => [checkLists(history, context)],
  fates: listFates,
};
