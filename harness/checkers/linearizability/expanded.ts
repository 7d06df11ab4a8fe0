/**
 * The configurations a search has expanded: which operations were placed, and the state they led to.
 *
 * Sets are bit sets of which only the words between the first item not yet placed and the last one placed are compared and
 * kept, so an entry is a few bytes however long the history is. Hashes are kept up to date item by item and only find
 * candidates: what decides is an exact comparison.
 *
 * Optional operations have a set of their own, for two reasons. One that may come at any time would keep the window of
 * the others open for ever. And a configuration with *more* of them used up, all else equal, can do nothing that one with
 * fewer cannot: whatever completes it completes the other. So it counts as seen.
 */
class PlacedSet {
  readonly words: Int32Array;
  readonly #marks: Int32Array | undefined;
  hash = 0;
  /** All words below are full. */
  low = 0;
  /** All words from here on are empty. */
  high = 0;

  constructor(items: number, hashed: boolean) {
    this.words = new Int32Array((items >> 5) + 1);
    this.#marks = hashed ? mixedNumbers(items) : undefined;
  }

  has(item: number): boolean {
    return (this.words[item >> 5]! & (1 << (item & 31))) !== 0;
  }

  place(item: number): void {
    const word = item >> 5;
    this.words[word]! |= 1 << (item & 31);
    if (this.#marks) this.hash ^= this.#marks[item]!;
    if (word >= this.high) this.high = word + 1;
    while (this.words[this.low] === -1) this.low++;
  }

  takeBack(item: number): void {
    const word = item >> 5;
    this.words[word]! &= ~(1 << (item & 31));
    if (this.#marks) this.hash ^= this.#marks[item]!;
    if (word < this.low) this.low = word;
    while (this.high > 0 && this.words[this.high - 1] === 0) this.high--;
  }

  get length(): number {
    return Math.max(0, this.high - this.low);
  }
}

/** Bytes that the memory of one search may take before the older half of it is forgotten. */
export const defaultMemoryBytes = 192 * 1024 * 1024;

/**
 * The current set of placed items, and a memory of (set, state) pairs. The memory is bounded: what is forgotten may be
 * expanded again, which costs time and changes no verdict.
 */
export class Expanded {
  readonly #mandatory: PlacedSet;
  readonly #optional: PlacedSet;
  readonly #mandatoryItems: number;
  readonly #generationBytes: number;
  #young = new Generation();
  #old = new Generation();
  /** How many have been expanded. */
  count = 0;

  /** @param mandatory items, numbered before the `optional` ones. */
  constructor(mandatory: number, optional: number, memoryBytes = defaultMemoryBytes) {
    this.#mandatory = new PlacedSet(mandatory, true);
    this.#optional = new PlacedSet(optional, false);
    this.#mandatoryItems = mandatory;
    this.#generationBytes = memoryBytes / 2;
  }

  get bytes(): number {
    return this.#young.bytes + this.#old.bytes;
  }

  isPlaced(item: number): boolean {
    const beyond = item - this.#mandatoryItems;
    return beyond < 0 ? this.#mandatory.has(item) : this.#optional.has(beyond);
  }

  place(item: number): void {
    const beyond = item - this.#mandatoryItems;
    if (beyond < 0) this.#mandatory.place(item);
    else this.#optional.place(beyond);
  }

  takeBack(item: number): void {
    const beyond = item - this.#mandatoryItems;
    if (beyond < 0) this.#mandatory.takeBack(item);
    else this.#optional.takeBack(beyond);
  }

  /** Whether the current set, or one with less used up, was here before with this state; remembers that it was. */
  seen(state: number): boolean {
    const hash = mixed(this.#mandatory.hash ^ Math.imul(state, 0x9e3779b1));
    if (this.#young.has(hash, state, this.#mandatory, this.#optional)) return true;
    if (this.#old.has(hash, state, this.#mandatory, this.#optional)) return true;
    if (this.#young.bytes > this.#generationBytes) {
      this.#old = this.#young;
      this.#young = new Generation();
    }
    this.#young.add(hash, state, this.#mandatory, this.#optional);
    this.count++;
    return false;
  }

  forgetAll(): void {
    this.#young = new Generation();
    this.#old = new Generation();
  }
}

/** Where the parts of an entry are: the next entry of its bucket, its hash, state, and two windows. */
const header = 7;

/** A hash table over one growing array of 32-bit words. */
class Generation {
  #words = new Int32Array(256);
  #used = 1; // 0 means "no entry"
  #buckets = new Int32Array(64);
  #entries = 0;

  get bytes(): number {
    return 4 * (this.#used + this.#buckets.length);
  }

  has(hash: number, state: number, mandatory: PlacedSet, optional: PlacedSet): boolean {
    const words = this.#words;
    let at = this.#buckets[hash & (this.#buckets.length - 1)]!;
    for (; at !== 0; at = words[at]!) {
      if (words[at + 1] !== hash || words[at + 2] !== state) continue;
      if (this.#isSame(at, mandatory) && this.#isWithin(at, optional)) return true;
    }
    return false;
  }

  add(hash: number, state: number, mandatory: PlacedSet, optional: PlacedSet): void {
    const size = header + mandatory.length + optional.length;
    if (this.#used + size > this.#words.length) this.#grow(size);
    if (++this.#entries > this.#buckets.length) this.#spread();
    const at = this.#used;
    const bucket = hash & (this.#buckets.length - 1);
    const words = this.#words;
    words[at] = this.#buckets[bucket]!;
    words[at + 1] = hash;
    words[at + 2] = state;
    words[at + 3] = mandatory.low;
    words[at + 4] = mandatory.length;
    words[at + 5] = optional.low;
    words[at + 6] = optional.length;
    words.set(mandatory.words.subarray(mandatory.low, mandatory.low + mandatory.length), at + header);
    words.set(
      optional.words.subarray(optional.low, optional.low + optional.length),
      at + header + mandatory.length,
    );
    this.#buckets[bucket] = at;
    this.#used += size;
  }

  #isSame(at: number, set: PlacedSet): boolean {
    const words = this.#words;
    const length = words[at + 4]!;
    if (words[at + 3] !== set.low || length !== set.length) return false;
    for (let k = 0; k < length; k++) if (words[at + header + k] !== set.words[set.low + k]) return false;
    return true;
  }

  /** Everything in the entry's optional set is in the current one, too. */
  #isWithin(at: number, set: PlacedSet): boolean {
    const words = this.#words;
    const low = words[at + 5]!;
    const length = words[at + 6]!;
    if (set.low < low) return false; // the entry is full below `low`, the current set is not
    const from = at + header + words[at + 4]!;
    for (let k = 0; k < length; k++) if ((words[from + k]! & ~set.words[low + k]!) !== 0) return false;
    return true;
  }

  #grow(by: number): void {
    const larger = new Int32Array(Math.max(2 * this.#words.length, this.#used + by));
    larger.set(this.#words);
    this.#words = larger;
  }

  /** Twice as many buckets. */
  #spread(): void {
    const words = this.#words;
    const buckets = new Int32Array(2 * this.#buckets.length);
    const mask = buckets.length - 1;
    for (let at = 1; at < this.#used; at += header + words[at + 4]! + words[at + 6]!) {
      const bucket = words[at + 1]! & mask;
      words[at] = buckets[bucket]!;
      buckets[bucket] = at;
    }
    this.#buckets = buckets;
  }
}

function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return once ^ (once >>> 15);
}

/** Well-mixed 32-bit numbers, always the same ones: no run depends on chance. */
function mixedNumbers(count: number): Int32Array {
  const numbers = new Int32Array(count);
  let seed = 0x2545f491;
  for (let i = 0; i < count; i++) {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    numbers[i] = mixed ^ (mixed >>> 14);
  }
  return numbers;
}
