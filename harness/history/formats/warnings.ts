/**
 * What a reader has to say about a file that is readable all the same: every kind of remark once, with how often and
 * where first. A hostile file can invent any number of kinds, so only the first hundred are kept by name.
 */
import { shownText } from "../shown-text.ts";

const kindsKept = 100;

export class Warnings {
  readonly #kinds = new Map<string, { readonly first: string; times: number }>();
  #beyond = 0;

  /** @param place where it was met, for example `line 12`. */
  note(what: string, place: string): void {
    const known = this.#kinds.get(what);
    if (known) known.times++;
    else if (this.#kinds.size < kindsKept) this.#kinds.set(what, { first: place, times: 1 });
    else this.#beyond++;
  }

  sentences(): string[] {
    const sentences = [...this.#kinds].map(([what, { first, times }]) =>
      times === 1 ? `${what} (${first})` : `${what} (first at ${first}, ${times} times)`,
    );
    return this.#beyond === 0 ? sentences : [...sentences, `and ${this.#beyond} further remarks`];
  }
}

/** Text of a file for a sentence: quoted, on one line, at most 60 characters, harmless to a terminal. */
export function shown(value: unknown): string {
  return shownText(JSON.stringify(value) ?? String(value), 60);
}
