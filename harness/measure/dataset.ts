/**
 * The keys and values every store is measured with: 50-byte keys over a space of 100,000, chosen uniformly, and values of
 * 100 bytes that differ from each other and do not compress to nothing. ASCII, so that a byte is a character.
 */
import { seededRandom } from "./random.ts";

export const keyBytes = 50;
export const valueBytes = 100;

/** Gives keys to ask for and values to write, from a seed; the same seed gives the same sequence to every store. */
export interface RequestSource {
  key(): string;
  value(): string;
}

/** `bench:` and the number, padded to 50 bytes. */
export function benchKeys(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `bench:${String(index).padStart(keyBytes - 6, "0")}`);
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const fillerBytes = 4096;
const counterBytes = 12;

/** A value costs one `padStart` and one slice, so that making it is not what is measured. */
export function requestSource(keys: readonly string[], seed: number): RequestSource {
  const random = seededRandom(seed);
  const filler = Array.from({ length: fillerBytes }, () => alphabet[Math.floor(random() * 64)]).join("");
  let written = 0;
  return {
    key: () => keys[Math.floor(random() * keys.length)]!,
    value: () => {
      const number = String(written++).padStart(counterBytes, "0");
      const start = Math.floor(random() * (fillerBytes - valueBytes));
      return number + filler.slice(start, start + valueBytes - counterBytes);
    },
  };
}
