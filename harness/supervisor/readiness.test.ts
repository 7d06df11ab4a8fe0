import { expect, it } from "vitest";
import { freePort, isListening, lineSplitter, parseReadyLine } from "./readiness.ts";

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
