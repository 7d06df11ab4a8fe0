/**
 * What acked must undo even if it is killed itself: its child processes, its temporary directories, its shared files.
 *
 * All of it is written down in `runs/.active/<pid>-<start time>.json` before it can matter: the run's mark before any
 * child exists, a path before it is created. Whoever starts next heals what a *dead* owner left, and nothing else.
 *
 * Guarded against: pid reuse (start times), a reboot (boot id), another pid namespace (a container on the same
 * directory: its processes look dead from here, so its record is left alone), a damaged or hostile record (only paths
 * named `acked-…` directly below a temporary directory are ever removed).
 *
 * Not guarded against: two machines that share one `runs/` directory and the same boot id and namespace number.
 */
import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { isAlive, killTreeAndWait, ownStartTime, type ProcessIdentity } from "./process-tree.ts";

const identitySchema = z.object({ pid: z.int().positive(), startTime: z.string().regex(/^\d+$/) });

const recordSchema = z.object({
  formatVersion: z.literal(1),
  owner: identitySchema,
  /** Children carry `ACKED_RUN=<runId>` in their environment. */
  runId: z.string().regex(/^[\w-]{8,64}$/),
  bootId: z.string(),
  namespace: z.string(),
  children: z.array(identitySchema),
  /** Directories and files to remove. */
  temporary: z.array(z.string()),
});

type Record = z.infer<typeof recordSchema>;

/** A record of another pid namespace that is older than this belongs to a container that is long gone. */
const foreignRecordMs = 24 * 3_600_000;

/** This process's own record. What is added is on disk when the method returns. */
export interface ActiveRecord {
  /** Unique to this record; every child carries `ACKED_RUN=<runId>`. */
  readonly runId: string;
  /** Where it is. */
  readonly path: string;
  children(): readonly ProcessIdentity[];
  addChild(child: ProcessIdentity): void;
  /** Forgets a child that is gone. Written with the next change: thousands of short-lived children come and go. */
  removeChild(child: ProcessIdentity): void;
  /**
   * Promises that this path (an `acked-…` file or directory directly below a temporary directory) will be removed.
   * Call it before creating the path.
   *
   * @throws Error when the path is not one that may ever be removed.
   */
  addTemporary(path: string): void;
  /** Removes the path now, and forgets it. */
  removeTemporary(path: string): void;
  /** Removes every temporary path and the record itself. The children must be dead. */
  close(): void;
}

/** Opens the record of this process below `runsDir`, which is created when missing. */
export function openActiveRecord(runsDir: string): ActiveRecord {
  const owner = { pid: process.pid, startTime: ownStartTime() };
  const runId = `${owner.pid}-${owner.startTime}-${randomBytes(6).toString("hex")}`;
  const directory = join(runsDir, ".active");
  // One process may hold several records (tests do), so the first gets the plain name.
  const path = freeName(directory, `${owner.pid}-${owner.startTime}`, runId);
  let record: Record = {
    formatVersion: 1,
    owner,
    runId,
    bootId: bootId(),
    namespace: namespace(),
    children: [],
    temporary: [],
  };
  const save = (changes: Partial<Record>) => {
    record = { ...record, ...changes };
    mkdirSync(directory, { recursive: true });
    writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`);
    renameSync(`${path}.new`, path);
  };
  // A record that still names what is gone does no harm (start times are compared), so a full disk must not stop a clean-up.
  const saveIfPossible = (changes: Partial<Record>) => {
    record = { ...record, ...changes };
    try {
      save({});
    } catch {
      rmSync(`${path}.new`, { force: true });
    }
  };
  save({});
  return {
    runId,
    path,
    children: () => record.children,
    addChild: (child) =>
      save({ children: [...record.children, { pid: child.pid, startTime: child.startTime }] }),
    removeChild(child) {
      const others = record.children.filter(
        (one) => one.pid !== child.pid || one.startTime !== child.startTime,
      );
      record = { ...record, children: others };
    },
    addTemporary(added) {
      if (!mayRemove(added)) {
        throw new Error(`${added} is not an acked-… path directly below a temporary directory`);
      }
      save({ temporary: [...record.temporary, resolve(added)] });
    },
    removeTemporary(removed) {
      rmSync(resolve(removed), { recursive: true, force: true });
      saveIfPossible({ temporary: record.temporary.filter((one) => one !== resolve(removed)) });
    },
    close() {
      for (const one of record.temporary) rmSync(one, { recursive: true, force: true });
      rmSync(path, { force: true });
    },
  };
}

/**
 * Undoes what dead owners left: kills their children (stopped ones too), removes their temporary directories and
 * files, deletes their records. Call it at every start, before anything else.
 *
 * @returns one sentence per thing that was healed or could not be; empty when there was nothing.
 */
export async function healLeftovers(runsDir: string): Promise<string[]> {
  const directory = join(runsDir, ".active");
  const sentences: string[] = [];
  for (const name of namesIn(directory)) {
    const path = join(directory, name);
    if (!name.endsWith(".json")) continue;
    try {
      sentences.push(...(await healRecord(path)));
    } catch (error) {
      sentences.push(`could not heal what ${path} left: ${error instanceof Error ? error.message : error}.`);
    }
  }
  return sentences;
}

async function healRecord(path: string): Promise<string[]> {
  const record = readRecord(path);
  if (record === "gone") return [];
  if (record === "unreadable") {
    renameSync(path, `${path}.unreadable`);
    return [`${path} is not a record of acked's, so it was set aside as ${basename(path)}.unreadable.`];
  }
  const sameBoot = record.bootId === bootId();
  if (sameBoot && record.namespace !== namespace()) {
    if (Date.now() - statSync(path).mtimeMs > foreignRecordMs) rmSync(path, { force: true });
    return [];
  }
  if (sameBoot && isAlive(record.owner)) return [];
  const killed = sameBoot ? await killChildren(record) : 0;
  const removed = record.temporary.filter(removeIfAllowed);
  rmSync(path, { force: true });
  return [sentenceFor(record.owner.pid, killed, removed)];
}

function sentenceFor(pid: number, killed: number, removed: readonly string[]): string {
  const done = [
    ...(killed > 0 ? [`${killed} of its processes ${killed === 1 ? "was" : "were"} killed`] : []),
    ...(removed.length > 0 ? [`${removed.join(", ")} removed`] : []),
  ];
  return `an earlier acked (pid ${pid}) ended without cleaning up: ${done.join("; ") || "nothing of it was left"}.`;
}

function killChildren(record: Record): Promise<number> {
  return killTreeAndWait({
    roots: record.children,
    mark: `ACKED_RUN=${record.runId}`,
    since: record.owner.startTime,
  });
}

function readRecord(path: string): Record | "gone" | "unreadable" {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return "gone"; // its owner, or another healer, was faster
  }
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return "unreadable";
  }
}

function removeIfAllowed(path: string): boolean {
  if (!mayRemove(path)) return false;
  const existed = namesIn(dirname(path)).includes(basename(path));
  rmSync(path, { recursive: true, force: true });
  return existed;
}

/** Only `acked-…` directly below a temporary directory. Removal does not follow symbolic links. */
function mayRemove(path: string): boolean {
  const roots = [tmpdir(), "/tmp", "/dev/shm"].map((root) => resolve(root));
  return basename(resolve(path)).startsWith("acked-") && roots.includes(dirname(resolve(path)));
}

function freeName(directory: string, plain: string, unique: string): string {
  return join(directory, `${namesIn(directory).includes(`${plain}.json`) ? unique : plain}.json`);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Changes at every boot, after which start times begin anew; empty where the system has none. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** The pid namespace: pids of another one mean nothing here. Empty where the system has none. */
function namespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}
