/**
 * A history on disk as columns (history-columns.ts): a tenth of the time to read, for histories that are checked again and
 * again. It is made from a finished history; a run writes JSON lines, which survive its own death line by line.
 *
 * The file: 8 bytes of magic, the format's version and the header's length (two u32, little-endian), the header (JSON),
 * then sections, each at a multiple of 8: the columns, the offsets and bytes of the texts, the restarts (JSON); and at the
 * end the SHA-1 of all that precedes it. Numbers are little-endian; on a big-endian machine reading and writing refuse.
 *
 * What reading does not trust: every length in the header, compared with the size of the file before anything is
 * allocated; the checksum (damage, not malice: whoever forges a file can forge that, too); every number that leads
 * elsewhere; UTF-8. JSON inside the texts is looked at when it is asked for.
 */
import { isUtf8 } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { endianness } from "node:os";
import { HistoryError } from "./history.ts";
import {
  type ColumnName,
  columnTypes,
  HistoryColumns,
  isOptional,
  type TableColumns,
  type Texts,
} from "./history-columns.ts";
import type { Readiness } from "./operation.ts";
import { openRegularFile } from "./regular-file.ts";

/** Version of the file's form; another one is refused. */
export const columnarFormatVersion = 1;

/** The first bytes of such a file. */
export const columnarMagic = Buffer.from("ackedcol");
const magic = columnarMagic;
const headBytes = 16;
const digestBytes = 20;
const headerBytesMax = 64 * 1024;
/** Beyond this one buffer cannot hold the file on every machine. */
const fileBytesMax = 2 ** 32;

interface Header {
  readonly rows: number;
  /** Names of the columns, in their order. */
  readonly columns: readonly ColumnName[];
  readonly texts: number;
  readonly textBytes: number;
  readonly restartBytes: number;
}

/**
 * Writes a history in columns.
 *
 * @throws HistoryError when the file cannot be written, or the texts take 4 GB or more.
 */
export function writeColumnarFile(path: string, history: HistoryColumns): void {
  requireLittleEndian();
  const columns = columnsIn(history.columns);
  const texts = encodedTexts(history.texts);
  const restarts = Buffer.from(JSON.stringify(history.readiness));
  const header = Buffer.from(
    JSON.stringify({
      rows: history.count,
      columns,
      texts: history.texts.count,
      textBytes: texts.bytes.length,
      restartBytes: restarts.length,
    } satisfies Header),
  );
  const head = Buffer.alloc(headBytes);
  magic.copy(head);
  head.writeUInt32LE(columnarFormatVersion, 8);
  head.writeUInt32LE(header.length, 12);
  const sections = [
    ...columns.map((name) => bytesOf(history.columns[name]!)),
    bytesOf(texts.offsets),
    texts.bytes,
    restarts,
  ];
  writeAll(path, [head, padded(header), ...sections.map(padded)].flat());
}

/**
 * Reads a history in columns.
 *
 * @throws HistoryError saying in one sentence why the file cannot be read, or is not such a history.
 */
export function readColumnarFile(path: string): HistoryColumns {
  requireLittleEndian();
  const bytes = readWhole(path);
  const header = headerIn(bytes);
  const sections = new Sections(bytes, headBytes + paddedLength(bytes.readUInt32LE(12)));
  const columns = Object.fromEntries(
    header.columns.map((name) => [name, sections.array(columnTypes[name], header.rows)]),
  ) as unknown as TableColumns;
  const offsets = sections.array(Uint32Array, header.texts + 1);
  const texts = new StoredTexts(offsets, sections.bytes(header.textBytes));
  return new HistoryColumns(columns, texts, restartsIn(sections.bytes(header.restartBytes)));
}

function requireLittleEndian(): void {
  if (endianness() !== "LE") throw new HistoryError("columnar histories need a little-endian machine");
}

function columnsIn(columns: TableColumns): ColumnName[] {
  return (Object.keys(columnTypes) as ColumnName[]).filter((name) => columns[name] !== undefined);
}

function bytesOf(array: ArrayBufferView): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

function paddedLength(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function padded(bytes: Buffer): Buffer[] {
  return [bytes, Buffer.alloc(paddedLength(bytes.length) - bytes.length)];
}

function encodedTexts(texts: Texts): { readonly offsets: Uint32Array; readonly bytes: Buffer } {
  const offsets = new Uint32Array(texts.count + 1);
  const pieces: Buffer[] = [];
  let length = 0;
  for (let number = 0; number < texts.count; number++) {
    const piece = Buffer.from(texts.at(number));
    pieces.push(piece);
    length += piece.length;
    if (length >= fileBytesMax) throw new HistoryError("the history's texts take 4 GB or more");
    offsets[number + 1] = length;
  }
  return { offsets, bytes: Buffer.concat(pieces) };
}

function writeAll(path: string, pieces: readonly Buffer[]): void {
  const hash = createHash("sha1");
  try {
    const fd = openSync(path, "w", 0o644);
    try {
      for (const piece of pieces) {
        hash.update(piece);
        writePiece(fd, piece);
      }
      writePiece(fd, hash.digest());
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new HistoryError(`the columnar history cannot be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function writePiece(fd: number, piece: Buffer): void {
  for (let written = 0; written < piece.length; ) written += writeSync(fd, piece, written);
}

/** The file without its checksum, which was compared. */
function readWhole(path: string): Buffer {
  let bytes: Buffer;
  try {
    const fd = openRegularFile(path, "the columnar history");
    try {
      bytes = readFrom(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof HistoryError) throw error;
    throw new HistoryError(`the columnar history cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const body = bytes.subarray(0, bytes.length - digestBytes);
  const hash: Hash = createHash("sha1").update(body);
  if (!hash.digest().equals(bytes.subarray(body.length)))
    throw wrong("its checksum does not match: it is damaged, or was not written to its end");
  return body;
}

/** Looks at the header before it allocates what the file's size asks for. */
function readFrom(fd: number): Buffer {
  const { size } = fstatSync(fd);
  const start = Buffer.alloc(Math.min(size, headBytes + headerBytesMax));
  readInto(fd, start, 0);
  if (start.length < headBytes || !start.subarray(0, magic.length).equals(magic))
    throw wrong("it does not begin as one does");
  const version = start.readUInt32LE(8);
  if (version !== columnarFormatVersion)
    throw wrong(`it has format version ${version}, and this is acked for version ${columnarFormatVersion}`);
  const expected = fileBytes(headerIn(start), start.readUInt32LE(12));
  if (expected !== size) throw wrong(`its header asks for ${expected} bytes, and it has ${size}`);
  if (size > fileBytesMax) throw wrong("it is larger than 4 GB");
  const whole = Buffer.allocUnsafeSlow(size);
  readInto(fd, whole, 0);
  return whole;
}

function readInto(fd: number, buffer: Buffer, position: number): void {
  for (let read = 0; read < buffer.length; ) {
    const length = Math.min(buffer.length - read, 2 ** 30);
    const count = readSync(fd, buffer, read, length, position + read);
    if (count === 0) throw wrong("it became shorter while it was read");
    read += count;
  }
}

function wrong(what: string): HistoryError {
  return new HistoryError(`this is no columnar history: ${what}`);
}

function headerIn(start: Buffer): Header {
  const length = start.readUInt32LE(12);
  if (length > headerBytesMax || headBytes + length > start.length) throw wrong("its header does not end");
  let header: unknown;
  try {
    header = JSON.parse(start.toString("utf8", headBytes, headBytes + length));
  } catch (error) {
    throw new HistoryError("this is no columnar history: its header is not JSON", { cause: error });
  }
  if (!isHeader(header)) throw wrong("its header lacks what it must say");
  return header;
}

function isHeader(value: unknown): value is Header {
  if (typeof value !== "object" || value === null) return false;
  const { rows, columns, texts, textBytes, restartBytes } = value as Partial<Record<keyof Header, unknown>>;
  const isLength = (length: unknown) =>
    Number.isSafeInteger(length) && (length as number) >= 0 && (length as number) < fileBytesMax;
  if (![rows, texts, textBytes, restartBytes].every(isLength) || !Array.isArray(columns)) return false;
  // The order is fixed, so the columns are right iff they are the known ones with some of the optional left out.
  const known = (Object.keys(columnTypes) as ColumnName[]).filter(
    (name) => !isOptional(name) || columns.includes(name),
  );
  return known.length === columns.length && known.every((name, i) => columns[i] === name);
}

/** The size that a file with this header has. */
function fileBytes(header: Header, headerLength: number): number {
  const columns = header.columns.map((name) => columnTypes[name].BYTES_PER_ELEMENT * header.rows);
  const sections = [...columns, 4 * (header.texts + 1), header.textBytes, header.restartBytes];
  const all = [headerLength, ...sections].reduce((sum, bytes) => sum + paddedLength(bytes), headBytes);
  return all + digestBytes;
}

type ColumnType = Uint8ArrayConstructor | Uint32ArrayConstructor | Float64ArrayConstructor;

/** Views of one section after the other; the sizes were compared with the file's. */
class Sections {
  readonly #whole: Buffer;
  #at: number;

  constructor(whole: Buffer, at: number) {
    this.#whole = whole;
    this.#at = at;
  }

  array<Type extends ColumnType>(Type: Type, length: number): InstanceType<Type> {
    const Any = Type as Uint32ArrayConstructor;
    const array = new Any(this.#whole.buffer as ArrayBuffer, this.#whole.byteOffset + this.#at, length);
    this.#at += paddedLength(length * Type.BYTES_PER_ELEMENT);
    return array as InstanceType<Type>;
  }

  bytes(length: number): Buffer {
    const bytes = this.#whole.subarray(this.#at, this.#at + length);
    this.#at += paddedLength(length);
    return bytes;
  }
}

/** Texts that are decoded one by one. */
class StoredTexts implements Texts {
  readonly count: number;
  readonly #offsets: Uint32Array;
  readonly #bytes: Buffer;

  constructor(offsets: Uint32Array, bytes: Buffer) {
    this.count = offsets.length - 1;
    this.#offsets = offsets;
    this.#bytes = bytes;
    if (!isUtf8(bytes)) throw wrong("its texts are not UTF-8");
    let previous = 0;
    for (const offset of offsets) {
      const isInsideCharacter = offset < bytes.length && (bytes[offset]! & 0xc0) === 0x80;
      if (offset < previous || offset > bytes.length || isInsideCharacter)
        throw wrong("its texts are not one after the other");
      previous = offset;
    }
  }

  at(number: number): string {
    return this.#bytes.toString("utf8", this.#offsets[number]!, this.#offsets[number + 1]!);
  }
}

function restartsIn(bytes: Buffer): Readiness[] {
  let restarts: unknown;
  try {
    restarts = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new HistoryError("this is no columnar history: its restarts are not JSON", { cause: error });
  }
  if (!Array.isArray(restarts) || !restarts.every(isReadiness)) throw wrong("its restarts are none");
  return restarts.map(({ node, incarnation, rank, time, report }: Readiness) => ({
    ...{ node, incarnation, rank, time },
    ...(report === undefined ? {} : { report }),
  }));
}

function isReadiness(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { node, incarnation, rank, time } = value as Partial<Readiness>;
  return typeof node === "string" && [incarnation, rank, time].every((number) => Number.isFinite(number));
}
