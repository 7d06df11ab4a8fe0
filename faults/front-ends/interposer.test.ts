/** The interposer from outside: real children, real files, each effect present when asked for and absent when not. */
import { once } from "node:events";
import { constants, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { childProgram } from "../../harness/package-root.ts";
import type { DiskRule, Effect } from "../contract.ts";
import { buildInterposer, findWorkingCompiler } from "./build-interposer.ts";
import { compiled, InterposedDirectory } from "./fixtures/interposed.ts";
import { createDiskControl } from "./interposer.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler)
  console.warn("SKIPPED: the interposer's tests need Linux and a C compiler (gcc), and found none");

const directories: InterposedDirectory[] = [];

async function directory(logGlob?: string): Promise<InterposedDirectory> {
  const made = await InterposedDirectory.create(logGlob);
  directories.push(made);
  return made;
}

function onWrite(effect: Effect, nth = 1, repeat: DiskRule["repeat"] = "once"): DiskRule {
  return { operation: "write", path: "*.log", nth, repeat, effect };
}

function onSync(effect: Effect, nth = 1, repeat: DiskRule["repeat"] = "once"): DiskRule {
  return { operation: "sync", path: "*.log", nth, repeat, effect };
}

const write = (text: string, file = "a.log") => ({ do: "write", file, text }) as const;
const fsync = (file = "a.log") => ({ do: "fsync", file }) as const;

/** SIGKILL to a group, by system call. Never through kill(1): that of procps takes `-9 -1234` for `-9 -1`, everybody. */
function endGroup(leader: number): void {
  if (!Number.isSafeInteger(leader) || leader <= 1) throw new Error(`not a process group: ${leader}`);
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // nothing of it is alive
  }
}

describe.skipIf(!compiler)("the interposer", () => {
  beforeAll(async () => {
    await buildInterposer();
  });

  afterEach(() => {
    for (const one of directories.splice(0)) one.remove();
  });

  describe("without a rule", () => {
    it("changes nothing, and counts what was done in the data directory", async () => {
      const disk = await directory();
      const ended = await disk.calls(
        write("hello"),
        { do: "write", file: "a.log", text: "J", at: 0 },
        { do: "writev", file: "b.dat", texts: ["ab", "cde"] },
        fsync(),
        { do: "fdatasync", file: "b.dat" },
        { do: "rename", file: "b.dat", to: "c.dat" },
        { do: "ftruncate", file: "a.log", size: 3 },
        { do: "unlink", file: "c.dat" },
      );
      expect(ended.results.map((result) => "ok" in result && result.ok)).toEqual([
        5,
        1,
        5,
        null,
        null,
        null,
        null,
        null,
      ]);
      // Opened for appending: Linux appends a positioned write too.
      expect(disk.text("a.log")).toBe("hel");
      expect(disk.control.calls()).toEqual({
        ...{ write: 3, sync: 2, rename: 1, open: 0, unlink: 1, truncate: 1, create: 2 },
        ...{ mkdir: 0, link: 0, read: 0 },
      });
    });

    it("counts nothing outside of the data directory", async () => {
      const disk = await directory();
      const ended = await disk.calls(write("x", "../outside.log"), fsync("../outside.log"));
      expect(ended.results).toEqual([{ ok: 1 }, { ok: null }]);
      expect(Object.values(disk.control.calls()).every((calls) => calls === 0)).toBe(true);
      expect(disk.control.syncCounts()).toEqual({ begun: 0, completed: 0, failed: 0 });
    });
  });

  describe("proof of being inside", () => {
    it("counts every process that loads it", async () => {
      const disk = await directory();
      expect(disk.control.processesInside()).toBe(0);
      await disk.calls();
      expect(disk.control.processesInside()).toBe(1);
      await disk.run("sh", ["-c", "ls >/dev/null; exit 0"]);
      expect(disk.control.processesInside()).toBe(3);
    });

    it("stays at zero for a statically linked program, and for one without the preload", async () => {
      const disk = await directory();
      const program = await compiled("native-calls", ["-static"]);
      await disk.run(program, ["vectors", join(disk.path, "a.log")]);
      expect(disk.text("a.log").slice(0, 8)).toBe("abcdefgh");
      await disk.run(process.execPath, ["-e", "0"], { LD_PRELOAD: "" });
      expect(disk.control.processesInside()).toBe(0);
    });

    it("ends a child whose control file is of another version, with a sentence", async () => {
      const disk = await directory();
      const other = join(disk.path, "other.control");
      writeFileSync(other, Buffer.alloc(128 + 64 * 1024));
      const ended = await disk.run(process.execPath, ["-e", "0"], { ACKED_CONTROL: other });
      expect(ended.exitCode).toBe(125);
      expect(ended.stderr).toMatch(/^acked interposer: the control file is of another version of acked/);
      const missing = await disk.run(process.execPath, ["-e", "0"], { ACKED_CONTROL: "/nowhere/control" });
      expect(missing.exitCode).toBe(125);
      expect(missing.stderr).toMatch(/control file cannot be opened: No such file/);
    });
  });

  it("does not let a child outlive the harness that started it", async () => {
    const disk = await directory();
    const module = JSON.stringify(childProgram("faults/front-ends/interposer.js"));
    const harness = execa(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `import { spawn } from "node:child_process";
       const { buildInterposer, createDiskControl } = await import(${module});
       const disk = createDiskControl({ dataDir: ".", logGlob: "**", directory: "." });
       const env = { ...process.env, ...disk.environment(await buildInterposer()) };
       const child = spawn("sh", ["-c", "echo up; sleep 60"], { detached: true, env, stdio: ["ignore", "pipe", "ignore"] });
       child.stdout.once("data", () => console.log(child.pid));
       setInterval(() => {}, 1000);`,
      ],
      { cwd: disk.path, reject: false, timeout: 20_000 },
    );
    const [line] = (await once(harness.stdout, "data")) as [Buffer];
    const pid = Number(String(line));
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    harness.kill("SIGKILL");
    await harness;
    const running = () =>
      existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
    try {
      await expect.poll(running, { timeout: 5000 }).toBe(false);
    } finally {
      endGroup(pid); // the shell's own child, which the harness would have ended by its group
    }
  });

  describe("sync counts", () => {
    it("number the syncs of log files, and of nothing else", async () => {
      const disk = await directory("*.log");
      await disk.calls(write("x"), fsync(), write("x", "b.dat"), fsync("b.dat"), {
        do: "fdatasync",
        file: "a.log",
      });
      expect(disk.control.syncCounts()).toEqual({ begun: 2, completed: 2, failed: 0 });
      expect(disk.control.calls().sync).toBe(3);
    });

    it.each([
      ["*.log", 0],
      ["**", 2],
    ] as const)("of %s: %i of two syncs of directories, which are counted as calls", async (log, begun) => {
      const disk = await directory(log);
      const directorySync = [{ do: "open", file: ".", flags: "r" }, fsync("."), fsync("sub")] as const;
      await disk.calls({ do: "open", file: "sub", flags: "r" }, ...directorySync);
      expect(disk.control.syncCounts()).toEqual({ begun, completed: begun, failed: 0 });
      expect(disk.control.calls().sync).toBe(2);
    });

    it("never take a failed sync for a completed one", async () => {
      const disk = await directory();
      const rule = disk.control.arm(onSync({ do: "error", errno: "EIO" }, 2));
      const ended = await disk.calls(write("x"), fsync(), fsync());
      expect(ended.results[2]).toEqual({ error: "EIO" });
      expect(disk.control.syncCounts()).toEqual({ begun: 2, completed: 1, failed: 1 });
      expect(rule.fired()).toMatchObject({ times: 1, path: "a.log" });
      await disk.calls(fsync());
      expect(disk.control.syncCounts()).toEqual({ begun: 3, completed: 3, failed: 1 });
    });

    it("begin before the sync is delayed, and complete after it", async () => {
      const disk = await directory();
      disk.control.arm(onSync({ do: "delay", delayMs: 400 }));
      const child = disk.calls(write("x"), fsync());
      await expect
        .poll(() => disk.control.syncCounts(), { interval: 5, timeout: 5000 })
        .toMatchObject({ begun: 1 });
      expect(disk.control.syncCounts().completed).toBe(0);
      await child;
      expect(disk.control.syncCounts().completed).toBe(1);
    });

    it("take a write through an O_DSYNC or O_SYNC descriptor for a sync", async () => {
      const disk = await directory();
      const flags = constants.O_CREAT | constants.O_WRONLY;
      await disk.calls(
        { do: "open", file: "a.log", flags: flags | constants.O_DSYNC },
        write("one"),
        { do: "open", file: "b.log", flags: flags | constants.O_SYNC },
        write("two", "b.log"),
        write("three", "c.log"),
      );
      expect(disk.control.syncCounts()).toEqual({ begun: 2, completed: 2, failed: 0 });
    });

    it("do not take a synchronous write that failed or was cut short for a completed sync", async () => {
      const disk = await directory();
      disk.control.arm(onWrite({ do: "short", bytes: 2 }));
      disk.control.arm(onWrite({ do: "error", errno: "EIO" }));
      expect(await disk.native("dsync-writes", "a.log", "short", "fails")).toEqual(["2", "-5"]);
      expect(disk.control.syncCounts()).toEqual({ begun: 2, completed: 0, failed: 1 });
      expect(await disk.native("dsync-writes", "a.log", "whole")).toEqual(["5"]);
      expect(disk.control.syncCounts()).toEqual({ begun: 3, completed: 3, failed: 1 });
    });

    it("are exact with four threads that append and sync at once", async () => {
      const disk = await directory();
      await disk.native("syncing-threads", "a.log", "50");
      expect(disk.control.syncCounts()).toEqual({ begun: 200, completed: 200, failed: 0 });
      expect(disk.control.calls()).toMatchObject({ write: 200, sync: 200 });
      expect(disk.text("a.log").length).toBe(1600);
    });

    it("see a forked child, and a file that got another's inode", async () => {
      const disk = await directory();
      await disk.native("forked", "a.log");
      expect(disk.control.syncCounts()).toEqual({ begun: 1, completed: 1, failed: 0 });
      await disk.native("inode-reuse", "x");
      expect(disk.control.syncCounts()).toEqual({ begun: 21, completed: 21, failed: 0 });
      expect(disk.control.calls().sync).toBe(41);
    });

    it("follow a file through its rename", async () => {
      const disk = await directory();
      await disk.calls(
        write("x", "a.tmp"),
        fsync("a.tmp"),
        { do: "rename", file: "a.tmp", to: "a.log" },
        fsync("a.tmp"), // the descriptor opened under the old name
      );
      expect(disk.control.syncCounts()).toEqual({ begun: 1, completed: 1, failed: 0 });
    });

    it("ignore a file that has no name any more: its sync makes nothing durable", async () => {
      const disk = await directory();
      await disk.calls(write("x"), { do: "unlink", file: "a.log" }, write("y"), fsync());
      expect(disk.control.syncCounts()).toEqual({ begun: 0, completed: 0, failed: 0 });
    });
  });

  describe("errors", () => {
    it.each(["EIO", "ENOSPC", "EDQUOT"] as const)(
      "a write fails with %s, once, and writes nothing",
      async (errno) => {
        const disk = await directory();
        const rule = disk.control.arm(onWrite({ do: "error", errno }, 2));
        const ended = await disk.calls(write("one"), write("two"), write("three"));
        expect(ended.results).toEqual([{ ok: 3 }, { error: errno }, { ok: 5 }]);
        expect(disk.text("a.log")).toBe("onethree");
        expect(rule.fired()).toMatchObject({ times: 1, path: "a.log" });
      },
    );

    it("an EINTR is retried by the runtime, and the program sees nothing of it", async () => {
      const disk = await directory();
      const rule = disk.control.arm(onSync({ do: "error", errno: "EINTR" }));
      const ended = await disk.calls(write("x"), fsync());
      expect(ended.results).toEqual([{ ok: 1 }, { ok: null }]);
      expect(rule.fired()?.times).toBe(1);
      expect(() => disk.control.arm(onSync({ do: "error", errno: "EINTR" }, 1, "from"))).toThrow(/never end/);
    });

    it("repeat from the nth call on until disarmed", async () => {
      const disk = await directory();
      const rule = disk.control.arm(onWrite({ do: "error", errno: "EIO" }, 2, "from"));
      const ended = await disk.calls(write("one"), write("two"), write("three"));
      expect(ended.results).toEqual([{ ok: 3 }, { error: "EIO" }, { error: "EIO" }]);
      rule.disarm();
      expect((await disk.calls(write("four"))).results).toEqual([{ ok: 4 }]);
      expect(rule.fired()?.times).toBe(2);
    });

    it("act on names too: create, rename, unlink, truncate", async () => {
      const disk = await directory();
      for (const operation of ["create", "rename", "unlink", "truncate"] as const) {
        disk.control.arm({
          operation,
          path: "b.*",
          nth: 1,
          repeat: "once",
          effect: { do: "error", errno: "EIO" },
        });
      }
      const ended = await disk.calls(
        { do: "open", file: "b.log", flags: "w" },
        write("x", "b.log"),
        { do: "rename", file: "b.log", to: "c.log" },
        { do: "ftruncate", file: "b.log", size: 0 },
        { do: "unlink", file: "b.log" },
      );
      const failed = { error: "EIO" };
      expect(ended.results).toEqual([failed, { ok: 1 }, failed, failed, failed]);
      expect(disk.text("b.log")).toBe("x");
    });

    it("leave files alone that the glob does not match", async () => {
      const disk = await directory();
      const rule = disk.control.arm({
        ...onWrite({ do: "error", errno: "EIO" }, 1, "from"),
        path: "sub/*.log",
      });
      const ended = await disk.calls(write("x"), write("y", "sub/b.dat"), write("z", "sub/c.log"));
      expect(ended.results).toEqual([{ ok: 1 }, { ok: 1 }, { error: "EIO" }]);
      expect(rule.fired()).toMatchObject({ times: 1, path: "sub/c.log" });
    });
  });

  describe("short and torn writes", () => {
    it("a short write writes its bytes, returns them, and the program lives", async () => {
      const disk = await directory();
      disk.control.arm(onWrite({ do: "short", bytes: 3 }));
      expect(await disk.native("writes", "a.log", "abcdef", "next")).toEqual(["3", "4"]);
      expect(disk.text("a.log")).toBe("abcnext");
    });

    it("a short write always writes something and never everything; one byte cannot be short", async () => {
      const disk = await directory();
      disk.control.arm(onWrite({ do: "short", bytes: 0 }));
      disk.control.arm(onWrite({ do: "short", bytes: 4096 }));
      expect(await disk.native("writes", "a.log", "x", "abc", "def", "ghi")).toEqual(["1", "1", "2", "3"]);
      expect(disk.text("a.log")).toBe("xadeghi");
    });

    it("a vectored write is cut across its parts, at its own offset", async () => {
      const disk = await directory();
      disk.control.arm(onWrite({ do: "short", bytes: 5 }));
      expect(await disk.native("writev-at", "a.log")).toEqual(["5"]);
      expect(disk.text("a.log")).toBe("\0\0abcde");
    });

    it("Node itself writes the rest after a short write", async () => {
      const disk = await directory();
      const rule = disk.control.arm(onWrite({ do: "short", bytes: 4 }));
      const ended = await disk.calls({ do: "writev", file: "a.log", texts: ["abc", "def", "ghi"] });
      expect(ended.results).toEqual([{ ok: 9 }]);
      expect(disk.text("a.log")).toBe("abcdefghi");
      expect(rule.fired()?.times).toBe(1);
      expect(disk.control.calls().write).toBe(2);
    });

    it("pwritev2 is cut too, and with RWF_DSYNC a whole one counts as a sync", async () => {
      const disk = await directory();
      expect(await disk.native("vectors", "a.log")).toEqual(["8", "8"]);
      expect(disk.control.syncCounts()).toEqual({ begun: 1, completed: 1, failed: 0 });
      disk.control.arm(onWrite({ do: "short", bytes: 6 }, 2));
      expect(await disk.native("vectors", "b.log")).toEqual(["8", "6"]);
      expect(disk.text("b.log").slice(100)).toBe("ABCDEF");
    });

    it.each([
      [0, ""],
      [4, "abcd"],
      [4096, "abcde"],
    ])(
      "a write torn at %i bytes leaves them in the file, and kills before it returns",
      async (bytes, left) => {
        const disk = await directory();
        const rule = disk.control.arm(onWrite({ do: "torn-kill", bytes }, 2));
        const ended = await disk.calls(write("first"), write("abcdef"), write("never"));
        expect(ended.signal).toBe("SIGKILL");
        expect(ended.results.length).toBeLessThanOrEqual(1);
        expect(disk.text("a.log")).toBe(`first${left}`);
        expect(rule.fired()).toMatchObject({ times: 1, path: "a.log" });
      },
    );
  });

  describe("kills", () => {
    it("kill-before leaves the call undone, kill-after leaves it done", async () => {
      const before = await directory();
      before.control.arm(onWrite({ do: "kill-before" }, 2));
      expect((await before.calls(write("one"), write("two"))).signal).toBe("SIGKILL");
      expect(before.text("a.log")).toBe("one");
      const after = await directory();
      after.control.arm(onWrite({ do: "kill-after" }, 2));
      expect((await after.calls(write("one"), write("two"), write("x"))).signal).toBe("SIGKILL");
      expect(after.text("a.log")).toBe("onetwo");
    });

    it("around a sync show in the counts", async () => {
      const before = await directory();
      before.control.arm(onSync({ do: "kill-before" }));
      await before.calls(write("x"), fsync());
      expect(before.control.syncCounts()).toEqual({ begun: 1, completed: 0, failed: 0 });
      const after = await directory();
      after.control.arm(onSync({ do: "kill-after" }));
      await after.calls(write("x"), fsync());
      expect(after.control.syncCounts()).toEqual({ begun: 1, completed: 1, failed: 0 });
    });

    it("around a rename leave the old or the new name", async () => {
      for (const [side, left] of [
        ["kill-before", "a.tmp"],
        ["kill-after", "a.log"],
      ] as const) {
        const disk = await directory();
        disk.control.arm({
          operation: "rename",
          path: "a.log",
          nth: 1,
          repeat: "once",
          effect: { do: side },
        });
        await disk.calls(write("x", "a.tmp"), { do: "rename", file: "a.tmp", to: "a.log" });
        expect([existsSync(join(disk.path, "a.tmp")), existsSync(join(disk.path, "a.log"))]).toEqual([
          left === "a.tmp",
          left === "a.log",
        ]);
      }
    });

    it("record the time on the harness's own clock, the pid and the file", async () => {
      const disk = await directory();
      const rule = disk.control.arm(onWrite({ do: "kill-before" }));
      expect(rule.fired()).toBeUndefined();
      const from = Number(process.hrtime.bigint());
      await disk.calls(write("x"));
      const fired = rule.fired();
      expect(fired).toMatchObject({ times: 1, path: "a.log" });
      expect(fired!.pid).toBeGreaterThan(1);
      expect(fired!.firstAtNs).toBeGreaterThan(from);
      expect(fired!.firstAtNs).toBeLessThan(Number(process.hrtime.bigint()));
    });

    it("reach the whole process group, and not the harness", async () => {
      const disk = await directory();
      disk.control.arm({ ...onWrite({ do: "kill-before" }), path: "a.log" });
      // The shell leads the group and would print; its child's write ends both.
      const ended = await disk.run("sh", [
        "-c",
        "dd if=/dev/zero of=a.log bs=8 count=1 2>/dev/null; echo survived",
      ]);
      expect(ended).toMatchObject({ signal: "SIGKILL", lines: [] });
    });
  });

  describe("a full disk", () => {
    const full: DiskRule = { operation: "write", path: "**", nth: 1, repeat: "from", effect: { do: "full" } };

    it("refuses growth and new files, lets overwriting pass, and writes the part that fits", async () => {
      const disk = await directory();
      writeFileSync(join(disk.path, "a.log"), "0123456789");
      const rule = disk.control.arm(full);
      expect(rule.fired()).toBeUndefined();
      const ended = await disk.calls(
        { do: "open", file: "a.log", flags: "r+" },
        { do: "write", file: "a.log", text: "abc", at: 0 },
        { do: "write", file: "a.log", text: "xyz", at: 8 },
        { do: "write", file: "a.log", text: "beyond", at: 10 },
        { do: "open", file: "new.log", flags: "w" },
        { do: "ftruncate", file: "a.log", size: 20 },
        { do: "truncate", file: "a.log", size: 20 },
        { do: "ftruncate", file: "a.log", size: 9 },
        fsync(),
        { do: "rename", file: "a.log", to: "b.log" },
      );
      const refused = { error: "ENOSPC" };
      const done = { ok: null };
      expect(ended.results).toEqual([
        done,
        { ok: 3 },
        { ok: 2 },
        refused,
        refused,
        refused,
        refused,
        done,
        done,
        done,
      ]);
      expect(disk.text("b.log")).toBe("abc34567x");
      expect(existsSync(join(disk.path, "new.log"))).toBe(false);
      // The straddling write counts twice: Node tries to write the rest, which does not fit.
      expect(rule.fired()).toMatchObject({ times: 6, path: "a.log" });
    });

    it("refuses every append", async () => {
      const disk = await directory();
      writeFileSync(join(disk.path, "a.log"), "0123456789");
      disk.control.arm(full);
      const ended = await disk.calls(write("x"), { do: "write", file: "a.log", text: "y", at: 0 });
      expect(ended.results).toEqual([{ error: "ENOSPC" }, { error: "ENOSPC" }]);
    });

    it("refuses preallocation, and nothing that fits", async () => {
      const disk = await directory();
      writeFileSync(join(disk.path, "a.log"), "0123456789");
      const rule = disk.control.arm(full);
      expect(await disk.native("growth", "a.log")).toEqual(["28", "28", "28", "0", "28"]);
      rule.disarm();
      expect(await disk.native("growth", "a.log")).toEqual(["0", "0", "0", "0", "0"]);
    });

    it("begins at the nth call that grows, and ends when disarmed", async () => {
      const disk = await directory();
      const rule = disk.control.arm({ ...full, nth: 3 });
      const ended = await disk.calls(write("one"), write("two"), write("three")); // the creation is the first
      expect(ended.results).toEqual([{ ok: 3 }, { error: "ENOSPC" }, { error: "ENOSPC" }]);
      rule.disarm();
      expect((await disk.calls(write("four"))).results).toEqual([{ ok: 4 }]);
      expect(disk.text("a.log")).toBe("onefour");
    });
  });

  describe("rules", () => {
    it("count from the moment they are armed, over all processes", async () => {
      const disk = await directory();
      await disk.calls(write("1"), write("2"));
      const rule = disk.control.arm(onWrite({ do: "error", errno: "EIO" }, 3));
      await disk.calls(write("3"));
      await disk.calls(write("4"));
      expect(rule.fired()).toBeUndefined();
      expect((await disk.calls(write("5"), write("6"))).results).toEqual([{ error: "EIO" }, { ok: 1 }]);
      expect(disk.text("a.log")).toBe("12346");
    });

    it("match by glob: * within a segment, ** across, and no wildcard matches a directory", async () => {
      const disk = await directory();
      const globs = [
        "*",
        "**",
        "*.log",
        "**/*.log",
        "sub/**",
        "su?/a*g",
        "a.log",
        "?.dat",
        ".",
        "sub/.",
        "*/*",
      ];
      const rules = globs.map((path) => {
        const effect: Effect = { do: "delay", delayMs: 0 };
        return disk.control.arm({ operation: "sync", path, nth: 1, repeat: "from", effect });
      });
      const timesOf = () => rules.map((rule, index) => [globs[index], rule.fired()?.times ?? 0]);
      await disk.calls(
        { do: "open", file: ".", flags: "r" },
        { do: "open", file: "sub", flags: "r" },
        ...[fsync("a.log"), fsync("sub/ab.log"), fsync("."), fsync("sub")],
      );
      expect(Object.fromEntries(timesOf())).toEqual({
        ...{ "*": 1, "**": 2, "*.log": 1, "**/*.log": 2, "sub/**": 1, "su?/a*g": 1, "a.log": 1, "?.dat": 0 },
        ...{ ".": 1, "sub/.": 1, "*/*": 1 },
      });
    });

    it("delay on top of what another rule does", async () => {
      const disk = await directory();
      const slow = disk.control.arm(onSync({ do: "delay", delayMs: 30 }, 1, "from"));
      const bad = disk.control.arm(onSync({ do: "error", errno: "EIO" }, 2));
      const ended = await disk.calls(write("x"), fsync(), fsync());
      expect(ended.results).toEqual([{ ok: 1 }, { ok: null }, { error: "EIO" }]);
      expect([slow.fired()?.times, bad.fired()?.times]).toEqual([2, 1]);
    });

    it("keep their evidence after disarming, after their slot is reused, and after the file is gone", async () => {
      const disk = await directory();
      const first = disk.control.arm(onWrite({ do: "error", errno: "EIO" }));
      await disk.calls(write("x"));
      first.disarm();
      first.disarm();
      for (let other = 0; other < 200; other++) disk.control.arm(onWrite({ do: "kill-before" })).disarm();
      const last = disk.control.arm(onWrite({ do: "error", errno: "EIO" }));
      await disk.calls(write("y"), write("z"));
      expect(disk.text("a.log")).toBe("z");
      disk.remove();
      expect([first.fired()?.times, last.fired()?.times]).toEqual([1, 1]);
      expect(disk.control.processesInside()).toBe(2);
      expect(existsSync(disk.controlPath)).toBe(false);
    });

    it("are refused with a sentence when they make no sense or there are too many", async () => {
      const disk = await directory();
      expect(() => disk.control.arm(onSync({ do: "short", bytes: 1 }))).toThrow(
        /only a write or a read can be short, not a sync/,
      );
      expect(() => disk.control.arm(onWrite({ do: "kill-after" }, 0))).toThrow(/nth = 0/);
      expect(() => disk.control.arm({ ...onWrite({ do: "kill-after" }), path: "" })).toThrow(
        /path of a disk rule/,
      );
      expect(() => disk.control.arm(onSync({ do: "delay", delayMs: Number.NaN }))).toThrow(/delayMs/);
      for (let slot = 0; slot < 64; slot++) disk.control.arm(onWrite({ do: "kill-before" }));
      expect(() => disk.control.arm(onWrite({ do: "kill-before" }))).toThrow(/64 rules at once/);
    });
  });

  it("costs a write a known amount: printed, not judged", async () => {
    const disk = await directory();
    const program = await compiled("native-calls");
    const file = join(disk.path, "a.log");
    const paces = { bare: [] as number[], interposed: [] as number[] };
    for (let round = 0; round < 3; round++) {
      paces.bare.push(
        Number((await disk.run(program, ["pace", file, "100000"], { LD_PRELOAD: "" })).lines[0]),
      );
      paces.interposed.push(Number((await disk.run(program, ["pace", file, "100000"])).lines[0]));
    }
    const [bare, interposed] = [Math.min(...paces.bare), Math.min(...paces.interposed)];
    console.info(
      `pwrite of 100 bytes: ${bare} ns bare, ${interposed} ns interposed (${(interposed / bare).toFixed(2)}x)`,
    );
    expect(disk.control.calls().write).toBe(300_000);
  });
});

it("says that the data directory must exist", () => {
  expect(() => createDiskControl({ dataDir: "/nowhere/at/all", logGlob: "**" })).toThrow(/must exist/);
});
