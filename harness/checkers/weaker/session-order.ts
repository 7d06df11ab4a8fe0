/**
 * Can a set of session guarantees hold together in a history? Exactly decided, by the definitions of Terry et al. 1994.
 *
 * There, a read is served from a set of writes and returns the newest of its key among them; all servers agree which of
 * two writes of a key is newer. Each guarantee demands that a read's set contains certain writes, or that one write is
 * newer than another. The least sets that meet the demands are the best ones, since a bigger set only forbids more. So
 * the guarantees can hold together exactly if, per key, "must be older than" has no cycle: everything in a read's least
 * set is older than what it returned, and monotonic writes and writes-follow-reads order the writes themselves.
 * A compare-and-set is newer than what it replaced, whatever is guaranteed. No other order is assumed; real time is not.
 *
 * Sets are rows of bits, computed for one block of versions after the other: O(operations × versions / 32) time, and
 * memory for each key quadratic in its versions.
 */
import type { Access, Version } from "./versions.ts";

export const guarantees = [
  "read-your-writes",
  "monotonic-reads",
  "monotonic-writes",
  "writes-follow-reads",
] as const;
export type Guarantee = (typeof guarantees)[number];
export type Guarantees = ReadonlySet<Guarantee>;

/** Versions each of which must be older than the next, and the last older than the first. */
export type Cycle = readonly Version[];

/** Versions a key may have: beyond it its row bits would take more than 50 MB. */
export const versionsMax = 20_000;
const blockWords = 32;

interface Slot {
  readonly version: Version;
  /** Bit of this version among those of its key. */
  readonly place: number;
  readonly of: KeyRows;
}

/** What must be older, per version of one key. */
interface KeyRows {
  readonly key: string;
  readonly versions: readonly Version[];
  readonly words: number;
  rows: Int32Array;
  /** A version that must be older than the initial one. */
  olderThanInitial: Version | undefined;
}

interface Step {
  readonly rank: number;
  readonly access: Access;
  readonly ends: boolean;
}

/** A part of the columns that is computed in one pass: words `from` to `from + words` of one key. */
interface Block {
  readonly of: KeyRows;
  readonly from: number;
  /** First word in the pass. */
  readonly at: number;
  readonly words: number;
}

export class SessionOrder {
  readonly sessionOf: (access: Access) => string;
  readonly #steps: readonly Step[];
  readonly #keys: readonly KeyRows[];
  readonly #slots = new Map<Version, Slot>();
  readonly #number = new Map<Version, number>();
  /** Keys with too many versions to be judged. */
  readonly tooLarge: readonly string[];

  constructor(accesses: readonly Access[], sessionOf: (access: Access) => string) {
    this.sessionOf = sessionOf;
    this.#steps = stepsOf(accesses);
    const byKey = new Map<string, Version[]>();
    for (const { writes } of accesses) {
      if (!writes) continue;
      this.#number.set(writes, this.#number.size);
      const ofKey = byKey.get(writes.key);
      if (ofKey) ofKey.push(writes);
      else byKey.set(writes.key, [writes]);
    }
    this.tooLarge = [...byKey].filter(([, all]) => all.length > versionsMax).map(([key]) => key);
    this.#keys = [...byKey]
      .filter(([, all]) => all.length <= versionsMax)
      .map(([key, versions]) => {
        const words = (versions.length + 31) >> 5;
        return { key, versions, words, rows: new Int32Array(0), olderThanInitial: undefined };
      });
    for (const of of this.#keys) {
      of.versions.forEach((version, place) => {
        this.#slots.set(version, { version, place, of });
      });
    }
  }

  /**
   * The keys on which the guarantees cannot hold together, each with a shortest cycle found; undefined when the time is
   * over. The initial version stands in a cycle as one without a writer.
   *
   * @param untilMs `performance.now()` at which to give up.
   */
  violated(demanded: Guarantees, untilMs: number): Map<string, Cycle> | undefined {
    const found = new Map<string, Cycle>();
    for (const pass of passesOf(this.#keys)) {
      for (const { of } of pass) {
        if (of.rows.length > 0) continue;
        of.rows = new Int32Array(of.words * of.versions.length);
        of.olderThanInitial = undefined;
      }
      if (!new Pass(pass, demanded, this.#slots, this.#number, this.sessionOf).run(this.#steps, untilMs)) {
        for (const of of this.#keys) of.rows = new Int32Array(0);
        return undefined;
      }
      for (const { of, from, words } of pass) {
        if (from + words < of.words) continue;
        const cycle = cycleOf(of);
        of.rows = new Int32Array(0);
        if (cycle) found.set(of.key, cycle);
      }
    }
    return found;
  }
}

/** Invocations make a write's set, completions add to what the session has done; in the order of the history. */
function stepsOf(accesses: readonly Access[]): Step[] {
  const steps = accesses.flatMap((access): Step[] => {
    const { operation } = access;
    const starts = { rank: operation.call, access, ends: false };
    return operation.outcome === "ok" ? [starts, { rank: operation.return, access, ends: true }] : [starts];
  });
  return steps.sort((a, b) => a.rank - b.rank);
}

function* passesOf(keys: readonly KeyRows[]): Generator<Block[]> {
  let pass: Block[] = [];
  let at = 0;
  for (const of of keys) {
    for (let from = 0; from < of.words; ) {
      const words = Math.min(of.words - from, blockWords - at);
      pass.push({ of, from, at, words });
      from += words;
      at += words;
      if (at === blockWords) {
        yield pass;
        pass = [];
        at = 0;
      }
    }
  }
  if (pass.length > 0) yield pass;
}

/** One walk over the history for one block of columns. */
class Pass {
  readonly #blocks: ReadonlyMap<KeyRows, Block>;
  readonly #demanded: Guarantees;
  readonly #slots: ReadonlyMap<Version, Slot>;
  readonly #number: ReadonlyMap<Version, number>;
  readonly #sessionOf: (access: Access) => string;
  /** What every server that has a version must have, too: itself included. */
  readonly #with: Int32Array;
  /** A compare-and-set under way: its set lacks that of the version it saw. */
  readonly #via = new Map<Version, Version>();
  readonly #sessions = new Map<string, { readonly wrote: Int32Array; readonly read: Int32Array }>();
  readonly #needed = new Int32Array(blockWords);
  readonly #seen = new Int32Array(blockWords);
  readonly #keyOf: ReadonlyMap<string, KeyRows>;

  constructor(
    blocks: readonly Block[],
    demanded: Guarantees,
    slots: ReadonlyMap<Version, Slot>,
    number: ReadonlyMap<Version, number>,
    sessionOf: (access: Access) => string,
  ) {
    this.#blocks = new Map(blocks.map((block) => [block.of, block]));
    this.#keyOf = new Map(blocks.map(({ of }) => [of.key, of]));
    this.#demanded = demanded;
    this.#slots = slots;
    this.#number = number;
    this.#sessionOf = sessionOf;
    this.#with = new Int32Array(number.size * blockWords);
  }

  run(steps: readonly Step[], untilMs: number): boolean {
    for (let i = 0; i < steps.length; i++) {
      if (i % 4096 === 0 && performance.now() > untilMs) return false;
      const { access, ends } = steps[i]!;
      if (ends) this.#end(access);
      else if (access.writes) this.#begin(access, access.writes);
    }
    return true;
  }

  #session(access: Access) {
    const name = this.#sessionOf(access);
    let session = this.#sessions.get(name);
    if (!session) {
      session = { wrote: new Int32Array(blockWords), read: new Int32Array(blockWords) };
      this.#sessions.set(name, session);
    }
    return session;
  }

  #begin(access: Access, version: Version): void {
    const own = this.#setOf(version);
    const session = this.#session(access);
    if (this.#demanded.has("monotonic-writes")) orInto(own, session.wrote);
    if (this.#demanded.has("writes-follow-reads")) {
      orInto(own, session.read);
      if (access.reads) this.#via.set(version, access.reads);
    }
    this.#older(version, own);
    this.#setBit(version, own);
    if (access.reads) {
      const replaced = this.#needed.fill(0);
      this.#setBit(access.reads, replaced);
      this.#older(version, replaced);
    }
  }

  #end(access: Access): void {
    const session = this.#session(access);
    const { reads, writes } = access;
    const seen = this.#seen.fill(0);
    if (reads) {
      this.#include(reads, seen);
      const needed = this.#needed.fill(0);
      orInto(needed, seen);
      if (this.#demanded.has("read-your-writes")) orInto(needed, session.wrote);
      if (this.#demanded.has("monotonic-reads")) orInto(needed, session.read);
      this.#older(reads, needed);
      orInto(session.read, seen);
    }
    if (!writes) return;
    if (this.#via.delete(writes)) {
      this.#older(writes, seen);
      orInto(this.#setOf(writes), seen);
    }
    this.#include(writes, session.wrote);
  }

  #setOf(version: Version): Int32Array {
    const from = this.#number.get(version)! * blockWords;
    return this.#with.subarray(from, from + blockWords);
  }

  /** Adds what comes with a version; through compare-and-sets under way, to what they saw. */
  #include(version: Version, into: Int32Array): void {
    let next: Version | undefined = version;
    for (let links = 0; next?.writer && links <= this.#number.size; links++) {
      orInto(into, this.#setOf(next));
      next = this.#via.get(next);
    }
  }

  #setBit(version: Version, into: Int32Array): void {
    const slot = this.#slots.get(version);
    const block = slot && this.#blocks.get(slot.of);
    if (!block) return;
    const word = (slot.place >> 5) - block.from;
    if (word < 0 || word >= block.words) return;
    into[block.at + word]! |= 1 << (slot.place & 31);
  }

  /** Everything of the same key in the set must be older than the version. */
  #older(version: Version, set: Int32Array): void {
    const of = this.#keyOf.get(version.key);
    const block = of && this.#blocks.get(of);
    if (!block) return;
    const place = this.#slots.get(version)?.place;
    for (let word = 0; word < block.words; word++) {
      let bits = set[block.at + word]!;
      if (bits === 0) continue;
      const inKey = block.from + word;
      if (place === undefined) {
        block.of.olderThanInitial ??= block.of.versions[inKey * 32 + 31 - Math.clz32(bits & -bits)];
        return;
      }
      if (place >> 5 === inKey) bits &= ~(1 << (place & 31));
      block.of.rows[place * block.of.words + inKey]! |= bits;
    }
  }
}

function orInto(target: Int32Array, source: Int32Array): void {
  for (let word = 0; word < blockWords; word++) target[word]! |= source[word]!;
}

/** A short cycle among the versions of one key; undefined when there is an order of them. */
function cycleOf(of: KeyRows): Cycle | undefined {
  if (of.olderThanInitial) {
    return [of.olderThanInitial, { key: of.key, value: null, writer: undefined }];
  }
  const left = leftAfterSorting(of);
  if (left.length === 0) return undefined;
  const shortest = left
    .slice(0, startsTried)
    .map((place) => cycleThrough(of, place))
    .filter((cycle) => cycle !== undefined)
    .sort((a, b) => a.length - b.length)[0];
  return shortest && fromTheFirstWritten(shortest.map((place) => of.versions[place]!));
}

function fromTheFirstWritten(cycle: Cycle): Cycle {
  const calls = cycle.map(({ writer }) => writer?.call ?? -1);
  const first = calls.indexOf(Math.min(...calls));
  return [...cycle.slice(first), ...cycle.slice(0, first)];
}

const startsTried = 200;

/** What is older than a version, as places. */
function* olderThan(of: KeyRows, place: number): Generator<number> {
  for (let word = 0; word < of.words; word++) {
    for (let bits = of.rows[place * of.words + word]!; bits !== 0; bits &= bits - 1) {
      yield word * 32 + 31 - Math.clz32(bits & -bits);
    }
  }
}

/**
 * What is left when versions with nothing unplaced to be older than them are placed, again and again: empty exactly if
 * there is an order. Versions come in the order in which they were sent, so that one or two walks place nearly all.
 */
function leftAfterSorting(of: KeyRows): number[] {
  const unplaced = new Int32Array(of.words).fill(-1);
  let left = [...of.versions.keys()];
  for (let before = Number.POSITIVE_INFINITY; left.length > 0 && left.length <= before / 2; ) {
    before = left.length;
    left = left.filter((place) => {
      for (let word = 0; word < of.words; word++) {
        if ((of.rows[place * of.words + word]! & unplaced[word]!) !== 0) return true;
      }
      unplaced[place >> 5]! &= ~(1 << (place & 31));
      return false;
    });
  }
  return left.length === 0 ? left : leftAfterCounting(of, left);
}

/** The same for what those walks left, by Kahn 1962, which takes each dependency once. */
function leftAfterCounting(of: KeyRows, some: readonly number[]): number[] {
  const unplaced = new Set(some);
  const newer = new Int32Array(of.versions.length);
  const older = (place: number) => [...olderThan(of, place)].filter((other) => unplaced.has(other));
  for (const place of some) for (const other of older(place)) newer[other]!++;
  const free = some.filter((place) => newer[place] === 0);
  for (let place = free.pop(); place !== undefined; place = free.pop()) {
    for (const other of older(place)) if (--newer[other]! === 0) free.push(other);
    unplaced.delete(place);
  }
  return [...unplaced];
}

/** Breadth first towards older versions until the start comes again; oldest first. */
function cycleThrough(of: KeyRows, start: number): number[] | undefined {
  const cameFrom = new Map<number, number>();
  const queue = [start];
  for (const place of queue) {
    for (const older of olderThan(of, place)) {
      if (older === start) {
        const path = [place];
        while (path.at(-1) !== start) path.push(cameFrom.get(path.at(-1)!)!);
        return path;
      }
      if (cameFrom.has(older)) continue;
      cameFrom.set(older, place);
      queue.push(older);
    }
  }
  return undefined;
}
