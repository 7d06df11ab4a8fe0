/** The RESP side of the SQLite server, byte by byte; what it means for the workloads is in ../conformance.test.ts. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RespConnection, RespError, type RespReply } from "../clients/resp.ts";
import { type ServingStore, serve } from "../fixtures/serving.ts";
import { sqlite } from "./store.ts";

const missing = await sqlite.unavailable?.();
if (missing) console.warn(`SKIPPED: ${missing}`);
const required = (process.env.ACKED_REQUIRE ?? "").split(",").includes("sqlite");

describe.skipIf(missing !== undefined && !required)("the server in front of SQLite", () => {
  let serving: ServingStore;
  const open: { close(): unknown }[] = [];

  beforeAll(async () => {
    serving = await serve(sqlite, { mode: "always" }, true);
  });

  afterAll(async () => {
    for (const one of open) one.close();
    await serving?.remove();
  });

  async function connection(): Promise<RespConnection> {
    const made = await RespConnection.connect(serving.endpoint, 2000);
    open.push(made);
    return made;
  }

  const text = (reply: RespReply): unknown => {
    if (Buffer.isBuffer(reply)) return reply.toString("latin1");
    if (Array.isArray(reply)) return reply.map(text);
    return reply instanceof RespError ? `-${reply.message}` : reply;
  };

  async function all(on: RespConnection, ...commands: (string | Buffer)[][]): Promise<unknown[]> {
    return (await on.sendAll(commands)).map(text);
  }

  test("sets under a condition as Redis does", async () => {
    const on = await connection();
    expect(
      await all(
        on,
        ["SET", "s", "1", "XX"],
        ["SET", "s", "1", "NX"],
        ["SET", "s", "2", "NX", "GET"],
        ["SET", "s", "2", "IFEQ", "0"],
        ["SET", "s", "2", "IFEQ", "1"],
        ["SET", "s", "3", "XX", "GET"],
        ["get", "s"],
        ["SET", "s", "4", "SOMETIMES"],
      ),
    ).toEqual([null, "OK", "1", null, "OK", "2", "3", "-ERR syntax error"]);
  });

  test("keeps every byte of keys and values, empty ones too", async () => {
    const on = await connection();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await on.send(["SET", bytes, bytes]);
    expect(await on.send(["GET", bytes])).toEqual(bytes);
    await on.send(["SET", "", ""]);
    expect(await on.send(["GET", ""])).toEqual(Buffer.alloc(0));
    const long = "x".repeat(300_000);
    await on.send(["SET", "long", long]);
    expect(text(await on.send(["GET", "long"]))).toBe(long);
  });

  test("runs a transaction whole or not at all", async () => {
    const on = await connection();
    expect(
      await all(on, ["SET", "t", "old"], ["MULTI"], ["SET", "t", "new"], ["RPUSH", "t", "x"], ["EXEC"]),
    ).toEqual(["OK", "OK", "QUEUED", "QUEUED", "-EXECABORT a command failed, so all of them were undone"]);
    expect(await all(on, ["GET", "t"])).toEqual(["old"]);
    expect(await all(on, ["MULTI"], ["SET", "t", "new"], ["GET", "t"], ["EXEC"])).toEqual([
      "OK",
      "QUEUED",
      "QUEUED",
      ["OK", "new"],
    ]);
    expect(await all(on, ["MULTI"], ["SET", "t", "never"], ["DISCARD"], ["GET", "t"])).toEqual([
      "OK",
      "QUEUED",
      "OK",
      "new",
    ]);
    expect(await all(on, ["EXEC"])).toEqual(["-ERR EXEC without MULTI"]);
  });

  test("refuses a transaction when a watched key was changed, by anybody and in any way", async () => {
    const [mine, others] = [await connection(), await connection()];
    for (const change of [
      ["SET", "w", "2"],
      ["DEL", "w"],
      ["RPUSH", "w", "x"],
    ]) {
      await all(mine, ["DEL", "w"], ["SET", "w", "1"]);
      if (change[0] === "RPUSH") await all(mine, ["DEL", "w"]);
      await all(mine, ["WATCH", "w", "w2"]);
      await all(others, change);
      expect(await all(mine, ["MULTI"], ["SET", "v", "x"], ["EXEC"])).toEqual(["OK", "QUEUED", null]);
    }
    await all(mine, ["WATCH", "w"]);
    expect(await all(mine, ["MULTI"], ["SET", "v", "x"], ["EXEC"])).toEqual(["OK", "QUEUED", ["OK"]]);
  });

  test("answers what it does not know, in one line, and goes on", async () => {
    const on = await connection();
    const replies = await all(
      on,
      ["FLY"],
      ["GET"],
      [Buffer.from("A\r\nB\0")],
      ["LRANGE", "l", "1", "2"],
      ["PING"],
    );
    expect(replies.slice(0, 3)).toEqual(
      ["FLY", "GET", "A??B?"].map((name) => `-ERR unknown command or wrong number of arguments: '${name}'`),
    );
    expect(replies[3]).toMatch(/^-ERR value is not/);
    expect(replies[4]).toBe("PONG");
  });

  test.each([
    "hello\r\n",
    "*1\r\n+PING\r\n",
    "*-1\r\n",
    "*99999\r\n",
    "*1\r\n$99999999999\r\n",
    `*1${"0".repeat(100)}`,
  ])("gives %j one error and closes that connection alone", async (bytes) => {
    const other = await connection();
    const socket = raw();
    socket.write(bytes);
    expect(await received(socket)).toMatch(/^-ERR Protocol error/);
    expect(await all(other, ["PING"])).toEqual(["PONG"]);
  });

  test("takes commands in whatever pieces they come", async () => {
    const socket = raw();
    // Listening all along: what comes between two listeners would be lost.
    let got = "";
    socket.on("data", (chunk) => {
      got += String(chunk);
    });
    const bytes = "*3\r\n$3\r\nSET\r\n$1\r\np\r\n$2\r\nab\r\n*2\r\n$3\r\nGET\r\n$1\r\np\r\n";
    for (const byte of bytes) {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => got, { timeout: 10_000 }).toBe("+OK\r\n$2\r\nab\r\n");
  });

  test("serves hundreds of clients at once", async () => {
    const many = await Promise.all(Array.from({ length: 300 }, connection));
    const replies = await Promise.all(many.map((on, i) => all(on, ["SET", `m${i}`, String(i)])));
    expect(replies).toEqual(many.map(() => ["OK"]));
    for (const on of many) on.close();
  });

  function raw(): Socket {
    const socket = connect(serving.endpoint.port, serving.endpoint.host);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    open.push({ close: () => socket.destroy() });
    return socket;
  }

  async function received(socket: Socket): Promise<string> {
    const chunks: string[] = [];
    socket.on("data", (chunk) => chunks.push(String(chunk)));
    await once(socket, "close");
    return chunks.join("");
  }
});
