/**
 * Our keys are strings; those of Jepsen are any value. A key becomes the text it is printed as, and a string stays as it
 * is unless that text would be taken for another value: 3 is `3`, "x" is `x`, :x is `:x`, "3" is `"3"` with its quotes.
 * Different keys have different texts, and the text leads back to the key. No key at all (nil) has no text.
 */
import { EdnError, isEdnText, readEdn, writeEdn } from "./edn.ts";

export interface KeyTexts {
  /** The text of a key; `undefined` for nil. */
  textOf(key: unknown): string | undefined;
  /** The key of a text. */
  keyOf(text: string): unknown;
}

/**
 * @param print the text of a value that is no string
 * @param parse the value, other than a string or nil, that prints as this text exactly; `undefined` when there is none
 */
function keyTexts(print: (key: unknown) => string, parse: (text: string) => unknown): KeyTexts {
  const special = (text: string): unknown => {
    const first = text.charCodeAt(0);
    if (first === 34) {
      const quoted = unquoted(text);
      return quoted !== undefined && special(quoted) !== undefined ? quoted : undefined;
    }
    return text === "" ? undefined : parse(text);
  };
  return {
    textOf(key) {
      if (key === null || key === undefined) return undefined;
      if (typeof key !== "string") return print(key);
      return special(key) === undefined ? key : JSON.stringify(key);
    },
    keyOf: (text) => special(text) ?? text,
  };
}

export const ednKeys: KeyTexts = keyTexts(printEdnKey, parseEdnKey);

export const jsonKeys: KeyTexts = keyTexts((key) => JSON.stringify(key), parseJsonKey);

/** A quote before a symbol keeps it apart from the string of the same letters. */
function printEdnKey(key: unknown): string {
  const text = writeEdn(key);
  return isSymbol(key) ? `'${text}` : text;
}

function isSymbol(key: unknown): boolean {
  if (!isEdnText(key)) return false;
  return !/^([:\\#{\d]|[+-]\d)/.test(key["#edn"]);
}

function parseEdnKey(text: string): unknown {
  // Most keys are words: as EDN they would be symbols, which have a quote here.
  if (/^[A-Za-z]/.test(text) && text !== "true" && text !== "false") return undefined;
  try {
    const value = readEdn(text[0] === "'" ? text.slice(1) : text);
    if (value === null || typeof value === "string") return undefined;
    return printEdnKey(value) === text ? value : undefined;
  } catch (error) {
    if (error instanceof EdnError) return undefined;
    throw error;
  }
}

function parseJsonKey(text: string): unknown {
  if (!/^[-\d[{tf]/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return JSON.stringify(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

function unquoted(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" && JSON.stringify(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}
