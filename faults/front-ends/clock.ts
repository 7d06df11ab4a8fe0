/**
 * The harness's side of the skewed clock: the control file that it shares with every process of one node. The layout
 * mirrors `struct clock_control` in faults/native/clock.c, which says what is modelled and what is not.
 *
 * Node cannot map files, so the three numbers are written between two writes of a sequence number: odd while they are
 * not whole. Who writes is one process, so no more is needed.
 */
import { randomBytes } from "node:crypto";
import { accessSync, closeSync, constants, fchmodSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClockControl } from "../contract.ts";
import { buildNative } from "./build-native.ts";

/** `CLOCK_MAGIC` in clock.c. */
const magic = 0x6b636f6c636b6361n;
const controlBytes = 56;
const offsetOf = { processesInside: 8, readings: 16, sequence: 24, sinceNs: 32 } as const;
/** A shift beyond it would leave 64 bits of ns sooner or later; a hundred years. */
const shiftMsMost = 3_155_760_000_000;

export interface SkewedClock {
  readonly control: ClockControl;
  /** The control file: to be removed should this process die without calling `remove`. */
  readonly path: string;
  /**
   * What the node's processes need in their environment; `library` as from `buildClock`, `others` what is to be preloaded
   * beside it (`LD_PRELOAD` of the interposer's environment).
   */
  environment(library: string, others?: string): Record<string, string>;
  /** Removes the control file; idempotent. The processes keep the skew that they have. */
  remove(): void;
}

/**
 * Path of the library, compiled if it is not in the cache.
 *
 * @throws Error with one sentence when there is no compiler here, or with the first line of what it said.
 */
export function buildClock(): Promise<string> {
  return buildNative({
    name: "clock",
    suffix: ".so",
    units: ["clock.c"],
    flags: ["-fPIC", "-shared", "-fvisibility=hidden"],
  });
}

/** Creates the control file of one node's clock, which is the machine's own until it is skewed. */
export function createSkewedClock(directory: string = memoryDirectory()): SkewedClock {
  const path = join(directory, `acked-${process.pid}-${randomBytes(6).toString("hex")}.clock`);
  const fd = openSync(path, "wx+", 0o600);
  // A store started by root often gives its privileges up, and must still reach its own control file.
  if (process.getuid?.() === 0) fchmodSync(fd, 0o666);
  writeSync(fd, new Uint8Array(controlBytes));
  const file = new ControlFile(fd);
  file.write(0, magic);
  let open = true;
  return {
    control: new Control(file),
    path,
    environment: (library, others = process.env.LD_PRELOAD) => ({
      LD_PRELOAD: [library, others].filter(Boolean).join(":"),
      ACKED_CLOCK: path,
    }),
    remove() {
      if (!open) return;
      open = false;
      file.close();
      rmSync(path, { force: true });
    },
  };
}

class ControlFile {
  readonly #fd: number;
  /** What it held when it was closed. */
  #last: BigInt64Array | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** 64 bits from `offset` on, one after the other. */
  write(offset: number, ...values: readonly bigint[]): void {
    if (!this.#last)
      writeSync(this.#fd, new Uint8Array(BigInt64Array.from(values).buffer), 0, 8 * values.length, offset);
  }

  read(offset: number): number {
    return Number((this.#last ?? this.#all())[offset / 8]!);
  }

  close(): void {
    this.#last = this.#all();
    closeSync(this.#fd);
  }

  #all(): BigInt64Array {
    const values = new BigInt64Array(controlBytes / 8);
    readSync(this.#fd, new Uint8Array(values.buffer), 0, controlBytes, 0);
    return values;
  }
}

class Control implements ClockControl {
  readonly #file: ControlFile;
  #sequence = 0n;

  constructor(file: ControlFile) {
    this.#file = file;
  }

  skew(shiftMs: number, ratePpm: number): void {
    if (!(Math.abs(shiftMs) <= shiftMsMost) || !(Math.abs(ratePpm) <= 1_000_000)) {
      throw new RangeError(`a clock cannot be skewed by ${shiftMs} ms and ${ratePpm} ppm`);
    }
    // CLOCK_MONOTONIC is what process.hrtime reads on Linux.
    this.#put(process.hrtime.bigint(), BigInt(Math.round(shiftMs * 1e6)), BigInt(Math.round(ratePpm)));
  }

  straighten(): void {
    this.#put(0n, 0n, 0n);
  }

  readings(): number {
    return this.#file.read(offsetOf.readings);
  }

  processesInside(): number {
    return this.#file.read(offsetOf.processesInside);
  }

  #put(sinceNs: bigint, shiftNs: bigint, ratePpm: bigint): void {
    this.#file.write(offsetOf.sequence, this.#sequence + 1n);
    this.#file.write(offsetOf.sinceNs, sinceNs, shiftNs, ratePpm);
    this.#sequence += 2n;
    this.#file.write(offsetOf.sequence, this.#sequence);
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
