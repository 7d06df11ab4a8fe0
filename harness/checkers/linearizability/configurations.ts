/**
 * The configurations a search has expanded: sets of placed items, each with a state. Sets are compared exactly, as the
 * words between the first item not yet placed and the last one placed, so an entry is a few bytes however long the
 * history is.
 */
interface Configuration<State> {
  readonly firstWord: number;
  readonly words: Uint32Array;
  readonly state: State;
}

/** Bytes that the memory of one search may take before the older half of it is forgotten. */
const defaultMemoryBytes = 192 * 1024 * 1024;

/**
 * The current set of placed items, and a memory of (set, state) pairs. The memory is bounded: what is forgotten may be
 * expanded again, which costs time and changes no verdict.
 */
export class Configurations<State> {
  readonly #equal: (a: State, b: State) => boolean;
  readonly #hash: (state: State) => number;
  readonly #marks: Int32Array;
  readonly #placed: Uint32Array;
  readonly #known = new Map<number, Configuration<State>[]>();
  #setHash = 0;
  /** All words below are full. */
  #lowWord = 0;
  /** All words from here on have always been empty. */
  #highWord = 0;
  /** Bytes remembered, estimated. */
  #bytes = 0;
  readonly #memoryBytes: number;

  constructor(
    items: number,
    equal: (a: State, b: State) => boolean,
    hash: (state: State) => number,
    memoryBytes = defaultMemoryBytes,
  ) {
    this.#memoryBytes = memoryBytes;
    this.#equal = equal;
    this.#hash = hash;
    this.#marks = mixedNumbers(items);
    this.#placed = new Uint32Array((items >> 5) + 1);
  }

  place(item: number): void {
    const word = item >> 5;
    this.#placed[word] = this.#placed[word]! | (1 << (item & 31));
    this.#setHash ^= this.#marks[item]!;
    if (word >= this.#highWord) this.#highWord = word + 1;
    while (this.#placed[this.#lowWord] === 0xffffffff) this.#lowWord++;
  }

  takeBack(item: number): void {
    const word = item >> 5;
    this.#placed[word] = this.#placed[word]! & ~(1 << (item & 31));
    this.#setHash ^= this.#marks[item]!;
    if (word < this.#lowWord) this.#lowWord = word;
  }

  /** Whether the current set was here before with this state; remembers that it was. */
  seen(state: State): boolean {
    const hash = (this.#setHash ^ Math.imul(this.#hash(state), 0x9e3779b1)) | 0;
    const first = this.#lowWord;
    let end = this.#highWord;
    while (end > first && this.#placed[end - 1] === 0) end--;
    const bucket = this.#known.get(hash);
    if (bucket?.some((known) => this.#isSame(known, first, end, state))) return true;
    const words = this.#placed.slice(first, end);
    const entry = { firstWord: first, words, state };
    if (bucket) bucket.push(entry);
    else this.#known.set(hash, [entry]);
    this.#bytes += bytesOf(entry);
    if (this.#bytes > this.#memoryBytes) this.#forgetOlderHalf();
    return false;
  }

  #forgetOlderHalf(): void {
    for (const [hash, bucket] of this.#known) {
      if (this.#bytes <= this.#memoryBytes / 2) return;
      for (const entry of bucket) this.#bytes -= bytesOf(entry);
      this.#known.delete(hash);
    }
  }

  #isSame(known: Configuration<State>, first: number, end: number, state: State): boolean {
    if (known.firstWord !== first || known.words.length !== Math.max(0, end - first)) return false;
    for (let k = 0; k < known.words.length; k++) {
      if (known.words[k] !== this.#placed[first + k]) return false;
    }
    return this.#equal(known.state, state);
  }
}

function bytesOf({ words }: { readonly words: Uint32Array }): number {
  return 200 + words.byteLength;
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
