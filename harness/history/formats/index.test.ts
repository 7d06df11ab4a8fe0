import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScenarioError } from "../../../stores/contract.ts";
import type { HistoryEvent } from "../operation.ts";
import {
  detectFormat,
  exportHistory,
  findFormat,
  historyFormats,
  openHistory,
  readHistory,
} from "./index.ts";

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-formats-"));
  path = join(directory, "history");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const invoke: HistoryEvent = {
  index: 0,
  time: 5,
  process: 0,
  type: "invoke",
  f: "write",
  key: "k",
  value: "a",
};
const ok: HistoryEvent = { index: 1, time: 9, process: 0, type: "ok", f: "write", key: "k" };

describe("the format of a file", () => {
  it.each<[string, string]>([
    ["acked", JSON.stringify(invoke)],
    [
      "acked",
      '{"index":0,"time":5,"process":"nemesis","type":"info","f":"ready","node":"n1","incarnation":0}',
    ],
    ["acked", '{"index":0,"time":5,"process":0,"type":"invoke","f":"cas","value":["a","b"]}'],
    [
      "acked",
      `{"index":0,"time":5,"process":0,"type":"invoke","f":"write","value":"${"x".repeat(100_000)}"}`,
    ],
    ["acked", ""],
    ["jepsen-json", '{"index":0,"time":5,"process":0,"type":"invoke","f":"read","value":[1,null]}'],
    ["jepsen-json", '{"index":0,"time":5,"process":0,"type":"invoke","f":"cas","value":[1,[2,3]]}'],
    ["jepsen-json", '{"index":0,"time":5,"process":0,"type":"invoke","f":"txn","value":[["append",1,2]]}'],
    ["jepsen-json", '{"index":0,"time":5,"process":0,"type":"invoke","f":"w","value":1,"acked/node":"n1"}'],
    ["jepsen-json", '[{"process":0,"type":":invoke","f":":read"}]'],
    ["jepsen-json", '[\n  {\n    "process": 0}]'],
    ["jepsen-edn", "{:process 0, :type :invoke}"],
    ["jepsen-edn", "[{:type :invoke, :f :read}]"],
    ["jepsen-edn", "; comment\n[#jepsen.history.Op{:index 0, :key 5}]"],
    ["kv-edn", '{:process 0, :type :invoke, :f :get, :key "0", :value nil}'],
    ["kv-json", '{"process":0,"type":"invoke","f":"append","key":"0","value":"x"}'],
    ["jepsen-log", "something\nINFO  jepsen.util - 0\t:invoke\t:write\t1\n"],
  ])("is %s for %s", (name, text) => {
    for (const one of [text, `\ufeff${text}`, `\n\n${text}\r\n`]) {
      writeFileSync(path, one);
      expect(detectFormat(path).name).toBe(name);
    }
  });

  it("is none for anything else, and says which are known", () => {
    writeFileSync(path, "hello");
    expect(() => openHistory(path)).toThrow(
      "of no known format (columnar, acked, kv-edn, kv-json, jepsen-edn",
    );
    expect(() => openHistory(join(directory, "none"))).toThrow("the history cannot be read: ENOENT");
    expect(() => findFormat("jepsen-edm")).toThrow(ScenarioError);
    expect(() => findFormat("jepsen-edm")).toThrow(
      'there is no history format "jepsen-edm" (did you mean jepsen-edn?)',
    );
  });

  it("has a name and a sentence for every one", () => {
    expect(new Set(historyFormats.map(({ name }) => name)).size).toBe(historyFormats.length);
    for (const { summary } of historyFormats) expect(summary.length).toBeGreaterThan(20);
  });
});

describe("an option that is Jepsen's only", () => {
  it("is refused where the file is read as something else, and taken where it is Jepsen's", () => {
    writeFileSync(path, `${JSON.stringify(invoke)}\n`);
    const pairs = () => readHistory(path, { independent: false });
    expect(pairs).toThrow(ScenarioError);
    expect(pairs).toThrow(
      "--independent says how to read jepsen-edn, jepsen-json, jepsen-log, and the history is read as acked",
    );
    expect(() => openHistory(path, { failedCas: "observation" })).toThrow("--failed-cas says how to read");
    for (const { name } of historyFormats) {
      const read = () => readHistory(path, { format: name, failedCas: "ignored", independent: true });
      if (name.startsWith("jepsen")) expect(read).not.toThrow();
      else expect(read).toThrow(ScenarioError);
    }
    expect(openHistory(path, { independent: "auto" }).format).toBe("acked");
  });
});

describe("opening our own lines", () => {
  it("gives operations, and remarks on what it did not know", () => {
    const more = { ...ok, extra: 1, "another one": 2 };
    writeFileSync(
      path,
      `${JSON.stringify({ ...invoke, extra: 0 })}\n\n${JSON.stringify(more)}\n{"index":2,"ti`,
    );
    const { history, ...rest } = openHistory(path, { workload: "register" });
    expect(history.operations[0]).toMatchObject({ workload: "register", key: "k", outcome: "ok" });
    expect(rest).toEqual({
      events: 2,
      truncated: true,
      format: "acked",
      warnings: [
        'unknown field "extra" ignored (first at line 1, 2 times)',
        'unknown field "another one" ignored (line 3)',
      ],
    });
  });

  it("explains by lines what fits no invocation", () => {
    writeFileSync(
      path,
      `${JSON.stringify(invoke)}\n\n${JSON.stringify(ok)}\n${JSON.stringify({ ...ok, index: 7 })}\n`,
    );
    expect(() => openHistory(path)).toThrow(
      'line 4 of the history: process 0 completed "write" (ok), but its last invocation ("write" of line 1) had already been completed at line 3 (ok)',
    );
  });
});

describe("an export", () => {
  it("converts a file, counts, and repeats what reading it remarked", () => {
    writeFileSync(path, "{:process 0, :type :invoke, :f :write, :value [1 2], :time 1, :x 1}\n");
    const out = join(directory, "out.jsonl");
    expect(exportHistory(path, "acked", out)).toEqual({
      events: 1,
      leftOut: [],
      warnings: [
        'unknown field "x" ignored (line 1)',
        `1 operation never completed: it may have happened or not (process 0's "write" of line 1)`,
      ],
    });
    expect(readFileSync(out, "utf8")).toBe(
      '{"index":0,"time":1,"process":0,"type":"invoke","f":"write","key":"1","value":2}\n',
    );
  });

  it("keeps the operations of one workload, and the nemesis", () => {
    const out = join(directory, "out");
    const all = [
      { ...invoke, workload: "kv" },
      { ...invoke, index: 1, process: 1, workload: "bank" },
      { ...invoke, index: 2, process: "nemesis" as const, type: "info" as const },
    ];
    exportHistory(all, "acked", out, { workload: "kv" });
    expect(readFileSync(out, "utf8").match(/"index":\d/g)).toEqual(['"index":0', '"index":2']);
  });

  it("keeps completions with their invocations, whether they name the workload or not", () => {
    const out = join(directory, "out");
    const all = [
      { ...invoke, workload: "kv" },
      { ...invoke, index: 1, process: 1, workload: "bank" },
      { ...ok, index: 2, process: 1 },
      { ...ok, index: 3 },
    ];
    for (const name of ["acked", "columnar"]) {
      expect(exportHistory(all, name, out, { workload: "kv" }).events).toBe(2);
      expect(openHistory(out).history.operations).toMatchObject([{ call: 0, return: 3, outcome: "ok" }]);
    }
  });

  it("of a workload that no operation is of is refused, and names those there are", () => {
    const out = join(directory, "out");
    const named = [
      { ...invoke, workload: "kv" },
      { ...invoke, index: 1, process: 1, workload: "bank" },
    ];
    for (const { name, write, writeFile } of historyFormats) {
      if (!write && !writeFile) continue;
      const asked = (events: readonly HistoryEvent[]) => () =>
        exportHistory(events, name, out, { workload: "nosuch" });
      expect(asked(named)).toThrow('no operation is of the workload "nosuch": there are "bank", "kv"');
      expect(asked([invoke])).toThrow("its operations do not name one");
      expect(asked([])).toThrow("there are no operations");
      expect(existsSync(out)).toBe(false);
    }
  });

  it("leaves nothing behind when it fails, and what was there before stays", () => {
    const out = join(directory, "out");
    writeFileSync(out, "before");
    const mixed = [
      { index: 0, time: 0, process: 1, type: "invoke" as const, f: "read" },
      { ...invoke, index: 1 },
    ];
    expect(() => exportHistory(mixed, "jepsen-edn", out)).toThrow("independent: true");
    expect(readFileSync(out, "utf8")).toBe("before");
    expect(existsSync(`${out}.partial`)).toBe(false);
    expect(() => exportHistory([invoke], "acked", join(directory, "none", "x"))).toThrow(
      "cannot be created: ENOENT",
    );
  });
});

describe("a large file", () => {
  const megabytes = 100;
  const value = "v".repeat(50_000);

  it.each<[string, (index: number) => string]>([
    ["jepsen-edn", () => `{:process :nemesis, :type :info, :f :x, :time 1, :value "${value}"}\n`],
    ["jepsen-json", () => `{"process":"nemesis","type":"info","f":"x","time":1,"value":"${value}"}\n`],
    [
      "acked",
      (index) => `{"index":${index},"time":1,"process":"nemesis","type":"info","f":"x","value":"${value}"}\n`,
    ],
  ])("of format %s is read in less memory than it is large", (name, line) => {
    const fd = openSync(path, "w");
    let lines = 0;
    for (let written = 0; written < megabytes * 1e6; lines++) written += writeSync(fd, line(lines));
    closeSync(fd);
    const before = process.memoryUsage().rss;
    let most = before;
    let events = 0;
    for (const _ of readHistory(path, { format: name }).events) {
      if (++events % 20 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    expect(events).toBe(lines);
    // Measured: 1 to 23 MB, most of it garbage that was not collected yet.
    expect(most - before).toBeLessThan(0.6 * megabytes * 1e6);
  });
});
