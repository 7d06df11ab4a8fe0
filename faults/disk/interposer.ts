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
  openSync,
  readSync,
  realpathSync,
  rmSync,
  writeSync,
} from "node:fs";
import { constants as osConstants, tmpdir } from "node:os";
import { join } from "node:path";
import type {
  ArmedRule,
  DiskControl,
  DiskRule,
  Effect,
  InterposedOperation,
  RuleFired,
  SyncCounts,
} from "../contract.ts";

export { buildInterposer } from "./build-interposer.ts";

const magic = "acked-io";
const version = 1;
const ruleSlots = 64;
const ruleBytes = 1024;
const globBytes = 448;
const rulesOffset = 128;
const controlBytes = rulesOffset + ruleSlots * ruleBytes;
/** Of the header. */
const offsetOf = { processesInside: 16, armed: 48, calls: 64, harnessPid: 112 } as const;
/** Of a rule; `recorded` to `firstPid` are the library's. */
const offsetInRule = {
  recorded: 12,
  times: 40,
  firstAtNs: 48,
  firstPid: 56,
  glob: 64,
  firstPath: 512,
} as const;

const operations: readonly InterposedOperation[] = ["write", "sync", "rename", "open", "unlink", "truncate"];
const effectCodes = {
  error: 1,
  short: 2,
  "torn-kill": 3,
  "kill-before": 4,
  "kill-after": 5,
  delay: 6,
  full: 7,
} satisfies Record<Effect["do"], number>;

export interface DiskControlOptions {
  /** The store's data directory; must exist. */
  readonly dataDir: string;
  /** The store's log files, relative to it. Only their syncs are in the sync counts. */
  readonly logGlob: string;
  /** Where to put the control file. Default: /dev/shm if it is writable, else the temporary directory. */
  readonly directory?: string;
}

/** What the interposer counts beyond the contract. */
export interface InterposerControl extends DiskControl {
  /** Calls on files of the data directory, log or not; those that a rule refused are included. */
  calls(): Readonly<Record<InterposedOperation, number>>;
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
    control: new RuleBook(file),
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
    writeSync(this.#fd, blankControl(), 0, controlBytes, 0);
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
    const last = new Uint8Array(controlBytes);
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

  constructor(file: ControlFile) {
    this.#file = file;
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
    const counts = new BigUint64Array(operations.length);
    this.#file.read(new Uint8Array(counts.buffer), offsetOf.calls);
    const pairs = operations.map((operation, index) => [operation, Number(counts[index])]);
    return Object.fromEntries(pairs) as Record<InterposedOperation, number>;
  }

  #readCounts(): BigUint64Array {
    this.#file.read(this.#countBytes, offsetOf.processesInside);
    return this.#counts;
  }

  #putInForce(armed: bigint): void {
    this.#armed = armed;
    this.#file.write(new Uint8Array(BigUint64Array.of(armed).buffer), offsetOf.armed);
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

  constructor(rule: DiskRule, file: ControlFile, slot: number, release: () => void) {
    this.rule = rule;
    this.#file = file;
    this.#offset = rulesOffset + slot * ruleBytes;
    this.#release = release;
  }

  fired(): RuleFired | undefined {
    if (!this.#settled) this.#known = this.#read();
    return this.#known;
  }

  disarm(): void {
    if (!this.#inForce) return;
    this.#inForce = false;
    this.#release();
  }

  settle(): void {
    this.fired();
    this.#settled = true;
  }

  #read(): RuleFired | undefined {
    const bytes = new Uint8Array(ruleBytes);
    this.#file.read(bytes, this.#offset);
    const words = new Uint32Array(bytes.buffer);
    if (words[offsetInRule.recorded / 4] !== 1) return undefined;
    const longs = new BigUint64Array(bytes.buffer);
    return {
      times: Number(longs[offsetInRule.times / 8]),
      firstAtNs: Number(longs[offsetInRule.firstAtNs / 8]),
      path: textAt(bytes, offsetInRule.firstPath),
      pid: words[offsetInRule.firstPid / 4]!,
    };
  }
}

function blankControl(): Uint8Array {
  const bytes = new Uint8Array(controlBytes);
  bytes.set(new TextEncoder().encode(magic));
  new Uint32Array(bytes.buffer).set([version, controlBytes], 2);
  new Int32Array(bytes.buffer)[offsetOf.harnessPid / 4] = process.pid;
  return bytes;
}

/** A rule as the library reads it; all that it will count is zero. */
function describeRule(rule: DiskRule): Uint8Array {
  const glob = new TextEncoder().encode(rule.path);
  if (glob.length === 0 || glob.length >= globBytes || glob.includes(0)) {
    throw new Error(
      `the path of a disk rule must have 1 to ${globBytes - 1} bytes, and no NUL; got "${rule.path}"`,
    );
  }
  if (!Number.isSafeInteger(rule.nth) || rule.nth < 1) {
    throw new Error(`a disk rule fires at its nth call, 1 being the first; got nth = ${rule.nth}`);
  }
  const { effect, operation } = rule;
  if ((effect.do === "short" || effect.do === "torn-kill") && operation !== "write") {
    throw new Error(`only a write can be ${effect.do}, not a ${operation}`);
  }
  if (effect.do === "error" && effect.errno === "EINTR" && rule.repeat === "from") {
    throw new Error(
      "a rule that fails every call with EINTR would never end: runtimes retry it; use repeat: once",
    );
  }
  const bytes = new Uint8Array(ruleBytes);
  const isFrom = rule.repeat === "from" ? 1 : 0;
  new Uint32Array(bytes.buffer).set([operations.indexOf(operation), effectCodes[effect.do], isFrom]);
  new BigUint64Array(bytes.buffer).set([BigInt(rule.nth), argumentOf(effect)], 2);
  bytes.set(glob, offsetInRule.glob);
  return bytes;
}

function argumentOf(effect: Effect): bigint {
  switch (effect.do) {
    case "error":
      return BigInt(osConstants.errno[effect.errno]);
    case "short":
    case "torn-kill":
      return BigInt(wholeAmount(effect.bytes, "bytes"));
    case "delay":
      return BigInt(wholeAmount(Math.round(effect.delayMs * 1e6), "delayMs"));
    default:
      return 0n;
  }
}

function wholeAmount(value: number, name: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${name} of a disk rule must be a number, 0 or more; got ${value}`);
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
