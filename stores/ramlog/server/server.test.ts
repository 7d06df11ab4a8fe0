import { createConnection } from "node:net";
import type { Redis } from "ioredis";
import { afterEach, describe, expect, test } from "vitest";
import { connect, runToEnd, type Server, startServerChild } from "../fixtures/child.ts";
import { remove, temporaryDirectory } from "../fixtures/model.ts";

const directories: string[] = [];
const servers: Server[] = [];
const clients: Redis[] = [];

function directory(): string {
  directories.push(temporaryDirectory());
  return directories.at(-1)!;
}

async function start(dir: string, ...args: string[]): Promise<Server> {
  const server = await startServerChild(["--dir", dir, "--segment-bytes", "65536", ...args]);
  servers.push(server);
  return server;
}

async function client(server: Server): Promise<Redis> {
  const made = await connect(server);
  clients.push(made);
  return made;
}

afterEach(async () => {
  for (const made of clients.splice(0)) made.disconnect();
  for (const server of servers.splice(0)) {
    server.process.kill("SIGKILL");
    await server.ended;
  }
  for (const dir of directories.splice(0)) remove(dir);
});

/** Sends bytes on a connection of its own and collects what comes back until it is closed or `expected` has come. */
function exchange(server: Server, bytes: string | Buffer, expected?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port: server.port, host: "127.0.0.1" });
    let text = "";
    const done = () => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(text);
    };
    const deadline = setTimeout(() => reject(new Error(`no answer within 5 s, only ${text}`)), 5000);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (expected !== undefined && text.length >= expected.length) done();
    });
    socket.on("error", reject);
    socket.on("close", done);
    socket.write(bytes);
  });
}

describe("commands", () => {
  test("strings, compare-and-set, counters and lists mean what they mean in Redis and Valkey", async () => {
    const redis = await client(await start(directory()));
    const call = (...args: [string, ...string[]]) =>
      redis.call(...args).catch((error: Error) => error.message);
    expect(await call("SET", "k", "1")).toBe("OK");
    expect(await call("SET", "k", "2", "NX")).toBeNull();
    expect(await call("SET", "other", "2", "XX")).toBeNull();
    expect(await call("SET", "k", "2", "GET")).toBe("1");
    expect(await call("SET", "k", "3", "IFEQ", "1", "GET")).toBe("2");
    expect(await call("SET", "k", "3", "IFEQ", "2", "GET")).toBe("2");
    expect(await call("SET", "k", "4", "IFEQ", "2")).toBeNull();
    expect(await call("SET", "none", "4", "IFEQ", "2", "GET")).toBeNull();
    expect(await call("GET", "k")).toBe("3");
    expect(await call("SET", "k", "4", "EX", "10")).toMatch(/no expiry/);
    expect(await call("INCR", "k")).toBe(4);
    expect(await call("INCR", "fresh")).toBe(1);
    expect(await call("APPEND", "k", "xy")).toBe(3);
    expect(await call("STRLEN", "k")).toBe(3);
    expect(await call("INCR", "k")).toMatch(/not an integer/);
    expect(await call("MSET", "a", "1", "b", "2")).toBe("OK");
    expect(await call("MGET", "a", "none", "b")).toEqual(["1", null, "2"]);
    expect(await call("DEL", "a", "none")).toBe(1);
    expect(await call("EXISTS", "a", "b", "b")).toBe(2);
    expect(await call("RPUSH", "l", "1", "2")).toBe(2);
    expect(await call("LPUSH", "l", "x", "y")).toBe(4);
    expect(await call("LRANGE", "l", "0", "-1")).toEqual(["y", "x", "1", "2"]);
    expect(await call("LRANGE", "l", "-2", "100")).toEqual(["1", "2"]);
    expect(await call("LRANGE", "l", "3", "1")).toEqual([]);
    expect(await call("LLEN", "l")).toBe(4);
    expect(await call("GET", "l")).toMatch(/^WRONGTYPE/);
    expect(await call("NOSUCH", "x")).toMatch(/unknown command 'NOSUCH'/);
    expect(await call("GET")).toMatch(/wrong number of arguments/);
    expect(await call("HELLO", "3")).toMatch(/^NOPROTO/);
    expect(await call("CONFIG", "GET", "append*")).toEqual(["appendonly", "yes", "appendfsync", "always"]);
    expect(await call("INDEX")).toBe(10);
  });

  test("keys and values are bytes", async () => {
    const dir = directory();
    const server = await start(dir);
    const every = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 255));
    const redis = await client(server);
    await redis.set(every, every);
    expect(await redis.getBuffer(every)).toEqual(every);
    server.process.kill("SIGKILL");
    await server.ended;
    expect(await (await client(await start(dir))).getBuffer(every)).toEqual(every);
  });

  test("a transaction happens as one, and not at all when a watched key was changed", async () => {
    const server = await start(directory());
    const [one, two] = [await client(server), await client(server)];
    await one.watch("balance");
    expect(await one.multi().set("balance", "1").rpush("ledger", "a").exec()).toEqual([
      [null, "OK"],
      [null, 1],
    ]);
    await one.watch("balance");
    await two.set("balance", "2");
    expect(await one.multi().set("balance", "3").rpush("ledger", "b").exec()).toBeNull();
    expect(await one.get("balance")).toBe("2");
    expect(await one.lrange("ledger", 0, -1)).toEqual(["a"]);
    await expect(one.multi().set("balance", "4").call("NOSUCH").exec()).rejects.toThrow(/EXECABORT/);
    for (const args of [["MULTI"], ["SET", "x", "1"], ["DISCARD"]]) await one.call(...(args as [string]));
    expect(await one.dbsize()).toBe(2);
  });

  test("SCAN returns every key that was there throughout, whatever comes and goes meanwhile", async () => {
    const redis = await client(await start(directory()));
    for (let i = 0; i < 300; i += 1) redis.set(`key:${i}`, "x");
    const found = new Set<string>();
    let cursor = "0";
    let round = 0;
    do {
      const [next, keys] = await redis.scan(cursor, "MATCH", "key:*", "COUNT", "7");
      for (const key of keys) found.add(key);
      await redis.set(`key:new${round}`, "x");
      if (round % 3 === 0) await redis.del(`key:${round}`);
      cursor = next;
      round += 1;
      expect(round).toBeLessThan(500);
    } while (cursor !== "0");
    for (let i = 150; i < 300; i += 1) expect(found.has(`key:${i}`)).toBe(true);
    expect((await redis.keys("key:29?")).length).toBe(10);
  });

  test("a Unix socket serves as well", async () => {
    const dir = directory();
    const server = await startServerChild(["--dir", dir, "--socket", `${dir}/s`]);
    servers.push(server);
    const redis = await connect(server, `${dir}/s`);
    clients.push(redis);
    expect(await redis.ping()).toBe("PONG");
  });
});

describe("frames", () => {
  test("pipelined, split at every byte, and typed by hand", async () => {
    const server = await start(directory());
    const pipeline = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
    const reply = "+OK\r\n$2\r\n\r\n\r\n";
    expect(await exchange(server, pipeline.repeat(50), reply.repeat(50))).toBe(reply.repeat(50));
    const socket = createConnection({ port: server.port, host: "127.0.0.1" });
    socket.setNoDelay(true);
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    for (const byte of pipeline) {
      socket.write(byte);
      await new Promise(setImmediate);
    }
    await expect.poll(() => text).toBe(reply);
    socket.destroy();
    expect(
      await exchange(server, 'SET b "two words\\x00"\r\nGET b\r\n\r\n', "+OK\r\n$10\r\ntwo words\0\r\n"),
    ).toBe("+OK\r\n$10\r\ntwo words\0\r\n");
  });

  test.each([
    [
      "a bulk string of 1 GB",
      "*2\r\n$3\r\nGET\r\n$1073741824\r\n",
      /invalid bulk length: 1073741824 is over/,
    ],
    ["a negative length", "*2\r\n$3\r\nGET\r\n$-5\r\n", /invalid bulk length: "-5"/],
    ["too many arguments", "*99999999\r\n", /invalid multibulk length/],
    ["no number at all", "*x\r\n", /invalid multibulk length: "x"/],
    ["an endless length", `*${"1".repeat(100)}`, /not a number/],
    ["a wrong type", "*1\r\n:3\r\n", /expected '\$', got ':'/],
    ["a length that lies", "*1\r\n$4\r\nPING!!", /does not end where its length says/],
    ["an endless line", "x".repeat(70_000), /too big inline request/],
    ["open quotes", 'GET "a\r\n', /unbalanced quotes/],
  ])(
    "%s gets one clear error after the replies before it, and only that connection ends",
    async (_name, bytes, words) => {
      const server = await start(directory());
      const redis = await client(server);
      const text = await exchange(server, `*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n${bytes}`);
      expect(text).toMatch(/^\+OK\r\n-ERR Protocol error: [^\r\n]*\r\n$/);
      expect(text).toMatch(words);
      expect(await redis.get("a")).toBe("1");
    },
  );
});

describe("the process", () => {
  test("SIGTERM under load loses nothing that was acknowledged, and answers what it began", async () => {
    const dir = directory();
    const server = await start(dir);
    const acknowledged = new Set<string>();
    const load = await Promise.all(Array.from({ length: 8 }, () => client(server)));
    let loading = true;
    const working = load.map(async (redis, c) => {
      for (let i = 0; loading; i += 1) {
        try {
          await redis.set(`${c}:${i}`, "x");
          acknowledged.add(`${c}:${i}`);
        } catch {
          return;
        }
      }
    });
    await expect.poll(() => acknowledged.size).toBeGreaterThan(300);
    server.process.kill("SIGTERM");
    const { code, stderr } = await server.ended;
    loading = false;
    await Promise.all(working);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const again = await start(dir);
    expect(again.recovery.cut).toBeNull();
    const keys = new Set(await (await client(again)).keys("*"));
    for (const key of acknowledged) expect(keys.has(key)).toBe(true);
  });

  test("SIGKILL under load loses nothing that was acknowledged", async () => {
    const dir = directory();
    let acknowledged = 0;
    for (let round = 0; round < 3; round += 1) {
      const server = await start(dir, "--snapshot-bytes", "20000");
      const redis = await client(server);
      expect(Number(await redis.get("n"))).toBeGreaterThanOrEqual(acknowledged);
      expect(Number(await redis.get("n"))).toBeLessThanOrEqual(acknowledged + 1);
      acknowledged = Number(await redis.get("n"));
      const load = (async () => {
        for (;;) acknowledged = await redis.incr("n");
      })().catch(() => undefined);
      const from = acknowledged;
      await expect.poll(() => acknowledged - from).toBeGreaterThan(200);
      server.process.kill("SIGKILL");
      await server.ended;
      await load;
    }
  });

  test("SHUTDOWN stops it like SIGTERM", async () => {
    const server = await start(directory());
    const redis = await client(server);
    await redis.set("a", "1");
    await redis.call("SHUTDOWN").catch(() => undefined);
    expect((await server.ended).code).toBe(0);
  });

  test("what keeps it from starting is one sentence and exit code 3", async () => {
    const dir = directory();
    const server = await start(dir);
    const locked = await runToEnd(["--dir", dir]);
    expect(locked).toMatchObject({ code: 3, stdout: "" });
    expect(locked.stderr).toMatch(/^ramlog: .* is in use by process \d+; stop it first[^\n]*\n$/);
    const taken = await runToEnd(["--dir", directory(), "--port", String(server.port)]);
    expect(taken).toMatchObject({ code: 3, stdout: "" });
    expect(taken.stderr).toMatch(/^ramlog: port \d+ is in use; choose another\n$/);
    for (const [args, words] of [
      [["--dir", "/proc/version"], /is not a directory/],
      [["--dir", "/proc/nowhere"], /cannot be used as a data directory/],
      [[], /--dir is missing. usage:/],
      [["--dir", dir, "--durability", "sometimes"], /expected always, interval:<ms> or none/],
      [["--dir", dir, "--port", "-1"], /./],
      [["--nonsense"], /Unknown option '--nonsense'/],
    ] as const) {
      const refused = await runToEnd(args);
      expect(refused).toMatchObject({ code: 3, stdout: "" });
      expect(refused.stderr).toMatch(words);
      expect(refused.stderr.trim().split("\n")).toHaveLength(1);
    }
  });
});
