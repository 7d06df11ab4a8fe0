/** Each kind of damage at rest, at the byte: what it changes, what it leaves alone, and when it has nothing to act on. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Fault, FaultParameters, FaultTarget } from "../contract.ts";
import { deletedFile } from "./deleted-file.ts";
import { garbageAppended } from "./garbage-appended.ts";
import { rolledBackFile } from "./rolled-back-file.ts";
import { swappedFiles } from "./swapped-files.ts";
import { truncatedTail } from "./truncated-tail.ts";
import { zeroPage } from "./zero-page.ts";

const kinds: readonly Fault[] = [
  truncatedTail,
  zeroPage,
  garbageAppended,
  deletedFile,
  rolledBackFile,
  swappedFiles,
];

let root: string;
let dataDir: string;
let earlierDir: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "acked-damage-test-"));
  dataDir = join(root, "data");
  earlierDir = join(root, "earlier");
  for (const dir of [dataDir, earlierDir]) mkdirSync(dir);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const target = (running = false) =>
  ({ dataDir, earlierDir, logFiles: "*.log", node: { running: () => running } }) as unknown as FaultTarget;

/** Three log files, the last two preallocated with zeros, and a file that is no log. */
function fill(): void {
  writeFileSync(join(dataDir, "1.log"), "first".repeat(1000));
  writeFileSync(
    join(dataDir, "2.log"),
    Buffer.concat([Buffer.from("second".repeat(2000)), Buffer.alloc(8192)]),
  );
  writeFileSync(join(dataDir, "3.log"), Buffer.concat([Buffer.from("third"), Buffer.alloc(100)]));
  writeFileSync(join(dataDir, "snapshot"), "left alone");
  writeFileSync(join(earlierDir, "2.log"), Buffer.concat([Buffer.from("second"), Buffer.alloc(8192)]));
}

const content = (): Record<string, string> =>
  Object.fromEntries(readdirSync(dataDir).map((name) => [name, readFileSync(join(dataDir, name), "latin1")]));

function damaged(fault: Fault, parameters: FaultParameters) {
  fill();
  const before = content();
  const injection = fault.inject(parameters, target());
  const evidence = injection.fired();
  injection.heal();
  return { before, after: content(), evidence };
}

describe.each(kinds.map((fault) => [fault.name, fault] as const))("%s", (_name, fault) => {
  it("changes log files only, says which, and stays after heal, whatever is drawn", () => {
    const parameters = fault.parameters({} as never);
    fc.assert(
      fc.property(parameters, (drawn) => {
        const { before, after, evidence } = damaged(fault, JSON.parse(JSON.stringify(drawn)));
        const changed = Object.keys({ ...before, ...after }).filter((name) => before[name] !== after[name]);
        expect(changed.sort()).toEqual([evidence?.file, evidence?.other].filter(Boolean).sort());
        expect(after.snapshot).toBe("left alone");
        expect(JSON.parse(JSON.stringify(evidence))).toEqual(evidence);
      }),
      { seed: 20_261_123, numRuns: 30 },
    );
  });

  it("has not fired without anything to damage, nor while the store runs", () => {
    const drawn = fc.sample(fault.parameters({} as never), { seed: 1, numRuns: 1 })[0]!;
    expect(fault.inject(drawn, target()).fired()).toBeUndefined();
    fill();
    const before = content();
    expect(fault.inject(drawn, target(true)).fired()).toBeUndefined();
    expect(content()).toEqual(before);
  });
});

it("a truncated tail ends inside the part in use, and looks like an earlier end only in the newest file", () => {
  const { after, evidence } = damaged(truncatedTail, { fileFraction: 0, byteFraction: 0.5 });
  expect(evidence).toEqual({ file: "1.log", offset: 2500, bytesCut: 2500 });
  expect(after["1.log"]).toBe("first".repeat(500));
  const newest = damaged(truncatedTail, { fileFraction: 0.99, byteFraction: 0.5 });
  expect(newest.evidence).toMatchObject({ file: "3.log", offset: 2, looksLike: "a log that ends there" });
});

it("a lost page becomes zeros, whole and aligned, and the file keeps its length", () => {
  const { before, after, evidence } = damaged(zeroPage, { fileFraction: 0.34, byteFraction: 0.5 });
  expect(evidence).toEqual({ file: "2.log", offset: 4096, bytes: 4096 });
  const expected = `${before["2.log"]?.slice(0, 4096)}${"\0".repeat(4096)}${before["2.log"]?.slice(8192)}`;
  expect(after["2.log"]).toBe(expected);
});

it("garbage begins behind the last byte in use, over preallocated zeros too, and has no zero in it", () => {
  const parameters = { fileFraction: 0.99, bytes: 40, gapBytes: 8, salt: 7 };
  const { before, after, evidence } = damaged(garbageAppended, parameters);
  expect(evidence).toEqual({ file: "3.log", offset: 13, bytes: 40 });
  expect(after["3.log"]?.slice(0, 13)).toBe(before["3.log"]?.slice(0, 13));
  expect(after["3.log"]?.slice(13, 53)).not.toContain("\0");
  expect(after["3.log"]).toHaveLength(105);
  expect(damaged(garbageAppended, parameters).after).toEqual(after);
});

it("a deleted file is gone, and only that one", () => {
  const { before, after, evidence } = damaged(deletedFile, { fileFraction: 0.5 });
  expect(evidence).toMatchObject({ file: "2.log", bytes: 12_000 });
  expect(after).toEqual(Object.fromEntries(Object.entries(before).filter(([name]) => name !== "2.log")));
});

it("a rolled back file has the content of the earlier stop", () => {
  const { after } = damaged(rolledBackFile, { fileFraction: 0.7 });
  expect(after["2.log"]).toBe(readFileSync(join(earlierDir, "2.log"), "latin1"));
});

it("swapped files have each other's content under their own names", () => {
  const { before, after, evidence } = damaged(swappedFiles, { pairFraction: 0.4 });
  expect(evidence).toEqual({ file: "1.log", other: "3.log", offset: 0 });
  expect(after).toEqual({ ...before, "1.log": before["3.log"], "3.log": before["1.log"] });
});
