import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { NodeSettings } from "./contract.ts";
import { findProgram, parseRespStore, respStore } from "./resp.ts";

const node: NodeSettings = { name: "n1", dir: "/data/n 1", port: 7001, durability: { mode: "always" } };
const scratch = mkdtempSync(join(tmpdir(), "acked-resp-test-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe("the command line resp:…", () => {
  test("fills in port and directory without splitting them again", async () => {
    const store = parseRespStore("resp:my-server --port {port} --dir={dir}/data");
    const launch = await store.launch(node);
    expect([launch.program, ...launch.args]).toEqual(["my-server", "--port", "7001", "--dir=/data/n 1/data"]);
    expect(launch.ready.by).toBe("port");
  });

  test.each([
    [String.raw`resp:s 'a b' "c d" e\ f {port}{dir}`, ["a b", "c d", "e f"]],
    [String.raw`resp:s "say \"hi\" \n" 'it''s' '' {port}{dir}`, [String.raw`say "hi" \n`, "its", ""]],
    [String.raw`resp:s '\' "" {port}{dir}`, ["\\", ""]],
    ["resp:s   spaced\tout {port}{dir}", ["spaced", "out"]],
  ])("splits %s as a shell would", async (text, words) => {
    const { args } = await parseRespStore(text).launch(node);
    expect(args.slice(0, -1)).toEqual(words);
  });

  test.each([
    ["resp:", /names no command/],
    ["resp:my-server --dir {dir}", /has no \{port\}/],
    ["resp:my-server --port {port}", /has no \{dir\}/],
    ["resp:{port} {dir}", /has no \{port\}/],
    ["resp:my-server '--port {port} {dir}", /leaves a quote \('\) open/],
  ])("%s is refused with what to do", (text, message) => {
    expect(() => parseRespStore(text)).toThrow(message);
    expect(() => parseRespStore(text)).toThrow(expect.objectContaining({ name: "ScenarioError" }));
  });
});

test("a program that is not there is named before anything is started", async () => {
  const onPath = parseRespStore("resp:no-such-server-anywhere {port} {dir}");
  expect(await onPath.unavailable?.()).toMatch(/no-such-server-anywhere is not on PATH; install it/);
  const byPath = parseRespStore(`resp:${scratch}/server {port} {dir}`);
  expect(await byPath.unavailable?.()).toMatch(/no executable file/);
  const here = parseRespStore(`resp:${process.execPath} {port} {dir}`);
  expect(await here.unavailable?.()).toBeUndefined();
});

test("a directory is not a program", () => {
  expect(findProgram(scratch)).toBeUndefined();
});

test("without a declared promise only process crashes and graceful stops are judged", () => {
  const promise = parseRespStore("resp:s {port} {dir}").promise({ mode: "always" });
  expect(promise.processCrash).toEqual({ survives: "everything acknowledged" });
  expect(promise.powerLoss).toEqual({ survives: "a prefix", lossMsMax: Number.POSITIVE_INFINITY });
  expect(promise).toMatchObject({
    syncsBeforeAcknowledging: false,
    failStop: false,
    detectsDamageAtRest: false,
  });
  expect(promise.source).toContain("no promise was declared");
});

test("a declared promise overrides only what it names, and says when syncs can be counted on", () => {
  const store = respStore({
    name: "mine",
    command: () => ["mine"],
    promise: { syncsBeforeAcknowledging: true, source: "its README" },
  });
  expect(store.promise({ mode: "always" })).toMatchObject({
    syncsBeforeAcknowledging: true,
    failStop: false,
    source: "its README",
  });
  expect(store.performs).toEqual(["write", "sync"]);
});
