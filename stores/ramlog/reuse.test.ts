import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { binaryCodec } from "./codec.ts";
import { type Disk, nodeDisk } from "./disk.ts";
import { StartRefused } from "./errors.ts";
import {
  applyStep,
  crashCopy,
  openTestEngine,
  type Recorded,
  recoverOnly,
  remove,
  temporaryDirectory,
} from "./fixtures/model.ts";
import { segmentId, segmentName } from "./segments.ts";

const directories: string[] = [];
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close().catch(() => undefined);
  for (const dir of directories.splice(0)) remove(dir);
});

interface Running extends Recorded {
  readonly dir: string;
  /** The old and new ids of segments that were reused, and what the file held then. */
  readonly reused: { from: number; to: number; held: Buffer }[];
  write(bytes: number): Promise<void>;
}

/** A store with segments of two pages, whose reuses are seen. */
async function running(replace: Partial<Disk> = {}): Promise<Running> {
  const dir = temporaryDirectory();
  directories.push(dir);
  const reused: Running["reused"] = [];
  const disk: Disk = {
    ...nodeDisk,
    rename: async (from, to) => {
      const ids = [segmentId(basename(from)), segmentId(basename(to))] as const;
      if (ids[0] !== undefined && ids[1] !== undefined) {
        reused.push({ from: ids[0], to: ids[1], held: readFileSync(from) });
      }
      await nodeDisk.rename(from, to);
    },
    ...replace,
  };
  const engine = await openTestEngine(dir, { segmentBytes: 8192, replace: { disk } });
  closing.push(() => engine.close());
  const recorded: Recorded = { engine, states: [{}] };
  let n = 0;
  return {
    ...recorded,
    dir,
    reused,
    async write(bytes) {
      n += 1;
      applyStep(recorded, [{ kind: "put", key: `k${n % 5}`, value: `${n}:${"v".repeat(bytes)}` }]);
      await engine.flush();
    },
  };
}

/** Writes until a reused segment is in use and holds some batches, in its first and its second page. */
async function untilReusedIsInUse(store: Running): Promise<number> {
  for (let n = 1; n < 2000; n += 1) {
    await store.write(150);
    if (n % 60 === 0) await store.engine.snapshot();
    const newest = newestInUse(store.dir);
    const end = endOfLog(join(store.dir, segmentName(newest)), newest);
    if (store.reused.some(({ to }) => to === newest) && end > 5000) return newest;
  }
  throw new Error("no segment was reused");
}

function newestInUse(dir: string): number {
  const ids = readdirSync(dir)
    .map(segmentId)
    .filter((id) => id !== undefined);
  return ids.findLast((id) => {
    const header = binaryCodec.readSegmentHeader(readFileSync(join(dir, segmentName(id))).subarray(0, 64));
    return typeof header === "object" && header.id === id;
  })!;
}

function endOfLog(path: string, id: number): number {
  const bytes = readFileSync(path);
  let offset = 64;
  for (;;) {
    const read = binaryCodec.readBatch(bytes, offset, id);
    if (read.kind !== "batch") return offset;
    offset = read.end;
  }
}

function copyOf(dir: string): string {
  directories.push(crashCopy(dir));
  return directories.at(-1)!;
}

describe("a segment that nobody needs any more", () => {
  test("becomes a later one by a rename, its directory synced before anything is written to it", async () => {
    const order: string[] = [];
    let reused: Running["reused"] = [];
    const store = await running({
      syncDirectory: async (dir) => {
        const { length } = reused;
        await nodeDisk.syncDirectory(dir);
        order.push(`synced ${length}`);
      },
      writeNow: (fd, bytes, offset, length, position) => {
        if (position === 0) order.push(`begins ${bytes.readUInt32LE(16)}`);
        return nodeDisk.writeNow(fd, bytes, offset, length, position);
      },
    });
    reused = store.reused;
    const id = await untilReusedIsInUse(store);
    const place = store.reused.findIndex(({ to }) => to === id);
    expect(store.reused[place]!.from).toBeLessThan(id);
    expect(readdirSync(store.dir)).not.toContain(segmentName(store.reused[place]!.from));
    expect(order.indexOf(`synced ${place + 1}`)).toBeGreaterThanOrEqual(0);
    expect(order.indexOf(`begins ${id}`)).toBeGreaterThan(order.indexOf(`synced ${place + 1}`));
  });

  test("is read to its end, and what it held before is no tail and no damage", async () => {
    const store = await running();
    const id = await untilReusedIsInUse(store);
    const copy = copyOf(store.dir);
    const path = join(copy, segmentName(id));
    const behind = readFileSync(path).subarray(endOfLog(path, id));
    expect(behind.some((byte) => byte !== 0)).toBe(true);
    const { contents, recovered } = await recoverOnly(copy);
    expect(contents).toEqual(store.states.at(-1));
    expect(recovered.report.cut).toBeNull();
    expect(recovered.report.discarded).toEqual([]);
  });

  test("torn at any byte, so that what it held before is there again, ends with the last whole batch", async () => {
    const store = await running();
    const id = await untilReusedIsInUse(store);
    const { held } = store.reused.find(({ to }) => to === id)!;
    const copy = copyOf(store.dir);
    const path = join(copy, segmentName(id));
    const whole = readFileSync(path);
    const end = endOfLog(path, id);
    const lastBatch = whole.lastIndexOf("RLB1", end - 1);
    for (let at = lastBatch; at <= end; at += 1) {
      const torn = Buffer.from(held);
      whole.copy(torn, 0, 0, at);
      writeFileSync(path, torn);
      const { index, contents, recovered } = await recoverOnly(copy);
      expect(contents).toEqual(store.states[index]);
      expect(index).toBe(store.states.length - (at < end ? 2 : 1));
      if (at > lastBatch && at < end) expect(recovered.report.cut).toMatchObject({ offset: lastBatch });
    }
  });

  test("holding one page of its new and one of its old content, it gives a prefix or refuses with the reason", async () => {
    const store = await running();
    const id = await untilReusedIsInUse(store);
    const { held } = store.reused.find(({ to }) => to === id)!;
    const copy = copyOf(store.dir);
    const path = join(copy, segmentName(id));
    const whole = readFileSync(path);
    // The second page is old: batches that were synced, as nothing in the first page claims.
    writeFileSync(path, Buffer.concat([whole.subarray(0, 4096), held.subarray(4096)]));
    const cut = await recoverOnly(copy);
    expect(cut.contents).toEqual(store.states[cut.index]);
    expect(cut.recovered.report.cut).toMatchObject({ file: segmentName(id) });
    // The first page is old: the second claims what was in it.
    writeFileSync(path, Buffer.concat([held.subarray(0, 4096), whole.subarray(4096)]));
    await expect(recoverOnly(copy)).rejects.toThrow(/is damaged at offset 0: .*had been synced/);
  });

  test("renamed and not yet written to, it is no part of the log, and goes", async () => {
    const store = await running();
    await untilReusedIsInUse(store);
    const copy = copyOf(store.dir);
    const spare = readdirSync(copy).findLast((name) => segmentId(name) !== undefined)!;
    const { from, held } = store.reused.at(-1)!;
    expect(from).toBeLessThan(segmentId(spare)!);
    writeFileSync(join(copy, spare), held);
    const { contents, recovered } = await recoverOnly(copy);
    expect(contents).toEqual(store.states.at(-1));
    expect(recovered.report).toMatchObject({ cut: null, discarded: [] });
    expect(recovered.obsolete).toContain(spare);
  });

  test("of another size is removed instead", async () => {
    const store = await running();
    await store.write(20_000);
    for (let n = 1; n < 300; n += 1) {
      await store.write(150);
      if (n % 60 === 0) await store.engine.snapshot();
    }
    expect(store.reused.length).toBeGreaterThan(0);
    for (const { held } of store.reused) expect(held.length).toBe(8192);
    expect((await recoverOnly(copyOf(store.dir))).contents).toEqual(store.states.at(-1));
  });

  test("that cannot be renamed is made up for by a new one", async () => {
    const said: string[] = [];
    const dir = temporaryDirectory();
    directories.push(dir);
    let failures = 0;
    const disk: Disk = {
      ...nodeDisk,
      rename: async (from, to) => {
        if (!from.endsWith(".log")) return nodeDisk.rename(from, to);
        failures += 1;
        throw Object.assign(new Error("EIO: i/o error, rename"), { code: "EIO" });
      },
    };
    const report = (sentence: string) => said.push(sentence);
    const engine = await openTestEngine(dir, { segmentBytes: 8192, replace: { disk }, report });
    closing.push(() => engine.close());
    const recorded: Recorded = { engine, states: [{}] };
    for (let n = 1; n < 400; n += 1) {
      applyStep(recorded, [{ kind: "put", key: `k${n % 5}`, value: `${n}:${"v".repeat(150)}` }]);
      await engine.flush();
      if (n % 60 === 0) await engine.snapshot();
    }
    expect(failures).toBeGreaterThan(0);
    expect(said.filter((sentence) => /could not be prepared \(EIO/.test(sentence))).toHaveLength(failures);
    expect((await recoverOnly(copyOf(dir))).contents).toEqual(recorded.states.at(-1));
  });
});

describe("files that were exchanged are told from a reused segment", () => {
  async function swapped(pick: (ids: readonly number[], newest: number) => [number, number]) {
    const store = await running();
    const newest = await untilReusedIsInUse(store);
    const copy = copyOf(store.dir);
    const ids = readdirSync(copy)
      .map(segmentId)
      .filter((id) => id !== undefined);
    const [one, other] = pick(ids, newest).map((id) => join(copy, segmentName(id))) as [string, string];
    renameSync(one, `${one}.aside`);
    renameSync(other, one);
    renameSync(`${one}.aside`, other);
    return copy;
  }

  test("the segment in use and the spare one", async () => {
    const copy = await swapped((ids, newest) => [newest, ids.at(-1)!]);
    await expect(recoverOnly(copy)).rejects.toThrow(/files were exchanged/);
  });

  test("two segments of the chain", async () => {
    const copy = await swapped((ids, newest) => [newest, ids[ids.indexOf(newest) - 1]!]);
    await expect(recoverOnly(copy)).rejects.toThrow(/files were exchanged/);
  });

  test("the segment in use under the spare's name, its own gone", async () => {
    const store = await running();
    const newest = await untilReusedIsInUse(store);
    const copy = copyOf(store.dir);
    const spare = readdirSync(copy).findLast((name) => segmentId(name) !== undefined)!;
    renameSync(join(copy, segmentName(newest)), join(copy, spare));
    await expect(recoverOnly(copy)).rejects.toThrow(StartRefused);
    rmSync(join(copy, spare));
  });
});

test("whatever is written and whenever it crashes, with segments reused and snapshots made, a prefix comes back", async () => {
  const run = fc.record({
    sizes: fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 80, maxLength: 160 }),
    snapshotEvery: fc.integer({ min: 8, max: 40 }),
    crashAt: fc.nat(159),
    flushEvery: fc.integer({ min: 1, max: 9 }),
  });
  let reuses = 0;
  await fc.assert(
    fc.asyncProperty(run, async ({ sizes, snapshotEvery, crashAt, flushEvery }) => {
      const store = await running();
      let copy = "";
      let acknowledged = 0;
      for (const [n, size] of sizes.entries()) {
        applyStep(store, [{ kind: "put", key: `k${n % 7}`, value: `${n}:${"v".repeat(size)}` }]);
        if (n % flushEvery === 0) await store.engine.flush();
        else await new Promise(setImmediate);
        if (n % snapshotEvery === snapshotEvery - 1) await store.engine.snapshot();
        if (n !== crashAt % sizes.length) continue;
        acknowledged = store.engine.released;
        copy = copyOf(store.dir);
      }
      reuses += store.reused.length;
      await store.engine.close();
      const first = await recoverOnly(copy);
      expect(first.index).toBeGreaterThanOrEqual(acknowledged);
      expect(first.contents).toEqual(store.states[first.index]);
      expect(first.recovered.report.cut).toBeNull();
      const again = await openTestEngine(copy, { segmentBytes: 8192 });
      await again.close();
      expect((await recoverOnly(copy)).contents).toEqual(first.contents);
      expect((await recoverOnly(store.dir)).contents).toEqual(store.states.at(-1));
    }),
    { numRuns: 12, seed: 20261124 },
  );
  expect(reuses).toBeGreaterThan(20);
});
