/**
 * The harness's side of the interposer: the control file that it shares with every process of one store.
 *
 * The layout mirrors faults/native/control.h, integers in host order; a library of another version refuses the file,
 * and ends the store with a sentence. Node cannot map files, so counters are read with one readSync (about 1 µs) and
 * rules are written with writeSync: a rule's description first, then its bit in `armed`, which puts it in force. The
 * file lies in memory (/dev/shm) where there is such a place.
 *
 * One control serves one data directory through any number of starts; counters go on from one start to the next.
 */
import { randomBytes } from "node:crypto";
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ArmedRule,
  type DiskControl,
  type DiskRule,
  type InterposedOperation,
  interposedOperations,
  type RuleFired,
  type SyncCounts,
} from "../contract.ts";
import { describeRule, offsetInRule, ruleBytes } from "./disk-rules.ts";

export { buildInterposer } from "./build-interposer.ts";

const magic = "acked-io";
const version = 2;
const ruleSlots = 64;
const rulesOffset = 256;
/** What is read here: the header and the rules. Processes, failures and descriptions follow, the library's own. */
const readBytes = rulesOffset + ruleSlots * ruleBytes;
const failuresOffset = readBytes + 1024 * 16;
const failureBytes = 256 * 32;
const controlBytes = failuresOffset + failureBytes + 2 ** 20 * 4;
/** The page history, PAGES_OFFSET in control.h and struct history in pages.h: a hole until it is used. */
const pagesOffset = Math.ceil(controlBytes / 4096) * 4096;
const pageHistoryBytes = 4096 + 2 ** 16 * 4 + 1024 * 48 + 2 ** 15 * (48 + 4096);
/** Of the header. */
const offsetOf = {
  processesInside: 16,
  armed: 48,
  calls: 64,
  harnessPid: 144,
  keepPages: 160,
  watchReads: 168,
  blindSpots: 176,
  failuresKnown: 192,
} as const;
const asynchronous =
  "asynchronous I/O (aio_write, aio_fsync, lio_listio) was made on a file of the data directory: it was not seen";
/** By bit of enum blind_spot: what the library met and could not see or keep. */
const blindSpots = [
  "a stream of the C library was reopened (freopen) onto a file of the data directory: its writes were not seen",
  "an unnamed temporary file (O_TMPFILE) was made in the data directory: its writes were not seen",
  "a symbolic link was made in the data directory, and crash states do not have it",
  "more pages were written than the page history holds, so revert and stale were not exact",
  "more files or descriptors failed than are kept, so failed syncs were not reported exactly",
  "a process died or hung while it held the control file's lock, which was taken from it",
  "there were more shared mappings than can be watched: stores to some of them were not seen",
  "the trace has no room left, or its disk is full",
  "the page history could not be mapped, so revert and stale were not exact",
  "a file was moved into the data directory from outside: crash states do not have its content",
  asynchronous,
  "what was stored to a shared mapping could not be read (process_vm_readv is refused here), so it was not seen",
] as const;

/** True for a blind spot in which syncs may have been made. */
export function hidesSyncs(blindSpot: string): boolean {
  return blindSpot === asynchronous || blindSpot.endsWith(throughRing);
}

const throughRing = " is in use in the store: what is written and synced by way of it was not seen";

/** The blind spot of a preloaded library where a process of the store has set up io_uring or Linux AIO. */
export function ringUnseen(name: string): string {
  return `${name}${throughRing}`;
}

export interface DiskControlOptions {
  /** The store's data directory; must exist. */
  readonly dataDir: string;
  /** The store's log files, relative to it. Only their syncs are in the sync counts. */
  readonly logGlob: string;
  /** Where to put the control file. Default: /dev/shm if it is writable, else the temporary directory. */
  readonly directory?: string;
  /**
   * Keep what pages held before they were last written, from the first write on: what `revert` and `stale` give back.
   * Without it they know of writes from their arming on only, and take what was there for synced. Costs two reads of a
   * page a write.
   */
  readonly keepPages?: boolean;
}

/** What the interposer counts beyond the contract. */
export interface InterposerControl extends DiskControl {
  /**
   * Calls on files of the data directory, log or not; those that a rule refused are included. Reads are counted from the
   * moment on that a rule for reads has been armed.
   */
  calls(): Readonly<Record<InterposedOperation, number>>;
  /** What was met and could not be seen or kept, one sentence each: if any, what a run concludes is unknown. */
  blindSpots(): readonly string[];
  /**
   * Power is lost (no process of the store runs): failed syncs that no one has been told of, and what pages held before,
   * are forgotten, as a kernel's memory is.
   */
  losePower(): void;
}

export interface InterposedDisk {
  readonly control: InterposerControl;
  /** The control file: to be removed should this process die without calling `remove`. */
  readonly path: string;
  /** What a child started by *this* process needs in its environment; `library` as from `buildInterposer`. */
  environment(library: string): Record<string, string>;
  /** Removes the control file; idempotent. What was counted and what fired stays readable. */
  remove(): void;
}

/**
 * Creates the control file for one data directory.
 *
 * @throws Error with one sentence when the directory does not exist or nowhere can be written.
 */
export function createDiskControl(options: DiskControlOptions): InterposedDisk {
  const dataDir = realPath(options.dataDir);
  const path = join(
    options.directory ?? memoryDirectory(),
    `acked-${process.pid}-${randomBytes(6).toString("hex")}.control`,
  );
  const file = new ControlFile(path);
  return {
    control: new RuleBook(file, options.keepPages ?? false),
    path,
    environment: (library) => ({
      LD_PRELOAD: [library, process.env.LD_PRELOAD].filter(Boolean).join(":"),
      ACKED_CONTROL: path,
      ACKED_DIR: dataDir,
      ACKED_LOG_GLOB: options.logGlob,
      ACKED_PARENT: String(process.pid),
      UV_USE_IO_URING: "0",
    }),
    remove: () => file.remove(),
  };
}

/** The shared bytes. After `remove` reads are answered from what they were then, and writes do nothing. */
class ControlFile {
  readonly #path: string;
  #fd: number | undefined;
  #last: Uint8Array | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "wx+", 0o600);
    // A store started by root often gives its privileges up, and must still reach its own control file.
    if (process.getuid?.() === 0) fchmodSync(this.#fd, 0o666);
    writeSync(this.#fd, blankControl());
    // Written, not left as a hole: on a full file system the store would end with SIGBUS.
    writeSync(this.#fd, new Uint8Array(failuresOffset + failureBytes - readBytes), 0, null, readBytes);
    ftruncateSync(this.#fd, pagesOffset + pageHistoryBytes);
  }

  /** Empties everything from failures on: holes again, so that it costs no memory. Nobody may be using it. */
  forget(): void {
    if (this.#fd === undefined) return;
    writeSync(this.#fd, new Uint8Array(failureBytes), 0, failureBytes, failuresOffset);
    ftruncateSync(this.#fd, failuresOffset + failureBytes);
    ftruncateSync(this.#fd, pagesOffset + pageHistoryBytes);
  }

  /** Fills `bytes` from `offset` on. */
  read(bytes: Uint8Array, offset: number): void {
    if (this.#fd !== undefined) readSync(this.#fd, bytes, 0, bytes.length, offset);
    else bytes.set(this.#last!.subarray(offset, offset + bytes.length));
  }

  write(bytes: Uint8Array, offset: number): void {
    if (this.#fd !== undefined) writeSync(this.#fd, bytes, 0, bytes.length, offset);
  }

  remove(): void {
    if (this.#fd === undefined) return;
    const last = new Uint8Array(readBytes);
    this.read(last, 0);
    this.#last = last;
    closeSync(this.#fd);
    this.#fd = undefined;
    rmSync(this.#path, { force: true });
  }
}

class RuleBook implements InterposerControl {
  readonly #file: ControlFile;
  /** processes_inside, syncs_begun, sync_completed, syncs_failed: one read, into one buffer. */
  readonly #counts = new BigUint64Array(4);
  readonly #countBytes = new Uint8Array(this.#counts.buffer);
  #armed = 0n;
  /** Slots not in force, the one unused for longest first: a thread in the middle of a call may still look at it. */
  readonly #free = Array.from({ length: ruleSlots }, (_, slot) => slot);
  readonly #latest = new Map<number, Slot>();

  constructor(file: ControlFile, keepPages: boolean) {
    this.#file = file;
    if (keepPages) this.#set(offsetOf.keepPages, 1n);
  }

  arm(rule: DiskRule): ArmedRule {
    const bytes = describeRule(rule);
    const slot = this.#free.shift();
    if (slot === undefined) {
      throw new Error(
        `the interposer holds ${ruleSlots} rules at once, and all are in force: disarm one first`,
      );
    }
    this.#latest.get(slot)?.settle();
    if (rule.operation === "read") this.#set(offsetOf.watchReads, 1n);
    if (rule.effect.do === "revert" || rule.effect.do === "stale") this.#set(offsetOf.keepPages, 1n);
    this.#file.write(bytes, rulesOffset + slot * ruleBytes);
    this.#putInForce(this.#armed | (1n << BigInt(slot)));
    const armed = new Slot(rule, this.#file, slot, () => {
      this.#putInForce(this.#armed & ~(1n << BigInt(slot)));
      this.#free.push(slot);
    });
    this.#latest.set(slot, armed);
    return armed;
  }

  syncCounts(): SyncCounts {
    const counts = this.#readCounts();
    return { begun: Number(counts[1]), completed: Number(counts[2]), failed: Number(counts[3]) };
  }

  processesInside(): number {
    return Number(this.#readCounts()[0]);
  }

  calls(): Record<InterposedOperation, number> {
    const counts = new BigUint64Array(interposedOperations.length);
    this.#file.read(new Uint8Array(counts.buffer), offsetOf.calls);
    const pairs = interposedOperations.map((operation, index) => [operation, Number(counts[index])]);
    return Object.fromEntries(pairs) as Record<InterposedOperation, number>;
  }

  blindSpots(): string[] {
    const bits = new BigUint64Array(1);
    this.#file.read(new Uint8Array(bits.buffer), offsetOf.blindSpots);
    return blindSpots.filter((_, bit) => (bits[0]! >> BigInt(bit)) & 1n);
  }

  losePower(): void {
    this.#set(offsetOf.failuresKnown, 0n);
    this.#file.forget();
  }

  #set(offset: number, value: bigint): void {
    this.#file.write(new Uint8Array(BigUint64Array.of(value).buffer), offset);
  }

  #readCounts(): BigUint64Array {
    this.#file.read(this.#countBytes, offsetOf.processesInside);
    return this.#counts;
  }

  #putInForce(armed: bigint): void {
    this.#armed = armed;
    this.#set(offsetOf.armed, armed);
  }
}

/** One rule in its slot; once the slot has been given to another rule, what is known of this one is kept. */
class Slot implements ArmedRule {
  readonly rule: DiskRule;
  readonly #file: ControlFile;
  readonly #offset: number;
  readonly #release: () => void;
  #inForce = true;
  #settled = false;
  #known: RuleFired | undefined;
  #calls = 0;

  constructor(rule: DiskRule, file: ControlFile, slot: number, release: () => void) {
    this.rule = rule;
    this.#file = file;
    this.#offset = rulesOffset + slot * ruleBytes;
    this.#release = release;
  }

  fired(): RuleFired | undefined {
    if (!this.#settled) this.#read();
    return this.#known;
  }

  calls(): number {
    if (!this.#settled) this.#read();
    return this.#calls;
  }

  disarm(): void {
    if (!this.#inForce) return;
    this.#inForce = false;
    this.#release();
  }

  settle(): void {
    this.#read();
    this.#settled = true;
  }

  #read(): void {
    const bytes = new Uint8Array(ruleBytes);
    this.#file.read(bytes, this.#offset);
    const words = new Uint32Array(bytes.buffer);
    const longs = new BigUint64Array(bytes.buffer);
    this.#calls = Number(longs[offsetInRule.calls / 8]);
    if (words[offsetInRule.recorded / 4] !== 1) return;
    this.#known = {
      times: Number(longs[offsetInRule.times / 8]),
      firstAtNs: Number(longs[offsetInRule.firstAtNs / 8]),
      path: textAt(bytes, offsetInRule.firstPath),
      pid: words[offsetInRule.firstPid / 4]!,
    };
  }
}

function blankControl(): Uint8Array {
  const bytes = new Uint8Array(readBytes);
  bytes.set(new TextEncoder().encode(magic));
  new Uint32Array(bytes.buffer).set([version, controlBytes], 2);
  new Int32Array(bytes.buffer)[offsetOf.harnessPid / 4] = process.pid;
  return bytes;
}

function textAt(bytes: Uint8Array, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return new TextDecoder().decode(bytes.subarray(offset, end < 0 ? bytes.length : end));
}

function realPath(dataDir: string): string {
  try {
    return realpathSync(dataDir);
  } catch (cause) {
    throw new Error(`the data directory ${dataDir} must exist before its interposer's control file is made`, {
      cause,
    });
  }
}

function memoryDirectory(): string {
  try {
    accessSync("/dev/shm", constants.W_OK | constants.X_OK);
    return "/dev/shm";
  } catch {
    return tmpdir();
  }
}
