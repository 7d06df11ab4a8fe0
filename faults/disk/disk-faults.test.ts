/** Each disk fault as the nemesis uses it: drawn, injected into a running child, proven to have fired, healed. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Store } from "../../stores/contract.ts";
import type { Fault, FaultParameters, FaultTarget, Machine } from "../contract.ts";
import { findWorkingCompiler } from "../front-ends/build-interposer.ts";
import { diskFull } from "./disk-full.ts";
import { faultyLog } from "./fixtures/faulty-log.ts";
import { shortWrite } from "./short-write.ts";
import { slowSync } from "./slow-sync.ts";
import { syncError } from "./sync-error.ts";
import { tornWrite } from "./torn-write.ts";
import { writeError } from "./write-error.ts";

const diskFaults: readonly Fault[] = [shortWrite, tornWrite, writeError, diskFull, syncError, slowSync];
const machine: Machine = { platform: "linux", compiler: "/usr/bin/cc", root: false };
const store = { name: "some-store", performs: ["write", "sync", "grow"] } as unknown as Store;

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: injecting disk faults needs Linux and a C compiler (gcc)");

const write = (text: string, file = "a.log") => ({ do: "write", file, text }) as const;
const fsync = (file = "a.log") => ({ do: "fsync", file }) as const;

describe.each(diskFaults.map((fault) => [fault.name, fault] as const))("%s", (_name, fault) => {
  it("draws parameters that are plain JSON, and that say how long it lasts if it passes", () => {
    fc.assert(
      fc.property(fault.parameters(store), (parameters) => {
        expect(JSON.parse(JSON.stringify(parameters))).toEqual(parameters);
        if (fault.when === "passing") expect(parameters.durationMs).toBeGreaterThan(0);
        if ("nth" in parameters) expect(parameters.nth).toBeGreaterThanOrEqual(1);
      }),
      { seed: 7 },
    );
  });

  it("says why it is not available, and how to get it", () => {
    expect(fault.unavailable(store, machine)).toBeUndefined();
    expect(fault.unavailable(store, { platform: "darwin", root: false })).toMatch(/Linux/);
    expect(fault.unavailable(store, { platform: "linux", root: false })).toMatch(/compiler; install gcc/);
    const isStatic = { ...store, interposable: false };
    expect(fault.unavailable(isStatic, { ...machine, noBroker: "no seccomp; allow it" })).toMatch(
      /no seccomp/,
    );
    expect(fault.unavailable({ ...store, performs: [] }, machine)).toMatch(/no regular/);
  });

  it("refuses a target without an interposer", () => {
    const bare = { node: { name: "n1" }, links: [] } as unknown as FaultTarget;
    expect(() => fault.inject({ nth: 1, bytes: 1, delayMs: 1, errno: "EIO" }, bare)).toThrow(
      /n1, which runs without the interposer/,
    );
  });
});

describe.skipIf(!compiler)("injected into a store", () => {
  const expected: readonly [Fault, FaultParameters, string][] = [
    [tornWrite, { nth: 2, bytes: 2 }, "onetw"],
    [writeError, { nth: 2, errno: "EIO" }, "onethree"],
    [syncError, { nth: 1, errno: "EIO" }, "onetwothree"],
    [diskFull, { nth: 3 }, "one"],
    [shortWrite, { nth: 2, bytes: 2, durationMs: 100 }, "onetwothree"],
    [slowSync, { delayMs: 2, durationMs: 100 }, "onetwothree"],
  ];

  it.each(expected)(
    "$name acts on the log, proves it, and is gone when healed",
    async (fault, parameters, left) => {
      const { disk, target: node } = await faultyLog();
      const injection = fault.inject(parameters, node);
      expect(injection.fired()).toBeUndefined();
      await disk.calls(write("one"), write("two"), fsync(), write("three"));
      expect(disk.text("a.log")).toBe(left);
      const evidence = injection.fired();
      expect(evidence).toMatchObject({
        path: "a.log",
        firstAtNs: expect.any(Number),
        pid: expect.any(Number),
      });
      expect(JSON.parse(JSON.stringify(evidence))).toEqual(evidence);
      injection.heal();
      injection.heal();
      const after = await disk.calls(
        write("1", "b.log"),
        write("2", "b.log"),
        fsync("b.log"),
        write("3", "b.log"),
      );
      expect(after.results.every((result) => "ok" in result)).toBe(true);
      expect(disk.text("b.log")).toBe("123");
      expect(injection.fired()).toEqual(evidence);
    },
  );

  it("a healed fault that had not fired never does", async () => {
    const { disk, target: node } = await faultyLog();
    const injection = tornWrite.inject({ nth: 3, bytes: 0 }, node);
    await disk.calls(write("one"), write("two"));
    injection.heal();
    await disk.calls(write("three"), write("four"));
    expect(disk.text("a.log")).toBe("onetwothreefour");
    expect(injection.fired()).toBeUndefined();
  });

  it("leaves files alone that are not the log, except a full disk, which is one for all", async () => {
    const { disk, target: node } = await faultyLog();
    for (const fault of [tornWrite, writeError, syncError, shortWrite]) {
      fault.inject({ nth: 1, bytes: 1, errno: "EIO" }, node);
    }
    const other = await disk.calls(write("snapshot", "s.dat"), fsync("s.dat"));
    expect(other.results).toEqual([{ ok: 8 }, { ok: null }]);
    diskFull.inject({ nth: 1 }, node);
    expect((await disk.calls({ do: "open", file: "t.dat", flags: "w" })).results).toEqual([
      { error: "ENOSPC" },
    ]);
    expect(existsSync(join(disk.path, "t.dat"))).toBe(false);
  });
});
