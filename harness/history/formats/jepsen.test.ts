/** Histories as Jepsen, Knossos and Porcupine print them, and what is made of them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HistoryError } from "../history.ts";
import type { HistoryEvent } from "../operation.ts";
import type { FormatEnd, HistoryFormat, ReadOptions } from "./contract.ts";
import { jepsenEdn } from "./jepsen-edn.ts";
import { jepsenJson } from "./jepsen-json.ts";
import { jepsenLog } from "./jepsen-log.ts";
import { kvStrings, kvStringsJson } from "./kv-strings.ts";

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-formats-"));
  path = join(directory, "history");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function read(
  format: HistoryFormat,
  text: string | Buffer,
  options: ReadOptions = {},
): FormatEnd & { all: HistoryEvent[] } {
  writeFileSync(path, text);
  const reading = format.read(path, options);
  const all: HistoryEvent[] = [];
  for (;;) {
    const next = reading.next();
    if (next.done) return { ...next.value, all };
    all.push(next.value);
  }
}

/** What reading the text fails with. */
function complaint(format: HistoryFormat, text: string | Buffer, options: ReadOptions = {}): string {
  try {
    read(format, text, options);
  } catch (error) {
    expect(error).toBeInstanceOf(HistoryError);
    return (error as Error).message;
  }
  return "no complaint";
}

/** Process, type, f, key, value of every event. */
const brief = (all: readonly HistoryEvent[]) =>
  all.map(({ process, type, f, key, value }) => [process, type, f, key, value]);

const ops = (...lines: string[]) => lines.map((line) => `{${line}}\n`).join("");

describe("sets", () => {
  const reads = (value: string) => [
    ":process 1, :type :invoke, :f :read, :value nil",
    `:process 1, :type :ok, :f :read, :value ${value}`,
  ];
  const asks = (f: string, value: string) => [
    `:process 0, :type :invoke, :f ${f}, :value ${value}`,
    `:process 0, :type :ok, :f ${f}, :value ${value}`,
  ];
  const answersTo = (...lines: string[]) =>
    read(jepsenEdn, ops(...lines))
      .all.filter(({ type, f }) => type === "ok" && f !== "add")
      .map(({ value }) => value);

  it("are lists of their elements where operations are about elements", () => {
    expect(answersTo(...reads("#{}"), ...asks(":add", "2"), ...reads("#{:b 10 2 #{1}}"))).toEqual([
      [],
      [{ "#edn": "#{1}" }, 10, 2, { "#edn": ":b" }],
    ]);
  });

  it("stay sets where whole values are stored, which may be sets or lists", () => {
    for (const f of [":write", ":push", ":enqueue"]) {
      const [answer] = answersTo(...asks(f, "[1]"), ...reads("#{1}")).slice(-1);
      expect(answer, f).toEqual({ "#edn": "#{1}" });
      expect(complaint(jepsenEdn, ops(...reads("#{1}"), ...asks(f, "[1]")))).toBe(
        `line 3 of the history: "${f.slice(1)}" is asked, but the set returned at line 2 was read as a list, as in a history of sets only`,
      );
    }
  });

  it("stay sets when our own history is exported and read back", () => {
    const [call, ok] = read(jepsenEdn, ops(...reads("#{2}"))).all as [HistoryEvent, HistoryEvent];
    for (const format of [jepsenEdn, jepsenJson]) {
      for (const value of [[2], { "#edn": "#{2}" }]) {
        let text = "";
        format.write?.([call, { ...ok, value }], (line) => {
          text += line;
        });
        expect(read(format, text).all[1]?.value).toEqual(value);
      }
    }
  });
});

it("objects that Clojure has no syntax for, and metadata, do not make a history unreadable", () => {
  const { all } = read(
    jepsenEdn,
    '^{:x 1} {:process 0, :type :invoke, :f :read, :value nil, :thread #object[java.lang.Thread 0x1f "T[1,5]"]}\n' +
      '{:process 0, :type :info, :f :read, :value nil, :error #object[x 0x12 "a"]}\n',
  );
  expect(all).toHaveLength(2);
  expect(all[1]?.error).toContain("x 0x12");
});

describe("history.edn", () => {
  const register = ops(
    ":process 0, :type :invoke, :f :write, :value 3, :time 10, :index 0",
    ":process 1, :type :invoke, :f :read, :value nil, :time 11, :index 1",
    ":process :nemesis, :type :info, :f :start, :value [:isolated {:n1 #{:n2}}], :time 12, :index 2",
    ":process 0, :type :ok, :f :write, :value 3, :time 13, :index 3",
    ":process 1, :type :ok, :f :read, :value 3, :time 14, :index 5",
    ":process 0, :type :invoke, :f :cas, :value [3 4], :time 15, :index 6",
    ":process 0, :type :info, :f :cas, :value [3 4], :time 16, :index 7, :error [:timeout 5]",
  );
  const registerEvents = [
    [0, "invoke", "write", undefined, 3],
    [1, "invoke", "read", undefined, null],
    ["nemesis", "info", "start", undefined, [{ "#edn": ":isolated" }, { n1: { "#edn": "#{:n2}" } }]],
    [0, "ok", "write", undefined, undefined],
    [1, "ok", "read", undefined, 3],
    [0, "invoke", "cas", undefined, [3, 4]],
    [0, "info", "cas", undefined, undefined],
  ];

  it("is read as one map per line, as one vector, as records, pretty-printed and with comments", () => {
    const variants = [
      register,
      `[${register}]`,
      `(${register})`,
      `; a comment\n\n[${register.replaceAll("{:process", "#jepsen.history.Op{:process")}]\n;end`,
      register.replaceAll(", ", ",\n   "),
      register.replaceAll("\n", "\r\n"),
      register.replaceAll("\n", " "),
      `\ufeff${register}`,
      `${register}#_ {:process 9, :type :bogus}\n`,
    ];
    for (const text of variants) {
      const { all, truncated, warnings, events } = read(jepsenEdn, text);
      expect(brief(all)).toEqual(registerEvents);
      expect({ truncated, warnings, events }).toEqual({ truncated: false, warnings: [], events: 7 });
      expect(all.map(({ index }) => index)).toEqual([0, 1, 2, 3, 5, 6, 7]);
      expect(all.map(({ time }) => time)).toEqual([10, 11, 12, 13, 14, 15, 16]);
      expect(all[6]?.error).toBe("[:timeout 5]");
    }
  });

  it("gives what has no index the next one, and says that there are no times", () => {
    const { all, warnings } = read(
      jepsenEdn,
      ops(":process 0, :type :invoke, :f :read, :value nil", ":process 0, :type :ok, :f :read, :value nil"),
    );
    expect(all.map(({ index, time }) => [index, time])).toEqual([
      [0, 0],
      [1, 1e6],
    ]);
    expect(warnings).toEqual(["operations without a time are shown 1 ms apart (first at line 1, 2 times)"]);
  });

  it("has independent keys when every invocation is a pair, a cas a pair of a pair", () => {
    const text = ops(
      ":process 0, :type :invoke, :f :cas, :value [5 [1 2]], :time 1",
      ":process 0, :type :fail, :f :cas, :value [5 [1 2]], :time 2, :error :not-found",
      ":process 1, :type :invoke, :f :read, :value [:x nil], :time 3",
      ":process 1, :type :ok, :f :read, :value [:x 7], :time 4",
      ':process 2, :type :invoke, :f :write, :value ["5" 9], :time 5',
      ":process 2, :type :info, :f :write, :value :timed-out, :time 6",
      ":process 3, :type :invoke, :f :write, :value [nil 9], :time 7",
      ":process 3, :type :info, :f :write, :value [:timed-out 5], :time 8",
    );
    const { all, warnings } = read(jepsenEdn, text);
    expect(brief(all)).toEqual([
      [0, "invoke", "cas", "5", [1, 2]],
      [0, "fail", "cas", "5", undefined],
      [1, "invoke", "read", ":x", null],
      [1, "ok", "read", ":x", 7],
      [2, "invoke", "write", '"5"', 9],
      [2, "info", "write", undefined, undefined],
      [3, "invoke", "write", undefined, 9],
      [3, "info", "write", undefined, undefined],
    ]);
    expect(warnings).toEqual([]);
    expect(
      brief(read(jepsenEdn, text.split("\n").slice(0, 2).join("\n"), { independent: false }).all)[0],
    ).toEqual([0, "invoke", "cas", undefined, [5, [1, 2]]]);
  });

  it("is not taken for independent because a cas or a transaction has two parts", () => {
    const cas = ops(":process 0, :type :invoke, :f :cas, :value [1 2], :time 1");
    expect(read(jepsenEdn, cas).all[0]).toMatchObject({ value: [1, 2] });
    const txn = ops(":process 0, :type :invoke, :f :txn, :value [[:r 1 nil] [:append 2 3]], :time 1");
    expect(read(jepsenEdn, txn).all[0]).toMatchObject({
      value: [
        ["r", "1", null],
        ["append", "2", 3],
      ],
    });
    const keyed = ops(":process 0, :type :invoke, :f :txn, :value [8 [[:r 1 nil] [:append 2 3]]], :time 1");
    expect(read(jepsenEdn, keyed).all[0]).toMatchObject({
      key: "8",
      value: [
        ["r", "1", null],
        ["append", "2", 3],
      ],
    });
  });

  it("complains when independent keys end, with what to say instead", () => {
    const pairs = ops(":process 0, :type :invoke, :f :write, :value [1 2], :time 1").repeat(1);
    const text = `${pairs}${ops(":process 1, :type :invoke, :f :write, :value 5, :time 1")}`;
    expect(complaint(jepsenEdn, text, { independent: true })).toMatch(
      /^line 2 of the history: .* no pair \[key value\].*independent: false/,
    );
  });

  it("reads transactions on lists, with keys as texts", () => {
    const { all } = read(
      jepsenEdn,
      ops(
        ":type :invoke, :f :txn, :value [[:append 3 1] [:r 3 nil]], :process 0, :time 1",
        ":type :ok, :f :txn, :value [[:append 3 1] [:r 3 [1]]], :process 0, :time 2",
      ),
    );
    expect(all.map(({ value }) => value)).toEqual([
      [
        ["append", "3", 1],
        ["r", "3", null],
      ],
      [
        ["append", "3", 1],
        ["r", "3", [1]],
      ],
    ]);
  });

  it("takes a failed compare-and-set for what Jepsen does, and says so, or for an observation when asked", () => {
    const text = ops(
      ":process 0, :type :invoke, :f :cas, :value [1 2], :time 1",
      ":process 0, :type :fail, :f :cas, :value [1 2], :time 2",
      ":process 0, :type :invoke, :f :cas, :value [1 2], :time 3",
      ":process 0, :type :fail, :f :cas, :value [1 2], :time 4, :error :connection-refused",
    );
    const asJepsen = read(jepsenEdn, text);
    expect(asJepsen.all.map(({ type }) => type)).toEqual(["invoke", "fail", "invoke", "fail"]);
    expect(asJepsen.warnings).toEqual([expect.stringMatching(/failed compare-and-set .*\(line 2\)$/)]);
    const observed = read(jepsenEdn, text, { failedCas: "observation" });
    expect(observed.all[1]).toMatchObject({ type: "ok", matched: false });
    expect(observed.all[1]).not.toHaveProperty("value");
    expect(observed.all[3]).toMatchObject({ type: "fail", error: ":connection-refused" });
    expect(observed.warnings).toEqual([]);
  });

  it("says each unknown field once, with its first line and how often", () => {
    const line = ':process 0, :type :invoke, :f :read, :value nil, :time 1, :node "n1", :key 4';
    const { warnings, all } = read(
      jepsenEdn,
      ops(line, line.replace(" 0,", " 1,"), line.replace(" 0,", " 2,")),
    );
    expect(all).toHaveLength(3);
    expect(warnings.slice(0, 2)).toEqual([
      'unknown field "node" ignored (first at line 1, 3 times)',
      'unknown field "key" ignored (first at line 1, 3 times)',
    ]);
    const many = Array.from({ length: 500 }, (_, i) => `:x${i} 1`).join(" ");
    expect(read(jepsenEdn, ops(`${line} ${many}`)).warnings.length).toBeLessThan(110);
  });

  it("names the line of every kind of nonsense, and what is wrong", () => {
    const good = "{:process 0, :type :invoke, :f :read, :value nil, :time 1}\n";
    const second = (text: string) => complaint(jepsenEdn, `${good}{${text}}\n`);
    expect(second(":type :ok, :f :read")).toBe(
      'line 2 of the history: "process" is missing; it must be a whole number from 0, or :nemesis',
    );
    expect(second(":process -1, :type :ok, :f :read")).toContain('"process" is -1');
    expect(second(':process "0", :type :ok, :f :read')).toContain('"process" is "0"');
    expect(second(":process :client, :type :ok, :f :read")).toContain("clients must be numbers");
    expect(second(":process 0, :type :begin, :f :read")).toContain('"type" is {"#edn":":begin"}');
    expect(second(":process 0, :f :read")).toContain('"type" is missing');
    expect(second(":process 0, :type :ok")).toContain('"f" is missing');
    expect(second(":process 0, :type :ok, :f :read, :index -1")).toContain('"index" is -1');
    expect(second(":process 0, :type :ok, :f :read, :index 0")).toContain('"index" is 0 after 0');
    expect(second(":process 0, :type :ok, :f :read, :time -5")).toContain('"time" is -5');
    expect(second(":process 0 :process 1")).toContain("the key :process twice");
    expect(second("5 6")).toContain("its key 5 is no keyword");
    expect(second(":process 0, :type :ok, :f :read, :acked/incarnation -1")).toContain(
      '"acked/incarnation" is -1',
    );
    expect(complaint(jepsenEdn, `${good}:foo\n`)).toContain("line 2 of the history: it is no map");
    expect(complaint(jepsenEdn, `${good}[1]\n`)).toContain("line 2 of the history: it is no map");
    expect(complaint(jepsenEdn, `${good}}\n`)).toContain('line 2 of the history: "}" closes nothing');
  });

  it("explains by lines what fits no invocation", () => {
    const line = (process: number, type: string, f = "read") =>
      `{:process ${process}, :type :${type}, :f :${f}, :value nil, :time 1}\n`;
    expect(complaint(jepsenEdn, line(3, "invoke") + line(4, "invoke") + line(3, "invoke"))).toBe(
      'line 3 of the history: process 3 invoked "read" while its "read" of line 1 was still open; a process does one thing at a time, so either that completion is missing or two clients share the number 3',
    );
    expect(complaint(jepsenEdn, `\n${line(3, "ok")}`)).toBe(
      'line 2 (form 1) of the history: process 3 completed "read" (ok), but it never invoked anything before',
    );
    expect(complaint(jepsenEdn, line(3, "invoke") + line(3, "fail") + line(3, "ok"))).toBe(
      'line 3 of the history: process 3 completed "read" (ok), but its last invocation ("read" of line 1) had already been completed at line 2 (fail): a duplicate completion, or a missing invocation',
    );
    expect(complaint(jepsenEdn, line(3, "invoke") + line(3, "ok", "write"))).toContain(
      'line 2 of the history: process 3 completed "write", but what it invoked at line 1 is "read"',
    );
    expect(read(jepsenEdn, line(3, "invoke") + line(4, "invoke")).warnings).toEqual([
      `2 operations never completed: each may have happened or not (the first is process 3's "read" of line 1)`,
    ]);
    const write = (type: string, value: number) =>
      `{:process 0, :type :${type}, :f :write, :value ${value}, :time 1}\n`;
    expect(complaint(jepsenEdn, write("invoke", 1) + write("ok", 2))).toContain(
      "write completed with the value 2, but was invoked with 1",
    );
  });

  it("takes other names than :nemesis for the nemesis, as long as they are no clients", () => {
    const { all, warnings } = read(jepsenEdn, ops(":process :chaos, :type :info, :f :kill, :time 1"));
    expect(all[0]?.process).toBe("nemesis");
    expect(warnings).toEqual(['process "chaos" is taken for the nemesis (line 1)']);
  });
});

describe("a hostile or broken file", () => {
  const good = "{:process 0, :type :invoke, :f :read, :value nil, :time 1}\n";

  it("may be cut anywhere in its last form, as a crash of the recorder leaves it", () => {
    const two = `${good}{:process 0, :type :ok, :f :read, :value "a;\\"}]" ; }\n}`;
    for (let length = good.length; length < two.length; length++) {
      const { all, truncated } = read(jepsenEdn, two.slice(0, length));
      expect([all.length, truncated]).toEqual([1, length > good.length]);
    }
    expect(read(jepsenEdn, two)).toMatchObject({ truncated: false, events: 2 });
    expect(read(jepsenEdn, `[${good}`)).toMatchObject({ truncated: true, events: 1 });
    expect(read(jepsenEdn, `[${good}]`)).toMatchObject({ truncated: false, events: 1 });
    expect(read(jepsenEdn, "")).toMatchObject({ truncated: false, events: 0 });
    expect(read(jepsenJson, "[")).toMatchObject({ truncated: true, events: 0 });
  });

  it("is not called cut when something in the middle was never closed", () => {
    const open = good.replace("nil", '"never');
    expect(complaint(jepsenEdn, good.replace("0", "1") + open + good.repeat(3))).toContain(
      "line 2 of the history: a string or bracket that begins here is never closed",
    );
    expect(
      complaint(jepsenEdn, ` [${good} ${good.replace("}", "")} ${good}`.replaceAll("\n ", "\n  ")),
    ).toContain("line 2 of the history: a string or bracket that begins here is never closed");
    expect(complaint(jepsenEdn, good.replace("nil", "[1") + good)).toContain(
      'line 1 of the history: "}" stands where "]" should close what line 1 opened',
    );
  });

  it("is refused at a limit, whatever it nests or never ends", () => {
    const deep = good.replace("nil", "[".repeat(300));
    expect(complaint(jepsenEdn, deep)).toContain(
      "line 1 of the history: it is nested deeper than 200 levels",
    );
    expect(complaint(jepsenJson, "[".repeat(100_000))).toContain("nested deeper than 200");
    expect(complaint(jepsenEdn, good.replace("nil", "#_ ".repeat(1000)))).toContain("nested deeper than 200");
    const limit = { maxFormBytes: 2000 };
    expect(complaint(jepsenEdn, good + good.replace("nil", `"${"x".repeat(3000)}"`), limit)).toContain(
      "line 2 of the history: what begins here is longer than 2000 bytes",
    );
    expect(complaint(jepsenEdn, good + good.replace("nil", `"${"x".repeat(600_000)}`), limit)).toContain(
      "line 2",
    );
    expect(complaint(jepsenEdn, good + "x".repeat(600_000), limit)).toContain("longer than 2000 bytes");
    expect(complaint(jepsenLog, "x".repeat(600_000), limit)).toContain("line 1 of the history: it is longer");
  });

  it("is refused when it is no text", () => {
    expect(complaint(jepsenEdn, Buffer.concat([Buffer.from(good), Buffer.alloc(4096)]))).toContain(
      "line 2 of the history: it has a zero byte",
    );
    const invalid = Buffer.from(good.replace("nil", '"?"'));
    invalid[invalid.indexOf("?")] = 0xff;
    expect(complaint(jepsenEdn, invalid)).toContain("line 1 of the history: it is not UTF-8 text");
    let noise = Buffer.alloc(0);
    for (let i = 0, x = 7; i < 4096; i++) {
      x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
      noise = Buffer.concat([noise, Buffer.of(x >> 16)]);
    }
    for (const format of [jepsenEdn, jepsenJson, kvStrings])
      expect(complaint(format, noise)).toMatch(/^line \d+/);
  });

  it("takes no quadratic time for what is made to take long", () => {
    const cpuOf = (format: HistoryFormat, text: string) => {
      const before = process.cpuUsage();
      complaint(format, text);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    const write = "{:process 0, :type :invoke, :f :write, :value 1, :time 1}\n";
    const calm = cpuOf(jepsenEdn, (write + write.replace("invoke", "ok")).repeat(20_000));
    const times = 20_000;
    const json = (value: string) => `{"process":0,"type":"invoke","f":"w","time":1,"value":${value}}`;
    for (const [format, text] of [
      [jepsenLog, `${"INFO jepsen. ".repeat(times)}\n`],
      [jepsenLog, `INFO ${"jepsen.util - ".repeat(times)}\n`],
      [jepsenJson, json(`"9007199254740993${'\\"x'.repeat(times)}"`)],
      [jepsenJson, json(`[9007199254740993${',"\\\\"'.repeat(times)}]`)],
      [jepsenEdn, good.replace("nil", `[${'\\" '.repeat(times)}]`)],
      [jepsenEdn, good.replace("nil", `"${'\\"'.repeat(times)}"`)],
      [jepsenEdn, good.replace("nil", `#{${Array.from({ length: times }, (_, i) => i).join(" ")}}`)],
    ] as const) {
      // The calm file has ten times the bytes of a hostile one; quadratic time would be thousands of times more.
      expect(cpuOf(format, text)).toBeLessThan(4 * calm);
    }
  });

  it("keeps a large number exact beside a string of many megabytes", () => {
    const text = `{"process":0,"type":"invoke","f":"w","time":1,"value":["${"x".repeat(15e6)}",9007199254740993,0]}`;
    expect((read(jepsenJson, text).all[0]!.value as unknown[])[1]).toEqual({ "#edn": "9007199254740993" });
  });

  it("cannot smuggle in a prototype", () => {
    const json =
      '{"__proto__":{"polluted":1},"process":0,"type":"invoke","f":"read","value":{"__proto__":2},"time":1}';
    const { all, warnings } = read(jepsenJson, json);
    expect(warnings).toContain('unknown field "__proto__" ignored (line 1)');
    expect(Object.keys(all[0]?.value as object)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(read(jepsenEdn, good.replace("nil", "{:__proto__ {:polluted 1}}")).events).toBe(1);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("Jepsen's JSON", () => {
  const line = (members: object) => JSON.stringify({ process: 0, time: 1, ...members });

  it("is read as lines, as one array, pretty-printed, and with colons", () => {
    const events = [
      { process: 0, type: "invoke", f: "write", value: 3, time: 1, index: 0 },
      { process: "nemesis", type: "info", f: "start", value: { b: 1, a: 2 }, time: 2, index: 1 },
      { process: 0, type: "ok", f: "write", value: 3, time: 3, index: 2 },
    ];
    const colons = events.map((one) => ({ ...one, type: `:${one.type}`, f: `:${one.f}` }));
    for (const text of [
      events.map((one) => `${JSON.stringify(one)}\n`).join(""),
      JSON.stringify(events),
      JSON.stringify(events, null, 2),
      colons
        .map((one) => JSON.stringify(one))
        .join("\r\n")
        .replace('"nemesis"', '":nemesis"'),
    ]) {
      const { all, warnings } = read(jepsenJson, text);
      expect(warnings).toEqual([]);
      expect(brief(all)).toEqual([
        [0, "invoke", "write", undefined, 3],
        ["nemesis", "info", "start", undefined, { a: 2, b: 1 }],
        [0, "ok", "write", undefined, undefined],
      ]);
      expect(JSON.stringify(all[1]?.value)).toBe('{"a":2,"b":1}');
    }
  });

  it("keeps two large numbers apart that doubles would make one", () => {
    const text =
      '{"process":0,"type":"invoke","f":"write","value":[9007199254740993,"9007199254740993",-12345678901234567890,1234567890.1234567],"time":1}';
    expect(read(jepsenJson, text).all[0]?.value).toEqual([
      { "#edn": "9007199254740993" },
      "9007199254740993",
      { "#edn": "-12345678901234567890" },
      1234567890.1234567,
    ]);
  });

  it("has independent keys and transactions like the EDN", () => {
    const { all } = read(
      jepsenJson,
      [
        line({ type: "invoke", f: "cas", value: [5, [1, 2]] }),
        line({ type: "info", f: "cas", value: [5, [1, 2]], error: ["timeout"] }),
      ].join("\n"),
    );
    expect(brief(all)).toEqual([
      [0, "invoke", "cas", "5", [1, 2]],
      [0, "info", "cas", "5", undefined],
    ]);
    expect(all[1]?.error).toBe('["timeout"]');
    expect(
      read(jepsenJson, line({ type: "invoke", f: "txn", value: [["append", 1, 2]] })).all[0]?.value,
    ).toEqual([["append", "1", 2]]);
  });

  it("names the line that is wrong", () => {
    expect(complaint(jepsenJson, `${line({ type: "invoke", f: "read" })}\n{oops}`)).toMatch(
      /^line 2 of the history: it is not JSON/,
    );
    expect(complaint(jepsenJson, `${line({ type: "invoke", f: "read" })}\n"x"`)).toContain(
      "line 2 of the history: it is no object",
    );
    expect(complaint(jepsenJson, line({ process: "0", type: "invoke", f: "read" }))).toContain(
      '"process" is "0"',
    );
    expect(complaint(jepsenJson, `[${line({ type: "invoke", f: "read" })}] 5`)).toContain(
      "something follows the closing bracket",
    );
  });
});

describe("Jepsen's log", () => {
  const log = [
    "2014-01-01 INFO  jepsen.core - starting",
    "INFO  jepsen.util - 0\t:invoke\t:write\t1",
    "INFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]",
    "INFO  jepsen.util - :nemesis\t:info\t:start\tnil",
    "INFO  jepsen.util - 0\t:ok\t:write\t1",
    "INFO  jepsen.util - 1\t:fail\t:cas\t[3 4]",
    "INFO  jepsen.util - 1\t:invoke\t:read\tnil",
    "INFO  jepsen.util - 1\t:fail\t:read\t:timed-out",
    "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]",
    "INFO  jepsen.util - 0\t:info\t:cas\t:timed-out",
    "",
  ].join("\n");

  it("is read line by line, a failed compare-and-set as an observation", () => {
    const { all, warnings, truncated } = read(jepsenLog, log);
    expect(truncated).toBe(false);
    expect(brief(all)).toEqual([
      [0, "invoke", "write", undefined, 1],
      [1, "invoke", "cas", undefined, [3, 4]],
      ["nemesis", "info", "start", undefined, null],
      [0, "ok", "write", undefined, undefined],
      [1, "ok", "cas", undefined, undefined],
      [1, "invoke", "read", undefined, null],
      [1, "fail", "read", undefined, undefined],
      [0, "invoke", "cas", undefined, [1, 2]],
      [0, "info", "cas", undefined, undefined],
    ]);
    expect(all[4]?.matched).toBe(false);
    expect(warnings).toEqual([
      "a line that is no operation ignored (line 1)",
      "operations without a time are shown 1 ms apart (first at line 2, 9 times)",
    ]);
    expect(read(jepsenLog, log, { failedCas: "ignored" }).all[4]?.type).toBe("fail");
  });

  it("leaves out a last line without its end, whose number may have lost digits", () => {
    const { all, truncated } = read(
      jepsenLog,
      "INFO  jepsen.util - 0\t:invoke\t:write\t12\nINFO  jepsen.util - 0\t:ok\t:write\t1",
    );
    expect([all.length, truncated]).toEqual([1, true]);
  });

  it("names the line that is wrong", () => {
    expect(complaint(jepsenLog, "INFO  jepsen.util - 0\t:invoke\t:write\t[1\n")).toContain(
      "line 1 of the history",
    );
    expect(complaint(jepsenLog, "x\nINFO  jepsen.util - 0\t:ok\t:write\t1\n")).toContain(
      "line 2 of the history: process 0",
    );
  });
});

describe("a key-value history over strings", () => {
  const sample = ops(
    ':process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"',
    ':process 1, :type :invoke, :f :get, :key "5", :value nil',
    ':process 0, :type :ok, :f :append, :key "0", :value "x 0 0 y"',
    ':process 1, :type :ok, :f :get, :key "5", :value ""',
    ':process 0, :type :invoke, :f :put, :key "5", :value "é"',
  );

  it("is read with its keys and strings", () => {
    const { all, warnings } = read(kvStrings, sample);
    expect(brief(all)).toEqual([
      [0, "invoke", "append", "0", "x 0 0 y"],
      [1, "invoke", "get", "5", null],
      [0, "ok", "append", "0", undefined],
      [1, "ok", "get", "5", ""],
      [0, "invoke", "put", "5", "é"],
    ]);
    expect(warnings).toContainEqual(expect.stringContaining("1 operation never completed"));
  });

  it("is read from JSON as well", () => {
    const text =
      '{"process":0,"type":"invoke","f":"get","key":"0","value":null}\n{"process":0,"type":"ok","f":"get","key":"0","value":null}';
    expect(brief(read(kvStringsJson, text).all)).toEqual([
      [0, "invoke", "get", "0", null],
      [0, "ok", "get", "0", ""],
    ]);
  });

  it("refuses what is not of it, by line", () => {
    expect(complaint(kvStrings, ops(':process 0, :type :invoke, :f :put, :key 5, :value "a"'))).toContain(
      'line 1 of the history: "key" is 5',
    );
    expect(complaint(kvStrings, ops(':process 0, :type :invoke, :f :put, :key "5", :value 1'))).toContain(
      "it must be a string",
    );
    expect(complaint(kvStrings, ops(':process 0, :type :invoke, :f :cas, :key "5", :value 1'))).toContain(
      "get, put or append",
    );
  });

  it("is written as Porcupine reads it: what has no known outcome has no completion", () => {
    const event = (index: number, rest: Partial<HistoryEvent>): HistoryEvent => ({
      index,
      time: 1,
      process: 0,
      type: "invoke",
      f: "put",
      ...rest,
    });
    const texts: string[] = [];
    const written = kvStrings.write!(
      [
        event(0, { f: "write", key: "k", value: 'a"b' }),
        event(1, { f: "write", key: "k", type: "ok", value: null }),
        event(2, { process: "nemesis", type: "info", f: "kill" }),
        event(3, { f: "read", key: "k" }),
        event(4, { f: "read", type: "ok", value: null }),
        event(5, { f: "append", key: "k", value: "c" }),
        event(6, { f: "append", type: "info" }),
      ],
      (text) => texts.push(text),
    );
    expect(texts.join("")).toBe(
      ops(
        ':process 0, :type :invoke, :f :put, :key "k", :value "a\\"b"',
        ':process 0, :type :ok, :f :put, :key "k", :value "a\\"b"',
        ':process 0, :type :invoke, :f :get, :key "k", :value nil',
        ':process 0, :type :ok, :f :get, :key "k", :value ""',
        ':process 0, :type :invoke, :f :append, :key "k", :value "c"',
      ),
    );
    expect(written.leftOut).toEqual(["times, nodes and errors", "1 nemesis events"]);
    expect(() => kvStrings.write!([event(0, { f: "delete", key: "k" })], () => {})).toThrow(
      "has only get, put and append",
    );
    expect(() => kvStrings.write!([event(0, { key: "k", value: 5 })], () => {})).toThrow(
      "this format has strings only",
    );
  });
});
