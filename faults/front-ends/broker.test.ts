/** The broker from outside: static programs, real files, each effect present when asked for and absent when not. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { afterEach, describe, expect, it } from "vitest";
import { freePort } from "../../harness/supervisor/readiness.ts";
import type { DiskRule, Effect, InterposedOperation, TraceEvent } from "../contract.ts";
import { probeBroker } from "./broker.ts";
import { measureBrokerCost } from "./broker-cost.ts";
import { BrokeredDirectory, compileStatic, whyNoBroker } from "./fixtures/brokered.ts";
import { filesIn, rebuild } from "./fixtures/rebuild.ts";

const unavailable = await whyNoBroker();
if (unavailable) console.warn(`SKIPPED: the tests of the broker: ${unavailable}`);

const directories: BrokeredDirectory[] = [];

async function directory(parent?: string): Promise<BrokeredDirectory> {
  const made = await BrokeredDirectory.create("**", parent);
  directories.push(made);
  return made;
}

function rule(operation: InterposedOperation, path: string, effect: Effect, nth = 1): DiskRule {
  return { operation, path, nth, repeat: "once", effect };
}

/** True while the process has not ended; one that nobody has reaped yet has. */
function lives(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

async function until(holds: () => boolean, what: string, deadlineMs = 15_000): Promise<void> {
  for (const from = performance.now(); !holds(); await sleep(10)) {
    if (performance.now() - from > deadlineMs)
      throw new Error(`${deadlineMs} ms passed, and not yet: ${what}`);
  }
}

/** Waits until a file has stopped growing: whoever wrote to it every 5 ms is no more. */
async function stopsGrowing(path: string): Promise<void> {
  for (let quiet = 0, size = -1; quiet < 20; await sleep(10)) {
    const now = statSync(path).size;
    quiet = now === size ? quiet + 1 : 0;
    size = now;
    if (now > 100_000) throw new Error(`${path} grows on`);
  }
}

/** How many processes have written. */
function writers(disk: BrokeredDirectory): number {
  return new Set(ends(disk.trace().events, "write").map((event) => event.pid)).size;
}

/** Files as short texts: a deep comparison of megabytes takes minutes. */
function contents(files: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  const texts = [...files].map(([path, bytes]): [string, string] => [
    path,
    bytes.length < 200
      ? Buffer.from(bytes).toString("latin1")
      : `${bytes.length} bytes, SHA-256 ${createHash("sha256").update(bytes).digest("hex")}`,
  ]);
  return Object.fromEntries(texts.sort());
}

const ends = (events: readonly TraceEvent[], kind: TraceEvent["kind"]) =>
  events.filter((event) => event.kind === kind && event.phase === "end");

describe.skipIf(unavailable !== undefined)("the broker", () => {
  afterEach(() => {
    for (const one of directories.splice(0)) one.remove();
  });

  describe("without a rule", () => {
    it("makes every call as it was meant, and the trace alone rebuilds the files byte for byte", async () => {
      const disk = await directory();
      expect(await disk.run("everything")).toMatchObject({ lines: ["done"], exitCode: 0, stderr: "" });
      const { events, faults, incomplete } = disk.trace();
      expect([faults, incomplete]).toEqual([[], 0]);
      expect(contents(rebuild(events))).toEqual(contents(filesIn(disk.path)));
      expect(disk.control.processesInside()).toBe(1);
      expect(events.filter((event) => event.phase === "instant").map((event) => event.kind)).toEqual([
        "enter",
      ]);
      expect(disk.control.calls()).toMatchObject({ rename: 3, unlink: 3, mkdir: 2, link: 2, sync: 6 });
      const kinds = new Set(events.map((event) => event.kind));
      for (const kind of ["write", "sync", "datasync", "syncfs", "sync-range", "link", "allocate"] as const) {
        expect(kinds).toContain(kind);
      }
      expect(statSync(join(disk.path, "appended")).mode & 0o777).toBe(0o600);
    });

    it("does the same to the files as no broker does", async () => {
      const disk = await directory();
      const bare = await directory();
      await disk.run("everything");
      await execa(bare.program, ["everything"], { cwd: bare.path });
      expect(contents(filesIn(disk.path))).toEqual(contents(filesIn(bare.path)));
    });

    it("neither loses nor doubles a call that signals interrupt, as this kernel has it", async () => {
      const { lines, expected, writes } = await storm(false);
      expect(lines).toEqual(expected);
      expect(writes).toBe(expected.length);
    });

    it("as kernels before 5.19 have it, loses none, and doubles few: signals in the instant of an answer", async () => {
      const { lines, expected, writes } = await storm(true);
      expect([...new Set(lines)]).toEqual(expected);
      // The kernel's own race (broker-answers.h); answers that are not kept double many more.
      expect(lines.length - expected.length).toBeLessThanOrEqual(6);
      expect(writes).toBe(lines.length);
    });

    /** Four threads append 300 numbered lines each, and signals interrupt them all the time. */
    async function storm(interruptible: boolean) {
      const disk = await directory();
      const ended = await disk.runProgram(disk.program, ["storm", "300"], { interruptible });
      expect(ended).toMatchObject({ lines: ["interrupted"], exitCode: 0 });
      const { events, faults } = disk.trace();
      expect(faults).toEqual([]);
      const expected = [0, 1, 2, 3].flatMap((thread) =>
        Array.from({ length: 300 }, (_, round) => `${thread} ${round}`),
      );
      return {
        lines: disk.text("storm").trimEnd().split("\n").sort(),
        expected: expected.sort(),
        writes: ends(events, "write").filter((event) => event.path === "storm").length,
      };
    }

    it("ends as the store does: exit status, signal, or that it cannot be started", async () => {
      const disk = await directory();
      expect(await disk.run("exit", "7")).toMatchObject({ exitCode: 7 });
      const killed = await disk.runProgram("/bin/sh", ["-c", "kill -USR1 $$"]);
      expect(killed.signal).toBe("SIGUSR1");
      const missing = await disk.runProgram("/nowhere/store", []);
      expect(missing.exitCode).toBe(127);
      expect(missing.stderr).toBe(
        "acked broker: /nowhere/store cannot be started: No such file or directory",
      );
    });

    it("traces each process and thread as itself, children too", async () => {
      const disk = await directory();
      expect(await disk.run("children", "5")).toMatchObject({ exitCode: 0 });
      const { events } = disk.trace();
      expect(new Set(ends(events, "write").map((event) => event.pid)).size).toBe(5);
      expect(disk.control.processesInside()).toBe(1);
      expect(disk.control.syncCounts()).toEqual({ begun: 5, completed: 5, failed: 0 });
    });

    it("makes files with the store's umask, and as the user that it has become", async () => {
      const disk = await directory();
      await disk.run("umask");
      expect(statSync(join(disk.path, "masked")).mode & 0o777).toBe(0o640);
      if (process.getuid?.() !== 0) return;
      expect(await disk.run("drop-user")).toMatchObject({ lines: ["1"], exitCode: 0 });
      const made = statSync(join(disk.path, "theirs"));
      expect([made.uid, made.gid, made.mode & 0o777]).toEqual([65534, 65534, 0o640]);
    });

    it("raises SIGPIPE where a socket's peer is gone, and not where it was asked not to", async () => {
      const disk = await directory();
      expect((await disk.run("pipe")).lines).toEqual(["1 1", "1 1"]);
    });

    it("records what is stored to a shared mapping: at msync what was synced, at the end the rest", async () => {
      const disk = await directory();
      expect(await disk.run("mapped")).toMatchObject({ exitCode: 0, stderr: "" });
      const { events, faults } = disk.trace();
      expect(faults).toEqual([]);
      expect(contents(rebuild(events))).toEqual(contents(filesIn(disk.path)));
      const of = (text: string) =>
        events.findIndex((event) => event.data && Buffer.from(event.data).includes(text));
      const sync = events.findIndex((event) => event.kind === "sync" || event.kind === "datasync");
      expect(of("second")).toBeGreaterThan(-1);
      expect(of("second")).toBeLessThan(sync);
      expect(of("last")).toBeGreaterThan(sync);
    });

    it("places what the store sends in the same sequence as its syncs", async () => {
      const disk = await directory();
      const port = await freePort();
      const store = disk.start(disk.program, ["serve", String(port)]);
      await new Promise((resolve) => store.stdout?.once("data", resolve));
      const client = connect(port, "127.0.0.1");
      let received = 0;
      client.on("data", (chunk) => {
        received += chunk.length;
      });
      for (let turn = 1; turn <= 4; turn++) {
        client.write("x");
        await until(() => received >= 5 * turn, "the reply");
      }
      const localPort = client.localPort;
      client.end();
      await store;
      const { events } = disk.trace();
      const sends = events.filter((event) => event.kind === "send" && event.port === localPort);
      const begins = sends.filter((event) => event.phase === "begin");
      expect(begins.map((event) => [event.offset, event.size])).toEqual([
        [0, 5],
        [5, 5],
        [10, 5],
        [15, 5],
      ]);
      const syncs = ends(events, "datasync").map((event) => event.index);
      expect(syncs).toHaveLength(4);
      begins.forEach((event, turn) => {
        expect(event.index).toBeGreaterThan(syncs[turn]!);
      });
    });
  });

  describe("effects, at the byte", () => {
    const run = async (effect: DiskRule, ...args: string[]) => {
      const disk = await directory();
      const armed = disk.control.arm(effect);
      const ended = await disk.run(...args);
      return { disk, ended, fired: armed.fired() };
    };

    it("fail, shorten, tear, misdirect, flip and swallow writes", async () => {
      const onAppend = (effect: Effect) => run(rule("write", "children", effect, 2), "children", "3");
      const failed = await onAppend({ do: "error", errno: "EIO" });
      expect(failed.ended.stderr).toMatch(/write: Input\/output error/);
      expect(failed.disk.text("children")).toBe("child\n");
      expect(failed.fired).toMatchObject({ times: 1, path: "children" });
      expect((await onAppend({ do: "short", bytes: 2 })).disk.text("children")).toBe("child\nch");
      const torn = await onAppend({ do: "torn-kill", bytes: 3 });
      expect([torn.ended.signal, torn.disk.text("children")]).toEqual(["SIGKILL", "child\nchi"]);
      const left = await onAppend({ do: "torn-error", bytes: 4, errno: "EIO" });
      expect(left.disk.text("children")).toBe("child\nchil");
      const lying = await onAppend({ do: "lying" });
      expect([lying.ended.exitCode, lying.disk.text("children")]).toEqual([0, "child\nchild\n"]);
      const moved = await onAppend({ do: "misdirected", shiftBytes: 3 });
      expect(moved.ended.exitCode).toBe(0);
      expect(moved.disk.text("children").slice(0, 15)).toBe("child\n\0\0\0child\n");
      const flipped = await onAppend({ do: "bit-flip", bit: 0 });
      expect(flipped.disk.text("children")).toBe("child\nbhild\nchild\n");
      for (const { disk } of [failed, torn, left, lying, moved, flipped]) {
        expect(contents(rebuild(disk.trace().events))).toEqual(contents(filesIn(disk.path)));
      }
    });

    it("kill the whole store before and after a call, whichever session its processes are in", async () => {
      const before = await run(rule("write", "beat", { do: "kill-before" }, 21), "outlive");
      expect(before.ended.signal).toBe("SIGKILL");
      // The other of its two processes may have been in the middle of a write of its own.
      expect([20, 21]).toContain(before.disk.text("beat").length);
      await stopsGrowing(join(before.disk.path, "beat"));
      const after = await run(rule("sync", "children", { do: "kill-after" }, 2), "children", "4");
      expect(after.ended.signal).toBe("SIGKILL");
      expect(after.disk.control.syncCounts()).toEqual({ begun: 2, completed: 2, failed: 0 });
      expect(after.disk.text("children")).toBe("child\nchild\n");
    });

    it("fail a sync once per open file description, shared by a duplicate (fsyncgate)", async () => {
      const { disk, ended } = await run(
        rule("sync", "file", { do: "fsyncgate", errno: "EIO" }),
        "descriptions",
      );
      // The duplicate has been told with the first; the one opened on its own has not; nor need a later one be.
      expect(ended.lines).toEqual(["5", "0", "5", "0"]);
      const lost = disk.trace().events.filter((event) => event.effect === "fsyncgate");
      expect(lost.length).toBeGreaterThan(0);
      const absent = await directory();
      expect((await absent.run("descriptions")).lines).toEqual(["0", "0", "0", "0"]);
    });

    it("fail names: create, open, rename, link, mkdir, unlink, truncate", async () => {
      const cases: readonly (readonly [InterposedOperation, string])[] = [
        ["create", "a.log: Input/output error"],
        ["rename", "renameat: Input/output error"],
        ["link", "link: Input/output error"],
        ["mkdir", "mkdir: Input/output error"],
        ["unlink", "mkdir: Input/output error"],
        ["truncate", "truncate: Input/output error"],
        ["sync", "syncs: Input/output error"],
      ];
      for (const [operation, said] of cases) {
        const { ended, fired } = await run(
          rule(operation, "**", { do: "error", errno: "EIO" }),
          "everything",
        );
        expect(ended).toMatchObject({ stderr: said, exitCode: 1 });
        expect(fired).toMatchObject({ times: 1 });
      }
    });

    it("delay a call, and hold up nobody else meanwhile", async () => {
      // In memory, where there is such a place: a disk that other tests keep busy would hold up everybody.
      const disk = await directory(existsSync("/dev/shm") ? "/dev/shm" : undefined);
      disk.control.arm(rule("sync", "storm", { do: "delay", delayMs: 400 }));
      await disk.run("storm", "100");
      const { events } = disk.trace();
      const slow = ends(events, "datasync").find((end) => end.atNs - events[end.call]!.atNs > 390e6)!;
      expect(slow).toBeDefined();
      const meanwhile = events.slice(slow.call, slow.index).filter((event) => event.phase === "end");
      expect(meanwhile.length).toBeGreaterThan(100);
      expect(new Set(meanwhile.map((event) => event.tid)).size).toBe(3);
    });

    it("act on reads where a rule for them was armed before the start", async () => {
      const disk = await directory();
      const file = join(disk.path, "in");
      writeFileSync(file, "0123456789abcdef");
      expect((await disk.run("reads")).lines).toEqual(["4 0123", "4 6789", "4 45 67", "4 12 34"]);
      expect(disk.control.calls().read).toBe(0);
      disk.control.arm(rule("read", "in", { do: "error", errno: "EIO" }, 2));
      // A rule does not see a call on which an earlier one has acted.
      disk.control.arm(rule("read", "in", { do: "bit-flip", bit: 0 }, 2));
      disk.control.arm(rule("read", "in", { do: "short", bytes: 3 }, 2));
      const { lines } = await disk.run("reads");
      expect(lines).toEqual(["4 0123", "-1 ", "4 55 67", "3 12 3"]);
      expect(disk.control.calls().read).toBe(4);
    });
  });

  describe("life and death", () => {
    it("passes SIGTERM on", async () => {
      const disk = await directory();
      const store = disk.start("/bin/sh", [
        "-c",
        "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.02; done",
      ]);
      await new Promise((resolve) => store.stdout?.once("data", resolve));
      process.kill(store.pid!, "SIGTERM");
      expect(await store).toMatchObject({ exitCode: 3, stdout: "up\nasked" });
    });

    it("takes the store with it when it is killed, grandchildren in sessions of their own included", async () => {
      const disk = await directory();
      const store = disk.start(disk.program, ["outlive"]);
      const said = String(await new Promise((resolve) => store.stdout?.once("data", resolve)));
      const first = Number(said.split(" ")[1]);
      await until(() => writers(disk) === 2, "the grandchild's first write");
      process.kill(store.pid!, "SIGKILL");
      expect((await store).signal).toBe("SIGKILL");
      await until(() => !lives(first), "the first process gone");
      await stopsGrowing(join(disk.path, "beat"));
    });

    it("ends, and the store with it, when the harness that started it dies", async () => {
      const disk = await directory();
      const script = `
        const { spawn } = require("node:child_process");
        const env = { ...process.env, ACKED_PARENT: String(process.pid) };
        const child = spawn(${JSON.stringify(disk.broker)}, ["--", ${JSON.stringify(disk.program)}, "outlive"],
          { env, cwd: ${JSON.stringify(disk.path)}, detached: true, stdio: ["ignore", "pipe", "inherit"] });
        child.stdout.once("data", () => console.log(child.pid));
        setInterval(() => {}, 1000);`;
      const harness = execa(process.execPath, ["-e", script], {
        env: { ...disk.environment },
        reject: false,
        timeout: 20_000,
      });
      const broker = Number(String(await new Promise((resolve) => harness.stdout.once("data", resolve))));
      await until(() => existsSync(join(disk.path, "beat")), "the first write");
      process.kill(harness.pid!, "SIGKILL");
      await harness;
      await until(() => !lives(broker), "the broker gone");
      await stopsGrowing(join(disk.path, "beat"));
    });
  });

  describe("what it cannot serve", () => {
    it("io_uring and Linux AIO are refused, and the store's log says so", async () => {
      const disk = await directory();
      const ended = await disk.run("uring");
      expect(ended.lines).toEqual(["ENOSYS", "ENOSYS"]);
      expect(ended.stderr).toMatch(/asked for io_uring, whose writes cannot be seen: refused/);
    });

    it.runIf(process.arch === "x64")("a 32-bit call ends the store with a sentence", async () => {
      const disk = await directory();
      const ended = await disk.run("old-call");
      expect(ended.signal).toBe("SIGKILL");
      expect(ended.stderr).toMatch(/the store is a 32-bit program .*: build it for 64 bits/);
    });

    it("a store that does not let itself be looked into is ended with a sentence, unless acked may", async () => {
      const disk = await directory();
      const root = process.getuid?.() === 0;
      if (root) {
        expect(await disk.run("closed")).toMatchObject({ exitCode: 0, stderr: "" });
        expect(disk.trace().events.some((event) => event.path === "closed")).toBe(true);
      }
      const refused = await execa(disk.broker, ["--", disk.program, "closed"], {
        ...{ cwd: disk.path, env: { ...disk.environment }, reject: false, timeout: 20_000 },
        ...(root ? { uid: 65534, gid: 65534 } : {}),
      });
      expect(refused.signal).toBe("SIGKILL");
      expect(refused.stderr).toMatch(/does not let itself be looked into .*: run acked as root/);
    });

    it("a machine that permits no filters is named with the remedy, and the store is not started", async () => {
      const disk = await directory();
      const forbidding = await compileStatic("without-seccomp");
      const asked = await execa(forbidding, [disk.broker, "--probe"], { reject: false });
      expect(asked.exitCode).toBe(3);
      expect(asked.stdout).toMatch(/does not permit seccomp filters .* --security-opt seccomp=unconfined$/);
      const refused = await execa(forbidding, [disk.broker, "--", disk.program, "everything"], {
        ...{ cwd: disk.path, env: { ...disk.environment }, reject: false },
      });
      expect(refused.exitCode).toBe(125);
      expect(refused.stderr).toMatch(/calls of the store cannot be trapped: this machine does not permit/);
      expect(filesIn(disk.path).size).toBe(0);
      expect(disk.control.processesInside()).toBe(0);
      expect(await probeBroker(disk.broker)).toBeUndefined();
    });

    it("a control file or a trace that cannot be used ends it before the store starts", async () => {
      const disk = await directory();
      const run = (env: Record<string, string>) =>
        execa(disk.broker, ["--", disk.program, "everything"], {
          ...{ cwd: disk.path, env: { ...disk.environment, ...env }, reject: false },
        });
      const control = await run({ ACKED_CONTROL: "/nowhere/control" });
      expect([control.exitCode, control.stderr]).toEqual([
        125,
        "acked broker: the control file cannot be opened: No such file or directory",
      ]);
      expect((await run({ ACKED_TRACE: "/nowhere/trace" })).exitCode).toBe(125);
      expect((await run({ ACKED_CONTROL: "" })).stderr).toMatch(/ACKED_CONTROL is not set/);
      expect(filesIn(disk.path).size).toBe(0);
    });
  });

  it("costs a write a known amount: printed, and never some hundred times a bare one", async () => {
    const cost = await measureBrokerCost();
    for (const [call, { bareNs, brokeredNs, tracedNs }] of Object.entries(cost.calls)) {
      console.info(`${call}: ${bareNs} ns bare, ${brokeredNs} brokered, ${tracedNs} traced`);
    }
    // Two changes of process are in it, so the machine's load is too: this only notices a change of kind.
    expect(cost.brokeredNs).toBeLessThan(500 * cost.bareNs);
  });
});
