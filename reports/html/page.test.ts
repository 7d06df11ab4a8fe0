import { expect, test } from "vitest";
import type { FaultRecord } from "../../harness/results.ts";
import { brief, syntheticFaults, syntheticResults } from "../fixtures/synthetic-run.ts";
import { KeyScan, runLimits } from "../key-scan.ts";
import { chooseFocus, NeighbourhoodScan } from "../neighbourhood.ts";
import type { RunFiles } from "../run-directory.ts";
import { TimelineScan } from "../timeline.ts";
import { page } from "./page.ts";

/** Every cell of the density filled as evenly as can be: the least compressible run there is. */
function* spread(operations: number, seconds: number, letter = "v") {
  const value = letter.repeat(200);
  const key = letter.repeat(200);
  for (let n = 0; n < operations; n++) {
    const process = n % 64;
    const f = n % 2 ? "read" : "write";
    const time = Math.floor((n / operations) * seconds * 1e9);
    const returned = time + 1e3 * 10 ** ((n * 0.61803398875 * 9) % 9);
    const type = n % 9 === 0 ? "info" : "ok";
    yield { index: 2 * n, time, process, type: "invoke", f, workload: "register", key, value } as const;
    yield { index: 2 * n + 1, time: returned, process, type, f, workload: "register", key, value } as const;
  }
}

function heaviest(operations: number, letter: string): string {
  const some = syntheticFaults(brief);
  const faults: FaultRecord[] = Array.from({ length: 20_000 }, (_none, index) => {
    const at = index * 0.15e9;
    const evidence = { said: letter.repeat(300) };
    return { ...some[index % some.length]!, armedAt: at, firedAt: at, healedAt: at + 0.1e9, evidence };
  });
  const results = syntheticResults(false, some);
  const few = results.findings[0]!.operations;
  const key = (n: number) => (n === 0 ? letter.repeat(200) : `${letter.repeat(200)}${n}`);
  const findings = Array.from({ length: 500 }, (_finding, n) => ({
    ...results.findings[0]!,
    key: key(n),
    sentence: `${letter} `.repeat(1000),
    operations: Array.from({ length: 100 }, (_none, index) => ({ ...few[index % few.length]!, key: key(n) })),
  }));
  const files: RunFiles = {
    dir: "run",
    results: { ...results, findings },
    faults,
    faultLinesUnreadable: 0,
    storeLogTail: letter.repeat(16_384),
    storeLogBytesBefore: 1e9,
  };
  const scan = new TimelineScan(faults);
  for (const event of spread(operations, 3000, letter)) scan.add(event);
  const timeline = scan.finish();
  const focus = chooseFocus(files.results.findings, faults, timeline)!;
  const near = new NeighbourhoodScan(focus);
  const keys = new KeyScan(findings, runLimits);
  for (const event of spread(100_000, 40, letter)) {
    near.add(event);
    keys.add(event);
  }
  const { operations: shown, leftOut } = near.finish();
  expect(shown.length).toBeGreaterThan(100);
  const lanes = { focus, operations: shown, leftOut, faults, starts: timeline.starts };
  return page({ files, timeline, lanes, keys: keys.finish(), historyNote: "" });
}

test("a report of 2,000,000 operations spread over everything, with 20,000 faults, stays under 1 MB", () => {
  expect(Buffer.byteLength(heaviest(2_000_000, "v"))).toBeLessThan(1e6);
}, 120_000);

test("a report stays under 1 MB when every value is long and made of what must be escaped", () => {
  for (const letter of ["<", "\u202e", "\u0000", "\u6f22"]) {
    expect(Buffer.byteLength(heaviest(200_000, letter))).toBeLessThan(1e6);
  }
}, 120_000);
