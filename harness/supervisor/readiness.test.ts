import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { RefusedToServe } from "../../stores/contract.ts";
import { awaitPort, freePort, isListening, lineSplitter, parseReadyLine, ReadyWords } from "./readiness.ts";

it("reads a ready line and keeps its report", () => {
  expect(parseReadyLine('{"ready":true,"port":7,"records":3}')).toEqual({ port: 7, report: { records: 3 } });
  expect(parseReadyLine('{"ready":true,"port":7}')).toEqual({ port: 7, report: undefined });
});

it("takes nothing else for a ready line", () => {
  const others = [
    "",
    "ready",
    "null",
    "[]",
    '{"ready":false,"port":7}',
    '{"ready":true}',
    '{"ready":true,"port":0}',
  ];
  expect(others.map(parseReadyLine)).toEqual(others.map(() => undefined));
});

it("finds lines whose bytes come in pieces", () => {
  const lines: string[] = [];
  const split = lineSplitter((line) => lines.push(line));
  const bytes = Buffer.from("één\r\ntwo\nrest");
  for (const byte of bytes) split(Uint8Array.of(byte));
  expect(lines).toEqual(["één", "two"]);
});

it("gives a port on which nobody listens", async () => {
  const port = await freePort();
  expect(await isListening({ host: "127.0.0.1", port })).toBe(false);
});

it("asks again until the probe is content, and at once no more when it says that it never will be", async () => {
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const endpoint = { host: "127.0.0.1", port };
  const never = new AbortController().signal;
  let asked = 0;
  await awaitPort(
    endpoint,
    async () => {
      if (++asked < 3) throw new Error("not yet");
    },
    never,
  );
  expect(asked).toBe(3);
  const refusing = async () => {
    asked++;
    throw new RefusedToServe("damaged");
  };
  await expect(awaitPort(endpoint, refusing, never)).rejects.toThrow("damaged");
  expect(asked).toBe(4);
  server.close();
});

it("ends a pause when the process says that it accepts connections, and at no other word", async () => {
  const words = new ReadyWords();
  let ended = false;
  const pause = words.pause(60_000).then(() => {
    ended = true;
  });
  words.line("1:M 01 Jan 2026 * Server initialized");
  await new Promise((resolve) => setImmediate(resolve));
  expect(ended).toBe(false);
  words.line("1:M 01 Jan 2026 * Ready to accept connections tcp");
  await pause;
  words.line("LOG:  database system is ready to accept connections");
  await words.pause(60_000); // said before: not waited for
});
