/**
 * What recoveries showed, as numbers: each read request is a *slot*, each value found in it gets a number, and each whole
 * recovery is one object, the same for equal recoveries. Thousands of crash states show few different things, so that
 * almost every comparison and judgement becomes a look-up.
 *
 * Values are plain JSON, as `RecoveredStore.read` and clients return them. Two are equal when their JSON is.
 */
import type { Request } from "../../../stores/contract.ts";

/** Everything that was read from one recovered store. Equal recoveries are the same object. */
export interface Recovered {
  /** 0, 1, 2 … */
  readonly id: number;
  /** By slot: the number of the value that was found. */
  readonly values: Int32Array;
}

export class RecoveredValues {
  readonly requests: readonly Request[];
  readonly #slots: Slot[];
  readonly #known = new Map<number, Recovered[]>();
  #count = 0;
  /** The values being read; copied when they turn out to be new. */
  readonly #scratch: Int32Array;

  /** @param requests the reads that are made after every recovery, in this order. */
  constructor(requests: readonly Request[]) {
    this.requests = requests;
    this.#slots = requests.map(() => new Slot());
    this.#scratch = new Int32Array(requests.length);
  }

  /** Reads everything. What `read` throws is thrown on. */
  recovered(read: (request: Request) => unknown): Recovered {
    const { requests } = this;
    for (let slot = 0; slot < requests.length; slot++) {
      this.#scratch[slot] = this.#slots[slot]!.numberOf(read(requests[slot]!));
    }
    return (
      this.#known.get(hashOf(this.#scratch))?.find(({ values }) => equal(values, this.#scratch)) ??
      this.#add()
    );
  }

  valueOf(slot: number, value: number): unknown {
    return this.#slots[slot]!.values[value];
  }

  /** How many different recoveries there were. */
  get size(): number {
    return this.#count;
  }

  /** The first slot in which two recoveries differ; -1 when they are equal. */
  firstDifference(a: Recovered, b: Recovered): number {
    return a === b ? -1 : a.values.findIndex((value, slot) => value !== b.values[slot]);
  }

  #add(): Recovered {
    const recovered = { id: this.#count++, values: this.#scratch.slice() };
    const hash = hashOf(recovered.values);
    const same = this.#known.get(hash);
    if (same) same.push(recovered);
    else this.#known.set(hash, [recovered]);
    return recovered;
  }
}

/** What is on the disk or not at one moment makes a few different values of one key. */
const recentAtMost = 4;

/** The values of one request, numbered as they come. */
class Slot {
  readonly values: unknown[] = [];
  readonly #strings = new Map<unknown, number>();
  readonly #others = new Map<string, number>();
  /** Numbers of the values seen last, the newest first. */
  readonly #recent: number[] = [];

  numberOf(value: unknown): number {
    const recent = this.#recent;
    for (let at = 0; at < recent.length; at++) {
      const number = recent[at]!;
      if (!sameJson(value, this.values[number])) continue;
      for (let later = at; later > 0; later--) recent[later] = recent[later - 1]!;
      recent[0] = number;
      return number;
    }
    const number = this.#find(value);
    recent.unshift(number);
    if (recent.length > recentAtMost) recent.pop();
    return number;
  }

  #find(value: unknown): number {
    const plain = typeof value !== "object" || value === null;
    const known = plain ? this.#strings.get(value ?? null) : this.#others.get(JSON.stringify(value));
    if (known !== undefined) return known;
    const number = this.values.length;
    this.values.push(plain ? (value ?? null) : structuredClone(value));
    if (plain) this.#strings.set(value ?? null, number);
    else this.#others.set(JSON.stringify(value), number);
    return number;
  }
}

/** Most slots hold what they held in a state just before: comparing is cheaper than writing JSON. */
function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return (a ?? null) === (b ?? null);
  }
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i] && !sameJson(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const keys = Object.keys(a);
  const others = b as Record<string, unknown>;
  // In this order, too: another order of members is another JSON text.
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => key in others && sameJson((a as Record<string, unknown>)[key], others[key]))
  );
}

function hashOf(values: Int32Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < values.length; i++) hash = Math.imul(hash ^ values[i]!, 0x01000193);
  return hash;
}

function equal(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
