/**
 * `register`: a few contended keys, each a single register with compare-and-set.
 *
 * Requests: `read` → string | null; `write` of a string; `cas` of [expected, new], where expected null means "absent".
 * A compare that fails returns the value it saw and counts as a read. A cas expects what this client saw last.
 * Must hold: every key is linearizable, across crashes. Not covered: deletes (see `kv`), several keys at once (`bank`).
 */
import fc from "fast-check";
import { registerFates } from "../harness/checkers/recovery.ts";
import { checkRegisters } from "../harness/checkers/registers.ts";
import type { Reply, Request } from "../stores/contract.ts";
import type { RequestStream, StreamOptions, Workload } from "./contract.ts";
import { indexes, templates, uniqueValue } from "./generation.ts";

const workload = "register";
const keyCount = 5;
const keyOf = (epoch: number, index: number) => `e${epoch}/r/${index}`;

interface Template {
  readonly f: "read" | "write" | "cas";
  readonly index: number;
}

const template: fc.Arbitrary<Template> = fc.record({
  f: fc.oneof(
    { weight: 45, arbitrary: fc.constant("read" as const) },
    { weight: 35, arbitrary: fc.constant("write" as const) },
    { weight: 20, arbitrary: fc.constant("cas" as const) },
  ),
  index: fc.nat(keyCount - 1),
});

function stream(options: StreamOptions): RequestStream {
  const next = templates(workload, template, options);
  const lastSeen = new Map<string, string | null>();
  let n = 0;
  return {
    next: () => bind(next(), options, n++, lastSeen),
    observe(request, reply) {
      const seen = seenBy(request, reply);
      if (seen !== undefined) lastSeen.set(request.key, seen);
    },
  };
}

/** The concrete request of a template: pure, given what this client saw last. */
function bind(
  { f, index }: Template,
  options: StreamOptions,
  n: number,
  lastSeen: ReadonlyMap<string, string | null>,
): Request {
  const key = keyOf(options.epoch, index);
  if (f === "read") return { workload, f, key };
  const value = uniqueValue(workload, options, n);
  return { workload, f, key, value: f === "write" ? value : [lastSeen.get(key) ?? null, value] };
}

/** The key's value as this reply showed it; `undefined` when it showed nothing. */
function seenBy({ f, value }: Request, reply: Reply): string | null | undefined {
  if (reply.type !== "ok") return undefined;
  if (f === "write") return value as string;
  if (f === "cas" && reply.matched !== false) return (value as readonly [string | null, string])[1];
  return reply.value as string | null;
}

export const register: Workload = {
  name: workload,
  summary: "reads, writes and compare-and-sets on a few contended keys; every key must be linearizable",
  needs: ["registers", "compare-and-set"],
  setUp: () => [],
  stream,
  readBack: (epoch) => indexes(keyCount).map((index) => ({ workload, f: "read", key: keyOf(epoch, index) })),
  changes: ({ f }, reply) => reply.type === "ok" && f !== "read" && reply.matched !== false,
  check: (history, context) => [checkRegisters(history, context)],
  fates: registerFates,
};
