import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Endpoint, MeasuredConnection } from "../contract.ts";
import { connectThin } from "./resp-measured.ts";

let server: Server | undefined;
const sockets = new Set<Socket>();

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server?.close();
});

/** A server that answers each chunk with what `answer` says, and keeps what it was sent. */
function serving(answer: (received: string, socket: Socket) => void): Promise<Endpoint> {
  return new Promise((resolve) => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on("data", (chunk) => answer(chunk.toString("latin1"), socket));
      socket.on("error", () => {});
    }).listen(0, "127.0.0.1", () => {
      resolve({ host: "127.0.0.1", port: (server!.address() as AddressInfo).port });
    });
  });
}

function upsert(connection: MeasuredConnection): Promise<void> {
  return new Promise((resolve, reject) =>
    connection.upsert("key", "value", (error) => (error ? reject(error) : resolve())),
  );
}

function read(connection: MeasuredConnection): Promise<string | undefined> {
  return new Promise((resolve, reject) =>
    connection.read("key", (error, value) => (error ? reject(error) : resolve(value))),
  );
}

describe("the measured RESP connection", () => {
  it("sends exactly SET and GET, and gives what was found", async () => {
    const received: string[] = [];
    const endpoint = await serving((text, socket) => {
      received.push(text);
      socket.write(text.includes("SET") ? "+OK\r\n" : "$5\r\nva\r\ne\r\n");
    });
    const connection = await connectThin(endpoint);
    await upsert(connection);
    expect(await read(connection)).toBe("va\r\ne");
    expect(received).toEqual([
      "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n",
      "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n",
    ]);
    await connection.close();
  });

  it("puts together a reply that comes byte by byte", async () => {
    const endpoint = await serving(async (_text, socket) => {
      for (const byte of "$5\r\nvalue\r\n") {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const connection = await connectThin(endpoint);
    expect(await read(connection)).toBe("value");
    expect(await read(connection)).toBe("value");
    await connection.close();
  });

  it("finds nothing for a key that is absent", async () => {
    const connection = await connectThin(await serving((_text, socket) => socket.write("$-1\r\n")));
    expect(await read(connection)).toBeUndefined();
    await connection.close();
  });

  it.each([
    ["-ERR no\r\n", "the store answered: ERR no"],
    ["+QUEUED\r\n", 'SET was answered with "QUEUED"'],
    ["HTTP/1.1 400\r\n", "the store sent an unexpected reply"],
    ["+OK\r\n+OK\r\n", undefined],
  ])("does not take %j for an acknowledgement twice, or at all", async (reply, error) => {
    const connection = await connectThin(await serving((_text, socket) => socket.write(reply)));
    if (error) await expect(upsert(connection)).rejects.toThrow(error);
    else {
      await upsert(connection);
      await expect(upsert(connection)).rejects.toThrow("more than one reply");
    }
    await connection.close();
  });

  it("tells what was in flight that the store is gone, and refuses what comes later", async () => {
    const connection = await connectThin(await serving((_text, socket) => socket.destroy()));
    await expect(upsert(connection)).rejects.toThrow(/closed the connection|broke/);
    await expect(upsert(connection)).rejects.toThrow(/closed the connection|broke/);
    await connection.close();
  });

  it("says where nothing listens", async () => {
    const endpoint = await serving(() => {});
    await new Promise((resolve) => server!.close(resolve));
    await expect(connectThin(endpoint)).rejects.toThrow(`no connection to 127.0.0.1:${endpoint.port}`);
  });
});
