/**
 * The paths by which programs reach the disk: each is seen, counted and in the trace, and the trace alone rebuilds the
 * files byte for byte. The programs themselves are in programs.test.ts.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { InterposedOperation } from "../contract.ts";
import { findWorkingCompiler } from "./build-interposer.ts";
import { InterposedDirectory } from "./fixtures/interposed.ts";
import { type EarlierFile, earlierFiles, filesIn, rebuild } from "./fixtures/rebuild.ts";

const compiler = process.platform === "linux" ? await findWorkingCompiler() : undefined;
if (!compiler) console.warn("SKIPPED: the coverage tests need Linux and a C compiler (gcc), and found none");

const directories: InterposedDirectory[] = [];
afterEach(() => {
  for (const one of directories.splice(0)) one.remove();
});

async function directory(): Promise<InterposedDirectory> {
  const made = await InterposedDirectory.create("*.log", { traced: true });
  directories.push(made);
  return made;
}

/** The files as the trace alone tells them, and as they are. */
function told(disk: InterposedDirectory, earlier: readonly EarlierFile[] = []): unknown {
  const text = (files: Map<string, Buffer>): Record<string, string> =>
    Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.toString("latin1")]).sort());
  const trace = disk.trace();
  expect(trace.faults).toEqual([]);
  expect(text(rebuild(trace.events, earlier))).toEqual(text(filesIn(disk.path)));
  return text(filesIn(disk.path));
}

/** A name, what it calls, what the calls print, the file afterwards, and what was counted. */
type Case = readonly [string, readonly string[], readonly string[], string, Partial<Counts>];
type Counts = Record<InterposedOperation, number>;

const cases: readonly Case[] = [
  ["write", ["open:a:a.log:wc", "write:a:abc"], ["0", "3"], "abc", { write: 1, create: 1 }],
  [
    "write, appending",
    ["open:a:a.log:wca", "write:a:abc", "write:a:d"],
    ["0", "3", "1"],
    "abcd",
    { write: 2 },
  ],
  ["pwrite", ["open:a:a.log:wc", "pwrite:a:2:abc"], ["0", "3"], "\0\0abc", { write: 1 }],
  ["writev", ["open:a:a.log:wc", "writev:a:abc:de:f"], ["0", "6"], "abcdef", { write: 1 }],
  ["pwritev", ["open:a:a.log:wc", "pwritev:a:1:abc:de"], ["0", "5"], "\0abcde", { write: 1 }],
  ["pwritev2 at the position", ["open:a:a.log:wc", "pwritev2:a:-1:0:abc"], ["0", "3"], "abc", { write: 1 }],
  [
    "pwritev2 with RWF_APPEND",
    ["open:a:a.log:wc", "write:a:ab", "pwritev2:a:0:16:c"],
    ["0", "2", "1"],
    "abc",
    {},
  ],
  ["an appending pwrite", ["open:a:a.log:wca", "write:a:ab", "pwrite:a:0:c"], ["0", "2", "1"], "abc", {}],
  ["creat", ["creat:a:a.log", "write:a:x"], ["0", "1"], "x", { create: 1 }],
  ["openat", ["openat:a:a.log:wc", "write:a:x"], ["0", "1"], "x", { create: 1 }],
  ["dprintf", ["open:a:a.log:wc", "dprintf:a:abc"], ["0", "3"], "abc", { write: 1 }],
  [
    "syscall(SYS_openat), (SYS_write)",
    ["sys_openat:a:a.log:wc", "sys_write:a:abc"],
    ["0", "3"],
    "abc",
    { write: 1 },
  ],
  ["openat2", ["sys_openat2:a:a.log:wc", "sys_pwrite:a:1:abc"], ["0", "3"], "\0abc", { create: 1, write: 1 }],
  [
    "a truncating open",
    ["open:a:a.log:wc", "write:a:abc", "open:b:a.log:wt"],
    ["0", "3", "0"],
    "",
    { open: 1 },
  ],
  [
    "fopen, fputs, fprintf, fwrite, fclose",
    ["fopen:f:a.log:w", "fputs:f:abc", "fprintf:f:d", "fwrite:f:ef", "fclose:f"],
    ["0", "0", "3", "2", "0"],
    "abc<d>ef",
    { write: 1, create: 1 },
  ],
  [
    "a stream that is flushed and synced by its descriptor",
    ["fopen:f:a.log:w", "fputs:f:abc", "fflush:f", "fsync_stream:f", "fputs:f:d", "fclose:f"],
    ["0", "0", "0", "0", "0", "0"],
    "abcd",
    { write: 2, sync: 1 },
  ],
  [
    "a stream that seeks, reads and appends",
    [
      "fopen:f:a.log:w+",
      "fputs:f:abcdef",
      "fseek:f:2",
      "fread:f:2",
      "fseek:f:1",
      "fputs:f:X",
      "fclose:f",
    ].concat("fopen:g:a.log:a", "fputs:g:end", "fclose:g"),
    ["0", "0", "0", "cd", "0", "0", "0", "0", "0", "0"],
    "aXcdefend",
    {},
  ],
  [
    "fdopen",
    ["open:a:a.log:wc", "fdopen:a:f:w", "fputs:f:abc", "fclose:f", "write:a:x"],
    ["0", "0", "0", "0", "-9"],
    "abc",
    { write: 1 },
  ],
  ["ftruncate", ["open:a:a.log:wc", "write:a:abc", "ftruncate:a:2"], ["0", "3", "0"], "ab", { truncate: 1 }],
  [
    "truncate",
    ["open:a:a.log:wc", "write:a:abc", "truncate:a.log:5"],
    ["0", "3", "0"],
    "abc\0\0",
    { truncate: 1 },
  ],
  ["fallocate", ["open:a:a.log:wc", "fallocate:a:0:0:4"], ["0", "0"], "\0\0\0\0", { truncate: 1 }],
  [
    "fallocate that keeps the size",
    ["open:a:a.log:wc", "fallocate:a:1:0:9"],
    ["0", "0"],
    "",
    { truncate: 1 },
  ],
  [
    "fallocate that punches a hole",
    ["open:a:a.log:bc", "write:a:abcdef", "fallocate:a:3:1:3"],
    ["0", "6", "0"],
    "a\0\0\0ef",
    { truncate: 1 },
  ],
  ["posix_fallocate", ["open:a:a.log:wc", "posix_fallocate:a:0:3"], ["0", "0"], "\0\0\0", { truncate: 1 }],
  [
    "rename",
    ["open:a:t:wc", "write:a:abc", "rename:t:a.log", "write:a:d"],
    ["0", "3", "0", "1"],
    "abcd",
    { rename: 1 },
  ],
  [
    "rename over another",
    ["open:a:a.log:wc", "write:a:old", "open:b:t:wc", "write:b:new", "rename:t:a.log"],
    ["0", "3", "0", "3", "0"],
    "new",
    { rename: 1 },
  ],
  [
    "link",
    ["open:a:t:wc", "write:a:abc", "link:t:a.log", "unlink:t"],
    ["0", "3", "0", "0"],
    "abc",
    { link: 1 },
  ],
  [
    "a new file with the inode of an old one",
    ["open:a:t:wc", "write:a:abcdef", "close:a", "unlink:t", "open:a:a.log:wcx", "write:a:x"],
    ["0", "6", "0", "0", "0", "1"],
    "x",
    { unlink: 1, create: 2 },
  ],
  [
    "msync of a shared mapping",
    ["open:a:a.log:bc", "ftruncate:a:9000", "mmap:a:9000", "store:a:5000:hello", "msync:a:9000"],
    ["0", "0", "0", "0", "0"],
    `${"\0".repeat(5000)}hello${"\0".repeat(3995)}`,
    { write: 1, sync: 1 },
  ],
  [
    "a shared mapping that is unmapped, or whose file is synced or written to",
    [
      "open:a:a.log:bc",
      "ftruncate:a:10",
      "mmap:a:4096",
      "store:a:1:ab",
      "fsync:a",
      "store:a:3:c",
      "pwrite:a:5:w",
    ].concat("store:a:7:d", "munmap:a:4096"),
    ["0", "0", "0", "0", "0", "0", "1", "0", "0"],
    "\0abc\0w\0d\0\0",
    { sync: 1 },
  ],
  [
    "a shared mapping that nobody syncs",
    ["open:a:a.log:bc", "ftruncate:a:4", "mmap:a:4096", "store:a:1:ab"],
    ["0", "0", "0", "0"],
    "\0ab\0",
    {},
  ],
];

describe.skipIf(!compiler)("the trace rebuilds a file", () => {
  it.each(cases)("written by %s", async (_name, calls, lines, left, counts) => {
    const disk = await directory();
    expect(await disk.script(...calls)).toEqual(lines);
    expect(told(disk)).toEqual({ "a.log": left });
    expect(disk.control.calls()).toMatchObject(counts);
    expect(disk.control.blindSpots()).toEqual([]);
  });

  const source = "0123456789".repeat(300);

  it.each([
    ["copy_file_range", "copy_file_range:s:a:2000", source.slice(0, 2000)],
    ["sendfile", "sendfile:s:a:2000", source.slice(0, 2000)],
    ["splice", "splice:a:through a pipe", "through a pipe"],
  ])("copied by %s", async (_name, call, left) => {
    const disk = await directory();
    writeFileSync(join(disk.path, "source"), source);
    const earlier = earlierFiles(disk.path);
    const lines = await disk.script("open:s:source:r", "open:a:a.log:wc", call);
    expect(lines[2]).toBe(String(left.length));
    expect(told(disk, earlier)).toEqual({ "a.log": left, source });
    expect(disk.control.calls().write).toBe(1);
  });

  it("cloned, where the file system can; elsewhere the error is the kernel's own", async () => {
    const disk = await directory();
    writeFileSync(join(disk.path, "source"), source);
    const earlier = earlierFiles(disk.path);
    const [, , cloned] = await disk.script("open:s:source:r", "open:a:a.log:bc", "clone:s:a");
    expect(["0", "-95", "-22", "-25"]).toContain(cloned);
    expect(told(disk, earlier)).toEqual({ "a.log": cloned === "0" ? source : "", source });
    expect(disk.events("write", "begin")[0]?.data?.length).toBe(source.length);
  });

  it("in directories that are made, moved and removed", async () => {
    const disk = await directory();
    await disk.script(
      ...["mkdir:d", "open:a:d/a.log:wc", "write:a:abc", "rename:d:e", "write:a:d", "mkdir:f", "rmdir:f"],
      ...["mkstemp:t:e/t-XXXXXX", "write:t:x"],
    );
    const files = told(disk) as Record<string, string>;
    expect(Object.entries(files).map(([path, text]) => [path.replace(/t-\w{6}$/, "t-"), text])).toEqual([
      ["e/a.log", "abcd"],
      ["e/t-", "x"],
    ]);
    expect(disk.events("rename")[0]).toMatchObject({ path: "e", otherPath: "d", directory: true, result: 0 });
    expect(disk.events("mkdir").map(({ path, result }) => [path, result])).toEqual([
      ["d", 0],
      ["f", 0],
    ]);
    expect(disk.events("rmdir")[0]).toMatchObject({ path: "f", result: 0 });
  });

  it("appended to by four threads at once, with every sync among them", async () => {
    const disk = await directory();
    await disk.native("syncing-threads", "a.log", "50");
    told(disk);
    expect(disk.events("write")).toHaveLength(200);
    expect(disk.events("datasync")).toHaveLength(200);
    const pairs = disk.trace().events.filter(({ phase }) => phase === "end");
    for (const end of pairs) expect(end.call).toBeLessThan(end.index);
  });
});

describe.skipIf(!compiler)("the trace", () => {
  it("shows that syncs of several threads overlap: none waits for another", async () => {
    const disk = await directory();
    const effect = { do: "delay", delayMs: 20 } as const;
    disk.control.arm({ operation: "sync", path: "*.log", nth: 1, repeat: "from", effect });
    await disk.native("syncing-threads", "a.log", "5");
    let open = 0;
    let most = 0;
    for (const { kind, phase } of disk.trace().events) {
      if (kind !== "datasync") continue;
      open += phase === "begin" ? 1 : -1;
      most = Math.max(most, open);
    }
    expect([open, most > 1]).toEqual([0, true]);
  });

  it.each([1, 7, 40, 111])(
    "of threads killed at write %i has no damage, and tells all that had ended",
    async (nth) => {
      const disk = await directory();
      disk.control.arm({
        operation: "write",
        path: "*.log",
        nth,
        repeat: "once",
        effect: { do: "kill-after" },
      });
      await disk.native("syncing-threads", "a.log", "50");
      const { events, faults } = disk.trace();
      expect(faults).toEqual([]);
      const ended = events.filter(({ kind, phase }) => kind === "write" && phase === "end");
      expect(ended.length).toBeGreaterThanOrEqual(nth - 4);
      const rebuilt = rebuild(events).get("a.log")!;
      // What was in flight may have reached the file; what had ended has.
      const real = filesIn(disk.path).get("a.log")!;
      expect(real.length).toBeGreaterThanOrEqual(rebuilt.length);
      expect(real.length).toBeLessThanOrEqual(rebuilt.length + 4 * 8);
    },
  );

  it("that is full ends itself and not the store, and says so", async () => {
    const disk = await InterposedDirectory.create("*.log", { traced: true, traceBytes: 64 * 1024 });
    directories.push(disk);
    expect(await disk.script("open:a:a.log:wc", "fill:a:0:100000:x", "write:a:abc")).toEqual([
      "0",
      "100000",
      "3",
    ]);
    expect(disk.trace().faults.join()).toMatch(/overflowed/);
    expect(disk.control.blindSpots().join()).toMatch(/trace has no room left/);
    expect(disk.text("a.log").length).toBe(100_000);
  });

  it("of another version, or that cannot be opened, ends the store with a sentence", async () => {
    const disk = await directory();
    const other = join(disk.path, "..", "other.bin");
    writeFileSync(other, Buffer.alloc(8192));
    const ended = await disk.run("true", [], { ACKED_TRACE: other });
    expect([ended.exitCode, ended.stderr]).toEqual([
      125,
      expect.stringMatching(/^acked interposer: the trace was made by another version of acked/),
    ]);
    const missing = await disk.run("true", [], { ACKED_TRACE: "/nowhere/trace" });
    expect(missing.stderr).toMatch(/^acked interposer: the trace cannot be opened/);
  });

  it("marks what is synchronous, created and truncated, and names the modes of fallocate and rename", async () => {
    const disk = await directory();
    await disk.script(
      ...["open:a:a.log:wcd", "write:a:x", "open:b:b:wc", "pwritev2:b:0:2:y", "write:b:z", "open:b:b:wt"],
      ...["fallocate:b:1:0:9", "open:c:c:wc", "renameat2:b:c:2"],
    );
    expect(disk.events("write").map((event) => event.synchronous === true)).toEqual([true, true, false]);
    expect(disk.events("open").map((event) => [event.path, event.created, event.truncated])).toEqual([
      ["a.log", true, undefined],
      ["b", true, undefined],
      ["b", undefined, true],
      ["c", true, undefined],
    ]);
    expect(disk.events("allocate")[0]).toMatchObject({ mode: 1, offset: 0, size: 9 });
    expect(disk.events("rename")[0]).toMatchObject({ mode: 2, path: "c", otherPath: "b" });
  });

  it("shows each process entering, and one that has replaced itself", async () => {
    const disk = await directory();
    await disk.run("sh", ["-c", "exec sh -c ':'"]);
    const kinds = disk.trace().events.map(({ kind, phase }) => `${kind} ${phase}`);
    expect(kinds).toEqual(["enter instant", "exec instant", "enter instant"]);
  });

  it("shows replies on sockets with the peer's port and the bytes sent before", async () => {
    const disk = await directory();
    const received: string[] = [];
    const server = createServer((socket) => socket.on("data", (bytes) => received.push(String(bytes))));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const port = (server.address() as { port: number }).port;
    await disk.run(process.execPath, [
      "-e",
      `const s = require("net").connect(${port}, "127.0.0.1", () => {
         s.write("hello"); s.write("again", () => s.end("!!"));
       });`,
    ]);
    await new Promise((resolve) => server.close(resolve));
    const sends = disk.events("send");
    expect(sends.map((event) => event.port)).toEqual(sends.map(() => port));
    expect(sends.reduce((sum, event) => sum + event.size, 0)).toBe(12);
    let before = 0;
    for (const event of sends) {
      expect(event.offset).toBe(before);
      before += event.size;
    }
  });

  it("says what it cannot see: symbolic links, unnamed files, streams put onto a file", async () => {
    const disk = await directory();
    writeFileSync(join(disk.path, "..", "outside"), "from elsewhere");
    expect(disk.control.blindSpots()).toEqual([]);
    await disk.script("symlink:a:b", "freopen:f:a.log:w", "rename:../outside:inside");
    expect(disk.control.blindSpots().map((sentence) => sentence.slice(0, 21))).toEqual([
      "a stream of the C lib",
      "a symbolic link was m",
      "a file was moved into",
    ]);
  });

  it("says that asynchronous I/O was made, and lets it through", async () => {
    const disk = await directory();
    await disk.script("open:a:../outside:wc", "aio:a:elsewhere");
    expect(disk.control.blindSpots()).toEqual([]);
    await disk.script("open:a:a.log:wc", "aio:a:here");
    expect(disk.control.blindSpots()).toEqual([expect.stringMatching(/^asynchronous I\/O .* was not seen$/)]);
    expect(readFileSync(join(disk.path, "a.log"), "utf8")).toBe("here");
  });

  it("is not written to, and costs nothing, outside of the data directory", async () => {
    const disk = await directory();
    await disk.script("open:a:../outside:wc", "write:a:x", "fopen:f:../other:w", "fputs:f:x", "fclose:f");
    expect(disk.trace().events.map(({ kind }) => kind)).toEqual(["enter"]);
  });
});

it.skipIf(!compiler)("refuses io_uring, by which calls would go unseen", async () => {
  const disk = await directory();
  expect(await disk.script("io_uring")).toEqual(["-38"]);
});

it.skipIf(!compiler)("kills processes that have left the group, and never the harness", async () => {
  const disk = await directory();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const port = (server.address() as { port: number }).port;
  const gone = new Promise<void>((resolve) => {
    server.once("connection", (socket) => {
      socket.on("error", () => {});
      socket.once("close", () => resolve());
      socket.resume();
      // Connected from a session of its own: now the parent makes the call that kills.
      writeFileSync(join(disk.path, "go"), "");
    });
  });
  disk.control.arm({
    ...{ operation: "write", path: "a.log", nth: 1, repeat: "once" },
    effect: { do: "kill-before" },
  });
  const child = `const c = require("net").connect(${port}, "127.0.0.1"); setInterval(() => {}, 1000)`;
  const parent = `const { spawn } = require("child_process"), fs = require("fs");
    spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { detached: true, stdio: "ignore" });
    setInterval(() => { if (fs.existsSync("go")) fs.writeFileSync("a.log", "x"); }, 5);`;
  const ended = await disk.run(process.execPath, ["-e", parent]);
  expect(ended.signal).toBe("SIGKILL");
  await gone;
  server.close();
  expect(existsSync(join(disk.path, "a.log")) ? disk.text("a.log") : "").toBe("");
});
