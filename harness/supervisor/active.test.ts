import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { childProgram } from "../package-root.ts";
import { healLeftovers, openActiveRecord } from "./active.ts";
import { hasProc, isAlive, ownStartTime, signalProcess, startTimeOf } from "./process-tree.ts";

let runsDir: string;
const idlers: ReturnType<typeof spawn>[] = [];

beforeEach(() => {
  runsDir = mkdtempSync(join(tmpdir(), "acked-active-test-"));
});

afterEach(() => {
  for (const idler of idlers.splice(0)) idler.kill("SIGKILL");
  rmSync(runsDir, { recursive: true, force: true });
});

/** A process of the test's own, which nobody else may touch. */
function idler(): { pid: number; startTime: string } {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  idlers.push(child);
  const pid = child.pid ?? 0;
  return { pid, startTime: startTimeOf(pid) ?? "" };
}

/** A record like one of ours, with some members replaced. */
function leaveRecord(changes: object): string {
  const mine = openActiveRecord(runsDir);
  const record = JSON.parse(readFileSync(mine.path, "utf8"));
  mine.close();
  const path = join(runsDir, ".active", "left.json");
  writeFileSync(path, JSON.stringify({ ...record, ...changes }));
  return path;
}

const deadOwner = { pid: 4_194_303, startTime: "1" };

it.runIf(hasProc)("heals what a killed acked left: a stopped child, an orphan, a directory", async () => {
  const program = childProgram("harness/supervisor/fixtures/owner.js");
  const owner = spawn(process.execPath, [program, runsDir, join(runsDir, "store.log"), "waits"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  idlers.push(owner);
  const line = await new Promise<string>((resolve) =>
    owner.stdout?.once("data", (data) => resolve(String(data))),
  );
  const { child, grandchild, temporary } = JSON.parse(line);
  expect(await healLeftovers(runsDir)).toEqual([]); // its owner lives
  owner.kill("SIGKILL");
  await new Promise((resolve) => owner.once("close", resolve));
  expect([child, grandchild].map((pid) => startTimeOf(pid) !== undefined)).toEqual([true, true]);

  const [sentence, ...more] = await healLeftovers(runsDir);
  expect(more).toEqual([]);
  expect(sentence).toContain(
    `an earlier acked (pid ${owner.pid}) ended without cleaning up: 2 of its processes`,
  );
  for (const pid of [child, grandchild]) {
    const startTime = startTimeOf(pid);
    expect(startTime !== undefined && isAlive({ pid, startTime })).toBe(false);
  }
  expect(existsSync(temporary)).toBe(false);
  expect(readdirSync(join(runsDir, ".active"))).toEqual([]);
});

it("does not touch a process that only has the pid of a recorded one", async () => {
  const bystander = idler();
  const path = leaveRecord({ owner: deadOwner, children: [{ pid: bystander.pid, startTime: "12345" }] });
  await healLeftovers(runsDir);
  expect(isAlive(bystander)).toBe(true);
  expect(existsSync(path)).toBe(false);
  expect(signalProcess({ pid: bystander.pid, startTime: "12345" }, "SIGKILL")).toBe(false);
  expect(isAlive(bystander)).toBe(true);
});

it("does not kill after a reboot, when pids and start times begin anew", async () => {
  const bystander = idler();
  const path = leaveRecord({ owner: deadOwner, bootId: "another boot", children: [bystander] });
  await healLeftovers(runsDir);
  expect(isAlive(bystander)).toBe(true);
  expect(existsSync(path)).toBe(false);
});

it("leaves the record of another container alone", async () => {
  const bystander = idler();
  const path = leaveRecord({ owner: deadOwner, namespace: "pid:[1]", children: [bystander] });
  expect(await healLeftovers(runsDir)).toEqual([]);
  expect(isAlive(bystander)).toBe(true);
  expect(existsSync(path)).toBe(true);
});

it("removes nothing but acked-… paths in a temporary directory, whatever a record says", async () => {
  const precious = join(runsDir, "acked-precious");
  mkdirSync(precious);
  const ours = mkdtempSync(join(tmpdir(), "acked-left-"));
  const foreign = mkdtempSync(join(tmpdir(), "other-"));
  leaveRecord({
    owner: deadOwner,
    temporary: [precious, foreign, `${ours}/../${foreign.split("/").at(-1)}`, ours],
  });
  await healLeftovers(runsDir);
  expect([precious, foreign, ours].map((path) => existsSync(path))).toEqual([true, true, false]);
  rmSync(foreign, { recursive: true });
  const mine = openActiveRecord(runsDir);
  expect(() => mine.addTemporary(precious)).toThrow("directly below a temporary directory");
  mine.close();
});

it("sets a damaged record aside, and says so once", async () => {
  mkdirSync(join(runsDir, ".active"));
  writeFileSync(join(runsDir, ".active", "1-1.json"), '{"formatVersion":1,"owner"');
  const [sentence] = await healLeftovers(runsDir);
  expect(sentence).toContain("is not a record of acked's");
  expect(await healLeftovers(runsDir)).toEqual([]);
});

it("knows nothing to heal where nothing ever ran", async () => {
  expect(await healLeftovers(join(runsDir, "missing"))).toEqual([]);
});

it("keeps the owner's identity and every living child in the record", () => {
  const mine = openActiveRecord(runsDir);
  mine.addChild({ pid: 7, startTime: "8" });
  mine.removeChild({ pid: 7, startTime: "8" });
  mine.addChild({ pid: 9, startTime: "10" });
  const record = JSON.parse(readFileSync(mine.path, "utf8"));
  expect(record.owner).toEqual({ pid: process.pid, startTime: ownStartTime() });
  expect(record.children).toEqual([{ pid: 9, startTime: "10" }]);
  mine.close();
});
