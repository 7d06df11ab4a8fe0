/**
 * `kv`: many keys, some much hotter than others, with deletes.
 *
 * Requests: `read` → string | null; `write` of a string; `delete` → the number of keys it removed (0 or 1).
 * Must hold: every key is linearizable, across crashes; a deleted key stays deleted. Not covered: scans, expiry.
 */
import fc from "fast-check";
import { registerFates } from "../harness/checkers/recovery.ts";
import { checkRegisters } from "../harness/checkers/registers.ts";
import type { Request } from "../stores/contract.ts";
import type { RequestStream, StreamOptions, Workload } from "./contract.ts";
import { indexes, templates, uniqueValue } from "./generation.ts";

const workload = "kv";
const keyCount = 96;
const keyOf = (epoch: number, index: number) => `e${epoch}/k/${index}`;

interface Template {
  readonly f: "read" | "write" | "delete";
  readonly index: number;
}

/** A uniform draw u in [0, 1) becomes key ⌊96 u²⌋: a tenth of all requests go to the hottest key. */
const skewDraws = 1 << 20;
const skewedIndex = fc.nat(skewDraws - 1).map((draw) => Math.floor(keyCount * (draw / skewDraws) ** 2));

const template: fc.Arbitrary<Template> = fc.record({
  f: fc.oneof(
    { weight: 35, arbitrary: fc.constant("read" as const) },
    { weight: 45, arbitrary: fc.constant("write" as const) },
    { weight: 20, arbitrary: fc.constant("delete" as const) },
  ),
  index: skewedIndex,
});

function stream(options: StreamOptions): RequestStream {
  const next = templates(workload, template, options);
  let n = 0;
  return { next: () => bind(next(), options, n++), observe: () => {} };
}

/** The concrete request of a template: pure. */
function bind({ f, index }: Template, options: StreamOptions, n: number): Request {
  const key = keyOf(options.epoch, index);
  return f === "write"
    ? { workload, f, key, value: uniqueValue(workload, options, n) }
    : { workload, f, key };
}

export const kv: Workload = {
  name: workload,
  summary: "puts, gets and deletes over 96 keys, a few of them hot; every key must be linearizable",
  needs: ["registers", "deletes"],
  setUp: () => [],
  stream,
  readBack: (epoch) => indexes(keyCount).map((index) => ({ workload, f: "read", key: keyOf(epoch, index) })),
  // A delete that removed nothing changed nothing.
  changes: ({ f }, reply) => reply.type === "ok" && (f === "write" || (f === "delete" && reply.value !== 0)),
  check: (history, context) => [checkRegisters(history, context)],
  fates: registerFates,
};
