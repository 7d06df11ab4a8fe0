import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Launch, RefusedToServe } from "../../stores/contract.ts";
import { childProgram } from "../package-root.ts";
import { hasProc, isAlive, startTimeOf } from "./process-tree.ts";
import { freePort } from "./readiness.ts";
import { createSupervisor, StartError, type Supervisor } from "./supervisor.ts";

let directory: string;
let supervisor: Supervisor;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "acked-supervisor-test-"));
  supervisor = createSupervisor({ runsDir: directory });
});

afterEach(async () => {
  await supervisor.close();
  rmSync(directory, { recursive: true, force: true });
});

const logFile = () => join(directory, "store.log");

function fixture(name: string, args: string[] = [], ready: Launch["ready"] = { by: "line" }): Launch {
  return {
    program: process.execPath,
    args: [childProgram(`harness/supervisor/fixtures/${name}.js`), ...args],
    ready,
  };
}

function start(launch: Launch, more: { deadlineMs?: number; port?: number } = {}) {
  const node = { name: "n1", dir: directory, port: more.port ?? 0, durability: { mode: "always" } } as const;
  return supervisor.start({ launch, node, logFile: logFile(), deadlineMs: more.deadlineMs ?? 10_000 });
}

/** Alive in the sense of the system: exists and is not a zombie. */
function alive(pid: number): boolean {
  const startTime = startTimeOf(pid);
  return startTime !== undefined && isAlive({ pid, startTime });
}

async function failure(promise: Promise<unknown>): Promise<StartError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StartError)) throw new Error(`expected a StartError, got ${error}`);
  return error;
}

describe("starting", () => {
  it("is over when the ready line came, and keeps what the line said", async () => {
    const child = await start(fixture("serves"));
    expect(child.endpoint.port).toBeGreaterThan(0);
    expect(child.report).toEqual({ pid: child.pid });
    expect(child.readyAt).toBeGreaterThan(child.startedAt);
    expect(child.running()).toBe(true);
    expect(child.exit()).toBeUndefined();
  });

  it("is over when the port answers and the probe resolves", async () => {
    const port = await freePort();
    let probes = 0;
    const probe = async () => {
      probes += 1;
      if (probes < 3) throw new Error("still loading");
    };
    const child = await start(fixture("serves", [`port=${port}`], { by: "port", probe }), { port });
    expect(child.endpoint).toEqual({ host: "127.0.0.1", port });
    expect(probes).toBe(3);
  });

  it.each(["stderr", "stdout"])(
    "names the last line, on %s, of a program that exited early",
    async (stream) => {
      const error = await failure(start(fixture("exits-early", [stream])));
      expect(error.kind).toBe("exited");
      expect(error.exit?.code).toBe(3);
      expect(error.message).toContain(
        "n1 exited with code 3 before it was ready; its last line: refusing to start: the log is damaged at byte 42",
      );
    },
  );

  it("gives up at the deadline, and leaves nothing alive", async () => {
    const error = await failure(start(fixture("never-ready"), { deadlineMs: 300 }));
    expect(error.kind).toBe("not-ready");
    expect(error.message).toContain("was not ready within 300 ms");
    expect(supervisor.running()).toEqual([]);
    const pid = Number(/\(pid (\d+),/.exec(readFileSync(logFile(), "utf8"))?.[1]);
    expect(alive(pid)).toBe(false);
  });

  it("names a program that does not exist", async () => {
    const error = await failure(start({ program: "/no/such/store", args: [], ready: { by: "line" } }));
    expect(error.kind).toBe("not-launched");
    expect(error.message).toContain('"/no/such/store" is not a program');
  });

  it("names a port that somebody else holds", async () => {
    const squatter = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => squatter.once("listening", resolve));
    const { port } = squatter.address() as { port: number };
    const error = await failure(start(fixture("serves", [`port=${port}`], { by: "port" }), { port }));
    squatter.close();
    expect(error.kind).toBe("port-in-use");
    expect(error.message).toContain(`port ${port} on 127.0.0.1 is already in use`);
  });

  it("ends when the supervisor is closed meanwhile", async () => {
    const starting = failure(start(fixture("never-ready")));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await supervisor.close();
    expect((await starting).kind).toBe("closed");
    expect((await failure(start(fixture("serves")))).kind).toBe("closed");
  });

  it("kills what an earlier incarnation left", async () => {
    const first = await start(fixture("serves", ["forks"]));
    const grandchild = Number(first.report?.grandchild);
    process.kill(first.pid, "SIGKILL");
    await first.exited;
    if (hasProc) expect(alive(grandchild)).toBe(true);
    await start(fixture("serves"));
    if (hasProc) expect(alive(grandchild)).toBe(false);
  });

  it("appends to the log, with a heading for each start", async () => {
    const first = await start(fixture("serves"));
    await first.stop(5_000);
    await start(fixture("serves"));
    const log = readFileSync(logFile(), "utf8");
    expect(log.match(/^--- n1 start [01]: /gm)).toEqual(["--- n1 start 0: ", "--- n1 start 1: "]);
    expect(log).toContain("a line that is not the ready line");
    expect(log).toContain("asked to stop");
  });
});

describe("ending", () => {
  it("stops gracefully, and says so", async () => {
    const child = await start(fixture("serves"));
    const stopped = await child.stop(5_000);
    expect(stopped).toMatchObject({ code: 0, forced: false, lastLine: "asked to stop" });
    expect(child.running()).toBe(false);
  });

  it("kills what ignores SIGTERM, at the deadline", async () => {
    const child = await start(fixture("serves", ["ignores-sigterm"]));
    const stopped = await child.stop(200);
    expect(stopped).toMatchObject({ signal: "SIGKILL", forced: true });
    expect(alive(child.pid)).toBe(false);
  });

  it("stops gracefully even what was paused", async () => {
    const child = await start(fixture("serves"));
    child.signal("SIGSTOP");
    expect(await child.stop(5_000)).toMatchObject({ code: 0, forced: false });
  });

  it.runIf(hasProc)("kills a grandchild in a session of its own, also when its parent is gone", async () => {
    const child = await start(fixture("serves", ["forks"]));
    const grandchild = Number(child.report?.grandchild);
    process.kill(child.pid, "SIGKILL");
    const exit = await child.exited;
    expect(exit.signal).toBe("SIGKILL");
    expect(alive(grandchild)).toBe(true);
    await child.kill();
    expect(alive(grandchild)).toBe(false);
  });

  it.runIf(hasProc)("pauses and continues the whole tree", async () => {
    const child = await start(fixture("serves", ["forks"]));
    const pids = [child.pid, Number(child.report?.grandchild)];
    const states = () => pids.map((pid) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.[0]);
    child.signal("SIGSTOP");
    await expect.poll(states).toEqual(["T", "T"]);
    child.signal("SIGCONT");
    await expect.poll(states).not.toContain("T");
  });

  it("says at once that a killed process does not run any more", async () => {
    const child = await start(fixture("serves"));
    child.signal("SIGKILL");
    await expect.poll(() => child.running()).toBe(false);
    expect((await child.exited).signal).toBe("SIGKILL");
    expect(child.exit()?.signal).toBe("SIGKILL");
  });

  it("leaves no process, no directory and no record when closed", async () => {
    const path = supervisor.temporaryDirectory("test");
    expect(statSync(path).mode & 0o777).toBe(0o755);
    const child = await start(fixture("serves"));
    await supervisor.close();
    await supervisor.close();
    expect(alive(child.pid)).toBe(false);
    expect(existsSync(path)).toBe(false);
    expect(existsSync(join(directory, ".active", `${process.pid}-${startTimeOf(process.pid)}.json`))).toBe(
      false,
    );
  });
});

describe("an acked that ends on its own", () => {
  it.each(["throws", "exits"])("takes its children with it when it %s", async (ending) => {
    const program = childProgram("harness/supervisor/fixtures/owner.js");
    const owner = spawn(process.execPath, [program, directory, logFile(), ending], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let said = "";
    owner.stdout.on("data", (chunk) => {
      said += chunk;
    });
    await new Promise((resolve) => owner.once("close", resolve));
    const { child, grandchild, temporary } = JSON.parse(said);
    await expect.poll(() => alive(child)).toBe(false);
    if (hasProc) await expect.poll(() => alive(grandchild)).toBe(false);
    expect(existsSync(temporary)).toBe(false);
  });
});

it("asks with the signal that the launch names", async () => {
  const child = await start({ ...fixture("serves", ["ignores-sigterm"]), stopSignal: "SIGINT" });
  expect(await child.stop(5000)).toMatchObject({ signal: "SIGINT", forced: false });
});

it("does not wait for a store that says that it will not serve, and leaves nothing of it", async () => {
  const port = await freePort();
  const probe = async () => {
    throw new RefusedToServe("its catalogue is damaged");
  };
  const error = await failure(start(fixture("serves", [`port=${port}`], { by: "port", probe }), { port }));
  expect(error.kind).toBe("not-ready");
  expect(error.message).toBe("n1 started, but it will not serve: its catalogue is damaged");
  expect(supervisor.running()).toEqual([]);
});
