/**
 * The faults of writes, syncs, names and reads beyond the first few (disk-faults.test.ts), as the nemesis uses them: drawn,
 * injected into a running child, seen at the byte, proven to have fired, and gone when healed.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Store } from "../../stores/contract.ts";
import type { Fault, FaultParameters, Machine } from "../contract.ts";
import { findWorkingCompiler } from "../front-ends/build-interposer.ts";
import { bitFlipWrite } from "./bit-flip-write.ts";
import { corruptRead } from "./corrupt-read.ts";
import { faultyLog } from "./fixtures/faulty-log.ts";
import { fsyncgate } from "./fsyncgate.ts";
import { interruptedSync } from "./interrupted-sync.ts";
import { lateSyncError } from "./late-sync-error.ts";
import { lyingSync } from "./lying-sync.ts";
import { lyingWrite } from "./lying-write.ts";
import { misdirectedWrite } from "./misdirected-write.ts";
import { nameError } from "./name-error.ts";
import { readError } from "./read-error.ts";
import { readOnly } from "./read-only.ts";
import { revertingSync } from "./reverting-sync.ts";
import { shortRead } from "./short-read.ts";
import { skippedDirectorySync } from "./skipped-directory-sync.ts";
import { slowWrite } from "./slow-write.ts";
import { stalePage } from "./stale-page.ts";
import { tornWriteError } from "./torn-write-error.ts";
import { writebackError } from "./writeback-error.ts";

const ofCalls: readonly Fault[] = [
  ...[tornWriteError, lyingWrite, misdirectedWrite, bitFlipWrite, slowWrite, readOnly, nameError, fsyncgate],
  ...[writebackError, revertingSync, lateSyncError, lyingSync, interruptedSync, skippedDirectorySync],
];
const ofReads: readonly Fault[] = [readError, shortRead, corruptRead, stalePage];
const machine: Machine = { platform: "linux", compiler: "/usr/bin/cc", root: false };
const store = { name: "some-store", performs: ["write", "sync", "rename", "grow"] } as unknown as Store;

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: injecting disk faults needs Linux and a C compiler (gcc)");

const write = (text: string, file = "a.log") => ({ do: "write", file, text }) as const;
const writeAt = (text: string, at: number) => ({ do: "write", file: "a.log", text, at }) as const;
const fsync = (file = "a.log") => ({ do: "fsync", file }) as const;
const opened = { do: "open", file: "a.log", flags: "w+" } as const;
const reopened = { do: "open", file: "a.log", flags: "r+" } as const;

describe.each([...ofCalls, ...ofReads].map((fault) => [fault.name, fault] as const))("%s", (_name, fault) => {
  it("draws parameters that are plain JSON, with a duration if it passes", () => {
    fc.assert(
      fc.property(fault.parameters(store), (parameters) => {
        expect(JSON.parse(JSON.stringify(parameters))).toEqual(parameters);
        if (fault.when === "passing") expect(parameters.durationMs).toBeGreaterThan(0);
        expect(Number(parameters.nth ?? 1)).toBeGreaterThanOrEqual(1);
      }),
      { seed: 7 },
    );
  });

  it("says why it is not available, and how to get it", () => {
    expect(fault.unavailable(store, machine)).toBeUndefined();
    expect(fault.unavailable(store, { platform: "darwin", root: false })).toMatch(/Linux/);
    expect(fault.unavailable(store, { platform: "linux", root: false })).toMatch(/compiler; install gcc/);
    const isStatic = { ...store, interposable: false };
    expect(fault.unavailable(isStatic, machine)).toBeUndefined();
    expect(fault.unavailable(isStatic, { ...machine, noBroker: "no seccomp; allow it" })).toMatch(
      /no seccomp/,
    );
  });
});

const ok = (value: number | null) => ({ ok: value });
const failed = (error: string) => ({ error });

/** What each call returns under the fault, and what is in the file afterwards. */
const expected: readonly [Fault, FaultParameters, unknown[], string][] = [
  [tornWriteError, { nth: 2, bytes: 2, errno: "EIO" }, [ok(3), failed("EIO"), ok(null), ok(5)], "onetwthree"],
  [lyingWrite, { nth: 2 }, [ok(3), ok(3), ok(null), ok(5)], "onethree"],
  [bitFlipWrite, { nth: 2, bit: 0 }, [ok(3), ok(3), ok(null), ok(5)], "oneuwothree"],
  [slowWrite, { delayMs: 2, durationMs: 50 }, [ok(3), ok(3), ok(null), ok(5)], "onetwothree"],
  [readOnly, { nth: 3 }, [ok(3), failed("EROFS"), ok(null), failed("EROFS")], "one"],
  [fsyncgate, { nth: 1, errno: "EDQUOT" }, [ok(3), ok(3), failed("EDQUOT"), ok(5)], "onetwothree"],
  [writebackError, { nth: 1, errno: "EIO" }, [ok(3), ok(3), failed("EIO"), ok(5)], "onetwothree"],
  [lateSyncError, { nth: 1, errno: "EIO" }, [ok(3), ok(3), ok(null), ok(5)], "onetwothree"],
  [lyingSync, { nth: 1 }, [ok(3), ok(3), ok(null), ok(5)], "onetwothree"],
  [interruptedSync, { nth: 1 }, [ok(3), ok(3), ok(null), ok(5)], "onetwothree"],
];

describe.skipIf(!compiler)("injected into a store", () => {
  it.each(expected)("$name acts on the log, proves it, and is gone when healed", async (...row) => {
    const [fault, parameters, results, left] = row;
    const { disk, target: node } = await faultyLog();
    const injection = fault.inject(parameters, node);
    expect(injection.fired()).toBeUndefined();
    const during = await disk.calls(write("one"), write("two"), fsync(), write("three"));
    expect(during.results).toEqual(results);
    expect(disk.text("a.log")).toBe(left);
    expect(injection.fired()).toMatchObject({ path: "a.log", pid: expect.any(Number) });
    injection.heal();
    const after = await disk.calls(write("1", "b.log"), fsync("b.log"), write("2", "b.log"), fsync("b.log"));
    expect(after.results).toEqual([ok(1), ok(null), ok(1), ok(null)]);
    expect(disk.text("b.log")).toBe("12");
  });

  it("misdirected-write puts the bytes elsewhere in the file, and nothing where they belong", async () => {
    const { disk, target: node } = await faultyLog();
    const injection = misdirectedWrite.inject({ nth: 2, shiftBytes: 4 }, node);
    const { results } = await disk.calls(opened, writeAt("aaaaaaaa", 0), writeAt("bb", 2));
    expect(results).toEqual([ok(null), ok(8), ok(2)]);
    expect(disk.text("a.log")).toBe("aaaaaabb");
    expect(injection.fired()).toMatchObject({ path: "a.log" });
  });

  it("reverting-sync shows the old content at once", async () => {
    const { disk, target: node } = await faultyLog();
    await disk.calls(opened, writeAt("old!", 0), fsync());
    const injection = revertingSync.inject({ nth: 1, errno: "EIO" }, node);
    const { results } = await disk.calls(reopened, writeAt("new!", 0), fsync());
    expect(results.at(-1)).toEqual(failed("EIO"));
    expect(injection.fired()).toMatchObject({ path: "a.log" });
    expect(disk.text("a.log")).toBe("old!");
  });

  it("name-error fails the creation, or the rename, and leaves the names as they were", async () => {
    const { disk, target: node } = await faultyLog();
    const create = nameError.inject({ operation: "create", nth: 1, errno: "EMFILE" }, node);
    expect((await disk.calls({ do: "open", file: "new", flags: "w" })).results).toEqual([failed("EMFILE")]);
    expect(existsSync(join(disk.path, "new"))).toBe(false);
    expect(create.fired()).toMatchObject({ path: "new" });
    const rename = nameError.inject({ operation: "rename", nth: 1, errno: "ENOSPC" }, node);
    const { results } = await disk.calls(write("x"), { do: "rename", file: "a.log", to: "b.log" });
    expect(results).toEqual([ok(1), failed("ENOSPC")]);
    expect(existsSync(join(disk.path, "b.log"))).toBe(false);
    expect(rename.fired()).toBeDefined();
  });

  it("skipped-directory-sync reports success for directories, and leaves syncs of files alone", async () => {
    const { disk, target: node } = await faultyLog();
    const injection = skippedDirectorySync.inject({ nth: 1 }, node);
    await disk.calls(write("x"), fsync());
    expect(injection.fired()).toBeUndefined();
    const script = 'const fs = require("fs"); fs.fsyncSync(fs.openSync(".", "r")); console.log("synced")';
    expect((await disk.run(process.execPath, ["-e", script])).lines).toEqual(["synced"]);
    expect(injection.fired()).toMatchObject({ path: "." });
  });

  const reading = `const fs = require("fs"); const fd = fs.openSync("a.log", "r"); const b = Buffer.alloc(64);
    try { console.log(b.latin1Slice(0, fs.readSync(fd, b, 0, 64, 0))) } catch (error) { console.log(error.code) }`;

  it.each([
    [readError, { nth: 1 }, "EIO"],
    [shortRead, { nth: 1, bytes: 3 }, "con"],
    [corruptRead, { nth: 1, bit: 0 }, "bontent"],
  ] as const)("$name changes what a start reads, never the file, and only the nth time", async (...row) => {
    const [fault, parameters, seen] = row;
    const { disk, target: node } = await faultyLog();
    writeFileSync(join(disk.path, "a.log"), "content");
    const injection = fault.inject(parameters, node);
    expect((await disk.run(process.execPath, ["-e", reading])).lines).toEqual([seen]);
    expect(injection.fired()).toMatchObject({ path: "a.log" });
    expect((await disk.run(process.execPath, ["-e", reading])).lines).toEqual(["content"]);
    expect(disk.text("a.log")).toBe("content");
  });

  it("stale-page returns what the page held before it was last written", async () => {
    const { disk, target: node } = await faultyLog();
    await disk.calls(opened, writeAt("old", 0), fsync());
    const injection = stalePage.inject({ nth: 1 }, node);
    await disk.calls(reopened, writeAt("new", 0), fsync());
    expect((await disk.run(process.execPath, ["-e", reading])).lines).toEqual(["old"]);
    expect(injection.fired()).toMatchObject({ path: "a.log" });
    expect(disk.text("a.log")).toBe("new");
  });
});
