import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { type Disk, nodeDisk } from "./disk.ts";
import { StartRefused } from "./errors.ts";
import {
  applyStep,
  type Contents,
  crashCopy,
  openTestEngine,
  type Recorded,
  recoverOnly,
  remove,
  type Step,
  steps,
  temporaryDirectory,
} from "./fixtures/model.ts";

const directories: string[] = [];

function directory(): string {
  directories.push(temporaryDirectory());
  return directories.at(-1)!;
}

afterEach(() => {
  for (const dir of directories.splice(0)) remove(dir);
});

const oneStep: Step = [
  { kind: "put", key: "a", value: "value-1" },
  { kind: "push-right", key: "b", value: "element" },
];

/** A directory with `entries` entries, one batch each, and the state after every entry. */
async function smallLog(
  entries: number,
  end: "crash" | "close",
): Promise<{ dir: string; states: Contents[] }> {
  const dir = directory();
  const recorded: Recorded = { engine: await openTestEngine(dir), states: [{}] };
  for (let i = 0; i < entries; i += 1) {
    applyStep(recorded, i % 3 === 2 ? [{ kind: "delete", key: "a", value: "" }] : oneStep);
    await recorded.engine.flush();
  }
  const copy = end === "crash" ? crashCopy(dir) : "";
  await recorded.engine.close();
  if (copy) directories.push(copy);
  return { dir: copy || dir, states: recorded.states };
}

function usedSegment(dir: string): string {
  const used = readdirSync(dir).filter(
    (name) => name.startsWith("segment-") && readFileSync(join(dir, name)).some((byte) => byte !== 0),
  );
  expect(used).toHaveLength(1);
  return join(dir, used[0]!);
}

describe("recovery", () => {
  test("whatever the moment of the crash, a prefix comes back that holds everything acknowledged", async () => {
    const crashAt = fc.nat(30);
    await fc.assert(
      fc.asyncProperty(steps, crashAt, fc.nat(3), fc.boolean(), async (all, crashStep, pauses, snapshots) => {
        const dir = directory();
        const options = snapshots ? { snapshotBytes: 400 } : {};
        const recorded: Recorded = { engine: await openTestEngine(dir, options), states: [{}] };
        let copy: string | undefined;
        let acknowledged = 0;
        for (const [i, step] of all.entries()) {
          applyStep(recorded, step);
          for (let pause = 0; pause < pauses; pause += 1) await new Promise(setImmediate);
          if (i !== crashStep % all.length) continue;
          acknowledged = recorded.engine.released;
          copy = crashCopy(dir);
        }
        await recorded.engine.close();
        directories.push(copy!);
        const first = await recoverOnly(copy!);
        expect(first.index).toBeGreaterThanOrEqual(acknowledged);
        expect(first.contents).toEqual(recorded.states[first.index]);
        expect(first.recovered.report.cut).toBeNull();

        const again = await openTestEngine(copy!);
        const twice = { engine: again, states: recorded.states.slice(0, first.index + 1) };
        applyStep(twice, oneStep);
        await again.flush();
        await again.close();
        const last = await recoverOnly(copy!);
        expect(last.contents).toEqual(twice.states.at(-1));
      }),
      { numRuns: 40, seed: 20261123 },
    );
  });

  test("a tail torn at any byte is cut to the last whole batch, and reported", async () => {
    const { dir, states } = await smallLog(6, "crash");
    const path = usedSegment(dir);
    const whole = readFileSync(path);
    let end = whole.length;
    while (whole[end - 1] === 0) end -= 1;
    let lastIndex = 0;
    for (let at = 64; at <= end; at += 1) {
      const torn = Buffer.from(whole);
      torn.fill(0, at);
      writeFileSync(path, torn);
      const { index, contents, recovered } = await recoverOnly(dir);
      expect(contents).toEqual(states[index]);
      expect(index).toBeGreaterThanOrEqual(lastIndex);
      lastIndex = index;
      const { cut } = recovered.report;
      if (cut) expect(cut.offset).toBeLessThan(at);
    }
    expect(lastIndex).toBe(6);
  });

  test("a file that was truncated is reported, wherever it ends", async () => {
    const { dir, states } = await smallLog(4, "crash");
    const path = usedSegment(dir);
    const whole = readFileSync(path);
    for (let at = 64; at < whole.length; at += 7) {
      writeFileSync(path, whole.subarray(0, at));
      const { index, contents, recovered } = await recoverOnly(dir);
      expect(contents).toEqual(states[index]);
      expect(recovered.report.cut).not.toBeNull();
    }
  });

  test.each(["crash", "close"] as const)(
    "after a %s, a flipped bit anywhere is refused, or reported, or harmless; never wrong data",
    async (ending) => {
      const { dir, states } = await smallLog(6, ending);
      const path = usedSegment(dir);
      const whole = readFileSync(path);
      const outcomes = { refused: 0, cut: 0, harmless: 0 };
      for (let at = 0; at < 1200; at += 1) {
        const flipped = Buffer.from(whole);
        flipped[at]! ^= 1 << (at % 8);
        writeFileSync(path, flipped);
        try {
          const { index, contents, recovered } = await recoverOnly(dir);
          expect(contents).toEqual(states[index]);
          if (index < 6) expect(recovered.report.cut).not.toBeNull();
          outcomes[recovered.report.cut ? "cut" : "harmless"] += 1;
        } catch (error) {
          expect(error).toBeInstanceOf(StartRefused);
          expect((error as Error).message).toMatch(/segment-\d+\.log is damaged at offset \d+.*Restore/);
          outcomes.refused += 1;
        }
      }
      expect(outcomes.refused).toBeGreaterThan(300);
      expect(outcomes.harmless).toBe(0);
      if (ending === "close") expect(outcomes.refused).toBeGreaterThan(outcomes.cut / 2);
    },
  );

  test("after a clean close, damage to any batch is refused: the end was marked as synced", async () => {
    const { dir } = await smallLog(3, "close");
    const path = usedSegment(dir);
    const whole = readFileSync(path);
    const lastBatch = whole.lastIndexOf("RLB1", whole.lastIndexOf("RLB1") - 1);
    whole[lastBatch + 40]! ^= 1;
    writeFileSync(path, whole);
    await expect(recoverOnly(dir)).rejects.toThrow(/had been synced/);
  });

  test("stale batches behind a cut never come back, whatever is written afterwards", async () => {
    const { dir, states } = await smallLog(5, "crash");
    const path = usedSegment(dir);
    const whole = readFileSync(path);
    const torn = Buffer.from(whole);
    const last = whole.lastIndexOf("RLB1");
    torn.fill(0, last, last + 8);
    writeFileSync(path, torn);
    const engine = await openTestEngine(dir);
    const recorded: Recorded = { engine, states: states.slice(0, 5) };
    applyStep(recorded, [{ kind: "put", key: "new", value: "x" }]);
    await engine.close();
    // The page that was missing shows up again.
    if (readdirSync(dir).includes(path.split("/").at(-1)!)) writeFileSync(path, whole);
    expect((await recoverOnly(dir)).contents).toEqual(recorded.states.at(-1));
  });

  test.each(["always", "none"] as const)(
    "interrupted at any of its own disk operations (opening in mode %s), it recovers the next time",
    async (mode) => {
      const { dir, states } = await smallLog(6, "crash");
      let attempts = 0;
      for (let opened = false; !opened; attempts += 1) {
        const copy = crashCopy(dir);
        directories.push(copy);
        let left = attempts;
        const disk = diskThatDies(() => left-- <= 0);
        try {
          const engine = await openTestEngine(copy, { replace: { disk }, durability: { mode } });
          opened = left >= 0;
          left = Number.POSITIVE_INFINITY;
          await engine.close();
        } catch (error) {
          expect(error).toBeInstanceOf(StartRefused);
        }
        const after = crashCopy(copy);
        directories.push(after);
        expect((await recoverOnly(after)).contents).toEqual(states.at(-1));
        const again = await openTestEngine(after);
        await again.close();
        expect((await recoverOnly(after)).contents).toEqual(states.at(-1));
      }
      expect(attempts).toBeGreaterThan(8);
    },
  );
});

/** A disk on which, from the moment `dead` says so, nothing is changed any more: as after SIGKILL. */
function diskThatDies(dead: () => boolean): Disk {
  const changing = ["write", "sync", "rename", "unlink", "link", "syncDirectory"] as const;
  const guarded = changing.map((name) => [
    name,
    async (...args: never[]) => {
      if (dead()) throw Object.assign(new Error(`EIO: dead before ${name}`), { code: "EIO" });
      return (nodeDisk[name] as (...all: never[]) => unknown)(...args);
    },
  ]);
  return { ...nodeDisk, ...Object.fromEntries(guarded) };
}
