/**
 * Contents of files as immutable 4 KiB pages, each with a 64-bit hash: what makes it cheap to hold thousands of crash
 * states that differ in one page, and to know two equal ones without comparing bytes.
 *
 * A hash is two unsigned 32-bit numbers (`high`, `low`), and hashes of parts are *added*, so that exchanging one page
 * of a file, or one file of a directory, costs one subtraction and one addition. A page of zeros counts as 0: a hole and
 * written zeros are the same content. Two different contents have the same hash with a chance of 2^-64 (not against an
 * adversary).
 */

/** The unit in which Linux caches and writes file contents, bytes. */
export const pageBytes = 4096;

/** One page; never changed once made. */
export class PageContent {
  /** Exactly `pageBytes` long; `undefined` when all of it is zero. */
  readonly bytes: Uint8Array | undefined;
  #high = 0;
  #low = 0;
  #hashed = false;
  #knownEnd = -1;
  #cuts: Map<number, PageContent> | undefined;

  /** Takes ownership of the bytes: their buffer offset must be a multiple of 4, and nobody may change them. */
  constructor(bytes: Uint8Array | undefined) {
    this.bytes = bytes !== undefined && isZero(bytes) ? undefined : bytes;
  }

  get high(): number {
    if (!this.#hashed) this.#hash();
    return this.#high;
  }

  get low(): number {
    if (!this.#hashed) this.#hash();
    return this.#low;
  }

  /** The first `length` bytes, zeros behind them. */
  cut(length: number): PageContent {
    if (this.bytes === undefined || length >= pageBytes) return this;
    const known = this.#cuts?.get(length);
    if (known !== undefined) return known;
    // Of a file that has only grown.
    if (length >= this.#end) return this;
    this.#cuts ??= new Map();
    const made = zeroFrom(this, length);
    this.#cuts.set(length, made);
    return made;
  }

  /** In bytes, and a multiple of 4: from there on all is zero. */
  get #end(): number {
    if (this.#knownEnd < 0) {
      let count = 0;
      if (this.bytes !== undefined) {
        const words = wordsOf(this.bytes);
        count = words.length;
        while (count > 0 && words[count - 1] === 0) count--;
      }
      this.#knownEnd = count * 4;
    }
    return this.#knownEnd;
  }

  #hash(): void {
    this.#hashed = true;
    if (this.bytes === undefined) return;
    const words = wordsOf(this.bytes);
    let high = 0x9e3779b9;
    let low = 0x85ebca6b;
    // All pages have the same length, so that zeros at the end need not be counted.
    const count = this.#end / 4;
    for (let i = 0; i < count; i++) {
      const word = words[i]!;
      high = Math.imul(high ^ word, 0x01000193);
      high ^= high >>> 15;
      low = Math.imul(low + word, 0x2c1b3c6d);
      low ^= low >>> 13;
    }
    this.#high = finalMix(high) || 1;
    this.#low = finalMix(low ^ 0x5bd1e995) || 1;
  }
}

/** Written zeros, as opposed to a hole (`undefined` in `FileContent.pages`). */
export const zeroPage = new PageContent(undefined);

/** The content of one file: a size, and its pages. Never changed once made. */
export class FileContent {
  /** Bytes. */
  readonly size: number;
  /** At most `pagesFor(size)` entries; `undefined` is a hole. What lies behind `size` in the last page is zero. */
  readonly pages: readonly (PageContent | undefined)[];
  #high: number | undefined;
  #low = 0;
  #whole: Uint8Array | undefined;

  constructor(size: number, pages: readonly (PageContent | undefined)[]) {
    this.size = size;
    this.pages = pages;
  }

  get high(): number {
    if (this.#high === undefined) this.#hash();
    return this.#high!;
  }

  get low(): number {
    if (this.#high === undefined) this.#hash();
    return this.#low;
  }

  /** The same file with some pages exchanged, then cut or extended with a hole to `size` bytes. */
  with(size: number, changes: ReadonlyMap<number, PageContent | undefined>): FileContent {
    const count = pagesFor(size);
    const pages = this.pages.length <= count ? this.pages.slice() : this.pages.slice(0, count);
    for (const [index, page] of changes) {
      if (index >= count) continue;
      while (pages.length < index) pages.push(undefined);
      pages[index] = page;
    }
    const tail = size % pageBytes;
    const last = count - 1;
    if (tail !== 0 && pages[last] !== undefined) pages[last] = pages[last].cut(tail);
    return new FileContent(size, pages);
  }

  /** All bytes, in one array that is shared by everybody who asks: not to be changed. */
  whole(): Uint8Array {
    if (this.#whole !== undefined) return this.#whole;
    const whole = new Uint8Array(this.size);
    for (let index = 0; index < this.pages.length; index++) {
      const bytes = this.pages[index]?.bytes;
      if (bytes === undefined) continue;
      const start = index * pageBytes;
      whole.set(start + pageBytes <= this.size ? bytes : bytes.subarray(0, this.size - start), start);
    }
    this.#whole = whole;
    return whole;
  }

  #hash(): void {
    let high = sizeHigh(this.size);
    let low = sizeLow(this.size);
    for (let index = 0; index < this.pages.length; index++) {
      const page = this.pages[index];
      if (page === undefined) continue;
      high = (high + pageHigh(index, page)) >>> 0;
      low = (low + pageLow(index, page)) >>> 0;
    }
    this.#high = high;
    this.#low = low;
  }
}

/** An empty file. */
export const emptyContent = new FileContent(0, []);

/** How many pages a file of `size` bytes has. */
export function pagesFor(size: number): number {
  return Math.ceil(size / pageBytes);
}

/** Content with these bytes, which are copied. */
export function contentOf(bytes: Uint8Array): FileContent {
  const count = pagesFor(bytes.length);
  const padded = new Uint8Array(count * pageBytes);
  padded.set(bytes);
  const pages: PageContent[] = [];
  for (let i = 0; i < count; i++) {
    const page = new PageContent(padded.subarray(i * pageBytes, (i + 1) * pageBytes));
    pages.push(page.bytes === undefined ? zeroPage : page);
  }
  return new FileContent(bytes.length, pages);
}

/** What page `index` adds to the hash of its file. */
export function pageHigh(index: number, page: PageContent | undefined): number {
  return page?.bytes === undefined ? 0 : mixHigh(index, page.high);
}
export function pageLow(index: number, page: PageContent | undefined): number {
  return page?.bytes === undefined ? 0 : mixLow(index, page.low);
}

/** What the size adds to the hash of its file. */
export function sizeHigh(size: number): number {
  return mixHigh(size >>> 0, 0x51ed270b ^ Math.floor(size / 2 ** 32));
}
export function sizeLow(size: number): number {
  return mixLow(size >>> 0, 0x2545f491 ^ Math.floor(size / 2 ** 32));
}

/** Combines two 32-bit values, the order of which matters. */
export function mixHigh(a: number, b: number): number {
  return finalMix(Math.imul(a ^ 0x27d4eb2f, 0x165667b1) + b);
}
export function mixLow(a: number, b: number): number {
  return finalMix(Math.imul(a + 0x3c6ef372, 0x5f356495) ^ Math.imul(b, 0x2127599b));
}

/** A 32-bit hash of a text, one for each half (FNV-1a with two starts). */
export function textHash(text: string, start: number): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return finalMix(hash);
}

/** The finalizer of MurmurHash3 (A. Appleby, public domain): every bit of the input changes half of the output. */
function finalMix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function zeroFrom(page: PageContent, length: number): PageContent {
  const bytes = new Uint8Array(pageBytes);
  bytes.set(page.bytes!.subarray(0, length));
  return new PageContent(bytes);
}

function isZero(bytes: Uint8Array): boolean {
  const words = wordsOf(bytes);
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
  return true;
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
