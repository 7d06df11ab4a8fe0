/**
 * The trace file: created here, filled by the processes of a store (or by the broker), read here.
 *
 * The layout mirrors faults/native/trace.h, integers little endian: change both, and the version. A header page, then
 * records in the order of the events, each 8-byte aligned with its own length and CRC-32C. A writer reserves space
 * with one atomic addition, stores the length, fills the record, and stores the checksum last, so whatever a SIGKILL
 * leaves is told from damage:
 *  - a record whose checksum is still 0 was being written when its process was killed. It is counted and left out: a
 *    begin that is not complete never happened, and a call whose end is not complete was in flight;
 *  - everything else that does not add up is damage: a checksum that differs, bytes behind the last record, an end
 *    without its begin, a file cut short. Reading goes on at the next valid record, and `faults` says what and where.
 * So are an overflow (events were dropped) and a file of another version. A run whose trace has faults is unknown.
 *
 * Not recognised: a change that turns a checksum into exactly 0 (one in 2^24 single-byte changes), or one at the very
 * tail that looks like an event in flight; and a file that is rewritten with valid checksums.
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { ScenarioError } from "../../stores/contract.ts";
import { type Effect, type Trace, type TraceEvent, traceKinds } from "../contract.ts";
import { crc32c } from "./crc32c.ts";

const magic = "acked-tr";
const version = 1;
const headerBytes = 4096;
/** Of the header. */
const offsetOf = { version: 8, header: 12, capacity: 16, cursor: 24, overflowed: 32, allocated: 40 } as const;
/** The end of what the header uses; the rest of its page is zero. */
const headerUsed = 48;
/** A record's fixed part; path, other path and data follow. */
const recordBytes = 96;
/** Node reads no more into one buffer. */
const capacityMax = 2 ** 31 - 4096;

/** Bits of a record's flags. */
const flag = { created: 1, truncated: 2, synchronous: 4, directory: 8, hasMode: 16 } as const;
const phases = [undefined, "begin", "end", "instant"] as const;

/** By the code of the effect in faults/native/control.h. */
const effectNames: readonly (Effect["do"] | undefined)[] = [
  undefined,
  "error",
  "short",
  "torn-kill",
  "kill-before",
  "kill-after",
  "delay",
  "full",
  "torn-error",
  "lying",
  "misdirected",
  "bit-flip",
  "stale",
  "read-only",
  "fsyncgate",
  "writeback-error",
  "revert",
  "late",
];

export interface TraceFileOptions {
  /** Made, or emptied if it exists; its directory is made too, but not the one above. */
  readonly path: string;
  /** The file never grows beyond it: what does not fit is dropped and named. Space is taken as it is used. */
  readonly capacityBytes: number;
}

/** A trace being written by the processes of a store. */
export interface TraceFile {
  readonly path: string;
  /** What the store's processes need in their environment, beside the interposer's or the broker's own. */
  environment(): { readonly ACKED_TRACE: string };
  /** Bytes used so far, of `capacityBytes`: one small read. */
  usedBytes(): number;
  /** What has been traced so far; may be called while the store runs. */
  read(): ReadTrace;
  /**
   * Writes the ends of calls that were in flight when the store was killed, as `endOf` can tell them from what is on the
   * disk: whatever runs in the directory afterwards builds on that. A call of which it tells nothing stays in flight. Only
   * while nothing of the store is alive; a call is asked about once. A trace with faults stays as it is.
   */
  settle(endOf: (begin: TraceEvent, trace: Trace) => CallEnd | undefined): void;
  /** Gives back what was not used. Only once nothing of the store is alive. Idempotent. */
  close(): void;
}

/** What the end of a call says beside what its begin said. */
export type CallEnd = Pick<TraceEvent, "result"> &
  Partial<Pick<TraceEvent, "offset" | "size" | "inode" | "created" | "truncated">>;

/** A trace as read from its file. */
export interface ReadTrace extends Trace {
  /** Records left out because their process was killed while it wrote them. */
  readonly incomplete: number;
}

/**
 * Creates an empty trace file. Its owner may differ from the store's user, so it is writable for everybody when made
 * by root (a store started by root often gives its privileges up).
 *
 * @throws ScenarioError when the capacity makes no sense or the file cannot be made.
 */
export function createTrace({ path, capacityBytes }: TraceFileOptions): TraceFile {
  const capacity = Math.floor(capacityBytes / 4096) * 4096;
  if (!(capacity >= 2 * headerBytes && capacity <= capacityMax)) {
    throw new ScenarioError(
      `a trace needs a capacity from ${2 * headerBytes} to ${capacityMax} bytes; got ${capacityBytes}`,
    );
  }
  const absolute = resolve(path);
  let fd: number | undefined;
  try {
    makeDirectory(dirname(absolute));
    fd = openSync(absolute, "w+", 0o600);
    if (process.getuid?.() === 0) fchmodSync(fd, 0o666);
    ftruncateSync(fd, capacity);
    writeSync(fd, blankHeader(capacity), 0, headerBytes, 0);
  } catch (cause) {
    if (fd !== undefined) closeSync(fd);
    throw new ScenarioError(`the trace ${absolute} cannot be made: ${(cause as Error).message}`, { cause });
  }
  return new OpenTraceFile(absolute, fd);
}

class OpenTraceFile implements TraceFile {
  readonly path: string;
  #fd: number | undefined;
  /** Calls that began before this event have been asked about. */
  #settled = 0;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  environment(): { readonly ACKED_TRACE: string } {
    return { ACKED_TRACE: this.path };
  }

  usedBytes(): number {
    const header = new Uint8Array(headerUsed);
    const fd = this.#fd ?? openSync(this.path, "r");
    try {
      readSync(fd, header, 0, headerUsed, 0);
    } finally {
      if (this.#fd === undefined) closeSync(fd);
    }
    return wordAt(new DataView(header.buffer), offsetOf.cursor);
  }

  read(): ReadTrace {
    return readTrace(this.path);
  }

  settle(endOf: (begin: TraceEvent, trace: Trace) => CallEnd | undefined): void {
    const { bytes, size } = readUsed(this.path);
    const parser = refusal(bytes) === undefined ? new Parser(bytes, size) : undefined;
    const trace = parser?.parse();
    if (!parser || !trace || trace.faults.length > 0 || this.#fd === undefined) return;
    const from = this.#settled;
    this.#settled = trace.events.length;
    for (const [at, index] of parser.inFlight()) {
      const begin = trace.events[index]!;
      const end = index < from ? undefined : endOf(begin, trace);
      if (end) this.#append(endRecord(begin, at, end));
    }
  }

  #append(record: Uint8Array): void {
    const header = new DataView(new ArrayBuffer(headerUsed));
    readSync(this.#fd!, header, 0, headerUsed, 0);
    const cursor = wordAt(header, offsetOf.cursor);
    const set = (offset: number, value: number) => {
      const word = new DataView(new ArrayBuffer(8));
      word.setBigUint64(0, BigInt(value), true);
      writeSync(this.#fd!, word, 0, 8, offset);
    };
    if (cursor + record.length > wordAt(header, offsetOf.capacity)) {
      set(offsetOf.overflowed, wordAt(header, offsetOf.overflowed) + 1);
      return;
    }
    writeSync(this.#fd!, record, 0, record.length, cursor);
    set(offsetOf.cursor, cursor + record.length);
  }

  close(): void {
    if (this.#fd === undefined) return;
    const { size } = fstatSync(this.#fd);
    ftruncateSync(this.#fd, Math.min(size, Math.max(headerBytes, this.usedBytes())));
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** Not recursively: Node 20 never returns from that below directories such as /proc. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function blankHeader(capacity: number): Uint8Array {
  const header = new Uint8Array(headerBytes);
  header.set(new TextEncoder().encode(magic));
  const view = new DataView(header.buffer);
  view.setUint32(offsetOf.version, version, true);
  view.setUint32(offsetOf.header, headerBytes, true);
  view.setBigUint64(offsetOf.capacity, BigInt(capacity), true);
  view.setBigUint64(offsetOf.cursor, BigInt(headerBytes), true);
  view.setBigUint64(offsetOf.allocated, BigInt(headerBytes), true);
  return header;
}

/**
 * Reads a whole trace. Never throws for what is in the file: that is said in `faults`.
 *
 * @throws ScenarioError when the file cannot be read at all.
 */
export function readTrace(path: string): ReadTrace {
  let bytes: Buffer;
  let size: number;
  try {
    ({ bytes, size } = readUsed(path));
  } catch (cause) {
    throw new ScenarioError(`the trace ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return parseTrace(bytes, size);
}

/** The file without the unused space that a trace being written ends with, and its size. */
function readUsed(path: string): { bytes: Buffer; size: number } {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const header = Buffer.alloc(headerUsed);
    readSync(fd, header, 0, headerUsed, 0);
    // One page more than is said to be used: bytes there would show that the header does not tell the truth.
    const said = wordAt(new DataView(header.buffer, header.byteOffset), offsetOf.cursor) + 4096;
    const bytes = Buffer.allocUnsafe(Math.min(size, capacityMax, Math.max(headerBytes, said)));
    let filled = 0;
    while (filled < bytes.length) {
      const read = readSync(fd, bytes, filled, bytes.length - filled, filled);
      if (read === 0) break;
      filled += read;
    }
    return { bytes: bytes.subarray(0, filled), size };
  } finally {
    closeSync(fd);
  }
}

/** The same for bytes in memory; `size` is that of the whole file, of which zeros at the end may be left out. */
export function parseTrace(bytes: Uint8Array, size: number = bytes.length): ReadTrace {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const refused = refusal(buffer);
  if (refused !== undefined) return { events: [], faults: [refused], incomplete: 0 };
  return new Parser(buffer, size).parse();
}

/** Why nothing in the file can be understood; `undefined` when it can. */
function refusal(bytes: Buffer): string | undefined {
  if (bytes.length < headerBytes) {
    return `the trace is cut short: ${bytes.length} bytes, less than its header`;
  }
  if (bytes.toString("latin1", 0, 8) !== magic)
    return `this is not a trace: it does not begin with "${magic}"`;
  const found = bytes.readUInt32LE(offsetOf.version);
  if (found !== version) {
    return `the trace is of version ${found}, and this acked reads version ${version}: read it with the acked that made it`;
  }
  if (bytes.readUInt32LE(offsetOf.header) !== headerBytes || !isZero(bytes, headerUsed, headerBytes)) {
    return "the header of the trace is damaged";
  }
  return undefined;
}

/** At most so many damaged places are listed one by one. */
const listedFaults = 20;

class Parser {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #size: number;
  readonly #events: TraceEvent[] = [];
  readonly #faults: string[] = [];
  #damaged = 0;
  #incomplete = 0;
  /** Index of the event by the offset of its record, for the begin events whose end has not come. */
  readonly #open = new Map<number, number>();
  readonly #texts = new Map<string, string>();
  #device = "";
  #deviceWords = [-1, -1];
  /** Of the device seen last, by number. */
  readonly #inodes = new Map<number, string>();

  constructor(bytes: Buffer, size: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#size = size;
  }

  parse(): ReadTrace {
    const end = this.#checkHeader();
    for (let offset = headerBytes; offset < end; ) offset = this.#next(offset, end);
    if (this.#damaged > listedFaults) {
      this.#faults.push(`the trace is damaged in ${this.#damaged - listedFaults} more places`);
    }
    return { events: this.#events, faults: this.#faults, incomplete: this.#incomplete };
  }

  /** The records of begun calls without an end, by their offset, in the order of the trace: which event each is. */
  inFlight(): ReadonlyMap<number, number> {
    return this.#open;
  }

  /** Where the records end. */
  #checkHeader(): number {
    const bytes = this.#bytes;
    const capacity = wordAt(this.#view, offsetOf.capacity);
    const cursor = wordAt(this.#view, offsetOf.cursor);
    const overflowed = wordAt(this.#view, offsetOf.overflowed);
    const allocated = wordAt(this.#view, offsetOf.allocated);
    if (overflowed !== 0) {
      this.#faults.push(
        `the trace overflowed: ${overflowed} events did not fit into ${capacity} bytes or onto the disk; trace a shorter run, or with a larger capacity`,
      );
    }
    // An overflowing writer has advanced the cursor beyond the capacity, and written nothing there.
    const used = overflowed !== 0 ? Math.min(cursor, capacity) : cursor;
    const sound =
      cursor >= headerBytes && cursor % 8 === 0 && used <= capacity && capacity >= 2 * headerBytes;
    const plausible = capacity <= capacityMax && capacity % 4096 === 0 && this.#size <= capacity;
    if (!sound || !plausible || allocated < headerBytes || allocated > capacity) {
      this.#faults.push("the header of the trace is damaged: its sizes do not fit together");
      return wholeWords(bytes.length);
    }
    if (this.#size < used) {
      this.#faults.push(`the trace is cut short: ${this.#size} bytes of ${used}`);
    } else if (!isZero(bytes, used, bytes.length)) {
      this.#faults.push(`the header of the trace is damaged: there are bytes behind its end at ${used}`);
      return wholeWords(bytes.length);
    }
    return Math.min(used, wholeWords(bytes.length));
  }

  /** Takes in the record at `offset`, or passes over what is not one. Returns where to go on. */
  #next(offset: number, end: number): number {
    const length = this.#view.getUint32(offset, true);
    const state = this.#stateOf(offset, length, end);
    if (state === "valid") {
      this.#take(offset);
      return offset + length;
    }
    const next = this.#resynchronise(offset, length, end);
    if (state === "incomplete" && (length === 0 ? isZero(this.#bytes, offset, next) : true)) {
      this.#incomplete++;
    } else {
      this.#damage(`the trace is damaged from byte ${offset} to ${next}`);
    }
    return next;
  }

  #stateOf(offset: number, length: number, end: number): "valid" | "incomplete" | "damaged" {
    if (length === 0) return "incomplete";
    if (length % 8 !== 0 || length < recordBytes || length > end - offset) return "damaged";
    const stored = this.#view.getUint32(offset + 4, true);
    if (stored === 0) return "incomplete";
    return stored === checksum(this.#bytes, offset, length) && this.#isSound(offset, length)
      ? "valid"
      : "damaged";
  }

  /** Codes known, and lengths that add up: what a checksum alone would not tell of a stray one. */
  #isSound(offset: number, length: number): boolean {
    const view = this.#view;
    const texts = view.getUint16(offset + 88, true) + view.getUint16(offset + 90, true);
    const used = recordBytes + texts + view.getUint32(offset + 92, true);
    return (
      view.getUint16(offset + 8, true) < traceKinds.length &&
      phases[view.getUint16(offset + 10, true)] !== undefined &&
      view.getUint32(offset + 20, true) < effectNames.length &&
      used <= length &&
      length - used < 8
    );
  }

  /** The next offset at which a record can be: where this one would have ended, else the next that is valid. */
  #resynchronise(offset: number, length: number, end: number): number {
    if (length >= recordBytes && length % 8 === 0 && length <= end - offset) {
      const after = offset + length;
      if (after === end || this.#stateOf(after, this.#view.getUint32(after, true), end) !== "damaged") {
        return after;
      }
    }
    for (let next = offset + 8; next + recordBytes <= end; next += 8) {
      const candidate = this.#view.getUint32(next, true);
      if (candidate !== 0 && this.#stateOf(next, candidate, end) === "valid") return next;
    }
    return end;
  }

  #damage(sentence: string): void {
    if (this.#damaged++ < listedFaults) this.#faults.push(sentence);
  }

  #take(offset: number): void {
    const view = this.#view;
    const phase = phases[view.getUint16(offset + 10, true)]!;
    const index = this.#events.length;
    let call = index;
    if (phase === "end") {
      const begin = wordAt(view, offset + 32);
      const found = this.#open.get(begin);
      if (found === undefined) {
        this.#damage(`the trace has the end of a call at byte ${offset}, and not its begin at ${begin}`);
        return;
      }
      this.#open.delete(begin);
      call = found;
    } else if (phase === "begin") {
      this.#open.set(offset, index);
    }
    this.#events.push(this.#event(offset, phase, index, call));
  }

  #event(offset: number, phase: TraceEvent["phase"], index: number, call: number): TraceEvent {
    const view = this.#view;
    const kind = traceKinds[view.getUint16(offset + 8, true)]!;
    const effect = effectNames[view.getUint32(offset + 20, true)];
    const flags = view.getUint32(offset + 80, true);
    const number = view.getUint32(offset + 84, true);
    const pathLength = view.getUint16(offset + 88, true);
    const otherLength = view.getUint16(offset + 90, true);
    const dataLength = view.getUint32(offset + 92, true);
    const other = offset + recordBytes + pathLength;
    const data = other + otherLength;
    const event: Mutable<TraceEvent> = {
      index,
      kind,
      phase,
      call,
      pid: view.getUint32(offset + 12, true),
      tid: view.getUint32(offset + 16, true),
      atNs: wordAt(view, offset + 24),
      inode: this.#inode(offset),
      // An end may leave its path out.
      path: pathLength === 0 ? this.#pathOf(call) : this.#text(offset + recordBytes, pathLength),
      offset: signedAt(view, offset + 64),
      size: wordAt(view, offset + 72),
    };
    if (effect !== undefined && effect !== "delay") event.effect = effect;
    if (otherLength > 0) event.otherPath = this.#text(other, otherLength);
    if (phase === "end") event.result = signedAt(view, offset + 56);
    if (dataLength > 0 || (phase === "begin" && kind === "write")) {
      event.data = this.#bytes.subarray(data, data + dataLength);
    }
    if (flags & flag.created) event.created = true;
    if (flags & flag.truncated) event.truncated = true;
    if (flags & flag.synchronous) event.synchronous = true;
    if (flags & flag.directory) event.directory = true;
    if (kind === "send") event.port = number;
    else if (flags & flag.hasMode) event.mode = number;
    return event;
  }

  #pathOf(call: number): string {
    return this.#events[call]?.path ?? "";
  }

  #inode(offset: number): string {
    const view = this.#view;
    const low = view.getUint32(offset + 40, true);
    const high = view.getUint32(offset + 44, true);
    if (low !== this.#deviceWords[0] || high !== this.#deviceWords[1]) {
      this.#deviceWords = [low, high];
      this.#device = `${view.getBigUint64(offset + 40, true)}:`;
      this.#inodes.clear();
    }
    // Inode numbers of some file systems use all 64 bits.
    const inodeHigh = view.getUint32(offset + 52, true);
    if (inodeHigh >= 2 ** 21) return this.#shared(`${this.#device}${view.getBigUint64(offset + 48, true)}`);
    const inode = wordAt(view, offset + 48);
    const known = this.#inodes.get(inode);
    if (known !== undefined) return known;
    const text = this.#shared(`${this.#device}${inode}`);
    this.#inodes.set(inode, text);
    return text;
  }

  #text(offset: number, length: number): string {
    return length === 0 ? "" : this.#shared(this.#bytes.toString("utf8", offset, offset + length));
  }

  /** The same text once in memory, however many events have it. */
  #shared(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(text, text);
    return text;
  }
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** The record that ends the call whose begin is at `beginAt`; its path is the begin's. */
function endRecord(begin: TraceEvent, beginAt: number, end: CallEnd): Uint8Array {
  const record = new Uint8Array(recordBytes);
  const view = new DataView(record.buffer);
  const [device, inode] = (end.inode ?? begin.inode).split(":").map(BigInt) as [bigint, bigint];
  const flags = (end.created ? flag.created : 0) | (end.truncated ? flag.truncated : 0);
  view.setUint32(0, recordBytes, true);
  view.setUint16(8, traceKinds.indexOf(begin.kind), true);
  view.setUint16(10, phases.indexOf("end"), true);
  view.setUint32(12, begin.pid, true);
  view.setUint32(16, begin.tid, true);
  view.setBigUint64(24, process.hrtime.bigint(), true);
  view.setBigUint64(32, BigInt(beginAt), true);
  view.setBigUint64(40, device, true);
  view.setBigUint64(48, inode, true);
  view.setBigInt64(56, BigInt(end.result ?? 0), true);
  view.setBigInt64(64, BigInt(end.offset ?? begin.offset), true);
  view.setBigUint64(72, BigInt(end.size ?? begin.size), true);
  view.setUint32(80, flags | (begin.directory ? flag.directory : 0), true);
  view.setUint32(4, checksum(record, 0, recordBytes), true);
  return record;
}

/** Of a record's bytes from its kind on. 0 is kept for "not complete". */
function checksum(bytes: Uint8Array, offset: number, length: number): number {
  return crc32c(bytes, offset + 8, offset + length) || 1;
}

/** An unsigned 64-bit integer as a number: exact to 2^53. */
function wordAt(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
}

function signedAt(view: DataView, offset: number): number {
  return view.getInt32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
}

function wholeWords(length: number): number {
  return length - (length % 8);
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
