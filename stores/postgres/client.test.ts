/** The client against a server that answers as scripted: what is told when a connection ends at the wrong moment. */
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Client } from "../contract.ts";
import { connectPostgres } from "./client.ts";

let server: Server | undefined;
let client: Client | undefined;

afterEach(() => {
  client?.close();
  server?.close();
});

/** One message of the protocol: type, length, body. */
function message(type: string, ...body: (string | number)[]): Buffer {
  const bytes = Buffer.concat(
    body.map((part) => (typeof part === "number" ? int32(part) : Buffer.from(part))),
  );
  return Buffer.concat([Buffer.from(type), int32(bytes.length + 4), bytes]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

const ready = message("Z", "I");
const emptyAnswer = (tag: string) =>
  Buffer.concat([message("1"), message("2"), message("n"), message("C", `${tag}\0`), ready]);

/** Lets every client in; then `answer` decides, for each batch that ends with Sync, what to do with the text of its Parse. */
async function scripted(answer: (text: string, socket: Socket) => void): Promise<Client> {
  server = createServer((socket) => {
    let letIn = false;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      if (!letIn) {
        letIn = true;
        socket.write(Buffer.concat([message("R", 0), ready]));
        return;
      }
      const text = chunk.toString("latin1");
      if (text.includes("SELECT 1")) socket.write(emptyAnswer("SELECT 0"));
      else answer(text, socket);
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  client = await connectPostgres({ host: "127.0.0.1", port }, { user: "u", password: "p" }, 2000);
  return client;
}

const write = { workload: "kv", f: "write", key: "k", value: "v" };
const transfer = {
  workload: "bank",
  f: "transfer",
  key: "b",
  value: { id: "t", from: "a", to: "b", amount: 1 },
};

test("a connection that ends after the decisive statement was sent leaves the outcome unknown", async () => {
  const asked = await scripted((_text, socket) => socket.destroy());
  expect(await asked.execute(write, 2000)).toMatchObject({ type: "info" });
  expect(asked.closed).toBe(true);
  expect(await asked.execute(write, 2000)).toMatchObject({
    type: "fail",
    error: expect.stringMatching(/^not sent/),
  });
});

test("a connection that ends before COMMIT was sent has certainly changed nothing", async () => {
  const asked = await scripted((text, socket) => {
    if (text.includes("BEGIN")) socket.write(emptyAnswer("BEGIN"));
    else socket.destroy();
  });
  expect(await asked.execute(transfer, 2000)).toMatchObject({
    type: "fail",
    error: expect.stringMatching(/^before anything was changed/),
  });
});

test("no answer by the deadline is unknown, and ends the connection", async () => {
  const asked = await scripted(() => {});
  expect(await asked.execute(write, 50)).toEqual({ type: "info", error: "no reply within 50 ms" });
  expect(asked.closed).toBe(true);
});

test("an error reply is told by the table of outcomes", async () => {
  const error = (severity: string, code: string) =>
    message("E", `S${severity}\0V${severity}\0C${code}\0Mwhy\0\0`);
  const asked = await scripted((_text, socket) =>
    socket.write(Buffer.concat([error("ERROR", "53100"), ready])),
  );
  expect(await asked.execute(write, 2000)).toEqual({ type: "fail", error: "53100: why" });
  expect(asked.closed).toBe(false);
});

test("a commit that the server stopped waiting for is unknown, and ends the connection", async () => {
  const detail = "The transaction has already committed locally, but might not have been replicated.";
  const warning = message("N", `SWARNING\0VWARNING\0C01000\0Mcanceling wait\0D${detail}\0\0`);
  const asked = await scripted((_text, socket) =>
    socket.write(Buffer.concat([warning, emptyAnswer("INSERT 0 1")])),
  );
  expect(await asked.execute(write, 2000)).toEqual({ type: "info", error: `canceling wait: ${detail}` });
  expect(asked.closed).toBe(true);
});

test("nobody at the port is said in one sentence, by the deadline", async () => {
  const connected = connectPostgres({ host: "127.0.0.1", port: 1 }, { user: "u" }, 2000);
  await expect(connected).rejects.toThrow(/^no session at 127\.0\.0\.1:1: /);
});
