import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";
import { childProgram } from "../../harness/package-root.ts";
import type { SimulatedDisk } from "../contract.ts";
import { encodeEntry, fileNameOf, loadDirectory } from "./files.ts";
import { recover } from "./recoverable.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "acked-json-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const files = new Map([
  [fileNameOf("e0/k/1"), encodeEntry("v")],
  [fileNameOf("e0/l/1"), encodeEntry(["a", "b"])],
]);
const readOf = (map: ReadonlyMap<string, string>) => (name: string) => Buffer.from(map.get(name)!);

test("what was written is what is loaded", () => {
  const loaded = loadDirectory([...files.keys()], readOf(files));
  expect([...loaded]).toEqual([
    ["e0/k/1", "v"],
    ["e0/l/1", ["a", "b"]],
  ]);
});

const torn = [
  ["empty", ""],
  ["torn", '{"value":"hal'],
  ["full of zeros", "\0".repeat(12)],
  ["of another meaning", '{"other":1}'],
] as const;

test.each(torn)("a file that is %s is named", (_how, content) => {
  const damaged = new Map(files).set(fileNameOf("e0/k/2"), content);
  const load = () => loadDirectory([...damaged.keys()], readOf(damaged));
  expect(load).toThrow(/^e0%2Fk%2F2\.json \(\d+ bytes\) cannot be read: /);
});

test("recovery in process refuses what the program refuses, and reads what it reads", async () => {
  const disk = (map: ReadonlyMap<string, string>) =>
    ({ list: () => [...map.keys()], readFile: readOf(map) }) as unknown as SimulatedDisk;
  const recovered = await recover(disk(files));
  expect(recovered.read({ workload: "kv", f: "read", key: "e0/k/1" })).toBe("v");
  expect(recovered.read({ workload: "kv", f: "read", key: "e0/k/7" })).toBeNull();
  expect(recovered.read({ workload: "append", f: "read", key: "e0/l/1" })).toEqual(["a", "b"]);
  expect(recovered.read({ workload: "append", f: "read", key: "e0/l/7" })).toEqual([]);

  const damaged = new Map(files).set(fileNameOf("e0/k/2"), "");
  const refusal = await recover(disk(damaged)).catch((error: Error) => error.message);
  writeFileSync(join(dir, fileNameOf("e0/k/2")), "");
  const program = await execa(process.execPath, [childProgram("stores/json-files/main.js"), "0", dir], {
    reject: false,
  });
  expect(program.exitCode).toBe(3);
  expect(program.stderr).toBe(`json-files: ${refusal}`);
});

test("a file name holds any key, and only one", () => {
  const names = ["a/b", "a%2Fb", "..", "ü", "a b"].map(fileNameOf);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) {
    writeFileSync(join(dir, name), "x");
    expect(existsSync(join(dir, name))).toBe(true);
    expect(readFileSync(join(dir, name), "utf8")).toBe("x");
  }
});
