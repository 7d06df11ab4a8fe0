/**
 * Lines as recordings have them are read without `JSON.parse` of the whole line, and must come out as if with it, whatever
 * is done to them. The other way of reading is had by one letter beyond ASCII in the same chunk.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { readHistoryFile } from "./history-file.ts";
import type { HistoryEvent } from "./operation.ts";
import { RecordedLines } from "./recorded-line.ts";

const runs = Number(process.env.ACKED_FUZZ ?? 400);
const seed = Number(process.env.ACKED_FUZZ_SEED ?? 1);
const directory = mkdtempSync(join(tmpdir(), "acked-recorded-"));
const path = join(directory, "history.jsonl");

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
  if (process.env.ACKED_FUZZ) console.log(`recorded lines: seed ${seed}, ${runs} runs each`);
});

/** The event in the first line of this text, when it is read without parsing the line. */
function recordedIn(text: string): HistoryEvent | undefined {
  const lines = new RecordedLines();
  lines.use(Buffer.from(text), text);
  const event = lines.read(0);
  if (event) expect(lines.end).toBe(text.indexOf("\n") + 1);
  return event;
}

/** Everything that reading tells, with a first line of our own. */
function told(first: string, rest: string, workload?: string): unknown {
  writeFileSync(path, `{"index":0,"time":0,"process":0,"type":"invoke","f":"${first}"}\n${rest}`);
  const seen: unknown[] = [];
  const reading = readHistoryFile(path, {
    ...(workload === undefined ? {} : { workload }),
    onUnknownField: (name, line) => seen.push([name, line]),
  });
  try {
    for (let next = reading.next(); ; next = reading.next()) {
      // As text, since the order of members counts.
      seen.push(JSON.stringify(next.value));
      if (next.done) break;
    }
  } catch (error) {
    seen.push((error as Error).message);
  }
  return seen.slice(1);
}

const oddText = fc.constantFrom('a "quote"', "a\\", "\\\\", "]", "}", "},{", "\n", "a".repeat(70));
const text = fc.oneof({ weight: 9, arbitrary: fc.constantFrom("", "x", "k12") }, oddText);
const number = fc.oneof(
  { weight: 9, arbitrary: fc.nat() },
  fc.constantFrom(999_999_999_999_999, 2 ** 53 - 1),
);
const processes = fc.oneof({ weight: 9, arbitrary: fc.nat() }, fc.constant("nemesis" as const));
const oddValue = fc.constantFrom(true, -1, 1.5, 2 ** 53 + 2, "9007199254740993", {
  b: 1,
  a: [{ d: 2, c: 3 }],
});
const value = fc.oneof(
  fc.constantFrom(
    null,
    ["a", "b"],
    [
      ["append", "x", 1],
      ["r", "y", [1]],
    ],
  ),
  ...[text, fc.nat(), oddValue, fc.jsonValue({ maxDepth: 2 })],
);
const optional = { requiredKeys: [] };
const event = fc
  .record({
    head: fc.record({
      time: number,
      process: processes,
      type: fc.constantFrom("invoke", "ok", "fail", "info"),
      f: text,
    }),
    rest: fc.oneof(
      fc.record({ workload: text, key: text, value, node: text, incarnation: number }, optional),
      fc.record({ key: text, value, matched: fc.boolean(), error: text, syncCompleted: number }, optional),
      fc.record(
        { value, readBack: fc.boolean(), syncsBegun: number, replyPort: number, replyBytes: number },
        optional,
      ),
      fc.record({ incarnation: number, node: text, value, other: value }, optional),
    ),
  })
  .map(({ head, rest }) => ({ ...head, ...rest }));

/** One thing done to the text of a file. */
const damage = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  removed: fc.constantFrom(0, 0, 1, 1, 2, 10),
  put: fc.constantFrom(
    ...["", "", ...'{}[]",:\\019-.eE \t\r\n'.split("")],
    ...[
      "00",
      "1e3",
      "null",
      "true",
      "\u0000",
      "},{",
      "],[",
      ',"value":1',
      ',"key":"k"',
      '{"a":',
      "\\u0041",
      '"__proto__":',
    ],
  ),
});

function damaged(whole: string, { at, removed, put }: { at: number; removed: number; put: string }): string {
  const place = Math.floor(at * whole.length);
  return whole.slice(0, place) + put + whole.slice(place + removed);
}

const linesOf = (events: readonly object[]) =>
  events.map((one, i) => `${JSON.stringify({ index: i + 1, ...one })}\n`).join("");

describe("a line as a recording has it", () => {
  it("is read without parsing the line", () => {
    const head = '{"index":7,"time":12,"process":3,"type":"ok","f":"read"';
    for (const rest of [
      "",
      ',"workload":"w","key":"k","value":null,"node":"n1","incarnation":0',
      ',"workload":"w","key":"k","value":"v","matched":false,"syncCompleted":4,"replyPort":5,"replyBytes":6',
      ',"key":"a \\n b","value":["a",[1,null]],"error":"e","node":"","incarnation":1,"readBack":true,"syncsBegun":2',
      ',"value":{"a":[{"b":"}"}]}',
      ',"value":3',
    ]) {
      const line = `${head}${rest}}`;
      expect(JSON.stringify(recordedIn(`${line}\n`)), line).toBe(line);
    }
    const unsorted = recordedIn(`${head},"value":{"b":1,"a":2}}\n`);
    expect(JSON.stringify(unsorted?.value)).toBe('{"a":2,"b":1}');
  });

  it("is left alone when it is anything else", () => {
    const good =
      '{"index":7,"time":12,"process":3,"type":"ok","f":"read","key":"k","value":[1],"node":"n"}\n';
    expect(recordedIn(good)).toBeDefined();
    for (const [part, other] of [
      ...[
        ["7", "07"],
        ["7", "-7"],
        ["7", ""],
        ["7", "7.5"],
        ["7", "1234567890123456"],
        ["12", "1e2"],
        ["3", '"nemesis"'],
      ],
      ...[
        ['"ok"', '"okay"'],
        ['"read"', "null"],
        ['"k"', '"k'],
        ['"k"', '"\t"'],
        ['"k"', '"\\x"'],
        ["[1]", ""],
      ],
      ...[
        ["[1]", "[1"],
        ["[1]", "[1],[2]"],
        ["[1]", "[9007199254740993]"],
        ["[1]", "true"],
        ["[1]", '[1],"value":[2]'],
      ],
      ...[
        ['"key"', '"__proto__"'],
        ['"node"', '"more"'],
        ["}\n", "}}\n"],
        ["}\n", "} \n"],
        ["}\n", "}"],
        ["}\n", ",}\n"],
      ],
      ...[
        ["}\n", '},{"index":8}\n'],
        [',"key"', ', "key"'],
        ["[1]", `${"[".repeat(200)}${"]".repeat(200)}`],
      ],
      ...[
        ["[1]", "[\n1]"],
        ['"k"', '"k\n"'],
      ],
    ] as [string, string][]) {
      expect(good).toContain(part);
      expect(recordedIn(good.replace(part, other)), `${part} as ${other}`).toBeUndefined();
    }
  });

  it("comes out as if it had been parsed, whatever was done to it, and what is wrong is named alike", () => {
    const seen = { taken: 0, complaints: 0 };
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 6 }),
        fc.array(damage, { maxLength: 2 }),
        fc.option(fc.constant("named"), { nil: undefined }),
        (events, damages, workload) => {
          const rest = damages.reduce(damaged, linesOf(events));
          const quick = told("e", rest, workload);
          expect(quick).toEqual(told("é", rest, workload));
          for (const line of rest.split("\n")) if (recordedIn(`${line}\n`)) seen.taken++;
          if (/line \d+ of the history/.test(String(quick))) seen.complaints++;
        },
      ),
      { seed, numRuns: runs },
    );
    expect(seen.taken).toBeGreaterThan(runs / 2);
    expect(seen.complaints).toBeGreaterThan(runs / 10);
  });

  it("keeps texts apart that are remembered in one place", () => {
    const lines = Array.from({ length: 3000 }, (_, i) => ({
      ...{ time: i, process: i % 7, type: "invoke", f: `f${i % 11}`, key: `${i % 13}k${(i * 7919) % 1000}x` },
    }));
    expect(told("e", linesOf(lines))).toEqual(told("é", linesOf(lines)));
  });
});
