import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { FaultTarget } from "../contract.ts";
import { atRest } from "./bit-flip.ts";
import { filesMatching } from "./log-files.ts";

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "acked-at-rest-test-"));
});

afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const target = (logFiles: string, running = false) =>
  ({ dataDir, logFiles, node: { running: () => running } }) as unknown as FaultTarget;

it("flips exactly one bit of one log file, in a byte that is not zero", () => {
  const content = Buffer.alloc(200_000);
  content.write("records", 70_000);
  content.write("more records", 140_000);
  const parameters = atRest.parameters({} as never);
  fc.assert(
    fc.property(parameters, (drawn) => {
      writeFileSync(join(dataDir, "1.log"), content);
      writeFileSync(join(dataDir, "2.snapshot"), "left alone");
      const evidence = atRest.inject(JSON.parse(JSON.stringify(drawn)), target("*.log")).fired();
      const damaged = readFileSync(join(dataDir, "1.log"));
      const offset = Number(evidence?.offset);
      expect(evidence).toEqual({ file: "1.log", offset, before: content[offset], after: damaged[offset] });
      expect(content[offset]).not.toBe(0);
      expect((content[offset] ?? 0) ^ (damaged[offset] ?? 0)).toBe(1 << Number(drawn.bit));
      damaged[offset] = content[offset] ?? 0;
      expect(damaged.equals(content)).toBe(true);
      expect(readFileSync(join(dataDir, "2.snapshot"), "utf8")).toBe("left alone");
    }),
    { seed: 20_261_123, numRuns: 50 },
  );
});

it("draws among all log files that have content", () => {
  for (const name of ["a.log", "b.log", "c.log"]) writeFileSync(join(dataDir, name), "content");
  writeFileSync(join(dataDir, "empty.log"), "");
  writeFileSync(join(dataDir, "zeros.log"), Buffer.alloc(100));
  const fileAt = (fileFraction: number) =>
    atRest.inject({ fileFraction, byteFraction: 0, bit: 0 }, target("*.log")).fired()?.file;
  expect([0, 0.4, 0.99].map(fileAt)).toEqual(["a.log", "b.log", "c.log"]);
});

it("does not claim to have fired without content, or while the store runs", () => {
  const parameters = { fileFraction: 0, byteFraction: 0, bit: 0 };
  expect(atRest.inject(parameters, target("**")).fired()).toBeUndefined();
  writeFileSync(join(dataDir, "1.log"), "content");
  expect(atRest.inject(parameters, target("**", true)).fired()).toBeUndefined();
  expect(readFileSync(join(dataDir, "1.log"), "utf8")).toBe("content");
});

it("reads globs as the interposer does", () => {
  mkdirSync(join(dataDir, "wal", "old"), { recursive: true });
  for (const name of ["a.log", "wal/b.log", "wal/old/c.log", "wal/d+txt"])
    writeFileSync(join(dataDir, name), "x");
  const found = (glob: string) => filesMatching(dataDir, glob).join(" ");
  expect(found("**")).toBe("a.log wal/b.log wal/d+txt wal/old/c.log");
  expect(found("*.log")).toBe("a.log");
  expect(found("**/*.log")).toBe("a.log wal/b.log wal/old/c.log");
  expect(found("wal/*")).toBe("wal/b.log wal/d+txt");
  expect(found("wal/d+txt")).toBe("wal/d+txt");
});
