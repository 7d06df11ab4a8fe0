import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import type { SimulatedDisk } from "../../../stores/contract.ts";
import { shown } from "../fixtures/event-list.ts";
import { liveImage, writeImage } from "../states/crash-state.ts";
import { baseImage } from "./base-image.ts";
import { DiskModel } from "./disk-model.ts";
import { type DiskCall, ModelledDisk } from "./simulated-disk.ts";

const scratch = mkdtempSync(join(tmpdir(), "acked-disk-test-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The same calls on a real directory. */
function realDisk(root: string): SimulatedDisk {
  // A path that ends with a slash must reach the kernel with it.
  const at = (path: string) => (path === "" ? root : `${root}/${path}`);
  return {
    open: (path, flags) => openSync(at(path), flags),
    close: closeSync,
    read: (fd, bytes, offset, length, position) => readSync(fd, bytes, offset, length, position),
    write: (fd, bytes, offset, length, position) => writeSync(fd, bytes, offset, length, position),
    sync: fsyncSync,
    syncData: fdatasyncSync,
    size: (fd) => fstatSync(fd).size,
    truncate: (fd, size) => ftruncateSync(fd, size),
    readFile: (path) => readFileSync(at(path)),
    list: (path) => readdirSync(at(path)).sort(),
    exists: (path) => existsSync(at(path)),
    rename: (from, to) => renameSync(at(from), at(to)),
    link: (existing, path) => linkSync(at(existing), at(path)),
    unlink: (path) => unlinkSync(at(path)),
    makeDirectory: (path) => mkdirSync(at(path)),
  };
}

const paths = fc.constantFrom(
  "a",
  "b",
  "c",
  "sub",
  "sub/a",
  "sub/b",
  "sub/deep",
  "sub/deep/x",
  "a/b",
  "",
  "a/",
  "sub/",
  "none/a",
);
/** Not the data directory itself, which nobody renames away below itself. */
const inner = paths.filter((path) => path !== "");
const flags = fc.constantFrom("r", "r+", "w", "wx", "a", "a+", "w+");
/** Which of the descriptors opened so far. */
const descriptor = fc.nat({ max: 5 });
const position = fc.oneof(
  fc.nat({ max: 40 }),
  fc.integer({ min: 4090, max: 4100 }),
  fc.constantFrom(8192, 12_000),
);
const length = fc.oneof(fc.nat({ max: 30 }), fc.constantFrom(4096, 5000));

/** Node reads nothing without asking the kernel. */
const atLeastOne = length.map((bytes) => bytes + 1);

const call = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("open" as const), path: paths, flags }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("close" as const), descriptor }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("write" as const), descriptor, position, length }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("read" as const), descriptor, position, length: atLeastOne }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("truncate" as const), descriptor, size: position }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("sync" as const, "syncData" as const, "size" as const),
      descriptor,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "readFile" as const,
        "list" as const,
        "exists" as const,
        "unlink" as const,
        "makeDirectory" as const,
      ),
      path: paths,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom("rename" as const, "link" as const), path: inner, to: inner }),
  },
);
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

/** Runs the calls; everything each returned, or the error it threw, as text. */
function outcomes(disk: SimulatedDisk, calls: readonly Call[], root: string): string[] {
  const open: number[] = [];
  let letter = 0;
  const run = (one: Call): unknown => {
    const fd = "descriptor" in one ? (open[one.descriptor] ?? 9999) : -1;
    switch (one.do) {
      case "open":
        open.push(disk.open(one.path, one.flags));
        return "opened";
      case "close":
        return disk.close(fd);
      case "write": {
        const bytes = Buffer.alloc(one.length + 3, 97 + (letter++ % 26));
        return disk.write(fd, bytes, 3, one.length, one.position);
      }
      case "read": {
        const bytes = Buffer.alloc(one.length + 2, 1);
        return [disk.read(fd, bytes, 2, one.length, one.position), bytes.toString("latin1")];
      }
      case "truncate":
        return disk.truncate(fd, one.size);
      case "sync":
      case "syncData":
      case "size":
        return disk[one.do](fd);
      case "readFile":
        return Buffer.from(disk.readFile(one.path)).toString("latin1");
      case "list":
      case "exists":
      case "unlink":
      case "makeDirectory":
        return disk[one.do](one.path);
      case "rename":
      case "link":
        return disk[one.do](one.path, one.to);
    }
  };
  const texts = calls.map((one) => {
    try {
      // Sizes of directories are the file system's own.
      const result = one.do === "size" && isDirectory(disk, open[one.descriptor]) ? "directory" : run(one);
      return JSON.stringify(result) ?? "done";
    } catch (error) {
      return messageOf(error).replaceAll(`${root}/`, "").replaceAll(root, "");
    }
  });
  for (const fd of open) {
    try {
      disk.close(fd);
    } catch {
      // closed by a call
    }
  }
  return texts;
}

function isDirectory(disk: SimulatedDisk, fd: number | undefined): boolean {
  try {
    disk.read(fd ?? 9999, Buffer.alloc(1), 0, 1, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EISDIR";
  }
  return false;
}

function messageOf(error: unknown): string {
  return (error as Error).message;
}

/** The real directory as text, for comparison with the simulated one. */
function contents(root: string): string {
  const parts: string[] = [];
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(root.length + 1);
    parts.push(entry.isDirectory() ? `${name}/` : `${name}=${readFileSync(path).toString("latin1")}`);
  }
  return parts.sort().join("\n");
}

let runs = 0;

it("a simulated disk answers every sequence of calls as a real directory does, errors included", () => {
  fc.assert(
    fc.property(fc.array(call, { minLength: 1, maxLength: 40 }), (calls) => {
      const root = join(scratch, `real-${runs}`);
      const copy = join(scratch, `copy-${runs++}`);
      mkdirSync(root);
      mkdirSync(copy);
      const simulated = new ModelledDisk(baseImage([]));
      expect(outcomes(simulated, calls, root)).toEqual(outcomes(realDisk(root), calls, root));
      writeImage(liveImage(simulated.model), copy);
      expect(contents(copy)).toBe(contents(root));
      rmSync(root, { recursive: true });
      rmSync(copy, { recursive: true });
    }),
    { numRuns: 600, seed: 20_260_101 },
  );
});

it("what was pending before a process crash is pending after it, and a recovery's own calls join it", () => {
  const before = new ModelledDisk(baseImage([]));
  const fd = before.open("log", "w");
  before.write(fd, Buffer.from("abc"), 0, 3, 0);
  before.crash();
  expect(() => before.size(fd)).toThrow("EBADF");
  const after = new ModelledDisk(before.model.fork("happened"));
  expect(Buffer.from(after.readFile("log")).toString()).toBe("abc");
  expect(shown(liveImage(after.model))).toBe("log=a*1 b*1 c*1");
  expect(after.model.dirty.size).toBe(1);
  const again = after.open("log", "r+");
  after.sync(again);
  expect(after.model.dirty.size).toBe(0);
  expect(before.model.dirty.size).toBe(1);
});

it("every call that changes something offers a crash point in the middle of it and after it", () => {
  const seen: number[] = [];
  const disk = new ModelledDisk(new DiskModel(baseImage([])), (model) => seen.push(model.metadata.length));
  disk.open("log", "w");
  expect(seen).toEqual([1, 1]);
});

it("calls that were kept pass the same crash points and leave the same files when they are made again", () => {
  const followed = (seen: string[]) => (model: DiskModel) =>
    seen.push(`${model.event} ${model.revision} ${model.metadata.length} ${shown(liveImage(model))}`);
  fc.assert(
    fc.property(fc.array(call, { minLength: 1, maxLength: 40 }), (calls) => {
      const [before, again]: [string[], string[]] = [[], []];
      const kept: DiskCall[] = [];
      const disk = new ModelledDisk(baseImage([]), followed(before), kept);
      outcomes(disk, calls, scratch);
      const other = new ModelledDisk(baseImage([]), followed(again));
      for (const one of kept) one(other);
      expect(again).toEqual(before);
      expect(shown(liveImage(other.model))).toBe(shown(liveImage(disk.model)));
    }),
    { numRuns: 200, seed: 20_260_102 },
  );
});

it("what was written stays what it was when the store uses its buffer again before it syncs", () => {
  const disk = new ModelledDisk(baseImage([]));
  const bytes = Buffer.from("first");
  const fd = disk.open("a", "w+");
  disk.write(fd, bytes, 0, bytes.length, 0);
  bytes.fill("x");
  disk.sync(fd);
  expect(Buffer.from(disk.readFile("a")).toString()).toBe("first");
  expect(Buffer.from(new ModelledDisk(liveImage(disk.model)).readFile("a")).toString()).toBe("first");
});
