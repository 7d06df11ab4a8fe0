/** `acked check` and `report --export` from the command line: formats, models, promises, levels, the page, and our own failure. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../harness/package-root.ts";

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "acked-check-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function run(...args: readonly string[]) {
  const command = [join(packageRoot, "dist/scripts/acked.js"), ...args];
  const ended = await execa(process.execPath, command, { cwd: scratch, reject: false, timeout: 60_000 });
  return { code: ended.exitCode, out: ended.stdout, err: ended.stderr };
}

function file(name: string, ...lines: readonly string[]): string {
  const path = join(scratch, name);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** A read of 1 after 2 had been acknowledged, with a fault of the nemesis. */
const staleInJepsen = [
  "{:process 0, :type :invoke, :f :write, :value 1, :time 1000000, :index 0}",
  "{:process 0, :type :ok, :f :write, :value 1, :time 2000000, :index 1}",
  "{:process 1, :type :invoke, :f :write, :value 2, :time 3000000, :index 2}",
  "{:process :nemesis, :type :info, :f :start-partition, :value nil, :time 3500000, :index 3}",
  "{:process 1, :type :ok, :f :write, :value 2, :time 4000000, :index 4}",
  "{:process 2, :type :invoke, :f :read, :value nil, :time 5000000, :index 5}",
  "{:process 2, :type :ok, :f :read, :value 1, :time 6000000, :index 6}",
];

const strings = [
  '{:process 0, :type :invoke, :f :put, :key "x", :value "a"}',
  '{:process 0, :type :ok, :f :put, :key "x", :value "a"}',
  '{:process 1, :type :invoke, :f :append, :key "x", :value "b"}',
  '{:process 1, :type :ok, :f :append, :key "x", :value "b"}',
  '{:process 0, :type :invoke, :f :get, :key "x", :value nil}',
  '{:process 0, :type :ok, :f :get, :key "x", :value "ab"}',
];

const writeSkew = [
  "{:process 0, :type :invoke, :f :txn, :value [[:append 1 1] [:r 2 nil]], :time 1000000, :index 0}",
  "{:process 1, :type :invoke, :f :txn, :value [[:append 2 1] [:r 1 nil]], :time 1100000, :index 1}",
  "{:process 0, :type :ok, :f :txn, :value [[:append 1 1] [:r 2 []]], :time 2000000, :index 2}",
  "{:process 1, :type :ok, :f :txn, :value [[:append 2 1] [:r 1 []]], :time 2100000, :index 3}",
];

describe("a history recorded elsewhere", () => {
  it("in Jepsen's EDN is judged, with the operations that contradict each other", async () => {
    const { code, out } = await run("check", file("stale.edn", ...staleInJepsen), "--model", "register");
    expect(code).toBe(1);
    expect(out).toMatch(/stale-read: the write of 2 \(client 1\) was acknowledged .* returned the older 1$/m);
  });

  it("of get, put and append over strings is judged by --model kv", async () => {
    const good = file("strings.txt", ...strings);
    expect(await run("check", good, "--model", "kv")).toMatchObject({ code: 0 });
    const bad = file("bad.txt", ...strings.slice(0, -1), strings.at(-1)!.replace('"ab"', '"b"'));
    const { code, out } = await run("check", bad, "--model", "kv");
    expect(code).toBe(1);
    expect(out).toMatch(/get of x .* returned "b" at 5 ms, .*; it could meet only the state "ab"/);
  });

  it("of named workloads is judged as one that it has, and never by one member's own reads", async () => {
    const lines = (workload: string, value: number) => [
      `{"type":"invoke","process":0,"workload":"register","f":"write","key":"x","value":1}`,
      `{"type":"ok","process":0,"workload":"register","f":"write","key":"x","value":1}`,
      `{"type":"invoke","process":0,"workload":"register","f":"read","key":"x","value":null}`,
      `{"type":"ok","process":0,"workload":"register","f":"read","key":"x","value":1}`,
      `{"type":"invoke","process":1,"workload":"${workload}","f":"read","key":"x","value":null}`,
      `{"type":"ok","process":1,"workload":"${workload}","f":"read","key":"x","value":${value}}`,
    ];
    const timed = (all: readonly string[]) =>
      all.map((line, index) => line.replace("{", `{"index":${index},"time":${index},`));
    const stale = file("member.jsonl", ...timed(lines("register@n2", 7)));
    const missing = await run("check", stale, "--model", "kv");
    expect(missing).toMatchObject({ code: 3, out: "" });
    expect(missing.err).toMatch(/no such workload .*: kv; it has register, register@n2$/m);
    expect(await run("check", stale, "--model", "register")).toMatchObject({ code: 0 });
    expect(await run("check", stale, "--model", "model:register")).toMatchObject({ code: 0 });
    const wrong = file("asked.jsonl", ...timed(lines("register", 7)));
    expect(await run("check", wrong, "--model", "model:register")).toMatchObject({ code: 1 });
  });

  it("keeps its verdict through every export", async () => {
    const from = file("before.edn", ...staleInJepsen);
    for (const format of ["acked", "columnar", "jepsen-json", "jepsen-edn"]) {
      const to = join(scratch, `exported.${format}`);
      expect(await run("report", from, "--export", format, "--to", to)).toMatchObject({ code: 0 });
      const { code, out } = await run("check", to, "--model", "register", "--json");
      expect(code).toBe(1);
      expect(JSON.parse(out)).toMatchObject({ verdict: false, findings: [{ kind: "stale-read" }] });
    }
  });

  it("is refused in one sentence when the format is unknown, or not what was said", async () => {
    const path = file("stale-2.edn", ...staleInJepsen);
    const unknown = await run("check", path, "--model", "register", "--format", "jepsen-end");
    expect(unknown).toMatchObject({ code: 3, err: expect.stringContaining("did you mean jepsen-edn") });
    const wrong = await run("check", path, "--model", "register", "--format", "acked");
    expect(wrong).toMatchObject({ code: 3, out: "" });
    expect(wrong.err).toMatch(/line 1/);
    expect(wrong.err.trim().split("\n")).toHaveLength(1);
  });
});

describe("what a history is held to", () => {
  it("a stale read is no violation of sequential consistency, and is measured", async () => {
    const path = file("stale-3.edn", ...staleInJepsen);
    const held = (promise: string) =>
      run("check", path, "--model", "register", "--promise", promise, "--json");
    expect(await held("sequential,sessions,staleness")).toMatchObject({ code: 0 });
    const tooOld = await held("staleness:0.5");
    expect(tooOld.code).toBe(1);
    expect(JSON.parse(tooOld.out).findings[0].kind).toBe("too-stale");
  });

  it("write skew rules out serializability, and not snapshot isolation", async () => {
    const path = file("skew.edn", ...writeSkew);
    const strict = await run("check", path, "--model", "list-append");
    expect(strict.code).toBe(1);
    expect(strict.out).toMatch(/g2-item: /);
    expect(strict.out).toMatch(/T1 {2}client 0 .*append 1 to 1/);
    const less = await run("check", path, "--model", "list-append", "--level", "snapshot-isolation");
    expect(less.code).toBe(0);
    expect(less.out).toMatch(/permitted by snapshot-isolation: g2-item/);
  });

  it.each([
    [
      "a level of a register",
      ["--model", "register", "--level", "serializable"],
      /--level is for list-append/,
    ],
    [
      "a promise of transactions",
      ["--model", "list-append", "--promise", "sessions"],
      /--promise is for regist/,
    ],
    ["a second algorithm where there is one", ["--model", "list-append", "--cross-check"], /has one only/],
    ["an unknown promise", ["--model", "kv", "--promise", "eventual"], /"eventual" is none of linearizable/],
    ["a bound where none is", ["--model", "kv", "--promise", "sessions:3"], /sessions takes no bound/],
    [
      "an unknown level",
      ["--model", "list-append", "--level", "acid"],
      /the levels are .*snapshot-isolation/,
    ],
    ["a module that is not there", ["--model", "./gone.mjs"], /gone\.mjs/],
    ["a page in place of the history", ["--model", "list-append", "--html", "any.edn"], /would overwrite/],
  ])("refuses %s in one sentence", async (_what, args, says) => {
    const { code, err, out } = await run("check", file("any.edn", ...writeSkew), ...args);
    expect({ code, out }).toEqual({ code: 3, out: "" });
    expect(err).toMatch(says);
    expect(err.trim().split("\n")).toHaveLength(1);
  });
});

it("report of a file, and an export onto itself, are refused in one sentence", async () => {
  const path = file("alone.edn", ...staleInJepsen);
  expect(await run("report", path)).toMatchObject({
    code: 3,
    err: expect.stringMatching(/goes with --export/),
  });
  const onto = await run("report", path, "--export", "jepsen-edn", "--to", path);
  expect(onto).toMatchObject({ code: 3, err: expect.stringMatching(/would overwrite/) });
});

it("a promise of strings is refused in one sentence", async () => {
  const path = file("promised.txt", ...strings);
  const { code, err } = await run("check", path, "--model", "kv", "--promise", "sequential");
  expect({ code, lines: err.trim().split("\n").length }).toEqual({ code: 3, lines: 1 });
  expect(err).toMatch(/judged for linearizability only/);
});

it("a key that would clear the screen is shown, and not obeyed", async () => {
  const key = JSON.stringify("\u001b[2J");
  const event = (index: number, type: string, f: string, value: unknown) =>
    `{"index":${index},"time":${index},"process":0,"type":"${type}","f":"${f}","key":${key},"node":"n1","value":${JSON.stringify(value)}}`;
  const path = file(
    "escape.jsonl",
    ...[event(0, "invoke", "write", "a"), event(1, "ok", "write", null)],
    ...[event(2, "invoke", "read", null), event(3, "ok", "read", "other")],
  );
  for (const model of ["register", "model:register"]) {
    const { code, out, err } = await run("check", path, "--model", model);
    expect(code).toBe(1);
    expect(out + err).not.toContain("\u001b");
    expect(out).toContain("key \\u001b[2J: ");
  }
});

describe("the page of a check", () => {
  it("is one file that shows the finding, the fault and where the explainable part ends", async () => {
    const html = join(scratch, "page.html");
    const path = file("stale-4.edn", ...staleInJepsen);
    const { code, out } = await run("check", path, "--model", "register", "--html", html);
    expect(code).toBe(1);
    expect(out).toContain(`report ${html}`);
    const text = readFileSync(html, "utf8");
    for (const words of ["stale-read", "start-partition", "explainable up to here"])
      expect(text).toContain(words);
    expect(text).not.toMatch(/(src|href)="https?:/);
    expect(statSync(html).size).toBeLessThan(200_000);
  });
});

describe("a model of one's own", () => {
  const model = (step: string) =>
    `let n = 0;
export default {
  name: "mine", init: () => 0, partition: () => "", readOnly: () => false, refuses: () => undefined,
  equal: (a, b) => a === b, hash: (state) => state, describe: ({ f }) => f,
  step(state, operation) { n++; ${step} },
};`;
  const pushes = ["invoke", "ok", "invoke", "ok"].map(
    (type, i) => `{"index":${i},"time":${i},"process":0,"type":"${type}","f":"push"}`,
  );

  it("is a module that exports it", async () => {
    file("mine.mjs", model('return operation.f === "push" && state < 2 ? state + 1 : undefined;'));
    expect(await run("check", file("two.jsonl", ...pushes), "--model", "./mine.mjs")).toMatchObject({
      code: 0,
    });
    const third = [4, 5].map((i) => pushes[i - 2]!.replace(`"index":${i - 2}`, `"index":${i}`));
    const { code, out } = await run(
      "check",
      file("three.jsonl", ...pushes, ...third),
      "--model",
      "./mine.mjs",
    );
    expect(code).toBe(1);
    expect(out).toContain("not-linearizable");
  });

  it("that throws is named, and is no fault of acked", async () => {
    file("throws.mjs", model('throw new Error("no idea\\nat all");'));
    const { code, err } = await run("check", file("two-3.jsonl", ...pushes), "--model", "./throws.mjs");
    expect(code).toBe(3);
    expect(err).toMatch(/^acked: the model \.\/throws\.mjs failed: .*no idea$/m);
  });

  it("that is no function of state and operation makes two algorithms disagree: exit 4, and the history is saved", async () => {
    file("impure.mjs", model("return n <= 2 ? state + 1 : undefined;"));
    const { code, err } = await run("check", file("two-2.jsonl", ...pushes), "--model", "./impure.mjs");
    expect(code).toBe(4);
    expect(err).toMatch(/disagree, so neither is believed; the history is saved in runs\/checkers-disagree-/);
    const saved = readdirSync(join(scratch, "runs")).find((name) => name.startsWith("checkers-disagree-"))!;
    expect(
      readFileSync(join(scratch, "runs", saved), "utf8")
        .trim()
        .split("\n"),
    ).toHaveLength(4);
  });
});
