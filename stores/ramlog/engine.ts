/**
 * The engine under both faces of ramlog: state in RAM, log, snapshots, one transaction at a time.
 *
 * A transaction is: `change` once for each resulting change, then `commit`. Both are synchronous and on one thread,
 * so transactions are serial and nothing sees half of one. What may be *shown* is decided by `released` (see
 * visibility.ts); what may be shown last is everything.
 *
 * The parts below it (`Disk, Codec, Recovery, OpenLog, Visibility`) are parameters: tests and the stores with planted
 * bugs replace one of them. There is no switch for a bug in this code.
 */
import { dirname, resolve } from "node:path";
import { binaryCodec, type Codec, formatVersion } from "./codec.ts";
import {
  type Disk,
  errorCode,
  errorText,
  inDirectory,
  nodeDisk,
  removeIfThere,
  withFailStopNames,
  writeFully,
} from "./disk.ts";
import { StartRefused, StoreFailed } from "./errors.ts";
import { type HeldLock, lockDirectory } from "./lock.ts";
import { type DurabilityMode, type Log, type OpenLog, openSegmentLog } from "./log.ts";
import { origin, provenRecovery, type Recovered, type Recovery, type RecoveryReport } from "./recovery.ts";
import { formatFile, segmentId, segmentName, snapshotIndex, snapshotName, writeNewFile } from "./segments.ts";
import { SnapshotAborted, writeSnapshot } from "./snapshot.ts";
import { type Change, type Slot, type Slots, State } from "./state.ts";
import { durableOnly, type Visibility } from "./visibility.ts";

/** The parts that can be replaced. */
export interface Seams {
  readonly disk: Disk;
  readonly codec: Codec;
  readonly openLog: OpenLog;
  readonly recovery: Recovery;
  readonly visibility: Visibility;
  readonly retention: Retention;
}

/** What stays when a new snapshot is durable and has been read back; everything else may go. */
export interface Retention {
  /** Of `previous` (0: there was none) and `newest`, by log index: which snapshots stay, and the log behind what. */
  keep(
    previous: number,
    newest: number,
  ): { readonly snapshots: readonly number[]; readonly logBehind: number };
}

/** The snapshot before the newest stays, and the log behind it, should the newest be damaged some day. */
const previousStays: Retention = {
  keep: (previous, newest) =>
    previous === 0
      ? { snapshots: [newest], logBehind: 0 }
      : { snapshots: [previous, newest], logBehind: previous },
};

export const productionSeams: Seams = {
  disk: nodeDisk,
  codec: binaryCodec,
  openLog: openSegmentLog,
  recovery: provenRecovery,
  visibility: durableOnly,
  retention: previousStays,
};

export interface EngineOptions {
  readonly dir: string;
  readonly durability: DurabilityMode;
  /** Size of a log segment in bytes. */
  readonly segmentBytes: number;
  /** A snapshot is made after this many bytes of log. */
  readonly snapshotBytes: number;
  readonly seams: Seams;
  /** Who locks the directory; another process than this one only on a simulated disk. */
  readonly processId?: number;
  /** One sentence for the operator about something that did not stop the store. */
  report(sentence: string): void;
}

/** What became of a key just before an entry changed it; see `onChange`. */
export type ChangeObserver = (change: Change, before: Slot | undefined, index: number) => void;

export class Engine {
  readonly durability: DurabilityMode;
  readonly visibility: Visibility;
  readonly recovery: RecoveryReport;
  /** Called after `released` has grown. */
  onReleased: () => void = () => undefined;
  /** Called once, when the log has failed. */
  onFailed: (failure: StoreFailed) => void = () => undefined;
  /** Called before each change is applied. */
  onChange: ChangeObserver | undefined;
  /** Wall clock of the last snapshot that was verified, ms since 1970; 0 when none yet. */
  snapshotAt = 0;

  private readonly options: EngineOptions;
  private readonly state: State;
  private readonly log: Log;
  private readonly lock: HeldLock;
  private readonly segments: { id: number; firstIndex: number }[];
  private snapshots: readonly number[];
  private changes: Change[] = [];
  /** Newest entry that removed keys; what a missing key may owe its absence to. */
  private newestRemoval = 0;
  private snapshotRunning: Promise<void> | undefined;
  private bytesAtSnapshot = 0;
  private closing = false;

  constructor(options: EngineOptions, state: State, log: Log, recovered: Recovered, lock: HeldLock) {
    this.options = options;
    this.durability = options.durability;
    this.visibility = options.seams.visibility;
    this.recovery = recovered.report;
    this.state = state;
    this.log = log;
    this.lock = lock;
    this.segments = [...recovered.segments];
    this.snapshots = recovered.snapshots;
    this.newestRemoval = state.index;
    log.onReleased = () => this.onReleased();
    log.onFailed = (failure) => this.onFailed(failure);
    log.onSegment = (id, firstIndex) => this.segments.push({ id, firstIndex });
  }

  /** Index of the newest entry, released or not. */
  get lastIndex(): number {
    return this.log.lastIndex;
  }

  /** Index of the newest entry that may be acknowledged and shown. */
  get released(): number {
    return this.log.released;
  }

  get counts(): Log["counts"] {
    return this.log.counts;
  }

  get snapshotInProgress(): boolean {
    return this.snapshotRunning !== undefined;
  }

  table(name: string): Slots {
    return this.state.table(name);
  }

  /** Newest entry that what is seen at this slot (or at its absence) could come from. */
  seenAt(slot: Slot | undefined): number {
    return slot ? slot.index : this.newestRemoval;
  }

  /** Applies a change in RAM; it belongs to the entry that the next `commit` appends. */
  change(change: Change): void {
    const index = this.log.lastIndex + 1;
    if (this.onChange) this.observe(change, index);
    this.state.apply(change, index);
    if (change.kind === "delete" || change.kind === "clear") this.newestRemoval = index;
    this.changes.push(change);
  }

  /** Appends the open changes as one entry; its index, or 0 when nothing was changed. Throws `StoreFailed`. */
  commit(): number {
    if (this.changes.length === 0) return 0;
    const changes = this.changes;
    this.changes = [];
    const index = this.log.append(changes);
    this.state.index = index;
    if (this.log.counts.bytes - this.bytesAtSnapshot >= this.options.snapshotBytes) this.snapshotSoon();
    return index;
  }

  /** Resolves when everything committed so far is synced; rejects with `StoreFailed`. */
  flush(): Promise<void> {
    return this.log.flush();
  }

  /** Makes a snapshot now. Rejects when it could not be made; the store goes on with its log. */
  async snapshot(): Promise<void> {
    while (this.snapshotRunning) await this.snapshotRunning.catch(() => undefined);
    this.bytesAtSnapshot = this.log.counts.bytes;
    this.snapshotRunning = this.makeSnapshot();
    try {
      await this.snapshotRunning;
    } finally {
      this.snapshotRunning = undefined;
    }
  }

  /** Syncs everything, ends the log and gives the directory free. Never leaves the lock behind. */
  async close(): Promise<void> {
    this.closing = true;
    await this.snapshotRunning?.catch(() => undefined);
    try {
      if (this.durability.mode === "none") await this.finalSnapshot();
      await this.log.close();
    } finally {
      await this.lock.release();
    }
  }

  private async finalSnapshot(): Promise<void> {
    this.closing = false;
    try {
      if (this.snapshots.at(-1) !== this.state.index) await this.snapshot();
    } catch (error) {
      throw new StoreFailed(
        `the closing snapshot could not be made (${errorText(error)}): everything since the one before is lost`,
        { cause: error },
      );
    }
  }

  private observe(change: Change, index: number): void {
    const before = change.kind === "clear" ? undefined : this.state.table(change.table).get(change.key);
    this.onChange?.(change, before, index);
  }

  /** Begins a snapshot unless one is being made; a failure is reported and changes nothing else. */
  snapshotSoon(): void {
    if (this.snapshotRunning || this.closing) return;
    this.snapshot().catch((error) => {
      if (error instanceof SnapshotAborted || error instanceof StoreFailed) return;
      this.options.report(
        `a snapshot could not be made (${errorText(error)}); it is abandoned, every log segment is kept, and the store goes on`,
      );
    });
  }

  private async makeSnapshot(): Promise<void> {
    // Not in the middle of a transaction: its entry has no index yet.
    await Promise.resolve();
    const frozen = this.state.freeze();
    const { seams, dir } = this.options;
    if (frozen.index === this.snapshots.at(-1)) {
      // Nothing has changed since: the same name would replace the good file, and push out the one before it.
      frozen.release();
      this.snapshotAt = Date.now();
      return;
    }
    try {
      await writeSnapshot(
        { ...seams, dir },
        frozen,
        () => this.log.flush(),
        () => this.closing,
      );
    } finally {
      frozen.release();
    }
    this.snapshotAt = Date.now();
    await this.retire(frozen.index);
  }

  /** After a snapshot was read back: what is not needed any more goes, segments to the log if it wants them. */
  private async retire(index: number): Promise<void> {
    const { snapshots, logBehind } = this.options.seams.retention.keep(this.snapshots.at(-1) ?? 0, index);
    const removed = this.snapshots.filter((one) => !snapshots.includes(one)).map(snapshotName);
    this.snapshots = snapshots;
    while (this.segments.length > 1 && this.segments[1]!.firstIndex <= logBehind + 1) {
      const { id } = this.segments.shift()!;
      if (!this.log.reuse(id)) removed.push(segmentName(id));
    }
    const { disk } = this.options.seams;
    try {
      for (const name of removed) await removeIfThere(disk, inDirectory(this.options.dir, name));
    } catch (error) {
      this.options.report(`what a snapshot made superfluous could not be removed (${errorText(error)})`);
    }
  }
}

/**
 * Opens a data directory: locks it, recovers it, makes durable what was recovered, and only then returns.
 *
 * @throws StartRefused when another process has it, when it is damaged, or when it cannot be written.
 */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const dir = resolve(options.dir);
  const disk = withFailStopNames(options.seams.disk);
  const settled = { ...options, dir, seams: { ...options.seams, disk } };
  await prepareDirectory(withFailStopNames(options.seams.disk), dir);
  const lock = await lockDirectory(disk, dir, options.processId);
  try {
    return await openLocked(settled, lock);
  } catch (error) {
    await lock.release().catch(() => undefined);
    if (error instanceof StartRefused) throw error;
    throw new StartRefused(`${dir} could not be opened: ${errorText(error)}`, { cause: error });
  }
}

async function openLocked(options: EngineOptions, lock: HeldLock): Promise<Engine> {
  const { dir, seams } = options;
  const format = await checkFormat(seams.disk, dir);
  const state = new State();
  const recovered = await seams.recovery.recover({ disk: seams.disk, codec: seams.codec, dir, sink: state });
  if (format === "none" && (state.index > 0 || recovered.report.cut)) {
    throw new StartRefused(`${dir} holds a log but no file "${formatFile}"; restore it from a copy`);
  }
  const start = await settle(options, recovered, state);
  const log = await seams.openLog({
    disk: seams.disk,
    codec: seams.codec,
    dir,
    durability: options.durability,
    segmentBytes: options.segmentBytes,
    after: start.proven,
    tail: start.tail,
    segment: start.nextSegment,
    report: (sentence) => options.report(sentence),
  });
  if (format !== "current") await writeFormat(seams.disk, dir);
  for (const name of start.obsolete) await removeIfThere(seams.disk, inDirectory(dir, name));
  const engine = new Engine(options, state, log, start, lock);
  if (options.durability.mode !== "none") log.onSegment(start.nextSegment, start.proven.index + 1);
  return engine;
}

/** Where the log goes on: behind what was proven, or behind a snapshot made first. */
async function settle(options: EngineOptions, recovered: Recovered, state: State): Promise<Recovered> {
  const none = options.durability.mode === "none" && recovered.snapshots.at(-1) !== state.index;
  if (!none && !recovered.snapshotFirst) return recovered;
  const frozen = state.freeze();
  try {
    const never = () => false;
    await writeSnapshot({ ...options.seams, dir: options.dir }, frozen, async () => undefined, never);
  } finally {
    frozen.release();
  }
  return {
    ...recovered,
    proven: { position: origin, index: state.index },
    tail: [],
    snapshots: [...recovered.snapshots.filter((index) => index < state.index), state.index],
    obsolete: recovered.obsolete.filter((name) => name !== snapshotName(state.index)),
  };
}

async function prepareDirectory(disk: Disk, dir: string): Promise<void> {
  try {
    const names = await disk.list(dir).catch((error) => {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    });
    if (!names) await makeDirectories(disk, dir);
    else if (!names.includes(formatFile)) await syncNameOf(disk, dir);
  } catch (error) {
    if (errorCode(error) === "ENOTDIR") throw new StartRefused(`${dir} is not a directory`);
    throw new StartRefused(`${dir} cannot be used as a data directory: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/**
 * Before the first use of a directory that is there: a start that was killed may have made it, and not its name durable.
 * Where others let us use a directory and not look at the one above it, the name is theirs to keep.
 */
async function syncNameOf(disk: Disk, dir: string): Promise<void> {
  try {
    await disk.syncDirectory(dirname(dir));
  } catch (error) {
    if (errorCode(error) !== "EACCES") throw error;
  }
}

/** Makes the directory and what is missing above it, each name durable. */
async function makeDirectories(disk: Disk, dir: string): Promise<void> {
  const parent = dirname(dir);
  try {
    await disk.makeDirectory(dir);
  } catch (error) {
    if (errorCode(error) !== "ENOENT" || parent === dir) throw error;
    await disk.list(parent).catch(() => makeDirectories(disk, parent));
    await disk.makeDirectory(dir);
  }
  await disk.syncDirectory(parent);
}

/**
 * The format is written last: a directory that has it was complete once, and one without it has never been served from,
 * so that its log is empty.
 */
async function checkFormat(disk: Disk, dir: string): Promise<"none" | "older" | "current"> {
  const names = await disk.list(dir);
  const data = names.filter((name) => segmentId(name) !== undefined || snapshotIndex(name) !== undefined);
  if (!names.includes(formatFile)) return "none";
  const text = (await disk.readFile(inDirectory(dir, formatFile))).toString("latin1");
  const version = /^acked ramlog (\d+)\n$/.exec(text)?.[1];
  if (version === undefined) {
    throw new StartRefused(
      `${inDirectory(dir, formatFile)} is damaged: it does not name a format; restore it from a copy`,
    );
  }
  if (Number(version) > formatVersion) {
    throw new StartRefused(
      `${dir} was written in format ${version} by a newer ramlog; this one reads format ${formatVersion}. Use the newer version`,
    );
  }
  if (data.length === 0) {
    throw new StartRefused(
      `${dir} has lost its log: there is neither a segment nor a snapshot; restore it from a copy`,
    );
  }
  return Number(version) < formatVersion ? "older" : "current";
}

async function writeFormat(disk: Disk, dir: string): Promise<void> {
  await writeNewFile(disk, inDirectory(dir, formatFile), (fd) =>
    writeFully(disk, fd, Buffer.from(`acked ramlog ${formatVersion}\n`), 0),
  );
  await disk.syncDirectory(dir);
}
