import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import type { FaultTarget, Injection, NodeProcess } from "../contract.ts";
import { pause } from "./pause.ts";
import { stop } from "./stop.ts";

const children: ReturnType<typeof spawn>[] = [];
const injections: Injection[] = [];

afterEach(() => {
  for (const injection of injections.splice(0)) injection.heal();
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** A real process of this test's own that idles; the part of a node that the faults act on. */
async function node() {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log('up')"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  children.push(child);
  await once(child.stdout, "data");
  const process_: NodeProcess = {
    name: "n1",
    pid: child.pid ?? 0,
    signal: (signal) => child.kill(signal),
    running: () => child.exitCode === null && child.signalCode === null,
  };
  return { child, pid: process_.pid, target: { node: process_ } as FaultTarget };
}

const state = (pid: number) => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
const onLinux = process.platform === "linux";

it.runIf(onLinux)(
  "a pause has fired when the kernel shows the process stopped, and its heal continues it",
  async () => {
    const { pid, target } = await node();
    const injection = pause.inject({ durationMs: 100 }, target);
    injections.push(injection);
    await expect.poll(() => injection.fired()).toEqual({ pid, state: "T" });
    injection.heal();
    await expect.poll(() => state(pid)).not.toBe("T");
    expect(injection.fired()).toEqual({ pid, state: "T" });
  },
);

it("a pause of a process that has ended does not claim to have fired", async () => {
  const { child, target } = await node();
  child.kill("SIGKILL");
  await once(child, "exit");
  const injection = pause.inject({ durationMs: 100 }, target);
  expect(injection.fired()).toBeUndefined();
  injection.heal();
  expect(injection.fired()).toBeUndefined();
});

it("a graceful stop sends SIGTERM once its time has come", async () => {
  const { child, pid, target } = await node();
  const exit = once(child, "exit");
  const injection = stop.inject({ delayMs: 20 }, target);
  injections.push(injection);
  expect(injection.fired()).toBeUndefined();
  expect(await exit).toEqual([null, "SIGTERM"]);
  expect(injection.fired()).toEqual({ pid, signal: "SIGTERM" });
});

it("a graceful stop that was healed before its time never happens", async () => {
  const { target } = await node();
  const injection = stop.inject({ delayMs: 10 }, target);
  injection.heal();
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(injection.fired()).toBeUndefined();
  expect(target.node.running()).toBe(true);
});
