import { createConnection, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type Disk, nodeDisk } from "./disk.ts";
import { openTestEngine, remove, temporaryDirectory } from "./fixtures/model.ts";
import { type RunningServer, startServer } from "./server/server.ts";

const cleanUps: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A server whose syncs begin at once, and end only when `finishSync` is called. */
async function serverWithHeldSyncs(): Promise<{
  server: RunningServer;
  finishSync: () => Promise<void>;
  free(): void;
}> {
  const held: (() => void)[] = [];
  let free = false;
  const disk: Disk = {
    ...nodeDisk,
    syncDataNow: (fd) => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      nodeDisk.syncDataNow(fd);
    },
    syncData: (fd, done) => {
      if (free) nodeDisk.syncData(fd, done);
      else held.push(() => nodeDisk.syncData(fd, done));
    },
  };
  const dir = temporaryDirectory();
  const engine = await openTestEngine(dir, { replace: { disk }, segmentBytes: 1 << 20 });
  // The first sync shows that this disk is slow: from now on syncs are made on another thread.
  engine.change({ kind: "put", table: "", key: "seed", value: "1" });
  engine.commit();
  await engine.flush();
  const server = await startServer({
    engine,
    port: 0,
    onFailed: () => undefined,
    onShutdown: () => undefined,
  });
  cleanUps.push(async () => {
    free = true;
    for (const finish of held.splice(0)) finish();
    await server.stop();
    remove(dir);
  });
  return {
    server,
    free: () => {
      free = true;
    },
    finishSync: async () => {
      await expect.poll(() => held.length).toBeGreaterThan(0);
      held.shift()!();
    },
  };
}

async function connect(server: RunningServer): Promise<{ socket: Socket; text: () => string }> {
  const socket = createConnection({ port: server.port, host: "127.0.0.1" });
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  cleanUps.push(() => void socket.destroy());
  return { socket, text: () => text };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 40));

test.each([
  ["a value", "SET k new", "GET k", "$3\r\nnew\r\n"],
  ["a nil after a delete", "DEL seed", "GET seed", "$-1\r\n"],
  ["a failed compare", "SET k new", "SET k x IFEQ y GET", "$3\r\nnew\r\n"],
  ["a refused NX", "SET k new", "SET k x NX", "$-1\r\n"],
  ["a length", "RPUSH k a", "LLEN k", ":1\r\n"],
  ["an error about a type", "RPUSH k a", "GET k", "-WRONGTYPE"],
  ["a count of keys", "SET k new", "DBSIZE", ":2\r\n"],
  ["a list of keys", "SET k new", "KEYS k", "*1\r\n"],
  ["the log index", "SET k new", "INDEX", ":2\r\n"],
])("%s is not shown before it is durable", async (_what, write, read, reply) => {
  const { server, finishSync, free } = await serverWithHeldSyncs();
  const [writer, reader] = [await connect(server), await connect(server)];
  writer.socket.write(`${write}\r\n`);
  await settle();
  reader.socket.write(`${read}\r\nPING\r\n`);
  await settle();
  expect(writer.text()).toBe("");
  expect(reader.text()).toBe("");
  await finishSync();
  free();
  await expect.poll(reader.text).toMatch(/\+PONG\r\n$/);
  expect(reader.text().startsWith(reply)).toBe(true);
  expect(writer.text()).not.toBe("");
});

test("what is durable already is shown at once, also while a sync is under way", async () => {
  const { server, finishSync, free } = await serverWithHeldSyncs();
  const [writer, reader] = [await connect(server), await connect(server)];
  writer.socket.write("SET k new\r\n");
  await settle();
  reader.socket.write("GET seed\r\n");
  await expect.poll(reader.text).toBe("$1\r\n1\r\n");
  expect(writer.text()).toBe("");
  free();
  await finishSync();
  await expect.poll(writer.text).toBe("+OK\r\n");
});
