import { afterEach, describe, expect, test } from "vitest";
import type { Client, Request } from "../contract.ts";
import { type ScriptedReply, type ScriptedServer, scriptedServer } from "./fixtures/scripted-server.ts";
import { connectRespClient, probeReadiness } from "./workload-client.ts";

const open: { close(): unknown }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

type Script = Readonly<Record<string, ScriptedReply | (() => ScriptedReply)>>;

const nil = "$-1\r\n";
const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;
const ifeqUnderstood = { "SET acked:probe x IFEQ y GET": nil };
const ifeqUnknown = { "SET acked:probe x IFEQ y GET": "-ERR syntax error\r\n" };

/** A client of a server that answers by whole command, else by the command's first word. */
async function clientOf(
  workload: string,
  script: Script,
): Promise<{ client: Client; server: ScriptedServer }> {
  const server = await scriptedServer((words) => {
    const reply =
      script[words.join(" ")] ?? script[words[0]!] ?? (words[0] === "PING" ? "+PONG\r\n" : "-ERR\r\n");
    return typeof reply === "function" ? reply() : reply;
  });
  open.push(server);
  const client = await connectRespClient(server.endpoint, workload, 5000);
  open.push(client);
  return { client, server };
}

const cas: Request = { workload: "register", f: "cas", key: "k", value: ["old", "new"] };
const casAbsent: Request = { ...cas, value: [null, "new"] };
const move = { id: "7.1.x", from: "a", to: "b", amount: 30 };
const transfer: Request = { workload: "bank", f: "transfer", key: "bank", value: move };
const balances = { WATCH: "+OK\r\n", "GET bank/a": bulk("100"), "GET bank/b": bulk("5"), UNWATCH: "+OK\r\n" };
const queued = { MULTI: "+OK\r\n", SET: "+QUEUED\r\n", RPUSH: "+QUEUED\r\n" };

describe("compare-and-set in one command", () => {
  test("a reply with the expected value has matched", async () => {
    const { client, server } = await clientOf("register", { ...ifeqUnderstood, SET: bulk("old") });
    expect(await client.execute(cas, 1000)).toEqual({ type: "ok", matched: true });
    expect(server.received.at(-1)).toBe("SET k new IFEQ old GET");
  });

  test("another value is the witness of a compare that failed", async () => {
    const { client } = await clientOf("register", { ...ifeqUnderstood, SET: bulk("other") });
    expect(await client.execute(cas, 1000)).toEqual({ type: "ok", matched: false, value: "other" });
  });

  test("an absent key is a witness too, and matches when it was expected", async () => {
    const { client, server } = await clientOf("register", { ...ifeqUnderstood, SET: nil });
    expect(await client.execute(cas, 1000)).toEqual({ type: "ok", matched: false, value: null });
    expect(await client.execute(casAbsent, 1000)).toEqual({ type: "ok", matched: true });
    expect(server.received.at(-1)).toBe("SET k new NX GET");
  });
});

describe("compare-and-set through WATCH, where IFEQ is not understood", () => {
  const watched = { ...ifeqUnknown, WATCH: "+OK\r\n", UNWATCH: "+OK\r\n", ...queued };

  test("it matches when EXEC ran", async () => {
    const { client } = await clientOf("register", { ...watched, GET: bulk("old"), EXEC: "*1\r\n+OK\r\n" });
    expect(await client.execute(cas, 1000)).toEqual({ type: "ok", matched: true });
  });

  test("a change in between certainly did nothing", async () => {
    const { client } = await clientOf("register", { ...watched, GET: bulk("old"), EXEC: "*-1\r\n" });
    expect(await client.execute(cas, 1000)).toMatchObject({ type: "fail" });
    expect(client.closed).toBe(false);
  });

  test("another value is the witness, and nothing is written", async () => {
    const { client, server } = await clientOf("register", { ...watched, GET: bulk("other") });
    expect(await client.execute(cas, 1000)).toEqual({ type: "ok", matched: false, value: "other" });
    expect(server.received).not.toContain("MULTI");
  });

  test("a store that ignores unknown options is not trusted with them", async () => {
    const ignores = {
      ...watched,
      "SET acked:probe x IFEQ y GET": "+OK\r\n",
      GET: nil,
      EXEC: "*1\r\n+OK\r\n",
    };
    const { client, server } = await clientOf("register", ignores);
    expect(await client.execute(casAbsent, 1000)).toEqual({ type: "ok", matched: true });
    expect(server.received).toContain("WATCH k");
  });
});

describe("a transfer", () => {
  test("is one transaction of both balances and the ledger", async () => {
    const exec = "*3\r\n+OK\r\n+OK\r\n:1\r\n";
    const { client, server } = await clientOf("bank", { ...balances, ...queued, EXEC: exec });
    expect(await client.execute(transfer, 1000)).toEqual({ type: "ok" });
    expect(server.received.slice(-5)).toEqual([
      "MULTI",
      "SET bank/a 70",
      "SET bank/b 35",
      "RPUSH bank/ledger 7.1.x:a:b:30",
      "EXEC",
    ]);
  });

  test("without funds fails and writes nothing", async () => {
    const { client, server } = await clientOf("bank", { ...balances, "GET bank/a": bulk("29") });
    expect(await client.execute(transfer, 1000)).toEqual({ type: "fail", error: "insufficient funds" });
    expect(server.received.at(-1)).toBe("UNWATCH");
  });

  test("that lost the race fails", async () => {
    const { client } = await clientOf("bank", { ...balances, ...queued, EXEC: "*-1\r\n" });
    expect(await client.execute(transfer, 1000)).toEqual({ type: "fail", error: "conflict" });
  });

  test("whose connection breaks before the transaction was sent fails, and closes the client", async () => {
    const { client } = await clientOf("bank", { ...balances, "GET bank/b": "reset" });
    expect(await client.execute(transfer, 1000)).toMatchObject({ type: "fail" });
    expect(client.closed).toBe(true);
  });

  test("whose connection breaks at EXEC is unknown", async () => {
    const { client } = await clientOf("bank", { ...balances, ...queued, EXEC: "reset" });
    expect(await client.execute(transfer, 1000)).toMatchObject({ type: "info" });
  });

  test("of which one command failed inside the transaction is unknown, for the others ran", async () => {
    const exec = "*3\r\n+OK\r\n+OK\r\n-WRONGTYPE not a list\r\n";
    const { client } = await clientOf("bank", { ...balances, ...queued, EXEC: exec });
    expect(await client.execute(transfer, 1000)).toMatchObject({ type: "info" });
  });

  test("is unknown when MULTI was refused but the commands ran by themselves", async () => {
    const script = { ...balances, MULTI: "-ERR unknown command\r\n", SET: "+OK\r\n", RPUSH: ":1\r\n" };
    const { client } = await clientOf("bank", { ...script, EXEC: "-ERR unknown command\r\n" });
    expect(await client.execute(transfer, 1000)).toMatchObject({ type: "info" });
  });

  test("fails when MULTI and everything after it was refused", async () => {
    const refused = "-LOADING wait\r\n";
    const script = { ...balances, MULTI: refused, SET: refused, RPUSH: refused, EXEC: refused };
    const { client } = await clientOf("bank", script);
    expect(await client.execute(transfer, 1000)).toMatchObject({ type: "fail" });
  });
});

test("a balance that is missing or no number is shown as it is", async () => {
  const { client } = await clientOf("bank", {
    MULTI: "+OK\r\n",
    GET: "+QUEUED\r\n",
    EXEC: `*3\r\n${bulk("12")}${nil}${bulk("x!")}`,
  });
  const read: Request = { workload: "bank", f: "read", key: "bank", value: ["a", "b", "c"] };
  expect(await client.execute(read, 1000)).toEqual({ type: "ok", value: { a: 12, b: null, c: "x!" } });
});

test("an info reply closes the client, and what is asked after that was not sent", async () => {
  const { client } = await clientOf("kv", { GET: "silence" });
  const read: Request = { workload: "kv", f: "read", key: "k" };
  expect(await client.execute(read, 30)).toMatchObject({ type: "info" });
  expect(client.closed).toBe(true);
  expect(await client.execute(read, 30)).toMatchObject({ type: "fail" });
});

test("an error reply is judged by the table", async () => {
  const { client } = await clientOf("kv", { SET: "-MISCONF no disk\r\n", DEL: "-FAILED log\r\n" });
  const write: Request = { workload: "kv", f: "write", key: "k", value: "v" };
  expect(await client.execute(write, 1000)).toEqual({ type: "fail", error: "MISCONF no disk" });
  expect(await client.execute({ workload: "kv", f: "delete", key: "k" }, 1000)).toMatchObject({
    type: "info",
  });
});

test("a reply of the wrong shape is unknown, never ok", async () => {
  const { client } = await clientOf("append", { LRANGE: ":3\r\n" });
  const reply = await client.execute({ workload: "append", f: "read", key: "l" }, 1000);
  expect(reply).toEqual({ type: "info", error: 'LRANGE was answered with "3"' });
});

test("damaged bytes are read as they are", async () => {
  const { client } = await clientOf("kv", { GET: Buffer.from("$3\r\na\xff\x00\r\n", "latin1") });
  const reply = await client.execute({ workload: "kv", f: "read", key: "k" }, 1000);
  expect(reply).toEqual({ type: "ok", value: "a\xff\x00" });
});

test("a request that no workload makes is refused by name", async () => {
  const { client } = await clientOf("kv", {});
  const reply = await client.execute({ workload: "kv", f: "frobnicate", key: "k" }, 1000);
  expect(reply).toEqual({ type: "fail", error: 'the RESP client knows no request "frobnicate" of "kv"' });
});

test("connecting waits while the store is loading, and no longer than its deadline", async () => {
  let pings = 0;
  await clientOf("kv", { PING: () => (pings++ < 3 ? "-LOADING wait\r\n" : "+PONG\r\n") });
  expect(pings).toBe(4);
  const loading = await scriptedServer(() => "-LOADING for ever\r\n");
  open.push(loading);
  await expect(connectRespClient(loading.endpoint, "kv", 80)).rejects.toThrow(/LOADING/);
  await expect(probeReadiness(loading.endpoint, 80)).rejects.toThrow(/LOADING/);
});

describe("where replies end", () => {
  test("counts every byte received on the connection, greeting included, up to the last reply", async () => {
    const { client } = await clientOf("kv", { SET: "+OK\r\n", GET: bulk("value") });
    const greeting = "+PONG\r\n".length;
    await client.execute({ workload: "kv", f: "write", key: "k", value: "v" }, 1000);
    expect(client.replyEnd!().bytes).toBe(greeting + 5);
    await client.execute({ workload: "kv", f: "read", key: "k" }, 1000);
    expect(client.replyEnd!().bytes).toBe(greeting + 5 + bulk("value").length);
  });

  test("a transaction ends with the reply to its last command", async () => {
    const done = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n";
    const { client } = await clientOf("bank", { ...queued, EXEC: "*2\r\n+OK\r\n+OK\r\n" });
    const reply = await client.execute(
      { workload: "bank", f: "open", key: "bank", value: { a: 1, b: 2 } },
      1000,
    );
    expect(reply).toEqual({ type: "ok" });
    expect(client.replyEnd!().bytes).toBe("+PONG\r\n".length + done.length);
  });

  test("names the client's own port, and keeps it when the connection is gone", async () => {
    const { client, server } = await clientOf("kv", { SET: "+OK\r\n" });
    await client.execute({ workload: "kv", f: "write", key: "k", value: "v" }, 1000);
    const { localPort } = client.replyEnd!();
    expect(localPort).toBeGreaterThan(1023);
    expect(localPort).not.toBe(server.endpoint.port);
    client.close();
    expect(client.replyEnd!()).toEqual({ localPort, bytes: 12 });
  });
});

test("an element is added without saying whether it was new, and what is read of a set is sorted", async () => {
  const { client, server } = await clientOf("set", {
    SADD: ":0\r\n",
    SMEMBERS: `*2\r\n${bulk("b")}${bulk("a")}`,
  });
  expect(await client.execute({ workload: "set", f: "add", key: "s", value: "a" }, 1000)).toEqual({
    type: "ok",
  });
  expect(await client.execute({ workload: "set", f: "read", key: "s" }, 1000)).toEqual({
    type: "ok",
    value: ["a", "b"],
  });
  expect(server.received.slice(-2)).toEqual(["SADD s a", "SMEMBERS s"]);
});

test("a connection that is not admitted is closed", async () => {
  const server = await scriptedServer(() => "+PONG\r\n");
  open.push(server);
  let closed: () => boolean = () => false;
  const connecting = connectRespClient(server.endpoint, "set", 5000, async (connection) => {
    closed = () => connection.closed;
    throw new Error("not this one");
  });
  await expect(connecting).rejects.toThrow("not this one");
  expect(closed()).toBe(true);
});
