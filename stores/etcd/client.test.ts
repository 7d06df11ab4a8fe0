/** How each way of not being answered ends, against a server that answers what a script says. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Client, Endpoint, Request } from "../contract.ts";
import { connectEtcd } from "./client.ts";
import { outcomeOfErrorReply, refusals } from "./outcomes.ts";

const open: { close(): void }[] = [];

afterEach(() => {
  for (const one of open.splice(0).reverse()) one.close();
});

/** Raw bytes; `silence` sends nothing, `reset` and `end` end the connection. */
type Answer = { readonly raw: string } | "silence" | "reset" | "end";

const json = (body: unknown, status = "200 OK"): Answer => {
  const text = JSON.stringify(body);
  return { raw: `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}` };
};
const refused = (message: string): Answer =>
  json({ error: message, message, code: 14 }, "503 Service Unavailable");
const header = { cluster_id: "1", member_id: "2", revision: "3", raft_term: "4" };

interface Scripted {
  readonly endpoint: Endpoint;
  /** Path and body of each request, but for those of connecting. */
  readonly received: { readonly path: string; readonly body: Readonly<Record<string, unknown>> }[];
  readonly connections: () => number;
}

type Script = (path: string, body: Readonly<Record<string, unknown>>) => Answer;

async function scripted(answer: Script): Promise<Scripted> {
  const received: Scripted["received"] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
        if (text.length < end + 4 + length) return;
        const path = text.split(" ", 2)[1]!;
        const body = JSON.parse(text.slice(end + 4, end + 4 + length) || "{}");
        text = text.slice(end + 4 + length);
        if (path === "/v3/maintenance/status") send(socket, json({ header }));
        else {
          received.push({ path, body });
          send(socket, answer(path, body));
        }
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push({
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  const { port } = server.address() as AddressInfo;
  return { endpoint: { host: "127.0.0.1", port }, received, connections: () => sockets.size };
}

function send(socket: Socket, answer: Answer): void {
  if (answer === "reset") socket.resetAndDestroy();
  else if (answer === "end") socket.end();
  else if (answer !== "silence") socket.write(answer.raw);
}

async function connected(answer: Script): Promise<Scripted & { client: Client }> {
  const server = await scripted(answer);
  const client = await connectEtcd(server.endpoint, false, 5000);
  open.push(client);
  return { ...server, client };
}

const write: Request = { workload: "kv", f: "write", key: "k", value: "v" };
const read: Request = { workload: "kv", f: "read", key: "k" };

describe("the error", () => {
  test.each([
    ["etcdserver: too many requests", "fail"],
    ["etcdserver: request is too large", "fail"],
    ["etcdserver: no leader", "fail"],
    ["etcdserver: request timed out", "info"],
    ["etcdserver: request timed out, possibly due to previous leader failure", "info"],
    ["etcdserver: request timed out, possibly due to connection lost", "info"],
    ["etcdserver: leader changed", "info"],
    ["etcdserver: server stopped", "info"],
    // The write that crosses the limit has taken effect.
    ["etcdserver: mvcc: database space exceeded", "info"],
    ["raft proposal dropped", "info"],
    ["context deadline exceeded", "info"],
    ["transport is closing", "info"],
    ["something nobody has heard of", "info"],
  ] as const)("%j leaves a write %s, and a read without effect", async (message, outcome) => {
    expect(outcomeOfErrorReply(message)).toBe(outcome);
    const { client, endpoint } = await connected(() => refused(message));
    expect(await client.execute(read, 5000)).toEqual({ type: "fail", error: message });
    expect(client.closed).toBe(false);
    expect(await client.execute(write, 5000)).toEqual({ type: outcome, error: message });
    expect(client.closed).toBe(outcome === "info");
    const other = await connectEtcd(endpoint, false, 5000);
    open.push(other);
    const transaction: Request = { workload: "register", f: "cas", key: "k", value: [null, "v"] };
    expect((await other.execute(transaction, 5000)).type).toBe(outcome);
  });

  test("is looked up as a whole, and each once", () => {
    expect(outcomeOfErrorReply("etcdserver: no leader, but it may have happened")).toBe("info");
    expect(new Set(refusals.map(({ message }) => message)).size).toBe(refusals.length);
  });
});

describe("a connection", () => {
  test.each(["reset", "end"] as const)(
    "with a %s after the request leaves a write unknown, once",
    async (how) => {
      const { client, received, connections } = await connected(() => how);
      expect((await client.execute(write, 5000)).type).toBe("info");
      expect(client.closed).toBe(true);
      // Nothing is sent again, and nothing after it.
      expect(await client.execute(write, 5000)).toMatchObject({
        type: "fail",
        error: expect.stringContaining("not sent"),
      });
      expect([received.length, connections()]).toEqual([1, 1]);
    },
  );

  test("that is silent ends as unknown by the deadline, and is closed", async () => {
    const { client } = await connected(() => "silence");
    expect(await client.execute(write, 40)).toMatchObject({
      type: "info",
      error: expect.stringMatching(/no answer from .* within 40 ms/),
    });
    expect(client.closed).toBe(true);
  });

  test("that is refused rejects as not sent", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    await expect(connectEtcd({ host: "127.0.0.1", port }, false, 2000)).rejects.toMatchObject({
      reason: "not-sent",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  test.each([
    ["no HTTP", { raw: "-ERR unknown command\r\n" }],
    ["HTML", { raw: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>" }],
    ["a list", json([])],
    ["an object without a header", json({})],
    ["an error without words", json({}, "500 Internal Server Error")],
    ["half an answer", { raw: "HTTP/1.1 200 OK\r\nContent-Length: 90\r\nConnection: close\r\n\r\n{}" }],
  ])("with %s for an answer leaves a write unknown", async (_, answer) => {
    const { client } = await connected(() => answer as Answer);
    expect((await client.execute(write, 300)).type).toBe("info");
    expect(client.closed).toBe(true);
  });
});

describe("a request of several steps", () => {
  const transfer: Request = {
    workload: "bank",
    f: "transfer",
    key: "b",
    value: { id: "t", from: "x", to: "y", amount: 3 },
  };
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const bank = base64(JSON.stringify({ balances: { x: 5, y: 0 }, entries: 2 }));
  const held = json({ header, kvs: [{ key: base64("b"), mod_revision: "7", version: "3", value: bank }] });

  test("certainly did not happen when the connection breaks before its decisive one", async () => {
    const { client } = await connected(() => "reset");
    expect(await client.execute(transfer, 5000)).toMatchObject({
      type: "fail",
      error: expect.stringContaining("before anything was changed"),
    });
    expect(client.closed).toBe(true);
  });

  test("is unknown when it breaks at the decisive one", async () => {
    const { client } = await connected((path) => (path.endsWith("range") ? held : "reset"));
    expect((await client.execute(transfer, 5000)).type).toBe("info");
  });

  test("is guarded by the revision that it has read, and fails when another came first", async () => {
    const { client, received } = await connected((path) =>
      path.endsWith("range") ? held : json({ header }),
    );
    expect(await client.execute(transfer, 5000)).toMatchObject({
      type: "fail",
      error: expect.stringContaining("conflict"),
    });
    const [, { body }] = received as [
      unknown,
      { body: { compare: unknown; success: { requestPut: Put }[] } },
    ];
    expect(body.compare).toEqual([{ target: "MOD", result: "EQUAL", key: base64("b"), modRevision: "7" }]);
    const puts = body.success.map(({ requestPut: { key, value } }) => [text(key), text(value)]);
    expect(puts).toEqual([
      ["b", JSON.stringify({ balances: { x: 2, y: 3 }, entries: 3 })],
      ["b/ledger/0000000002", "t:x:y:3"],
    ]);
  });
});

interface Put {
  readonly key: string;
  readonly value: string;
}

const text = (base64: string) => Buffer.from(base64, "base64").toString();

test("an element whose key was put twice is shown twice, as a doubled append is", async () => {
  const kvs = ["a", "b"].map((element, i) => ({
    key: Buffer.from(`k/${element}`).toString("base64"),
    mod_revision: "7",
    version: String(i + 1),
  }));
  const { client, received } = await connected(() => json({ header, kvs, count: "2" }));
  const list = await client.execute({ workload: "append", f: "read", key: "k" }, 5000);
  expect(list).toEqual({ type: "ok", value: ["a", "b", "b"] });
  expect(received[0]!.body).toMatchObject({ sortOrder: "ASCEND", sortTarget: "CREATE" });
});

describe("reads sent together", () => {
  const keys = Array.from({ length: 70 }, (_, i) => `k${i}`);
  const kv = (key: string, value: string) => ({
    key: Buffer.from(key).toString("base64"),
    value: Buffer.from(value).toString("base64"),
    mod_revision: "1",
  });
  const requests: Request[] = [
    { workload: "bank", f: "audit", key: "b", value: ["x"] },
    ...keys.map((key): Request => ({ workload: "kv", f: "read", key })),
  ];

  test("are few transactions, and each gets what was found in its own ranges", async () => {
    const server = await scripted((_path, body) => {
      const ranges = (body.success as { requestRange: { key: string } }[]).map((one) => one.requestRange.key);
      const found = ranges.map((key) => [kv(text(key), `value of ${text(key)}`)]);
      return json({ header, responses: found.map((kvs) => ({ response_range: { header, kvs } })) });
    });
    const other = await connectEtcd(server.endpoint, false, 5000);
    open.push(other);
    const replies = await other.readAll!(requests, 5000);
    expect(replies.slice(1)).toEqual(keys.map((key) => ({ type: "ok", value: `value of ${key}` })));
    expect(replies[0]).toMatchObject({ type: "ok", value: { ledger: ["value of b/ledger/"] } });
    expect(server.received.map(({ path }) => path)).toEqual(["/v3/kv/txn", "/v3/kv/txn"]);
  });

  test("all end alike when they are not answered", async () => {
    const { client } = await connected(() => "reset");
    const replies = await client.readAll!(requests, 5000);
    expect(replies.map(({ type }) => type)).toEqual(requests.map((_, i) => (i < 60 ? "info" : "fail")));
  });

  test("are unknown when an answer lacks a range", async () => {
    const { client } = await connected(() => json({ header, responses: [] }));
    const replies = await client.readAll!(requests.slice(0, 2), 5000);
    expect(replies.map(({ type }) => type)).toEqual(["info", "info"]);
  });
});

test("reads are linearizable unless the client is serializable, and then each of their ranges is", async () => {
  const { endpoint, received } = await scripted(() => json({ header }));
  for (const serializable of [false, true]) {
    const client = await connectEtcd(endpoint, serializable, 5000);
    open.push(client);
    await client.execute(read, 5000);
    await client.execute({ workload: "bank", f: "audit", key: "b", value: ["x"] }, 5000);
  }
  const bodies = received.map(({ body }) => body);
  const ranges = bodies.flatMap((body) =>
    body.success ? (body.success as { requestRange: object }[]).map((one) => one.requestRange) : [body],
  );
  expect(ranges.map((range) => "serializable" in range)).toEqual([false, false, false, true, true, true]);
});
