/**
 * Whoever ends acked early, politely or not, finds a readable history and a clean machine: Ctrl-C at several moments of
 * a run, Ctrl-C twice, and SIGKILL followed by the next start. A moment is recognised by what the run has written, never
 * by the time that has passed. Processes are known by the mark that every child of a run carries in its environment.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { execa, type ResultPromise } from "execa";
import { afterAll, describe, expect, it } from "vitest";
import { packageRoot } from "../harness/package-root.ts";

const acked = join(packageRoot, "dist", "scripts", "acked.js");
const scratch = mkdtempSync(join(tmpdir(), "acked-interruption-"));
const deadlineMs = 40_000;
let outs = 0;

/** A history cut short may hold too little to be judged (2); it must never be unreadable (3) or wrong (1). */
const readable = [0, 2];

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Going {
  readonly pid: number;
  readonly out: string;
  readonly child: ResultPromise<typeof options>;
}

const options = {
  cwd: scratch,
  reject: false,
  stdin: "ignore",
  timeout: 60_000,
  killSignal: "SIGKILL",
  env: { GITHUB_ACTIONS: "", GITHUB_STEP_SUMMARY: "" },
} as const;

/** A run that would last far longer than its test. */
function begin(...args: readonly string[]): Going {
  return beginCommand("chaos", "--seconds", "50", "--seed", "11", "--workload", "register", ...args);
}

function beginCommand(...args: readonly string[]): Going {
  const out = join(scratch, `runs-${outs++}`);
  const child = execa(process.execPath, [acked, ...args, "--out", out], options);
  if (child.pid === undefined) throw new Error("acked could not be started");
  return { pid: child.pid, out, child };
}

/** Waits until a file of the newest run holds a text. */
async function until(going: Going, file: string, text: string): Promise<void> {
  const path = join(going.out, "latest", file);
  const deadline = performance.now() + deadlineMs;
  while (!textOf(path).includes(text)) {
    if (going.child.exitCode !== null || performance.now() > deadline) {
      throw new Error(`${file} never held ${text}: ${JSON.stringify(await going.child)}`);
    }
    await after(10);
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

interface Leftovers {
  /** pid, state and command line of every process that carries the run's mark. */
  readonly processes: readonly string[];
  readonly temporary: readonly string[];
}

/** What of this acked is still there; `temporary` are the paths that its record promised to remove. */
function leftovers(pid: number, promised: readonly string[]): Leftovers {
  const mark = `ACKED_RUN=${pid}-`;
  const marked = readdirSync("/proc").filter(
    (name) => /^\d+$/.test(name) && textOf(`/proc/${name}/environ`).includes(mark),
  );
  return {
    processes: marked.map((name) => `${name} ${textOf(`/proc/${name}/stat`)}`),
    temporary: promised.filter((path) => existsSync(path)),
  };
}

const clean: Leftovers = { processes: [], temporary: [] };

/** The records of running or dead ackeds below this `--out`. */
function records(
  out: string,
): { readonly temporary: readonly string[]; readonly children: readonly unknown[] }[] {
  const directory = join(out, ".active");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith(".json"))
    .map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")));
}

const promisedBy = (out: string) => records(out).flatMap((record) => record.temporary);

async function checkOf(run: string) {
  return execa(process.execPath, [acked, "check", run, "--model", "register", "--json"], options);
}

describe.runIf(process.platform === "linux")("Ctrl-C", { timeout: 120_000 }, () => {
  it.each([
    ["during the instrument check", [], "instrument-check/history.jsonl", '"invoke"'],
    ["under load", ["--fault", "none"], "history.jsonl", '"type":"ok"'],
    ["right after a crash", ["--fault", "kill"], "history.jsonl", '"event":"fired"'],
    ["while the store is stopped by SIGSTOP", ["--fault", "pause"], "history.jsonl", '"event":"fired"'],
    ["while the network is cut", ["--fault", "partition"], "history.jsonl", '"event":"fired"'],
  ] as const)(
    "%s leaves a readable history, a report and nothing else",
    async (_moment, args, file, text) => {
      const going = begin(...args);
      await until(going, file, text);
      const promised = promisedBy(going.out);
      process.kill(going.pid, "SIGINT");
      const { exitCode, stdout, stderr } = await going.child;
      expect(stderr).toMatch(/stopping/);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(stdout).toMatch(/UNKNOWN[\s\S]*interrupted/);
      // That a check, a cycle or a fault did not come to its end says nothing against any of them.
      const blamed = /instrument check FAILED|instrument check failed|no cycle fitted|armed and never fired/;
      expect(stderr + stdout + textOf(join(going.out, "latest", "results.json"))).not.toMatch(blamed);
      expect(exitCode).toBe(2);
      expect(leftovers(going.pid, promised)).toEqual(clean);
      expect(records(going.out)).toEqual([]);
      const run = join(going.out, "latest");
      expect(textOf(join(run, "report.html"))).toMatch(/<html/i);
      expect(JSON.parse(textOf(join(run, "results.json")))).toMatchObject({
        interrupted: true,
        verdict: "unknown",
      });
      const checked = await checkOf(run);
      expect(checked.stderr).toBe("");
      expect(readable).toContain(checked.exitCode);
    },
  );

  it("twice ends acked at once, and still leaves no process", async () => {
    const going = begin("--fault", "kill");
    await until(going, "history.jsonl", '"type":"ok"');
    const promised = promisedBy(going.out);
    process.kill(going.pid, "SIGINT");
    try {
      process.kill(going.pid, "SIGINT");
    } catch {
      // it had ended already
    }
    const { exitCode } = await going.child;
    expect([2, 130]).toContain(exitCode); // both may arrive as one
    expect(leftovers(going.pid, promised)).toEqual(clean);
    expect(readable).toContain((await checkOf(join(going.out, "latest"))).exitCode);
  });
});

describe.runIf(process.platform === "linux")("Ctrl-C of a gate", { timeout: 120_000 }, () => {
  it("ends it with the check that is made, and is no pass", async () => {
    const going = beginCommand("gate");
    await until(going, "history.jsonl", '"type":"ok"');
    process.kill(going.pid, "SIGINT");
    const { exitCode, stdout, stderr } = await going.child;
    expect(stderr.match(/stopping/g)).toHaveLength(1);
    expect(stdout).toMatch(/^gate: interrupted; [01] of 1 as they must be/m);
    expect(stdout.split("\n")).toHaveLength(2);
    expect(exitCode).toBe(2);
    expect(leftovers(going.pid, [])).toEqual(clean);
  });
});

describe.runIf(process.platform === "linux")("SIGKILL of acked", { timeout: 120_000 }, () => {
  it.each([
    ["under load", ["--fault", "none"], '"type":"ok"'],
    ["while the store is stopped by SIGSTOP", ["--fault", "pause"], '"event":"fired"'],
  ] as const)("%s is healed by the next start, and the history can be read", async (_moment, args, text) => {
    const going = begin(...args);
    await until(going, "history.jsonl", text);
    process.kill(going.pid, "SIGKILL");
    await going.child;
    const promised = promisedBy(going.out);
    const dead = readlinkSync(join(going.out, "latest"));
    expect(records(going.out)).toHaveLength(1);

    const next = await execa(
      process.execPath,
      [acked, "chaos", "--fault", "none", "--workload", "register", "--seconds", "4", "--out", going.out],
      options,
    );
    expect(next.stderr).toMatch(new RegExp(`earlier acked \\(pid ${going.pid}\\) ended without cleaning up`));
    expect(next.exitCode).toBe(0);
    expect(leftovers(going.pid, promised)).toEqual(clean);
    expect(records(going.out)).toEqual([]);
    expect(readable).toContain((await checkOf(join(going.out, dead))).exitCode);
  });
});
