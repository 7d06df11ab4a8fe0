/**
 * The broker around a real store that ignores every preloaded library: etcd (Go: its own system calls, dozens of
 * threads, each interrupted by the scheduler's signals). Skipped aloud where it is not installed, unless ACKED_REQUIRE
 * names it.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa, type ResultPromise } from "execa";
import { afterEach, describe, expect, it } from "vitest";
import { freePort } from "../../harness/supervisor/readiness.ts";
import type { TraceEvent } from "../contract.ts";
import { BrokeredDirectory, whyNoBroker } from "./fixtures/brokered.ts";
import { filesIn, rebuild } from "./fixtures/rebuild.ts";

const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("etcd");
const installed = (await execa("etcd", ["--version"], { reject: false })).exitCode === 0;
const missing =
  (await whyNoBroker()) ?? (installed ? undefined : "etcd is not installed: apt-get install etcd-server");
if (missing && required) throw new Error(`ACKED_REQUIRE names etcd, but ${missing}`);
if (missing) console.warn(`SKIPPED: etcd under the broker: ${missing}`);

const open: { disk: BrokeredDirectory; store: ResultPromise }[] = [];

/** etcd through the broker, ready to serve. */
async function start(disk: BrokeredDirectory) {
  const [clients, peers] = [await freePort(), await freePort()];
  const [client, peer] = [`http://127.0.0.1:${clients}`, `http://127.0.0.1:${peers}`];
  const store = disk.start("etcd", [
    ...["--data-dir", disk.path, "--log-level", "error"],
    ...["--listen-client-urls", client, "--advertise-client-urls", client],
    ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
    ...["--initial-cluster", `default=${peer}`],
  ]) as unknown as ResultPromise;
  open.push({ disk, store });
  const ended = store.then(({ stderr }) =>
    Promise.reject(new Error(`etcd ended: ${String(stderr).slice(-500)}`)),
  );
  ended.catch(() => {});
  const ready = async () => {
    for (const from = performance.now(); performance.now() - from < 20_000; await sleep(50)) {
      if (await put(client, "ready", "yes").catch(() => false)) return;
    }
    throw new Error("etcd was not ready in 20 s");
  };
  await Promise.race([ready(), ended]);
  return { client, store };
}

/** True when the write was acknowledged. */
async function put(client: string, key: string, value: string): Promise<boolean> {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const body = JSON.stringify({ key: base64(key), value: base64(value) });
  const reply = await fetch(`${client}/v3/kv/put`, {
    method: "POST",
    body,
    signal: AbortSignal.timeout(5000),
  });
  return reply.ok && ((await reply.json()) as { header?: unknown }).header !== undefined;
}

const isLog = (path: string) => /^member\/wal\/[^/]+\.wal$/.test(path);

describe.skipIf(missing !== undefined)("etcd under the broker", () => {
  afterEach(async () => {
    for (const { disk, store } of open.splice(0)) {
      if (store.exitCode === null) store.kill("SIGKILL");
      await store;
      disk.remove();
    }
  });

  it("serves, and each acknowledged put is in the log's traced writes, covered by a traced sync", async () => {
    const disk = await BrokeredDirectory.create("member/wal/*.wal");
    const { client, store } = await start(disk);
    const values = Array.from({ length: 20 }, (_, index) => `value-${index}-unmistakable`);
    const from = disk.trace().events.length;
    for (const value of values) expect(await put(client, "key", value)).toBe(true);
    // Read while etcd writes on, an end can be there whose begin was still being written when that place was read.
    await expect.poll(() => disk.trace().faults).toEqual([]);
    const { events } = disk.trace();
    for (const value of values) {
      const write = events.find(
        (event) =>
          event.kind === "write" &&
          isLog(event.path) &&
          event.data &&
          Buffer.from(event.data).includes(value),
      )!;
      expect(write, value).toBeDefined();
      const written = events.find((event) => event.call === write.call && event.phase === "end")!;
      const covered = events.some((event) => isEndOfSync(event) && event.call > written.index);
      expect(covered, value).toBe(true);
    }
    expect(disk.control.syncCounts().completed).toBeGreaterThanOrEqual(20);
    const sends = events.slice(from).filter((event) => event.kind === "send" && event.phase === "end");
    expect(sends.length).toBeGreaterThan(20);
    process.kill(store.pid!, "SIGTERM");
    await store;
    const whole = disk.trace();
    expect(whole.faults).toEqual([]);
    const rebuilt = rebuild(whole.events);
    const files = filesIn(disk.path);
    expect([...rebuilt.keys()].sort()).toEqual([...files.keys()].sort());
    for (const [path, bytes] of files) {
      expect(Buffer.compare(bytes, rebuilt.get(path)!), `${path}, byte for byte`).toBe(0);
    }
    expect(readdirSync(join(disk.path, "member/wal")).length).toBeGreaterThan(0);
  });

  it("stops when its sync fails, and acknowledges nothing after it", async () => {
    const disk = await BrokeredDirectory.create("member/wal/*.wal");
    const { client, store } = await start(disk);
    expect(await put(client, "key", "before")).toBe(true);
    const rule = disk.control.arm({
      ...{ operation: "sync", path: "member/wal/*.wal", nth: 1, repeat: "once" },
      effect: { do: "error", errno: "EIO" },
    });
    expect(await put(client, "key", "after").catch(() => false)).toBe(false);
    const ended = await store;
    expect(rule.fired()).toMatchObject({ times: 1, path: expect.stringMatching(/^member\/wal\/.*\.wal$/) });
    expect(ended.exitCode ?? ended.signal).not.toBe(0);
    expect(disk.control.syncCounts().failed).toBe(1);
  });

  it("is killed at the n-th sync of its log, and starts again with all that it had acknowledged", async () => {
    const disk = await BrokeredDirectory.create("member/wal/*.wal");
    const { client, store } = await start(disk);
    // etcd still writes entries of its own when it has just become ready, up to half a dozen.
    const killedAt = 16;
    const rule = disk.control.arm({
      ...{ operation: "sync", path: "member/wal/*.wal", nth: killedAt, repeat: "once" },
      effect: { do: "kill-before" },
    });
    let acknowledged = -1;
    for (let value = 0; value < 2 * killedAt; value++) {
      if (!(await put(client, `key-${value}`, "v").catch(() => false))) break;
      acknowledged = value;
    }
    const ended = await store;
    expect([ended.signal, rule.fired()?.times]).toEqual(["SIGKILL", 1]);
    expect(acknowledged).toBeGreaterThanOrEqual(0);
    expect(acknowledged).toBeLessThan(killedAt);
    const again = await start(disk);
    const body = JSON.stringify({ key: Buffer.from(`key-${acknowledged}`).toString("base64") });
    const reply = await fetch(`${again.client}/v3/kv/range`, { method: "POST", body });
    expect(((await reply.json()) as { count?: string }).count).toBe("1");
    expect(disk.trace().faults).toEqual([]);
  });
});

function isEndOfSync(event: TraceEvent): boolean {
  const sync = event.kind === "datasync" || event.kind === "sync";
  return sync && event.phase === "end" && event.result === 0 && isLog(event.path);
}
