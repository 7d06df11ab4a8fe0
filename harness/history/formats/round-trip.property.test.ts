/**
 * Whatever a client of ours can record is read back from every format that can hold it, and judged the same. More runs:
 * ACKED_FUZZ=5000 ACKED_FUZZ_SEED=7.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { StorePromise } from "../../../stores/contract.ts";
import { checkRegisters } from "../../checkers/registers.ts";
import { buildHistory } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import type { WriteOptions } from "./contract.ts";
import { exportHistory, findFormat, historyFormats, openHistory, readHistory } from "./index.ts";

const runs = Number(process.env.ACKED_FUZZ ?? 30);
const seed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const directory = mkdtempSync(join(tmpdir(), "acked-round-trip-"));
const from = join(directory, "from");
const to = join(directory, "to");

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
  if (process.env.ACKED_FUZZ) console.log(`round trips: seed ${seed}, ${runs} runs each`);
});

/** Steps of a few clients: who, what, how it ends; completions come in any order. */
interface Step {
  readonly client: number;
  readonly f: string;
  readonly key: string | undefined;
  readonly input: unknown;
  readonly output: unknown;
  readonly ending: "ok" | "refused" | "refused silently" | "fail" | "info" | "never";
  readonly error: string;
  readonly details: Partial<HistoryEvent>;
}

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 6 }),
  fc.constantFrom(
    "",
    '"',
    "\\",
    "a\nb",
    ":k",
    "3",
    '"3"',
    "nil",
    "'x",
    "true",
    "[1 2]",
    "é🙂",
    "__proto__",
    "\u0000",
    "#_",
    "x y",
    "1/2",
    '{"#edn":":a"}',
    "9007199254740993",
  ),
);
const value = fc.oneof(
  text,
  fc.integer(),
  fc.constantFrom(null, 0, -1, 1.5, 1e300, 2 ** 53, true),
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(
    { "#edn": ":a" },
    { "#edn": "#{1 2}" },
    { "#edn": "not canonical, 1" },
    { a: [1, { b: null }] },
  ),
);
const microOperations = fc.array(
  fc.oneof(
    fc.tuple(fc.constantFrom("append", "w"), text, fc.integer()),
    fc.tuple(fc.constant("r"), text, fc.oneof(fc.constant(null), fc.array(fc.integer(), { maxLength: 3 }))),
  ),
  { maxLength: 3 },
);
const details = fc.record(
  {
    workload: text,
    node: text,
    incarnation: fc.nat(5),
    readBack: fc.boolean(),
    syncsBegun: fc.nat(),
    replyPort: fc.nat(),
  },
  { requiredKeys: [] },
);

function steps(keyed: boolean): fc.Arbitrary<Step[]> {
  const step = fc
    .constantFrom("read", "write", "cas", "delete", "append", "txn", "get", "transfer", "odd name", ":colon")
    .chain((f) => {
      const isTxn = f === "txn";
      return fc.record<Step>({
        client: fc.nat(3),
        f: fc.constant(f),
        key: keyed ? text : fc.constant(undefined),
        input: isTxn ? microOperations : f === "cas" ? fc.tuple(value, value) : value,
        output: isTxn ? microOperations : value,
        ending: fc.constantFrom(
          "ok",
          "ok",
          "ok",
          f === "cas" ? "refused" : "ok",
          f === "cas" ? "refused silently" : "ok",
          "fail",
          "info",
          "never",
        ),
        error: text,
        details,
      });
    });
  return fc.array(step, { maxLength: 12 });
}

/** Clients that overlap; `info` and `never` retire their process number. */
function eventsOf(all: readonly Step[]): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  const open = new Map<number, { step: Step; process: number }>();
  const processOf = new Map<number, number>();
  let next = 10;
  const add = (event: Omit<HistoryEvent, "index" | "time">) =>
    events.push({ index: events.length * 2, time: events.length * 1000.5, ...event });
  const complete = (client: number) => {
    const one = open.get(client);
    open.delete(client);
    if (!one) return;
    const { step, process } = one;
    const base = { process, f: step.f, ...(step.key === undefined ? {} : { key: step.key }) };
    if (step.ending === "ok") add({ ...base, type: "ok", value: step.output });
    if (step.ending === "refused") add({ ...base, type: "ok", matched: false, value: step.output });
    if (step.ending === "refused silently") add({ ...base, type: "ok", matched: false });
    if (step.ending === "fail" || step.ending === "info")
      add({ ...base, type: step.ending, error: step.error });
    if (step.ending === "info" || step.ending === "never") processOf.set(client, next++);
  };
  for (const step of all) {
    complete(step.client);
    const process = processOf.get(step.client) ?? step.client;
    const key = step.key === undefined ? {} : { key: step.key };
    add({ process, type: "invoke", f: step.f, ...key, value: step.input, ...step.details });
    open.set(step.client, { step, process });
    if (step.error === "") {
      add({
        process: "nemesis",
        type: "info",
        f: "ready",
        node: "n1",
        incarnation: events.length,
        value: step.output,
      });
    }
  }
  for (const client of open.keys()) complete(client);
  return events;
}

/** What a format may change: a missing value is nil, a missing incarnation the first. */
function comparable(events: readonly HistoryEvent[]): unknown[] {
  return events.map((event) => {
    const { value: result, ...all } = JSON.parse(JSON.stringify(event)) as HistoryEvent;
    const { incarnation, ...others } = all;
    const rest = incarnation === 0 ? others : all;
    const keepsNil = event.matched === false;
    return result === null && !keepsNil
      ? rest
      : { ...rest, ...(result === undefined ? {} : { value: result }) };
  });
}

function eventsIn(path: string, format: string): HistoryEvent[] {
  return [...readHistory(path, { format }).events];
}

describe.each(["acked", "jepsen-edn", "jepsen-json"])("%s", (name) => {
  it.each([true, false])("gives back whatever was written to it (with keys: %s)", (keyed) => {
    const options: WriteOptions = { independent: keyed };
    fc.assert(
      fc.property(steps(keyed), (all) => {
        const events = eventsOf(all);
        const written = exportHistory(events, name, to, options);
        expect(written).toEqual({ leftOut: [], warnings: [], events: events.length });
        const pairs = name === "acked" ? {} : { independent: keyed };
        const reading = [...readHistory(to, { format: name, ...pairs }).events];
        expect(comparable(reading)).toEqual(comparable(events));
      }),
      { seed, numRuns: runs },
    );
  });

  it("is written the same again after it was read", () => {
    fc.assert(
      fc.property(steps(true), (all) => {
        const pairs = name === "acked" ? {} : { independent: true };
        const again = { independent: true, from: { format: name, ...pairs } };
        exportHistory(eventsOf(all), name, from, { independent: true });
        exportHistory(from, name, to, again);
        const first = readFileSync(to, "utf8");
        exportHistory(to, name, from, again);
        expect(readFileSync(from, "utf8")).toBe(first);
      }),
      { seed: seed + 1, numRuns: runs },
    );
  });
});

describe.each(["kv-edn", "kv-json"])("%s", (name) => {
  it("gives back operations, keys, strings and order", () => {
    const ends = ["ok", "ok", "ok", "fail", "info", "never"] as const;
    const step = fc.record<Step>({
      client: fc.nat(3),
      f: fc.constantFrom("get", "put", "append"),
      key: text,
      input: text,
      output: text,
      ending: fc.constantFrom(...ends),
      error: fc.constant("e"),
      details: fc.constant({}),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (all) => {
        const events = eventsOf(all.map((one) => (one.f === "get" ? { ...one, input: null } : one)));
        exportHistory(events, name, to);
        const kept = events.filter((event) => event.process !== "nemesis" && event.type !== "info");
        const essence = (event: HistoryEvent) => [
          event.process,
          event.type,
          event.f,
          event.key,
          event.type === "invoke" || (event.type === "ok" && event.f === "get") ? event.value : null,
        ];
        expect(eventsIn(to, name).map(essence)).toEqual(kept.map(essence));
      }),
      { seed: seed + 2, numRuns: runs },
    );
  });
});

const promise: StorePromise = {
  processCrash: { survives: "everything acknowledged" },
  powerLoss: { survives: "everything acknowledged" },
  gracefulStop: { survives: "everything acknowledged" },
  syncsBeforeAcknowledging: false,
  failStop: false,
  detectsDamageAtRest: false,
  source: "test",
};

describe("the verdict", () => {
  /** Small registers with few values, so that both verdicts are common. */
  const register = fc.array(
    fc.constantFrom("read", "read", "write", "cas").chain((f) => {
      const small = fc.constantFrom("a", "b", "c", "d");
      return fc.record<Step>({
        client: fc.nat(2),
        f: fc.constant(f),
        key: fc.constantFrom("x", "3"),
        input: f === "read" ? fc.constant(null) : f === "cas" ? fc.tuple(small, small) : small,
        output:
          f === "write"
            ? fc.constant(null)
            : f === "cas"
              ? fc.constantFrom("a", "b", null)
              : fc.constantFrom("a", "b", "c", null),
        ending: fc.constantFrom(
          "ok",
          "ok",
          "ok",
          f === "cas" ? "refused" : "ok",
          f === "cas" ? "refused silently" : "ok",
          "fail",
          "info",
          "never",
        ),
        error: fc.constant("e"),
        details: fc.constant({ workload: "register" }),
      });
    }),
    { maxLength: 8 },
  );

  it.each(["acked", "columnar", "jepsen-edn", "jepsen-json"])(
    "is the same after a round trip through %s",
    (name) => {
      const seen = { true: 0, false: 0, unknown: 0 };
      fc.assert(
        fc.property(register, (all) => {
          const events = eventsOf(all);
          exportHistory(events, name, to);
          const context = { promise, budgetMs: 10_000 };
          const before = checkRegisters(buildHistory(events), context);
          const after = checkRegisters(openHistory(to).history, context);
          expect(after.verdict).toBe(before.verdict);
          expect(after.findings.map(({ sentence }) => sentence)).toEqual(
            before.findings.map(({ sentence }) => sentence),
          );
          seen[String(before.verdict) as "true"]++;
        }),
        { seed: seed + 3, numRuns: runs * 2 },
      );
      expect(Math.min(seen.true, seen.false)).toBeGreaterThan(runs / 10);
    },
  );
});

it("the formats that can be written are the ones tested here", () => {
  const writable = ["acked", "jepsen-edn", "jepsen-json", "kv-edn", "kv-json"];
  for (const name of writable) expect(findFormat(name).write).toBeDefined();
  const all = historyFormats.filter(({ write, writeFile }) => write || writeFile).map(({ name }) => name);
  // Columns have tests of their own, since they keep operations and not events.
  expect(all.sort()).toEqual(["columnar", ...writable].sort());
  writeFileSync(from, "");
  expect(() => exportHistory(from, "jepsen-log", to)).toThrow("can only be read");
});
