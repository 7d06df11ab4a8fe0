/**
 * Every effect at the byte: what the program is told, what is in the file, and what the trace says; and, in the same
 * script, that the next call is untouched. The calls are C's own (fixtures/scripted-calls.c), so no runtime hides any.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { DiskRule, Effect, InterposedOperation } from "../contract.ts";
import { findWorkingCompiler } from "./build-interposer.ts";
import { effectsOn } from "./disk-rules.ts";
import { InterposedDirectory, type InterposedOptions } from "./fixtures/interposed.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: the effects' tests need Linux and a C compiler (gcc), and found none");

const directories: InterposedDirectory[] = [];
afterEach(() => {
  for (const one of directories.splice(0)) one.remove();
});

async function directory(options: InterposedOptions = { traced: true }): Promise<InterposedDirectory> {
  const made = await InterposedDirectory.create("*.log", options);
  directories.push(made);
  return made;
}

function rule(operation: InterposedOperation, effect: Effect, nth = 1, path = "*.log"): DiskRule {
  return { operation, path, nth, repeat: "once", effect };
}

const { EIO, ENOSPC, EROFS, EDQUOT, EINTR } = constants.errno;
const failed = (errno: number): string => String(-errno);

describe.skipIf(!compiler)("a write", () => {
  const open = "open:a:a.log:bc";

  it("that lies reports everything and writes nothing; the position moves on", async () => {
    const disk = await directory();
    const armed = disk.control.arm(rule("write", { do: "lying" }, 2));
    const lines = await disk.script(open, "write:a:abc", "write:a:LOST", "write:a:d", "position:a");
    expect(lines).toEqual(["0", "3", "4", "1", "8"]);
    expect(disk.text("a.log")).toBe("abc\0\0\0\0d");
    expect(armed.fired()?.times).toBe(1);
    expect(disk.events("write")[1]).toMatchObject({ effect: "lying", result: 4, size: 0, offset: 3 });
    expect(disk.events("write")[2]).toMatchObject({ result: 1, size: 1, offset: 7 });
  });

  it("that lies through an appending descriptor leaves the file as long as it was", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "lying" }));
    expect(await disk.script("open:a:a.log:wca", "write:a:LOST", "write:a:x")).toEqual(["0", "4", "1"]);
    expect(disk.text("a.log")).toBe("x");
  });

  it.each([
    [3, "abc\0\0\0DEF"],
    [-2, "aDEF"],
    [-100, "DEF"],
  ])("that is misdirected by %i goes there, and the position moves as asked", async (shiftBytes, left) => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "misdirected", shiftBytes }, 2));
    expect(await disk.script(open, "write:a:abc", "write:a:DEF", "position:a")).toEqual(["0", "3", "3", "6"]);
    expect(disk.text("a.log")).toBe(left);
    const offset = Math.max(0, 3 + shiftBytes);
    expect(disk.events("write")[1]).toMatchObject({ effect: "misdirected", offset, size: 3, result: 3 });
  });

  it("that is misdirected leaves its place through an appending descriptor too", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "misdirected", shiftBytes: -5 }, 2));
    await disk.script("open:a:a.log:wca", "write:a:abcdef", "write:a:XY", "write:a:g");
    expect(disk.text("a.log")).toBe("aXYdefg");
  });

  it("has one bit inverted on its way, across its parts, and the program's own bytes are left alone", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "bit-flip", bit: 8 * 4 }));
    expect(await disk.script(open, "writev:a:abc:def", "writev:a:abc:def")).toEqual(["0", "6", "6"]);
    expect(disk.text("a.log")).toBe("abcddfabcdef");
    const [first, second] = disk.events("write", "begin");
    expect([first, second].map((event) => Buffer.from(event!.data!).toString())).toEqual([
      "abcddf",
      "abcdef",
    ]);
    expect(first?.effect).toBe("bit-flip");
    expect(second?.effect).toBeUndefined();
  });

  it("takes the bit modulo its length", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "bit-flip", bit: 16 }));
    await disk.script(open, "write:a:ab");
    expect(disk.text("a.log")).toBe("`b");
  });

  it.each([
    ["write", "w"],
    ["write to an appending descriptor", "wa"],
  ])("that is torn with an error leaves its bytes and returns it (%s)", async (_name, flags) => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "torn-error", bytes: 2, errno: "ENOSPC" }, 2));
    const lines = await disk.script(`open:a:a.log:${flags}c`, "write:a:one", "write:a:two", "write:a:3");
    expect(lines).toEqual(["0", "3", failed(ENOSPC), "1"]);
    // The position stays where it was: an overwriting retry hides the torn bytes, an appending one does not.
    expect(disk.text("a.log")).toBe(flags === "w" ? "one3w" : "onetw3");
    expect(disk.events("write")[1]).toMatchObject({
      effect: "torn-error",
      result: -ENOSPC,
      size: 2,
      offset: 3,
    });
  });

  it("that is torn at no byte is an error, and the last byte is never written", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "torn-error", bytes: 0, errno: "EDQUOT" }));
    disk.control.arm(rule("write", { do: "torn-error", bytes: 99, errno: "EIO" }));
    expect(await disk.script("open:a:a.log:wca", "write:a:abc", "write:a:xyz")).toEqual([
      "0",
      failed(EDQUOT),
      failed(EIO),
    ]);
    expect(disk.text("a.log")).toBe("xy");
  });

  it("is interrupted once, and nothing is written", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "error", errno: "EINTR" }));
    expect(await disk.script(open, "write:a:abc", "write:a:abc")).toEqual(["0", failed(EINTR), "3"]);
    expect(disk.text("a.log")).toBe("abc");
  });

  it("is delayed, and then as it would have been; the delay is not named in the trace", async () => {
    const disk = await directory();
    const armed = disk.control.arm(rule("write", { do: "delay", delayMs: 60 }));
    expect(await disk.script(open, "write:a:abc")).toEqual(["0", "3"]);
    const [begin] = disk.events("write", "begin");
    const [end] = disk.events("write");
    expect(end!.atNs - begin!.atNs).toBeGreaterThanOrEqual(60e6);
    expect([begin!.effect, end!.effect, armed.fired()?.times]).toEqual([undefined, undefined, 1]);
  });

  it("that is short or torn names the bytes that reached the file", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "short", bytes: 2 }));
    await disk.script(open, "write:a:abcd", "write:a:cd");
    expect(disk.events("write").map(({ offset, size, result }) => [offset, size, result])).toEqual([
      [0, 2, 2],
      [2, 2, 2],
    ]);
    disk.control.arm(rule("write", { do: "torn-kill", bytes: 1 }));
    await disk.script(open, "pwrite:a:4:xyz");
    expect(disk.text("a.log")).toBe("abcdx");
    // Killed with its effect done: recorded as ended or, if not, as in flight.
    expect(disk.events("write", "begin").at(-1)).toMatchObject({ effect: "torn-kill", offset: 4, size: 3 });
  });

  it("fails in background writeback: it succeeds, the next sync reports it once, and its pages are lost", async () => {
    const disk = await directory();
    disk.control.arm(rule("write", { do: "writeback-error", errno: "EIO" }));
    const lines = await disk.script(open, "write:a:abc", "write:a:d", "fsync:a", "fsync:a");
    expect(lines).toEqual(["0", "3", "1", failed(EIO), "0"]);
    expect(disk.text("a.log")).toBe("abcd");
    // Without what the program prints, which is a `send` where its output is a socket.
    const calls = disk.trace().events.filter(({ kind }) => kind !== "send");
    const events = calls.map(({ kind, phase }) => `${kind} ${phase}`);
    expect(events.slice(events.indexOf("write begin"), events.indexOf("write begin") + 4)).toEqual([
      "write begin",
      "write end",
      "pages-lost instant",
      "write begin",
    ]);
    expect(disk.events("pages-lost", "instant")[0]?.inode).toBe(disk.events("write")[0]?.inode);
  });

  describe("to a shared mapping", () => {
    const mapped = [open, "ftruncate:a:9000", "mmap:a:9000"];

    it("fails in background writeback: the msync of it is told, once, and its pages are lost", async () => {
      const disk = await directory();
      disk.control.arm(rule("write", { do: "writeback-error", errno: "EIO" }));
      const stores = ["store:a:5000:hello", "msync:a:9000", "store:a:10:there", "msync:a:9000"];
      expect((await disk.script(...mapped, ...stores)).slice(3)).toEqual(["0", failed(EIO), "0", "0"]);
      const lost = disk.events("pages-lost", "instant");
      expect(lost).toMatchObject([{ path: "a.log", offset: 0 }]);
      expect(Math.ceil(lost[0]!.size / 4096)).toBe(3);
      expect(disk.events("datasync").map(({ result }) => result)).toEqual([-EIO, 0]);
    });

    it.each([true, false])("is counted and fails as any write does, traced or not: %s", async (traced) => {
      const disk = await directory({ traced });
      const second = disk.control.arm(rule("write", { do: "error", errno: "EIO" }, 2));
      const stores = ["store:a:1:a", "msync:a:9000", "msync:a:9000", "store:a:1:b", "msync:a:9000"];
      expect((await disk.script(...mapped, ...stores)).slice(3)).toEqual(["0", "0", "0", "0", failed(EIO)]);
      expect(second.fired()).toMatchObject({ times: 1, path: "a.log" });
    });

    it("is reverted by no msync: such a rule waits", async () => {
      const disk = await directory();
      const revert = disk.control.arm(rule("sync", { do: "revert", errno: "EIO" }));
      expect((await disk.script(...mapped, "store:a:1:a", "msync:a:9000")).at(-1)).toBe("0");
      expect(revert.fired()).toBeUndefined();
    });
  });

  it("fails on a read-only disk, as does every change, until it is disarmed; reads and syncs succeed", async () => {
    const disk = await directory();
    writeFileSync(join(disk.path, "a.log"), "abc");
    const armed = disk.control.arm({ ...rule("write", { do: "read-only" }, 1, "**"), repeat: "from" });
    const changes = ["mkdir:d", "rename:a.log:b.log", "unlink:a.log", "link:a.log:c.log", "truncate:a.log:0"];
    const lines = await disk.script(
      ...[
        "open:a:a.log:b",
        "open:b:new.log:wc",
        "open:r:a.log:r",
        "pread:r:0:3",
        "fsync:r",
        "open:c:a.log:wt",
      ],
      ...changes,
    );
    const refused = failed(EROFS);
    expect(lines).toEqual([refused, refused, "0", "abc", "0", refused, ...changes.map(() => refused)]);
    expect(disk.text("a.log")).toBe("abc");
    armed.disarm();
    expect(await disk.script("open:a:a.log:b", "write:a:xyz", ...changes.slice(0, 2))).toEqual([
      ...["0", "3", "0", "0"],
    ]);
  });

  it("turns read-only under descriptors that are open", async () => {
    const disk = await directory();
    disk.control.arm({ ...rule("write", { do: "read-only" }, 3, "**"), repeat: "from" });
    // The creation and the first write are changes one and two.
    expect(await disk.script(open, "write:a:abc", "write:a:d", "ftruncate:a:1")).toEqual([
      ...["0", "3", failed(EROFS), failed(EROFS)],
    ]);
  });
});

describe.skipIf(!compiler)("a sync", () => {
  const prepared = ["open:a:a.log:bc", "write:a:abc"];

  it("that lies returns 0, is not made, and counts as completed for the program that believes it", async () => {
    const disk = await directory();
    disk.control.arm(rule("sync", { do: "lying" }));
    expect(await disk.script(...prepared, "fsync:a", "fdatasync:a")).toEqual(["0", "3", "0", "0"]);
    expect(disk.events("sync")[0]).toMatchObject({ effect: "lying", result: 0 });
    expect(disk.events("datasync")[0]?.effect).toBeUndefined();
  });

  it("of a directory is skipped by its name, and no wildcard skips it", async () => {
    const disk = await directory();
    disk.control.arm({ ...rule("sync", { do: "error", errno: "EIO" }, 1, "**"), repeat: "from" });
    const skipped = disk.control.arm(rule("sync", { do: "lying" }, 1, "**."));
    const lines = await disk.script("opendirectory:d:.", "fsync:d", "opendirectory:s:sub", "fsync:s");
    expect(lines).toEqual(["0", "0", "0", "0"]);
    expect(disk.events("sync").map(({ path, effect, directory: is }) => [path, effect, is])).toEqual([
      [".", "lying", true],
      ["sub/.", undefined, true],
    ]);
    expect(skipped.fired()).toMatchObject({ times: 1, path: "." });
  });

  it("that is interrupted is neither a completed nor a failed one", async () => {
    const disk = await directory();
    disk.control.arm(rule("sync", { do: "error", errno: "EINTR" }));
    expect(await disk.script(...prepared, "fsync:a", "fsync:a")).toEqual(["0", "3", failed(EINTR), "0"]);
    expect(disk.control.syncCounts()).toEqual({ begun: 2, completed: 2, failed: 0 });
  });

  it("that fails and keeps (fail-keep) is told, and a later one succeeds", async () => {
    const disk = await directory();
    disk.control.arm(rule("sync", { do: "error", errno: "EIO" }));
    expect(await disk.script(...prepared, "fsync:a", "fsync:a")).toEqual(["0", "3", failed(EIO), "0"]);
    expect(disk.events("sync").map(({ effect, result }) => [effect, result])).toEqual([
      ["error", -EIO],
      [undefined, 0],
    ]);
  });

  describe("that fails as on ext4 (fsyncgate)", () => {
    const gate = (nth = 1): DiskRule => rule("sync", { do: "fsyncgate", errno: "EIO" }, nth);

    it("is told once, and reads still show the new data", async () => {
      const disk = await directory();
      const armed = disk.control.arm(gate(2));
      const lines = await disk.script(
        ...[...prepared, "fsync:a", "write:a:d", "fsync:a", "fsync:a", "pread:a:0:9"],
      );
      expect(lines).toEqual(["0", "3", "0", "1", failed(EIO), "0", "abcd"]);
      expect(disk.events("sync").map(({ effect, result }) => [effect, result])).toEqual([
        [undefined, 0],
        ["fsyncgate", -EIO],
        [undefined, 0],
      ]);
      expect(armed.fired()?.times).toBe(1);
      expect(disk.control.syncCounts()).toEqual({ begun: 3, completed: 3, failed: 1 });
    });

    it("is told once to every description that was open, a dup being the same one", async () => {
      const disk = await directory();
      disk.control.arm(gate());
      const lines = await disk.script(
        ...[...prepared, "open:b:a.log:r", "dup:a:c", "dupfd:a:d"],
        ...["fsync:a", "fsync:c", "fsync:d", "fsync:b", "fsync:b"],
      );
      expect(lines.slice(5)).toEqual([failed(EIO), "0", "0", failed(EIO), "0"]);
    });

    it("is told to one of a parent and a child that share a description by fork", async () => {
      const disk = await directory();
      disk.control.arm(gate());
      expect((await disk.script(...prepared, "fork:fsync:a", "fsync:a")).slice(2)).toEqual([
        failed(EIO),
        "0",
      ]);
    });

    it("is not told to a description opened after somebody has seen it", async () => {
      const disk = await directory();
      disk.control.arm(gate());
      expect((await disk.script(...prepared, "fsync:a", "open:b:a.log:b", "fsync:b")).at(-1)).toBe("0");
      expect(await disk.script("open:a:a.log:b", "fsync:a")).toEqual(["0", "0"]);
    });

    it("is told to a description opened later, in another process too, if nobody has seen it yet", async () => {
      const disk = await directory();
      disk.control.arm(rule("write", { do: "writeback-error", errno: "ENOSPC" }));
      await disk.script(...prepared, "close:a");
      expect(await disk.script("open:a:a.log:b", "fsync:a", "fsync:a", "open:b:a.log:b", "fsync:b")).toEqual([
        ...["0", failed(ENOSPC), "0", "0", "0"],
      ]);
    });

    it("knows descriptors that were closed by a system call, and files that got another's inode", async () => {
      const disk = await directory();
      disk.control.arm(gate());
      const lines = await disk.script(
        ...[
          ...prepared,
          "fsync:a",
          "sys_close:a",
          "unlink:a.log",
          "open:a:a.log:bcx",
          "write:a:x",
          "fsync:a",
        ],
      );
      expect(lines.slice(2)).toEqual([failed(EIO), "0", "0", "0", "1", "0"]);
    });

    it("concerns its file and no other", async () => {
      const disk = await directory();
      disk.control.arm(gate());
      expect((await disk.script(...prepared, "fsync:a", "open:b:b.log:bc", "fsync:b")).at(-1)).toBe("0");
    });

    it("is forgotten with the power", async () => {
      const disk = await directory();
      disk.control.arm(rule("write", { do: "writeback-error", errno: "EIO" }));
      await disk.script(...prepared);
      disk.control.losePower();
      expect(await disk.script("open:a:a.log:b", "fsync:a")).toEqual(["0", "0"]);
    });
  });

  it("that fails late (ext4 data=journal) succeeds, and the next of every description fails", async () => {
    const disk = await directory();
    disk.control.arm(rule("sync", { do: "late", errno: "EIO" }));
    const lines = await disk.script(
      ...prepared,
      "open:b:a.log:r",
      "fsync:a",
      "fsync:a",
      "fsync:a",
      "fsync:b",
    );
    expect(lines.slice(3)).toEqual(["0", failed(EIO), "0", failed(EIO)]);
    expect(disk.events("sync")[0]).toMatchObject({ effect: "late", result: 0 });
    expect(disk.events("sync")[1]?.effect).toBeUndefined();
  });

  it("that reverts (btrfs) fails, and reads show the old content at once, zeros where there was none", async () => {
    const disk = await directory({ traced: true, keepPages: true });
    disk.control.arm(rule("sync", { do: "revert", errno: "EIO" }, 2));
    const lines = await disk.script(
      ...["open:a:a.log:bc", "fill:a:0:6000:x", "fsync:a", "pwrite:a:10:NEW", "fill:a:5000:5000:y"],
      ...["pread:a:8:7", "fsync:a", "pread:a:8:7", "pread:a:4998:4", "fsync:a"],
    );
    expect(lines.slice(5)).toEqual(["xxNEWxx", failed(EIO), "xxxxxxx", "xxxx", "0"]);
    expect(disk.text("a.log")).toBe("x".repeat(6000) + "\0".repeat(4000));
    expect(disk.events("sync")[1]).toMatchObject({ effect: "revert", result: -EIO });
    expect(disk.control.blindSpots()).toEqual([]);
  });

  it("that reverts keeps what was written through synchronously, and what an earlier sync covered", async () => {
    const disk = await directory({ keepPages: true });
    disk.control.arm(rule("sync", { do: "revert", errno: "EIO" }, 3));
    const lines = await disk.script(
      ...["open:a:a.log:bc", "write:a:one", "fsync:a", "write:a:two", "fdatasync:a", "write:a:GONE"],
      ...["open:s:b.log:bcd", "write:s:kept", "fsync:a"],
    );
    expect(lines.at(-1)).toBe(failed(EIO));
    expect([disk.text("a.log"), disk.text("b.log")]).toEqual(["onetwo\0\0\0\0", "kept"]);
  });

  it("that reverts goes back to where the history began when nothing was synced since", async () => {
    const disk = await directory();
    writeFileSync(join(disk.path, "a.log"), "before");
    disk.control.arm(rule("sync", { do: "revert", errno: "ENOSPC" }));
    const lines = await disk.script("open:a:a.log:w", "write:a:AFTER and more", "fsync:a", "fsync:a");
    expect(lines.slice(2)).toEqual([failed(ENOSPC), "0"]);
    expect(disk.text("a.log")).toBe("before".padEnd(14, "\0"));
  });

  it("by sync_file_range or syncfs is seen and named, and takes no lasting failure", async () => {
    const disk = await directory();
    const armed = disk.control.arm(rule("sync", { do: "fsyncgate", errno: "EIO" }));
    const wide = disk.control.arm(rule("sync", { do: "error", errno: "EIO" }, 1, "."));
    const lines = await disk.script(...prepared, "sync_file_range:a", "syncfs:a", "syncfs:a");
    expect(lines.slice(2)).toEqual(["0", failed(EIO), "0"]);
    expect(disk.events("sync-range")).toHaveLength(1);
    expect(disk.events("syncfs").map(({ path, result }) => [path, result])).toEqual([
      [".", -EIO],
      [".", 0],
    ]);
    expect([armed.fired(), wide.fired()?.times]).toEqual([undefined, 1]);
  });
});

describe.skipIf(!compiler)("a read", () => {
  async function withText(text: string, options?: InterposedOptions): Promise<InterposedDirectory> {
    const disk = await directory(options ?? {});
    writeFileSync(join(disk.path, "a.log"), text);
    return disk;
  }

  it("fails, is short, or has a bit inverted on its way to the program; the file stays whole", async () => {
    const disk = await withText("abcdef");
    disk.control.arm(rule("read", { do: "error", errno: "EIO" }));
    disk.control.arm(rule("read", { do: "short", bytes: 2 }, 1));
    disk.control.arm(rule("read", { do: "bit-flip", bit: 9 }, 1));
    const reads = ["pread:a:0:6", "pread:a:0:6", "pread:a:0:6", "pread:a:0:6"];
    expect(await disk.script("open:a:a.log:r", ...reads)).toEqual([
      ...["0", failed(EIO), "ab", "a`cdef", "abcdef"],
    ]);
    expect(disk.text("a.log")).toBe("abcdef");
    expect(disk.control.calls().read).toBe(4);
  });

  it("is acted upon by every way of reading, streams included", async () => {
    const disk = await withText("abcdef");
    disk.control.arm({ ...rule("read", { do: "bit-flip", bit: 0 }), repeat: "from" });
    const lines = await disk.script(
      ...["open:a:a.log:r", "read:a:3", "readv:a:3", "fopen:f:a.log:r", "fread:f:6"],
    );
    expect(lines).toEqual(["0", "`bc", "eef", "0", "`bcdef"]);
  });

  it("at the end of a file has nothing to corrupt or shorten: such a rule waits", async () => {
    const disk = await withText("ab");
    const flip = disk.control.arm(rule("read", { do: "bit-flip", bit: 0 }));
    expect(await disk.script("open:a:a.log:r", "pread:a:2:5", "pread:a:0:2")).toEqual(["0", "", "`b"]);
    expect(flip.fired()?.times).toBe(1);
  });

  it("is stale: what its pages held before they were last written, as of the sync before that", async () => {
    const disk = await withText("v1", { keepPages: true });
    const lines = await disk.script(
      ...["open:a:a.log:b", "pwrite:a:0:v2", "fsync:a", "pwrite:a:0:v3", "pwrite:a:0:v4", "fsync:a"],
    );
    expect(lines.at(-1)).toBe("0");
    const stale = disk.control.arm(rule("read", { do: "stale" }));
    expect(await disk.script("open:a:a.log:r", "pread:a:0:2", "pread:a:0:2")).toEqual(["0", "v2", "v4"]);
    expect(stale.fired()).toMatchObject({ times: 1, path: "a.log" });
  });

  it("is not stale where the same was there before: such a rule waits", async () => {
    const disk = await withText("v1", { keepPages: true });
    await disk.script("open:a:a.log:b", "pwrite:a:0:v1", "fsync:a", "pwrite:a:0:v1", "fsync:a");
    const stale = disk.control.arm(rule("read", { do: "stale" }));
    expect(await disk.script("open:a:a.log:r", "read:a:2")).toEqual(["0", "v1"]);
    expect(stale.fired()).toBeUndefined();
    await disk.script("open:a:a.log:b", "pwrite:a:0:v2", "fsync:a");
    expect(await disk.script("open:a:a.log:r", "read:a:2")).toEqual(["0", "v1"]);
    expect(stale.fired()).toMatchObject({ times: 1 });
  });

  it("is never stale where nothing else is known to have been: such a rule waits", async () => {
    const disk = await withText("v1", { keepPages: true });
    const stale = disk.control.arm(rule("read", { do: "stale" }));
    expect(await disk.script("open:a:a.log:r", "pread:a:0:2")).toEqual(["0", "v1"]);
    expect(stale.fired()).toBeUndefined();
  });

  it("is not looked at, and not counted, before a rule for reads was armed", async () => {
    const disk = await withText("ab");
    await disk.script("open:a:a.log:r", "read:a:2");
    expect(disk.control.calls().read).toBe(0);
  });
});

describe.skipIf(!compiler)("a name", () => {
  const errors: readonly [InterposedOperation, string, string, readonly string[]][] = [
    ["open", "a.log", "open:b:a.log:r", []],
    ["create", "n.log", "open:b:n.log:wc", ["n.log"]],
    ["rename", "n.log", "rename:a.log:n.log", ["n.log"]],
    ["link", "n.log", "link:a.log:n.log", ["n.log"]],
    ["mkdir", "n.log", "mkdir:n.log", ["n.log"]],
    ["unlink", "a.log", "unlink:a.log", []],
    ["truncate", "a.log", "truncate:a.log:1", []],
  ];

  it.each(errors)("fails to %s, once, and nothing has changed", async (operation, path, call, absent) => {
    const disk = await directory();
    writeFileSync(join(disk.path, "a.log"), "abc");
    const armed = disk.control.arm(rule(operation, { do: "error", errno: "EACCES" }, 1, path));
    expect(await disk.script(call)).toEqual([failed(constants.errno.EACCES)]);
    expect(disk.text("a.log")).toBe("abc");
    for (const name of absent) expect(existsSync(join(disk.path, name))).toBe(false);
    expect(await disk.script(call)).toEqual(["0"]);
    expect(armed.fired()).toMatchObject({ times: 1, path });
  });

  it.each(errors)("is there or not when the store is killed around its %s", async (operation, path, call) => {
    for (const side of ["kill-before", "kill-after"] as const) {
      const disk = await directory();
      writeFileSync(join(disk.path, "a.log"), "abc");
      disk.control.arm(rule(operation, { do: side }, 1, path));
      const state = (): string => [existsSync(join(disk.path, "n.log")), sizeOf(disk, "a.log")].join();
      const before = state();
      expect(await disk.script(call)).toEqual([]);
      const changes = operation !== "open" && side === "kill-after";
      expect(state() !== before).toBe(changes);
    }
  });

  it("of a directory is removed by rmdir, which is an unlink, and remove() does either", async () => {
    const disk = await directory();
    disk.control.arm(rule("unlink", { do: "error", errno: "EIO" }, 1, "sub"));
    expect(await disk.script("rmdir:sub", "mkdir:d", "remove:d", "remove:sub")).toEqual([
      ...[failed(EIO), "0", "0", "0"],
    ]);
    expect(disk.control.calls()).toMatchObject({ mkdir: 1, unlink: 5 });
  });
});

function sizeOf(disk: InterposedDirectory, file: string): number {
  return existsSync(join(disk.path, file)) ? readFileSync(join(disk.path, file)).length : -1;
}

describe("a rule that could never fire", () => {
  const arm = async (bad: Partial<DiskRule>): Promise<unknown> => {
    const { describeRule } = await import("./disk-rules.ts");
    try {
      return describeRule({ ...rule("write", { do: "kill-before" }), ...bad });
    } catch (error) {
      return (error as Error).message;
    }
  };

  it("is refused in one sentence that says why", async () => {
    const refusals: readonly [Partial<DiskRule>, RegExp][] = [
      [{ operation: "rename", effect: { do: "lying" } }, /only a write or a sync can be lying, not a rename/],
      [{ operation: "write", effect: { do: "fsyncgate", errno: "EIO" } }, /only a sync can be fsyncgate/],
      [{ operation: "write", effect: { do: "stale" } }, /only a read can be stale/],
      [{ operation: "chmod" as InterposedOperation }, /no such disk operation: chmod/],
      [{ effect: { do: "melt" } as unknown as Effect }, /no such disk effect: melt/],
      [{ effect: { do: "error", errno: "EMFILE" } }, /EMFILE is an error of open and create/],
      [{ path: "/var/lib/x.log" }, /relative to the data directory/],
      [{ path: "../x.log" }, /cannot lead out of it/],
      [{ path: "a/../../x" }, /cannot lead out of it/],
      [{ path: "sub/." }, /a directory \(sub\/\.\) can be synced and opened/],
      [{ effect: { do: "misdirected", shiftBytes: 0 } }, /shiftBytes/],
      [{ effect: { do: "bit-flip", bit: -1 } }, /bit of a disk rule/],
    ];
    for (const [bad, sentence] of refusals) expect(await arm(bad)).toMatch(sentence);
  });

  it("is told from one that can: every effect is possible on some operation", async () => {
    expect(effectsOn("write")).toContain("writeback-error");
    expect(effectsOn("read")).not.toContain("lying");
    for (const effect of effectsOn("mkdir")) expect(effectsOn("sync")).toContain(effect);
  });
});
