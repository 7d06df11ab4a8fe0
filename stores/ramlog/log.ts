/**
 * The log: entries are appended in RAM, and one *commit* writes and syncs all that have come together meanwhile (group
 * commit): everything of one turn of the event loop, and everything that arrived while a sync was under way.
 *
 * `released` is the newest entry that may be acknowledged and shown:
 * - `always`: synced. - `interval`: written; a sync follows within the interval, and when one overruns it, nothing
 *   more is released until the next has begun. - `none`: appended; nothing is written here at all.
 *
 * Fail-stop: after the first failed write or sync nothing more is written, synced or released, ever. A short write is
 * completed; EINTR is not a failure. From the first entry on, the next segment is prepared in the background, out of one
 * that nobody needs any more if there is one; a segment that is not ready when it is needed is waited for, and only one
 * that cannot be had then is a failure.
 *
 * Behind each batch, in the same write, stand zeros: so the log ends in zeros also where a segment is reused.
 *
 * While syncs have lately taken less than ~150 µs the commit blocks the event loop for them, which is faster than a
 * thread hop; on a slower disk they run on another thread and commands go on.
 */
import {
  ByteWriter,
  batchHeaderBytes,
  type Codec,
  type LogPosition,
  type SegmentHeader,
  segmentHeaderBytes,
} from "./codec.ts";
import { type Disk, errorText, inDirectory, wasInterrupted } from "./disk.ts";
import { StoreFailed } from "./errors.ts";
import { NextSegment } from "./next-segment.ts";
import { createSegment, segmentName } from "./segments.ts";
import type { Change } from "./state.ts";

export type DurabilityMode =
  | { readonly mode: "always" }
  | { readonly mode: "interval"; readonly intervalMs: number }
  | { readonly mode: "none" };

export interface LogOptions {
  readonly disk: Disk;
  readonly codec: Codec;
  readonly dir: string;
  readonly durability: DurabilityMode;
  /** Size of a segment in bytes. */
  readonly segmentBytes: number;
  /** Where the log continues, the entries to write again behind that place, and the new segment's id. */
  readonly after: { readonly position: LogPosition; readonly index: number };
  readonly tail: readonly (readonly Change[])[];
  readonly segment: number;
  /** One sentence for the operator about something that did not stop the store. */
  report(sentence: string): void;
}

export interface LogCounts {
  readonly syncs: number;
  readonly batches: number;
  readonly entries: number;
  /** Bytes of batches written. */
  readonly bytes: number;
}

export interface Log {
  /** Index of the newest entry appended. */
  readonly lastIndex: number;
  /** Index of the newest entry that may be acknowledged and shown. */
  readonly released: number;
  readonly counts: LogCounts;
  /** Called after `released` has grown; set by the owner. */
  onReleased: () => void;
  /** Called once, with a sentence; set by the owner. */
  onFailed: (failure: StoreFailed) => void;
  /** Called when a new segment has begun: its id and first entry. */
  onSegment: (id: number, firstIndex: number) => void;
  /** Takes over a segment that nobody needs, for reuse. False: it is not wanted, and the caller may remove it. */
  reuse(id: number): boolean;
  /** Appends one entry and returns its index. Throws `StoreFailed` after a failure. */
  append(changes: readonly Change[]): number;
  /** Resolves when everything appended so far is synced (mode `none`: at once); rejects with `StoreFailed`. */
  flush(): Promise<void>;
  /** Syncs everything, marks the end as synced and closes. After a failure it only closes. */
  close(): Promise<void>;
}

export type OpenLog = (options: LogOptions) => Promise<Log>;

/** Recent syncs faster than this, in ms, are done on the main thread. */
const blockingSyncMs = 0.15;
/**
 * A sync measured on another thread includes the hop and whatever the event loop was doing when it ended, so it does
 * not show that the disk has become fast. Now and then one is made on the main thread to find out.
 */
const probeEvery = 256;
/** What a batch is collected in has this many bytes at first, and again after a very large batch. */
const outBytes = 1 << 18;
/** A commit is made before the turn ends when this much has come together, in bytes. */
const batchBytesMax = 8 << 20;
/** In front of a batch there is room for a segment header, so that both are one write. */
const batchStart = segmentHeaderBytes;

/** The log of numbered segments in a directory. */
export const openSegmentLog: OpenLog = async (options) => {
  const log = new SegmentLog(options);
  await log.begin(options.tail);
  return log;
};

interface Waiter {
  readonly index: number;
  readonly resolve: () => void;
  readonly reject: (failure: StoreFailed) => void;
}

class SegmentLog implements Log {
  lastIndex: number;
  released: number;
  onReleased: () => void = () => undefined;
  onFailed: (failure: StoreFailed) => void = () => undefined;
  onSegment: (id: number, firstIndex: number) => void = () => undefined;
  readonly counts = { syncs: 0, batches: 0, entries: 0, bytes: 0 };

  private readonly options: LogOptions;
  private readonly out: ByteWriter;
  private entries = 0;
  private failure: StoreFailed | undefined;
  private closed = false;

  private fd = -1;
  private segment: number;
  /** End of the last batch written. */
  private end: LogPosition;
  /** Offset in the current segment up to which it is known synced. */
  private syncedOffset = 0;
  private writtenIndex: number;
  private syncedIndex: number;

  private commitPlanned = false;
  /** A commit is under way that later ones must wait for. */
  private busy = false;
  private syncing = false;
  private recentSyncMs = 0;
  private syncsElsewhere = 0;
  private intervalTimer: NodeJS.Timeout | undefined;
  /** `performance.now()` of the oldest write that no begun sync covers; `undefined` when there is none. */
  private uncoveredSince: number | undefined;
  private readonly next: NextSegment;
  private readonly waiters: Waiter[] = [];

  constructor(options: LogOptions) {
    this.options = options;
    this.out = new ByteWriter(Math.min(outBytes, options.segmentBytes), batchStart + batchHeaderBytes);
    this.next = new NextSegment(options);
    this.segment = options.segment;
    this.end = options.after.position;
    this.lastIndex = options.after.index + options.tail.length;
    this.writtenIndex = this.lastIndex;
    this.syncedIndex = this.lastIndex;
    this.released = this.lastIndex;
  }

  /** Makes the first segment: what was recovered behind the proven position, durable before anything is served. */
  async begin(tail: readonly (readonly Change[])[]): Promise<void> {
    const { disk, codec, dir, durability, segmentBytes, after } = this.options;
    if (durability.mode === "none") return;
    this.out.length = batchStart + batchHeaderBytes;
    for (const changes of tail) codec.writeEntry(this.out, changes);
    let end = batchStart;
    let sum = after.position.checksum;
    if (tail.length > 0) {
      end = this.out.length;
      sum = codec.sealBatch(this.out.bytes, batchStart, end, {
        segment: this.segment,
        previous: sum,
        firstIndex: after.index + 1,
        entries: tail.length,
        synced: segmentHeaderBytes,
      });
    }
    const size = Math.max(segmentBytes, end);
    codec.writeSegmentHeader(this.out.bytes, 0, {
      id: this.segment,
      previous: after.position,
      firstIndex: after.index + 1,
      synced: end,
      size,
      reused: false,
    });
    // With as many of the zeros behind it as there is room for: one write for a small segment.
    const { bytes } = this.out;
    const content = bytes.subarray(0, Math.min(bytes.length, size)).fill(0, end);
    await createSegment(disk, dir, this.segment, size, content);
    this.fd = await disk.open(inDirectory(dir, segmentName(this.segment)), "write");
    this.end = { segment: this.segment, offset: end, checksum: sum };
    this.syncedOffset = end;
    this.out.length = batchStart + batchHeaderBytes;
  }

  reuse(id: number): boolean {
    return this.fd >= 0 && !this.failure && !this.closed && this.next.reuse(id);
  }

  append(changes: readonly Change[]): number {
    if (this.failure) throw this.failure;
    if (this.closed) throw new StoreFailed("the store has been closed");
    this.lastIndex += 1;
    this.counts.entries += 1;
    if (this.options.durability.mode === "none") {
      this.counts.bytes += sizeOf(changes);
    } else {
      this.options.codec.writeEntry(this.out, changes);
      this.entries += 1;
      if (!this.busy) this.next.prepare(this.segment + 1);
    }
    if (!this.commitPlanned) {
      this.commitPlanned = true;
      setImmediate(this.commitNow);
    } else if (this.out.length > batchBytesMax && !this.busy) {
      this.commit();
    }
    return this.lastIndex;
  }

  flush(): Promise<void> {
    const none = this.options.durability.mode === "none";
    if (this.failure) return Promise.reject(this.failure);
    if (none || this.syncedIndex >= this.lastIndex) return Promise.resolve();
    const done = new Promise<void>((resolve, reject) => {
      this.waiters.push({ index: this.lastIndex, resolve, reject });
    });
    if (this.options.durability.mode === "interval") {
      this.commit();
      this.syncInBackground();
    }
    return done;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    if (!this.failure) await this.flush();
    this.closed = true;
    clearTimeout(this.intervalTimer);
    await this.next.close(!this.failure);
    if (this.fd < 0) return;
    if (!this.failure) await this.claimEnd();
    await this.options.disk.close(this.fd);
    this.fd = -1;
  }

  /** An empty batch that claims everything before it as synced: from now on damage to it is no torn tail. */
  private async claimEnd(): Promise<void> {
    const room = Math.max(this.options.segmentBytes, this.end.offset);
    if (this.end.offset + batchHeaderBytes > room || this.syncedOffset !== this.end.offset) return;
    this.writeBatch(false);
    await this.syncNow();
    if (this.failure) throw this.failure;
  }

  private syncNow(): Promise<void> {
    return new Promise((resolve) => {
      if (this.failure) return resolve();
      this.counts.syncs += 1;
      this.syncData((error) => {
        if (error) this.fail("sync", error);
        resolve();
      });
    });
  }

  private readonly commitNow = (): void => {
    this.commitPlanned = false;
    this.commit();
  };

  /** Writes what has come together. Does nothing while an earlier commit is under way; that one calls it again. */
  private commit(): void {
    if (this.busy || this.failure) return;
    if (this.options.durability.mode === "none") {
      this.release(this.lastIndex);
      return;
    }
    if (this.entries === 0) return;
    const batchEnd = this.end.offset + this.out.length - batchStart;
    const fresh = this.end.offset <= segmentHeaderBytes;
    if (batchEnd > this.options.segmentBytes && !fresh) {
      this.beginSegment();
      return;
    }
    if (!this.writeBatch(false)) return;
    this.afterWrite();
  }

  private afterWrite(): void {
    if (this.options.durability.mode === "interval")
      this.afterIntervalWrite(this.options.durability.intervalMs);
    else this.syncCommit();
  }

  /** Seals and writes the batch, with a segment header in front of it when `first`. False after a failure. */
  private writeBatch(first: boolean): boolean {
    const { codec, segmentBytes } = this.options;
    const { length } = this.out;
    const start = first ? 0 : batchStart;
    const position = first ? 0 : this.end.offset;
    const end = position + length - start;
    const padding = Math.max(0, Math.min(batchHeaderBytes, segmentBytes - end));
    this.out.reserve(padding);
    const { bytes } = this.out;
    bytes.fill(0, length, length + padding);
    const checksum = codec.sealBatch(bytes, batchStart, length, {
      segment: this.segment,
      previous: this.end.checksum,
      firstIndex: this.lastIndex - this.entries + 1,
      entries: this.entries,
      synced: this.syncedOffset,
    });
    if (!this.writeAll(bytes, start, length + padding, position)) return false;
    this.end = { segment: this.segment, offset: end, checksum };
    this.writtenIndex = this.lastIndex;
    this.counts.batches += 1;
    this.counts.bytes += length - start;
    this.entries = 0;
    this.out.length = batchStart + batchHeaderBytes;
    if (bytes.length > batchBytesMax * 2) this.out.bytes = Buffer.allocUnsafeSlow(outBytes);
    return true;
  }

  private writeAll(bytes: Buffer, start: number, end: number, position: number): boolean {
    let at = start;
    while (at < end) {
      try {
        const count = this.options.disk.writeNow(this.fd, bytes, at, end - at, position + at - start);
        if (count <= 0) throw new Error(`the disk took 0 of ${end - at} bytes`);
        at += count;
      } catch (error) {
        if (wasInterrupted(error)) continue;
        this.fail("write", error);
        return false;
      }
    }
    return true;
  }

  /** Mode always: one sync for the batch just written, blocking or not. */
  private syncCommit(): void {
    const index = this.writtenIndex;
    const offset = this.end.offset;
    this.counts.syncs += 1;
    const began = performance.now();
    this.syncsElsewhere += 1;
    if (this.recentSyncMs < blockingSyncMs || this.syncsElsewhere % probeEvery === 0) {
      if (!this.syncBlocking()) return;
      const elapsedMs = performance.now() - began;
      if (this.recentSyncMs < blockingSyncMs) this.noteSync(elapsedMs);
      else if (elapsedMs < blockingSyncMs) this.recentSyncMs = elapsedMs;
      this.synced(index, offset);
      return;
    }
    this.busy = true;
    this.syncData((error) => {
      this.busy = false;
      if (error) return this.fail("sync", error);
      this.noteSync(performance.now() - began);
      this.syncedOffset = offset;
      this.syncedIndex = index;
      // The next commit is under way before the replies to this one are written.
      this.commit();
      if (!this.failure) this.synced(index, offset);
    });
  }

  private syncBlocking(): boolean {
    for (;;) {
      try {
        this.options.disk.syncDataNow(this.fd);
        return true;
      } catch (error) {
        if (wasInterrupted(error)) continue;
        this.fail("sync", error);
        return false;
      }
    }
  }

  /** fdatasync on another thread, made again while it is merely interrupted. */
  private syncData(done: (error: Error | null) => void): void {
    this.options.disk.syncData(this.fd, (error) => {
      if (error && wasInterrupted(error)) this.syncData(done);
      else done(error);
    });
  }

  private noteSync(elapsedMs: number): void {
    this.recentSyncMs += (Math.max(0, elapsedMs) - this.recentSyncMs) / 8;
  }

  private synced(index: number, offset: number): void {
    // A commit that blocked in the callback above may have moved on already.
    if (index > this.syncedIndex) this.syncedIndex = index;
    if (offset > this.syncedOffset) this.syncedOffset = offset;
    this.release(this.syncedIndex);
    this.resolveWaiters();
  }

  private release(index: number): void {
    if (this.failure || index <= this.released) return;
    this.released = index;
    this.onReleased();
  }

  private resolveWaiters(): void {
    while (this.waiters.length > 0 && this.waiters[0]!.index <= this.syncedIndex)
      this.waiters.shift()!.resolve();
  }

  /** Mode interval: what is written is released, unless the sync under way has overrun the interval. */
  private afterIntervalWrite(intervalMs: number): void {
    const now = performance.now();
    this.uncoveredSince ??= now;
    if (now - this.uncoveredSince < intervalMs || !this.syncing) this.release(this.writtenIndex);
    if (!this.syncing && !this.intervalTimer) {
      this.intervalTimer = setTimeout(() => this.syncInBackground(), intervalMs);
    }
  }

  /** Mode interval: one sync for everything written so far; what is written meanwhile gets the next. */
  private syncInBackground(): void {
    clearTimeout(this.intervalTimer);
    this.intervalTimer = undefined;
    if (this.syncing || this.busy || this.failure || this.fd < 0) return;
    if (this.syncedIndex >= this.writtenIndex) return;
    const index = this.writtenIndex;
    const offset = this.end.offset;
    this.syncing = true;
    this.uncoveredSince = undefined;
    this.counts.syncs += 1;
    this.release(this.writtenIndex);
    this.syncData((error) => {
      this.syncing = false;
      if (error) return this.fail("sync", error);
      this.synced(index, offset);
      this.afterBackgroundSync();
    });
  }

  private afterBackgroundSync(): void {
    if (this.options.durability.mode !== "interval") return;
    const { intervalMs } = this.options.durability;
    if (this.waiters.length === 0 && (this.uncoveredSince === undefined || this.intervalTimer)) return;
    const due = (this.uncoveredSince ?? 0) + intervalMs - performance.now();
    if (this.waiters.length > 0 || due <= 0) this.syncInBackground();
    else this.intervalTimer = setTimeout(() => this.syncInBackground(), due);
  }

  /**
   * Goes on in the next segment. The current one is synced first: a segment's header claims that everything before
   * it was. Whatever arrives meanwhile joins the batch.
   */
  private beginSegment(): void {
    this.busy = true;
    this.finishSegment()
      .then(() => this.openNextSegment())
      .then(
        () => {
          this.busy = false;
          if (!this.failure && this.writeBatch(true)) this.afterWrite();
          if (!this.failure && !this.closed) this.next.prepare(this.segment + 1);
        },
        (error) => {
          this.busy = false;
          this.fail("begin the next segment of", error);
        },
      );
  }

  private async finishSegment(): Promise<void> {
    while (this.syncing) await new Promise((resolve) => setTimeout(resolve, 1));
    if (this.failure || this.syncedOffset >= this.end.offset) return;
    const { offset } = this.end;
    this.uncoveredSince = undefined;
    const index = this.writtenIndex;
    await this.syncNow();
    if (!this.failure) this.synced(index, offset);
  }

  private async openNextSegment(): Promise<void> {
    if (this.failure) return;
    const { disk, codec, dir } = this.options;
    const { id, reused } = await this.next.take(this.segment + 1);
    const fd = await disk.open(inDirectory(dir, segmentName(id)), "write");
    await disk.close(this.fd);
    this.fd = fd;
    const header: SegmentHeader = {
      id,
      previous: this.end,
      firstIndex: this.lastIndex - this.entries + 1,
      synced: 0,
      size: this.options.segmentBytes,
      reused,
    };
    codec.writeSegmentHeader(this.out.bytes, 0, header);
    this.segment = id;
    this.syncedOffset = 0;
    this.onSegment(id, header.firstIndex);
  }

  private fail(what: string, error: unknown): void {
    if (this.failure) return;
    this.failure = new StoreFailed(
      `the store stops: it could not ${what} the log ${segmentName(this.segment)} (${errorText(error)}). Nothing after entry ${this.syncedIndex} is known to be synced; start it again to recover`,
      { cause: error },
    );
    clearTimeout(this.intervalTimer);
    for (const waiter of this.waiters.splice(0)) waiter.reject(this.failure);
    this.onFailed(this.failure);
  }
}

/** About what an entry takes in a log: for mode none, which counts bytes only to know when a snapshot is due. */
function sizeOf(changes: readonly Change[]): number {
  let bytes = 0;
  for (const change of changes) {
    if (change.kind === "clear") continue;
    bytes += change.key.length + 24;
    if (change.kind === "put" && typeof change.value === "string") bytes += change.value.length;
    else if ("elements" in change) for (const element of change.elements) bytes += element.length + 4;
  }
  return bytes;
}
