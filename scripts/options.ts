/** Option parsers that several commands share. Each throws commander's InvalidArgumentError with one sentence. */
import { statSync } from "node:fs";
import { InvalidArgumentError } from "commander";

/** A comma list that may be given repeatedly. */
export function names(text: string, before: readonly string[] | undefined): string[] {
  const more = text.split(",").map((name) => name.trim());
  if (more.some((name) => name === "")) throw new InvalidArgumentError("it has an empty name; write a,b,c");
  return [...(before ?? []), ...more];
}

/** A signed 32-bit integer. */
export function seed(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value !== (value | 0)) {
    throw new InvalidArgumentError("a seed is an integer between -2147483648 and 2147483647");
  }
  return value;
}

/** A whole number within bounds. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`give a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

/** Whether two paths lead to one file, links followed. */
export function isSameFile(a: string, b: string): boolean {
  const [one, other] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }));
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
}
