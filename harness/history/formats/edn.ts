/**
 * EDN (github.com/edn-format/edn) to plain JSON values and back, exactly: different values stay different, and what is
 * written is read back as it was.
 *
 * | EDN | here |
 * |---|---|
 * | nil, booleans, strings, whole numbers below 2^53, other finite numbers | themselves |
 * | vectors, lists (equal in Clojure) | arrays |
 * | maps whose keys are keywords (or strings that could not be keywords) | objects, names sorted |
 * | metadata (`^{…}`, `^:x`) | nothing: Clojure compares without it |
 * | everything else: keywords, symbols, characters, sets, other maps, tagged values, 1.0, big numbers, ##NaN | `{"#edn": "its canonical text"}` |
 *
 * The package edn-data was measured first: it rounds whole numbers beyond 2^53 without a word (two different values
 * become one, and a verdict wrong), reads `[1 2}`, `{:a}` and `[1 2` as values, takes `\"` for the start of a string, and
 * reads 5.6 MB/s. It is used in the tests, to compare what both read from well-formed text.
 *
 * What Clojure prints of objects it has no syntax for, `#object[java.lang.Thread 0x1f "…"]`, is no EDN inside; it is read as
 * an opaque text, `#object "java.lang.Thread 0x1f \"…\""`.
 *
 * Not read: Clojure's own syntax beyond EDN (radix numbers, regular expressions, namespaced map literals).
 */
import { maxDepth } from "../json-values.ts";

/** What plain JSON cannot say, as canonical EDN text. */
export interface EdnText {
  readonly "#edn": string;
}

/** Text that is no EDN, in words without a place. */
export class EdnError extends Error {
  override readonly name = "EdnError";
}

/** The value of a text that holds exactly one form. @throws EdnError */
export function readEdn(text: string): unknown {
  const reader = new EdnReader(text);
  const value = reader.next();
  if (value === nothing) throw new EdnError("there is no value");
  if (reader.next() !== nothing) throw new EdnError("there is more than one value");
  return value;
}

/** All forms of a text. @throws EdnError */
export function readEdnForms(text: string): unknown[] {
  const reader = new EdnReader(text);
  const values: unknown[] = [];
  for (let value = reader.next(); value !== nothing; value = reader.next()) values.push(value);
  return values;
}

/**
 * The members of a map whose keys are keywords, by name and in order; a record's tag (`#jepsen.history.Op{…}`) is
 * skipped. `undefined` when all of the text was discarded (`#_`).
 *
 * @throws EdnError
 */
export function readEdnMembers(text: string): Map<string, unknown> | undefined {
  const reader = new EdnReader(text);
  const members = reader.members();
  if (members && reader.next() !== nothing) throw new EdnError("there is more than one value");
  return members;
}

/** The EDN text of a plain value. @throws EdnError when it is nested deeper than 200 levels, or no JSON. */
export function writeEdn(value: unknown, depth = 0): string {
  if (depth > maxDepth) throw new EdnError(`it is nested deeper than ${maxDepth} levels`);
  if (value === null || value === undefined) return "nil";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") return numberText(value);
  if (Array.isArray(value)) return `[${value.map((one) => writeEdn(one, depth + 1)).join(" ")}]`;
  if (typeof value !== "object") throw new EdnError(`a ${typeof value} is no JSON value`);
  if (isEdnText(value)) return value["#edn"];
  const members = Object.entries(value).map(
    ([name, member]) =>
      `${isKeywordName(name) ? `:${name}` : JSON.stringify(name)} ${writeEdn(member, depth + 1)}`,
  );
  return `{${members.join(", ")}}`;
}

/** The elements of a set, in order of their texts; `undefined` for any other value. */
export function setElements(value: unknown): readonly unknown[] | undefined {
  if (!isEdnText(value) || !value["#edn"].startsWith("#{")) return undefined;
  return readEdn(`[${value["#edn"].slice(2, -1)}]`) as unknown[];
}

/** The keyword of this name. */
export function keyword(name: string): EdnText {
  let known = keywords.get(name);
  if (!known) {
    known = canonical(`:${name}`);
    if (keywords.size < 10_000) keywords.set(name, known);
  }
  return known;
}

const keywords = new Map<string, EdnText>();

/** Made here from canonical text, so that writing them need not read it again (nested sets would take 2^depth steps). */
const made = new WeakSet<object>();

function canonical(text: string): EdnText {
  const value = Object.freeze({ "#edn": text });
  made.add(value);
  return value;
}

/** Names that are written as keywords: what every EDN reader takes for one. */
export function isKeywordName(name: string): boolean {
  return /^[A-Za-z*!_?$%&=<>][\w*!?$%&=<>+.-]*(\/[A-Za-z*!_?$%&=<>][\w*!?$%&=<>+.-]*)?$/.test(name);
}

/** The name of a keyword; `undefined` for any other value. */
export function keywordName(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const text = (value as Partial<EdnText>)["#edn"];
  return typeof text === "string" && text[0] === ":" ? text.slice(1) : undefined;
}

/** True for `{"#edn": text}` whose text is canonical; an object that only looks like it is an ordinary map. */
export function isEdnText(value: unknown): value is EdnText {
  if (typeof value !== "object" || value === null) return false;
  if (made.has(value)) return true;
  const text = (value as Partial<EdnText>)["#edn"];
  if (typeof text !== "string" || Object.keys(value).length !== 1) return false;
  try {
    const read = readEdn(text);
    return typeof read === "object" && read !== null && (read as Partial<EdnText>)["#edn"] === text;
  } catch (error) {
    if (error instanceof EdnError) return false;
    throw error;
  }
}

/** What a reader returns at the end of its text, and for a form that was discarded. */
const nothing = Symbol("nothing");

const escapes: Readonly<Record<string, string>> = {
  t: "\t",
  r: "\r",
  n: "\n",
  b: "\b",
  f: "\f",
  "\\": "\\",
  '"': '"',
};

const characterNames: Readonly<Record<string, string>> = {
  newline: "\n",
  return: "\r",
  space: " ",
  tab: "\t",
  formfeed: "\f",
  backspace: "\b",
};

class EdnReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next value, or `nothing` at the end of the text. */
  next(): unknown {
    this.#skipSpace();
    if (this.#at >= this.#text.length) return nothing;
    const value = this.#form();
    return value === nothing ? this.next() : value;
  }

  /** See `readEdnMembers`. */
  members(): Map<string, unknown> | undefined {
    for (;;) {
      this.#skipSpace();
      if (this.#at >= this.#text.length) return undefined;
      if (this.#text[this.#at] === "{") break;
      if (this.#text[this.#at] === "^") {
        this.#skipMetadata();
        continue;
      }
      const tag = /^#[A-Za-z][\w.$/-]*\s*(?=\{)/.exec(this.#text.slice(this.#at, this.#at + 200));
      if (tag) {
        this.#at += tag[0].length;
        break;
      }
      const value = this.#form();
      if (value !== nothing) throw new EdnError("it is no map like {:process 0, :type :invoke, …}");
    }
    const flat = this.#pairs();
    const members = new Map<string, unknown>();
    for (let i = 0; i < flat.length; i += 2) {
      const name = keywordName(flat[i]);
      if (name === undefined) throw new EdnError(`its key ${writeEdn(flat[i]).slice(0, 60)} is no keyword`);
      if (members.has(name)) throw twice(`:${name}`);
      members.set(name, flat[i + 1]);
    }
    return members;
  }

  /** One form that begins here; `nothing` when it is a discarded one. */
  #form(): unknown {
    const first = this.#text[this.#at]!;
    switch (first) {
      case '"':
        return this.#string();
      case "[":
        return this.#sequence("]");
      case "(":
        return this.#sequence(")");
      case "{":
        return mapOf(this.#entries());
      case "#":
        return this.#dispatch();
      case "^":
        this.#skipMetadata();
        return this.#operand("metadata");
      case "\\":
        return this.#character();
      case "]":
      case ")":
      case "}":
        throw new EdnError(`"${first}" closes nothing`);
      default:
        return atom(this.#token());
    }
  }

  #sequence(closer: string): unknown[] {
    this.#enter();
    const values: unknown[] = [];
    for (;;) {
      this.#skipSpace();
      if (this.#at >= this.#text.length) throw new EdnError(`"${closer}" is missing`);
      if (this.#text[this.#at] === closer) break;
      const value = this.#form();
      if (value !== nothing) values.push(value);
    }
    this.#leave();
    return values;
  }

  #entries(): [key: unknown, value: unknown][] {
    const flat = this.#pairs();
    const entries: [unknown, unknown][] = [];
    const seen = new Set<string>();
    for (let i = 0; i < flat.length; i += 2) {
      const text = writeEdn(flat[i]);
      if (seen.has(text)) throw twice(text);
      seen.add(text);
      entries.push([flat[i], flat[i + 1]]);
    }
    return entries;
  }

  /** The keys and values of a map, in turn. */
  #pairs(): unknown[] {
    const flat = this.#sequence("}");
    if (flat.length % 2 === 1) throw new EdnError("a map has a key without a value");
    return flat;
  }

  #dispatch(): unknown {
    const second = this.#text[this.#at + 1];
    if (second === "{") {
      this.#at++;
      return setOf(this.#sequence("}"));
    }
    if (second === "_") {
      this.#at += 2;
      this.#operand("#_");
      return nothing;
    }
    const token = this.#token();
    if (token === "##NaN" || token === "##Inf" || token === "##-Inf") return canonical(token);
    if (!/^#[A-Za-z][\w*!?$%&=<>+.#:-]*(\/[\w*!?$%&=<>+.#:-]+)?$/.test(token)) {
      throw new EdnError(`${JSON.stringify(token.slice(0, 60))} is no tag`);
    }
    const value = token === "#object" ? this.#object() : this.#operand(token);
    // An independent key and its value; see jepsen-edn.ts.
    const pair = /[.$]Tuple$/.test(token) ? tupleOf(value) : undefined;
    if (pair) return pair;
    return canonical(`${token} ${writeEdn(value)}`);
  }

  #skipMetadata(): void {
    this.#at++;
    this.#operand("^");
  }

  /** What `#object` tags, or the text of it when that is no EDN. */
  #object(): unknown {
    const [at, depth] = [this.#at, this.#depth];
    try {
      return this.#operand("#object");
    } catch (error) {
      if (!(error instanceof EdnError)) throw error;
      this.#at = at;
      this.#depth = depth;
      this.#skipSpace();
      if (this.#text[this.#at] !== "[") throw error;
      return this.#opaque(error);
    }
  }

  /** The text inside the brackets that begin here, strings in it respected. @param error when they are never closed */
  #opaque(error: EdnError): string {
    const from = this.#at + 1;
    for (let level = 0; this.#at < this.#text.length; ) {
      const char = this.#text[this.#at]!;
      if (char === '"') {
        this.#string();
        continue;
      }
      this.#at++;
      if (char === "[" || char === "{" || char === "(") level++;
      if ((char === "]" || char === "}" || char === ")") && --level === 0)
        return this.#text.slice(from, this.#at - 1);
    }
    throw error;
  }

  /** The form after a tag or a discard. */
  #operand(tag: string): unknown {
    this.#nest();
    for (;;) {
      this.#skipSpace();
      if (this.#at >= this.#text.length) throw new EdnError(`${tag.slice(0, 60)} has no value`);
      const value = this.#form();
      if (value === nothing) continue;
      this.#depth--;
      return value;
    }
  }

  #string(): string {
    const from = this.#at + 1;
    const end = this.#text.indexOf('"', from);
    const simple = end === -1 ? undefined : this.#text.slice(from, end);
    if (simple !== undefined && !simple.includes("\\")) {
      this.#at = end + 1;
      return simple;
    }
    return this.#escapedString(from);
  }

  #escapedString(from: number): string {
    let result = "";
    let kept = from;
    for (let at = from; at < this.#text.length; at++) {
      const char = this.#text[at];
      if (char === '"') {
        this.#at = at + 1;
        return result + this.#text.slice(kept, at);
      }
      if (char !== "\\") continue;
      result += this.#text.slice(kept, at);
      const next = this.#text[++at] ?? "";
      const hex = /^[0-9a-fA-F]{4}$/.exec(this.#text.slice(at + 1, at + 5))?.[0];
      if (next === "u" && hex) {
        result += String.fromCharCode(Number.parseInt(hex, 16));
        at += 4;
      } else if (Object.hasOwn(escapes, next)) result += escapes[next];
      else throw new EdnError(`a string has the unknown escape ${JSON.stringify(`\\${next}`)}`);
      kept = at + 1;
    }
    throw new EdnError("a string is never closed");
  }

  #character(): EdnText {
    const from = this.#at;
    const first = this.#text.codePointAt(from + 1);
    if (first === undefined) throw new EdnError("a backslash has no character after it");
    // The first character always belongs to the literal, even a bracket or a quote.
    this.#at = from + 1 + String.fromCodePoint(first).length;
    const rest = this.#token();
    const literal = String.fromCodePoint(first) + rest;
    if (rest === "") return canonical(characterText(literal));
    if (Object.hasOwn(characterNames, literal)) return canonical(`\\${literal}`);
    const hex = /^u([0-9a-fA-F]{4})$/.exec(literal)?.[1];
    if (!hex) throw new EdnError(`${JSON.stringify(`\\${literal.slice(0, 60)}`)} is no character`);
    return canonical(characterText(String.fromCharCode(Number.parseInt(hex, 16))));
  }

  /** The characters up to the next delimiter. */
  #token(): string {
    const from = this.#at;
    while (this.#at < this.#text.length && !isDelimiter(this.#text.charCodeAt(this.#at))) this.#at++;
    return this.#text.slice(from, this.#at);
  }

  #skipSpace(): void {
    for (; this.#at < this.#text.length; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 59) {
        const end = this.#text.indexOf("\n", this.#at);
        this.#at = end === -1 ? this.#text.length - 1 : end;
      } else if (!isSpace(code)) return;
    }
  }

  #enter(): void {
    this.#nest();
    this.#at++;
  }

  #leave(): void {
    this.#depth--;
    this.#at++;
  }

  #nest(): void {
    if (++this.#depth > maxDepth) throw new EdnError(`it is nested deeper than ${maxDepth} levels`);
  }
}

/** The key and the value of an independent tuple, printed as a vector or as a record. */
function tupleOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value.length === 2 ? value : undefined;
  if (typeof value !== "object" || value === null || Object.keys(value).join() !== "key,value")
    return undefined;
  const tuple = value as { readonly key: unknown; readonly value: unknown };
  return [tuple.key, tuple.value];
}

function twice(key: string): EdnError {
  return new EdnError(`a map has the key ${key.slice(0, 60)} twice`);
}

function isSpace(code: number): boolean {
  return code === 32 || code === 44 || (code >= 9 && code <= 13);
}

function isDelimiter(code: number): boolean {
  if (code > 125) return false;
  return (
    isSpace(code) ||
    code === 34 ||
    code === 40 ||
    code === 41 ||
    code === 59 ||
    code === 91 ||
    code === 93 ||
    code === 123 ||
    code === 125
  );
}

const plainDigits = /^(0|[1-9]\d*)$/;
const whole = /^[+-]?(0|[1-9]\d*)(N?)$/;
const decimal = /^[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?$/;
const exact = /^([+-]?(0|[1-9]\d*)((\.\d*)?([eE][+-]?\d+)?M|\/[1-9]\d*))$/;

function atom(token: string): unknown {
  if (token[0] === ":") return keywordOf(token);
  const first = token.charCodeAt(0);
  const second = token.charCodeAt(1);
  const signed = (first === 43 || first === 45) && second >= 48 && second <= 57;
  if ((first >= 48 && first <= 57) || signed) return numberOf(token);
  if (token === "nil") return null;
  if (token === "true") return true;
  if (token === "false") return false;
  if (/^[^\d:#^@`~\\\p{C}\s][^^@`~\\\p{C}\s]*$/u.test(token)) return canonical(token);
  throw new EdnError(`${JSON.stringify(token.slice(0, 60))} is no EDN`);
}

function keywordOf(token: string): EdnText {
  const name = token.slice(1);
  const known = keywords.get(name);
  if (known) return known;
  if (!/^[^:#^@`~\\\p{C}\s][^^@`~\\\p{C}\s]*$/u.test(name)) {
    throw new EdnError(`${JSON.stringify(token.slice(0, 60))} is no keyword`);
  }
  return keyword(name);
}

function numberOf(token: string): unknown {
  if (token.length < 16 && plainDigits.test(token)) return Number(token);
  if (whole.test(token)) {
    const value = Number(token.endsWith("N") ? token.slice(0, -1) : token);
    if (Number.isSafeInteger(value)) return value + 0;
    return canonical(BigInt(token.replace(/^\+|N$/g, "")).toString());
  }
  if (decimal.test(token)) {
    const value = Number(token);
    if (!Number.isFinite(value)) return canonical(value > 0 ? "##Inf" : "##-Inf");
    // 1.0 is another value than 1 in Clojure, and JSON has only one of them.
    if (Number.isSafeInteger(value)) return canonical(`${Object.is(value, -0) ? "-0" : value}.0`);
    return value;
  }
  if (exact.test(token)) return canonical(token.replace(/^\+/, ""));
  throw new EdnError(`${JSON.stringify(token.slice(0, 60))} is no number`);
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "##NaN";
  if (!Number.isFinite(value)) return value > 0 ? "##Inf" : "##-Inf";
  // Written with an exponent, a large double is not mistaken for an exact whole number.
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return value.toExponential();
  return String(value);
}

function characterText(character: string): string {
  for (const [name, named] of Object.entries(characterNames)) if (named === character) return `\\${name}`;
  if (/[\p{C}\p{Z}]/u.test(character)) return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `\\${character}`;
}

function setOf(values: readonly unknown[]): EdnText {
  const texts = values.map((value) => writeEdn(value)).sort();
  const twice = texts.find((text, i) => text === texts[i + 1]);
  if (twice !== undefined) throw new EdnError(`a set has the element ${twice.slice(0, 60)} twice`);
  return canonical(`#{${texts.join(" ")}}`);
}

/** An object where its names say which keys were meant; otherwise the map's text. */
function mapOf(entries: readonly [key: unknown, value: unknown][]): unknown {
  const named = entries.map(([key, value]) => [memberName(key), value] as const);
  if (named.every(([name]) => name !== undefined)) {
    // fromEntries defines members, so that `__proto__` is a name like any other.
    const object = Object.fromEntries([...(named as [string, unknown][])].sort(byText));
    if (!isEdnText(object)) return object;
  }
  const texts = entries.map(([key, value]) => [writeEdn(key), writeEdn(value)] as const).sort(byText);
  return canonical(`{${texts.map(([key, value]) => `${key} ${value}`).join(", ")}}`);
}

function byText(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

/** The name by which a key is written back as it was. */
function memberName(key: unknown): string | undefined {
  if (typeof key === "string") return isKeywordName(key) ? undefined : key;
  const name = keywordName(key);
  return name !== undefined && isKeywordName(name) ? name : undefined;
}
