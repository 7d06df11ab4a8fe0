import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { type ScriptedReply, type ScriptedServer, scriptedServer } from "./fixtures/scripted-server.ts";
import { RespConnection, type RespConnectionError, RespError, RespParser } from "./resp.ts";

const open: { close(): unknown }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function connected(
  script: (command: readonly string[]) => ScriptedReply,
): Promise<{ server: ScriptedServer; connection: RespConnection }> {
  const server = await scriptedServer(script);
  open.push(server);
  const connection = await RespConnection.connect(server.endpoint, 5000);
  open.push(connection);
  return { server, connection };
}

async function failureOf(promise: Promise<unknown>): Promise<RespConnectionError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "RespConnectionError" });
  return error as RespConnectionError;
}

describe("the parser refuses", () => {
  test.each([
    ["a type that RESP2 does not have", "%2\r\n", /begins with "%"/],
    ["a foreign first byte without waiting for the line's end", "HTTP/1.1 400", /begins with "H"/],
    ["a length that is not a number", "$abc\r\n", /not the length of a bulk string/],
    ["a negative length other than -1", "*-2\r\n", /not the length of an? array/],
    ["an integer that is none", ":12x\r\n", /not an integer/],
    ["a line that ends with LF alone", "+OK\n", /CR LF/],
    ["a bulk string longer than announced", "$2\r\nabcd\r\n", /not followed by CR LF/],
    ["a bulk string of 1 GB, before its bytes come", "$1073741824\r\n", /over 64 MB/],
    ["an array of a billion elements", "*1000000000\r\n", /over 64 MB/],
    ["arrays nested without end", "*1\r\n".repeat(40), /nested over 32 deep/],
    ["an endless line", `+${"x".repeat(70_000)}`, /a line of a reply is over/],
  ])("%s", (_, bytes, message) => {
    expect(() => new RespParser().push(Buffer.from(bytes))).toThrow(message);
  });

  test("a reply whose parts are over 64 MB together", () => {
    const parser = new RespParser();
    const half = 40 * 1024 * 1024;
    parser.push(Buffer.from(`*2\r\n$${half}\r\n`));
    parser.push(Buffer.alloc(half));
    expect(() => parser.push(Buffer.from(`\r\n$${half}\r\n`))).toThrow(/over 64 MB/);
  });
});

test("a long reply in many small pieces takes linear time", () => {
  const parser = new RespParser();
  const bytes = 32 * 1024 * 1024;
  parser.push(Buffer.from(`$${bytes}\r\n`));
  const piece = Buffer.alloc(1024, 7);
  for (let sent = 0; sent < bytes; sent += piece.length) parser.push(piece);
  const [reply] = parser.push(Buffer.from("\r\n"));
  // Quadratic copying would move half a terabyte here and run into the test's deadline.
  expect((reply as Buffer).length).toBe(bytes);
});

test("an error reply is a value", async () => {
  const { connection } = await connected(() => "-ERR unknown command\r\n");
  expect(await connection.send(["NOPE"])).toEqual(new RespError("ERR unknown command"));
  expect(connection.closed).toBe(false);
});

test("pipelined replies reach the requests they belong to", async () => {
  const { connection } = await connected(([, value]) => `$${value!.length}\r\n${value}\r\n`);
  const single = connection.send(["ECHO", "first"]);
  const several = connection.sendAll([
    ["ECHO", "second"],
    ["ECHO", "third"],
  ]);
  expect(String(await single)).toBe("first");
  expect((await several).map(String)).toEqual(["second", "third"]);
});

test("a connection refused was not sent", async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
  await new Promise((resolve) => server.close(resolve));
  const failure = await failureOf(RespConnection.connect({ host: "127.0.0.1", port }, 2000));
  expect(failure.reason).toBe("not-sent");
  expect(failure.message).toContain("ECONNREFUSED");
});

test("a reset after sending is closed, and a request after that was not sent", async () => {
  const { connection } = await connected(() => "reset");
  expect((await failureOf(connection.send(["GET", "k"]))).reason).toBe("closed");
  expect(connection.closed).toBe(true);
  expect((await failureOf(connection.send(["GET", "k"]))).reason).toBe("not-sent");
});

test("without a reply the deadline ends everything in flight", async () => {
  const { connection } = await connected(() => "silence");
  const late = connection.send(["GET", "a"], 60_000);
  const failure = await failureOf(connection.send(["GET", "b"], 30));
  expect(failure.reason).toBe("deadline");
  expect(failure.message).toMatch(/within 30 ms/);
  expect((await failureOf(late)).reason).toBe("deadline");
});

test("a malformed reply closes the connection and says what came", async () => {
  const { connection } = await connected(() => "HTTP/1.1 400 Bad Request\r\n");
  const failure = await failureOf(connection.send(["PING"]));
  expect(failure.reason).toBe("malformed");
  expect(failure.message).toContain('begins with "H"');
});

test("a reply that nothing had asked for closes the connection", async () => {
  const { connection } = await connected(() => "+OK\r\n+OK\r\n");
  await connection.send(["SET", "k", "v"]);
  await expect.poll(() => connection.closed).toBe(true);
});

test("close() ends what is in flight and may be called twice", async () => {
  const { connection } = await connected(() => "silence");
  const pending = failureOf(connection.send(["GET", "k"]));
  connection.close();
  connection.close();
  expect((await pending).reason).toBe("closed");
});
