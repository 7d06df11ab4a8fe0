import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { interposedOperations } from "../../faults/contract.ts";
import { effectsOn } from "../../faults/front-ends/disk-rules.ts";
import { createDiskControl } from "../../faults/index.ts";
import { ScenarioError, type StorePromise } from "../../stores/contract.ts";
import {
  beginningsOf,
  beyondPromise,
  choosePairs,
  siteOf,
  sweepName,
  sweepPairs,
  withinPromise,
} from "./plan.ts";

it("has no pair that could never fire, at any n: the interposer takes every rule", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "acked-sweep-plan-test-"));
  const disk = createDiskControl({ dataDir, logGlob: "**" });
  try {
    for (const { operation, path, repeat, effectAt } of sweepPairs) {
      for (let nth = 1; nth <= 15; nth++) {
        disk.control.arm({ operation, path, nth, repeat, effect: effectAt(nth) }).disarm();
      }
    }
  } finally {
    disk.remove();
    rmSync(dataDir, { recursive: true, force: true });
  }
});

it("has every effect that the interposer knows, at every operation that can have it", () => {
  for (const operation of interposedOperations) {
    const mine = sweepPairs.filter((pair) => pair.operation === operation);
    const swept = new Set(mine.map(({ effectAt }) => effectAt(1).do));
    expect([operation, ...swept].sort()).toEqual([operation, ...effectsOn(operation)].sort());
  }
});

it("begins with what the effect needs: older pages are known of files that the trial has written", () => {
  const beginnings = (operation: string, effect: string) =>
    choosePairs([operation], [effect]).map(beginningsOf)[0];
  expect(beginnings("sync", "lying")).toEqual(["after a crash", "new store"]);
  expect(beginnings("read", "bit-flip")).toEqual(["after a crash"]);
  expect(beginnings("read", "stale")).toEqual(["restarted"]);
});

it("names every pair apart", () => {
  expect(new Set(sweepPairs.map(sweepName)).size).toBe(sweepPairs.length);
});

it("chooses by operation, by whole effect or by its first word, and all without a choice", () => {
  expect(choosePairs()).toEqual(sweepPairs);
  expect(choosePairs(["rename"], ["error"]).map(sweepName)).toEqual([
    "rename error EIO",
    "rename error ENOSPC",
    "rename error EACCES",
    "rename error EROFS",
    "rename error EDQUOT",
  ]);
  expect(choosePairs(undefined, ["fsyncgate"]).map(sweepName)).toEqual([
    "sync fsyncgate EIO",
    "sync fsyncgate ENOSPC",
    "sync fsyncgate EDQUOT",
  ]);
  expect(choosePairs(["create"], ["error EMFILE"]).map(sweepName)).toEqual(["create error EMFILE"]);
});

it("refuses what is not known, and what cannot fail that way, in one sentence with what can", () => {
  expect(() => choosePairs(["renam"])).toThrow(ScenarioError);
  expect(() => choosePairs(["renam"])).toThrow(/did you mean rename/);
  expect(() => choosePairs(undefined, ["fsyncgat"])).toThrow(/no effect "fsyncgat"/);
  expect(() => choosePairs(["rename"], ["fsyncgate"])).toThrow(/no such sweep.*rename \(error EIO/);
});

it("leaves lying hardware out for a store that promises nothing about damage, and says so", () => {
  const promise = (detectsDamageAtRest: boolean) => ({ detectsDamageAtRest }) as StorePromise;
  expect(withinPromise(sweepPairs, promise(true))).toEqual(sweepPairs);
  expect(beyondPromise("some-store", promise(true))).toEqual([]);
  const left = withinPromise(sweepPairs, promise(false));
  expect(left.some((pair) => pair.deceives)).toBe(false);
  expect(left.length).toBeGreaterThan(40);
  expect(beyondPromise("some-store", promise(false))[0]?.why).toMatch(/some-store promises nothing/);
});

it("calls one call site what differs in numbers only", () => {
  expect(siteOf("sync", "segment-0000000000000012.log")).toBe("sync segment-#.log");
  expect(siteOf("write", "pg_wal/00000001000000000000000A")).toBe("write pg_wal/#");
  expect(siteOf("sync", ".")).toBe("sync .");
  expect(siteOf("link", "lock.over--8d-2a-1ed-aa-0b-4d2f1ba-93-10.7-12-0.tmp")).toBe(
    "link lock.over-#.#-#-#.tmp",
  );
  expect(siteOf("open", "base/5/1249")).toBe("open base/#/#");
});
