/** Immutable sequences of elements, the states of queue.ts and stack.ts. Each change copies: they are meant to be short. */
import { hashString } from "./contract.ts";
import { showValue } from "./register.ts";

/** Elements as `registerValue` writes them, the oldest first. */
export type Sequence = readonly string[];

export function extended(sequence: Sequence, element: string): Sequence {
  return [...sequence, element];
}

export function without(sequence: Sequence, at: number): Sequence {
  return sequence.toSpliced(at, 1);
}

export function isSameSequence(a: Sequence, b: Sequence): boolean {
  return a === b || (a.length === b.length && a.every((element, i) => element === b[i]));
}

export function hashOf(sequence: Sequence): number {
  let hash = sequence.length;
  for (const element of sequence) hash = Math.imul(hash, 31) + hashString(element);
  return hash | 0;
}

/** @param empty what an empty one is called. */
export function show(sequence: Sequence, empty = "empty"): string {
  if (sequence.length === 0) return empty;
  const some = sequence.slice(0, 8).map(showValue);
  return `${some.join(", ")}${sequence.length > 8 ? ", …" : ""}`;
}
