/**
 * `set`: sets that only grow, and are read whole.
 *
 * Requests: `add` of a unique string → no value; `read` → string[], sorted.
 * Must hold: every acknowledged element is in each read that is sent later, and no read shows what was not added, across
 * crashes and changes of the leader. Cheap to do and exact to judge, so that it is what shows a lost write first. Not
 * covered: the order of two elements (see `append`), removals.
 *
 * Sets stay small as lists do (append.ts): every client moves on to the next four sets after 96 of its own requests, over
 * 128 sets in all; a client that has used them up (3,072 requests in one epoch) only reads.
 */
import fc from "fast-check";
import { checkSet, setFates } from "../harness/checkers/sets.ts";
import type { Request } from "../stores/contract.ts";
import type { RequestStream, StreamOptions, Workload } from "./contract.ts";
import { indexes, templates, uniqueValue } from "./generation.ts";

const workload = "set";
const setCount = 128;
const setsAtOnce = 4;
const requestsPerWindow = 96;
const keyOf = (epoch: number, index: number) => `e${epoch}/s/${index}`;

interface Template {
  readonly f: "add" | "read";
  /** Among the sets in use. */
  readonly place: number;
}

const template: fc.Arbitrary<Template> = fc.record({
  f: fc.oneof(
    { weight: 70, arbitrary: fc.constant("add" as const) },
    { weight: 30, arbitrary: fc.constant("read" as const) },
  ),
  place: fc.nat(setsAtOnce - 1),
});

function stream(options: StreamOptions): RequestStream {
  const next = templates(workload, template, options);
  let n = 0;
  return { next: () => bind(next(), options, n++), observe: () => {} };
}

/** The concrete request of a template: pure. */
function bind({ f, place }: Template, options: StreamOptions, n: number): Request {
  const first = Math.floor(n / requestsPerWindow) * setsAtOnce;
  const usedUp = first >= setCount;
  const key = keyOf(options.epoch, (first % setCount) + place);
  return usedUp || f === "read"
    ? { workload, f: "read", key }
    : { workload, f, key, value: uniqueValue(workload, options, n) };
}

export const set: Workload = {
  name: workload,
  summary: "adds to sets and reads of whole sets; every acknowledged element is in every later read",
  needs: ["sets"],
  setUp: () => [],
  stream,
  readBack: (epoch) => indexes(setCount).map((index) => ({ workload, f: "read", key: keyOf(epoch, index) })),
  changes: ({ f }, reply) => reply.type === "ok" && f === "add",
  check: (history, context) => [checkSet(history, context, { needsReads: false })],
  fates: setFates,
};
