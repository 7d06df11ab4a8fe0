/**
 * The command line from outside, as a person or a CI job meets it: compiled, in a child process, judged by its exit
 * code and by what it prints. Bad input must end with exit 3 and one sentence, never a stack trace, a hang or a process
 * left running. What the runs find out about a store is other tests' business.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, describe, expect, it } from "vitest";
import { findCompiler } from "../harness/machine.ts";
import { packageRoot } from "../harness/package-root.ts";
import { resolveScenario } from "../harness/scenario.ts";
import { readScenario } from "./saved-scenario.ts";

const acked = join(packageRoot, "dist", "scripts", "acked.js");
const scratch = mkdtempSync(join(tmpdir(), "acked-cli-"));
const runs = join(scratch, "runs");

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Ended {
  readonly code: number | undefined;
  readonly out: string;
  readonly err: string;
}

/** Runs acked to its end. A hang ends as code `undefined`, which no expectation accepts. */
async function run(...args: readonly string[]): Promise<Ended> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [acked, ...args], {
    cwd: scratch,
    reject: false,
    timeout: 45_000,
    stdin: "ignore",
    env: { GITHUB_ACTIONS: "", GITHUB_STEP_SUMMARY: "" },
  });
  return { code: exitCode, out: stdout, err: stderr };
}

/** Exit 3, nothing on stdout, and exactly one line on stderr, which says this. */
async function expectOneSentence(args: readonly string[], saying: RegExp): Promise<void> {
  const { code, out, err } = await run(...args);
  expect(err).toMatch(saying);
  expect(err.trim().split("\n")).toHaveLength(1);
  expect(err).not.toMatch(/^\s+at |node:internal/m);
  expect({ code, out }).toEqual({ code: 3, out: "" });
}

function executable(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** Processes whose command line names the text, our own helpers excepted. */
function processesNaming(text: string): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => commandLine(pid))
    .filter((line) => line.includes(text));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

const chaos = (...args: string[]) => ["chaos", "--out", runs, ...args];

describe("an option that makes no sense ends with one sentence and exit 3", () => {
  writeFileSync(join(scratch, "a-file"), "");
  writeFileSync(join(scratch, "empty.mjs"), "export const nothing = 1;\n");
  writeFileSync(join(scratch, "throws.mjs"), 'throw new Error("no luck");\n');
  const cases: readonly (readonly [name: string, args: readonly string[], saying: RegExp])[] = [
    ["unknown store", chaos("--store", "nope"), /no store "nope".*known: ramlog/],
    ["misspelt store", chaos("--store", "ramlgo"), /did you mean ramlog/],
    [
      "unknown workload",
      chaos("--workload", "nope"),
      /no workload "nope".*known: register, kv, append, bank/,
    ],
    ["unknown fault", chaos("--fault", "nope"), /no fault "nope".*known: kill/],
    ["none beside another fault", chaos("--fault", "kill,none"), /none/],
    ["empty name", chaos("--fault", ","), /empty name/],
    ["unknown option", chaos("--bogus"), /unknown option '--bogus'/],
    ["extra argument", chaos("extra"), /too many arguments/],
    ["durability that is no mode", chaos("--durability", "sometimes"), /not a mode.*always, interval:<ms>/],
    ["interval of 0", chaos("--durability", "interval:0"), /not a mode/],
    ["seed that is no integer", chaos("--seed", "1.5"), /seed is an integer/],
    ["seed beyond 32 bits", chaos("--seed", "2147483648"), /seed is an integer/],
    ["no seconds", chaos("--seconds", "0"), /from 2 to/],
    ["negative seconds", chaos("--seconds", "-3"), /from 2 to|argument missing/],
    ["too many clients", chaos("--clients", "9999"), /from 1 to 256/],
    ["fewer clients than workloads", chaos("--clients", "2"), /--clients 2 is fewer than the 4 workloads/],
    ["out that is a file", ["chaos", "--out", join(scratch, "a-file")], /cannot create.*--out/],
    ["module that is missing", chaos("--store", "./gone.mjs"), /no such file/],
    ["module without a store", chaos("--store", "./empty.mjs"), /no default export/],
    ["module that throws", chaos("--store", "./throws.mjs"), /could not be loaded: no luck/],
    ["command without {port}", chaos("--store", "resp:x --dir {dir}"), /has no \{port\}/],
    ["program that is missing", chaos("--store", "resp:./gone {port} {dir}"), /no executable file .*gone/],
    ["unknown command", ["frobnicate"], /unknown command/],
    ["check without a model", ["check", "a-file"], /--model/],
    ["check of a missing file", ["check", "gone.jsonl", "--model", "kv"], /there is no file gone\.jsonl/],
    ["check with an unknown model", ["check", "a-file", "--model", "nope"], /no model "nope"/],
    ["replay of what is no run", ["replay", "."], /no run directory/],
    ["report of what is no run", ["report", "gone"], /no run directory/],
    ["gate with an unknown option", ["gate", "--bogus"], /unknown option/],
    ["bench with no number", ["bench", "--rounds", "many"], /whole number|invalid/],
  ];

  it.concurrent.each(cases)("%s", async (_name, args, saying) => {
    await expectOneSentence(args, saying);
  });

  it("says where it cannot write, also below a parent that refuses directories", async () => {
    if (process.platform !== "linux") return;
    await expectOneSentence(["chaos", "--out", "/proc/acked-cannot-be-here"], /cannot create.*--out/);
  });

  it("prints one JSON document with --json, too", async () => {
    const { code, out } = await run(...chaos("--store", "nope", "--json"));
    expect(JSON.parse(out)).toMatchObject({ verdict: "unknown", exitCode: 3, command: "chaos" });
    expect(code).toBe(3);
  });
});

describe("a store program that does not work", () => {
  it("is named with its last words when it ends at once", async () => {
    const program = executable("ends.sh", "#!/bin/sh\necho 'bad configuration: line 3' >&2\nexit 7\n");
    const { code, err } = await run(...chaos("--seconds", "3", "--store", `resp:${program} {port} {dir}`));
    expect(err).toMatch(/bad configuration: line 3/);
    expect(err).not.toMatch(/^\s+at /m);
    expect(code).toBe(3);
  });

  it("is refused when it is statically linked and the interposer was asked for", async ({ skip }) => {
    const program = join(scratch, "static-server");
    const source = join(packageRoot, "scripts", "fixtures", "static-server.c");
    const compiler = process.platform === "linux" ? findCompiler() : undefined;
    if (!compiler) return skip("no C compiler, so no interposer to ask for");
    const built = await execa(compiler, ["-static", "-o", program, source], { reject: false });
    if (built.failed) return skip("this machine has no static C library");
    const args = ["--seconds", "3", "--workload", "register", "--fault", "write-error"];
    const { code, err } = await run(...chaos(...args, "--store", `resp:${program} {port} {dir}`));
    expect(err).toMatch(/the interposer is not inside .*static-server.*--fault kill/);
    expect(code).toBe(3);
    expect(processesNaming("static-server")).toEqual([]);
  });

  it("is killed when it never becomes ready, and nothing of it is left", async () => {
    const program = executable("waits.sh", "#!/bin/sh\nsleep 1234567\n");
    const { code, err } = await run(...chaos("--seconds", "3", "--store", `resp:${program} {port} {dir}`));
    expect(err).toMatch(/not ready|never|within/);
    expect(code).toBe(3);
    expect(processesNaming("waits.sh")).toEqual([]);
    expect(processesNaming("1234567")).toEqual([]);
  });
});

describe("chaos", () => {
  it("passes without faults, and prints exactly one JSON document", async () => {
    const { code, out } = await run(...chaos("--fault", "none", "--seconds", "3", "--seed", "7", "--json"));
    const document = JSON.parse(out);
    const { verdict, reasons, exitCode, formatVersion, command, seed } = document;
    expect({ verdict, reasons, exitCode }).toEqual({ verdict: true, reasons: [], exitCode: 0 });
    expect({ formatVersion, command, seed }).toEqual({ formatVersion: 1, command: "chaos", seed: 7 });
    expect(document.counts.acknowledged).toBeGreaterThan(0);
    expect(code).toBe(0);
  });

  it.runIf(process.platform === "linux" && findCompiler())(
    "finds a bug that replay finds again",
    async () => {
      const args = [
        "--store",
        "broken/never-syncs",
        "--workload",
        "register",
        "--fault",
        "kill",
        "--seconds",
        "5",
      ];
      const found = await run(...chaos(...args, "--seed", "1", "--json"));
      const document = JSON.parse(found.out);
      expect(document.findings[0].kind).toBe("acknowledged-without-sync");
      expect(found.code).toBe(1);
      const again = await run("replay", document.runDir, "--out", runs);
      expect(again.err).toMatch(/^reproduced: acknowledged-without-sync in register$/m);
      expect(again.code).toBe(1);
    },
  );
});

describe("check", () => {
  const line = (index: number, process: number, type: string, f: string, value: unknown) =>
    JSON.stringify({ index, time: index * 1000, process, type, f, key: "k", value });
  const good = [
    line(0, 0, "invoke", "write", "a"),
    line(1, 0, "ok", "write", "a"),
    line(2, 1, "invoke", "read", null),
    line(3, 1, "ok", "read", "a"),
  ];

  async function checked(text: string, ...args: readonly string[]): Promise<Ended> {
    const directory = mkdtempSync(join(scratch, "check-"));
    writeFileSync(join(directory, "history.jsonl"), text);
    return run("check", join(directory, "history.jsonl"), "--model", "register", ...args);
  }

  it("accepts a good history, and says the same in JSON", async () => {
    expect(await checked(`${good.join("\n")}\n`)).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringMatching(/PASS/),
    });
    const { out } = await checked(`${good.join("\n")}\n`, "--json");
    expect(JSON.parse(out)).toMatchObject({ verdict: true, exitCode: 0, command: "check", truncated: false });
  });

  it("leaves out a last line that was cut, and says so", async () => {
    const { code, out } = await checked(`${good.join("\n")}\n{"index":4,"time":40`);
    expect(out).toMatch(/last line was cut short/);
    expect(code).toBe(0);
  });

  it("ends with 1 when a read returns what was never written", async () => {
    const { code, out } = await checked([...good.slice(0, 3), line(3, 1, "ok", "read", "other")].join("\n"));
    expect(out).toMatch(/VIOLATION/);
    expect(code).toBe(1);
  });

  it("ends with 1 in JSON, too", async () => {
    const { code, out } = await checked(
      [...good.slice(0, 3), line(3, 1, "ok", "read", "other")].join("\n"),
      "--json",
    );
    expect(JSON.parse(out)).toMatchObject({ verdict: false, exitCode: 1 });
    expect(code).toBe(1);
  });

  it("never passes an empty history", async () => {
    expect((await checked("")).code).toBe(2);
  });

  it.each([
    ["not JSON", "{oops"],
    ["an array", "[1,2]"],
    ["null", "null"],
    ["a number", "1e999"],
    ["no type", '{"index":2,"time":2,"process":1,"f":"read"}'],
    ["a process of 1.5", '{"index":2,"time":2,"process":1.5,"type":"invoke","f":"read"}'],
    ["an index that goes back", '{"index":0,"time":2,"process":1,"type":"invoke","f":"read","key":"k"}'],
    ["a hostile member", '{"__proto__":{"index":2},"time":2,"process":1,"type":"invoke","f":"read"}'],
    ["a control character", "\u0000\u001b[31m"],
  ])("names a bad line by its number: %s", async (_what, bad) => {
    const { code, out, err } = await checked([...good.slice(0, 2), bad, ...good.slice(2)].join("\n"));
    expect(err).toMatch(/line 3\b/);
    expect(err.trim().split("\n")).toHaveLength(1);
    expect({ code, out }).toEqual({ code: 3, out: "" });
  });
});

describe("replay", () => {
  it.each([
    ["no JSON", "{"],
    ["another version's", '{"formatVersion":99}'],
    ["incomplete", '{"formatVersion":1,"store":"ramlog"}'],
  ])("refuses a scenario that is %s", async (_what, text) => {
    const directory = mkdtempSync(join(scratch, "replay-"));
    mkdirSync(join(directory, "data"));
    writeFileSync(join(directory, "scenario.json"), text);
    await expectOneSentence(["replay", directory, "--out", runs], /scenario\.json/);
  });

  it.each([
    ["has no rounds", { members: 2, network: "proxies" }, /cluster\.rounds/],
    ["has a round without steps", { members: 2, network: "proxies", rounds: [{}] }, /cluster\.rounds\.0/],
    ["is on no known network", { members: 2, network: "pigeons", rounds: [] }, /cluster\.network/],
  ])("refuses a scenario whose cluster %s", async (_what, cluster, saying) => {
    const directory = mkdtempSync(join(scratch, "replay-"));
    mkdirSync(join(directory, "data"));
    const { scenario } = await resolveScenario({ store: "postgres-replica", seed: 1, seconds: 5 });
    writeFileSync(join(directory, "scenario.json"), JSON.stringify({ ...scenario, cluster }));
    await expectOneSentence(["replay", directory, "--out", runs], saying);
  });

  it("reads the scenario of a cluster as it was saved", async () => {
    const directory = mkdtempSync(join(scratch, "replay-"));
    const { scenario } = await resolveScenario({ store: "postgres-replica", seed: 1, seconds: 60 });
    writeFileSync(join(directory, "scenario.json"), JSON.stringify(scenario));
    expect(readScenario(directory)).toEqual(JSON.parse(JSON.stringify(scenario)));
  });
});

describe("list and doctor", () => {
  it("list names every store, workload and fault", async () => {
    const { code, out } = await run("list");
    for (const name of [
      "ramlog",
      "broken/never-syncs",
      "register",
      "bank",
      "kill",
      "sync-error",
      "partition",
    ]) {
      expect(out).toContain(name);
    }
    expect(code).toBe(0);
  });

  it("doctor says what the machine can do, and the same in JSON", async () => {
    const text = await run("doctor");
    expect(text.out).toMatch(/Node\.js/);
    expect(text.code).toBe(0);
    const document = JSON.parse((await run("doctor", "--json")).out);
    expect(document).toMatchObject({ formatVersion: 1, command: "doctor" });
    for (const finding of document.findings) expect(finding.ok || finding.cost).toBeTruthy();
  });

  it("help ends with 0 for every command", async () => {
    for (const command of ["chaos", "bench", "check"]) {
      const { code, out } = await run(command, "--help");
      expect(out).toMatch(/^Usage: acked/);
      expect(code).toBe(0);
    }
  });
});
