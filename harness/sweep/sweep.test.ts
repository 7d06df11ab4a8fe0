/** Sweeps of real stores: a planted bug is found at its call, a correct store passes, and what did not fire is said. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ramlog } from "../../stores/ramlog/store.ts";
import { childProgram } from "../package-root.ts";
import type { SweepResults } from "../results.ts";
import { runDirectoryAt } from "../run-directory.ts";
import { resolveScenario } from "../scenario.ts";
import { choosePairs, type SweepPair } from "./plan.ts";
import { sweep, whyNotSweepable } from "./sweep.ts";

const missing = await whyNotSweepable(ramlog);
if (missing) console.warn(`SKIPPED: sweeping: ${missing}`);

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "acked-sweep-test-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
async function swept(
  store: string,
  pairs: readonly SweepPair[],
  options: { readonly seconds?: number; readonly onlyN?: number; readonly workloads?: string[] } = {},
): Promise<SweepResults> {
  const { seconds = 30, onlyN, workloads = ["register", "append"] } = options;
  const path = join(root, String(count++));
  mkdirSync(join(path, "data"), { recursive: true });
  const asked = { store, workloads, faults: ["none"], seed: 1 };
  return sweep({
    resolution: await resolveScenario(asked),
    ...{ pairs, directory: runDirectoryAt(path), runsDir: root, seconds },
    signal: new AbortController().signal,
    ...(onlyN === undefined ? {} : { onlyN }),
  });
}

/** The sync of the first request after a crash, which is sent alone: a start makes one. */
const firstOfLoad = 2;

describe.skipIf(missing)("a sweep", () => {
  it("finds a store that tries a failed sync again by fsyncgate, and not by fail-keep", async () => {
    const pairs = choosePairs(["sync"], ["fsyncgate EIO", "error EIO"]).filter(({ path }) => path === "**");
    const { verdict, findings, cells } = await swept("broken/retries-failed-sync", pairs, {
      onlyN: firstOfLoad,
    });
    expect(verdict).toBe(false);
    expect(findings[0]?.sentence).toMatch(/^fsyncgate EIO at sync number 2, of segment-\d+\.log/);
    const found = cells.filter((cell) => cell.outcomes.finding > 0);
    expect(new Set(found.map((cell) => cell.effect))).toEqual(new Set(["fsyncgate EIO"]));
    expect(found[0]?.site).toBe("sync segment-#.log");
  });

  it("passes ramlog, which refuses to go on, and says of each call site what became of it", async () => {
    const pairs = choosePairs(["sync"], ["fsyncgate", "kill-after"]);
    const results = await swept("ramlog", pairs, { onlyN: firstOfLoad });
    expect(results.reasons).toEqual([]);
    expect(results.verdict).toBe(true);
    const outcome = (effect: string) => results.cells.find((cell) => cell.effect === effect)?.outcomes;
    expect(outcome("fsyncgate EIO")?.refused).toBeGreaterThan(0);
    expect(outcome("kill-after")?.survived).toBeGreaterThan(0);
  });

  it("gives a start what pages held before: ramlog takes it for an older disk, or refuses it", async () => {
    const { verdict, reasons, cells, exhausted } = await swept("ramlog", choosePairs(["read"], ["stale"]));
    expect([verdict, ...reasons]).toEqual([true]);
    expect(exhausted).toEqual(["read stale, restarted"]);
    expect(cells.map(({ site }) => site)).toContain("read segment-#.log, at start");
  });

  it("finds a store that believes an old page, also when it reads it as late as for a reply", async () => {
    const pages = childProgram("harness/sweep/fixtures/pages.js");
    const pairs = choosePairs(["read"], ["stale", "bit-flip"]);
    const { verdict, findings, cells } = await swept(pages, pairs, { workloads: ["register"] });
    expect(verdict).toBe(false);
    expect(new Set(findings.map(({ kind }) => kind))).toEqual(new Set(["served-damaged-data"]));
    const found = cells.filter((cell) => cell.outcomes.finding > 0);
    expect(new Set(found.map(({ effect }) => effect))).toEqual(new Set(["stale", "bit-flip"]));
    expect(new Set(found.map(({ site }) => site))).toEqual(new Set(["read e#%#Fr%#F#.page"]));
  });

  it("that was cut short knows nothing, and says how much was", async () => {
    const { verdict, reasons, cutShort } = await swept("ramlog", choosePairs(["write"], ["error EIO"]), {
      seconds: 0.5,
    });
    expect(cutShort.length).toBeGreaterThan(0);
    expect(verdict).toBe("unknown");
    expect(reasons.at(-1)).toMatch(/^\d+ of \d+ sweeps were cut short: give it more seconds/);
  });

  it("ends a pair when its rule no longer fires, and knows nothing when none ever did", async () => {
    const { verdict, reasons, exhausted, cells } = await swept(
      "ramlog",
      choosePairs(["mkdir"], ["error EIO"]),
    );
    expect(exhausted).toEqual(["mkdir error EIO, after a crash", "mkdir error EIO, new store"]);
    expect(cells).toEqual([]);
    expect(verdict).toBe("unknown");
    expect(reasons[0]).toContain("no rule of the sweep fired");
  });

  it("tries every n up to the calls that a trial without a fault makes, and no further", async () => {
    const { exhausted, cutShort, cells, trials, notReached } = await swept(
      "ramlog",
      choosePairs(["rename"], ["error EACCES"]),
    );
    expect(cutShort).toEqual([]);
    expect(exhausted).toHaveLength(2);
    const fired = cells.reduce((sum, cell) => sum + cell.trials, 0);
    const counting = 3;
    expect(fired).toBeGreaterThan(1);
    // An n that does not fire at first, and fires when it is tried once more, is a trial without a cell.
    const retried = trials - counting - fired - 2 * (notReached ?? []).length;
    expect(retried).toBeGreaterThanOrEqual(0);
    expect(retried).toBeLessThanOrEqual(fired);
  });

  it("says which pairs its time cut short, and at which n", async () => {
    const { cutShort, trials } = await swept("ramlog", choosePairs(["write"], ["error EIO"]), {
      seconds: 0.1,
    });
    expect(trials).toBeLessThanOrEqual(2);
    expect(cutShort.map(({ sweep }) => sweep)).toContain("write error EIO, after a crash");
  });
});
