import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { type Disk, nodeDisk } from "./disk.ts";
import type { Engine } from "./engine.ts";
import { StartRefused, StoreFailed } from "./errors.ts";
import { openTestEngine, recoverOnly, remove, temporaryDirectory } from "./fixtures/model.ts";

const directories: string[] = [];
const engines: Engine[] = [];

async function open(disk: Partial<Disk>, options: Parameters<typeof openTestEngine>[1] = {}) {
  const dir = temporaryDirectory();
  directories.push(dir);
  const engine = await openTestEngine(dir, { ...options, replace: { disk: { ...nodeDisk, ...disk } } });
  engines.push(engine);
  return { dir, engine };
}

afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close().catch(() => undefined);
  for (const dir of directories.splice(0)) remove(dir);
});

function put(engine: Engine, key: string, value = "x"): number {
  engine.change({ kind: "put", table: "", key, value });
  return engine.commit();
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const deadline = performance.now() + 5000;
    const look = () => {
      if (condition()) resolve();
      else if (performance.now() > deadline) reject(new Error("it did not happen within 5 s"));
      else setTimeout(look, 2);
    };
    look();
  });
}

describe("group commit", () => {
  test("everything of one turn shares one write and one sync", async () => {
    const { engine } = await open({});
    const before = engine.counts.syncs;
    for (let i = 0; i < 100; i += 1) put(engine, `k${i}`);
    expect(engine.released).toBe(0);
    await engine.flush();
    expect(engine.released).toBe(100);
    expect(engine.counts.syncs - before).toBe(1);
    expect(engine.counts.batches).toBe(1);
  });

  test("what arrives during a slow sync is written only after it, and shares the next", async () => {
    let slow = 0;
    const { engine } = await open({
      syncDataNow: (fd) => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3);
        nodeDisk.syncDataNow(fd);
      },
      syncData: (fd, done) => {
        slow += 1;
        setTimeout(() => nodeDisk.syncData(fd, done), 10);
      },
    });
    put(engine, "first");
    await engine.flush();
    put(engine, "second");
    await until(() => slow === 1);
    for (let i = 0; i < 50; i += 1) put(engine, `k${i}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    await engine.flush();
    expect(engine.released).toBe(52);
    expect(engine.counts.batches).toBe(3);
  });

  test("short and interrupted writes, and interrupted syncs, are completed", async () => {
    let calls = 0;
    const { dir, engine } = await open({
      writeNow: (fd, bytes, offset, length, position) => {
        calls += 1;
        if (calls % 3 === 0) throw systemError("EINTR");
        return nodeDisk.writeNow(fd, bytes, offset, Math.min(length, 7), position);
      },
      syncDataNow: (fd) => {
        calls += 1;
        if (calls % 2 === 0) throw systemError("EINTR");
        nodeDisk.syncDataNow(fd);
      },
    });
    for (let i = 0; i < 10; i += 1) {
      put(engine, `k${i}`);
      await engine.flush();
    }
    await engine.close();
    expect(Object.keys((await recoverOnly(dir)).contents)).toHaveLength(10);
  });

  test("an entry larger than a segment is kept", async () => {
    const { dir, engine } = await open({});
    put(engine, "small");
    put(engine, "large", "y".repeat(100_000));
    await engine.flush();
    put(engine, "after");
    await engine.close();
    const { contents } = await recoverOnly(dir);
    expect(contents.large).toHaveLength(100_000);
    expect(contents.after).toBe("x");
  });
});

describe("fail-stop", () => {
  test.each(["writeNow", "syncDataNow"] as const)(
    "after the first %s that fails nothing is acknowledged, written or synced any more",
    async (operation) => {
      let failing = false;
      const after: string[] = [];
      const disk: Partial<Disk> = {};
      for (const one of ["writeNow", "syncDataNow", "syncData"] as const) {
        disk[one] = ((...args: never[]) => {
          if (failing) {
            after.push(one);
            throw systemError("EIO");
          }
          // A sync that took long would make the log sync on another thread from then on.
          if (one === "syncDataNow") return;
          return (nodeDisk[one] as (...all: never[]) => unknown)(...args);
        }) as never;
      }
      if (operation === "syncDataNow") {
        disk.writeNow = (...args) => nodeDisk.writeNow(...args);
      }
      const { dir, engine } = await open(disk);
      const failures: StoreFailed[] = [];
      engine.onFailed = (failure) => failures.push(failure);
      put(engine, "before");
      await engine.flush();
      failing = true;
      put(engine, "lost?");
      await expect(engine.flush()).rejects.toBeInstanceOf(StoreFailed);
      expect(failures).toHaveLength(1);
      expect(failures[0]!.message).toMatch(
        /could not (write|sync) the log segment-\d+\.log \(EIO: injected\)/,
      );
      expect(engine.released).toBe(1);
      expect(() => put(engine, "never")).toThrow(StoreFailed);
      await expect(engine.flush()).rejects.toBeInstanceOf(StoreFailed);
      await engine.close();
      expect(after).toEqual([operation]);
      failing = false;
      expect((await recoverOnly(dir)).contents.before).toBe("x");
    },
  );

  test("a failed preallocation is reported, and stops the store only when the segment is needed", async () => {
    let full = false;
    const said: string[] = [];
    const { engine } = await open(
      {
        write: (...args) => (full ? Promise.reject(systemError("ENOSPC")) : nodeDisk.write(...args)),
      },
      { report: (sentence) => said.push(sentence) },
    );
    put(engine, "a", "y".repeat(3000));
    await engine.flush();
    await until(() => readdirSync(directories[0]!).filter((name) => name.endsWith(".log")).length === 2);
    full = true;
    put(engine, "b", "y".repeat(3000));
    await engine.flush();
    await until(() => said.length === 1);
    expect(said[0]).toMatch(/could not be prepared \(ENOSPC: injected\)/);
    put(engine, "c", "y".repeat(500));
    await engine.flush();
    put(engine, "d", "y".repeat(3000));
    await expect(engine.flush()).rejects.toThrow(/could not begin the next segment of the log/);
  });

  test("a store that a full disk kept from starting starts later, with nothing lost", async () => {
    let full = true;
    const { dir, engine } = await open({});
    const disk: Partial<Disk> = {
      write: (...args) => (full ? Promise.reject(systemError("ENOSPC")) : nodeDisk.write(...args)),
    };
    await engine.close();
    await expect(openTestEngine(dir, { replace: { disk: { ...nodeDisk, ...disk } } })).rejects.toBeInstanceOf(
      StartRefused,
    );
    full = false;
    const again = await openTestEngine(dir, { replace: { disk: { ...nodeDisk, ...disk } } });
    put(again, "a");
    await again.close();
    expect((await recoverOnly(dir)).contents).toEqual({ a: "x" });
  });

  test("after a failed sync of the directory no later one is believed: the store stops when it needs a new name", async () => {
    let failing = false;
    const { engine } = await open({
      syncDirectory: (dir) => {
        if (!failing) return nodeDisk.syncDirectory(dir);
        failing = false;
        return Promise.reject(systemError("EIO"));
      },
    });
    failing = true;
    put(engine, "a", "y".repeat(3000));
    await engine.flush();
    await until(() => !failing);
    await expect(engine.snapshot()).rejects.toThrow("an earlier sync of the directory had failed");
    put(engine, "b", "y".repeat(3000));
    await expect(engine.flush()).rejects.toThrow(/an earlier sync of the directory had failed: EIO/);
  });

  test("an interrupted sync of the directory is made again", async () => {
    let calls = 0;
    const { dir, engine } = await open({
      syncDirectory: (path) => {
        calls += 1;
        return calls % 2 === 1 ? Promise.reject(systemError("EINTR")) : nodeDisk.syncDirectory(path);
      },
    });
    put(engine, "a");
    await engine.close();
    expect((await recoverOnly(dir)).contents).toEqual({ a: "x" });
  });
});

describe("names and ends", () => {
  /** The changing calls of a disk, by their paths below `root`. */
  function recording(root: string): { calls: string[]; disk: Disk } {
    const calls: string[] = [];
    const below = (path: string) => path.slice(root.length) || "/";
    const disk: Disk = {
      ...nodeDisk,
      makeDirectory: (path) => {
        calls.push(`mkdir ${below(path)}`);
        return nodeDisk.makeDirectory(path);
      },
      syncDirectory: (path) => {
        calls.push(`sync ${below(path)}`);
        return nodeDisk.syncDirectory(path);
      },
      link: (from, to) => {
        calls.push(`link ${below(to)}`);
        return nodeDisk.link(from, to);
      },
      writeNow: (...args) => {
        calls.push("write");
        return nodeDisk.writeNow(...args);
      },
      syncData: (fd, done) => {
        calls.push("sync");
        nodeDisk.syncData(fd, done);
      },
    };
    return { calls, disk };
  }

  function rootDirectory(): string {
    const root = temporaryDirectory();
    directories.push(root);
    return root;
  }

  async function openIn(dir: string, disk: Disk): Promise<Engine> {
    const engine = await openTestEngine(dir, { replace: { disk } });
    engines.push(engine);
    return engine;
  }

  test("every directory that had to be made is durable under its name before it is used", async () => {
    const root = rootDirectory();
    const { calls, disk } = recording(root);
    await openIn(`${root}/a/b`, disk);
    const made = ["mkdir /a/b", "mkdir /a", "sync /", "mkdir /a/b", "sync /a", "link /a/b/lock"];
    expect(calls.slice(0, 6)).toEqual(made);
  });

  test("one that a killed start may have made, too; one that was served from needs no sync", async () => {
    const root = rootDirectory();
    const first = recording(root);
    mkdirSync(`${root}/a`);
    const engine = await openIn(`${root}/a`, first.disk);
    expect(first.calls.slice(0, 2)).toEqual(["sync /", "link /a/lock"]);
    await engine.close();
    const second = recording(root);
    await openIn(`${root}/a`, second.disk);
    expect(second.calls[0]).toBe("link /a/lock");
    expect(second.calls).not.toContain("sync /");
  });

  test("a directory above that may not be looked at is its owner's; one whose sync fails is not believed", async () => {
    for (const [code, opens] of [
      ["EACCES", true],
      ["EIO", false],
    ] as const) {
      const root = rootDirectory();
      mkdirSync(`${root}/a`);
      const syncDirectory = (path: string) =>
        path === root ? Promise.reject(systemError(code)) : nodeDisk.syncDirectory(path);
      const opened = openIn(`${root}/a`, { ...nodeDisk, syncDirectory });
      if (opens) put(await opened, "a");
      else await expect(opened).rejects.toThrow(StartRefused);
    }
  });

  test("a graceful end is on the disk: what a close claims was synced", async () => {
    const root = rootDirectory();
    const { calls, disk } = recording(root);
    const engine = await openIn(root, disk);
    put(engine, "a");
    await engine.flush();
    calls.length = 0;
    await engine.close();
    const ofFiles = calls.filter((call) => call !== "sync /");
    expect(ofFiles).toEqual(["write", "sync"]);
  });
});

describe("mode interval", () => {
  test("what is written is released, and synced within the interval", async () => {
    const { engine } = await open({}, { durability: { mode: "interval", intervalMs: 20 } });
    const before = engine.counts.syncs;
    put(engine, "a");
    await new Promise(setImmediate);
    await until(() => engine.released === 1);
    expect(engine.counts.syncs).toBe(before);
    await until(() => engine.counts.syncs > before);
  });

  test("acknowledgements wait while a sync overruns the interval", async () => {
    const pending: (() => void)[] = [];
    const { engine } = await open(
      { syncData: (fd, done) => void pending.push(() => nodeDisk.syncData(fd, done)) },
      { durability: { mode: "interval", intervalMs: 10 } },
    );
    put(engine, "a");
    await until(() => pending.length === 1);
    put(engine, "within");
    await until(() => engine.released === 2);
    await new Promise((resolve) => setTimeout(resolve, 25));
    put(engine, "too late");
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(engine.released).toBe(2);
    pending.shift()!();
    await until(() => engine.released === 3);
    await until(() => pending.length === 1);
    pending.shift()!();
    const closing = engine.close();
    await until(() => pending.length === 1);
    pending.shift()!();
    await closing;
  });

  test("segments follow each other without losing anything", async () => {
    const { dir, engine } = await open({}, { durability: { mode: "interval", intervalMs: 5 } });
    for (let i = 0; i < 200; i += 1) {
      put(engine, `k${i}`, "y".repeat(100));
      if (i % 5 === 0) await new Promise(setImmediate);
    }
    await engine.close();
    expect(Object.keys((await recoverOnly(dir)).contents)).toHaveLength(200);
  });
});

describe("opening", () => {
  test("a directory of the format before is read, and is of this format from then on", async () => {
    const { dir, engine } = await open({});
    put(engine, "a");
    await engine.close();
    writeFileSync(`${dir}/format`, "acked ramlog 1\n");
    await (await openTestEngine(dir)).close();
    expect(readFileSync(`${dir}/format`, "latin1")).toBe("acked ramlog 2\n");
    expect((await recoverOnly(dir)).contents).toEqual({ a: "x" });
  });

  test("a directory of a newer format, without its format, or without its log is refused with the reason", async () => {
    const { dir, engine } = await open({});
    put(engine, "a");
    await engine.close();
    writeFileSync(`${dir}/format`, "acked ramlog 3\n");
    await expect(openTestEngine(dir)).rejects.toThrow(
      /written in format 3 by a newer ramlog.*Use the newer version/,
    );
    rmSync(`${dir}/format`);
    await expect(openTestEngine(dir)).rejects.toThrow(/holds a log but no file "format"/);
    writeFileSync(`${dir}/format`, "acked ramlog 2\n");
    for (const name of readdirSync(dir)) if (name.startsWith("segment")) rmSync(`${dir}/${name}`);
    await expect(openTestEngine(dir)).rejects.toThrow(/has lost its log/);
    await expect(openTestEngine(`${dir}/format`)).rejects.toThrow(/is not a directory/);
  });
});
