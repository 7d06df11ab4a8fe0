/** The kill at its two kinds of moments, on real processes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, expect, it } from "vitest";
import type { Store } from "../../stores/contract.ts";
import type { FaultTarget, NodeProcess } from "../contract.ts";
import { findWorkingCompiler } from "../front-ends/build-interposer.ts";
import { InterposedDirectory } from "../front-ends/fixtures/interposed.ts";
import { kill } from "./kill.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: kills at the nth call need Linux and a C compiler (gcc)");

const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

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
  return { child, target: { node: process_ } as FaultTarget };
}

const momentsDrawn = (store: Partial<Store>) =>
  new Set(fc.sample(kill.parameters(store as Store), { seed: 3, numRuns: 300 }).map(({ at }) => at));

it("is drawn at moments that the store meets, and by time alone for one that performs nothing regularly", () => {
  expect(momentsDrawn({ performs: ["write", "sync", "rename"] })).toEqual(
    new Set(["time", "write", "sync", "rename"]),
  );
  expect(momentsDrawn({})).toEqual(new Set(["time", "write", "sync"]));
  expect(momentsDrawn({ interposable: false })).toEqual(new Set(["time", "write", "sync"])); // through the broker
  expect(momentsDrawn({ performs: [] })).toEqual(new Set(["time"]));
});

it("kills after its delay, and has not fired before", async () => {
  const { child, target } = await node();
  const injection = kill.inject({ at: "time", side: "before", nth: 1, delayMs: 20 }, target);
  expect(injection.fired()).toBeUndefined();
  const [, signal] = await once(child, "exit");
  expect(signal).toBe("SIGKILL");
  expect(injection.fired()).toMatchObject({ at: "time", pid: child.pid, firstAtNs: expect.any(Number) });
  injection.heal();
});

it("never kills once healed, nor claims a process that had ended by itself", async () => {
  const { child, target } = await node();
  const healed = kill.inject({ at: "time", side: "before", nth: 1, delayMs: 5 }, target);
  healed.heal();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(child.signalCode).toBeNull();
  child.kill("SIGTERM");
  await once(child, "exit");
  const late = kill.inject({ at: "time", side: "before", nth: 1, delayMs: 0 }, target);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([healed.fired(), late.fired()]).toEqual([undefined, undefined]);
});

it("without an interposer kills by time instead, and its evidence says so", async () => {
  const { child, target } = await node();
  const injection = kill.inject({ at: "sync", side: "after", nth: 9, delayMs: 0 }, target);
  await once(child, "exit");
  expect(injection.fired()).toMatchObject({ at: "time", planned: "sync" });
});

it.skipIf(!compiler)("kills before or after the nth call of any file of the store", async () => {
  for (const [side, exists] of [
    ["before", false],
    ["after", true],
  ] as const) {
    const disk = await InterposedDirectory.create("*.log");
    try {
      const target = { node: { name: "n1" }, disk: disk.control } as unknown as FaultTarget;
      const injection = kill.inject({ at: "rename", side, nth: 2, delayMs: 0 }, target);
      const ended = await disk.calls(
        ...["a", "b", "c"].flatMap((name) => [
          { do: "write", file: `${name}.tmp`, text: "x" } as const,
          { do: "rename", file: `${name}.tmp`, to: `sub/${name}.dat` } as const,
        ]),
      );
      expect(ended.signal).toBe("SIGKILL");
      expect(injection.fired()).toMatchObject({ at: "rename", side, times: 1, path: "sub/b.dat" });
      expect(existsSync(join(disk.path, "sub", "b.dat"))).toBe(exists);
      injection.heal();
    } finally {
      disk.remove();
    }
  }
});
